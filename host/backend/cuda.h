/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the CUDA back end share. Only cuda*.c include this.
 *
 * cuda.c         the op table: opening, buffers, copies, CELL and ITEM ops
 * cuda_device.c  what all of them ask of the device: errors, memory, queues
 * cuda_layer.c   a layer: which engine runs which of its three ops, blocks of a fixed number of rows
 * cuda_fused.c   small networks in one go (kernels/fused.h)
 * cuda_record.c  recordings of a queue's calls: CUDA graphs; the queue's workspace
 * cuda_trial.c   a library's op is run once before it is relied on
 * cuda_own.c     the engine of dfal's own kernels (kernels/conv.h)
 * cuda_half.c    backwards in half precision around another engine's op (kernels/half.h)
 * cuda_split.c   forwards and backwards of split layers (kernels/split.h)
 * cuda_nccl.c    links with other processes' GPUs: every call of NCCL, with DFAL_NCCL only
 * cuda_cudnn.c   the engine of cuDNN: every call of it
 * cuda_cublas.c  the engine of cuBLAS: every call of it
 * The last two are there with DFAL_CUDA_LIBRARIES only; without, own kernels run every layer. */
#ifndef DF_BACKEND_CUDA_H
#define DF_BACKEND_CUDA_H

#include <cuda_runtime.h>

#include "backend/backend.h"
#include "base/lock.h"
#include "conv.h" /* kernels */

/* A stream, its memory for engines, and pinned memory that copies go through. A queue that nobody uses is a
 * stream, and the first ones have their pinned memory from the start. */
struct df_cuda_queue {
    cudaStream_t stream;
    void *workspace; /* grows on a layer's first use by the queue and never shrinks */
    size_t workspace_bytes;
    char *staging[2];                /* pinned; used in turns, made on first use at the latest */
    cudaEvent_t taken[2];            /* when the device is done with staging[i] */
    int next;                        /* staging to use next */
    enum df_op last;                 /* queued last: what an error of a kernel is told with */
    struct df_recording *recordings; /* that live */
};

struct df_cudnn;
struct df_cublas;

struct df_cuda_device {
    struct df_device head;
    int index;                            /* of the GPU */
    int32_t shared_most, multiprocessors; /* bytes of shared memory that a block may have */
    struct df_cuda_queue *queues;
    cudaStream_t clearing;    /* of new memory: any thread's, and never recorded */
    struct df_cudnn *cudnn;   /* NULL without DFAL_CUDA_LIBRARIES */
    struct df_cublas *cublas; /* likewise */
    struct df_lock trying;
    struct df_cuda_trial *trials; /* of libraries' ops; under `trying` */
};

/* Make a failed call of the CUDA runtime this thread's message, "WHAT: the runtime's words", and clear it
 * there. OK where error is cudaSuccess. Errors   E_MEMORY out of memory, E_UNAVAILABLE anything else: final
 * for the device */
dfal_status df_cuda_status(cudaError_t error, const char *what);

/* Make the GPU current for this thread. */
dfal_status df_cuda_use(const struct df_cuda_device *device);

/* Device memory of `bytes` bytes, contents undefined; cudaFree gives it back. Errors   E_MEMORY with what is
 * free */
dfal_status df_cuda_memory(void **out, int64_t bytes);

/* The queue, with its GPU current, and a span's device memory, NULL where it is absent. */
dfal_status df_cuda_queue_of(struct df_cuda_queue **out, struct df_device *device, int32_t queue);
void *df_cuda_data(struct df_span span);

/* Parts of a workspace begin at multiples of this many bytes. */
enum { DF_CUDA_ALIGNMENT = 256 };
static inline size_t df_cuda_aligned(size_t bytes)
{
    return (bytes + DF_CUDA_ALIGNMENT - 1) / DF_CUDA_ALIGNMENT * DF_CUDA_ALIGNMENT;
}

/* DF_TRY for a call of the CUDA runtime. */
#define DF_CUDA(call, what) DF_TRY(df_cuda_status((call), (what)))

