/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: decoders, orientation, resize, lists and the import itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>

#include "base/context.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "golden/resize.h"
#include "io/image_list.h"
#include "store/pool.h"
#include "support.h"
#include "support_image.h"

enum { SIDE_MOST = 128 };

static char folder[TEST_PATH];

static const char *at(const char *name)
{
    static char path[4][TEST_PATH];
    static int next;
    next = (next + 1) % 4;
    test_join(path[next], folder, name);
    return path[next];
}

/* The source picture of tests/golden/images.py. */
static uint8_t value(int x, int y, int c)
{
    return (uint8_t)(x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5 + (x > 20 && y > 9 ? 90 : 0));
}

/* ---- writing pictures ---------------------------------------------------------------------------------- */

static void put_bytes(png_structp png, png_bytep data, size_t size)
{
    struct picture *picture = png_get_io_ptr(png);
    assert_true(picture->size + size <= PICTURE_BYTES);
    memcpy(picture->bytes + picture->size, data, size);
    picture->size += size;
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

struct png_kind {
    int width, height, type, depth, interlace;
    const png_color *palette;
    int colours;
    int orientation; /* 0: no EXIF */
};

/* rows [height, row bytes as PNG stores them] */
static void write_png(struct picture *picture, const struct png_kind *kind, const uint8_t *rows, size_t pitch)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_bytep pointers[SIDE_MOST];
    picture->size = 0;
    png_set_write_fn(png, picture, put_bytes, flush_bytes);
    png_set_IHDR(png, info, (png_uint_32)kind->width, (png_uint_32)kind->height, kind->depth, kind->type,
                 kind->interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (kind->palette)
        png_set_PLTE(png, info, kind->palette, kind->colours);
    if (kind->orientation) {
        png_byte exif[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1};
        exif[19] = (png_byte)kind->orientation;
        png_set_eXIf_1(png, info, sizeof exif, exif);
    }
    png_write_info(png, info);
    for (int y = 0; y < kind->height; y++)
        pointers[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * pitch);
    png_write_image(png, pointers);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
}

static void write_colour_png(struct picture *picture, int width, int height, int orientation)
{
    static uint8_t rows[SIDE_MOST * SIDE_MOST * 3];
    const struct png_kind kind = {width, height, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE,
                                  NULL,  0,      orientation};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                rows[(y * width + x) * 3 + c] = value(x, y, c);
    write_png(picture, &kind, rows, (size_t)width * 3);
}

/* One colour everywhere; components 1, 3 or 4 (inks as Adobe writes them). */
static void write_jpeg(struct picture *picture, int side, int components, const uint8_t *colour,
                       bool progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    uint8_t row[SIDE_MOST * 4];
    for (int i = 0; i < side * components; i++)
        row[i] = colour[i % components];
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = jpeg.image_height = (JDIMENSION)side;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW rows[1] = {row};
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    assert_true(size <= PICTURE_BYTES);
    memcpy(picture->bytes, bytes, size);
    picture->size = size;
    free(bytes);
}

/* ---- decoding ------------------------------------------------------------------------------------------ */

static void test_png_kinds(void **state)
{
    (void)state;
    const struct df_image_fit plain = {.channels = 3}, grey = {.channels = 1};
    struct picture picture;
    uint8_t sample[3 * 64];
    /* Grey of 1 bit: 0 and 255; of 2 bits: multiples of 85. */
    const uint8_t bits[2] = {0xa0, 0x40}, twos[2] = {0x1b, 0xe4};
    write_png(&picture, &(struct png_kind){4, 2, PNG_COLOR_TYPE_GRAY, 1, 0, NULL, 0, 0}, bits, 1);
    assert_shape(decode(&picture, plain, sample), 3, 2, 4);
    const uint8_t expected_bits[8] = {255, 0, 255, 0, 0, 255, 0, 0};
    for (int c = 0; c < 3; c++)
        assert_memory_equal(sample + 8 * c, expected_bits, 8);
    write_png(&picture, &(struct png_kind){4, 2, PNG_COLOR_TYPE_GRAY, 2, 0, NULL, 0, 0}, twos, 1);
    const uint8_t expected_twos[8] = {0, 85, 170, 255, 255, 170, 85, 0};
    assert_shape(decode(&picture, grey, sample), 1, 2, 4);
    assert_memory_equal(sample, expected_twos, 8);
    /* 16 bits: the high byte; alpha is dropped, whatever it says. */
    const uint8_t deep[16] = {10, 200, 20, 0, 30, 255, 0, 0, 40, 1, 50, 2, 60, 3, 255, 255};
    write_png(&picture, &(struct png_kind){2, 1, PNG_COLOR_TYPE_RGB_ALPHA, 16, 0, NULL, 0, 0}, deep, 16);
    const uint8_t expected_deep[6] = {10, 40, 20, 50, 30, 60};
    assert_shape(decode(&picture, plain, sample), 3, 1, 2);
    assert_memory_equal(sample, expected_deep, 6);
    const uint8_t veiled[4] = {7, 0, 9, 255};
    write_png(&picture, &(struct png_kind){2, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0, NULL, 0, 0}, veiled, 4);
    assert_shape(decode(&picture, grey, sample), 1, 1, 2);
    assert_true(sample[0] == 7 && sample[1] == 9);
    /* Palette of 4 bits, and its grey: (299 r + 587 g + 114 b) / 1000, rounded. */
    const png_color colours[2] = {{255, 0, 0}, {10, 20, 30}};
    const uint8_t indices[1] = {0x01};
    write_png(&picture, &(struct png_kind){2, 1, PNG_COLOR_TYPE_PALETTE, 4, 0, colours, 2, 0}, indices, 1);
    const uint8_t expected_colours[6] = {255, 10, 0, 20, 0, 30};
    decode(&picture, plain, sample);
    assert_memory_equal(sample, expected_colours, 6);
    decode(&picture, grey, sample);
    assert_true(sample[0] == 76 && sample[1] == 18);
    /* One pixel, and a crop larger than it: black round about. */
    const uint8_t one[1] = {200};
    write_png(&picture, &(struct png_kind){1, 1, PNG_COLOR_TYPE_GRAY, 8, 0, NULL, 0, 0}, one, 1);
    assert_shape(decode(&picture, (struct df_image_fit){.crop = 4, .channels = 1}, sample), 1, 4, 4);
    for (int i = 0; i < 16; i++)
        assert_int_equal(sample[i], i == 5 ? 200 : 0);
    assert_shape(decode(&picture, (struct df_image_fit){.resize = 8, .channels = 1}, sample), 1, 8, 8);
    for (int i = 0; i < 64; i++)
        assert_int_equal(sample[i], 200);
}

static void test_interlaced(void **state)
{
    (void)state;
    struct picture whole, laced;
    static uint8_t rows[17 * 13 * 3], a[3 * 17 * 13], b[3 * 17 * 13];
    for (int i = 0; i < 17 * 13 * 3; i++)
        rows[i] = (uint8_t)(i * 31 + i / 7);
    write_png(&whole, &(struct png_kind){17, 13, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, NULL, 0, 0}, rows,
              51);
    write_png(&laced, &(struct png_kind){17, 13, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7, NULL, 0, 0},
              rows, 51);
    decode(&whole, (struct df_image_fit){.channels = 3}, a);
    decode(&laced, (struct df_image_fit){.channels = 3}, b);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < 17 * 13; i++)
        assert_int_equal(a[i], rows[3 * i]);
}

