/* The operator of PDQ in C: 64 x 64 = A_H . L . A_W^T, one pass over the pixels, whole numbers throughout.
 *
 * Every sum is exact, so that each kernel, any order of summation and the NumPy reference (reference.py) give one value.
 *
 *   axis      one row of weights, whole numbers of 2**-22 that sum to 2**22, for each of the 64 sampling points
 *   window    a rectangle, in samples before any scaling, hashed as if it were all of the picture; where it reaches beyond
 *             the picture, the pixels at the edge go on
 *   vertical  an axis over the rows with what it has summed so far; its bands follow each other down the picture
 *   grid      64 x 64 luma values in whole numbers of 2**-15
 */
#ifndef HASHWARD_OPERATOR_H
#define HASHWARD_OPERATOR_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HW_SIDE 64
#define HW_WEIGHT_BITS 22
#define HW_LUMA_BITS 20
#define HW_ROW_BITS 20
#define HW_GRID_BITS 15
#define HW_HALF_BITS 12
#define HW_GROUP 8           /* rows summed at once: the sums are then read and written once for eight rows */
#define HW_MOST_SAMPLES (1 << 24) /* of an axis: no picture of such a size passes a budget */
#define HW_MOST_READINGS 64
#define HW_VALUE_BYTES 32

#if defined(__GNUC__) || defined(__clang__)
#define HW_INLINE static inline __attribute__((always_inline))
#else
#define HW_INLINE static inline
#endif

typedef struct {
    int32_t start[HW_SIDE], stop[HW_SIDE]; /* samples as decoded, ascending where not reversed, else descending */
    int32_t at[HW_SIDE];                   /* where a row's weights begin */
    uint32_t *weight;
} hw_axis;

/* What a processor does best; all give the same numbers. */
typedef struct {
    const char *name;
    /* sum[i] += weight[0] * row[0][i] + ... + weight[count - 1] * row[count - 1][i], count <= HW_GROUP */
    void (*add)(const uint8_t *const *row, const uint32_t *weight, int count, size_t samples, uint32_t *sum);
    uint64_t (*dot)(const uint32_t *a, const uint32_t *b, size_t count);
    /* pixels of `step` samples whose channels have those three luma weights, to rows of HW_ROW_BITS */
    void (*grey)(const uint32_t *sum, size_t step, const uint32_t *luma, size_t pixels, uint32_t *row);
    void (*halve)(const uint32_t *sum, size_t pixels, uint32_t *row);
} hw_kernel;

const hw_kernel *hw_kernel_avx512(void);
const hw_kernel *hw_kernel_avx2(void);
const hw_kernel *hw_kernel_neon(void);
const hw_kernel *hw_kernel_portable(void);

typedef struct {
    int64_t total;         /* samples of the whole picture on this axis, before scaling */
    int64_t first, length; /* the window, before scaling; it may begin before 0 and end beyond `total` */
    int reverse;
} hw_span;

/* bands.c: 0, or -1 when memory is short. */
int hw_axis_make(hw_axis *axis, const hw_span *span, int scale);
void hw_axis_free(hw_axis *axis);

typedef struct {
    hw_span span;
    hw_axis axis;
} hw_horizontal;

typedef struct {
    hw_span span;
    hw_axis axis;
    int next;  /* bands finished */
    int slots; /* sums held at once */
    uint32_t *sum;
    int horizontals;
    int horizontal[HW_MOST_READINGS];
    int32_t (*grid)[HW_SIDE][HW_SIDE]; /* one for each of its horizontals */
} hw_vertical;

typedef struct {
    int vertical, horizontal; /* the latter within the former */
    int transposed;
} hw_reading;

typedef struct {
    const hw_kernel *kernel;
    size_t height, width; /* as decoded */
    int scale, step;      /* step: samples from one pixel to the next */
    uint32_t luma[4];
    size_t seen; /* rows fed */
    int verticals, horizontals, readings;
    hw_vertical vertical[HW_MOST_READINGS];
    hw_horizontal horizontal[HW_MOST_READINGS];
    hw_reading reading[HW_MOST_READINGS];
    uint32_t *row; /* one band's sums as grey */
} hw_pass;

/* A rectangle and an EXIF orientation (1..8); the rectangle in samples before scaling. */
typedef struct {
    int64_t top, left, height, width;
    int turn;
} hw_asked;

/* pass.c */
hw_pass *hw_pass_new(const hw_kernel *kernel, int64_t height, int64_t width, int scale, const hw_asked *asked, int count);
void hw_pass_free(hw_pass *pass);
/* The pixel format, before the first rows; 0, or -1 when memory is short. */
int hw_pass_begin(hw_pass *pass, int step, const uint32_t *luma);
void hw_pass_feed(hw_pass *pass, const uint8_t *pixels, ptrdiff_t stride, size_t rows);
/* The grid of one reading, once all rows were fed. */
void hw_pass_grid(const hw_pass *pass, int reading, int32_t grid[HW_SIDE][HW_SIDE]);

/* hash.c */
void hw_full_range(int32_t grid[HW_SIDE][HW_SIDE]);
int hw_hash(const int32_t grid[HW_SIDE][HW_SIDE], uint8_t value[HW_VALUE_BYTES]); /* its quality */

/* x / 2**bits to the nearest whole number, halves to the even one. */
HW_INLINE uint64_t hw_nearest(uint64_t x, int bits)
{
    return (x + ((uint64_t)1 << (bits - 1)) - 1 + ((x >> bits) & 1)) >> bits;
}

#endif
