/* SPDX-License-Identifier: Apache-2.0 */
/* WebP, BMP and TIFF: Pillow's bytes, broken files, limits, orientation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "golden/formats.h"
#include "support.h"
#include "support_image.h"

static void read_seed(struct picture *picture, const char *name)
{
    char path[512], *bytes;
    snprintf(path, sizeof path, "%s/tests/fuzz/seeds/image/%s", DFAL_SOURCE_DIR, name);
    test_ok(df_file_read(&bytes, &picture->size, path, PICTURE_BYTES));
    memcpy(picture->bytes, bytes, picture->size);
    df_free(bytes);
}

/* Each file of tests/golden/images.py has the bytes that Pillow gives. */
static void test_formats(void **state)
{
    (void)state;
    struct picture picture;
    static uint8_t sample[3 * 37 * 23];
    const int64_t live = df_alloc_live();
    for (size_t i = 0; i < sizeof golden_formats / sizeof *golden_formats; i++) {
        struct df_digest digest;
        char text[DF_DIGEST_TEXT];
        read_seed(&picture, golden_formats[i].name);
        const struct df_shape shape = decode(&picture, (struct df_image_fit){.channels = 3}, sample);
        df_digest_begin(&digest);
        df_digest_add(&digest, sample, (size_t)df_shape_size(shape));
        df_digest_end(&digest, text);
        if (shape.w != golden_formats[i].width || shape.h != golden_formats[i].height ||
            strcmp(text, golden_formats[i].sha256) != 0)
            test_fail("%s: %lld x %lld, other bytes than Pillow's", golden_formats[i].name,
                      (long long)shape.w, (long long)shape.h);
    }
    assert_int_equal(df_alloc_live(), live);
}

/* Cut anywhere, a picture is an error or (behind its last pixel, or in what is not needed) the same picture;
 * a byte that changes gives a picture or an error of one line. Nothing is printed and nothing is lost. */
static void test_formats_broken(void **state)
{
    (void)state;
    static struct picture picture, whole;
    static uint8_t sample[3 * 37 * 23], expected[3 * 37 * 23];
    const struct df_image_fit fit = {.channels = 3};
    const struct df_image_limits limits = {1 << 16, 1 << 14};
    const int64_t live = df_alloc_live();
    for (size_t i = 0; i < sizeof golden_formats / sizeof *golden_formats; i++) {
        struct df_shape shape;
        int refused = 0;
        read_seed(&whole, golden_formats[i].name);
        const struct df_shape full = decode(&whole, fit, expected);
        const size_t step = 1 + whole.size / 200;
        picture = whole;
        for (picture.size = whole.size - 1; picture.size > step; picture.size -= step) {
            const dfal_status status = decode_with(&picture, &fit, &shape, sample, limits);
            refused += status == DFAL_E_DATA;
            if (status != DFAL_E_DATA &&
                (status != DFAL_OK || memcmp(sample, expected, (size_t)df_shape_size(full)) != 0))
                test_fail("%s cut to %zu bytes: %d", golden_formats[i].name, picture.size, (int)status);
        }
        assert_true(refused > 20);
        picture.size = whole.size;
        for (size_t at = 0; at < whole.size; at += step) {
            picture.bytes[at] ^= (uint8_t)(1 + at * 37);
            const dfal_status status = decode_with(&picture, &fit, &shape, NULL, limits);
            if (status != DFAL_OK && status != DFAL_E_DATA)
                test_fail("%s, byte %zu changed: %d", golden_formats[i].name, at, (int)status);
            if (status == DFAL_E_DATA && (!dfal_last_error()[0] || strchr(dfal_last_error(), '\n')))
                test_fail("%s, byte %zu changed: no sentence", golden_formats[i].name, at);
            picture.bytes[at] = whole.bytes[at];
        }
    }
    assert_int_equal(df_alloc_live(), live);
}

static void test_formats_refused(void **state)
{
    (void)state;
    struct picture picture;
    struct df_shape shape;
    const struct df_image_fit fit = {.channels = 3};
    const struct df_image_limits tight = {16 * 11 - 1, 16 * 11 - 1};
    const char *const names[] = {"lossy.webp", "colour.bmp", "colour.tif"};
    for (int i = 0; i < 3; i++) {
        read_seed(&picture, names[i]);
        test_error(decode_with(&picture, &fit, &shape, NULL, tight), DFAL_E_DATA, "16 x 11 pixels");
    }
    read_seed(&picture, "colour.bmp");
    picture.bytes[30] = 1;
    test_error(decode_with(&picture, &fit, &shape, NULL, tight), DFAL_E_DATA, "a BMP of compression 1");
    memset(picture.bytes + 18, 0x7f, 8); /* two thousand million a side */
    picture.bytes[30] = 0;
    test_error(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_E_DATA, "a side");
    read_seed(&picture, "four.bmp");
    picture.bytes[46] = 2; /* colours */
    test_error(decode_with(&picture, &fit, &shape, NULL, DF_IMAGE_LIMITS), DFAL_E_DATA, "of 2)");
}

/* EXIF is followed or not; TIFF's own orientation always is. */
static void test_exif_ignored(void **state)
{
    (void)state;
    const struct {
        const char *name;
        bool own;
    } turned[] = {{"turned.jpg", false}, {"turned.png", false}, {"turned.webp", false}, {"turned.tif", true}};
    for (size_t i = 0; i < sizeof turned / sizeof *turned; i++)
        for (int ignore = 0; ignore < 2; ignore++) {
            struct picture picture;
            struct df_fitter fitter;
            const struct df_image_fit fit = {.channels = 3, .ignore_exif = ignore};
            read_seed(&picture, turned[i].name);
            df_fitter_init(&fitter, &fit);
            test_ok(df_image_decode(&fitter.sink, picture.bytes, picture.size, DF_IMAGE_LIMITS));
            const bool stands = turned[i].own || !ignore;
            assert_shape(fitter.shape, 3, stands ? 16 : 11, stands ? 11 : 16);
            assert_int_equal(fitter.rotated, !turned[i].own);
            df_fitter_clear(&fitter);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_formats_broken),
        cmocka_unit_test(test_formats_refused),
        cmocka_unit_test(test_exif_ignored),
    };
    return cmocka_run_group_tests_name("image_formats", tests, NULL, NULL);
}
