/* Building tables and filter planes from permuted rows. */
#include "core.h"

#define AHEAD 24 /* rows between asking for a bucket's line and writing to it: enough to cover a miss, measured */

/* Scatter entries by the chunk that `shift` places in them. offsets[c + 1] serves as the cursor of chunk c: when the scatter
 * ends it has become the end of its bucket. */
static void count_chunks(const uint64_t *rows, size_t n, int words, int chunk, uint32_t *offsets)
{
    memset(offsets, 0, (HW_BUCKETS + 1) * sizeof *offsets);
    for (size_t i = 0; i < n; i++) {
        unsigned bucket = hw_chunk(rows + i * (size_t)words, chunk);
        if (bucket + 2 <= HW_BUCKETS)
            offsets[bucket + 2]++;
    }
    for (size_t b = 2; b <= HW_BUCKETS; b++)
        offsets[b] += offsets[b - 1];
}

/* An entry is scattered whole, one line each, and split later: three scattered arrays would miss thrice. */
static void scatter_rows(const uint64_t *rows, size_t n, int words, int by, int high, int higher, uint32_t *offsets,
                         uint64_t *to)
{
    count_chunks(rows, n, words, by, offsets);
    for (size_t i = 0; i < n; i++) {
        const uint64_t *value = rows + i * (size_t)words;
        if (i + AHEAD < n)
            hw_prefetch_write(to + offsets[hw_chunk(value + AHEAD * (size_t)words, by) + 1]);
        to[offsets[hw_chunk(value, by) + 1]++] =
            i | (uint64_t)hw_chunk(value, high) << 32 | (uint64_t)hw_chunk(value, higher) << 48;
    }
}

static void scatter_entries(const uint64_t *from, size_t n, uint32_t *offsets, uint64_t *to)
{
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            hw_prefetch_write(to + offsets[(from[i + AHEAD] >> 48) + 1]);
        to[offsets[(from[i] >> 48) + 1]++] = from[i];
    }
}

/* Sort the rows by one chunk: within a bucket they keep row order where there is a second payload, and stand by the first
 * where there is none, so that a bucket in which it must be equal need not be read through. The table is a function of the
 * rows alone. `scratch` holds n words, twice as many without a second payload. */
void hw_build_table(const uint64_t *rows, size_t n, int words, int chunk, uint64_t *scratch, uint32_t *offsets,
                    uint16_t *next, uint16_t *next2, uint32_t *row)
{
    int chunks = 4 * words;
    int second = (chunk + 1) % chunks, third = (chunk + 2) % chunks;
    if (next2) {
        scatter_rows(rows, n, words, chunk, second, third, offsets, scratch);
    } else {
        scatter_rows(rows, n, words, second, second, chunk, offsets, scratch + n);
        count_chunks(rows, n, words, chunk, offsets);
        scatter_entries(scratch + n, n, offsets, scratch);
    }
    for (size_t i = 0; i < n; i++) {
        row[i] = (uint32_t)scratch[i];
        next[i] = (uint16_t)(scratch[i] >> 32);
    }
    for (size_t i = 0; next2 && i < n; i++)
        next2[i] = (uint16_t)(scratch[i] >> 48);
}

/* Whether a table's offsets can be followed without leaving its n entries: what a file says is not believed unseen. */
int hw_offsets_hold(const uint32_t *offsets, size_t n)
{
    unsigned falls = 0;
    for (size_t b = 0; b < HW_BUCKETS; b++)
        falls |= offsets[b] > offsets[b + 1];
    return !falls && offsets[HW_BUCKETS] == n;
}

/* The first 32 * planes bits of every row, by groups: for each plane, one 32-bit word of each of the group's rows. */
void hw_build_planes(const uint64_t *rows, size_t n, int words, int planes, uint32_t *plane)
{
    size_t groups = (n + HW_GROUP - 1) / HW_GROUP;
    memset(plane, 0, groups * HW_GROUP * (size_t)planes * sizeof *plane);
    for (size_t i = 0; i < n; i++)
        for (int p = 0; p < planes; p++)
            plane[((i / HW_GROUP) * (size_t)planes + (size_t)p) * HW_GROUP + i % HW_GROUP] =
                (uint32_t)(rows[i * (size_t)words + (size_t)(p >> 1)] >> (32 * (p & 1)));
}
