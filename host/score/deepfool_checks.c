/* SPDX-License-Identifier: Apache-2.0 */
#include "score/deepfool_checks.h"

#include <math.h>

#include "base/memory.h"
#include "score/deepfool_worker.h"
#include "score/pass.h"
#include "score/pool_network.h"

enum { PROBE_ROWS = 16 };
#define BOX_ROUNDING 1e-6f /* so far beyond 0 and 1 a picture may be that somebody scaled */

dfal_status df_deepfool_check_shapes(const struct df_network *network, const struct df_pool *pool)
{
    DF_TRY(df_network_check_shape(network, pool, "the network"));
    if (network->class_count < 2)
        DF_FAIL(DFAL_E_DATA, "the network has %d classes, DeepFool needs at least two", network->class_count);
    return DFAL_OK;
}

/* A sample outside the box would be clipped to its border in the first step, and the margin were mostly the
 * way there. Bytes cannot be outside; what is not finite has a status of its own. */
dfal_status df_deepfool_check_rows(const struct df_deepfool_engine *engine, const void *raw,
                                   const int64_t *index, int64_t rows)
{
    const struct df_pool *pool = engine->pool;
    const int64_t size = df_shape_size(pool->shape);
    const float *values = raw;
    if (!engine->deepfool.clip || pool->raw == DF_RAW_U8)
        return DFAL_OK;
    for (int64_t i = 0; i < rows * size; i++)
        if (isfinite(values[i]) && (values[i] < -BOX_ROUNDING || values[i] > 1.0f + BOX_ROUNDING))
            DF_FAIL(DFAL_E_DATA,
                    "%s: row %lld holds the value %g, but DeepFool of preset '%s' clips to the range of "
                    "pictures, "
                    "which is 0 to 1 in a pool of floats: import the pictures as bytes or without mean and "
                    "standard deviation (scale and offset of a pool hold these), or take another preset",
                    pool->path, (long long)index[i / size], (double)values[i], engine->deepfool.preset);
    return DFAL_OK;
}

/* DeepFool on probabilities would be another score under the same name: look at the first rows and their
 * outputs. */
dfal_status df_deepfool_check_outputs(struct df_deepfool_engine *engine)
{
    const int32_t classes = engine->params.classes;
    const int64_t rows = engine->pool->count < PROBE_ROWS ? engine->pool->count : PROBE_ROWS;
    int64_t index[PROBE_ROWS] = {0};
    void *raw = NULL;
    float *logits = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&raw, rows, df_pool_row_bytes(engine->pool)));
    DF_TRY_TO(done, status, df_alloc(&logits, rows * classes, sizeof *logits));
    DF_TRY_TO(done, status, df_pool_read(engine->pool, raw, 0, rows));
    for (int64_t i = 0; i < rows; i++)
        index[i] = i;
    DF_TRY_TO(done, status, df_deepfool_check_rows(engine, raw, index, rows));
    for (int64_t begin = 0; begin < rows; begin += engine->slots) {
        const int64_t n = rows - begin < engine->slots ? rows - begin : engine->slots;
        DF_TRY_TO(done, status,
                  df_deepfool_worker_logits(&engine->workers[0], logits + begin * classes,
                                            (char *)raw + (size_t)begin * df_pool_row_bytes(engine->pool),
                                            n));
    }
    status = df_check_logits(logits, rows, classes);
done:
    df_free(raw);
    df_free(logits);
    return status;
}
