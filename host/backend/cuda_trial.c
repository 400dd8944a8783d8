/* SPDX-License-Identifier: Apache-2.0 */
/* A library's op is run once, on zeros, before it is relied on: a plan that can be made need not run on this
 * GPU and driver, and the kernels of one that runs are loaded then, outside of anything that is timed or
 * recorded. A device tries each op once, however many layers have it. */
#include <stdio.h>
#include <string.h>

#include "backend/cuda.h"
#include "base/memory.h"

struct df_cuda_trial {
    struct df_layer_desc desc;
    enum df_layer_kind kind;
    dfal_status status;
    char reason[DF_MESSAGE_SIZE]; /* where it failed */
    struct df_cuda_trial *next;
};

static bool is_same_shape(struct df_shape a, struct df_shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

/* Would both be run by the same call? */
static bool is_same_op(const struct df_layer_desc *a, const struct df_layer_desc *b)
{
    const struct df_window *v = &a->window, *w = &b->window;
    return a->is_gemm == b->is_gemm && is_same_shape(a->in, b->in) && is_same_shape(a->out, b->out) &&
           memcmp(v->kernel, w->kernel, sizeof v->kernel) == 0 &&
           memcmp(v->stride, w->stride, sizeof v->stride) == 0 &&
           memcmp(v->pad, w->pad, sizeof v->pad) == 0 &&
           memcmp(v->dilation, w->dilation, sizeof v->dilation) == 0 && a->group == b->group &&
           a->block_rows == b->block_rows && a->half_backward == b->half_backward;
}

/* ---- The run ----------------------------------------------------------------------------------- */

enum { X, Y, WEIGHT, BIAS, WORKSPACE, PARTS };

/* Zeros for the largest operands that the op has, each from an aligned place on. */
static dfal_status make_zeros(char **out, size_t places[PARTS], const struct df_cuda_device *device,
                              const struct df_layer_desc *desc, const struct df_cuda_op *op)
{
    const int64_t sizes[] = {op->rows * df_shape_size(desc->in), op->rows * df_shape_size(desc->out),
                             df_layer_weight_count(desc), df_layer_bias_count(desc)};
    size_t bytes = 0;
    for (int p = 0; p < PARTS; p++) {
        places[p] = bytes;
        bytes += df_cuda_aligned(p < WORKSPACE ? (size_t)sizes[p] * sizeof(float) : op->workspace);
    }
    DF_TRY(df_cuda_memory((void **)out, (int64_t)bytes));
    return df_cuda_status(cudaMemsetAsync(*out, 0, bytes, device->clearing), "clearing memory");
}

static dfal_status run_once(const struct df_cuda_device *device, struct df_cuda_op *op,
                            enum df_layer_kind kind, char *zeros, const size_t places[PARTS])
{
    float *x = (float *)(zeros + places[X]), *y = (float *)(zeros + places[Y]),
          *weight = (float *)(zeros + places[WEIGHT]), *bias = (float *)(zeros + places[BIAS]);
    struct df_cuda_run run = {.rows = op->rows,
                              .weight = weight,
                              .bias = bias,
                              .workspace = zeros + places[WORKSPACE],
                              .queue = device->head.queue_count, /* nobody's: a handle is one thread's */
                              .stream = device->clearing};
    if (op->engine->bind != NULL)
        DF_TRY(op->engine->bind(op, weight, bias, device->clearing));
    if (kind == DF_LAYER_WEIGHT_GRADIENT) {
        run.out = weight;
        run.bias_gradient = op->engine->has_bias_gradient ? bias : NULL;
        run.in[0] = x;
        run.in[1] = y;
    } else {
        run.out = kind == DF_LAYER_FORWARD ? y : x;
        run.in[0] = kind == DF_LAYER_FORWARD ? x : y;
    }
    DF_TRY(op->engine->run(op, &run));
    return df_cuda_status(cudaStreamSynchronize(device->clearing), "a first run");
}

static dfal_status try_op(const struct df_cuda_device *device, struct df_cuda_op *op,
                          const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    char *zeros = NULL;
    size_t places[PARTS];
    dfal_status status = make_zeros(&zeros, places, device, desc, op);
    if (status == DFAL_OK)
        status = run_once(device, op, kind, zeros, places);
    (void)cudaFree(zeros);
    (void)cudaGetLastError();
    return status;
}

/* ---- What was tried ---------------------------------------------------------------------------- */

static struct df_cuda_trial *find(const struct df_cuda_device *device, const struct df_layer_desc *desc,
                                  enum df_layer_kind kind)
{
    struct df_cuda_trial *trial = device->trials;
    while (trial != NULL && (trial->kind != kind || !is_same_op(&trial->desc, desc)))
        trial = trial->next;
    return trial;
}

static dfal_status remember(struct df_cuda_device *device, const struct df_layer_desc *desc,
                            enum df_layer_kind kind, dfal_status status)
{
    struct df_cuda_trial *trial;
    char reason[DF_MESSAGE_SIZE];
    df_message_get(reason);
    DF_TRY(df_alloc(&trial, 1, sizeof *trial));
    *trial = (struct df_cuda_trial){.desc = *desc, .kind = kind, .status = status, .next = device->trials};
    memcpy(trial->reason, reason, sizeof reason);
    device->trials = trial;
    return status == DFAL_OK ? DFAL_OK : df_fail(status, "%s", reason);
}

dfal_status df_cuda_try(struct df_cuda_device *device, struct df_cuda_op *op,
                        const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    dfal_status status = DFAL_OK;
    df_lock_take(&device->trying);
    const struct df_cuda_trial *known = find(device, desc, kind);
    if (known != NULL && known->status != DFAL_OK) {
        status = df_fail(known->status, "%s", known->reason);
    } else if (known == NULL) {
        status = try_op(device, op, desc, kind);
        status = status == DFAL_E_MEMORY ? DFAL_OK : remember(device, desc, kind, status);
    }
    df_lock_release(&device->trying);
    return status;
}

void df_cuda_forget_trials(struct df_cuda_device *device)
{
    while (device->trials != NULL) {
        struct df_cuda_trial *trial = device->trials;
        device->trials = trial->next;
        df_free(trial);
    }
}
