/* SPDX-License-Identifier: Apache-2.0 */
/* Own convolutions over planes as they lie in memory, pixels in vector lanes. Only cpu*.c include this. */
#ifndef DF_BACKEND_CPU_PLANES_H
#define DF_BACKEND_CPU_PLANES_H

#include "backend/backend.h"

/* Up to 6 output channels over `count` neighbouring pixels:
 * out[o * out_stride + q] = bias[o] + sum over c, t, ascending, of
 *     weight[(c * taps + t) * outputs + o] * in[c * in_stride + offset[t] + q]. */
struct df_strip {
    float *out;
    int64_t out_stride;
    const float *in;
    int64_t in_stride;
    const int32_t *offset; /* [taps] */
    int32_t taps, channels, outputs;
    const float *weight;
    const float *bias; /* NULL: zeros */
    int64_t count;
    /* true: touch no more than count pixels, at least df_cpu_kernels.lanes; else up to its next multiple are
     * read and written. */
    bool exact;
};

struct df_cpu_kernels;
struct df_planes;
enum { DF_PLANES_STRIDE = 8 }; /* at most */

/* A convolution's forward, or its input gradient. */
dfal_status df_planes_create(struct df_planes **out, const struct df_layer_desc *desc, bool backward,
                             const struct df_cpu_kernels *kernels);
void df_planes_destroy(struct df_planes *planes);
/* weight [O, C/group, kh, kw], bias [O] or NULL (forward alone). */
void df_planes_bind(struct df_planes *planes, const float *weight, const float *bias);
int64_t df_planes_scratch(const struct df_planes *planes); /* floats */
void df_planes_run(const struct df_planes *planes, float *out, const float *in, int64_t rows, float *scratch);

#endif
