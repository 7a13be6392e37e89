/* The kernel in plain C: four 16-bit lanes in a 64-bit word. */
#include "core.h"

#define KERNEL portable
#define KERNEL_NAME "portable"
#define LANES 4
#define LANE_STEP 16
#define EACH(value) ((uint64_t)(value) * 0x0001000100010001ULL)
typedef uint64_t V16;
typedef uint64_t M16;

HW_INLINE uint64_t bits_of_lanes(uint64_t x)
{
    x -= (x >> 1) & EACH(0x5555);
    x = (x & EACH(0x3333)) + ((x >> 2) & EACH(0x3333));
    x = (x + (x >> 4)) & EACH(0x0f0f);
    return (x + (x >> 8)) & EACH(0x001f);
}

HW_INLINE V16 v_load(const uint16_t *from)
{
    V16 x;
    memcpy(&x, from, sizeof x);
    return x;
}
HW_INLINE V16 v_fill(uint16_t value) { return EACH(value); }
HW_INLINE V16 v_differ(V16 x, V16 query) { return bits_of_lanes(x ^ query); }
HW_INLINE V16 v_add(V16 a, V16 b) { return a + b; }
/* The top bit of each lane survives the subtraction where limit >= differ. */
HW_INLINE M16 v_most(V16 differ, V16 limit) { return (((limit | EACH(0x8000)) - differ) >> 15) & EACH(1); }

HW_INLINE int row_distance(const uint64_t *a, const uint64_t *b, int words)
{
    uint64_t lanes = 0;
    for (int w = 0; w < words; w++)
        lanes += bits_of_lanes(a[w] ^ b[w]);
    return (int)((lanes * EACH(1)) >> 48);
}

HW_INLINE unsigned group_near(const uint32_t *group, size_t planes, const uint64_t *query, int limit)
{
    unsigned near = 0;
    for (unsigned i = 0; i < HW_GROUP; i++) {
        uint64_t lanes = 0;
        for (size_t p = 0; p < planes; p++)
            lanes += bits_of_lanes(group[HW_GROUP * p + i] ^ (uint32_t)(query[p >> 1] >> (32 * (p & 1))));
        near |= (unsigned)((int)((lanes + (lanes >> 16)) & 0xff) <= limit) << i;
    }
    return near;
}

#define permute_portable hw_permute_portable
#include "search.inc"

const hw_kernel *hw_kernel_portable(void) { return &kernel_portable; }
