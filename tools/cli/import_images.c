/* SPDX-License-Identifier: Apache-2.0 */
/* dfal import images: a folder or a list of pictures to a pool. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

/* The next of some words with commas between, blanks in front left out. *at moves behind it and its comma;
 * behind the last it becomes NULL. A word that is too long becomes empty. */
enum { WORD_SIZE = 64 };
static const char *next_word(char word[WORD_SIZE], const char **at)
{
    const char *begin = *at + strspn(*at, " ");
    const size_t length = strcspn(begin, ",");
    snprintf(word, WORD_SIZE, "%.*s", length < WORD_SIZE ? (int)length : 0, begin);
    *at = begin[length] == ',' ? begin + length + 1 : NULL;
    return word;
}

/* "0.485,0.456,0.406": one number, or one a channel. */
static dfal_status parse_numbers(double values[3], int32_t *count, const char *name, const char *text,
                                 int32_t channels)
{
    if (text == NULL)
        return DFAL_OK;
    const char *at = text;
    char word[WORD_SIZE];
    bool whole = true;
    for (*count = 0; at != NULL && *count < 3 && whole;) {
        whole = df_parse_decimal(&values[*count], next_word(word, &at));
        *count += whole;
    }
    if (at == NULL && whole && (*count == 1 || *count == channels))
        return DFAL_OK;
    return usage_error(DFAL_E_USAGE, "--%s '%s' is not understood, expected %s", name, text,
                       channels == 1 ? "one number" : "one number, or three with commas between");
}

/* "256": the shorter side; "224,224": height and width. */
static dfal_status parse_resize(struct dfal_image_options *options, const char *text)
{
    enum { SIDE_MOST = 65536 };
    int64_t side[2] = {0, 0};
    int32_t count = 0;
    char word[WORD_SIZE];
    bool good = true;
    for (const char *at = text; at != NULL && good; count++)
        good = count < 2 && df_parse_whole(&side[count], next_word(word, &at)) && side[count] >= 1 &&
               side[count] <= SIDE_MOST;
    if (!good)
        return usage_error(DFAL_E_USAGE,
                           "--resize '%s' is out of range or not understood, expected 1 to %d, or height and "
                           "width with a comma between",
                           text, SIDE_MOST);
    options->resize = count == 1 ? (int32_t)side[0] : 0;
    options->resize_height = count == 2 ? (int32_t)side[0] : 0;
    options->resize_width = count == 2 ? (int32_t)side[1] : 0;
    return DFAL_OK;
}

dfal_status import_images(dfal_context *context, struct import_args *args, const char *const *operands,
                          int32_t count)
{
    struct dfal_image_options *options = &args->images;
    struct dfal_image_result result;
    dfal_image_result_init(&result);
    (void)count;
    if (options->channels == 2)
        return usage_error(DFAL_E_USAGE, "--channels '2' is out of range, expected 3 or 1");
    dfal_status status = parse_resize(options, args->resize);
    if (status == DFAL_OK)
        status = parse_numbers(options->mean, &options->mean_count, "mean", args->mean, options->channels);
    if (status == DFAL_OK)
        status = parse_numbers(options->std, &options->std_count, "std", args->std, options->channels);
    for (int32_t i = 0; status == DFAL_OK && i < options->std_count; i++)
        if (options->std[i] <= 0)
            return usage_error(DFAL_E_USAGE, "--std '%s' holds %g, expected positive numbers", args->std,
                               options->std[i]);
    if (status != DFAL_OK)
        return status;
    status = dfal_import_images(context, &result, args->out, operands[0], options);
    args->result =
        json_members(args->result, MEMBER(&result, samples), MEMBER(&result, skipped),
                     MEMBER(&result, other_files), MEMBER(&result, hidden), MEMBER(&result, rotated), "shape",
                     json_pack("[i, i, i]", result.channels, result.height, result.width), "classes",
                     JSON(result.class_count), MEMBER(&result, seconds), NULL);
    return status;
}
