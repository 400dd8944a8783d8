/* SPDX-License-Identifier: Apache-2.0 */
/* Which decoder. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "io/image.h"

struct kind {
    size_t size;
    const char *head; /* ? stands for any byte */
    df_image_decoder *decode;
};
static const struct kind kinds[] = {
    {8, "\x89PNG\r\n\x1a\n", df_png_decode},
    {3, "\xff\xd8\xff", df_jpeg_decode},
    {12, "RIFF????WEBP", df_webp_decode},
    {2, "BM", df_bmp_decode},
    {4, "II*\0", df_tiff_decode},
    {4, "MM\0*", df_tiff_decode},
    {4, "II+\0", df_tiff_decode},
    {4, "MM\0+", df_tiff_decode},
};

static bool is_of_kind(const struct kind *kind, const uint8_t *bytes, size_t size)
{
    if (size < kind->size)
        return false;
    for (size_t i = 0; i < kind->size; i++)
        if (kind->head[i] != '?' && (uint8_t)kind->head[i] != bytes[i])
            return false;
    return true;
}

dfal_status df_image_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                            struct df_image_limits limits)
{
    if (size == 0)
        DF_FAIL(DFAL_E_DATA, "the file is empty, expected a " DF_IMAGE_KINDS " picture");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_of_kind(&kinds[i], bytes, size))
            return kinds[i].decode(sink, bytes, size, limits);
    char head[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < size; i++)
        snprintf(head + 3 * i, 4, " %02x", bytes[i]);
    DF_FAIL(DFAL_E_DATA, "the file begins with%s, expected a " DF_IMAGE_KINDS " picture", head);
}

bool df_image_is_named(const char *name)
{
    static const char *const ends[] = {".jpg",  ".jpeg", ".jpe", ".jfif", ".png",
                                       ".webp", ".bmp",  ".tif", ".tiff"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (df_same_but_case(dot, ends[i]))
            return true;
    return false;
}

void df_image_libraries(char text[DF_IMAGE_LIBRARIES])
{
    char jpeg[DF_IMAGE_LIBRARY], png[DF_IMAGE_LIBRARY], webp[DF_IMAGE_LIBRARY], tiff[DF_IMAGE_LIBRARY];
    df_jpeg_library(jpeg);
    df_png_library(png);
    df_webp_library(webp);
    df_tiff_library(tiff);
    snprintf(text, DF_IMAGE_LIBRARIES, "%.44s, %.44s, %.44s, %.44s", jpeg, png, webp, tiff);
}
