/* What a JPEG says before its scan (ITU T.81, B.2). Anything that libjpeg would warn of, or read otherwise, is refused. */
#include "jpeg.h"

static unsigned two(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static int take_quantisers(hw_jpeg *jpeg, const uint8_t *at, size_t bytes)
{
    while (bytes) {
        int wide = at[0] >> 4, number = at[0] & 15;
        size_t needed = wide ? 129 : 65;
        if (wide > 1 || number > 3 || bytes < needed)
            return HW_REFUSED;
        for (int k = 0; k < 64; k++)
            if (!(jpeg->quantiser[number][k] = (uint16_t)(wide ? two(at + 1 + 2 * k) : at[1 + k])))
                return HW_REFUSED; /* with it a mean may grow and grow unseen */
        jpeg->has_quantiser[number] = 1;
        at += needed, bytes -= needed;
    }
    return HW_DECODED;
}

static int take_codes(hw_jpeg *jpeg, const uint8_t *at, size_t bytes)
{
    while (bytes) {
        int kind = at[0] >> 4, number = at[0] & 15;
        if (kind > 1 || number > 3 || bytes < 17)
            return HW_REFUSED;
        hw_codes *codes = &jpeg->codes[kind][number];
        size_t count = 0;
        for (int l = 1; l <= 16; l++)
            count += codes->counts[l] = at[l];
        if (count > 256 || bytes < 17 + count)
            return HW_REFUSED;
        memset(codes->symbols, 0, sizeof codes->symbols);
        memcpy(codes->symbols, at + 17, count);
        codes->present = 1;
        at += 17 + count, bytes -= 17 + count;
    }
    return HW_DECODED;
}

static int take_frame(hw_jpeg *jpeg, const uint8_t *at, size_t bytes)
{
    if (jpeg->components || bytes < 6 || at[0] != 8)
        return HW_REFUSED;
    jpeg->height = (int)two(at + 1), jpeg->width = (int)two(at + 3);
    int count = at[5];
    if (jpeg->height < 1 || jpeg->width < 1 || jpeg->height > HW_MOST_SIDE || jpeg->width > HW_MOST_SIDE)
        return HW_REFUSED;
    if ((count != 1 && count != 3) || bytes != 6 + 3 * (size_t)count)
        return HW_REFUSED;
    jpeg->components = count;
    int blocks = 0;
    for (int i = 0; i < count; i++) {
        hw_component *one = &jpeg->component[i];
        const uint8_t *said = at + 6 + 3 * i;
        *one = (hw_component){said[0], said[1] >> 4, said[1] & 15, said[2], 0, 0};
        if (one->across < 1 || one->across > 4 || one->down < 1 || one->down > 4 || one->quantiser > 3)
            return HW_REFUSED;
        if (one->across > jpeg->component[0].across || one->down > jpeg->component[0].down)
            return HW_REFUSED;
        for (int j = 0; j < i; j++)
            if (jpeg->component[j].id == one->id)
                return HW_REFUSED;
        blocks += one->across * one->down;
    }
    if (count == 1) /* alone, its blocks come row by row */
        jpeg->component[0].across = jpeg->component[0].down = 1;
    hw_component *luma = &jpeg->component[0];
    jpeg->mcus_across = (jpeg->width + 8 * luma->across - 1) / (8 * luma->across);
    jpeg->mcus_down = (jpeg->height + 8 * luma->down - 1) / (8 * luma->down);
    return count == 1 || blocks <= HW_MOST_BLOCKS ? HW_DECODED : HW_REFUSED;
}

/* Progressive: some of the components, some of their coefficients. */
static int take_part(hw_jpeg *jpeg, const uint8_t *at, size_t bytes)
{
    size_t count = bytes ? at[0] : 0;
    if (!jpeg->components || count < 1 || count > (size_t)jpeg->components || bytes != 4 + 2 * count)
        return HW_REFUSED;
    jpeg->parts = (int)count;
    for (size_t i = 0; i < count; i++) {
        int c = i ? jpeg->part[i - 1] + 1 : 0;
        while (c < jpeg->components && jpeg->component[c].id != at[1 + 2 * i])
            c++;
        if (c == jpeg->components)
            return HW_REFUSED;
        jpeg->part[i] = c;
        jpeg->component[c].dc = at[2 + 2 * i] >> 4, jpeg->component[c].ac = at[2 + 2 * i] & 15;
        if (jpeg->component[c].dc > 3 || jpeg->component[c].ac > 3 || !jpeg->has_quantiser[jpeg->component[c].quantiser])
            return HW_REFUSED;
    }
    at += 1 + 2 * count;
    jpeg->first = at[0], jpeg->last = at[1], jpeg->high = at[2] >> 4, jpeg->low = at[2] & 15;
    int is_mean = jpeg->first == 0;
    if (is_mean ? jpeg->last != 0 : jpeg->last < jpeg->first || jpeg->last > 63 || count != 1)
        return HW_REFUSED;
    return jpeg->low <= 13 && (jpeg->high == 0 || jpeg->low == jpeg->high - 1) ? HW_DECODED : HW_REFUSED;
}

static int take_scan(hw_jpeg *jpeg, const uint8_t *at, size_t bytes)
{
    if (jpeg->progressive)
        return take_part(jpeg, at, bytes);
    size_t count = (size_t)jpeg->components;
    if (!count || bytes != 4 + 2 * count || at[0] != count)
        return HW_REFUSED;
    for (size_t i = 0; i < count; i++) {
        hw_component *one = &jpeg->component[i];
        const uint8_t *said = at + 1 + 2 * i;
        one->dc = said[1] >> 4, one->ac = said[1] & 15;
        if (said[0] != one->id || one->dc > 3 || one->ac > 3)
            return HW_REFUSED;
        if (!jpeg->codes[0][one->dc].present || !jpeg->codes[1][one->ac].present || !jpeg->has_quantiser[one->quantiser])
            return HW_REFUSED;
    }
    const uint8_t *spectrum = at + 1 + 2 * count;
    return spectrum[0] == 0 && spectrum[1] == 63 && spectrum[2] == 0 ? HW_DECODED : HW_REFUSED;
}

/* How libjpeg tells colours: by JFIF, else by Adobe's mark, else by the components' names. */
typedef struct {
    int jfif, adobe, transform;
} hw_marks;

static int take_mark(hw_marks *marks, int marker, const uint8_t *at, size_t bytes)
{
    if (marker == 0xe0 && bytes >= 14 && memcmp(at, "JFIF", 5) == 0) {
        marks->jfif = 1;
        return at[5] == 1 ? HW_DECODED : HW_REFUSED;
    }
    if (marker == 0xee && bytes >= 12 && memcmp(at, "Adobe", 5) == 0) {
        marks->adobe = 1, marks->transform = at[11];
        return at[11] <= 1 ? HW_DECODED : HW_REFUSED;
    }
    return HW_DECODED;
}

static int has_luma(const hw_jpeg *jpeg, const hw_marks *marks)
{
    if (jpeg->components == 1 || marks->jfif)
        return 1;
    if (marks->adobe)
        return marks->transform == 1;
    const hw_component *named = jpeg->component;
    return named[0].id == 1 && named[1].id == 2 && named[2].id == 3;
}

/* One marker's segment, other than that of the scan. */
static int take_segment(hw_jpeg *jpeg, hw_marks *marks, int marker, const uint8_t *body, size_t bytes)
{
    switch (marker) {
    case 0xdb:
        return take_quantisers(jpeg, body, bytes);
    case 0xc4:
        return take_codes(jpeg, body, bytes);
    case 0xc0:
    case 0xc1:
    case 0xc2:
        jpeg->progressive = marker == 0xc2;
        return take_frame(jpeg, body, bytes);
    case 0xdd:
        jpeg->restart_interval = bytes == 2 ? (int)two(body) : 0;
        return bytes == 2 ? HW_DECODED : HW_REFUSED;
    case 0xfe:
        return HW_DECODED;
    default:
        return (marker & 0xf0) == 0xe0 ? take_mark(marks, marker, body, bytes) : HW_REFUSED;
    }
}

/* Segments up to the next scan, or the end of the picture. */
static int take_segments(hw_jpeg *jpeg, hw_marks *marks, const uint8_t *at)
{
    const uint8_t *end = jpeg->end;
    for (;;) {
        if (at == end || *at++ != 0xff)
            return HW_REFUSED;
        while (at < end && *at == 0xff)
            at++;
        if (at < end && *at == 0xd9 && jpeg->at)
            return HW_ENDED;
        if (end - at < 3)
            return HW_REFUSED;
        int marker = *at++;
        size_t length = two(at);
        if (length < 2 || (size_t)(end - at) < length)
            return HW_REFUSED;
        const uint8_t *body = at + 2;
        at += length;
        if (marker == 0xda) {
            jpeg->at = at;
            return take_scan(jpeg, body, length - 2);
        }
        if (jpeg->at && marker != 0xc4 && marker != 0xdd && marker != 0xfe)
            return HW_REFUSED; /* what else changes between scans libjpeg may have read already */
        if (take_segment(jpeg, marks, marker, body, length - 2) != HW_DECODED)
            return HW_REFUSED;
    }
}

int hw_jpeg_open(hw_jpeg *jpeg, const uint8_t *encoded, size_t bytes)
{
    hw_marks marks = {0, 0, 0};
    memset(jpeg, 0, sizeof *jpeg);
    if (bytes < 4 || encoded[0] != 0xff || encoded[1] != 0xd8)
        return HW_REFUSED;
    jpeg->end = encoded + bytes;
    int status = take_segments(jpeg, &marks, encoded + 2);
    return status == HW_DECODED && has_luma(jpeg, &marks) ? HW_DECODED : HW_REFUSED;
}

int hw_jpeg_next(hw_jpeg *jpeg, const uint8_t *at)
{
    hw_marks marks = {0, 0, 0};
    return take_segments(jpeg, &marks, at);
}
