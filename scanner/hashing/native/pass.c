/* One pass over the rows of a picture for all that is asked of it: windows and turnings share rows, sums and columns. */
#include "operator.h"

static int same(const hw_span *a, const hw_span *b)
{
    return a->first == b->first && a->length == b->length && a->reverse == b->reverse;
}

static int horizontal_for(hw_pass *pass, hw_span span)
{
    for (int i = 0; i < pass->horizontals; i++)
        if (same(&pass->horizontal[i].span, &span))
            return i;
    pass->horizontal[pass->horizontals].span = span;
    return pass->horizontals++;
}

static int vertical_for(hw_pass *pass, hw_span span)
{
    for (int i = 0; i < pass->verticals; i++)
        if (same(&pass->vertical[i].span, &span))
            return i;
    pass->vertical[pass->verticals].span = span;
    return pass->verticals++;
}

static int place_of(hw_vertical *vertical, int horizontal)
{
    for (int i = 0; i < vertical->horizontals; i++)
        if (vertical->horizontal[i] == horizontal)
            return i;
    vertical->horizontal[vertical->horizontals] = horizontal;
    return vertical->horizontals++;
}

/* EXIF 3, 4, 6, 7 turn the picture upside down, 2, 3, 7, 8 mirror it, 5 to 8 exchange rows and columns at the end. */
static void ask(hw_pass *pass, int64_t height, int64_t width, const hw_asked *asked)
{
    int t = asked->turn;
    hw_span rows = {height, asked->top, asked->height, t == 3 || t == 4 || t == 6 || t == 7};
    hw_span columns = {width, asked->left, asked->width, t == 2 || t == 3 || t == 7 || t == 8};
    hw_reading *reading = &pass->reading[pass->readings++];
    reading->vertical = vertical_for(pass, rows);
    reading->horizontal = place_of(&pass->vertical[reading->vertical], horizontal_for(pass, columns));
    reading->transposed = t >= 5;
}

/* Bands by their order down the picture. */
static int band(const hw_vertical *vertical, int i) { return vertical->span.reverse ? HW_SIDE - 1 - i : i; }

/* How many bands a group of rows can meet before the first of them is finished. */
static int slots_of(const hw_vertical *vertical)
{
    int most = 1;
    for (int i = 0, j = 0; i < HW_SIDE; i++) {
        while (j < HW_SIDE && vertical->axis.start[band(vertical, j)] < vertical->axis.stop[band(vertical, i)] + HW_GROUP)
            j++;
        if (j - i > most)
            most = j - i;
    }
    return most;
}

hw_pass *hw_pass_new(const hw_kernel *kernel, int64_t height, int64_t width, int scale, const hw_asked *asked, int count)
{
    hw_pass *pass = calloc(1, sizeof *pass);
    if (!pass)
        return NULL;
    pass->kernel = kernel;
    pass->height = (size_t)((height + scale - 1) / scale);
    pass->width = (size_t)((width + scale - 1) / scale);
    pass->scale = scale;
    for (int i = 0; i < count; i++)
        ask(pass, height, width, &asked[i]);
    int status = 0;
    for (int i = 0; i < pass->horizontals; i++)
        status |= hw_axis_make(&pass->horizontal[i].axis, &pass->horizontal[i].span, scale);
    for (int i = 0; i < pass->verticals; i++) {
        hw_vertical *vertical = &pass->vertical[i];
        status |= hw_axis_make(&vertical->axis, &vertical->span, scale);
        vertical->grid = calloc((size_t)vertical->horizontals, sizeof *vertical->grid);
        status |= vertical->grid ? 0 : -1;
        if (status == 0)
            vertical->slots = slots_of(vertical);
    }
    if (status == 0)
        return pass;
    hw_pass_free(pass);
    return NULL;
}

void hw_pass_free(hw_pass *pass)
{
    for (int i = 0; i < pass->horizontals; i++)
        hw_axis_free(&pass->horizontal[i].axis);
    for (int i = 0; i < pass->verticals; i++) {
        hw_axis_free(&pass->vertical[i].axis);
        free(pass->vertical[i].grid);
        free(pass->vertical[i].sum);
    }
    free(pass->row);
    free(pass);
}

