/* The bits of a scan, from bytes that are freed of their stuffing window by window. For files compiled for BMI2. */
#ifndef HASHWARD_BITS_H
#define HASHWARD_BITS_H

#include "jpeg.h"

/* The next bits, highest first, and where in the window those lie that follow. Kept in registers: handed by value. */
typedef struct {
    uint64_t ahead;
    const uint8_t *at;
    int count;
} hw_bits;

typedef struct {
    const uint8_t *source, *end; /* still to be freed of stuffing */
    const uint8_t *last;         /* where the window's bytes end */
    const uint8_t *careful;      /* from here on the window is to be filled, or its end is near */
    int marker;                  /* the scan's bytes end here: `source` is behind this code; -1: at the file's end, or at none */
    uint8_t window[HW_WINDOW_BYTES + 2 * HW_MARGIN_BYTES];
} hw_reader;

/* Where each coefficient of the file goes: row by row. */
static const uint8_t zigzag_[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* The same for blocks of eight by eight samples (inverse.h): the rows that are multiplied together side by side, 0 and 4, 2 and 6,
 * 1 and 3, 5 and 7, with their columns in that order too. */
static const uint8_t paired_[64] = {
    0,  8,  32, 16, 40, 4,  10, 36, 24, 33, 1,  41, 20, 42, 2,  12, 34, 26, 37, 9,  48, 17, 56, 5,  43, 18, 44, 6,  14, 38, 28, 35,
    11, 52, 25, 49, 57, 21, 58, 3,  45, 22, 46, 30, 39, 13, 50, 27, 53, 59, 19, 60, 7,  47, 15, 54, 29, 51, 61, 23, 62, 31, 55, 63};

/* A byte 0xff of the scan: data if a zero follows, else a marker. Fill bytes belong before markers only (T.81, B.1.1.2): where data
 * follow them, libjpeg-turbo keeps what it had read of the block by mistake, without a word.
 */
HW_INLINE int is_stuffed(hw_reader *reader)
{
    const uint8_t *first = reader->source;
    while (reader->source < reader->end && *reader->source == 0xff)
        reader->source++;
    reader->marker = reader->source == reader->end ? -1 : *reader->source++;
    if (reader->marker == 0 && reader->source - first > 2)
        reader->marker = -1;
    return reader->marker == 0;
}

/* Fill the window with what lies from `at` on. */
static inline hw_bits refill_window(hw_reader *reader, hw_bits bits)
{
    size_t kept = (size_t)(reader->last - bits.at);
    uint8_t *to = reader->window + kept, *full = reader->window + HW_WINDOW_BYTES;
    memmove(reader->window, bits.at, kept);
    while (to < full && !reader->marker) {
        size_t left = (size_t)(reader->end - reader->source), room = (size_t)(full - to);
        size_t most = left < room ? left : room;
        const uint8_t *found = most ? memchr(reader->source, 0xff, most) : NULL;
        size_t count = found ? (size_t)(found - reader->source) : most;
        memcpy(to, reader->source, count);
        to += count, reader->source += count;
        if (reader->source == reader->end)
            reader->marker = -1;
        else if (found && is_stuffed(reader))
            *to++ = 0xff;
    }
    if (reader->marker)
        memset(to, 0, 2 * HW_MARGIN_BYTES);
    reader->last = to;
    reader->careful = reader->marker ? to + 8 : to - HW_MARGIN_BYTES;
    bits.at = reader->window;
    return bits;
}

static inline hw_bits begin(hw_reader *reader)
{
    reader->marker = 0;
    reader->last = reader->window;
    return refill_window(reader, (hw_bits){0, reader->window, 0});
}

/* Whether the scan's bytes were used, all of them and no more. */
static inline int is_used_up(const hw_reader *reader, hw_bits bits)
{
    ptrdiff_t unused = 8 * (reader->last - bits.at) + bits.count;
    return reader->marker && unused >= 0 && unused < 8;
}

/* At least 56 bits. */
HW_INLINE hw_bits filled(hw_bits bits)
{
    uint64_t next;
    memcpy(&next, bits.at, sizeof next);
    bits.ahead |= __builtin_bswap64(next) >> bits.count;
    bits.at += (63 - bits.count) >> 3;
    bits.count |= 56;
    return bits;
}

HW_INLINE hw_bits without(hw_bits bits, uint32_t count)
{
    bits.ahead <<= count & 63;
    bits.count -= (int)(count & 63);
    return bits;
}

HW_INLINE uint32_t seen(hw_bits bits, int count) { return (uint32_t)(bits.ahead >> (64 - count)); }

#endif
