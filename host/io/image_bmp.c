/* SPDX-License-Identifier: Apache-2.0 */
/* BMP of 1, 4, 8, 16, 24 and 32 bits without compression, from a file in memory; docs/INTERNALS.md says why
 * this is written by hand. Rows are found by arithmetic, so nothing is held. */
#include <string.h>

#include "base/memory.h"
#include "io/image.h"

enum { FILE_HEAD = 14, CORE_HEAD = 12, INFO_HEAD = 40, ALPHA_HEAD = 56, COLOURS = 256 };
enum { PLAIN = 0, BIT_FIELDS = 3 }; /* kinds of compression */

struct bitmap {
    const uint8_t *bytes;
    size_t size;
    int64_t width, height;
    bool top_down;
    int32_t bits;
    size_t pixels, pitch; /* where rows begin; bytes of one, a multiple of four */
    int32_t colours;
    uint8_t palette[COLOURS][3]; /* red, green, blue */
    uint32_t mask[3];
    bool alpha; /* there is a mask for it, too */
};

static uint32_t number(const uint8_t *b, int count)
{
    uint32_t value = 0;
    while (count-- > 0)
        value = value << 8 | b[count];
    return value;
}

/* A colour's bits stand together, and there are at most sixteen. */
static bool is_mask(uint32_t mask)
{
    if (mask == 0)
        return false;
    while (!(mask & 1))
        mask >>= 1;
    return mask < 1 << 16 && (mask & (mask + 1)) == 0;
}