static void test_jpeg_kinds(void **state)
{
    (void)state;
    struct picture picture;
    uint8_t sample[3 * 40 * 40];
    const uint8_t grey[1] = {93}, colour[3] = {250, 30, 128}, inks[4] = {255, 128, 0, 200};
    for (int progressive = 0; progressive < 2; progressive++) {
        write_jpeg(&picture, 40, 1, grey, progressive);
        assert_shape(decode(&picture, (struct df_image_fit){.channels = 3}, sample), 3, 40, 40);
        for (int i = 0; i < 3 * 1600; i++)
            assert_int_equal(sample[i], 93);
        write_jpeg(&picture, 40, 3, colour, progressive);
        decode(&picture, (struct df_image_fit){.channels = 3}, sample);
        for (int i = 0; i < 3 * 1600; i++)
            assert_in_range(sample[i], colour[i / 1600] - 2, colour[i / 1600] + 2);
        /* Stored bytes are light: light * black / 255. */
        write_jpeg(&picture, 40, 4, inks, progressive);
        decode(&picture, (struct df_image_fit){.channels = 3}, sample);
        const int light[3] = {200, 100, 0};
        for (int i = 0; i < 3 * 1600; i++)
            assert_true(abs(sample[i] - light[i / 1600]) <= 2);
    }
}

