/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the cpu back end share. Only cpu*.c include this.
 *
 * cpu.c          the op table, memory, queues
 * cpu_memory.c   a queue's scratch memory
 * cpu_layer.c    a layer: which engine runs which of its three ops, tail blocks
 * cpu_onednn.c   every call of oneDNN
 * cpu_lanes.c    own convolutions, one row (sample or cotangent) a vector lane
 * cpu_planes.c   own convolutions over planes as they lie, pixels in vector lanes; cpu_strip.c: its inner
 *                loops
 * cpu_winograd.h own convolutions of wide layers, one row a lane
 * cpu_product.c  own matrix product
 * cpu_gradient.c own weight gradients, one row a lane
 * cpu_cells.c    drivers of the CELL and ITEM ops
 * cpu_chain.c    training of a small chain as a whole (cpu_chain.h)
 * cpu_fused.c    a small network in one call (cpu_fused.h); cpu_stack.c: what chains share
 * Lanes, tiles, strips, products, chains and fused networks are compiled twice, for AVX2 and for AVX-512, and
 * chosen by the device's isa. */
#ifndef DF_BACKEND_CPU_H
#define DF_BACKEND_CPU_H

#include "backend/backend.h"
#include "backend/cpu_planes.h"
#include "backend/cpu_winograd.h"

enum df_cpu_isa { DF_CPU_AVX2, DF_CPU_AVX512 };

/* A stride-1 correlation of planes, rows in vector lanes:
 * out[a][y][x] = bias[a] + sum over b, ky, kx, ascending, of
 *     weight[a][b][ky][kx] * in[b][y + ky - pad_top][x + kx - pad_left], zero outside. */
struct df_lanes_conv {
    int32_t in_c, in_h, in_w, out_c, out_h, out_w;
    int32_t kernel_h, kernel_w, pad_top, pad_left;
};

/* out[i * out_row + j] = bias[j] + sum over k, ascending, of a[i * a_row + k * a_k] * b[k][j].
 * b is packed by pack_panels: panels of df_cpu_kernels.panel columns, each [depth][panel], zero padded. */
struct df_product {
    int64_t rows, cols, depth;
    const float *a;
    int64_t a_row, a_k;
    const float *b;
    const float *bias; /* padded to a whole panel; NULL: zeros */
    float *out;
    int64_t out_row;
};

typedef void df_cpu_cell_fn(const struct df_io *io);

/* What is compiled for each ISA. */
struct df_cpu_kernels {
    const struct df_cpu_kernels *half; /* the same with vectors half as wide, for few rows; NULL: none */
    int32_t lanes;                     /* rows a vector holds */
    int32_t panel;                     /* columns of a product's panel */
    /* Floats of scratch memory a lanes_conv call needs. */
    int64_t (*lanes_scratch)(const struct df_lanes_conv *conv);
    /* out [rows, out_c, out_h, out_w], in [rows, in_c, in_h, in_w]; weight [out_c, in_c, kernel_h, kernel_w];
     * bias [out_c] or NULL. Any number of rows: lanes are independent of each other. */
    void (*lanes_conv)(const struct df_lanes_conv *conv, float *out, const float *in, const float *weight,
                       const float *bias, int64_t rows, float *scratch);
    /* The same of 3x3 kernels by minimal filtering; weight: df_winograd_transform. */
    int64_t (*winograd_scratch)(const struct df_lanes_conv *conv);
    void (*winograd)(const struct df_lanes_conv *conv, float *out, const float *in, const float *weight,
                     const float *bias, int64_t rows, float *scratch);
    void (*product)(const struct df_product *product);
    void (*strip)(const struct df_strip *strip);
};
extern const struct df_cpu_kernels df_cpu_kernels_avx2, df_cpu_kernels_avx512;
extern df_cpu_cell_fn *const df_cpu_cells[DF_OP_COUNT]; /* NULL for LAYER ops */
/* dw [out_c, in_c, kernel_h, kernel_w], db [out_c] (either may be NULL) of y = lanes_conv(x) given dy, for
 * `rows` rows; scratch: df_lanes_gradient_scratch floats. Rows are summed by eights, the eights in order: the
 * same bits on every instruction set. Kernel widths 3, 5 and 7. */
void df_lanes_gradient(const struct df_lanes_conv *conv, float *dw, float *db, const float *x,
                       const float *dy, int64_t rows, float *scratch);
int64_t df_lanes_gradient_scratch(const struct df_lanes_conv *conv);
/* The same of one row of any convolution. scratch: df_columns_scratch floats. */
void df_columns_gradient(const struct df_layer_desc *desc, const struct df_cpu_kernels *kernels, float *dw,
                         float *db, const float *x, const float *dy, float *scratch);
int64_t df_columns_scratch(const struct df_layer_desc *desc, const struct df_cpu_kernels *kernels);
int64_t df_cpu_winograd_scratch_avx2(const struct df_lanes_conv *conv);
int64_t df_cpu_winograd_scratch_avx512(const struct df_lanes_conv *conv);
void df_cpu_winograd_avx2(const struct df_lanes_conv *conv, float *out, const float *in, const float *weight,
                          const float *bias, int64_t rows, float *scratch);
