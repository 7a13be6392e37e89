/* The kernel for AVX-512 with BITALG, VPOPCNTDQ and VBMI (Intel Ice Lake and later, AMD Zen 4 and later). */
#include "core.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512bitalg,avx512vpopcntdq,avx512vbmi,popcnt,bmi"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512bitalg,avx512vpopcntdq,avx512vbmi,popcnt,bmi")
#include <immintrin.h>
#endif

#define KERNEL avx512
#define KERNEL_NAME "avx512"
#define LANES 32
#define LANE_STEP 1
typedef __m512i V16;
typedef uint32_t M16;

HW_INLINE V16 v_load(const uint16_t *from) { return _mm512_loadu_si512(from); }
HW_INLINE V16 v_fill(uint16_t value) { return _mm512_set1_epi16((short)value); }
HW_INLINE V16 v_differ(V16 x, V16 query) { return _mm512_popcnt_epi16(_mm512_xor_si512(x, query)); }
HW_INLINE V16 v_add(V16 a, V16 b) { return _mm512_add_epi16(a, b); }
HW_INLINE M16 v_most(V16 differ, V16 limit) { return _mm512_cmple_epu16_mask(differ, limit); }

HW_INLINE int row_distance(const uint64_t *a, const uint64_t *b, int words)
{
    int distance = 0;
    for (int w = 0; w < words; w++)
        distance += __builtin_popcountll(a[w] ^ b[w]);
    return distance;
}

HW_INLINE unsigned group_near(const uint32_t *group, size_t planes, const uint64_t *query, int limit)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t p = 0; p < planes; p++) {
        __m512i wanted = _mm512_set1_epi32((int)(uint32_t)(query[p >> 1] >> (32 * (p & 1))));
        __m512i differ = _mm512_xor_si512(_mm512_loadu_si512(group + HW_GROUP * p), wanted);
        sum = _mm512_add_epi32(sum, _mm512_popcnt_epi32(differ));
    }
    return _mm512_cmple_epu32_mask(sum, _mm512_set1_epi32(limit));
}

/* One byte permutation and one bit test make 64 bits of a row. */
static void permute_avx512(const uint8_t *source_bit, int words, const uint8_t *values, size_t count, uint64_t *rows)
{
    __m512i byte[HW_MAX_WORDS], bit[HW_MAX_WORDS];
    __m512i low = _mm512_set1_epi64((long long)0x8040201008040201ULL);
    for (int w = 0; w < words; w++) {
        __m512i source = _mm512_loadu_si512(source_bit + 64 * w);
        byte[w] = _mm512_and_si512(_mm512_srli_epi16(source, 3), _mm512_set1_epi8(31));
        bit[w] = _mm512_permutexvar_epi8(_mm512_and_si512(source, _mm512_set1_epi8(7)), low);
    }
    __mmask64 width = words == 8 ? ~0ULL : (1ULL << (8 * words)) - 1;
    for (size_t i = 0; i < count; i++) {
        __m512i value = _mm512_maskz_loadu_epi8(width, values + i * 8 * (size_t)words);
        for (int w = 0; w < words; w++)
            rows[i * (size_t)words + (size_t)w] = _mm512_test_epi8_mask(_mm512_permutexvar_epi8(byte[w], value), bit[w]);
    }
}

#include "search.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const hw_kernel *hw_kernel_avx512(void)
{
    return __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vpopcntdq") &&
                   __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl")
               ? &kernel_avx512
               : NULL;
}

#else

const hw_kernel *hw_kernel_avx512(void) { return NULL; }

#endif