/* Every picture that is cut short is an error, wherever the cut is. */
static void test_truncated(void **state)
{
    (void)state;
    struct picture picture;
    struct df_shape shape;
    const struct df_image_fit fit = {.resize = 5, .channels = 3};
    const uint8_t colour[3] = {250, 30, 128};
    const int64_t live = df_alloc_live();
    for (int kind = 0; kind < 3; kind++) {
        if (kind < 2)
            write_jpeg(&picture, 24, 3, colour, kind == 1);
        else
            write_colour_png(&picture, 24, 9, 0);
        const size_t size = picture.size;
        assert_int_equal(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_OK);
        for (picture.size = 0; picture.size < size; picture.size++) {
            dfal_status status = decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS);
            if (status != DFAL_E_DATA)
                test_fail("kind %d cut to %zu of %zu bytes gives status %d", kind, picture.size, size,
                          (int)status);
        }
    }
    assert_int_equal(df_alloc_live(), live);
}

static void test_limits(void **state)
{
    (void)state;
    struct picture picture;
    struct df_shape shape;
    const struct df_image_fit fit = {.channels = 3};
    const uint8_t grey[1] = {5};
    const struct df_image_limits tight = {40 * 40, 40 * 40 - 1};
    write_jpeg(&picture, 40, 1, grey, false);
    test_ok(decode_with(&picture, &fit, &shape, NULL, tight));
    write_jpeg(&picture, 40, 1, grey, true);
    test_error(decode_with(&picture, &fit, &shape, NULL, tight), DFAL_E_DATA,
               "40 x 40 pixels, expected at most 1599");
    write_jpeg(&picture, 41, 1, grey, false);
    test_error(decode_with(&picture, &fit, &shape, NULL, tight), DFAL_E_DATA, "41 x 41");
    /* A header alone that declares a huge picture */
    const uint8_t huge[33] = {0x89, 'P',  'N', 'G', 13,  10, 26, 10,   0,    0,    0,
                              13,   'I',  'H', 'D', 'R', 0,  15, 0x42, 0x40, 0,    15,
                              0x42, 0x40, 8,   0,   0,   0,  0,  0x5b, 0xa2, 0x5b, 0x5e};
    memcpy(picture.bytes, huge, picture.size = sizeof huge);
    assert_int_equal(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_E_DATA);
    memcpy(picture.bytes, "GIF89a", picture.size = 6);
    test_error(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_E_DATA, "47 49 46");
    picture.size = 0;
    test_error(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_E_DATA, "empty");
}

/* ---- orientation --------------------------------------------------------------------------------------- */

static void test_exif(void **state)
{
    (void)state;
    uint8_t big[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6};
    uint8_t little[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 4, 0, 1, 0, 0, 0, 8};
    assert_int_equal(df_exif_orientation(big, sizeof big), 6);
    assert_int_equal(df_exif_orientation(little, sizeof little), 8);
    for (size_t size = 0; size < 22; size++) /* cut anywhere: none */
        assert_int_equal(df_exif_orientation(big, size), 1);
    for (int i = 0; i < 256; i++) {
        big[19] = (uint8_t)i;
        assert_int_equal(df_exif_orientation(big, sizeof big), i >= 1 && i <= 8 ? i : 1);
    }
    big[19] = 6;
    memcpy(big + 4, "\xff\xff\xff\xff", 4); /* the directory lies far outside */
    assert_int_equal(df_exif_orientation(big, sizeof big), 1);
    memcpy(big + 4, "\0\0\0\x08\xff\xff", 6); /* more entries than there are bytes */
    assert_int_equal(df_exif_orientation(big, sizeof big), 6);
}

/* Where an upright pixel lies in the file. */
static void place(int orientation, int w, int h, int x, int y, int *column, int *row)
{
    const int columns[9] = {0, x, w - 1 - x, w - 1 - x, x, y, y, w - 1 - y, w - 1 - y};
    const int rows[9] = {0, y, y, h - 1 - y, h - 1 - y, x, h - 1 - x, h - 1 - x, x};
    *column = columns[orientation];
    *row = rows[orientation];
}

