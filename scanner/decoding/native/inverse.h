/* The inverse DCT as libjpeg has it: jidctint.c, and jidctred.c for 4x4 and 2x2, where each sample is the mean of those it
 * stands for (Loeffler, Ligtenberg and Moschytz, ICASSP 1989). Constants are whole numbers of 2**-13.
 *
 * Each gives the bits of what its first pass holds: beyond HW_MOST_PASS libjpeg's own vector code may wrap round.
 */
#ifndef HASHWARD_INVERSE_H
#define HASHWARD_INVERSE_H

#include "jpeg.h"

#include <immintrin.h>

typedef int32_t hw_eight __attribute__((vector_size(32)));

#define HW_MOST_PASS 16383
#define HW_MOST_ONE 511
#define HW_ROUNDED(x, bits) (((x) + (1 << ((bits) - 1))) >> (bits))
#define HW_TWO(a, b) ((hw_eight){a, a, a, a, b, b, b, b})

HW_INLINE int is_beyond(hw_eight bits)
{
    int32_t all = 0;
    for (int i = 0; i < 8; i++)
        all |= bits[i];
    return all > HW_MOST_PASS;
}

/* Eight rows of coefficients. */
HW_INLINE void widened(const int16_t *block, hw_eight *v)
{
    for (int i = 0; i < 8; i++)
        v[i] = (hw_eight)_mm256_cvtepi16_epi32(_mm_load_si128((const __m128i *)(block + 8 * i)));
}

HW_INLINE __m128i narrowed(hw_eight v)
{
    return _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
}

/* Products with two constants, added up: of the lower and of the upper half of each lane. */
HW_INLINE hw_eight sums(__m256i pairs, int lower, int upper)
{
    return (hw_eight)_mm256_madd_epi16(pairs, _mm256_set1_epi32((int32_t)((uint32_t)upper << 16 | (uint16_t)lower)));
}

/* One pass over the pairs 0 and 4, 2 and 6, 1 and 3, 5 and 7; `bits` are lost. jidctint.c's sums multiplied out, so that every
 * constant has 16 bits: the same whole numbers, in half the time. */
HW_INLINE void eight_points(const __m256i *pair, hw_eight *v, int32_t rounding, int bits)
{
    hw_eight t0 = sums(pair[0], 8192, 8192) + rounding, t1 = sums(pair[0], 8192, -8192) + rounding;
    hw_eight t2 = sums(pair[1], 4433, -10704), t3 = sums(pair[1], 10703, 4433);
    hw_eight e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
    t0 = sums(pair[2], 2260, -6436) + sums(pair[3], 9633, -11363);
    t1 = sums(pair[2], 6437, -11362) + sums(pair[3], 2261, 9633);
    t2 = sums(pair[2], 9633, -2259) + sums(pair[3], -11362, -6436);
    t3 = sums(pair[2], 11363, 9633) + sums(pair[3], 6437, 2260);
    v[0] = (e0 + t3) >> bits, v[7] = (e0 - t3) >> bits;
    v[1] = (e1 + t2) >> bits, v[6] = (e1 - t2) >> bits;
    v[2] = (e2 + t1) >> bits, v[5] = (e2 - t1) >> bits;
    v[3] = (e3 + t0) >> bits, v[4] = (e3 - t0) >> bits;
}

/* Rows, whose columns are in the order of the pairs, turned into the pairs of columns. */
HW_INLINE hw_eight turned(const hw_eight *v, __m256i *pair)
{
    __m256i p[4], q[4], beyond = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        p[i] = _mm256_packs_epi32((__m256i)v[i], (__m256i)v[i + 4]);
        beyond = _mm256_or_si256(beyond, _mm256_xor_si256(p[i], _mm256_srai_epi16(p[i], 15)));
    }
    q[0] = _mm256_unpacklo_epi32(p[0], p[1]), q[1] = _mm256_unpacklo_epi32(p[2], p[3]);
    q[2] = _mm256_unpackhi_epi32(p[0], p[1]), q[3] = _mm256_unpackhi_epi32(p[2], p[3]);
    p[0] = _mm256_unpacklo_epi64(q[0], q[1]), p[1] = _mm256_unpackhi_epi64(q[0], q[1]);
    p[2] = _mm256_unpacklo_epi64(q[2], q[3]), p[3] = _mm256_unpackhi_epi64(q[2], q[3]);
    for (int i = 0; i < 2; i++) {
        pair[i] = _mm256_permute2x128_si256(p[i], p[i + 2], 0x20);
        pair[i + 2] = _mm256_permute2x128_si256(p[i], p[i + 2], 0x31);
    }
    return (hw_eight)_mm256_and_si256(beyond, _mm256_set1_epi16(0x4000));
}

