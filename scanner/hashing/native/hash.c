/* A grid to its 256 bits and quality: the DCT of 16 x 16 frequencies without the constant one, above their median. */
#include <math.h>

#include "operator.h"

#define FREQUENCIES 16
#define VALUES (FREQUENCIES * FREQUENCIES)

/* 2**24 sqrt(2/64) cos(pi k / 128) for k = 0..64; the rest of the wave mirrors it. */
static const int32_t quarter[65] = {
    2965821, 2964928, 2962248, 2957785, 2951540, 2943516, 2933720, 2922157, 2908833, 2893758, 2876939, 2858387, 2838114,
    2816130, 2792451, 2767089, 2740061, 2711382, 2681070, 2649143, 2615620, 2580522, 2543869, 2505684, 2465990, 2424810,
    2382170, 2338094, 2292610, 2245746, 2197528, 2147987, 2097152, 2045054, 1991724, 1937194, 1881497, 1824667, 1766737,
    1707744, 1647722, 1586707, 1524737, 1461848, 1398078, 1333467, 1268052, 1201873, 1134970, 1067384, 999155, 930324,
    860932, 791022, 720636, 649815, 578603, 507042, 435176, 363048, 290701, 218179, 145526, 72785, 0,
};

static double wave(int i, int j)
{
    int k = (i + 1) * (2 * j + 1) % 256;
    k = k > 128 ? 256 - k : k;
    return k <= 64 ? quarter[k] : -quarter[128 - k];
}

/* Below 2**53 in every sum, so exact in double precision whatever the order, and whatever the processor does at once. */
HW_INLINE void transform(const int32_t grid[HW_SIDE][HW_SIDE], double flat[VALUES])
{
    double across[HW_SIDE][FREQUENCIES], half[FREQUENCIES][HW_SIDE];
    memset(half, 0, sizeof half);
    for (int k = 0; k < HW_SIDE; k++) {
        double row[HW_SIDE];
        for (int j = 0; j < HW_SIDE; j++)
            row[j] = grid[k][j];
        for (int i = 0; i < FREQUENCIES; i++) {
            double weight = across[k][i] = wave(i, k);
            for (int j = 0; j < HW_SIDE; j++)
                half[i][j] += weight * row[j];
        }
    }
    for (int i = 0; i < FREQUENCIES; i++) {
        double *out = flat + i * FREQUENCIES;
        for (int m = 0; m < FREQUENCIES; m++)
            out[m] = 0;
        for (int j = 0; j < HW_SIDE; j++) {
            double rounded = rint(half[i][j] / (1 << 27)); /* 24 + 15 fractional bits to 12 */
            for (int m = 0; m < FREQUENCIES; m++)
                out[m] += rounded * across[j][m];
        }
    }
}

/* The element that sorting would put at `wanted`. */
static double selected(double *values, int count, int wanted)
{
    int low = 0, high = count - 1;
    while (low < high) {
        double pivot = values[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                double swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return values[wanted];
}

/* The difference in whole hundredths of white; below 2**30 before it is divided. */
HW_INLINE uint32_t steepness(int32_t a, int32_t b)
{
    return (uint32_t)(a < b ? b - a : a - b) * 100 / (255u << HW_GRID_BITS);
}

HW_INLINE int steepnesses(const int32_t grid[HW_SIDE][HW_SIDE])
{
    uint32_t sum = 0;
    for (int i = 0; i + 1 < HW_SIDE; i++)
        for (int j = 0; j < HW_SIDE; j++)
            sum += steepness(grid[i][j], grid[i + 1][j]);
    for (int i = 0; i < HW_SIDE; i++)
        for (int j = 0; j + 1 < HW_SIDE; j++)
            sum += steepness(grid[i][j], grid[i][j + 1]);
    return sum / 90 < 100 ? (int)(sum / 90) : 100;
}

/* Coefficients to `flat`; the quality. */
typedef int measure(const int32_t grid[HW_SIDE][HW_SIDE], double flat[VALUES]);

static int measured(const int32_t grid[HW_SIDE][HW_SIDE], double flat[VALUES])
{
    transform(grid, flat);
    return steepnesses(grid);
}

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

__attribute__((target("avx2"))) static int measured_avx2(const int32_t grid[HW_SIDE][HW_SIDE], double flat[VALUES])
{
    transform(grid, flat);
    return steepnesses(grid);
}

static measure *fastest(void) { return __builtin_cpu_supports("avx2") ? measured_avx2 : measured; }

#else

static measure *fastest(void) { return measured; }

#endif

int hw_hash(const int32_t grid[HW_SIDE][HW_SIDE], uint8_t value[HW_VALUE_BYTES])
{
    double flat[VALUES], sorted[VALUES];
    int quality = fastest()(grid, flat);
    memcpy(sorted, flat, sizeof flat);
    double median = selected(sorted, VALUES, VALUES / 2 - 1);
    memset(value, 0, HW_VALUE_BYTES);
    for (int k = 0; k < VALUES; k++)
        if (flat[k] > median)
            value[HW_VALUE_BYTES - 1 - k / 8] |= (uint8_t)(1 << (k % 8));
    return quality;
}

/* Luma of 16..235 as 0..255, clipped. */
void hw_full_range(int32_t grid[HW_SIDE][HW_SIDE])
{
    const double one = 1 << HW_GRID_BITS;
    for (int i = 0; i < HW_SIDE; i++)
        for (int j = 0; j < HW_SIDE; j++) {
            double stretched = (grid[i][j] / one - 16) * (255.0 / 219.0);
            stretched = stretched < 0 ? 0 : stretched > 255 ? 255 : stretched;
            grid[i][j] = (int32_t)rint(stretched * one);
        }
}