static void test_orientations(void **state)
{
    (void)state;
    enum { W = 11, H = 7 };
    struct picture picture;
    static uint8_t sample[3 * W * H], resized[3 * 9 * 9], upright[3 * 9 * 9];
    for (int o = 1; o <= 8; o++) {
        const int width = o < 5 ? W : H, height = o < 5 ? H : W; /* upright */
        write_colour_png(&picture, W, H, o);
        assert_shape(decode(&picture, (struct df_image_fit){.channels = 3}, sample), 3, height, width);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++) {
                    int column, row;
                    place(o, W, H, x, y, &column, &row);
                    if (sample[(c * height + y) * width + x] != value(column, row, c))
                        test_fail("orientation %d: channel %d of (%d, %d)", o, c, x, y);
                }
        /* Turned and resized on the way is the same as turned first: write the upright picture and
         * compare. */
        struct picture straight;
        static uint8_t rows[W * H * 3];
        for (int i = 0; i < W * H; i++)
            for (int c = 0; c < 3; c++)
                rows[3 * i + c] = sample[c * W * H + i];
        write_png(&straight, &(struct png_kind){width, height, PNG_COLOR_TYPE_RGB, 8, 0, NULL, 0, 0}, rows,
                  (size_t)width * 3);
        for (int size = 3; size <= 13; size += 5)
            for (int kind = 0; kind < 2; kind++) {
                const struct df_image_fit fit = {.resize = size,
                                                 .crop = 9,
                                                 .interpolation = kind ? DF_BICUBIC : DF_BILINEAR,
                                                 .channels = 3};
                decode(&picture, fit, resized);
                decode(&straight, fit, upright);
                if (memcmp(resized, upright, sizeof resized) != 0)
                    test_fail("orientation %d, resize %d, kind %d", o, size, kind);
            }
    }
}

/* ---- resize -------------------------------------------------------------------------------------------- */

static void test_axis(void **state)
{
    (void)state;
    struct df_axis axis = {0}, mirror = {0};
    const int sizes[] = {1, 2, 3, 7, 16, 100, 1000};
    for (size_t a = 0; a < sizeof sizes / sizeof sizes[0]; a++)
        for (size_t b = 0; b < sizeof sizes / sizeof sizes[0]; b++)
            for (int kind = 0; kind < 2; kind++) {
                const int in = sizes[a], out = sizes[b];
                test_ok(df_axis_build(&axis, in, out, 0, out, kind ? DF_BICUBIC : DF_BILINEAR, false, false));
                test_ok(df_axis_build(&mirror, in, out, 0, out, kind ? DF_BICUBIC : DF_BILINEAR, true, true));
                for (int i = 0; i < out; i++) {
                    int64_t sum = 0, turned = 0;
                    assert_true(axis.low[i] >= 0 && axis.taps[i] >= 1 && axis.low[i] + axis.taps[i] <= in);
                    assert_true(mirror.low[i] >= 0 && mirror.low[i] + mirror.taps[i] <= in);
                    for (int t = 0; t < axis.taps[i]; t++)
                        sum += axis.weight[i * axis.stride + t];
                    for (int t = 0; t < mirror.taps[i]; t++)
                        turned += mirror.weight[i * mirror.stride + t];
                    /* rounding of each weight only */
                    assert_true(llabs(sum - (1 << DF_WEIGHT_BITS)) <= axis.taps[i]);
                    assert_int_equal(sum, turned);
                }
            }
    df_axis_clear(&axis);
    df_axis_clear(&mirror);
}

