/* Digests: sorted, with the bounds of every prefix. A look-up reads two bounds and the few digests between them. */
#include "core.h"

#define BLOCK 64 /* look-ups in flight */

static inline uint64_t leading(const uint8_t *digest)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) /* one load and one byte swap, to a compiler */
        value = value << 8 | digest[i];
    return value;
}

static inline int is_before(const uint8_t *digest, const uint8_t *wanted, size_t width)
{
    uint64_t a = leading(digest), b = leading(wanted);
    return a != b ? a < b : memcmp(digest + 8, wanted + 8, width - 8) < 0;
}

typedef struct {
    uint64_t leading;
    uint32_t row;
} sortable;

typedef struct {
    const uint8_t *values;
    size_t width;
} rest;

static int after(const rest *of, const sortable *a, const sortable *b)
{
    if (a->leading != b->leading)
        return a->leading > b->leading;
    int order = memcmp(of->values + a->row * of->width, of->values + b->row * of->width, of->width);
    return order ? order > 0 : a->row > b->row;
}

static void sift_down(const rest *of, sortable *heap, size_t at, size_t count)
{
    sortable value = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && after(of, &heap[child + 1], &heap[child]))
            child++;
        if (!after(of, &heap[child], &value))
            break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

/* Few by insertion, many by heap: listed values are not ours, so no input may cost more than n log n. */
static void sort_run(const rest *of, sortable *run, size_t count)
{
    if (count <= 24) {
        for (size_t i = 1; i < count; i++) {
            sortable value = run[i];
            size_t j = i;
            for (; j > 0 && after(of, &run[j - 1], &value); j--)
                run[j] = run[j - 1];
            run[j] = value;
        }
        return;
    }
    for (size_t i = count / 2; i-- > 0;)
        sift_down(of, run, i, count);
    for (size_t end = count - 1; end > 0; end--) {
        sortable top = run[0];
        run[0] = run[end];
        run[end] = top;
        sift_down(of, run, 0, end);
    }
}

/* Scatter by as many leading bits as leave a few to a bucket, then sort each bucket. Equal digests keep row order. */
int hw_digest_sort(const uint8_t *values, size_t n, size_t width, uint8_t *sorted, uint32_t *row)
{
    rest of = {values, width};
    int bits = 8;
    while (bits < 22 && ((size_t)1 << (bits + 3)) < n)
        bits++;
    size_t buckets = (size_t)1 << bits;
    uint32_t *cursor = calloc(buckets + 2, sizeof *cursor);
    sortable *entries = malloc((n + 1) * sizeof *entries);
    if (!cursor || !entries) {
        free(cursor);
        free(entries);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        cursor[(leading(values + i * width) >> (64 - bits)) + 2]++;
    for (size_t b = 2; b < buckets + 2; b++)
        cursor[b] += cursor[b - 1];
    for (size_t i = 0; i < n; i++) {
        if (i + 24 < n)
            hw_prefetch_write(entries + cursor[(leading(values + (i + 24) * width) >> (64 - bits)) + 1]);
        uint64_t first = leading(values + i * width);
        sortable *entry = &entries[cursor[(first >> (64 - bits)) + 1]++];
        entry->leading = first;
        entry->row = (uint32_t)i;
    }
    for (size_t b = 0; b < buckets; b++)
        sort_run(&of, entries + cursor[b], cursor[b + 1] - cursor[b]);
    for (size_t i = 0; i < n; i++) {
        if (i + 24 < n)
            hw_prefetch(values + (size_t)entries[i + 24].row * width);
        memcpy(sorted + i * width, values + (size_t)entries[i].row * width, width);
        row[i] = entries[i].row;
    }
    free(entries);
    free(cursor);
    return 0;
}

/* offsets[p] is the first digest whose leading bits are at least p; 2 ** prefix_bits + 1 of them. */
void hw_digest_prefixes(const uint8_t *sorted, size_t n, size_t width, int prefix_bits, uint32_t *offsets)
{
    size_t prefixes = (size_t)1 << prefix_bits, p = 0;
    for (size_t i = 0; i < n; i++) {
        size_t here = prefix_bits ? (size_t)(leading(sorted + i * width) >> (64 - prefix_bits)) : 0;
        while (p <= here)
            offsets[p++] = (uint32_t)i;
    }
    while (p <= prefixes)
        offsets[p++] = (uint32_t)n;
}

/* The first digest in [low, high) that is not before `wanted`. Buckets are short unless somebody made them long. */
static size_t first_not_before(const uint8_t *sorted, size_t width, size_t low, size_t high, const uint8_t *wanted)
{
    while (high - low > 8) {
        size_t middle = low + (high - low) / 2;
        if (is_before(sorted + middle * width, wanted, width))
            low = middle + 1;
        else
            high = middle;
    }
    while (low < high && is_before(sorted + low * width, wanted, width))
        low++;
    return low;
}

int hw_digest_has(const uint8_t *sorted, size_t width, int prefix_bits, const uint32_t *offsets, const uint8_t *wanted)
{
    size_t prefix = prefix_bits ? (size_t)(leading(wanted) >> (64 - prefix_bits)) : 0, end = offsets[prefix + 1];
    size_t at = first_not_before(sorted, width, offsets[prefix], end, wanted);
    return at < end && memcmp(sorted + at * width, wanted, width) == 0;
}

int hw_digest_find(const uint8_t *sorted, const uint32_t *row, size_t n, size_t width, int prefix_bits, const uint32_t *offsets,
                   const uint8_t *dead, const uint8_t *queries, size_t count, hw_hits *hits)
{
    size_t prefix[BLOCK];
    for (size_t block = 0; block < count; block += BLOCK) {
        size_t here = count - block < BLOCK ? count - block : BLOCK;
        const uint8_t *query = queries + block * width;
        for (size_t i = 0; i < here; i++) {
            prefix[i] = prefix_bits ? (size_t)(leading(query + i * width) >> (64 - prefix_bits)) : 0;
            hw_prefetch(offsets + prefix[i]);
        }
        for (size_t i = 0; i < here; i++) {
            const uint8_t *digest = sorted + (size_t)offsets[prefix[i]] * width;
            hw_prefetch(digest);
            hw_prefetch(digest + 64);
        }
        for (size_t i = 0; i < here; i++, query += width) {
            size_t end = offsets[prefix[i] + 1];
            size_t at = first_not_before(sorted, width, offsets[prefix[i]], end, query);
            for (; at < end && memcmp(sorted + at * width, query, width) == 0; at++) {
                uint32_t here_row = row[at] < n ? row[at] : 0; /* a damaged file must not make us read outside */
                if (!(dead && ((dead[here_row >> 3] >> (here_row & 7)) & 1)) &&
                    hw_hits_add(hits, HW_KEY(block + i, here_row, 0)) < 0)
                    return -1;
            }
        }
    }
    return 0;
}