/* ---- Engines --------------------------------------------------------------------------------- */

/* One of a layer's three ops, prepared by an engine, whose own struct begins with this head. */
struct df_cuda_op {
    const struct df_cuda_engine *engine;
    int64_t rows;     /* every run has exactly this many (cuda_layer.c cuts and pads); 0: any number does */
    size_t workspace; /* bytes of the queue's workspace a run uses, where the engine has no function for it */
    char text[192];   /* what a library chose, for logs; "" where there was no choice */
};

/* forward           out = y, in = {x}; y = op(x, weight) + bias
 * backward          out = dx, in = {dy}
 * weight gradient   out = dw (the sum over these rows, written and not added to), in = {x, dy}
 * All is float32 in device memory and plain NCHW, as in df_layer_desc. Not so a library's backward of a
 * half_backward layer: dy, weight and a convolution's dx are binary16 there, and a convolution's channels
 * stand last, [rows, H, W, C] and [O, kh, kw, C/group]; a product's dx stays float32. Such memory begins at
 * multiples of 256 bytes. */
struct df_cuda_run {
    float *out;
    float *bias_gradient; /* db, of a weight gradient of an engine that has it; NULL: not wanted */
    const float *in[2];
    const float *weight,
        *bias; /* the layer's own copies, at the same addresses for the layer's life; NULL for a
                                   weight gradient. A layer without bias has zeros */
    int64_t rows;
    void *workspace;     /* 256-byte aligned, contents undefined */
    int32_t queue;       /* the device's queue_count: a trial's */
    cudaStream_t stream; /* of the queue: a run only queues work here and never waits */
};

struct df_cuda_engine {
    const char *name;       /* as a report says it */
    bool has_bias_gradient; /* a weight gradient gives db as well; else cuda_layer.c does */
    /* What is chosen follows from desc, kind and the library's version alone: never from timing.
     * Errors   E_UNAVAILABLE the library has none: own kernels are taken */
    dfal_status (*create)(struct df_cuda_op **out, struct df_cuda_device *device,
                          const struct df_layer_desc *desc, enum df_layer_kind kind);
    void (*destroy)(struct df_cuda_op *op);
    /* Bytes of the queue's workspace a run of so many rows uses. NULL: op->workspace. */
    size_t (*workspace)(const struct df_cuda_op *op, int64_t rows);
    /* The layer's parameters have changed: queue what derives from them (another layout) into memory of the
     * op's own, allocated in create. NULL: nothing does. */
    dfal_status (*bind)(struct df_cuda_op *op, const float *weight, const float *bias, cudaStream_t stream);
    /* No allocation, no synchronisation. */
    dfal_status (*run)(struct df_cuda_op *op, const struct df_cuda_run *run);
};
extern const struct df_cuda_engine df_cuda_own; /* cuda_own.c: any layer, any number of rows */
/* The layer as kernels see it; a product is a 1x1 convolution. cuda_own.c */
struct df_conv_shape df_cuda_conv_shape(const struct df_layer_desc *desc);

/* ---- cuda_half.c ----------------------------------------------------------------------------- */
/* The backward of a half_backward layer (desc) around `inner`, whose owner it becomes, also where it fails:
 * operands are rounded, and dx is scaled back. packed: inner is a library's, for binary16; else it takes the
 * rounded values as floats. */
dfal_status df_cuda_half_create(struct df_cuda_op **out, struct df_cuda_op *inner,
                                const struct df_layer_desc *desc, bool packed);

/* ---- cuda_split.c ---------------------------------------------------------------------------- */
/* The forward or backward of a split layer, for any number of rows. */
dfal_status df_cuda_split_create(struct df_cuda_op **out, const struct df_layer_desc *desc, bool backward);

/* ---- cuda_trial.c ---------------------------------------------------------------------------- */
/* Run a library's op once, as a layer of desc will. Where there is no memory to try it, it is taken as it is.
 * Errors   the op's own, in the words of the first time */
dfal_status df_cuda_try(struct df_cuda_device *device, struct df_cuda_op *op,
                        const struct df_layer_desc *desc, enum df_layer_kind kind);