int hw_pass_begin(hw_pass *pass, int step, const uint32_t *luma)
{
    pass->step = step;
    memcpy(pass->luma, luma, 3 * sizeof *luma);
    pass->row = malloc(pass->width * sizeof *pass->row);
    int status = pass->row ? 0 : -1;
    for (int i = 0; i < pass->verticals; i++) {
        hw_vertical *vertical = &pass->vertical[i];
        vertical->sum = calloc((size_t)vertical->slots * pass->width * (size_t)step, sizeof *vertical->sum);
        status |= vertical->sum ? 0 : -1;
    }
    return status;
}

/* All rows of a band are summed: its columns, for each of the horizontals, and its sums are free again. */
static void finish(hw_pass *pass, hw_vertical *vertical, int k, uint32_t *sum)
{
    const hw_kernel *kernel = pass->kernel;
    if (pass->step == 1)
        kernel->halve(sum, pass->width, pass->row);
    else
        kernel->grey(sum, (size_t)pass->step, pass->luma, pass->width, pass->row);
    for (int h = 0; h < vertical->horizontals; h++) {
        const hw_axis *axis = &pass->horizontal[vertical->horizontal[h]].axis;
        for (int j = 0; j < HW_SIDE; j++) {
            size_t start = (size_t)axis->start[j], count = (size_t)(axis->stop[j] - axis->start[j]);
            uint64_t exact = kernel->dot(pass->row + start, axis->weight + axis->at[j], count);
            vertical->grid[h][k][j] = (int32_t)hw_nearest(exact, HW_WEIGHT_BITS + HW_ROW_BITS - HW_GRID_BITS);
        }
    }
    memset(sum, 0, pass->width * (size_t)pass->step * sizeof *sum);
}

/* Rows from `top` to before `bottom`, HW_GROUP of them at most, into every band they belong to. */
static void add_group(hw_pass *pass, hw_vertical *vertical, const uint8_t *const *row, int32_t top, int32_t bottom)
{
    size_t samples = pass->width * (size_t)pass->step;
    for (int i = vertical->next; i < HW_SIDE; i++) {
        int k = band(vertical, i);
        int32_t start = vertical->axis.start[k], stop = vertical->axis.stop[k];
        if (start >= bottom)
            break;
        int32_t from = start > top ? start : top, to = stop < bottom ? stop : bottom;
        uint32_t *sum = vertical->sum + (size_t)(i % vertical->slots) * samples;
        if (from < to)
            pass->kernel->add(row + (from - top), vertical->axis.weight + vertical->axis.at[k] + (from - start),
                              (int)(to - from), samples, sum);
        if (stop <= bottom) {
            finish(pass, vertical, k, sum);
            vertical->next = i + 1;
        }
    }
}

void hw_pass_feed(hw_pass *pass, const uint8_t *pixels, ptrdiff_t stride, size_t rows)
{
    for (size_t y = 0; y < rows; y += HW_GROUP) {
        size_t count = rows - y < HW_GROUP ? rows - y : HW_GROUP;
        const uint8_t *row[HW_GROUP];
        for (size_t r = 0; r < count; r++)
            row[r] = pixels + (ptrdiff_t)(y + r) * stride;
        int32_t top = (int32_t)(pass->seen + y);
        for (int v = 0; v < pass->verticals; v++)
            add_group(pass, &pass->vertical[v], row, top, top + (int32_t)count);
    }
    pass->seen += rows;
}

void hw_pass_grid(const hw_pass *pass, int reading, int32_t grid[HW_SIDE][HW_SIDE])
{
    const hw_reading *asked = &pass->reading[reading];
    int32_t (*made)[HW_SIDE] = pass->vertical[asked->vertical].grid[asked->horizontal];
    for (int i = 0; i < HW_SIDE; i++)
        for (int j = 0; j < HW_SIDE; j++)
            grid[i][j] = asked->transposed ? made[j][i] : made[i][j];
}
