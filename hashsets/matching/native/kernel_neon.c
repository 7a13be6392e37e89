/* The kernel for 64-bit Arm, where NEON is always there. */
#include "core.h"

#if defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>

#define KERNEL neon
#define KERNEL_NAME "neon"
#define LANES 8
#define LANE_STEP 8
typedef uint16x8_t V16;
typedef uint64_t M16;

HW_INLINE V16 v_load(const uint16_t *from) { return vld1q_u16(from); }
HW_INLINE V16 v_fill(uint16_t value) { return vdupq_n_u16(value); }
HW_INLINE V16 v_differ(V16 x, V16 query) { return vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u16(veorq_u16(x, query)))); }
HW_INLINE V16 v_add(V16 a, V16 b) { return vaddq_u16(a, b); }
HW_INLINE M16 v_most(V16 differ, V16 limit)
{
    return vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(vcleq_u16(differ, limit))), 0) & 0x0101010101010101ULL;
}

HW_INLINE int row_distance(const uint64_t *a, const uint64_t *b, int words)
{
    int distance = 0;
    for (int w = 0; w < words; w++)
        distance += vaddv_u8(vcnt_u8(vcreate_u8(a[w] ^ b[w])));
    return distance;
}

HW_INLINE unsigned group_near(const uint32_t *group, size_t planes, const uint64_t *query, int limit)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    unsigned near = 0;
    for (unsigned quarter = 0; quarter < 4; quarter++) {
        uint8x16_t sum = vdupq_n_u8(0);
        for (size_t p = 0; p < planes; p++) {
            uint32x4_t wanted = vdupq_n_u32((uint32_t)(query[p >> 1] >> (32 * (p & 1))));
            uint32x4_t x = vld1q_u32(group + HW_GROUP * p + 4 * quarter);
            sum = vaddq_u8(sum, vcntq_u8(vreinterpretq_u8_u32(veorq_u32(x, wanted))));
        }
        uint32x4_t inside = vcleq_u32(vpaddlq_u16(vpaddlq_u8(sum)), vdupq_n_u32((uint32_t)limit));
        near |= vaddvq_u32(vandq_u32(inside, vld1q_u32(bit))) << (4 * quarter);
    }
    return near;
}

#define permute_neon hw_permute_portable
#include "search.inc"

const hw_kernel *hw_kernel_neon(void) { return &kernel_neon; }

#else

const hw_kernel *hw_kernel_neon(void) { return NULL; }

#endif
