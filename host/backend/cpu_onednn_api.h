/* SPDX-License-Identifier: Apache-2.0 */
/* What oneDNN 2 and 3 do differently. A descriptor of memory is a value in 2 and an object with an owner in
 * 3: it is made, copied, dropped and handed over by md_*. A convolution is described in two steps in 2 and in
 * one in 3. */
#ifndef DF_BACKEND_CPU_ONEDNN_API_H
#define DF_BACKEND_CPU_ONEDNN_API_H

#include <string.h>

#include <oneapi/dnnl/dnnl.h>

/* A convolution's geometry as oneDNN wants it. */
struct geometry {
    dnnl_memory_desc_t x, y, weight, bias; /* layout any */
    dnnl_memory_desc_t x_plain, y_plain, weight_plain;
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
};

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t md_ref;

static inline md_ref md_of(const dnnl_memory_desc_t *md)
{
    return *md;
}

static inline dnnl_status_t md_make(dnnl_memory_desc_t *md, int rank, const dnnl_dim_t *dims,
                                    dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(md, rank, dims, dnnl_f32, tag);
}

/* Of nothing: a descriptor of no memory. */
static inline dnnl_status_t md_copy(dnnl_memory_desc_t *md, md_ref from)
{
    return from != NULL ? dnnl_memory_desc_clone(md, from) : md_make(md, 0, NULL, dnnl_format_tag_undef);
}

static inline void md_drop(dnnl_memory_desc_t *md)
{
    if (*md != NULL)
        dnnl_memory_desc_destroy(*md);
    *md = NULL;
}

static inline dnnl_status_t describe_forward(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                             const struct geometry *g, dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_forward_primitive_desc_create(
        out, engine, dnnl_forward_training, dnnl_convolution_direct, g->x, g->weight, g->bias, g->y,
        g->stride, g->dilation, g->pad_begin, g->pad_end, attr);
}

static inline dnnl_status_t describe_backward(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                              const struct geometry *g, dnnl_primitive_attr_t attr,
                                              dnnl_primitive_desc_t forward)
{
    return dnnl_convolution_backward_data_primitive_desc_create(out, engine, dnnl_convolution_direct, g->x,
                                                                g->weight, g->y, g->stride, g->dilation,
                                                                g->pad_begin, g->pad_end, forward, attr);
}

static inline dnnl_status_t describe_weight_gradient(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                                     const struct geometry *g, dnnl_primitive_attr_t attr,
                                                     dnnl_primitive_desc_t forward)
{
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, dnnl_convolution_direct, g->x, g->weight, g->bias, g->y, g->stride, g->dilation,
        g->pad_begin, g->pad_end, forward, attr);
}

#else

typedef const dnnl_memory_desc_t *md_ref;

static inline md_ref md_of(const dnnl_memory_desc_t *md)
{
    return md;
}

static inline dnnl_status_t md_make(dnnl_memory_desc_t *md, int rank, const dnnl_dim_t *dims,
                                    dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(md, rank, dims, dnnl_f32, tag);
}

static inline dnnl_status_t md_copy(dnnl_memory_desc_t *md, md_ref from)
{
    if (from != NULL)
        *md = *from;
    else
        memset(md, 0, sizeof *md);
    return dnnl_success;
}

static inline void md_drop(dnnl_memory_desc_t *md)
{
    (void)md;
}

static inline dnnl_status_t describe_forward(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                             const struct geometry *g, dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t cd;
    const dnnl_status_t code = dnnl_dilated_convolution_forward_desc_init(
        &cd, dnnl_forward_training, dnnl_convolution_direct, &g->x, &g->weight, &g->bias, &g->y, g->stride,
        g->dilation, g->pad_begin, g->pad_end);
    return code != dnnl_success ? code : dnnl_primitive_desc_create(out, &cd, attr, engine, NULL);
}

static inline dnnl_status_t describe_backward(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                              const struct geometry *g, dnnl_primitive_attr_t attr,
                                              dnnl_primitive_desc_t forward)
{
    dnnl_convolution_desc_t cd;
    const dnnl_status_t code = dnnl_dilated_convolution_backward_data_desc_init(
        &cd, dnnl_convolution_direct, &g->x, &g->weight, &g->y, g->stride, g->dilation, g->pad_begin,
        g->pad_end);
    return code != dnnl_success ? code : dnnl_primitive_desc_create(out, &cd, attr, engine, forward);
}

static inline dnnl_status_t describe_weight_gradient(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                                     const struct geometry *g, dnnl_primitive_attr_t attr,
                                                     dnnl_primitive_desc_t forward)
{
    dnnl_convolution_desc_t cd;
    const dnnl_status_t code = dnnl_dilated_convolution_backward_weights_desc_init(
        &cd, dnnl_convolution_direct, &g->x, &g->weight, &g->bias, &g->y, g->stride, g->dilation,
        g->pad_begin, g->pad_end);
    return code != dnnl_success ? code : dnnl_primitive_desc_create(out, &cd, attr, engine, forward);
}

#endif

static inline void drop_geometry(struct geometry *g)
{
    dnnl_memory_desc_t *const all[] = {&g->x,       &g->y,       &g->weight,      &g->bias,
                                       &g->x_plain, &g->y_plain, &g->weight_plain};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        md_drop(all[i]);
}

#endif
