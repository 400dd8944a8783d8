/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG through libjpeg-turbo: accurate DCT and smooth upsampling, as its defaults and Pillow's are. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/memory.h"
#include "io/image.h"

#ifndef JCS_EXTENSIONS
#error "libjpeg-turbo is needed: this jpeglib.h has no JCS_EXT_RGBX"
#endif

/* A progressive file may say every coefficient again and again: as many scans as libjpeg-turbo's own tools
 * take in their fuzz tests. */
enum { SCANS_MOST = 500, EXIF_MARK = 6 };
/* An aligned row is written past the caches by libjpeg-turbo, and read from memory right after. */
enum { ROW_SHIFT = 4 };

struct decoder {
    struct jpeg_error_mgr errors; /* first: libjpeg gives its address back */
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    char reason[JMSG_LENGTH_MAX];
    uint8_t *row;
};

static void on_error(j_common_ptr info)
{
    struct decoder *decoder = (struct decoder *)(void *)info->err;
    info->err->format_message(info, decoder->reason);
    longjmp(decoder->failed, 1);
}

/* Warnings that mean lost pixels are errors; bytes too many between markers and odd headers are not. */
static void on_message(j_common_ptr info, int level)
{
    if (level >= 0)
        return;
    switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        on_error(info);
        break;
    default:
        info->err->num_warnings++;
    }
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void on_progress(j_common_ptr info)
{
    struct decoder *decoder = (struct decoder *)(void *)info->err;
    j_decompress_ptr jpeg = (j_decompress_ptr)info;
    if (info->is_decompressor && jpeg->input_scan_number > SCANS_MOST) {
        snprintf(decoder->reason, sizeof decoder->reason, "more than %d scans", SCANS_MOST);
        longjmp(decoder->failed, 1);
    }
}

static int32_t orientation_of(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->data_length > EXIF_MARK && memcmp(marker->data, "Exif\0", EXIF_MARK) == 0)
            return df_exif_orientation(marker->data + EXIF_MARK, marker->data_length - EXIF_MARK);
    return 1;
}

/* Between setjmp and the end only what lies in *jpeg and *decoder changes. */
static dfal_status decode(struct jpeg_decompress_struct *jpeg, struct decoder *decoder,
                          struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                          struct df_image_limits limits)
{
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    const bool held = jpeg_has_multiple_scans(jpeg);
    DF_TRY(df_image_check(jpeg->image_width, jpeg->image_height, limits, held));
    int32_t lanes = DF_COLOUR;
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
        jpeg->out_color_space = JCS_GRAYSCALE;
        lanes = DF_GREY;
        break;
    case JCS_YCbCr:
    case JCS_RGB:
        jpeg->out_color_space = JCS_EXT_RGBX;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        break;
    default:
        DF_FAIL(DFAL_E_DATA, "a JPEG of %d components, expected 1 (grey), 3 (colour) or 4 (CMYK)",
                jpeg->num_components);
    }
    DF_TRY(df_alloc(&decoder->row, ROW_SHIFT + (int64_t)jpeg->image_width * lanes + DF_ROW_PADDING, 1));
    uint8_t *row = decoder->row + ROW_SHIFT;
    DF_TRY(sink->begin(sink, jpeg->image_width, jpeg->image_height, lanes, orientation_of(jpeg)));
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rows[1] = {row};
        jpeg_read_scanlines(jpeg, rows, 1);
        if (jpeg->out_color_space == JCS_CMYK)
            df_image_inks_to_light(row,
                                   jpeg->output_width); /* Adobe, and so everybody, stores them inverted */
        DF_TRY(sink->row(sink, row));
    }
    jpeg_finish_decompress(jpeg); /* demands the end marker */
    return DFAL_OK;
}

dfal_status df_jpeg_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                           struct df_image_limits limits)
{
    struct jpeg_decompress_struct jpeg = {0};
    struct decoder decoder = {.progress.progress_monitor = on_progress};
    dfal_status status;
    jpeg.err = jpeg_std_error(&decoder.errors);
    decoder.errors.error_exit = on_error;
    decoder.errors.emit_message = on_message;
    decoder.errors.output_message = on_output;
    if (setjmp(decoder.failed) == 0) {
        jpeg_create_decompress(&jpeg);
        jpeg.progress = &decoder.progress;
        status = decode(&jpeg, &decoder, sink, bytes, size, limits);
    } else if (decoder.errors.msg_code == JERR_OUT_OF_MEMORY) {
        status = df_fail(DFAL_E_MEMORY, "no memory for a JPEG picture");
    } else {
        status = df_fail(DFAL_E_DATA, "the JPEG is damaged or truncated (%s)", decoder.reason);
    }
    jpeg_destroy_decompress(&jpeg);
    df_free(decoder.row);
    return status;
}

#define TEXT_OF(x)  TEXT_OF_(x)
#define TEXT_OF_(x) #x
void df_jpeg_library(char text[DF_IMAGE_LIBRARY])
{
    snprintf(text, DF_IMAGE_LIBRARY, "libjpeg-turbo %s", TEXT_OF(LIBJPEG_TURBO_VERSION));
}
