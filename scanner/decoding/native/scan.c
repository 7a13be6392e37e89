/* The scan of a baseline JPEG, block by block. Needs AVX2 and BMI2 (Intel Haswell and later, AMD Zen and later): with less,
 * libjpeg is as fast.
 */
#include "jpeg.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2")
#endif

#include "bits.h"
#include "inverse.h"

typedef struct {
    hw_bits bits;
    int32_t value;
    int run, status; /* -1: bad; 0: a coefficient, or sixteen zeros; 1: the block ends */
} hw_step;

/* One symbol by its length, as `run`. */
static hw_step slow_symbol(hw_bits bits, const hw_table *table)
{
    bits = filled(bits);
    for (int l = 1; l <= 16; l++) {
        int32_t code = (int32_t)seen(bits, l);
        if (code < table->limit[l])
            return (hw_step){without(bits, (uint32_t)l), 0, table->symbols[table->offset[l] + code], 0};
    }
    return (hw_step){bits, 0, 0, -1};
}

static hw_step slow_value(hw_step step, int size)
{
    if (!size)
        return step;
    int32_t bits = (int32_t)seen(step.bits, size);
    step.bits = without(step.bits, (uint32_t)size);
    step.value = bits >> (size - 1) ? bits : bits - (1 << size) + 1;
    return step;
}

/* The difference of a mean. */
static hw_step slow_difference(hw_bits bits, const hw_table *table)
{
    hw_step step = slow_symbol(bits, table);
    if (step.status || step.run > 15)
        return (hw_step){bits, 0, 0, -1};
    return slow_value(step, step.run);
}

static hw_step slow_coefficient(hw_bits bits, const hw_table *table)
{
    hw_step step = slow_symbol(bits, table);
    int size = step.run & 15;
    step.run >>= 4;
    if (!step.status && !size)
        step.status = step.run != 15;
    return step.status ? step : slow_value(step, size);
}

/* What a block does to the state of the scan. */
typedef struct {
    hw_bits bits;
    int32_t before, largest;
    hw_eight beyond;
    int good; /* 0: the block just read cannot be */
} hw_block;

HW_INLINE int32_t magnitude(int32_t value) { return value ^ value >> 31; }

/* The mean of a block of luma. */
HW_INLINE hw_block mean_of(hw_block one, const hw_table *dc, int32_t quantiser, int16_t *block)
{
    uint32_t entry = dc->look[seen(one.bits, HW_LOOK_BITS)];
    one.good = 1;
    if (HW_RARELY(!(entry & HW_LENGTH))) {
        hw_step step = slow_difference(one.bits, dc);
        one.good = !step.status;
        one.bits = filled(step.bits);
        entry = (uint32_t)step.value << 16;
    } else
        one.bits = without(one.bits, entry);
    one.before += HW_VALUE(entry);
    int64_t mean = (int64_t)one.before * quantiser;
    one.largest |= mean < -HW_MOST_VALUE || mean > HW_MOST_VALUE ? HW_MOST_VALUE + 1 : 0;
    block[0] = (int16_t)mean;
    return one;
}

/* A block of luma, dequantised, each coefficient at its place. A look uses 11 bits at most: five of them need no filling. */
HW_INLINE hw_block luma_block(hw_block one, const hw_tables *tables, const int32_t *quantiser, const uint8_t *places,
                              int16_t *block)
{
    one.bits = filled(one.bits);
    one = mean_of(one, tables->dc[0], quantiser[0], block);
    hw_bits bits = one.bits;
    for (int k = 1, looks = 4; one.good; bits = filled(bits), looks = 5) {
        for (; looks; looks--) {
            uint64_t entry = tables->luma[seen(bits, HW_LOOK_BITS)];
            int to = k + HW_PASSED(entry);
            if (HW_RARELY(to > 63 || !(entry & HW_LENGTH))) {
                hw_step step = slow_coefficient(bits, tables->ac[0]);
                to = k + step.run + 1;
                if (step.status || to > 64) {
                    one.bits = step.bits;
                    one.good = step.status > 0;
                    return one;
                }
                bits = filled(step.bits), looks = 6;
                entry = (uint64_t)(uint16_t)step.value << 16 | (uint64_t)step.run << 32 | (uint64_t)step.run << 40;
            } else
                bits = without(bits, (uint32_t)entry);
            int second = k + HW_SECOND_PLACE(entry), first = k + HW_PLACE(entry);
            int32_t value = HW_SECOND_VALUE(entry) * quantiser[second];
            block[places[second]] = (int16_t)value;
            one.largest |= magnitude(value);
            value = HW_VALUE(entry) * quantiser[first];
            block[places[first]] = (int16_t)value;
            one.largest |= magnitude(value);
            k = to;
            if (entry & HW_ENDS || k == 64) {
                one.bits = bits;
                return one;
            }
        }
    }
    return one;
}

