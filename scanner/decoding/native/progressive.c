/* Progressive JPEGs (ITU T.81, annex G): all coefficients of all components, scan by scan; then the luma. As in scan.c, what
 * libjpeg would warn of is refused: chroma is read for that alone.
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

#if defined(__linux__)
#include <sys/mman.h>
#endif

typedef struct {
    int16_t *means;  /* of whole MCUs; by themselves, for they come first, and every other block is often all nought */
    int16_t *blocks; /* of 64 coefficients in the order of the zigzag, without their means */
    int across;      /* of them in a row */
    int used_across, used_down; /* those that a scan of this component alone has */
    int8_t known[64]; /* the lowest bit that is known of each coefficient; -1: none is */
} hw_plane;

typedef struct {
    hw_jpeg *jpeg;
    hw_reader reader;
    hw_plane plane[HW_MOST_COMPONENTS];
    hw_table table[HW_MOST_COMPONENTS];
} hw_passes;

/* How a scan goes on from block to block: in registers, where its loop is made for one kind of block. */
typedef struct {
    hw_bits bits;
    int32_t before[HW_MOST_COMPONENTS];
    int32_t run; /* blocks that end before they begin */
} hw_going;

/* A symbol; -1 where no code is such. At least 40 bits are left behind it. */
HW_INLINE int symbol_of(hw_bits *bits, const hw_table *table)
{
    *bits = filled(*bits);
    uint32_t entry = table->look[seen(*bits, HW_LOOK_BITS)];
    if (!HW_RARELY(!(entry & 255))) {
        *bits = without(*bits, entry & 255);
        return (int)(entry >> 8);
    }
    for (int l = HW_LOOK_BITS + 1; l <= 16; l++) {
        int32_t code = (int32_t)seen(*bits, l);
        if (code < table->limit[l]) {
            *bits = without(*bits, (uint32_t)l);
            return table->symbols[table->offset[l] + code];
        }
    }
    return -1;
}

HW_INLINE int32_t taken(hw_bits *bits, int count)
{
    if (!count)
        return 0;
    int32_t value = (int32_t)seen(*bits, count);
    *bits = without(*bits, (uint32_t)count);
    return value;
}

HW_INLINE int32_t value_of(hw_bits *bits, int size)
{
    int32_t value = taken(bits, size);
    return !size || value >> (size - 1) ? value : value - (1 << size) + 1;
}

HW_INLINE int mean_first(const hw_passes *passes, hw_going *going, int c, int16_t *mean)
{
    int size = symbol_of(&going->bits, &passes->table[c]);
    if (size < 0 || size > 15)
        return 0;
    int32_t value = going->before[c] += value_of(&going->bits, size);
    if (value < -32768 || value > 32767)
        return 0;
    value *= 1 << passes->jpeg->low;
    *mean = (int16_t)value;
    return value >= -32768 && value <= 32767;
}

HW_INLINE int mean_more(const hw_passes *passes, hw_going *going, int16_t *mean)
{
    going->bits = filled(going->bits);
    *mean = (int16_t)(*mean | taken(&going->bits, 1) << passes->jpeg->low);
    return 1;
}

/* How many blocks end here, by a symbol without a value. */
HW_INLINE int32_t run_of(hw_bits *bits, int symbol) { return (1 << (symbol >> 4)) + taken(bits, symbol >> 4); }

HW_INLINE int rest_first(const hw_passes *passes, hw_going *going, int c, int16_t *block)
{
    if (going->run) {
        going->run--;
        return 1;
    }
    const hw_table *table = &passes->table[c];
    hw_bits bits = going->bits;
    int last = passes->jpeg->last, low = passes->jpeg->low;
    for (int k = passes->jpeg->first; k <= last; k++) {
        int symbol = symbol_of(&bits, table);
        if (symbol < 0)
            return 0;
        if (!(symbol & 15) && symbol >> 4 != 15) {
            going->run = run_of(&bits, symbol) - 1;
            break;
        }
        k += symbol >> 4;
        if (k > last)
            return 0;
        int32_t value = value_of(&bits, symbol & 15) * (1 << low);
        if (value < -32768 || value > 32767)
            return 0;
        if (symbol & 15)
            block[k] = (int16_t)value;
    }
    going->bits = bits;
    return 1;
}