/* Columns, as rows of bytes: 0 and 1, then 2 and 3; in the upper halves 4 and 5, then 6 and 7. */
HW_INLINE void as_bytes(const hw_eight *v, __m256i *two)
{
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    __m256i even = _mm256_packus_epi16(_mm256_packs_epi32((__m256i)v[0], (__m256i)v[2]),
                                       _mm256_packs_epi32((__m256i)v[4], (__m256i)v[6]));
    __m256i odd = _mm256_packus_epi16(_mm256_packs_epi32((__m256i)v[1], (__m256i)v[3]),
                                      _mm256_packs_epi32((__m256i)v[5], (__m256i)v[7]));
    __m256i left = _mm256_shuffle_epi8(_mm256_unpacklo_epi8(even, odd), order);
    __m256i right = _mm256_shuffle_epi8(_mm256_unpackhi_epi8(even, odd), order);
    two[0] = _mm256_unpacklo_epi32(left, right), two[1] = _mm256_unpackhi_epi32(left, right);
}

HW_INLINE hw_eight inverse_eight(const int16_t *block, uint8_t *to, size_t stride)
{
    hw_eight v[8];
    __m256i pair[4], two[2];
    for (int i = 0; i < 4; i++)
        pair[i] = _mm256_load_si256((const __m256i *)(block + 16 * i));
    eight_points(pair, v, 1 << 10, 11);
    hw_eight beyond = turned(v, pair);
    eight_points(pair, v, (128 << 18) + (1 << 17), 18); /* samples are around 128 */
    as_bytes(v, two);
    for (size_t i = 0; i < 2; i++) {
        __m128i low = _mm256_castsi256_si128(two[i]), high = _mm256_extracti128_si256(two[i], 1);
        _mm_storel_epi64((__m128i *)(to + 2 * i * stride), low);
        _mm_storeh_pd((double *)(to + (2 * i + 1) * stride), (__m128d)low);
        _mm_storel_epi64((__m128i *)(to + (2 * i + 4) * stride), high);
        _mm_storeh_pd((double *)(to + (2 * i + 5) * stride), (__m128d)high);
    }
    return beyond;
}

