/* Huffman tables (ITU T.81, annex C) as they are read: by a look at the next bits, or, for long codes, length by length. */
#include "jpeg.h"

/* What each sequence of HW_LOOK_BITS begins with: the code's length (0: longer than that) and its symbol. */
typedef struct {
    uint8_t length[HW_LOOKS], symbol[HW_LOOKS];
} hw_firsts;

/* `most`: the largest symbol that libjpeg suffers in such a table, used or not. */
static int fill(hw_table *table, hw_firsts *firsts, const hw_codes *codes, int most)
{
    int32_t code = 0, used = 0;
    memcpy(table->symbols, codes->symbols, sizeof table->symbols);
    memset(firsts, 0, sizeof *firsts);
    for (int l = 1; l <= 16; l++, code <<= 1) {
        int count = codes->counts[l];
        if (code + count >= 1 << l) /* no code is all ones */
            return HW_REFUSED;
        table->offset[l] = used - code;
        table->limit[l] = count ? code + count : 0;
        for (int i = 0; i < count; i++)
            if (codes->symbols[used + i] > most)
                return HW_REFUSED;
        for (int i = 0; i < count && l <= HW_LOOK_BITS; i++) {
            size_t from = (size_t)(code + i) << (HW_LOOK_BITS - l), many = (size_t)1 << (HW_LOOK_BITS - l);
            memset(firsts->length + from, l, many);
            memset(firsts->symbol + from, codes->symbols[used + i], many);
        }
        code += count, used += count;
    }
    return HW_DECODED;
}

/* T.81, F.12: the value of `size` bits. */
static int32_t extended(uint32_t bits, int size)
{
    return size && !(bits >> (size - 1)) ? (int32_t)bits - (1 << size) + 1 : (int32_t)bits;
}

static int ends(int symbol) { return !(symbol & 15) && symbol >> 4 != 15; }

static void look_for_means(hw_table *table, const hw_firsts *firsts)
{
    for (uint32_t ahead = 0; ahead < HW_LOOKS; ahead++) {
        int size = firsts->symbol[ahead], length = firsts->length[ahead] + size, left = HW_LOOK_BITS - length;
        int whole = firsts->length[ahead] && size <= 11 && left >= 0;
        int32_t value = whole ? extended((ahead >> left) & ((1u << size) - 1), size) : 0;
        table->look[ahead] = whole ? (uint32_t)length | (uint32_t)value << 16 : 0;
    }
}

/* As many symbols as their codes can be seen; the last one's bits may lie behind what is seen. */
static uint32_t stretch(const hw_firsts *firsts, uint32_t ahead)
{
    int length = 0, passed = 0;
    while (length < HW_LOOK_BITS) {
        uint32_t here = ahead << length & (HW_LOOKS - 1);
        int symbol = firsts->symbol[here], code = firsts->length[here];
        if (!code || code > HW_LOOK_BITS - length)
            break;
        length += code + (symbol & 15);
        if (ends(symbol))
            return (uint32_t)length | HW_ENDS | (uint32_t)passed << 8;
        passed += (symbol >> 4) + 1;
    }
    return (uint32_t)length | (uint32_t)passed << 8;
}

typedef struct {
    int length, run, ends; /* length 0: not all of it is seen */
    int32_t value;
} hw_symbol;

/* The symbol behind `used` bits, with its value. */
static hw_symbol symbol_at(const hw_firsts *firsts, uint32_t ahead, int used)
{
    uint32_t here = ahead << used & (HW_LOOKS - 1);
    int symbol = firsts->symbol[here], code = firsts->length[here], size = symbol & 15, left = HW_LOOK_BITS - code - size;
    if (!code || left < used)
        return (hw_symbol){0, 0, 0, 0};
    return (hw_symbol){code + size, symbol >> 4, ends(symbol), extended(here >> left & ((1u << size) - 1), size)};
}

static uint64_t coefficients(const hw_firsts *firsts, uint32_t ahead)
{
    hw_symbol first = symbol_at(firsts, ahead, 0);
    if (!first.length)
        return 0;
    if (first.ends)
        return (uint64_t)first.length | HW_ENDS;
    int length = first.length, place = first.run, second_place = first.run, passed = first.run + 1;
    int32_t second_value = 0;
    hw_symbol next = symbol_at(firsts, ahead, length);
    if (next.length && !next.ends) {
        second_place = passed + next.run, second_value = next.value;
        passed = second_place + 1, length += next.length;
        next = symbol_at(firsts, ahead, length);
    }
    int over = next.length && next.ends;
    length += over ? next.length : 0;
    return (uint64_t)length | (over ? HW_ENDS : 0) | (uint64_t)passed << 8 | (uint64_t)(uint16_t)first.value << 16 |
           (uint64_t)place << 32 | (uint64_t)second_place << 40 | (uint64_t)(uint16_t)second_value << 48;
}

static int component_tables(hw_tables *tables, const hw_jpeg *jpeg, int c)
{
    const hw_component *one = &jpeg->component[c];
    hw_table *dc = &tables->made[2 * c], *ac = dc + 1;
    hw_firsts firsts;
    tables->dc[c] = dc, tables->ac[c] = ac;
    if (fill(dc, &firsts, &jpeg->codes[0][one->dc], HW_MOST_MEAN) != HW_DECODED)
        return HW_REFUSED;
    look_for_means(dc, &firsts);
    if (fill(ac, &firsts, &jpeg->codes[1][one->ac], HW_MOST_SYMBOL) != HW_DECODED)
        return HW_REFUSED;
    for (uint32_t ahead = 0; c == 0 && ahead < HW_LOOKS; ahead++)
        tables->luma[ahead] = coefficients(&firsts, ahead);
    for (uint32_t ahead = 0; c > 0 && ahead < HW_LOOKS; ahead++)
        ac->look[ahead] = stretch(&firsts, ahead);
    return HW_DECODED;
}

static int are_made(const hw_tables *tables, const hw_jpeg *jpeg)
{
    int same = tables->components == jpeg->components;
    for (int c = 0; same && c < jpeg->components; c++)
        same = tables->component[c].dc == jpeg->component[c].dc && tables->component[c].ac == jpeg->component[c].ac;
    return same && memcmp(tables->codes, jpeg->codes, sizeof jpeg->codes) == 0;
}

int hw_tables_make(hw_tables *tables, const hw_jpeg *jpeg)
{
    if (are_made(tables, jpeg))
        return HW_DECODED;
    tables->components = 0;
    const hw_component *one = jpeg->component;
    for (int c = 0; c < jpeg->components; c++) {
        if (c == 2 && one[2].dc == one[1].dc && one[2].ac == one[1].ac)
            tables->dc[2] = tables->dc[1], tables->ac[2] = tables->ac[1];
        else if (component_tables(tables, jpeg, c) != HW_DECODED)
            return HW_REFUSED;
    }
    tables->components = jpeg->components;
    memcpy(tables->component, jpeg->component, sizeof tables->component);
    memcpy(tables->codes, jpeg->codes, sizeof tables->codes);
    return HW_DECODED;
}

/* `look`: the length of the code and, from bit 8 on, its symbol. */
int hw_table_fill(hw_table *table, const hw_codes *codes, int most)
{
    hw_firsts firsts;
    if (!codes->present || fill(table, &firsts, codes, most) != HW_DECODED)
        return HW_REFUSED;
    for (uint32_t ahead = 0; ahead < HW_LOOKS; ahead++)
        table->look[ahead] = firsts.length[ahead] | (uint32_t)firsts.symbol[ahead] << 8;
    return HW_DECODED;
}
