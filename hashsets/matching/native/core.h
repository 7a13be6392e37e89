/* The matching core in C: what the kernels, the builder and the Python module share.
 *
 * Words
 *   row      one listed value, its bits permuted, 1..4 words of 64 bits
 *   chunk    16 consecutive bits of a row; a row has 4 per word, on a ring (the last is followed by the first)
 *   table    the rows sorted by one chunk: `offsets` bounds the 65,536 buckets; `next` and `next2` hold the two chunks that
 *            follow on the ring, `row` the row number, each in bucket order
 *   weight   how far a chunk may be searched, plus one: a bucket is met when its chunk differs by fewer bits
 *   plan     the weights of one radius: they sum to radius + 1, so (pigeonhole) some chunk of every row within the radius
 *            differs by fewer bits than its weight
 *
 * Chain filter (Qin and Xiao, "Pigeonring", PVLDB 2018, in its integer form): the differences d less the weights w sum to
 * less than zero round the ring, so there is a start from which every partial sum is below zero. Hence a row is looked for
 * only where d0 < w0, d0 + d1 < w0 + w1 and d0 + d1 + d2 < w0 + w1 + w2 hold, and it is reported at the first such chunk
 * alone: no row twice, and nothing to remember.
 */
#ifndef HASHWARD_CORE_H
#define HASHWARD_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernels read chunks as little-endian words; the NumPy matcher serves big-endian machines"
#endif

#define HW_MAX_WORDS 4
#define HW_MAX_CHUNKS 16
#define HW_BUCKETS 65536
#define HW_MAX_WEIGHT 4
#define HW_OFFSETS 65552  /* words from one table's offsets to the next: 65,537 and what keeps each on its own cache line */
#define HW_FLIPS 697      /* 16-bit masks of at most three bits: 1 + 16 + 120 + 560 */
#define HW_PAD_BYTES 64   /* every array is readable this far past its end: vector tails need a mask, not a branch */
#define HW_FEW 16         /* fewer queries are not taken table by table: all of a query's lines are asked for at once */
#define HW_GROUP 16       /* rows of one group of filter planes */
#define HW_MAX_PLANES 3

typedef struct {
    const uint32_t *offsets; /* HW_BUCKETS + 1 */
    const uint16_t *next;
    const uint16_t *next2; /* NULL in the compact form */
    const uint32_t *row;
    int chunk;
} hw_table;

typedef struct {
    size_t n;
    int words, chunks, tables, planes;
    const uint64_t *rows;
    hw_table table[HW_MAX_CHUNKS];
    const uint32_t *plane;  /* groups of HW_GROUP rows x planes words of 32 bits, or NULL */
    const uint8_t *dead;    /* one bit a row, 1 = withdrawn, or NULL */
} hw_index;

typedef struct {
    int radius;
    int tables_used;                 /* tables with a weight above zero */
    int weight[HW_MAX_CHUNKS + 2];   /* by chunk, ring continued by two */
    int chain2[HW_MAX_CHUNKS], chain3[HW_MAX_CHUNKS]; /* sums of two and of three weights from this chunk on */
    size_t ranges;                   /* buckets met by one query */
} hw_plan;

/* One hit in one word, so that sorting it sorts by query, then row: query (23 bits), row (32), distance (9). */
#define HW_QUERY_LIMIT ((size_t)1 << 23)
#define HW_KEY(query, row, distance) (((uint64_t)(query) << 41) | ((uint64_t)(row) << 9) | (uint64_t)(distance))
#define HW_KEY_QUERY(key) ((int64_t)((key) >> 41))
#define HW_KEY_ROW(key) ((int64_t)(((key) >> 9) & 0xffffffffu))
#define HW_KEY_DISTANCE(key) ((int32_t)((key) & 0x1ff))

typedef struct {
    uint64_t *key;
    size_t count, room;
    size_t most; /* a search stops where it would find more; 0 for no such limit */
} hw_hits;

