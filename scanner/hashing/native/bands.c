/* The weights of one axis, by the same steps in the same order as bands.py: divisions round alike everywhere (the build
 * forbids fused multiply-adds), and from the rounding to whole numbers on everything is exact. */
#include <math.h>

#include "operator.h"

/* The weights of one sampling point: where they begin; how many there are comes in `count`. */
static int64_t tent(int64_t n, int k, double *steps, int64_t *count)
{
    int64_t width = (n + 127) / 128, ahead = (width + 2) / 2;
    int64_t point = (2 * (int64_t)k + 1) * n / (2 * HW_SIDE), start = point + 2 * (ahead - width);
    int64_t from = point + ahead - width, to = point + ahead, room = 2 * width + 1;
    if (from < 0)
        from = 0;
    if (to > n)
        to = n;
    double inside = (double)(to - from);
    memset(steps, 0, (size_t)room * sizeof *steps);
    for (int sign = 1; sign >= -1; sign -= 2)
        for (int64_t i = from; i < to; i++) {
            int64_t low = i + ahead - width > 0 ? i + ahead - width : 0, high = i + ahead < n ? i + ahead : n;
            double share = 1.0 / (double)(high - low) / inside;
            if (sign > 0)
                steps[low - start] += share;
            else
                steps[high - start] -= share;
        }
    for (int64_t i = 1; i < room; i++)
        steps[i] += steps[i - 1];
    int64_t first = room, last = -1;
    for (int64_t i = 0; i < room; i++) {
        if (start + i < 0 || start + i >= n || steps[i] < 1e-15)
            steps[i] = 0;
        else {
            first = first < i ? first : i;
            last = i;
        }
    }
    memmove(steps, steps + first, (size_t)(last - first + 1) * sizeof *steps);
    *count = last - first + 1;
    return start + first;
}

/* Whole numbers that sum to 2**22: what rounding leaves goes to the first of the largest. */
static void whole(const double *steps, int64_t count, uint32_t *weight)
{
    int64_t largest = 0, left = (int64_t)1 << HW_WEIGHT_BITS;
    for (int64_t i = 0; i < count; i++) {
        weight[i] = (uint32_t)rint(steps[i] * (1 << HW_WEIGHT_BITS));
        left -= weight[i];
        if (steps[i] > steps[largest])
            largest = i;
    }
    weight[largest] = (uint32_t)((int64_t)weight[largest] + left);
}

/* Which decoded sample holds one of the window's; beyond the picture its edge goes on for ever. */
static int64_t block_of(const hw_span *span, int64_t at, int scale)
{
    int64_t sample = span->first + at;
    sample = sample < 0 ? 0 : sample < span->total ? sample : span->total - 1;
    return sample / scale;
}

int hw_axis_make(hw_axis *axis, const hw_span *span, int scale)
{
    int64_t n = span->length, room = 2 * ((n + 127) / 128) + 1;
    double *steps = malloc((size_t)room * sizeof *steps);
    uint32_t *one = malloc((size_t)room * sizeof *one);
    axis->weight = malloc((size_t)(HW_SIDE * room) * sizeof *axis->weight);
    int status = steps && one && axis->weight ? 0 : -1;
    size_t at = 0;
    for (int k = 0; status == 0 && k < HW_SIDE; k++) {
        int64_t count, start = tent(n, k, steps, &count);
        whole(steps, count, one);
        if (span->reverse) {
            start = n - start - count;
            for (int64_t i = 0; i < count / 2; i++) {
                uint32_t swap = one[i];
                one[i] = one[count - 1 - i];
                one[count - 1 - i] = swap;
            }
        }
        int64_t first = block_of(span, start, scale);
        uint32_t *weight = axis->weight + at;
        int64_t block = -1;
        for (int64_t i = 0; i < count; i++) { /* the samples that a scaled decoder made one of share their weight */
            int64_t here = block_of(span, start + i, scale) - first;
            if (here != block)
                weight[here] = 0;
            weight[here] += one[i];
            block = here;
        }
        axis->start[k] = (int32_t)first;
        axis->stop[k] = (int32_t)(first + block + 1);
        axis->at[k] = (int32_t)at;
        at += (size_t)(block + 1);
    }
    free(steps);
    free(one);
    return status;
}

void hw_axis_free(hw_axis *axis)
{
    free(axis->weight);
    axis->weight = NULL;
}
