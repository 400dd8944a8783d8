/* SPDX-License-Identifier: Apache-2.0 */
/* A forward over the labelled rows: labels and losses are told on the device, and put by rank among those
 * rows, so that their sum has one order. */
#include "score/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "backend/op_call.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "score/confusion.h"
#include "score/pass.h"
#include "score/pool_network.h"
#include "score/row_values.h"

/* What a worker of the pass tells of a block; made by its first. */
struct teller {
    struct df_device *device;
    struct df_span label, truth, loss;
    int32_t *truth_host, *label_host;
    float *loss_host, *logits;
};

struct evaluation {
    const struct df_network *network; /* whose order of the classes the result is in */
    const struct df_pool *pool;
    const int64_t *rows; /* labelled, ascending */
    int64_t count;
    float *loss;            /* [count] */
    int32_t *predicted;     /* [count]; -1: an input or a logit is not finite */
    struct teller *tellers; /* [df_group_workers] */
};

/* ---- A block ------------------------------------------------------------------------------------------- */

static dfal_status teller_open(struct teller *teller, const struct df_pass_on_device *block, int32_t classes)
{
    struct df_device *device = teller->device = block->device;
    DF_TRY(df_buffer_new(device, &teller->label, DF_TYPE_I32, block->most));
    DF_TRY(df_buffer_new(device, &teller->truth, DF_TYPE_I32, block->most));
    DF_TRY(df_buffer_new(device, &teller->loss, DF_TYPE_REAL, block->most));
    DF_TRY(df_alloc(&teller->truth_host, block->most, sizeof *teller->truth_host));
    DF_TRY(df_alloc(&teller->label_host, block->most, sizeof *teller->label_host));
    DF_TRY(df_alloc(&teller->loss_host, block->most, sizeof *teller->loss_host));
    return df_alloc(&teller->logits, block->most * classes, sizeof *teller->logits);
}

static void teller_close(struct teller *teller)
{
    if (!teller->device)
        return;
    df_buffer_drop(teller->device, &teller->label);
    df_buffer_drop(teller->device, &teller->truth);
    df_buffer_drop(teller->device, &teller->loss);
    df_free(teller->truth_host);
    df_free(teller->label_host);
    df_free(teller->loss_host);
    df_free(teller->logits);
}

/* Labels and losses of the block, by its device. */
static dfal_status tell(const struct evaluation *e, struct teller *teller,
                        const struct df_pass_on_device *block)
{
    struct df_device *device = block->device;
    const int64_t n = block->count;
    const int32_t queue = block->queue, classes = e->network->class_count;
    for (int64_t i = 0; i < n; i++)
        teller->truth_host[i] = df_network_from_pool(e->network, e->pool->labels[block->index[i]]);
    DF_TRY(df_write(device, queue, teller->truth, teller->truth_host, n));
    const struct df_call call =
        DF_CALL(predict, .rows = n, .label = teller->label, .loss = teller->loss, .logits = block->logits,
                .truth = teller->truth, .p.loss = {.classes = classes, .scale = 1});
    DF_TRY(df_call_run(device, queue, &call));
    DF_TRY(df_read(device, queue, teller->label_host, teller->label, n));
    DF_TRY(df_read(device, queue, teller->loss_host, teller->loss, n));
    return df_read(device, queue, teller->logits, block->logits, n * classes);
}

static dfal_status predict(void *user, int32_t worker, const struct df_pass_on_device *block)
{
    struct evaluation *e = user;
    struct teller *teller = &e->tellers[worker];
    const int64_t size = df_shape_size(e->pool->shape), classes = e->network->class_count;
    if (!teller->device)
        DF_TRY(teller_open(teller, block, (int32_t)classes));
    DF_TRY(tell(e, teller, block));
    for (int64_t i = 0; i < block->count; i++) {
        const int64_t rank = df_row_position(e->rows, e->count, block->index[i]);
        /* A max-pool may hide what is wrong with a pixel, and the loss what is wrong with another class. */
        const bool finite = df_row_is_finite(block->input + i * size, size) &&
                            df_row_is_finite(teller->logits + i * classes, classes) &&
                            isfinite(teller->loss_host[i]);
        e->loss[rank] = teller->loss_host[i];
        e->predicted[rank] = finite ? teller->label_host[i] : -1;
    }
    return DFAL_OK;
}

/* ---- All rows ------------------------------------------------------------------------------------------ */

/* The labelled rows nobody skips; labels are checked against the network's classes. */
static dfal_status labelled_rows(int64_t *rows, int64_t *count, const struct df_pool *pool, int32_t classes)
{
    *count = 0;
    for (int64_t i = 0; i < pool->count; i++) {
        if (pool->labels[i] < 0 || (pool->skipped && pool->skipped[i]))
            continue;
        if (pool->labels[i] >= classes)
            DF_FAIL(DFAL_E_DATA, "%s: row %" PRId64 " has label %d, the network knows the classes 0 to %d",
                    pool->path, i, pool->labels[i], classes - 1);
        rows[(*count)++] = i;
    }
    if (*count == 0)
        DF_FAIL(DFAL_E_DATA, "%s: none of %" PRId64 " rows has a label, an evaluation needs at least one",
                pool->path, pool->count);
    return DFAL_OK;
}