/* Masks of 16 and 32 bits; *end moves behind those that follow a header of 40 bytes. */
static dfal_status read_masks(struct bitmap *b, uint32_t compression, size_t *end)
{
    static const uint32_t plain[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    memcpy(b->mask, plain[b->bits == 32], sizeof b->mask);
    if (compression != BIT_FIELDS)
        return DFAL_OK;
    const size_t at = FILE_HEAD + INFO_HEAD;
    if (*end < at + 12)
        *end = at + 12;
    if (b->size < *end)
        DF_FAIL(DFAL_E_DATA, "the BMP is truncated (in its masks)");
    b->alpha = number(b->bytes + FILE_HEAD, 4) >= ALPHA_HEAD && number(b->bytes + at + 12, 4) != 0;
    for (int c = 0; c < 3; c++) {
        b->mask[c] = number(b->bytes + at + 4 * (size_t)c, 4);
        if (!is_mask(b->mask[c]))
            DF_FAIL(DFAL_E_DATA, "the BMP is damaged (a colour's mask is %08x)", b->mask[c]);
    }
    return DFAL_OK;
}

static dfal_status read_palette(struct bitmap *b, size_t at, bool core, uint32_t used)
{
    const uint32_t most = 1u << b->bits;
    const size_t entry = core ? 3 : 4;
    if (used > most)
        DF_FAIL(DFAL_E_DATA, "the BMP is damaged (%u colours of %d bits)", used, b->bits);
    b->colours = (int32_t)(used ? used : most);
    if (b->size - at < (size_t)b->colours * entry)
        DF_FAIL(DFAL_E_DATA, "the BMP is truncated (in its palette)");
    for (int32_t i = 0; i < b->colours; i++)
        for (size_t c = 0; c < 3; c++)
            b->palette[i][c] = b->bytes[at + (size_t)i * entry + 2 - c];
    return DFAL_OK;
}

static dfal_status read_header(struct bitmap *b)
{
    if (b->size < FILE_HEAD + CORE_HEAD)
        DF_FAIL(DFAL_E_DATA, "the BMP is truncated (in its header)");
    const uint8_t *info = b->bytes + FILE_HEAD;
    const uint32_t head = number(info, 4);
    const bool core = head == CORE_HEAD;
    if (!core && head != 40 && head != 52 && head != 56 && head != 64 && head != 108 && head != 124)
        DF_FAIL(DFAL_E_DATA, "the BMP is damaged (a header of %u bytes)", head);
    size_t end = FILE_HEAD + head;
    if (b->size < end)
        DF_FAIL(DFAL_E_DATA, "the BMP is truncated (in its header)");
    b->width = core ? (int64_t)number(info + 4, 2) : (int32_t)number(info + 4, 4);
    b->height = core ? (int64_t)number(info + 6, 2) : (int32_t)number(info + 8, 4);
    b->bits = (int32_t)number(info + (core ? 10 : 14), 2);
    b->top_down = b->height < 0;
    b->height = b->top_down ? -b->height : b->height;
    const uint32_t compression = core ? PLAIN : number(info + 16, 4), used = core ? 0 : number(info + 32, 4);
    const bool fields = compression == BIT_FIELDS && (b->bits == 16 || b->bits == 32) && head != 64;
    if (compression != PLAIN && !fields)
        DF_FAIL(DFAL_E_DATA, "a BMP of compression %u, expected one without", compression);
    if (b->bits == 16 || b->bits == 32)
        DF_TRY(read_masks(b, compression, &end));
    else if (b->bits == 1 || b->bits == 4 || b->bits == 8)
        DF_TRY(read_palette(b, end, core, used));
    else if (b->bits != 24)
        DF_FAIL(DFAL_E_DATA, "a BMP of %d bits, expected 1, 4, 8, 16, 24 or 32", b->bits);
    b->pixels = number(b->bytes + 10, 4);
    if (b->pixels < end)
        DF_FAIL(DFAL_E_DATA, "the BMP is damaged (its pixels begin in its header, at %zu)", b->pixels);
    return DFAL_OK;
}

static dfal_status take_row(const struct bitmap *b, uint8_t *row, const uint8_t *from)
{
    const int32_t bits = b->bits;
    for (int64_t x = 0; x < b->width; x++, row += DF_COLOUR) {
        if (bits <= 8) {
            const int32_t left = 8 - bits - (int32_t)(x * bits % 8);
            const int32_t index = from[x * bits / 8] >> left & ((1 << bits) - 1);
            if (index >= b->colours)
                DF_FAIL(DFAL_E_DATA, "the BMP is damaged (colour %d of %d)", index, b->colours);
            memcpy(row, b->palette[index], 3);
        } else if (bits == 24) {
            for (int c = 0; c < 3; c++)
                row[c] = from[3 * x + 2 - c];
        } else {
            const uint32_t value = number(from + x * bits / 8, bits / 8);
            for (int c = 0; c < 3; c++) {
                const uint32_t lowest = b->mask[c] & -b->mask[c]; /* the mask's last bit */
                row[c] = (uint8_t)((value & b->mask[c]) / lowest * 255 / (b->mask[c] / lowest));
            }
        }
    }
    return DFAL_OK;
}

dfal_status df_bmp_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                          struct df_image_limits limits)
{
    struct bitmap b = {.bytes = bytes, .size = size};
    uint8_t *row = NULL;
    dfal_status status;
    DF_TRY(read_header(&b));
    DF_TRY(df_image_check(b.width, b.height, limits, false));
    b.pitch = (size_t)(b.width * b.bits + 31) / 32 * 4;
    if (b.pixels > size || (size - b.pixels) / b.pitch < (size_t)b.height)
        DF_FAIL(DFAL_E_DATA, "the BMP is truncated (%zu bytes, expected %zu)", size,
                b.pixels + b.pitch * (size_t)b.height);
    DF_TRY_TO(done, status, df_alloc(&row, b.width * DF_COLOUR + DF_ROW_PADDING, 1));
    DF_TRY_TO(done, status,
              sink->begin(sink, b.width, b.height, DF_COLOUR, b.alpha ? 1 | DF_PICTURE_ALPHA : 1));
    for (int64_t y = 0; y < b.height; y++) {
        const size_t stored = (size_t)(b.top_down ? y : b.height - 1 - y);
        DF_TRY_TO(done, status, take_row(&b, row, bytes + b.pixels + stored * b.pitch));
        DF_TRY_TO(done, status, sink->row(sink, row));
    }
done:
    df_free(row);
    return status;
}
