/* The luma of an intact baseline or progressive JPEG (ITU T.81), at 1/1, 1/2, 1/4 or 1/8: sample for sample what libjpeg's accurate
 * integer DCT gives, in less time.
 *
 * Only luma is made. Chroma is walked over symbol by symbol, so that damage in it is met.
 * Whatever is not plain is refused, for libjpeg to read: damage, arithmetic files, 12 bits, colours that are not
 * YCbCr, chroma finer than luma, baseline in several scans, values beyond what pixels can give.
 *
 *   window   bytes of the scan without their stuffing, followed by zeros where the scan ends
 *   entry    what a look at the next bits tells: how many of them it used, up to two coefficients, and whether the block
 *            ends behind them; for chroma as many symbols as fit. 0: to be read length by length
 */
#ifndef HASHWARD_JPEG_H
#define HASHWARD_JPEG_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HW_LOOK_BITS 11
#define HW_LOOKS (1 << HW_LOOK_BITS)
#define HW_MOST_SIDE 65500    /* as libjpeg */
#define HW_MOST_COMPONENTS 3
#define HW_MOST_VALUE 8191    /* of a dequantised coefficient: pixels give 1024 and what quantisation adds */
#define HW_MOST_BLOCKS 10     /* of an MCU (T.81, B.2.3) */
#define HW_MOST_MEAN 15       /* the largest symbol of a DC table, as libjpeg has it */
#define HW_MOST_SYMBOL 255    /* of an AC table */
#define HW_WINDOW_BYTES 16384
/* An MCU uses at most 10 blocks of 64 symbols of 31 bits. */
#define HW_MARGIN_BYTES 4096

/* An entry. Two coefficients: the second's place and value are nought, or rather the first's and 0, where there is one.
 * All places count from the next coefficient on. */
#define HW_LENGTH 63                                     /* the bits used */
#define HW_ENDS 64                                       /* the block ends behind it */
#define HW_PASSED(entry) ((int)((entry) >> 8 & 255))     /* how many coefficients it takes */
#define HW_VALUE(entry) ((int32_t)(uint32_t)(entry) >> 16)
#define HW_PLACE(entry) ((int)((entry) >> 32 & 255))
#define HW_SECOND_PLACE(entry) ((int)((entry) >> 40 & 255))
#define HW_SECOND_VALUE(entry) ((int32_t)((int64_t)(entry) >> 48))

#if defined(__GNUC__) || defined(__clang__)
#define HW_INLINE static inline __attribute__((always_inline))
#define HW_RARELY(x) __builtin_expect(!!(x), 0)
#else
#define HW_INLINE static inline
#define HW_RARELY(x) (x)
#endif

/* A Huffman table as the file has it. */
typedef struct {
    int present;
    uint8_t counts[17]; /* codes of each length */
    uint8_t symbols[256];
} hw_codes;

/* A Huffman table as it is read: code l bits long is the symbol at `offset[l]` + code, if it is below `limit[l]`. */
typedef struct {
    int32_t limit[17], offset[17];
    uint8_t symbols[256];
    uint32_t look[HW_LOOKS]; /* the lower half of an entry */
} hw_table;

typedef struct {
    int id, across, down; /* blocks of an MCU */
    int quantiser, dc, ac;
} hw_component;

typedef struct {
    int height, width, components;
    hw_component component[HW_MOST_COMPONENTS];
    int restart_interval;
    int mcus_across, mcus_down;
    uint16_t quantiser[4][64]; /* in the order of the file, which is that of the zigzag */
    int has_quantiser[4];
    hw_codes codes[2][4]; /* DC, AC */
    int progressive;
    int parts, part[HW_MOST_COMPONENTS]; /* of this scan, if progressive: components, */
    int first, last, high, low;          /* the coefficients, and their bits (T.81, G.1) */
    const uint8_t *at, *end;
} hw_jpeg;

enum { HW_DECODED = 0, HW_REFUSED = 1, HW_NO_MEMORY = 2, HW_ENDED = 3 };

/* headers.c: everything before the scan; HW_DECODED, with `at` at its first byte, or HW_REFUSED. */
int hw_jpeg_open(hw_jpeg *jpeg, const uint8_t *encoded, size_t bytes);

/* The same for the next scan, whose segments begin at `at`; HW_ENDED where there is none. */
int hw_jpeg_next(hw_jpeg *jpeg, const uint8_t *at);

/* The tables of each component, and what they were made of. */
typedef struct {
    int components;
    hw_component component[HW_MOST_COMPONENTS];
    hw_codes codes[2][4];
    const hw_table *dc[HW_MOST_COMPONENTS], *ac[HW_MOST_COMPONENTS];
    hw_table made[2 * HW_MOST_COMPONENTS];
    uint64_t luma[HW_LOOKS]; /* entries of luma's coefficients */
} hw_tables;

/* tables.c: those of an opened file; HW_DECODED, or HW_REFUSED for codes that cannot be. Most files have the tables of the
 * one before, or the standard's: then they are made already. `tables` was zeroed, or made before. */
int hw_tables_make(hw_tables *tables, const hw_jpeg *jpeg);

/* The luma into `plane`, whose rows are `stride` bytes apart; it has room for whole MCUs. */
typedef int hw_decoder(const hw_jpeg *jpeg, const hw_tables *tables, int scale, uint8_t *plane, size_t stride);

/* tables.c: a table without its looks, of symbols up to `most`. */
int hw_table_fill(hw_table *table, const hw_codes *codes, int most);

/* progressive.c, for the same machines. */
int hw_decode_progressive(hw_jpeg *jpeg, int scale, uint8_t *plane, size_t stride);

/* scan.c: NULL where this machine lacks the instructions. */
hw_decoder *hw_decoder_here(void);

#endif
