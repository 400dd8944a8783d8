/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_verify_network: a network against what another framework computed (docs/NUMERICS.md, "Against other
 * frameworks").
 *
 * The network runs as it stands, unfolded, so that every node's values can be held against those of the
 * reference, and once more folded, as `score` runs it. A difference is measured against the largest magnitude
 * that the reference holds of that node over all samples: float32 frameworks sum in other orders, and a small
 * value among large ones carries the error of the large ones. Networks are compared on one queue: there are a
 * few samples, and activations are large. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "graph/node_type.h"
#include "net/plan.h"
#include "score/pool_network.h"
#include "score/verify_input.h"
#include "store/labels.h"
#include "store/network_file.h"
#include "store/reference.h"

enum { LOGITS = -1 }; /* in place of a node of the reference */

/* Largest difference of one node, over all samples seen. */
struct difference {
    int32_t node;      /* of the network */
    int32_t reference; /* of the reference, or LOGITS */
    struct df_largest_difference of;
};

struct job {
    dfal_context *context;
    const struct dfal_verify_network_options *options;
    const char *network_path;
    struct df_reference *reference;
    struct df_pool *pool; /* NULL: the reference's inputs */
    struct df_network *network;
    struct df_device *device;
    struct difference *differences; /* by node of the network */
    int32_t difference_count, unknown;
    const char *unknown_name; /* the first node of the reference that the network does not have */
    float *input;             /* [block, D] */
    void *raw;
    struct df_input_check check;
    int64_t block, size;
};

void(dfal_verify_network_options_init)(struct dfal_verify_network_options *options, size_t size)
{
    const struct dfal_verify_network_options defaults = {.tolerance = 1e-3};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

static const char *op_name(enum df_node_op op)
{
    return df_node_type(op)->name;
}

static double relative(const struct difference *d)
{
    return df_largest_difference_relative(&d->of);
}

/* ---- what fits what ------------------------------------------------------------------------------------ */

static dfal_status check_shapes(const struct job *job)
{
    const struct df_reference *r = job->reference;
    const struct df_shape in = job->network->input, theirs = r->input;
    if (r->class_count != job->network->class_count)
        DF_FAIL(DFAL_E_SHAPE, "%s: dataset 'logits' has %d classes, expected the %d of %s", r->path,
                r->class_count, job->network->class_count, job->network_path);
    if (theirs.c && (theirs.c != in.c || theirs.h != in.h || theirs.w != in.w))
        DF_FAIL(DFAL_E_SHAPE,
                "%s: samples of dataset 'inputs' are [%" PRId64 ",%" PRId64 ",%" PRId64
                "], %s expects [%" PRId64 ",%" PRId64 ",%" PRId64 "]",
                r->path, theirs.c, theirs.h, theirs.w, job->network_path, in.c, in.h, in.w);
    if (!job->pool && !theirs.c)
        DF_FAIL(DFAL_E_DATA, "%s has no dataset 'inputs', expected it, or a POOL that holds the samples",
                r->path);
    for (int64_t i = 0; job->pool && i < r->count; i++)
        if (r->index[i] < 0 || r->index[i] >= job->pool->count)
            DF_FAIL(DFAL_E_DATA,
                    "%s: sample %" PRId64 " is row %" PRId64 " of the pool, but %s has %" PRId64 " rows%s",
                    r->path, i, r->index[i], job->pool->path, job->pool->count,
                    r->has_index ? "" : " (without a dataset 'index' samples are rows 0, 1, ...)");
    return DFAL_OK;
}

static int by_node(const struct difference *a, const struct difference *b)
{
    return (a->node > b->node) - (a->node < b->node);
}

/* Pair the reference's activations with nodes, in graph order; the logits come last. */
static dfal_status pair_nodes(struct job *job)
{
    const struct df_reference *r = job->reference;
    DF_TRY(df_alloc(&job->differences, (int64_t)r->node_count + 1, sizeof *job->differences));
    for (int32_t i = 0; i < r->node_count; i++) {
        const struct df_reference_node *theirs = &r->nodes[i];
        const int32_t node = df_network_find(job->network, theirs->node);
        if (node == job->network->output && node >= 0) /* compared as the logits */
            continue;
        if (node < 0) {
            job->unknown_name = job->unknown++ ? job->unknown_name : theirs->node;
            continue;
        }
        const struct df_shape out = job->network->nodes[node].out;
        if (theirs->size != df_shape_size(out))
            DF_FAIL(DFAL_E_SHAPE,
                    "%s: dataset '%s' has %" PRId64 " values a sample, expected [%" PRId64 ",%" PRId64
                    ",%" PRId64 "] of node '%s'",
                    r->path, theirs->dataset, theirs->size, out.c, out.h, out.w, theirs->node);
        struct difference d = {.node = node, .reference = i};
        int32_t at = job->difference_count++;
        for (; at > 0 && by_node(&job->differences[at - 1], &d) > 0; at--)
            job->differences[at] = job->differences[at - 1];
        job->differences[at] = d;
    }
    job->differences[job->difference_count++] =
        (struct difference){.node = job->network->output, .reference = LOGITS};
    if (job->unknown)
        df_say(job->context, DFAL_WARNING, "verify.unknown",
               DF_FIELDS(DF_INT("nodes", job->unknown), DF_TEXT("first", job->unknown_name)),
               "%d activations of %s are left out: %s has no node of that name, the first is '%s'",
               job->unknown, r->path, job->network_path, job->unknown_name);
    return DFAL_OK;
}

/* ---- comparing ----------------------------------------------------------------------------------------- */

static int32_t arg_max(const float *f, const double *d, int32_t count)
{
    int32_t best = 0;
    for (int32_t k = 1; k < count; k++)
        if (df_reference_value(d, f, k) > df_reference_value(d, f, best))
            best = k;
    return best;
}

static dfal_status compare_node(struct job *job, struct difference *d, struct df_tape *tape, int64_t begin,
                                int64_t rows)
{
    const char *name = job->network->nodes[d->node].name;
    struct df_span span;
    struct df_shape shape;
    float *ours = NULL, *theirs = NULL;
    dfal_status status;
    DF_TRY(df_tape_node(tape, name, &span, &shape));
    const int64_t size = df_shape_size(shape);
    DF_TRY_TO(done, status, df_alloc(&ours, rows * size, sizeof *ours));
    DF_TRY_TO(done, status, df_alloc(&theirs, rows * size, sizeof *theirs));
    DF_TRY_TO(done, status, df_read(job->device, 0, ours, span, rows * size));
    DF_TRY_TO(done, status, df_reference_read(job->reference, d->reference, theirs, begin, rows));
    df_largest_difference_add(&d->of, ours, NULL, theirs, begin, rows, size);
done:
    df_free(ours);
    df_free(theirs);
    return status;
}

/* What the network sees of samples [begin, begin + rows): decoded from the pool, or the reference's own. */
static dfal_status read_input(struct job *job, int64_t begin, int64_t rows)
{
    if (!job->pool)
        return df_reference_read(job->reference, -1, job->input, begin, rows);
    DF_TRY(df_pool_gather(job->pool, job->raw, job->reference->index + begin, rows));
    df_pool_decode(job->pool, job->input, job->raw, rows);
    return DFAL_OK;
}

static dfal_status compare_inputs(struct job *job, int64_t begin, int64_t rows)
{
    float *theirs = NULL;
    if (!job->pool || !job->reference->input.c)
        return DFAL_OK;
    DF_TRY(df_alloc(&theirs, rows * job->size, sizeof *theirs));
    dfal_status status = df_reference_read(job->reference, -1, theirs, begin, rows);
    if (status == DFAL_OK)
        df_input_check_add(&job->check, job->input, theirs, begin, rows);
    df_free(theirs);
    return status;
}

/* Rows at once: a library call's, fewer where unfolded activations pass the work space. */
static int64_t block_rows(const struct job *job, const struct df_plan *plan)
{
    struct df_plan_memory memory;
    df_plan_memory(plan, &memory);
    const int64_t block = df_plan_block_rows(plan);
    const int64_t free = job->device->backend->memory_free(job->device);
    const int64_t room = job->device->own_memory ? free - free / 8 : job->context->memory - df_memory_held();
    const int64_t left = room - memory.scratch;
    const int64_t fits = left / (3 * memory.row + memory.chunk_row + 1);
    return fits < 1 ? 1 : fits < block ? fits : block;
}

static dfal_status run_nodes(struct job *job)
{
    struct df_plan *plan = NULL;
    struct df_tape *tape = NULL;
    const int64_t count = job->reference->count;
    dfal_status status;
    DF_TRY_TO(done, status, df_plan_create(&plan, job->device, job->network, DF_PLAN_FORWARD, false));
    job->block = block_rows(job, plan);
    DF_TRY_TO(done, status, df_tape_create(&tape, plan, 0, job->block, 0));
    DF_TRY_TO(done, status, df_alloc(&job->input, job->block * job->size, sizeof *job->input));
    if (job->pool)
        DF_TRY_TO(done, status, df_alloc(&job->raw, job->block, df_pool_row_bytes(job->pool)));
    for (int64_t begin = 0; begin < count; begin += job->block) {
        const int64_t rows = count - begin < job->block ? count - begin : job->block;
        DF_TRY_TO(done, status, df_context_check_stop(job->context));
        DF_TRY_TO(done, status, read_input(job, begin, rows));
        DF_TRY_TO(done, status, compare_inputs(job, begin, rows));
        DF_TRY_TO(done, status, df_write(job->device, 0, df_tape_input(tape), job->input, rows * job->size));
        DF_TRY_TO(done, status, df_tape_forward(tape, rows));
        for (int32_t i = 0; i < job->difference_count; i++)
            if (job->differences[i].reference != LOGITS)
                DF_TRY_TO(done, status, compare_node(job, &job->differences[i], tape, begin, rows));
    }
done:
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return status;
}

/* The logits come from the folded network: what scores are made with. */
static dfal_status run_logits(struct job *job, struct dfal_verify_network_result *result)
{
    const struct df_reference *r = job->reference;
    const int32_t classes = r->class_count;
    struct difference *d = &job->differences[job->difference_count - 1];
    struct df_plan *plan = NULL;
    struct df_tape *tape = NULL;
    float *ours = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_plan_create(&plan, job->device, job->network, DF_PLAN_FORWARD, true));
    DF_TRY_TO(done, status, df_tape_create(&tape, plan, 0, job->block, 0));
    DF_TRY_TO(done, status, df_alloc(&ours, job->block * classes, sizeof *ours));
    for (int64_t begin = 0; begin < r->count; begin += job->block) {
        const int64_t rows = r->count - begin < job->block ? r->count - begin : job->block;
        DF_TRY_TO(done, status, df_context_check_stop(job->context));
        DF_TRY_TO(done, status, read_input(job, begin, rows));
        DF_TRY_TO(done, status, df_write(job->device, 0, df_tape_input(tape), job->input, rows * job->size));
        DF_TRY_TO(done, status, df_tape_forward(tape, rows));
        DF_TRY_TO(done, status, df_read(job->device, 0, ours, df_tape_logits(tape), rows * classes));
        const double *theirs = r->logits + begin * classes;
        df_largest_difference_add(&d->of, ours, theirs, NULL, begin, rows, classes);
        for (int64_t i = 0; i < rows; i++)
            result->argmax_agreement +=
                arg_max(ours + i * classes, NULL, classes) == arg_max(NULL, theirs + i * classes, classes);
    }
done:
    df_free(ours);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    return status;
}

/* ---- telling ------------------------------------------------------------------------------------------- */

static void tell(const struct job *job, struct dfal_verify_network_result *result, dfal_verify_node_fn *node,
                 void *user)
{
    const struct difference *logits = &job->differences[job->difference_count - 1];
    result->samples = job->reference->count;
    result->largest_difference = logits->of.largest;
    result->largest_relative_difference = relative(logits);
    result->sample = logits->of.sample;
    result->input_difference = job->check.samples ? job->check.of.largest : (double)NAN;
    result->nodes = job->difference_count - 1;
    result->nodes_left_out = job->unknown;
    for (int32_t i = 0; node && i < job->difference_count; i++) {
        const struct difference *d = &job->differences[i];
        const struct dfal_verify_node row = {
            .node = d->reference == LOGITS ? "logits" : job->network->nodes[d->node].name,
            .op = op_name(job->network->nodes[d->node].op),
            .values = df_shape_size(job->network->nodes[d->node].out),
            .largest_difference = d->of.largest,
            .largest_value = d->of.magnitude,
            .relative_difference = relative(d),
            .sample = d->of.sample,
            .passed = relative(d) <= job->options->tolerance,
        };
        node(user, &row);
    }
}

/* One sentence about what differs first: the inputs, a node in graph order, else the logits. */
static dfal_status judge(const struct job *job, struct dfal_verify_network_result *result)
{
    const double tolerance = job->options->tolerance;
    const char *path = job->reference->path;
    if (job->check.samples && df_largest_difference_relative(&job->check.of) > tolerance) {
        snprintf(result->first_difference, sizeof result->first_difference, "input");
        return df_input_check_fail(&job->check, job->pool->path, path, tolerance);
    }
    for (int32_t i = 0; i < job->difference_count; i++) {
        const struct difference *d = &job->differences[i];
        const bool logits = d->reference == LOGITS;
        if (relative(d) <= tolerance)
            continue;
        const struct df_node *node = &job->network->nodes[d->node];
        snprintf(result->first_difference, sizeof result->first_difference, "%s",
                 logits ? "logits" : node->name);
        if (logits)
            DF_FAIL(DFAL_E_DATA,
                    "%s: the logits differ from %s by up to %.3g, %.3g of their largest magnitude (tolerance "
                    "%g), at "
                    "sample %" PRId64 ", class %" PRId64 ": %.6g here, %.6g there%s",
                    job->network_path, path, d->of.largest, relative(d), tolerance, d->of.sample,
                    d->of.element, d->of.ours, d->of.theirs,
                    result->nodes ? "; no compared node before them differs"
                                  : "; no activations are there to tell where");
        DF_FAIL(DFAL_E_DATA,
                "%s: node '%s' (%s) is the first that differs from %s: by up to %.3g, %.3g of its largest "
                "magnitude "
                "(tolerance %g), at sample %" PRId64 ", value %" PRId64 ": %.6g here, %.6g there",
                job->network_path, node->name, op_name(node->op), path, d->of.largest, relative(d), tolerance,
                d->of.sample, d->of.element, d->of.ours, d->of.theirs);
    }
    return DFAL_OK;
}

static dfal_status open_all(struct job *job, const char *pool_path, const char *reference_path)
{
    DF_TRY(df_reference_open(&job->reference, reference_path));
    if (pool_path) {
        DF_TRY(df_pool_open(&job->pool, job->context, pool_path, job->options->pool));
        df_labels_warn(job->context, job->pool);
        DF_TRY(df_network_for_pool(&job->network, job->context, job->network_path, job->pool));
    } else {
        DF_TRY(df_network_load(&job->network, job->network_path));
        df_say_softmax(job->context, job->network_path, job->network);
    }
    DF_TRY(check_shapes(job));
    return df_context_device(job->context, &job->device);
}

dfal_status dfal_verify_network(dfal_context *context, struct dfal_verify_network_result *told,
                                const char *network, const char *pool_path, const char *reference_path,
                                const struct dfal_verify_network_options *given, dfal_verify_node_fn *node,
                                void *user)
{
    struct dfal_verify_network_options own;
    struct job job = {.context = context, .options = &own, .network_path = network};
    dfal_status status;
    dfal_verify_network_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, given, "dfal_verify_network_options"));
    DF_TRY(df_sized_check(told, "dfal_verify_network_result"));
    struct dfal_verify_network_result filled = {.tolerance = own.tolerance, .input_difference = (double)NAN},
                                      *result = &filled;
    context->kept_work = false;
    if (!(job.options->tolerance >= 0 && isfinite(job.options->tolerance)))
        DF_FAIL(DFAL_E_USAGE, "the tolerance is %g, expected a finite number of at least 0",
                job.options->tolerance);
    DF_TRY_TO(done, status, open_all(&job, pool_path, reference_path));
    job.size = df_shape_size(job.network->input);
    DF_TRY_TO(done, status, pair_nodes(&job));
    DF_TRY_TO(done, status, df_input_check_open(&job.check, job.network->input));
    DF_TRY_TO(done, status, run_nodes(&job));
    DF_TRY_TO(done, status, run_logits(&job, result));
    tell(&job, result, node, user);
    status = judge(&job, result);
done:
    df_sized_give(told, result, sizeof *result);
    df_input_check_close(&job.check);
    df_free(job.differences);
    df_free(job.input);
    df_free(job.raw);
    df_network_destroy(job.network);
    df_pool_close(job.pool);
    df_reference_close(job.reference);
    return status;
}
