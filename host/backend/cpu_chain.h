/* SPDX-License-Identifier: Apache-2.0 */
/* Training of a chain on one core (backend.h: struct df_chain_desc): what its files share.
 *
 * cpu_chain.c           memory, parameters in and out, a step
 * cpu_chain_forward.h   layer by layer, in lanes (cpu_stack_forward.h)
 * cpu_chain_backward.h  a sample at a time (cpu_stack_backward.h), and weights' gradients
 * cpu_chain_update.h    the optimiser, and dense layers' gradients, which never leave the registers
 * cpu_chain_step.c      the three, compiled twice: for AVX2, and for AVX-512 by cpu_chain_step_avx512.c
 *
 * Order    every sum has one order, that of samples and live units: the same bits on every instruction set */
#ifndef DF_BACKEND_CPU_CHAIN_H
#define DF_BACKEND_CPU_CHAIN_H

#include "backend/cpu_stack.h"

/* Rows that go through the convolutions together. */
enum { DF_CHAIN_ROWS = 32 };
/* Parameters with what the optimiser keeps of each. */
struct df_chain_values {
    float *w, *m, *v;
    int64_t count;
};

/* A 1x1 convolution of `mid` filters and the product behind it, with nothing between: they run as one
 * product, and its gradient M [hidden][position][channel] is taken apart,
 *     dconv[k][c]      = sum over h, p of dense[h][k][p] M[h][p][c]
 *     ddense[h][k][p]  = sum over c of conv[k][c] M[h][p][c] + bconv[k] db[h]
 *     dbconv[k]        = sum over h, p of dense[h][k][p] db[h] */
struct df_chain_pair {
    int32_t mid, positions, channels;
    int32_t wide_p, wide_c;       /* padded to whole vectors */
    struct df_chain_values conv;  /* [mid][wide_c], then [mid padded]: its biases */
    struct df_chain_values dense; /* [hidden][mid][wide_p] */
    struct df_chain_values bias;  /* [hidden padded], of the dense layer */
    float *conv_gradient;         /* as conv */
    float *inside;                /* [wide_p]: 1 where a position is, 0 behind them */
    float *bias_sum;              /* [mid][wide_p]: sum over h of dense[h][k][p] db[h] */
    float *line;                  /* M of one hidden unit, and in whole vectors: */
    float *block, *turned;        /* [wide_p][wide_c] and [wide_c][wide_p] */
};

struct df_chain_layer {
    struct df_stack_layer stack;
    int32_t stride;     /* of a row of samples, slack included */
    int32_t *window_at; /* [windows]: where the inputs of each begin */
    struct df_chain_drop drop;
    float keep_scale;                    /* 1 / (1 - rate) */
    struct df_chain_values weight, bias; /* what stack has of them is the same memory */
    float *weight_gradient;              /* of a convolution */
    float *bias_gradient;
    struct df_chain_pair *pair;  /* of a dense layer; NULL: it is one layer. weight, bias: the product */
    struct df_stack_tiles tiles; /* of the way back */
    float *rows;                 /* inputs [rows][stride] */
    float *gradient;             /* convolution: of one sample's inputs, padded as they are */
    /* Of a convolution of one sample's outputs, [windows][outputs]; of a dense layer [batch][padded]. */
    float *output_gradient;
    uint8_t *units, *window_codes; /* codes as the stack has them, of DF_CHAIN_ROWS rows */
    float *kept, *lane_kept;       /* factors of dropout, [rows][outputs * windows]; in lanes */
};

/* Adam's or SGD's numbers for a step. */
struct df_chain_rates {
    bool sgd;
    float rate, b1, b2, c1, c2, epsilon, momentum;
};

struct df_chain {
    struct df_chain_desc desc;
    int32_t lanes; /* of a vector */
    struct df_chain_layer layer[DF_FUSED_STAGES];
    int32_t stage[DF_FUSED_STAGES]; /* of desc that each layer is, or begins with */
    int32_t count;
    float *ones, *logits, *dlogits; /* [rows, most values dropped behind a layer]; [rows, classes] */
    float *lane_logits;
    /* Live units: their numbers, where their inputs begin, their gradients; and on the way back. */
    uint16_t *unit;
    int32_t *at;
    float *value;
    struct df_stack_list list;
    df_stack_squeeze squeeze;
};

struct df_chain_kernels {
    int32_t lanes;                        /* of a vector */
    void (*drop)(const struct df_io *io); /* the op */
    df_stack_plan_fn *tiles;
    /* Rows [first, first + rows) of layer 0's rows through all layers, in lanes, to the logits. */
    void (*forward)(struct df_chain *chain, int64_t first, int64_t rows, bool training, int64_t batch_row);
    /* Row `row` of those that went forward, number batch_row of the batch, back to every layer. */
    void (*backward)(struct df_chain *chain, int64_t row, int64_t batch_row);
    void (*update)(struct df_chain *chain, int64_t rows, const struct df_chain_rates *rates);
    /* What follows from the parameters: turned filters, the product of a pair. */
    void (*prepare)(struct df_chain *chain);
};
extern const struct df_chain_kernels df_chain_kernels_avx2, df_chain_kernels_avx512;

#endif
