/* SPDX-License-Identifier: Apache-2.0 */
/* A small network in one call on one core (backend.h: struct df_fused_desc): a sample a vector lane forwards,
 * and backwards all cotangents of a sample together through the units that are alive in it.
 *
 * cpu_fused.c        which networks, memory, parameters, a call
 * cpu_fused_step.c   the two ways (cpu_stack.h), compiled twice: for AVX2, and for AVX-512 by
 *                    cpu_fused_step_avx512.c
 *
 * All queues share a network and its parameters; each has a space of its own. What is kept of a sample are
 * its units' codes, stage by stage [window][channel].
 * Order    that of cpu_stack.h: a row's bits depend neither on its place nor on the rows beside it, and are
 *          the same on every instruction set */
#ifndef DF_BACKEND_CPU_FUSED_H
#define DF_BACKEND_CPU_FUSED_H

#include "backend/cpu_stack_wide.h"

struct df_fused_layer {
    struct df_stack_layer stack; /* without what is a worker's */
    struct df_stack_tiles one, together;
    float *weight, *bias; /* what stack has of them is the same memory */
    float *transformed;   /* for minimal filtering */
    float *slices;        /* of a gathered layer */
    int32_t kept_at;      /* of its codes in those of a sample; -1: every unit is alive */
};

/* What a queue has of its own, in one piece of memory. */
struct df_fused_space {
    char *memory; /* NULL: the queue has not run the network yet */
    struct df_stack_layer layer[DF_FUSED_STAGES];
    float *rows;   /* [lanes][input]: samples, where there are fewer than lanes */
    float *logits; /* [classes][lanes] */
    struct df_stack_list list[DF_FUSED_STAGES];
    float *tiles;                                   /* of minimal filtering */
    struct df_stack_gather gather[DF_FUSED_STAGES]; /* instead of a list; bands share their memory */
    float *gradient[DF_FUSED_STAGES]; /* of a layer's inputs, padded as they are: [rows][stride] */
    int64_t stride[DF_FUSED_STAGES];
};

struct df_fused_kernels {
    int32_t lanes; /* of a vector */
    df_stack_plan_fn *tiles;
    /* tapped: NULL where the description has no tap */
    void (*forward)(const struct df_fused *fused, const struct df_fused_space *space, float *y, uint8_t *kept,
                    float *tapped, const float *x, int64_t rows);
    /* All cotangents of one sample, given what was kept of it. */
    void (*backward)(const struct df_fused *fused, struct df_fused_space *space, float *dx, const float *dy,
                     const uint8_t *kept, int64_t rows);
};
extern const struct df_fused_kernels df_fused_kernels_avx2, df_fused_kernels_avx512;

struct df_fused {
    const struct df_fused_kernels *kernels;
    struct df_fused_desc desc;
    struct df_fused_layer layer[DF_FUSED_STAGES];
    int32_t count, convs; /* layers; those before the first product */
    int32_t narrow;       /* those before the first gathered one: some cotangents go through all of them */
    int64_t input, classes, kept_size;
    float *parameters; /* of all layers, turned filters with them */
    int64_t parameter_bytes, space_bytes;
    int64_t reckoned_bytes;        /* a queue's space, and what a plan does not know of the parameters */
    struct df_fused_space *spaces; /* [queues] */
    int32_t queues;
};

#endif