/* One more bit of a coefficient that is not nought. */
HW_INLINE void refine(hw_bits *bits, int16_t *value, int32_t bit)
{
    if (HW_RARELY(bits->count < 8))
        *bits = filled(*bits);
    if (taken(bits, 1) && !(*value & bit))
        *value = (int16_t)(*value + (*value >= 0 ? bit : -bit));
}

/* Which coefficients are not nought. */
HW_INLINE uint64_t nonzero(const int16_t *block)
{
    uint64_t zeros = 0;
    const __m128i *eight = (const __m128i *)block, none = _mm_setzero_si128();
    for (int i = 0; i < 4; i++) {
        __m128i low = _mm_cmpeq_epi16(_mm_loadu_si128(eight + 2 * i), none);
        __m128i high = _mm_cmpeq_epi16(_mm_loadu_si128(eight + 2 * i + 1), none);
        zeros |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << 16 * i;
    }
    return ~zeros;
}

HW_INLINE int rest_more(const hw_passes *passes, hw_going *going, int c, int16_t *block)
{
    hw_bits bits = going->bits;
    int k = passes->jpeg->first, last = passes->jpeg->last;
    int32_t bit = 1 << passes->jpeg->low;
    for (; !going->run && k <= last; k++) {
        int symbol = symbol_of(&bits, &passes->table[c]);
        if (symbol < 0 || (symbol & 15) > 1)
            return 0;
        int zeros = symbol >> 4;
        if (!(symbol & 15) && zeros != 15) {
            going->run = run_of(&bits, symbol);
            break;
        }
        int32_t value = symbol & 15 ? (taken(&bits, 1) ? bit : -bit) : 0;
        for (; k <= last; k++) {
            if (block[k])
                refine(&bits, &block[k], bit);
            else if (--zeros < 0)
                break;
        }
        if (k > last && value)
            return 0;
        if (value)
            block[k] = (int16_t)value;
    }
    if (going->run) {
        uint64_t left = k > last ? 0 : nonzero(block) >> k << k & ~0ull >> (63 - last);
        bits = filled(bits);
        for (; left; left &= left - 1)
            refine(&bits, &block[__builtin_ctzll(left)], bit);
        going->run--;
    }
    going->bits = bits;
    return 1;
}

enum { MEAN_FIRST, MEAN_MORE, REST_FIRST, REST_MORE };

HW_INLINE int one_block(const hw_passes *passes, hw_going *going, int kind, int c, int row, int column)
{
    const hw_plane *plane = &passes->plane[c];
    size_t at = (size_t)row * (size_t)plane->across + (size_t)column;
    switch (kind) {
    case MEAN_FIRST:
        return mean_first(passes, going, c, plane->means + at);
    case MEAN_MORE:
        return mean_more(passes, going, plane->means + at);
    case REST_FIRST:
        return rest_first(passes, going, c, plane->blocks + 64 * at);
    default:
        return rest_more(passes, going, c, plane->blocks + 64 * at);
    }
}

HW_INLINE int one_mcu(const hw_passes *passes, hw_going *going, int kind, int row, int column)
{
    const hw_jpeg *jpeg = passes->jpeg;
    if (jpeg->parts == 1)
        return one_block(passes, going, kind, jpeg->part[0], row, column);
    for (int p = 0; p < jpeg->parts; p++) {
        const hw_component *one = &jpeg->component[jpeg->part[p]];
        for (int i = 0; i < one->down; i++)
            for (int j = 0; j < one->across; j++)
                if (!one_block(passes, going, kind, jpeg->part[p], row * one->down + i, column * one->across + j))
                    return 0;
    }
    return 1;
}

/* Whether the scan adds what libjpeg expects next; then it counts as known. */
static int follows(hw_passes *passes)
{
    const hw_jpeg *jpeg = passes->jpeg;
    for (int p = 0; p < jpeg->parts; p++) {
        int8_t *known = passes->plane[jpeg->part[p]].known;
        if (jpeg->first && known[0] < 0)
            return 0;
        for (int k = jpeg->first; k <= jpeg->last; k++) {
            if (jpeg->high != (known[k] < 0 ? 0 : known[k]))
                return 0;
            known[k] = (int8_t)jpeg->low;
        }
    }
    return 1;
}