/* A constant stays one; the middle of a ramp stays on its line; no resize is no change. */
static void test_closed_forms(void **state)
{
    (void)state;
    enum { W = 96, H = 64 };
    struct picture picture;
    static uint8_t rows[W * H], sample[200 * 200];
    const struct png_kind kind = {W, H, PNG_COLOR_TYPE_GRAY, 8, 0, NULL, 0, 0};
    memset(rows, 201, sizeof rows);
    write_png(&picture, &kind, rows, W);
    for (int cubic = 0; cubic < 2; cubic++)
        for (int size = 1; size < 100; size += 7) {
            struct df_shape shape =
                decode(&picture,
                       (struct df_image_fit){.resize = size,
                                             .crop = 0,
                                             .interpolation = cubic ? DF_BICUBIC : DF_BILINEAR,
                                             .channels = 1},
                       sample);
            assert_shape(shape, 1, size, (int64_t)(size * (double)W / H));
            for (int64_t i = 0; i < df_shape_size(shape); i++)
                assert_int_equal(sample[i], 201);
        }
    for (int i = 0; i < W * H; i++)
        rows[i] = (uint8_t)(2 * (i % W) + i / W);
    write_png(&picture, &kind, rows, W);
    assert_shape(
        decode(&picture,
               (struct df_image_fit){.resize = H, .crop = 0, .interpolation = DF_BICUBIC, .channels = 1},
               sample),
        1, H, W);
    assert_memory_equal(sample, rows, sizeof rows);
    for (int cubic = 0; cubic < 2; cubic++) {
        decode(&picture,
               (struct df_image_fit){
                   .resize = 32, .crop = 0, .interpolation = cubic ? DF_BICUBIC : DF_BILINEAR, .channels = 1},
               sample);
        for (int y = 4; y < 28; y++) /* pixel i of the half lies at 2 i + 0.5 of the whole */
            for (int x = 4; x < 44; x++)
                assert_true(abs(sample[y * 48 + x] - (int)(2 * (2 * x + 0.5) + 2 * y + 0.5)) <= 1);
    }
}

static void test_golden(void **state)
{
    (void)state;
    struct picture picture;
    static uint8_t sample[3 * GOLDEN_SIDE * GOLDEN_SIDE];
    for (size_t i = 0; i < sizeof golden_resizes / sizeof golden_resizes[0]; i++) {
        const int width = golden_resizes[i].width, height = golden_resizes[i].height;
        write_colour_png(&picture, width, height, 0);
        const struct df_image_fit fit = {.resize = 16,
                                         .crop = GOLDEN_SIDE,
                                         .interpolation =
                                             golden_resizes[i].bicubic ? DF_BICUBIC : DF_BILINEAR,
                                         .channels = 3};
        assert_shape(decode(&picture, fit, sample), 3, GOLDEN_SIDE, GOLDEN_SIDE);
        for (size_t k = 0; k < sizeof sample; k++)
            if (sample[k] != golden_resizes[i].planes[k])
                test_fail("%d x %d, bicubic %d: value %zu is %d, Pillow's is %d", width, height,
                          golden_resizes[i].bicubic, k, sample[k], golden_resizes[i].planes[k]);
    }
}

