/* Digests: sorted, in two pieces, with the bounds of every prefix. A look-up reads two bounds and the few heads (the first
 * eight bytes, as a number) between them; only where a head is the wanted one does it read the tail, the rest. */
#include "core.h"

#define BLOCK 64 /* look-ups in flight */

static inline uint64_t leading(const uint8_t *digest)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) /* one load and one byte swap, to a compiler */
        value = value << 8 | digest[i];
    return value;
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
int hw_digest_sort(const uint8_t *values, size_t n, size_t width, uint64_t *heads, uint8_t *tails, uint32_t *row)
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
        heads[i] = entries[i].leading;
        memcpy(tails + i * (width - 8), values + (size_t)entries[i].row * width + 8, width - 8);
        row[i] = entries[i].row;
    }
    free(entries);
    free(cursor);
    return 0;
}

/* offsets[p] is the first digest whose leading bits are at least p; 2 ** prefix_bits + 1 of them. */
void hw_digest_prefixes(const uint64_t *heads, size_t n, int prefix_bits, uint32_t *offsets)
{
    size_t prefixes = (size_t)1 << prefix_bits, p = 0;
    for (size_t i = 0; i < n; i++) {
        size_t here = prefix_bits ? (size_t)(heads[i] >> (64 - prefix_bits)) : 0;
        while (p <= here)
            offsets[p++] = (uint32_t)i;
    }
    while (p <= prefixes)
        offsets[p++] = (uint32_t)n;
}

/* The first head in [low, high) that is not below `wanted`. Buckets are short unless somebody made them long. */
static size_t first_head(const uint64_t *heads, size_t low, size_t high, uint64_t wanted)
{
    while (high - low > 8) {
        size_t middle = low + (high - low) / 2;
        if (heads[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < high && heads[low] < wanted)
        low++;
    return low;
}

/* The first digest from `at`, where the wanted head begins, that is not before `wanted`; `end` where its head ends first. A
 * step doubles, so that digests made to share a head cost no more than a binary search. */
static size_t first_tail(const hw_digests *of, size_t at, size_t end, uint64_t head, const uint8_t *wanted)
{
    size_t width = of->width - 8, low = at, high = at, step = 1;
    const uint8_t *tail = wanted + 8;
    while (high < end && of->heads[high] == head && memcmp(of->tails + high * width, tail, width) < 0) {
        low = high + 1;
        high = high + step < end ? high + step : end;
        step *= 2;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (of->heads[middle] == head && memcmp(of->tails + middle * width, tail, width) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline int is_equal(const hw_digests *of, size_t at, size_t end, uint64_t head, const uint8_t *wanted)
{
    size_t width = of->width - 8;
    return at < end && of->heads[at] == head && memcmp(of->tails + at * width, wanted + 8, width) == 0;
}

static inline size_t prefix_of(const hw_digests *of, uint64_t head)
{
    return of->prefix_bits ? (size_t)(head >> (64 - of->prefix_bits)) : 0;
}

int hw_digest_has(const hw_digests *of, const uint8_t *wanted)
{
    uint64_t head = leading(wanted);
    size_t prefix = prefix_of(of, head), end = of->offsets[prefix + 1];
    size_t at = first_head(of->heads, of->offsets[prefix], end, head);
    return is_equal(of, first_tail(of, at, end, head, wanted), end, head, wanted);
}

int hw_digest_find(const hw_digests *of, const uint8_t *dead, const uint8_t *queries, size_t count, hw_hits *hits)
{
    uint64_t head[BLOCK];
    size_t at[BLOCK];
    for (size_t block = 0; block < count; block += BLOCK) {
        size_t here = count - block < BLOCK ? count - block : BLOCK;
        const uint8_t *query = queries + block * of->width;
        for (size_t i = 0; i < here; i++) {
            head[i] = leading(query + i * of->width);
            hw_prefetch(of->offsets + prefix_of(of, head[i]));
        }
        for (size_t i = 0; i < here; i++)
            hw_prefetch(of->heads + of->offsets[prefix_of(of, head[i])]);
        for (size_t i = 0; i < here; i++) {
            size_t prefix = prefix_of(of, head[i]);
            at[i] = first_head(of->heads, of->offsets[prefix], of->offsets[prefix + 1], head[i]);
            if (at[i] < of->n && of->heads[at[i]] == head[i]) {
                hw_prefetch(of->tails + at[i] * (of->width - 8));
                hw_prefetch(of->row + at[i]);
            }
        }
        for (size_t i = 0; i < here; i++, query += of->width) {
            size_t end = of->offsets[prefix_of(of, head[i]) + 1];
            for (size_t found = first_tail(of, at[i], end, head[i], query); is_equal(of, found, end, head[i], query); found++) {
                uint32_t row = of->row[found] < of->n ? of->row[found] : 0; /* a damaged file must not make us read outside */
                if (!(dead && ((dead[row >> 3] >> (row & 7)) & 1)) && hw_hits_add(hits, HW_KEY(block + i, row, 0)) < 0)
                    return -1;
            }
        }
    }
    return 0;
}