static int scan_tables(hw_passes *passes)
{
    const hw_jpeg *jpeg = passes->jpeg;
    int needless = !jpeg->first && jpeg->high;
    for (int p = 0; p < jpeg->parts && !needless; p++) {
        const hw_component *one = &jpeg->component[jpeg->part[p]];
        const hw_codes *codes = jpeg->first ? &jpeg->codes[1][one->ac] : &jpeg->codes[0][one->dc];
        if (hw_table_fill(&passes->table[jpeg->part[p]], codes, jpeg->first ? HW_MOST_SYMBOL : HW_MOST_MEAN) != HW_DECODED)
            return HW_REFUSED;
    }
    return HW_DECODED;
}

HW_INLINE int all_blocks(hw_passes *passes, int kind)
{
    const hw_jpeg *jpeg = passes->jpeg;
    const hw_plane *alone = jpeg->parts == 1 ? &passes->plane[jpeg->part[0]] : NULL;
    int down = alone ? alone->used_down : jpeg->mcus_down, across = alone ? alone->used_across : jpeg->mcus_across;
    int left = jpeg->restart_interval, restarts = 0;
    hw_going going = {begin(&passes->reader), {0}, 0};
    for (int row = 0; row < down; row++)
        for (int column = 0; column < across; column++) {
            if (kind == REST_FIRST && going.run && !jpeg->restart_interval) {
                int skipped = going.run < across - column ? going.run : across - column;
                going.run -= skipped, column += skipped - 1;
                continue;
            }
            if (jpeg->restart_interval && left-- == 0) {
                if (!is_used_up(&passes->reader, going.bits) || passes->reader.marker != 0xd0 + (restarts++ & 7))
                    return HW_REFUSED;
                left = jpeg->restart_interval - 1;
                going = (hw_going){begin(&passes->reader), {0}, 0};
            }
            if (HW_RARELY(going.bits.at > passes->reader.careful)) {
                if (passes->reader.marker)
                    return HW_REFUSED;
                going.bits = refill_window(&passes->reader, going.bits);
            }
            if (HW_RARELY(!one_mcu(passes, &going, kind, row, column)))
                return HW_REFUSED;
        }
    return is_used_up(&passes->reader, going.bits) && passes->reader.marker > 0 ? HW_DECODED : HW_REFUSED;
}

static int one_scan(hw_passes *passes)
{
    const hw_jpeg *jpeg = passes->jpeg;
    if (!follows(passes) || scan_tables(passes) != HW_DECODED)
        return HW_REFUSED;
    passes->reader.source = jpeg->at, passes->reader.end = jpeg->end;
    if (jpeg->first)
        return jpeg->high ? all_blocks(passes, REST_MORE) : all_blocks(passes, REST_FIRST);
    return jpeg->high ? all_blocks(passes, MEAN_MORE) : all_blocks(passes, MEAN_FIRST);
}

static int all_scans(hw_passes *passes)
{
    for (;;) {
        int status = one_scan(passes);
        if (status != HW_DECODED)
            return status;
        status = hw_jpeg_next(passes->jpeg, passes->reader.source - 2);
        if (status == HW_ENDED)
            break;
        if (status != HW_DECODED)
            return status; /* libjpeg reads on to the end, and warns of what lies there */
    }
    for (int c = 0; c < passes->jpeg->components; c++)
        for (int k = 0; k < 64; k++)
            if (passes->plane[c].known[k] != 0)
                return HW_REFUSED; /* libjpeg makes up what is not known */
    return HW_DECODED;
}

