/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_eval: one forward over the labelled rows of a pool. */
#include <string.h>

#include "backend/backend.h"
#include "base/claim.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/text.h"
#include "score/evaluate.h"
#include "score/pool_network.h"
#include "store/labels.h"

static dfal_status open_both(struct df_pool **pool, struct df_network **network, struct df_device **device,
                             dfal_context *context, const char *network_name, const char *pool_path,
                             const struct dfal_pool_options *options)
{
    DF_TRY(df_pool_open(pool, context, pool_path, options));
    df_labels_warn(context, *pool);
    if ((*pool)->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s: the pool has no samples, expected at least one", pool_path);
    DF_TRY(df_network_for_pool(network, context, network_name, *pool));
    return df_context_device(context, device);
}

static dfal_status write_confusion(struct df_text *text, const char *path, bool force)
{
    char *bytes;
    DF_TRY(df_text_take(text, &bytes));
    const dfal_status status = df_file_write_output(path, bytes, strlen(bytes), force);
    df_free(bytes);
    return status;
}

dfal_status dfal_eval_confusion(dfal_context *context, struct dfal_eval_result *told, const char *out_path,
                                const char *network_name, const char *pool_path,
                                const struct dfal_pool_options *options)
{
    const bool force = context->options.force;
    struct dfal_eval_result own, *result = &own;
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    struct df_device *device = NULL;
    struct df_text text = {0};
    dfal_status status = DFAL_OK;
    dfal_eval_result_init(result);
    DF_TRY(df_sized_check(told, "dfal_eval_result"));
    context->kept_work = false;
    if (out_path)
        DF_TRY_TO(done, status, df_claim_job(&claim, out_path, network_name, pool_path, options, force));
    DF_TRY_TO(done, status, open_both(&pool, &network, &device, context, network_name, pool_path, options));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)network->files, network->file_count));
    df_warn_trained_on(context, network_name, network, pool, false,
                       "this accuracy tells nothing about other samples");
    DF_TRY_TO(done, status,
              df_evaluate(context, device, network, pool, NULL, result, out_path ? &text : NULL));
    df_warn_nonfinite(context, pool, result);
    if (out_path)
        status = write_confusion(&text, out_path, force);
done:
    if (status != DFAL_OK || !told)
        dfal_eval_result_clear(result);
    df_sized_give(told, result, sizeof *result);
    df_text_clear(&text);
    df_network_destroy(network);
    df_pool_close(pool);
    df_claim_end(&claim);
    return status;
}

dfal_status dfal_eval(dfal_context *context, struct dfal_eval_result *result, const char *network_name,
                      const char *pool_path, const struct dfal_pool_options *options)
{
    return dfal_eval_confusion(context, result, NULL, network_name, pool_path, options);
}