void df_cpu_winograd_avx512(const struct df_lanes_conv *conv, float *out, const float *in,
                            const float *weight, const float *bias, int64_t rows, float *scratch);
void df_cpu_strip_avx2(const struct df_strip *strip);
void df_cpu_strip_avx512(const struct df_strip *strip);
void df_cpu_product_avx2(const struct df_product *product);
void df_cpu_product_avx512(const struct df_product *product);

/* One thread's memory. It grows on a layer's first use by the queue and never shrinks; `moves` counts the
 * growths, so that whoever keeps addresses into it knows when to renew them. */
struct df_cpu_queue {
    float *scratch;
    int64_t scratch_count;
    int64_t moves;
};

struct df_onednn;
struct df_cpu_device {
    struct df_device head;
    enum df_cpu_isa isa;
    const struct df_cpu_kernels *kernels;
    struct df_onednn *onednn;
    struct df_cpu_queue *queues;
};

/* Make the queue's scratch memory at least count floats; its contents are lost when it grows. */
dfal_status df_cpu_scratch(struct df_cpu_queue *queue, int64_t count);

/* ---- cpu_layer.c --------------------------------------------------------------------------- */
dfal_status df_cpu_layer_create(struct df_device *device, struct df_layer **out,
                                const struct df_layer_desc *desc);
void df_cpu_layer_destroy(struct df_device *device, struct df_layer *layer);
dfal_status df_cpu_layer_bind(struct df_device *device, int32_t queue, struct df_layer *layer,
                              struct df_span weight, struct df_span bias);
int64_t df_cpu_layer_scratch(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                             int64_t rows);
void df_cpu_layer_text(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                       char *text, size_t size);
dfal_status df_cpu_layer_run(struct df_cpu_device *device, int32_t queue, enum df_op op,
                             struct df_layer *layer, float *const out[2], const float *const in[2],
                             int64_t rows);

/* ---- cpu_chain.c --------------------------------------------------------------------------- */
dfal_status df_cpu_chain_create(struct df_device *device, struct df_chain **out,
                                const struct df_chain_desc *desc);
void df_cpu_chain_destroy(struct df_device *device, struct df_chain *chain);
dfal_status df_cpu_chain_load(struct df_device *device, struct df_chain *chain, const float *values,
                              const float *m, const float *v);
dfal_status df_cpu_chain_store(struct df_device *device, struct df_chain *chain, float *values, float *m,
                               float *v);
dfal_status df_cpu_chain_run(struct df_device *device, int32_t queue, const struct df_chain_call *call);

/* ---- cpu_fused.c --------------------------------------------------------------------------- */
dfal_status df_cpu_fused_create(struct df_device *device, struct df_fused **out,
                                const struct df_fused_desc *desc);
int64_t df_cpu_fused_scratch(struct df_device *device, const struct df_fused *fused);
void df_cpu_fused_destroy(struct df_device *device, struct df_fused *fused);
dfal_status df_cpu_fused_bind(struct df_device *device, int32_t queue, struct df_fused *fused,
                              struct df_span parameters);
dfal_status df_cpu_fused_run(struct df_device *device, int32_t queue, const struct df_fused_call *call);

/* ---- cpu_onednn.c --------------------------------------------------------------------------- */
/* The library for one device. Errors   E_UNAVAILABLE this process already runs it with another ISA */
dfal_status df_onednn_open(struct df_onednn **out, enum df_cpu_isa isa, int32_t queues, char *version,
                           size_t version_size);
void df_onednn_close(struct df_onednn *library);

/* One of the three ops of a convolution for a fixed number of rows. */
struct df_onednn_conv;
/* Errors   E_UNAVAILABLE the library has no such convolution */
dfal_status df_onednn_conv_create(struct df_onednn_conv **out, struct df_onednn *library,
                                  const struct df_layer_desc *desc, enum df_layer_kind kind, int32_t rows);
void df_onednn_conv_destroy(struct df_onednn_conv *conv);
/* Pack weights [O, C/group, kh, kw] and bias [O] or NULL. Not for the weight gradient. */
dfal_status df_onednn_conv_bind(struct df_onednn_conv *conv, const float *weight, const float *bias);
/* Floats of the queue's scratch memory that a run uses, from its beginning. */
int64_t df_onednn_conv_scratch(const struct df_onednn_conv *conv);
/* Run on exactly `rows` rows, plain NCHW. forward: out y, in x. backward: out dx, in dy. weight gradient: out
 * dw, db, in x, dy. The queue's scratch memory holds df_onednn_conv_scratch floats. */
dfal_status df_onednn_conv_run(struct df_onednn_conv *conv, int32_t queue, const struct df_cpu_queue *memory,
                               float *const out[2], const float *const in[2]);

#endif