HW_INLINE int shown(const hw_passes *passes, size_t side, uint8_t *plane, size_t stride)
{
    const hw_jpeg *jpeg = passes->jpeg;
    const hw_plane *luma = &passes->plane[0];
    const uint16_t *quantiser = jpeg->quantiser[jpeg->component[0].quantiser];
    int32_t largest = 0;
    hw_eight beyond = {0};
    const uint8_t *places = side == 8 ? paired_ : zigzag_;
    int16_t block[2][64] __attribute__((aligned(32))); /* one is shown when the next one is made: see mcu() of scan.c */
    uint8_t *to = NULL;
    int turn = 0;
    for (int row = 0; row < luma->used_down; row++)
        for (int column = 0; column < luma->used_across; column++, turn ^= 1) {
            size_t at = (size_t)row * (size_t)luma->across + (size_t)column;
            const int16_t *from = luma->blocks + 64 * at;
            int32_t mean = luma->means[at] * (int32_t)quantiser[0];
            largest |= mean ^ mean >> 31;
            for (int i = 0; i < 4; i++)
                _mm256_store_si256((__m256i *)block[turn] + i, _mm256_setzero_si256());
            block[turn][0] = (int16_t)mean;
            for (uint64_t left = nonzero(from) & ~1ull; left; left &= left - 1) { /* few are */
                int k = __builtin_ctzll(left);
                int32_t value = from[k] * (int32_t)quantiser[k];
                largest |= value ^ value >> 31;
                block[turn][places[k]] = (int16_t)value;
            }
            if (to)
                beyond |= inverse(block[!turn], side, to, stride);
            to = plane + (size_t)row * side * stride + (size_t)column * side;
        }
    if (to)
        beyond |= inverse(block[!turn], side, to, stride);
    return largest <= HW_MOST_VALUE && !is_beyond(beyond) ? HW_DECODED : HW_REFUSED;
}

/* Noughts, in large pages where the system has them: to be given small ones takes a tenth of a picture's time. */
static void *noughts(size_t bytes)
{
    void *made = calloc(1, bytes);
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 4096;
    uintptr_t from = ((uintptr_t)made + page - 1) & ~(page - 1), to = ((uintptr_t)made + bytes) & ~(page - 1);
    if (made && bytes >= (size_t)4 << 20)
        madvise((void *)from, to - from, MADV_HUGEPAGE); /* what it answers changes nothing but the time */
#endif
    return made;
}

static int make_planes(hw_passes *passes)
{
    const hw_jpeg *jpeg = passes->jpeg;
    const hw_component *luma = jpeg->component;
    for (int c = 0; c < jpeg->components; c++) {
        const hw_component *one = &jpeg->component[c];
        hw_plane *plane = &passes->plane[c];
        plane->across = jpeg->mcus_across * one->across;
        plane->used_across = (jpeg->width * one->across + 8 * luma->across - 1) / (8 * luma->across);
        plane->used_down = (jpeg->height * one->down + 8 * luma->down - 1) / (8 * luma->down);
        memset(plane->known, -1, sizeof plane->known);
        size_t blocks = (size_t)plane->across * (size_t)(jpeg->mcus_down * one->down);
        plane->means = calloc(blocks, sizeof *plane->means);
        plane->blocks = noughts(blocks * 64 * sizeof *plane->blocks);
        if (!plane->means || !plane->blocks)
            return HW_NO_MEMORY;
    }
    return HW_DECODED;
}

int hw_decode_progressive(hw_jpeg *jpeg, int scale, uint8_t *plane, size_t stride)
{
    hw_passes *passes = calloc(1, sizeof *passes);
    if (!passes)
        return HW_NO_MEMORY;
    passes->jpeg = jpeg;
    int status = make_planes(passes);
    if (status == HW_DECODED)
        status = all_scans(passes);
    if (status == HW_DECODED)
        status = scale == 1   ? shown(passes, 8, plane, stride)
                 : scale == 2 ? shown(passes, 4, plane, stride)
                 : scale == 4 ? shown(passes, 2, plane, stride)
                              : shown(passes, 1, plane, stride);
    for (int c = 0; c < HW_MOST_COMPONENTS; c++) {
        free(passes->plane[c].means);
        free(passes->plane[c].blocks);
    }
    free(passes);
    return status;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

int hw_decode_progressive(hw_jpeg *jpeg, int scale, uint8_t *plane, size_t stride)
{
    (void)jpeg, (void)scale, (void)plane, (void)stride;
    return HW_REFUSED;
}

#endif