/* All return 0, or -1 when memory is short or there are more hits than `most`. `queries` are permuted rows; keys come sorted. */
typedef struct {
    const char *name;
    int (*probe)(const hw_index *index, const hw_plan *plan, const uint64_t *queries, size_t count, hw_hits *hits);
    int (*join)(const hw_index *index, const hw_plan *plan, const uint64_t *queries, size_t count, hw_hits *hits);
    int (*stream)(const hw_index *index, const hw_plan *plan, const uint64_t *queries, size_t count, hw_hits *hits);
    int (*planes)(const hw_index *index, int radius, const uint64_t *queries, size_t count, hw_hits *hits);
    int (*scan)(const hw_index *index, int radius, const uint64_t *queries, size_t count, hw_hits *hits);
    void (*permute)(const uint8_t *source_bit, int words, const uint8_t *values, size_t count, uint64_t *rows);
} hw_kernel;

extern uint16_t hw_flips[HW_FLIPS];          /* ordered by number of bits */
extern const int hw_flips_below[HW_MAX_WEIGHT + 1]; /* how many flips have fewer bits than a weight */
extern uint16_t hw_line_flips[HW_FLIPS];     /* those that keep the low four bits: one for each cache line of offsets */
extern int hw_line_flips_below[HW_MAX_WEIGHT + 1];

/* plan.c */
void hw_core_init(void);
int hw_plan_make(const hw_index *index, int radius, hw_plan *plan); /* 0, or -1 when the tables do not reach so far */
int hw_hits_grow(hw_hits *hits);
int hw_sort(uint64_t *key, size_t count);
void hw_permute_portable(const uint8_t *source_bit, int words, const uint8_t *values, size_t count, uint64_t *rows);

/* Which of a kernel's searches answers `count` queries soonest. */
enum hw_strategy { HW_AUTO, HW_PROBE, HW_JOIN, HW_PLANES, HW_SCAN, HW_STREAM };
enum hw_strategy hw_choose(const hw_index *index, const hw_plan *plan, int planned, int radius, size_t count);

/* build.c */
void hw_build_table(const uint64_t *rows, size_t n, int words, int chunk, uint64_t *scratch, uint32_t *offsets,
                    uint16_t *next, uint16_t *next2, uint32_t *row);
int hw_offsets_hold(const uint32_t *offsets, size_t n);
void hw_build_planes(const uint64_t *rows, size_t n, int words, int planes, uint32_t *plane);

/* digests.c */
typedef struct {
    size_t n, width;
    int prefix_bits;
    const uint64_t *heads;
    const uint8_t *tails;
    const uint32_t *row, *offsets;
} hw_digests;

int hw_digest_sort(const uint8_t *values, size_t n, size_t width, uint64_t *heads, uint8_t *tails, uint32_t *row);
void hw_digest_prefixes(const uint64_t *heads, size_t n, int prefix_bits, uint32_t *offsets);
int hw_digest_has(const hw_digests *of, const uint8_t *wanted);
int hw_digest_find(const hw_digests *of, const uint8_t *dead, const uint8_t *queries, size_t count, hw_hits *hits);

/* kernel_*.c: NULL where this processor or compiler has no such kernel */
const hw_kernel *hw_kernel_avx512(void);
const hw_kernel *hw_kernel_avx2(void);
const hw_kernel *hw_kernel_neon(void);
const hw_kernel *hw_kernel_portable(void);

static inline int hw_hits_add(hw_hits *hits, uint64_t key)
{
    if (hits->count == hits->room && hw_hits_grow(hits) < 0)
        return -1;
    hits->key[hits->count++] = key;
    return 0;
}

#if defined(__GNUC__) || defined(__clang__)
#define hw_prefetch(address) __builtin_prefetch((address), 0, 3)
#define hw_prefetch_l2(address) __builtin_prefetch((address), 0, 2)
#define hw_prefetch_write(address) __builtin_prefetch((address), 1, 3)
#define hw_lowest(mask) __builtin_ctzll(mask)
#define HW_INLINE static inline __attribute__((always_inline))
#define HW_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define hw_prefetch(address) ((void)0)
#define hw_prefetch_l2(address) ((void)0)
#define hw_prefetch_write(address) ((void)0)
#define HW_INLINE static inline
#define HW_UNLIKELY(condition) (condition)
static inline int hw_lowest(uint64_t mask)
{
    int at = 0;
    while (!(mask & 1)) {
        mask >>= 1;
        at++;
    }
    return at;
}
#endif

static inline uint16_t hw_chunk(const uint64_t *row, int chunk)
{
    return (uint16_t)(row[chunk >> 2] >> (16 * (chunk & 3)));
}

#endif