void df_cuda_forget_trials(struct df_cuda_device *device);

/* ---- cuda_layer.c ---------------------------------------------------------------------------- */
dfal_status df_cuda_layer_create(struct df_device *device, struct df_layer **out,
                                 const struct df_layer_desc *desc);
void df_cuda_layer_destroy(struct df_device *device, struct df_layer *layer);
dfal_status df_cuda_layer_bind(struct df_device *device, int32_t queue, struct df_layer *layer,
                               struct df_span weight, struct df_span bias);
void df_cuda_layer_text(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                        char *text, size_t size);
int64_t df_cuda_layer_scratch(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                              int64_t rows);
dfal_status df_cuda_layer_run(struct df_cuda_device *device, int32_t queue, enum df_op op,
                              struct df_layer *layer, float *const out[2], const float *const in[2],
                              int64_t rows);

/* ---- cuda_fused.c ---------------------------------------------------------------------------- */
dfal_status df_cuda_fused_create(struct df_device *device, struct df_fused **out,
                                 const struct df_fused_desc *desc);
void df_cuda_fused_destroy(struct df_device *device, struct df_fused *fused);
dfal_status df_cuda_fused_bind(struct df_device *device, int32_t queue, struct df_fused *fused,
                               struct df_span parameters);
dfal_status df_cuda_fused_run(struct df_device *device, int32_t queue, const struct df_fused_call *call);

/* ---- cuda_record.c --------------------------------------------------------------------------- */
dfal_status df_cuda_record_begin(struct df_device *device, int32_t queue);
dfal_status df_cuda_record_end(struct df_device *device, int32_t queue, struct df_recording **out);
dfal_status df_cuda_record_run(struct df_device *device, int32_t queue, struct df_recording *recording);
void df_cuda_record_destroy(struct df_device *device, struct df_recording *recording);
/* Before what a capture forbids: fail where this thread records, "nothing can WHAT before record_end". The
 * recording is lost then. */
dfal_status df_cuda_not_recording(const char *what);
/* The status of a call that may be recorded: where this thread records and it failed, the recording is
 * lost. */
dfal_status df_cuda_recorded(dfal_status status);
/* Make the queue's workspace at least so large; its contents are lost when it grows. Recordings keep
 * theirs. */
dfal_status df_cuda_workspace(struct df_cuda_queue *queue, size_t bytes);
/* The queue goes without a workspace; freed unless recordings have it, then with the last of them. */
dfal_status df_cuda_drop_workspace(struct df_cuda_queue *queue);

#ifdef DFAL_NCCL
/* ---- cuda_nccl.c: links (backend/link.h) ------------------------------------------------------- */
dfal_status df_cuda_link_text(struct df_device *device, char *text);
dfal_status df_cuda_link_id(struct df_device *device, unsigned char *id);
dfal_status df_cuda_link_open(struct df_device *device, struct df_link **out,
                              const struct df_link_desc *desc);
void df_cuda_link_close(struct df_device *device, struct df_link *link);
dfal_status df_cuda_link_broadcast(struct df_device *device, int32_t queue, struct df_link *link,
                                   struct df_span data, int64_t count, int32_t root);
#endif

#ifdef DFAL_CUDA_LIBRARIES
/* ---- cuda_cudnn.c, cuda_cublas.c ------------------------------------------------------------- */
extern const struct df_cuda_engine df_cuda_cudnn, df_cuda_cublas;
/* The library for this device (its GPU is current). The words for
 * df_device_info.library, "cuDNN 9.19.0" and "cuBLAS 13.1.0", go into version. Errors   E_UNAVAILABLE in one
 * sentence */
dfal_status df_cudnn_open(struct df_cudnn **out, const struct df_cuda_device *device, char *version,
                          size_t version_size);
void df_cudnn_close(struct df_cudnn *library);
dfal_status df_cublas_open(struct df_cublas **out, const struct df_cuda_device *device, char *version,
                           size_t version_size);
void df_cublas_close(struct df_cublas *library);
#endif

#endif