static dfal_status summarise(struct dfal_eval_result *result, const struct evaluation *e, const char *path)
{
    double loss = 0;
    int64_t right = 0;
    for (int64_t i = 0; i < e->count; i++) {
        const int32_t truth = df_network_from_pool(e->network, e->pool->labels[e->rows[i]]);
        if (e->predicted[i] < 0) {
            result->nonfinite++;
            continue;
        }
        loss += (double)e->loss[i];
        right += e->predicted[i] == truth;
        if (result->confusion)
            result->confusion[(int64_t)truth * result->class_count + e->predicted[i]]++;
    }
    result->samples = e->count - result->nonfinite;
    if (result->samples == 0)
        DF_FAIL(DFAL_E_DATA,
                "%s: none of the %" PRId64 " labelled rows has an input and logits that are finite, an "
                "evaluation needs at least one",
                path, e->count);
    result->accuracy = (double)right / (double)result->samples;
    result->loss = loss / (double)result->samples;
    return DFAL_OK;
}

/* The pairs that occurred, of rows that are finite: [K, K] of a network with many classes is mostly zeros. */
static dfal_status tell_confusion(struct df_text *text, const struct dfal_eval_result *result,
                                  const struct evaluation *e)
{
    struct df_class_pair *pairs;
    int64_t count = 0;
    DF_TRY(df_alloc(&pairs, e->count, sizeof *pairs));
    for (int64_t i = 0; i < e->count; i++)
        if (e->predicted[i] >= 0)
            pairs[count++] = (struct df_class_pair){
                df_network_from_pool(e->network, e->pool->labels[e->rows[i]]), e->predicted[i]};
    df_confusion_text(text, pairs, count, result->classes);
    df_free(pairs);
    return DFAL_OK;
}

/* Run the network on the rows of this rank, and take the others' losses and predictions. */
static dfal_status run(struct evaluation *e, const struct df_pass_spec *spec, struct df_comm *comm)
{
    const struct df_comm_share all = {0, e->count},
                               share = comm ? df_comm_share(comm, comm->rank, e->count) : all;
    struct df_list_source source;
    df_list_source_init(&source, e->rows + share.begin, share.count);
    DF_TRY(df_forward_source(spec, &source.source, NULL, NULL));
    if (!comm)
        return DFAL_OK;
    DF_TRY(df_comm_exchange(comm, e->loss, e->count, sizeof *e->loss));
    return df_comm_exchange(comm, e->predicted, e->count, sizeof *e->predicted);
}

dfal_status df_evaluate(struct dfal_context *context, struct df_device *device,
                        const struct df_network *network, struct df_pool *pool, struct df_comm *comm,
                        struct dfal_eval_result *result, struct df_text *confusion)
{
    memset(result, 0, sizeof *result);
    result->class_count = network->class_count;
    if (!pool->labels)
        DF_FAIL(DFAL_E_DATA, "%s: the pool has no labels, an evaluation needs at least one", pool->path);
    int64_t *rows = NULL;
    struct evaluation e = {.network = network, .pool = pool};
    const struct df_pass_spec spec = {.context = context,
                                      .device = device,
                                      .network = network,
                                      .pool = pool,
                                      .on_device = predict,
                                      .device_user = &e};
    const int32_t workers = df_group_workers(device);
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&rows, pool->count, sizeof *rows));
    DF_TRY_TO(done, status, labelled_rows(rows, &e.count, pool, network->class_count));
    e.rows = rows;
    result->unlabelled = pool->count - e.count;
    DF_TRY_TO(done, status, df_alloc(&e.loss, e.count, sizeof *e.loss));
    DF_TRY_TO(done, status, df_alloc(&e.predicted, e.count, sizeof *e.predicted));
    DF_TRY_TO(done, status, df_alloc(&e.tellers, workers, sizeof *e.tellers));
    if (network->class_count <= DFAL_CONFUSION_CLASSES)
        DF_TRY_TO(done, status,
                  df_alloc(&result->confusion, (int64_t)network->class_count * network->class_count,
                           sizeof *result->confusion));
    DF_TRY_TO(
        done, status,
        df_strings_copy(&result->classes, df_classes_of_network(network, pool).names, network->class_count));
    DF_TRY_TO(done, status, run(&e, &spec, comm));
    DF_TRY_TO(done, status, summarise(result, &e, pool->path));
    if (confusion)
        status = tell_confusion(confusion, result, &e);
done:
    for (int32_t w = 0; e.tellers && w < workers; w++)
        teller_close(&e.tellers[w]);
    df_free(e.tellers);
    df_free(rows);
    df_free(e.loss);
    df_free(e.predicted);
    if (status != DFAL_OK)
        dfal_eval_result_clear(result);
    return status;
}

void df_warn_nonfinite(struct dfal_context *context, const struct df_pool *pool,
                       const struct dfal_eval_result *result)
{
    if (result->nonfinite > 0)
        df_say(context, DFAL_WARNING, "eval.nonfinite",
               DF_FIELDS(DF_TEXT("pool", pool->path), DF_INT("rows", result->nonfinite)),
               "%s: %" PRId64 " of %" PRId64 " labelled rows are left out: an input or a logit is not finite",
               pool->path, result->nonfinite, result->samples + result->nonfinite);
}

void dfal_eval_result_clear(struct dfal_eval_result *result)
{
    df_free(result->confusion);
    df_strings_free(result->classes, result->class_count);
    memset(result, 0, sizeof *result);
}