/* The second pass has two columns a vector: the even part in its lower half and the odd one in its upper half. */
HW_INLINE hw_eight inverse_four(const int16_t *block, uint8_t *to, size_t stride)
{
    hw_eight v[8], beyond = {0};
    __m128i rows[4];
    widened(block, v);
    hw_eight t0 = v[0] << 14, t2 = v[2] * 15137 - v[6] * 6270, e0 = t0 + t2, e2 = t0 - t2;
    t0 = v[7] * -1730 + v[5] * 11893 - v[3] * 17799 + v[1] * 8697;
    t2 = v[7] * -4176 - v[5] * 4926 + v[3] * 7373 + v[1] * 20995;
    v[0] = HW_ROUNDED(e0 + t2, 12), v[3] = HW_ROUNDED(e0 - t2, 12);
    v[1] = HW_ROUNDED(e2 + t0, 12), v[2] = HW_ROUNDED(e2 - t0, 12);
    for (int i = 0; i < 4; i++) {
        beyond |= v[i] ^ v[i] >> 31;
        rows[i] = narrowed(v[i]);
    }
    __m128i a = _mm_unpacklo_epi16(rows[0], rows[2]), b = _mm_unpacklo_epi16(rows[1], rows[3]);
    __m128i c = _mm_unpackhi_epi16(rows[0], rows[2]), d = _mm_unpackhi_epi16(rows[1], rows[3]);
    v[0] = (hw_eight)_mm256_cvtepi16_epi32(_mm_unpacklo_epi16(a, b));
    v[2] = (hw_eight)_mm256_cvtepi16_epi32(_mm_unpackhi_epi16(a, b));
    v[4] = (hw_eight)_mm256_cvtepi16_epi32(_mm_unpacklo_epi16(c, d));
    v[6] = (hw_eight)_mm256_cvtepi16_epi32(_mm_unpackhi_epi16(c, d));
    hw_eight one = v[0] * HW_TWO(16384, 8697) + v[2] * HW_TWO(15137, -17799) + v[4] * HW_TWO(0, 11893) + v[6] * HW_TWO(-6270, -1730);
    hw_eight two = v[0] * HW_TWO(16384, 20995) + v[2] * HW_TWO(-15137, 7373) + v[4] * HW_TWO(0, -4926) + v[6] * HW_TWO(6270, -4176);
    hw_eight even = (hw_eight)_mm256_permute2x128_si256((__m256i)one, (__m256i)two, 0x20);
    hw_eight odd = (hw_eight)_mm256_permute2x128_si256((__m256i)one, (__m256i)two, 0x13);
    __m128i more = _mm_set1_epi16(128);
    __m128i outer = _mm_adds_epi16(narrowed(HW_ROUNDED(even + odd, 19)), more); /* columns 0 and 1 */
    __m128i inner = _mm_adds_epi16(narrowed(HW_ROUNDED(even - odd, 19)), more); /* columns 3 and 2 */
    __m128i samples = _mm_shuffle_epi8(_mm_packus_epi16(outer, inner),
                                       _mm_setr_epi8(0, 4, 12, 8, 1, 5, 13, 9, 2, 6, 14, 10, 3, 7, 15, 11));
    int32_t row[4];
    memcpy(row, &samples, sizeof row);
    for (size_t i = 0; i < 4; i++)
        memcpy(to + i * stride, &row[i], 4);
    return beyond & (hw_eight){-1, -1, -1, -1, 0, -1, -1, -1};
}

HW_INLINE uint8_t sample_of(int32_t value)
{
    value += 128;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

HW_INLINE hw_eight inverse_two(const int16_t *block, uint8_t *to, size_t stride)
{
    hw_eight v[8];
    widened(block, v);
    hw_eight even = v[0] << 15, odd = v[7] * -5906 + v[5] * 6967 - v[3] * 10426 + v[1] * 29692;
    hw_eight upper = HW_ROUNDED(even + odd, 13), lower = HW_ROUNDED(even - odd, 13);
    hw_eight beyond = (upper ^ upper >> 31) | (lower ^ lower >> 31);
    const hw_eight weight = {0, 29692, 0, -10426, 0, 6967, 0, -5906};
    __m256i pairs = _mm256_hadd_epi32((__m256i)(upper * weight), (__m256i)(lower * weight));
    __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    sums = _mm_hadd_epi32(sums, sums);
    int32_t evens[2] = {upper[0] * (1 << 15), lower[0] * (1 << 15)};
    int32_t odds[2] = {_mm_cvtsi128_si32(sums), _mm_extract_epi32(sums, 1)};
    for (size_t i = 0; i < 2; i++) {
        to[i * stride] = sample_of(HW_ROUNDED(evens[i] + odds[i], 20));
        to[i * stride + 1] = sample_of(HW_ROUNDED(evens[i] - odds[i], 20));
    }
    return beyond & (hw_eight){-1, -1, 0, -1, 0, -1, 0, -1};
}

/* libjpeg has no vector code for this, and its table of samples comes round again beyond HW_MOST_ONE. */
HW_INLINE hw_eight inverse_one(int32_t mean, uint8_t *to)
{
    mean = HW_ROUNDED(mean, 3);
    to[0] = sample_of(mean);
    return (hw_eight){(mean ^ mean >> 31) > HW_MOST_ONE ? HW_MOST_PASS + 1 : 0};
}

/* The samples of a block, `side` by `side`. No short cut for blocks that are all one mean: guessing wrong costs more. */
HW_INLINE hw_eight inverse(const int16_t *block, size_t side, uint8_t *to, size_t stride)
{
    switch (side) {
    case 8:
        return inverse_eight(block, to, stride);
    case 4:
        return inverse_four(block, to, stride);
    case 2:
        return inverse_two(block, to, stride);
    default:
        return inverse_one(block[0], to);
    }
}

#endif
