/* SPDX-License-Identifier: Apache-2.0 */
/* Wide layers, forwards by minimal filtering and backwards input by input: which ones, their sizes and their
 * weights, which are packed for it.
 *
 * cpu_stack_wide.c       this
 * cpu_stack_winograd.h   3x3 convolutions forwards
 * cpu_stack_gather.h     gradients of inputs */
#ifndef DF_BACKEND_CPU_STACK_WIDE_H
#define DF_BACKEND_CPU_STACK_WIDE_H

#include "backend/cpu_stack.h"

/* ---- minimal filtering --------------------------------------------------------------------------------- */

/* Does it pay for a layer's forward? */
bool df_stack_is_filtered(const struct df_stack_layer *l);
/* Lines of tiles, tiles of a line. */
static inline int32_t df_stack_tiles_down(const struct df_stack_layer *l)
{
    return l->pool ? l->out_h : (l->out_h + 1) / 2;
}
static inline int32_t df_stack_tiles_across(const struct df_stack_layer *l)
{
    return l->pool ? l->out_w : (l->out_w + 1) / 2;
}
/* to   df_winograd_weights floats */
void df_stack_transform(const struct df_stack_layer *l, float *to);

/* ---- gathered layers ----------------------------------------------------------------------------------- */

/* Vectors of a slice of a gathered layer's channels; units behind the end of its lists that may be read, and
 * be written with the last ones. */
enum { DF_STACK_COLUMNS = 4, DF_STACK_AHEAD = 48 };

/* The live units of a gathered layer, all and those of a band of pixel lines. A unit's filter is the number
 * of its first row of weights, its gradient where its cotangents begin in value. */
struct df_stack_gather {
    struct df_stack_unit *unit; /* by the place of the convolution where they stand, [places][outputs] */
    int32_t *count;             /* of a place, [places] */
    int32_t live;               /* all of them */
    int32_t *source;            /* where their gradients stand in a row of those of the outputs */
    float *value;               /* [live][DF_STACK_PASS] */
    /* Those that reach each pixel of a band; those of pixel i from begin[i] to begin[i + 1]. */
    struct df_stack_unit *pixel;
    int32_t *begin; /* [pixels + 1] */
};

/* Has a layer enough channels to be gathered? Then sizes of that way, which needs no turned filters. */
bool df_stack_is_gathered(const struct df_stack_layer *l);
void df_stack_measure_gather(struct df_stack_layer *l);
/* Places of a convolution in front of its pool, and one more; those of a line. */
static inline int32_t df_stack_places_across(const struct df_stack_layer *l)
{
    return l->line / l->channels - l->kernel_w + 1;
}
static inline int32_t df_stack_places(const struct df_stack_layer *l)
{
    return (l->height - l->kernel_h + 1) * df_stack_places_across(l) + 1;
}
/* Room for units of a band; floats of the weights, packed in slices. */
int64_t df_stack_band_units(const struct df_stack_layer *l);
int64_t df_stack_slices_count(const struct df_stack_layer *l);
/* to   slice by slice, [outputs][kernel_h][kernel_w][columns]; zeros behind the last channel, up to a whole
 *      vector */
void df_stack_pack_slices(const struct df_stack_layer *l, float *to, int32_t lanes);

#endif
