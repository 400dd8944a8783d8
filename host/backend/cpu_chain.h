/* SPDX-License-Identifier: Apache-2.0 */
/* Training of a chain on one core (backend.h: struct df_chain_desc): what its files share.
 *
 * cpu_chain.c           memory, parameters in and out, a step
 * cpu_chain_forward.h   a sample a vector lane
 * cpu_chain_backward.h  a sample at a time, taps and channels in lanes, through live units alone
 * cpu_chain_update.h    the optimiser, and dense layers' gradients, which never leave the registers
 * cpu_chain_step.c      the three, compiled twice: for AVX2, and for AVX-512 by cpu_chain_step_avx512.c
 *
 * A layer is a convolution or a product with the ReLU, the 2x2 max-pool and the dropout behind it. Values lie
 * [y][x][channel], so that a row of a kernel is one run of kernel_w * channels values, whatever the kernel.
 * Order    every sum has one order, that of samples and live units: the same bits on every instruction set */
#ifndef DF_BACKEND_CPU_CHAIN_H
#define DF_BACKEND_CPU_CHAIN_H

#include "backend/backend.h"

/* Rows that go through the convolutions together. */
enum { DF_CHAIN_ROWS = 32 };
/* Floats behind a row that whole vectors may read, and write zeros to. */
enum { DF_CHAIN_SLACK = 128 };
/* What a unit's code says: 0 to 3, where in its window the maximum stands (0 without a pool), or that the
 * unit is dead: its ReLU is off, or it was dropped. */
enum { DF_CHAIN_DEAD = 4 };

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
    bool conv, relu, pool;
    int32_t channels, outputs;     /* of a dense layer: all its inputs */
    int32_t kernel_h, kernel_w;    /* of a dense layer 1 */
    int32_t pad_top, pad_left;     /* of the values, which lie between zeros */
    int32_t line, height;          /* values of a line with its zeros; lines with theirs */
    int32_t out_h, out_w, windows; /* behind the pool */
    int32_t in, stride;            /* values of a sample, padded; of a row of samples, slack included */
    int32_t row, filter;           /* floats of a row of weights, padded; of a filter */
    int32_t *window_at;            /* [windows]: where the inputs of each begin */
    int32_t unit_row, window_row;  /* codes of a channel's windows, of a window's channels, padded */
    struct df_chain_drop drop;
    float keep_scale;                    /* 1 / (1 - rate) */
    struct df_chain_values weight, bias; /* [outputs][kernel_h][row]; [outputs padded] */
    float *weight_gradient;              /* of a convolution */
    float *bias_gradient;
    struct df_chain_pair *pair; /* of a dense layer; NULL: it is one layer. weight, bias: the product */
    /* Filters turned for the way back, [outputs][lines][turned_row]: a tile of tile_h lines and tile_w
     * vectors read from any of four places is what a unit adds to its window's inputs. */
    float *turned;
    int32_t turned_row, turned_filter, tile_h, tile_w, tiles_h, tiles_w;
    float *lanes, *rows; /* inputs: [in][lanes] of some rows; [rows][stride] */
    float *gradient;     /* convolution: of one sample's inputs, padded as they are */
    /* Convolution: of one sample's outputs, [windows][outputs]; dense: [batch][outputs padded]. */
    float *output_gradient;
    /* Codes in lanes, [outputs][unit_row][lanes] and [windows][window_row][lanes]; the same of DF_CHAIN_ROWS
     * rows. */
    uint8_t *lane_units, *lane_windows, *units, *window_codes;
    float *kept, *lane_kept; /* factors of dropout, [rows][outputs * windows]; in lanes */
    float *out;              /* where the next layer's inputs lie in lanes */
    int32_t out_line;
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
    /* Lists of live units: their numbers, where their weights or inputs begin, their gradients. */
    uint16_t *unit;
    const float **from, **tile;
    int32_t *at;
    float *value;
    uint8_t squeeze[256][16]; /* how the numbers of the bits of a byte are moved together */
};

struct df_chain_kernels {
    int32_t lanes;                        /* of a vector */
    void (*drop)(const struct df_io *io); /* op dropout */
    /* Rows [first, first + rows) of layer 0's rows through all layers, in lanes, to the logits. */
    void (*forward)(struct df_chain *chain, int64_t first, int64_t rows, bool training, int64_t batch_row);
    /* Row `row` of those that went forward, number batch_row of the batch, back to every layer. */
    void (*backward)(struct df_chain *chain, int64_t row, int64_t batch_row);
    void (*update)(struct df_chain *chain, int64_t rows, const struct df_chain_rates *rates);
    /* What follows from the parameters: turned filters, the product of a pair. */
    void (*prepare)(struct df_chain *chain);
};
extern const struct df_chain_kernels df_chain_kernels_avx2, df_chain_kernels_avx512;

static inline int32_t df_chain_padded(int64_t count)
{
    return (int32_t)((count + 15) / 16 * 16);
}

#endif