/* A block of chroma, walked over. A look uses 26 bits at most. */
HW_INLINE hw_block chroma_block(hw_block one, const hw_table *dc, const hw_table *ac)
{
    hw_bits bits = filled(one.bits);
    uint32_t entry = dc->look[seen(bits, HW_LOOK_BITS)];
    if (HW_RARELY(!(entry & HW_LENGTH))) {
        hw_step step = slow_difference(bits, dc);
        one.good = !step.status;
        bits = filled(step.bits);
    } else
        bits = without(bits, entry);
    for (int k = 1; one.good;) {
        entry = ac->look[seen(bits, HW_LOOK_BITS)];
        int to = k + HW_PASSED(entry);
        if (HW_RARELY(to > 63 || !(entry & HW_LENGTH))) {
            hw_step step = slow_coefficient(bits, ac);
            k += step.run + 1;
            bits = filled(step.bits);
            if (step.status || k > 63) {
                one.good = step.status > 0 || (!step.status && k == 64);
                break;
            }
            continue;
        }
        bits = without(bits, entry);
        k = to;
        if (entry & HW_ENDS)
            break;
        bits = filled(bits);
    }
    one.bits = bits;
    return one;
}

typedef struct {
    const hw_jpeg *jpeg;
    const hw_tables *tables;
    uint8_t *plane;
    size_t stride;
    int32_t quantiser[64];
} hw_scan;

/* Each block of luma becomes samples when the next one is read: what was stored coefficient by coefficient cannot be loaded in vectors
 * at once, and waiting for that is a tenth of the whole time. */
HW_INLINE hw_block mcu(const hw_scan *scan, hw_block one, int row, int column, size_t side)
{
    const hw_component *component = scan->jpeg->component;
    const hw_tables *tables = scan->tables;
    int16_t block[2][64] __attribute__((aligned(32)));
    uint8_t *to = NULL;
    int turn = 0;
    for (int i = 0; i < component->down; i++)
        for (int j = 0; j < component->across; j++, turn ^= 1) {
            for (int k = 0; k < 64; k += 16) /* `= {0}` is `rep stos` to gcc, a seventh of the whole time */
                _mm256_store_si256((__m256i *)(block[turn] + k), _mm256_setzero_si256());
            one = luma_block(one, tables, scan->quantiser, side == 8 ? paired_ : zigzag_, block[turn]);
            if (HW_RARELY(!one.good))
                return one;
            if (to)
                one.beyond |= inverse(block[!turn], side, to, scan->stride);
            size_t y = (size_t)(row * component->down + i), x = (size_t)(column * component->across + j);
            to = scan->plane + y * side * scan->stride + x * side;
        }
    for (int c = 1; c < scan->jpeg->components; c++)
        for (int i = 0; i < component[c].across * component[c].down; i++) {
            one = chroma_block(one, tables->dc[c], tables->ac[c]);
            if (HW_RARELY(!one.good))
                return one;
        }
    one.beyond |= inverse(block[!turn], side, to, scan->stride);
    return one;
}

HW_INLINE int all_mcus(const hw_scan *scan, hw_reader *reader, size_t side)
{
    const hw_jpeg *jpeg = scan->jpeg;
    int left = jpeg->restart_interval, restarts = 0;
    hw_block one = {begin(reader), 0, 0, {0}, 0};
    for (int row = 0; row < jpeg->mcus_down; row++)
        for (int column = 0; column < jpeg->mcus_across; column++) {
            if (jpeg->restart_interval && left-- == 0) {
                if (!is_used_up(reader, one.bits) || reader->marker != 0xd0 + (restarts++ & 7))
                    return HW_REFUSED;
                left = jpeg->restart_interval - 1;
                one.bits = begin(reader), one.before = 0;
            }
            if (HW_RARELY(one.bits.at > reader->careful)) {
                if (reader->marker)
                    return HW_REFUSED;
                one.bits = refill_window(reader, one.bits);
            }
            one = mcu(scan, one, row, column, side);
            if (HW_RARELY(!one.good || one.largest > HW_MOST_VALUE))
                return HW_REFUSED;
        }
    return is_used_up(reader, one.bits) && reader->marker == 0xd9 && !is_beyond(one.beyond) ? HW_DECODED : HW_REFUSED;
}

static int decode(const hw_jpeg *jpeg, const hw_tables *tables, int scale, uint8_t *plane, size_t stride)
{
    hw_scan scan = {jpeg, tables, plane, stride, {0}};
    hw_reader *reader = malloc(sizeof *reader);
    if (!reader)
        return HW_NO_MEMORY;
    for (int k = 0; k < 64; k++)
        scan.quantiser[k] = jpeg->quantiser[jpeg->component[0].quantiser][k];
    reader->source = jpeg->at, reader->end = jpeg->end;
    int status = scale == 1   ? all_mcus(&scan, reader, 8)
                 : scale == 2 ? all_mcus(&scan, reader, 4)
                 : scale == 4 ? all_mcus(&scan, reader, 2)
                              : all_mcus(&scan, reader, 1);
    free(reader);
    return status;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

hw_decoder *hw_decoder_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? decode : NULL;
}

#else

hw_decoder *hw_decoder_here(void) { return NULL; }

#endif