/* Resize to height and width: as the shorter side does where it is the same, squashed else. */
static void test_squash(void **state)
{
    (void)state;
    struct picture picture;
    static uint8_t a[3 * 16 * 25], b[3 * 16 * 25];
    write_colour_png(&picture, 37, 23, 0);
    assert_shape(decode(&picture, (struct df_image_fit){.resize = 16, .channels = 3}, a), 3, 16, 25);
    assert_shape(decode(&picture, (struct df_image_fit){.height = 16, .width = 25, .channels = 3}, b), 3, 16,
                 25);
    assert_memory_equal(a, b, sizeof a);
    assert_shape(decode(&picture, (struct df_image_fit){.height = 9, .width = 5, .channels = 3}, b), 3, 9, 5);
    assert_shape(
        decode(&picture, (struct df_image_fit){.height = 9, .width = 5, .crop = 7, .channels = 1}, b), 1, 7,
        7);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static void put_text(const char *name, const char *text)
{
    test_ok(df_file_write(at(name), text, strlen(text)));
}

static void refuse_list(const char *text, const char *words)
{
    struct df_image_list list;
    const int64_t live = df_alloc_live();
    put_text("list.csv", text);
    test_error(df_image_list_read(&list, at("list.csv"), false, NULL), DFAL_E_DATA, words);
    df_image_list_clear(&list);
    assert_int_equal(df_alloc_live(), live);
}

static void test_lists(void **state)
{
    (void)state;
    struct df_image_list list;
    char *path;
    put_text("list.csv",
             "label,path\r\ncat,b.png\r\ndog,\"a, \"\"1\"\".png\"\r\n,sub/c.png\r\ncat,/root.png\r\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, NULL));
    assert_int_equal(list.count, 4);
    assert_string_equal(list.entries[0].id, "/root.png");
    assert_string_equal(list.entries[1].id, "a, \"1\".png");
    assert_int_equal(list.class_count, 2);
    assert_string_equal(list.classes[0], "cat");
    const int32_t labels[4] = {0, 1, 0, -1};
    for (int i = 0; i < 4; i++)
        assert_int_equal(list.entries[i].label, labels[i]);
    assert_int_equal(list.unlabelled, 1);
    test_ok(df_image_list_path(&path, &list, 2));
    assert_string_equal(path, at("b.png"));
    df_free(path);
    test_ok(df_image_list_path(&path, &list, 0));
    assert_string_equal(path, "/root.png");
    df_free(path);
    df_image_list_clear(&list);
    put_text("list.csv", "\xef\xbb\xbfid,path,label,more\nsecond,x.png,7,\nfirst,x.png,0,\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, NULL));
    assert_string_equal(list.entries[0].id, "first");
    assert_string_equal(list.entries[1].path, "x.png");
    assert_int_equal(list.class_count, 8);
    assert_null(list.classes);
    df_image_list_clear(&list);
    /* pandas: a gap makes floats of numbers; Excel: semicolons, and what says so */
    put_text("list.csv", "path,label\na.png,1.0\nb.png,2.0\nc.png,\nd.png,nan\ne.png,-1.0\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, NULL));
    const int32_t floats[5] = {1, 2, -1, -1, -1};
    for (int i = 0; i < 5; i++)
        assert_int_equal(list.entries[i].label, floats[i]);
    assert_int_equal(list.class_count, 3);
    assert_null(list.classes);
    assert_int_equal(list.unlabelled, 3);
    assert_int_equal(list.blanks, 1);
    df_image_list_clear(&list);
    put_text("list.csv", "sep=;\nlabel;path\n02;a,1.png\n10;b.png\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, NULL));
    assert_string_equal(list.entries[0].id, "a,1.png");
    assert_string_equal(list.classes[1], "10"); /* codes are names */
    df_image_list_clear(&list);
    refuse_list("path,label\na,1\nb,cat\nc,2\n", ":3: label 'cat' is no number, that of line 2 is ('1')");
    refuse_list("path,label\na,1.5\nb,2.0\n", "'1.5' is no number");
    refuse_list("", "header");
    refuse_list("path,label\n", "lists no picture");
    refuse_list("name\na.png\n", "'path' or 'id'");
    refuse_list("path\na.png\nb.png\na.png\n", ":4: id 'a.png' stands in line 2");
    refuse_list("path\na.png,b\n", ":2: 2 fields");
    refuse_list("path,path\na,b\n", "twice");
    refuse_list("path,label\n\"a\n", "quoting");
    refuse_list("path,label\n,x\n", ":2: an empty path");
    refuse_list("path,label\na,x\nb,x\n", "one class");
}

/* Classes that are given: by name, else by number, as in label files. */
static void test_class_names(void **state)
{
    (void)state;
    struct df_image_list list;
    char path[TEST_PATH];
    test_join(path, folder, "names.txt");
    put_text("names.txt", "\xef\xbb\xbf"
                          "dog\r\ncat\r\neel\r\n\r\n\n");
    put_text("list.csv", "path,label\na,cat\nb,0.0\nc,2\nd,dog\ne,nan\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, path));
    const int32_t labels[5] = {1, 0, 2, 0, -1};
    for (int i = 0; i < 5; i++)
        assert_int_equal(list.entries[i].label, labels[i]);
    assert_int_equal(list.class_count, 3);
    assert_string_equal(list.classes[0], "dog");
    df_image_list_clear(&list);
    put_text("list.csv", "path,label\na,cta\n");
    test_error(df_image_list_read(&list, at("list.csv"), false, path), DFAL_E_DATA,
               "list.csv:2: unknown class 'cta': expected a class name, 0 to 2, or -1; nearest is 'cat'");
    df_image_list_clear(&list);
    put_text("names.txt", "10\n20\n1\n"); /* numbers that are names are no places */
    put_text("list.csv", "path,label\na,1.0\nb,10\nc,20.0\n");
    test_ok(df_image_list_read(&list, at("list.csv"), false, path));
    const int32_t numbers[3] = {2, 0, 1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(list.entries[i].label, numbers[i]);
    df_image_list_clear(&list);
    put_text("list.csv", "path,label\na,2\n");
    test_error(df_image_list_read(&list, at("list.csv"), false, path), DFAL_E_DATA, "numbers are names here");
    df_image_list_clear(&list);
}

static void test_folders(void **state)
{
    (void)state;
    struct df_image_list list;
    const char *folders[] = {"tree", "tree/b", "tree/a", "tree/a/deep", "tree/.git", "elsewhere"};
    const char *files[] = {"tree/b/2.JPG",      "tree/b/1.png",    "tree/a/x.jpeg",
                           "tree/a/deep/y.Png", "tree/top.jpg",    "tree/n.txt",
                           "tree/.hidden.jpg",  "tree/.git/o.jpg", "elsewhere/e.png"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        test_ok(df_folder_create(at(folders[i])));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        put_text(files[i], "x");
    assert_int_equal(symlink("..", at("tree/a/loop")), 0);
    assert_int_equal(symlink("../elsewhere", at("tree/c")), 0);
    assert_int_equal(symlink("nowhere.png", at("tree/c.png")), 0);
    assert_int_equal(symlink("self.jpg", at("tree/self.jpg")), 0);
    test_ok(df_image_list_read(&list, at("tree"), true, NULL));
    const char *ids[] = {"a/deep/y.Png", "a/x.jpeg", "b/1.png",  "b/2.JPG",
                         "c.png",        "c/e.png",  "self.jpg", "top.jpg"};
    const int32_t labels[] = {0, 0, 1, 1, -1, 2, -1, -1};
    int found = 0;
    for (int64_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < sizeof ids / sizeof ids[0]; k++)
            if (strcmp(list.entries[i].id, ids[k]) == 0) {
                assert_int_equal(list.entries[i].label, labels[k]);
                found++;
            }
    assert_int_equal(found, 8);
    assert_int_equal(list.count, 8);
    assert_int_equal(list.loops, 1);
    assert_int_equal(list.hidden, 2);
    assert_int_equal(list.other_files, 1);
    assert_int_equal(list.class_count, 3);
    assert_string_equal(list.classes[2], "c");
    for (int64_t i = 1; i < list.count; i++)
        assert_true(strcmp(list.entries[i - 1].id, list.entries[i].id) < 0);
    df_image_list_clear(&list);
    test_error(df_image_list_read(&list, at("none"), false, NULL), DFAL_E_NOINPUT, "none");
    df_image_list_clear(&list);
    test_error(df_image_list_read(&list, at("tree/b"), true, NULL), DFAL_E_DATA,
               "no picture inside a folder");
    df_image_list_clear(&list);
}

/* ---- the import ---------------------------------------------------------------------------------------- */

static dfal_context *make_context(int32_t threads, bool force)
{
    struct dfal_context_options options;
    dfal_context *context;
    dfal_context_options_init(&options);
    options.threads = threads;
    options.force = force;
    test_ok(dfal_context_create(&context, &options));
    return context;
}

enum { PICTURES = 40 };

static void write_folder(void)
{
    struct picture picture;
    char name[64];
    test_ok(df_folder_create(at("in")));
    for (int i = 0; i < PICTURES; i++) {
        snprintf(name, sizeof name, "in/%02d.png", i);
        write_colour_png(&picture, 20 + i, 30, 1 + i % 8);
        test_ok(df_file_write(at(name), picture.bytes, i % 10 == 3 ? picture.size / 2 : picture.size));
    }
}

static dfal_status import_with(dfal_context *context, const char *out, int32_t crop, const char *on_error,
                               struct dfal_image_result *result)
{
    struct dfal_image_options options;
    dfal_image_options_init(&options);
    options.resize = 16;
    options.crop = crop;
    options.on_error = on_error;
    options.mean[0] = 0.5;
    options.std[0] = 0.25;
    options.mean_count = options.std_count = 1;
    return dfal_import_images(context, result, at(out), at("in"), &options);
}

static dfal_status import(const char *out, int32_t threads, int32_t crop, const char *on_error,
                          struct dfal_image_result *result)
{
    dfal_context *context = make_context(threads, true);
    dfal_status status = import_with(context, out, crop, on_error, result);
    dfal_context_destroy(context);
    return status;
}

static void test_import(void **state)
{
    (void)state;
    struct dfal_image_result result;
    dfal_image_result_init(&result);
    struct df_pool *pool[2];
    static uint8_t a[36 * 3 * 144], b[36 * 3 * 144];
    const int64_t live = df_alloc_live();
    write_folder();
    test_error(import("pool.h5", 1, 12, "stop", &result), DFAL_E_DATA,
               "in/03.png: the PNG is damaged or truncated");
    assert_false(df_file_exists(at("pool.h5")) || df_file_exists(at("pool.h5.parts")));
    for (int i = 0; i < 2; i++) {
        test_ok(import(i ? "b.h5" : "a.h5", i ? 5 : 1, 12, "skip", &result));
        assert_int_equal(result.samples, 36);
        assert_int_equal(result.skipped, 4);
        test_ok(df_pool_open(&pool[i], NULL, at(i ? "b.h5" : "a.h5"), NULL));
        test_ok(df_pool_read(pool[i], i ? b : a, 0, 36));
    }
    assert_memory_equal(a, b, sizeof a);
    assert_string_equal(pool[0]->fingerprint, pool[1]->fingerprint);
    assert_true(pool[0]->scale[0] == 1 / (255 * 0.25) && pool[0]->offset[2] == -2 &&
                pool[0]->affine_count == 3);
    char *id;
    test_ok(df_pool_id(pool[0], &id, 3));
    assert_string_equal(id, "04.png");
    df_free(id);
    char *table;
    size_t size;
    test_ok(df_file_read(&table, &size, at("a.bad.csv"), 10000));
    assert_non_null(strstr(table, "path,reason\n03.png,"));
    assert_non_null(strstr(table, "\n33.png,"));
    df_free(table);
    df_pool_close(pool[0]);
    df_pool_close(pool[1]);
    /* Without crop the pictures differ in size, and the first that does is named. */
    dfal_context *context = make_context(3, true);
    context->kept_work = true; /* as an earlier job of the context has left it */
    test_error(import_with(context, "c.h5", 0, "skip", &result), DFAL_E_SHAPE, "in/0");
    assert_false(dfal_context_kept_work(context));
    dfal_context_destroy(context);
    assert_false(df_file_exists(at("c.h5")) || df_file_exists(at("c.h5.parts")));
    assert_int_equal(df_alloc_live(), live);
}

/* Every n-th allocation, read, write and rename may fail: nothing is lost, and nothing half-written
 * appears. */
static void test_torture(void **state)
{
    (void)state;
    struct dfal_image_result result;
    dfal_image_result_init(&result);
    const enum df_fault kinds[] = {DF_FAULT_ALLOC,  DF_FAULT_READ,  DF_FAULT_WRITE, DF_FAULT_FSYNC,
                                   DF_FAULT_RENAME, DF_FAULT_CLOSE, DF_FAULT_FLUSH};
    write_folder();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        int64_t step = 1;
        for (int64_t n = 1;; n += step) {
            dfal_context *context = make_context(1, true);
            const int64_t live = df_alloc_live();
            df_fault_arm(kinds[k], n);
            dfal_status status = import_with(context, "t.h5", 12, "skip", &result);
            const int64_t seen = df_fault_seen(kinds[k]);
            df_fault_arm(kinds[k], 0);
            const int64_t left = df_alloc_live() - live;
            dfal_context_destroy(context);
            if (left != 0)
                test_fail("kind %zu, operation %lld: memory is lost", k, (long long)n);
            if (seen < n) { /* not reached any more */
                assert_int_equal(status, DFAL_OK);
                break;
            }
            /* The folder's fsync comes last: when it fails the pool is there, and whole. */
            if (status != DFAL_OK && df_file_exists(at("t.h5"))) {
                struct df_pool *pool;
                test_ok(df_pool_open(&pool, NULL, at("t.h5"), NULL));
                assert_int_equal(pool->count, 36);
                df_pool_close(pool);
            }
            if (status == DFAL_OK)
                assert_int_equal(result.samples, 36);
            unlink(at("t.h5"));
            unlink(at("t.bad.csv"));
            step = 1 + n / 12;
        }
        unlink(at("t.h5"));
    }
}

static int set_up(void **state)
{
    (void)state;
    test_folder_create(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_interlaced),
        cmocka_unit_test(test_jpeg_kinds),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_exif),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_axis),
        cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_squash),
        cmocka_unit_test_setup_teardown(test_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_class_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_import, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torture, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
