/* SPDX-License-Identifier: Apache-2.0 */
/* A chain with a sample a vector lane forwards, and backwards a sample at a time through live units alone:
 * what training (cpu_chain.h) and scoring (cpu_fused.h) share.
 *
 * cpu_stack.c            sizes of layers, parameters in and out
 * cpu_stack_vector.h     units and their codes in vectors
 * cpu_stack_forward.h    convolutions and products forwards
 * cpu_stack_backward.h   lists of live units, gradients of inputs
 * cpu_stack_wide.h       wide layers in other ways
 *
 * A layer is a convolution or a product with the ReLU and the 2x2 max-pool behind it. Values lie
 * [y][x][channel], so that a row of a kernel is one run of kernel_w * channels values, whatever the kernel.
 * Order    every sum has one order, that of taps forwards and of live units backwards: the same bits on every
 *          instruction set */
#ifndef DF_BACKEND_CPU_STACK_H
#define DF_BACKEND_CPU_STACK_H

#include "backend/backend.h"
#include "backend/cpu_winograd.h"

/* Floats behind a row that whole vectors may read, and write zeros to. */
enum { DF_STACK_SLACK = 128 };
/* What a unit's code says: 0 to 3, where in its window the maximum stands (0 without a pool), or that the
 * unit is dead: its ReLU is off, or it was dropped. */
enum { DF_STACK_DEAD = 4 };
/* Gradients of one sample that go through a convolution together, and through products and gathered
 * convolutions: each of their weights is read once for all. */
enum { DF_STACK_TOGETHER = 3, DF_STACK_PASS = 4 * DF_STACK_TOGETHER };

/* A live unit: where the filter that it adds begins, and where its gradient stands. */
struct df_stack_unit {
    int32_t filter, gradient;
};

/* The live units of a layer; those of group g from begin[g] to begin[g + 1]. A group is some windows of a
 * line side by side (df_stack_layer.across). */
struct df_stack_list {
    struct df_stack_unit *unit; /* as many as the layer has, and one more */
    int32_t *begin;             /* [groups + 1] */
};

/* What the units of a group add to their inputs' gradients, for some rows at a time. */
struct df_stack_add {
    float *to[DF_STACK_TOGETHER];
    const float *given[DF_STACK_TOGETHER]; /* of the outputs */
    const struct df_stack_unit *unit;
    int32_t count;
    const float *filters;
    int64_t line, turned_row;
};
/* A tile of lines and columns, whose sums stay in registers while one unit after the other adds to it. */
typedef void df_stack_add_fn(const struct df_stack_add *add, int64_t to, int64_t from);
struct df_stack_tile {
    df_stack_add_fn *add;
    int64_t to, from; /* where it begins in the inputs and in a filter, from those of the group on */
};
struct df_stack_tiles {
    struct df_stack_tile *tile;
    int32_t count;
};

struct df_stack_layer {
    bool conv, relu, pool;
    bool gather;                   /* the way back is cpu_stack_gather.h's */
    int32_t channels, outputs;     /* of a dense layer: all its inputs */
    int32_t kernel_h, kernel_w;    /* of a dense layer 1 */
    int32_t pad_top, pad_left;     /* of the values, which lie between zeros */
    int32_t in_h, in_w;            /* without those */
    int32_t line, height;          /* values of a line with its zeros; lines with theirs */
    int32_t out_h, out_w, windows; /* behind the pool */
    int32_t band;                  /* of a gathered layer: lines of pixels whose lists are made together */
    struct df_winograd winograd;   /* its tiles, or none together: the forward is direct */
    int32_t in;                    /* values of a sample, padded */
    int32_t row, filter;           /* floats of a row of weights, padded; of a filter */
    const float *weight, *bias;    /* [outputs][kernel_h][row]; [outputs] */
    /* Filters turned for the way back, [outputs][above + kernel_h + above][turned_row], between zeros: from
     * one of 4 x across places on they are what a unit adds to the `reach` inputs of each of its group's
     * lines. Of a dense layer: its weights. */
    float *turned;
    int32_t across, above, front; /* windows of a group; lines of zeros, floats of them */
    int32_t reach, turned_row, turned_filter;
    int32_t unit_row, window_row; /* codes of a channel's windows, of a window's channels */
    /* ---- of one worker: */
    float *lanes;                       /* inputs [in][lanes] */
    float *out;                         /* where the next layer's inputs lie in lanes */
    int32_t out_line, out_begin;        /* of its samples; the first behind its zeros */
    uint8_t *lane_units, *lane_windows; /* codes in lanes, [outputs][unit_row][lanes] (or NULL: not wanted),
                                           * [windows][window_row][lanes] */
};

/* How the numbers of the bits of a byte are moved together. */
typedef uint8_t df_stack_squeeze[256][16];

static inline int32_t df_stack_padded(int64_t count)
{
    return (int32_t)((count + 15) / 16 * 16);
}

/* Is there code for such a convolution? */
bool df_stack_takes(const struct df_fused_stage *stage);
/* Has it so few channels, too, that it is trained with a sample a lane? */
bool df_stack_is_narrow(const struct df_fused_stage *stage);
/* Sizes of a layer. */
void df_stack_measure(struct df_stack_layer *l, const struct df_fused_stage *stage);
/* Sizes of the way back, of groups of so many windows; a convolution's turned filters are the caller's. */
void df_stack_measure_back(struct df_stack_layer *l, int32_t across);
/* Groups of windows; floats of a row of gradients of the inputs. */
int32_t df_stack_groups(const struct df_stack_layer *l);
int64_t df_stack_gradient_count(const struct df_stack_layer *l);
/* Where `next` has its inputs l writes its outputs; next NULL: to `logits`. */
void df_stack_link(struct df_stack_layer *l, const struct df_stack_layer *next, float *logits, int32_t lanes);
/* Turn a convolution's filters for the way back. */
void df_stack_turn(const struct df_stack_layer *l);
void df_stack_fill_squeeze(df_stack_squeeze squeeze);
/* Tiles of `rows` rows (1 or DF_STACK_TOGETHER) for a layer whose way back is measured: `plan` is
 * stack_tiles of an instruction set. */
typedef int32_t df_stack_plan_fn(const struct df_stack_layer *l, int32_t rows, struct df_stack_tile *tiles);
dfal_status df_stack_tiles_create(struct df_stack_tiles *tiles, df_stack_plan_fn *plan,
                                  const struct df_stack_layer *l, int32_t rows);

/* A block of the flat parameters, [outer][middle][inner], and where its values stand here. */
struct df_stack_block {
    int64_t outer, middle, inner;
    int64_t at; /* in the flat array */
    int64_t here, outer_step, middle_step, inner_step;
};
enum df_stack_direction { DF_STACK_IN, DF_STACK_OUT };
void df_stack_move_block(const struct df_stack_block *block, float *values, float *flat,
                         enum df_stack_direction direction);
/* Filters lie [output][channel][y][x] there and [output][y][x][channel] here; the inputs of a dense layer
 * likewise, as many planes as its input has channels. */
void df_stack_move(const struct df_stack_layer *l, const struct df_fused_stage *stage, float *weight,
                   float *bias, float *flat, enum df_stack_direction direction);

#endif
