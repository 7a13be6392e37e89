/* The kernel for AVX2: bits are counted through a table of the sixteen half bytes. */
#include "core.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,popcnt,bmi"))), apply_to = function)
#else
#pragma GCC target("avx2,popcnt,bmi")
#include <immintrin.h>
#endif

#define KERNEL avx2
#define KERNEL_NAME "avx2"
#define LANES 16
#define LANE_STEP 2
typedef __m256i V16;
typedef uint32_t M16;

HW_INLINE __m256i bits_of_bytes(__m256i x)
{
    const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(bits, _mm256_and_si256(x, half)),
                           _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(x, 4), half)));
}

HW_INLINE V16 v_load(const uint16_t *from) { return _mm256_loadu_si256((const __m256i *)from); }
HW_INLINE V16 v_fill(uint16_t value) { return _mm256_set1_epi16((short)value); }
HW_INLINE V16 v_differ(V16 x, V16 query)
{
    return _mm256_maddubs_epi16(bits_of_bytes(_mm256_xor_si256(x, query)), _mm256_set1_epi8(1));
}
HW_INLINE V16 v_add(V16 a, V16 b) { return _mm256_add_epi16(a, b); }
HW_INLINE M16 v_most(V16 differ, V16 limit)
{
    return (M16)~_mm256_movemask_epi8(_mm256_cmpgt_epi16(differ, limit)) & 0x55555555u;
}

HW_INLINE int row_distance(const uint64_t *a, const uint64_t *b, int words)
{
    int distance = 0;
    for (int w = 0; w < words; w++)
        distance += __builtin_popcountll(a[w] ^ b[w]);
    return distance;
}

HW_INLINE unsigned half_near(const uint32_t *group, size_t planes, const uint64_t *query, int limit)
{
    __m256i sum = _mm256_setzero_si256();
    for (size_t p = 0; p < planes; p++) {
        __m256i wanted = _mm256_set1_epi32((int)(uint32_t)(query[p >> 1] >> (32 * (p & 1))));
        __m256i x = _mm256_loadu_si256((const __m256i *)(group + HW_GROUP * p));
        sum = _mm256_add_epi8(sum, bits_of_bytes(_mm256_xor_si256(x, wanted)));
    }
    sum = _mm256_madd_epi16(_mm256_maddubs_epi16(sum, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
    __m256i past = _mm256_cmpgt_epi32(sum, _mm256_set1_epi32(limit));
    return (unsigned)~_mm256_movemask_ps(_mm256_castsi256_ps(past)) & 0xffu;
}

HW_INLINE unsigned group_near(const uint32_t *group, size_t planes, const uint64_t *query, int limit)
{
    return half_near(group, planes, query, limit) | half_near(group + 8, planes, query, limit) << 8;
}

#define permute_avx2 hw_permute_portable
#include "search.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const hw_kernel *hw_kernel_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") ? &kernel_avx2
                                                                                                         : NULL;
}

#else

const hw_kernel *hw_kernel_avx2(void) { return NULL; }

#endif
