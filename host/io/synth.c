/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded data set as a pool. */
#include <string.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"
#include "io/digits.h"
#include "store/pool.h"

enum { BLOCK_ROWS = 256 };
static const int64_t count_limit = (int64_t)1 << 40;

void(dfal_synth_options_init)(struct dfal_synth_options *options, size_t size)
{
    const struct dfal_synth_options defaults = {.class_count = 10, .side = 28, .split = "train"};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

static dfal_status check_options(const struct dfal_synth_options *options)
{
    if (options->count < 1 || options->count > count_limit)
        DF_FAIL(DFAL_E_USAGE, "synth: %lld samples, expected 1 to 2^40", (long long)options->count);
    if (options->class_count < 2 || options->class_count > 10)
        DF_FAIL(DFAL_E_USAGE, "synth: %d classes, expected 2 to 10", options->class_count);
    if (options->side < DF_DIGIT_LEAST_SIZE || options->side > DF_DIGIT_MOST_SIZE)
        DF_FAIL(DFAL_E_USAGE, "synth: pictures of %d pixels a side, expected %d to %d", options->side,
                DF_DIGIT_LEAST_SIZE, DF_DIGIT_MOST_SIZE);
    return df_word(NULL, "split", options->split, DFAL_SPLITS);
}

static dfal_status draw_rows(dfal_context *context, struct df_pool_writer *writer,
                             const struct dfal_synth_options *options)
{
    enum df_stream stream =
        strcmp(options->split, "test") == 0 ? DF_STREAM_SYNTH_TEST : DF_STREAM_SYNTH_TRAIN;
    int64_t row = (int64_t)options->side * options->side;
    dfal_status status;
    struct df_progress progress;
    int32_t labels[BLOCK_ROWS];
    uint8_t *pixels = NULL;
    float *canvas = NULL;
    df_progress_begin(&progress, context, "synth.progress", "samples", options->count, 0);
    DF_TRY_TO(done, status, df_alloc(&pixels, BLOCK_ROWS * row, 1));
    DF_TRY_TO(done, status, df_alloc(&canvas, row, sizeof *canvas));
    for (int64_t begin = 0; begin < options->count; begin += BLOCK_ROWS) {
        int64_t n = options->count - begin < BLOCK_ROWS ? options->count - begin : BLOCK_ROWS;
        DF_TRY_TO(done, status, df_context_check_stop(context));
        for (int64_t i = 0; i < n; i++)
            df_digit_draw(pixels + i * row, &labels[i], canvas, options->side, options->class_count,
                          context->options.seed, stream, (uint64_t)(begin + i));
        DF_TRY_TO(done, status, df_pool_append(writer, pixels, labels, n));
        df_progress_add(&progress, n, "");
    }
done:
    df_progress_end(&progress);
    df_free(pixels);
    df_free(canvas);
    return status;
}

dfal_status dfal_synth(dfal_context *context, const char *out_path, const struct dfal_synth_options *given)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_pool_writer *writer;
    struct dfal_synth_options own, *options = &own;
    dfal_status status;
    dfal_synth_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, given, "dfal_synth_options"));
    context->kept_work = false;
    DF_TRY(check_options(options));
    struct df_pool_spec spec = {.count = options->count,
                                .shape = {1, options->side, options->side},
                                .raw = DF_RAW_U8,
                                .class_count = options->class_count,
                                .has_labels = true};
    DF_TRY_TO(done, status, df_claim_job(&claim, out_path, NULL, NULL, NULL, context->options.force));
    DF_TRY_TO(done, status, df_pool_create(&writer, out_path, &spec, context->options.force));
    status = draw_rows(context, writer, options);
    if (status == DFAL_OK)
        status = df_pool_finish(writer);
    else
        df_pool_abandon(writer);
    if (status == DFAL_OK)
        df_say(context, DFAL_INFO, "synth.end",
               DF_FIELDS(DF_INT("samples", options->count), DF_INT("classes", options->class_count),
                         DF_TEXT("split", options->split), DF_TEXT("output", out_path)),
               "%s: %lld drawn digits of %d x %d, %d classes, split %s", out_path, (long long)options->count,
               options->side, options->side, options->class_count, options->split);
done:
    df_claim_end(&claim);
    return status;
}
