/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of oneDNN. A convolution here has a fixed number of rows, runs on the calling thread alone, uses
 * the algorithm `direct` and the layouts the library likes best, with reorders from and to plain NCHW around
 * it: that is what makes a row's bits independent of its place and of the number of threads. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include "backend/cpu.h"
#include "backend/cpu_onednn_api.h"
#include "base/memory.h"

struct df_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* one a queue */
    int32_t queue_count;
};

/* A tensor that changes layout on its way: plain for the caller, `own` for the library. */
struct tensor {
    int arg; /* DNNL_ARG_* of the convolution */
    dnnl_memory_desc_t plain, own;
    bool same;                /* no reorder is needed */
    dnnl_primitive_t reorder; /* plain to own for inputs, own to plain for outputs */
    int64_t own_at;           /* floats into scratch memory */
    int64_t reorder_pad_at;   /* the reorder's scratchpad */
    dnnl_memory_desc_t reorder_pad;
};

enum { MAX_TENSORS = 4 };

/* A queue's memory objects: they hold addresses, so no two queues may share them. */
struct handles {
    bool ready;
    int64_t moves; /* of the scratch memory the addresses point into */
    dnnl_memory_t plain[MAX_TENSORS], own[MAX_TENSORS], reorder_pad[MAX_TENSORS];
    dnnl_memory_t weight, bias, pad;
};

/* The change of layout that binds weights. */
struct packing {
    dnnl_primitive_t reorder;
    dnnl_memory_t from, to, pad;
    dnnl_memory_desc_t pad_md;
    float *pad_data;
};

struct df_onednn_conv {
    struct df_onednn *library;
    enum df_layer_kind kind;
    dnnl_primitive_t primitive;
    struct tensor tensors[MAX_TENSORS]; /* inputs first */
    int input_count, output_count;
    dnnl_memory_desc_t weight_plain, weight_own, bias_md, pad_md;
    float *weight, *bias; /* packed parameters */
    struct packing packing;
    int64_t pad_at, scratch;
    struct handles *handles; /* [queue_count] */
};

static dfal_status check(dnnl_status_t code, const char *doing)
{
    if (code == dnnl_success)
        return DFAL_OK;
    if (code == dnnl_out_of_memory)
        DF_FAIL(DFAL_E_MEMORY, "oneDNN ran out of memory while %s", doing);
    if (code == dnnl_unimplemented)
        DF_FAIL(DFAL_E_UNAVAILABLE, "oneDNN has no code for %s on this CPU", doing);
    if (!df_memory_may_execute())
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "oneDNN failed while %s: this process is denied executable memory, which oneDNN writes its "
                "code into, "
                "expected a service without MemoryDenyWriteExecute and an SELinux domain with execmem",
                doing);
    DF_FAIL(DFAL_E_INTERNAL, "oneDNN failed with status %d while %s", (int)code, doing);
}

#define CHECK(expression, doing) DF_TRY(check((expression), (doing)))

/* oneDNN asks OpenMP how many threads there are, when a primitive is made and when it runs. The answer is the
 * calling thread's own setting. */
static int enter_one_thread(void)
{
    const int before = omp_get_max_threads();
    if (before != 1)
        omp_set_num_threads(1);
    return before;
}

static void leave_one_thread(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

dfal_status df_onednn_open(struct df_onednn **out, enum df_cpu_isa isa, int32_t queues, char *version,
                           size_t version_size)
{
    /* AVX-512 without its later additions: the same code, hence the same bits, on every CPU that has it. */
    const dnnl_cpu_isa_t wanted = isa == DF_CPU_AVX512 ? dnnl_cpu_isa_avx512_core : dnnl_cpu_isa_avx2;
    struct df_onednn *library = NULL;
    dfal_status status = DFAL_OK;
    *out = NULL;
    /* The choice is the process's, made once; a second one fails and the first is reported. */
    (void)dnnl_set_max_cpu_isa(wanted);
    if (dnnl_get_effective_cpu_isa() != wanted)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "instruction set %s is not available: oneDNN already runs with %s in this process",
                isa == DF_CPU_AVX512 ? "avx512" : "avx2", dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa()));
    DF_TRY(df_alloc(&library, 1, sizeof *library));
    DF_TRY_TO(done, status, df_alloc(&library->streams, queues, sizeof *library->streams));
    library->queue_count = queues;
    DF_TRY_TO(done, status, check(dnnl_engine_create(&library->engine, dnnl_cpu, 0), "creating its engine"));
    for (int32_t i = 0; i < queues; i++)
        DF_TRY_TO(done, status,
                  check(dnnl_stream_create(&library->streams[i], library->engine, dnnl_stream_in_order),
                        "creating a stream"));
    const dnnl_version_t *v = dnnl_version();
    snprintf(version, version_size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    *out = library;
done:
    if (status != DFAL_OK)
        df_onednn_close(library);
    return status;
}

void df_onednn_close(struct df_onednn *library)
{
    if (library == NULL)
        return;
    for (int32_t i = 0; i < library->queue_count; i++)
        if (library->streams[i] != NULL)
            dnnl_stream_destroy(library->streams[i]);
    if (library->engine != NULL)
        dnnl_engine_destroy(library->engine);
    df_free(library->streams);
    df_free(library);
}

static int64_t floats_of(const dnnl_memory_desc_t *md)
{
    /* Whole cache lines, so that what follows in scratch memory is aligned. */
    return ((int64_t)dnnl_memory_desc_get_size(md_of(md)) + 63) / 64 * 16;
}

static int64_t reserve(int64_t *scratch, int64_t floats)
{
    const int64_t at = *scratch;
    *scratch += floats;
    return at;
}

static dfal_status query_md(dnnl_memory_desc_t *out, const_dnnl_primitive_desc_t pd, dnnl_query_t what,
                            int index)
{
    return check(md_copy(out, dnnl_primitive_desc_query_md(pd, what, index)), "asking for a layout");
}

static dfal_status user_scratchpad(dnnl_primitive_attr_t *attr)
{
    CHECK(dnnl_primitive_attr_create(attr), "creating attributes");
    CHECK(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user), "choosing a scratchpad");
    return DFAL_OK;
}

static dfal_status create_reorder(struct df_onednn *library, dnnl_primitive_t *out, dnnl_memory_desc_t *pad,
                                  md_ref from, md_ref to)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dfal_status status = DFAL_OK;
    DF_TRY_TO(done, status, user_scratchpad(&attr));
    DF_TRY_TO(done, status,
              check(dnnl_reorder_primitive_desc_create(&pd, from, library->engine, to, library->engine, attr),
                    "a change of layout"));
    DF_TRY_TO(done, status, query_md(pad, pd, dnnl_query_scratchpad_md, 0));
    DF_TRY_TO(done, status, check(dnnl_primitive_create(out, pd), "making a change of layout"));
done:
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static dfal_status describe(struct geometry *g, const struct df_layer_desc *desc, int32_t rows)
{
    const struct df_window *win = &desc->window;
    const int64_t group = desc->group > 1 ? desc->group : 1;
    const dnnl_dims_t x = {rows, desc->in.c, desc->in.h, desc->in.w};
    const dnnl_dims_t y = {rows, desc->out.c, desc->out.h, desc->out.w};
    const dnnl_dims_t bias = {desc->out.c};
    const dnnl_dims_t dense = {desc->out.c, desc->in.c, win->kernel[0], win->kernel[1]};
    const dnnl_dims_t grouped = {group, desc->out.c / group, desc->in.c / group, win->kernel[0],
                                 win->kernel[1]};
    const int rank = group > 1 ? 5 : 4;
    const dnnl_dim_t *weight = group > 1 ? grouped : dense;
    const dnnl_format_tag_t plain = group > 1 ? dnnl_goihw : dnnl_oihw;
    for (int i = 0; i < 2; i++) {
        g->stride[i] = win->stride[i];
        g->dilation[i] = win->dilation[i] - 1;
        g->pad_begin[i] = win->pad[i];
        g->pad_end[i] = win->pad[2 + i];
    }
    CHECK(md_make(&g->x, 4, x, dnnl_format_tag_any), "describing x");
    CHECK(md_make(&g->y, 4, y, dnnl_format_tag_any), "describing y");
    CHECK(md_make(&g->weight, rank, weight, dnnl_format_tag_any), "describing weights");
    CHECK(md_make(&g->bias, 1, bias, dnnl_x), "describing a bias");
    CHECK(md_make(&g->x_plain, 4, x, dnnl_nchw), "describing x");
    CHECK(md_make(&g->y_plain, 4, y, dnnl_nchw), "describing y");
    CHECK(md_make(&g->weight_plain, rank, weight, plain), "describing weights");
    return DFAL_OK;
}

/* Describe the op; forward is a hint the two gradients need. */
static dfal_status create_desc(dnnl_primitive_desc_t *out, struct df_onednn *library,
                               const struct geometry *g, enum df_layer_kind kind)
{
    const dnnl_engine_t engine = library->engine;
    const bool forward = kind == DF_LAYER_FORWARD;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dfal_status status = DFAL_OK;
    DF_TRY_TO(done, status, user_scratchpad(&attr));
    DF_TRY_TO(done, status, check(describe_forward(forward ? out : &hint, engine, g, attr), "a convolution"));
    if (kind == DF_LAYER_BACKWARD)
        status = check(describe_backward(out, engine, g, attr, hint), "a convolution's input gradient");
    else if (kind == DF_LAYER_WEIGHT_GRADIENT)
        status =
            check(describe_weight_gradient(out, engine, g, attr, hint), "a convolution's weight gradient");
done:
    if (hint != NULL)
        dnnl_primitive_desc_destroy(hint);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static dfal_status add_tensor(struct df_onednn_conv *conv, bool output, int arg,
                              const dnnl_memory_desc_t *plain, const_dnnl_primitive_desc_t pd,
                              dnnl_query_t what, int index)
{
    struct tensor *t = &conv->tensors[conv->input_count + conv->output_count];
    if (output)
        conv->output_count++;
    else
        conv->input_count++;
    t->arg = arg;
    CHECK(md_copy(&t->plain, md_of(plain)), "describing a tensor");
    DF_TRY(query_md(&t->own, pd, what, index));
    t->same = dnnl_memory_desc_equal(md_of(&t->plain), md_of(&t->own)) != 0;
    if (t->same)
        return DFAL_OK;
    DF_TRY(create_reorder(conv->library, &t->reorder, &t->reorder_pad, md_of(output ? &t->own : &t->plain),
                          md_of(output ? &t->plain : &t->own)));
    t->own_at = reserve(&conv->scratch, floats_of(&t->own));
    t->reorder_pad_at = reserve(&conv->scratch, floats_of(&t->reorder_pad));
    return DFAL_OK;
}

static dfal_status wrap(struct df_onednn_conv *conv, dnnl_memory_t *memory, const dnnl_memory_desc_t *md,
                        void *data)
{
    if (*memory == NULL)
        return check(dnnl_memory_create(memory, md_of(md), conv->library->engine, data), "wrapping memory");
    return check(dnnl_memory_set_data_handle(*memory, data), "wrapping memory");
}

/* Everything packing needs is made with the layer: training binds at every step. */
static dfal_status create_packing(struct df_onednn_conv *conv)
{
    struct packing *p = &conv->packing;
    DF_TRY(create_reorder(conv->library, &p->reorder, &p->pad_md, md_of(&conv->weight_plain),
                          md_of(&conv->weight_own)));
    DF_TRY(df_alloc(&p->pad_data, floats_of(&p->pad_md), sizeof(float)));
    DF_TRY(wrap(conv, &p->from, &conv->weight_plain, DNNL_MEMORY_NONE));
    DF_TRY(wrap(conv, &p->to, &conv->weight_own, conv->weight));
    return wrap(conv, &p->pad, &p->pad_md, p->pad_data);
}

static dfal_status create(struct df_onednn_conv *conv, const struct df_layer_desc *desc, int32_t rows)
{
    struct geometry g = {0};
    dnnl_primitive_desc_t pd = NULL;
    dfal_status status = DFAL_OK;
    DF_TRY_TO(done, status, describe(&g, desc, rows));
    DF_TRY_TO(done, status, create_desc(&pd, conv->library, &g, conv->kind));
    switch (conv->kind) {
    case DF_LAYER_FORWARD:
        DF_TRY_TO(done, status, add_tensor(conv, false, DNNL_ARG_SRC, &g.x_plain, pd, dnnl_query_src_md, 0));
        DF_TRY_TO(done, status, add_tensor(conv, true, DNNL_ARG_DST, &g.y_plain, pd, dnnl_query_dst_md, 0));
        break;
    case DF_LAYER_BACKWARD:
        DF_TRY_TO(done, status,
                  add_tensor(conv, false, DNNL_ARG_DIFF_DST, &g.y_plain, pd, dnnl_query_diff_dst_md, 0));
        DF_TRY_TO(done, status,
                  add_tensor(conv, true, DNNL_ARG_DIFF_SRC, &g.x_plain, pd, dnnl_query_diff_src_md, 0));
        break;
    case DF_LAYER_WEIGHT_GRADIENT:
        DF_TRY_TO(done, status, add_tensor(conv, false, DNNL_ARG_SRC, &g.x_plain, pd, dnnl_query_src_md, 0));
        DF_TRY_TO(done, status,
                  add_tensor(conv, false, DNNL_ARG_DIFF_DST, &g.y_plain, pd, dnnl_query_diff_dst_md, 0));
        DF_TRY_TO(done, status,
                  add_tensor(conv, true, DNNL_ARG_DIFF_WEIGHTS, &g.weight_plain, pd,
                             dnnl_query_diff_weights_md, 0));
        DF_TRY_TO(done, status,
                  add_tensor(conv, true, DNNL_ARG_DIFF_BIAS, &g.bias, pd, dnnl_query_diff_weights_md, 1));
        break;
    }
    DF_TRY_TO(done, status,
              check(md_copy(&conv->weight_plain, md_of(&g.weight_plain)), "describing weights"));
    DF_TRY_TO(done, status, check(md_copy(&conv->bias_md, md_of(&g.bias)), "describing a bias"));
    if (conv->kind != DF_LAYER_WEIGHT_GRADIENT) {
        DF_TRY_TO(done, status, query_md(&conv->weight_own, pd, dnnl_query_weights_md, 0));
        DF_TRY_TO(done, status, df_alloc(&conv->weight, floats_of(&conv->weight_own), sizeof(float)));
        DF_TRY_TO(done, status, df_alloc(&conv->bias, floats_of(&conv->bias_md), sizeof(float)));
        DF_TRY_TO(done, status, create_packing(conv));
    }
    DF_TRY_TO(done, status, query_md(&conv->pad_md, pd, dnnl_query_scratchpad_md, 0));
    conv->pad_at = reserve(&conv->scratch, floats_of(&conv->pad_md));
    DF_TRY_TO(done, status, df_alloc(&conv->handles, conv->library->queue_count, sizeof *conv->handles));
    status = check(dnnl_primitive_create(&conv->primitive, pd), "making a convolution");
done:
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    drop_geometry(&g);
    return status;
}

dfal_status df_onednn_conv_create(struct df_onednn_conv **out, struct df_onednn *library,
                                  const struct df_layer_desc *desc, enum df_layer_kind kind, int32_t rows)
{
    struct df_onednn_conv *conv = NULL;
    *out = NULL;
    DF_TRY(df_alloc(&conv, 1, sizeof *conv));
    conv->library = library;
    conv->kind = kind;
    const int threads = enter_one_thread();
    const dfal_status status = create(conv, desc, rows);
    leave_one_thread(threads);
    if (status != DFAL_OK)
        df_onednn_conv_destroy(conv);
    else
        *out = conv;
    return status;
}

static void drop_memory(dnnl_memory_t memory)
{
    if (memory != NULL)
        dnnl_memory_destroy(memory);
}

void df_onednn_conv_destroy(struct df_onednn_conv *conv)
{
    if (conv == NULL)
        return;
    for (int32_t q = 0; conv->handles != NULL && q < conv->library->queue_count; q++) {
        struct handles *h = &conv->handles[q];
        for (int i = 0; i < MAX_TENSORS; i++) {
            drop_memory(h->plain[i]);
            drop_memory(h->own[i]);
            drop_memory(h->reorder_pad[i]);
        }
        drop_memory(h->weight);
        drop_memory(h->bias);
        drop_memory(h->pad);
    }
    for (int i = 0; i < MAX_TENSORS; i++) {
        struct tensor *t = &conv->tensors[i];
        if (t->reorder != NULL)
            dnnl_primitive_destroy(t->reorder);
        md_drop(&t->plain);
        md_drop(&t->own);
        md_drop(&t->reorder_pad);
    }
    if (conv->primitive != NULL)
        dnnl_primitive_destroy(conv->primitive);
    drop_memory(conv->packing.from);
    drop_memory(conv->packing.to);
    drop_memory(conv->packing.pad);
    if (conv->packing.reorder != NULL)
        dnnl_primitive_destroy(conv->packing.reorder);
    md_drop(&conv->packing.pad_md);
    md_drop(&conv->weight_plain);
    md_drop(&conv->weight_own);
    md_drop(&conv->bias_md);
    md_drop(&conv->pad_md);
    df_free(conv->packing.pad_data);
    df_free(conv->handles);
    df_free(conv->weight);
    df_free(conv->bias);
    df_free(conv);
}

int64_t df_onednn_conv_scratch(const struct df_onednn_conv *conv)
{
    return conv->scratch;
}

static dfal_status pack_weight(struct df_onednn_conv *conv, const float *weight)
{
    const struct packing *p = &conv->packing;
    const dnnl_stream_t stream = conv->library->streams[0];
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_FROM, p->from}, {DNNL_ARG_TO, p->to}, {DNNL_ARG_SCRATCHPAD, p->pad}};
    CHECK(dnnl_memory_set_data_handle(p->from, (void *)(uintptr_t)weight), "wrapping weights");
    CHECK(dnnl_primitive_execute(p->reorder, stream, 3, args), "packing weights");
    return check(dnnl_stream_wait(stream), "packing weights");
}

dfal_status df_onednn_conv_bind(struct df_onednn_conv *conv, const float *weight, const float *bias)
{
    const size_t bias_bytes = dnnl_memory_desc_get_size(md_of(&conv->bias_md));
    const int threads = enter_one_thread();
    const dfal_status status = pack_weight(conv, weight);
    leave_one_thread(threads);
    if (bias != NULL)
        memcpy(conv->bias, bias, bias_bytes);
    else
        memset(conv->bias, 0, bias_bytes);
    return status;
}

/* Point the queue's memory objects into its scratch memory: on first use and after it has moved. */
static dfal_status point(struct df_onednn_conv *conv, struct handles *h, const struct df_cpu_queue *memory)
{
    if (h->ready && h->moves == memory->moves)
        return DFAL_OK;
    h->ready = false;
    float *base = memory->scratch;
    for (int i = 0; i < conv->input_count + conv->output_count; i++) {
        const struct tensor *t = &conv->tensors[i];
        if (h->plain[i] == NULL)
            DF_TRY(wrap(conv, &h->plain[i], &t->plain, DNNL_MEMORY_NONE));
        if (t->same)
            continue;
        DF_TRY(wrap(conv, &h->own[i], &t->own, base + t->own_at));
        DF_TRY(wrap(conv, &h->reorder_pad[i], &t->reorder_pad, base + t->reorder_pad_at));
    }
    DF_TRY(wrap(conv, &h->pad, &conv->pad_md, base + conv->pad_at));
    if (conv->kind != DF_LAYER_WEIGHT_GRADIENT) {
        DF_TRY(wrap(conv, &h->weight, &conv->weight_own, conv->weight));
        DF_TRY(wrap(conv, &h->bias, &conv->bias_md, conv->bias));
    }
    h->ready = true;
    h->moves = memory->moves;
    return DFAL_OK;
}

static dfal_status reorder(const struct df_onednn_conv *conv, const struct handles *h, int i,
                           dnnl_stream_t stream)
{
    const bool output = i >= conv->input_count;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, output ? h->own[i] : h->plain[i]},
                                    {DNNL_ARG_TO, output ? h->plain[i] : h->own[i]},
                                    {DNNL_ARG_SCRATCHPAD, h->reorder_pad[i]}};
    return check(dnnl_primitive_execute(conv->tensors[i].reorder, stream, 3, args), "changing a layout");
}

static dfal_status run_one_thread(struct df_onednn_conv *conv, int32_t queue,
                                  const struct df_cpu_queue *memory, float *const out[2],
                                  const float *const in[2])
{
    struct handles *h = &conv->handles[queue];
    const dnnl_stream_t stream = conv->library->streams[queue];
    dnnl_exec_arg_t args[MAX_TENSORS + 3];
    int count = 0;
    DF_TRY(point(conv, h, memory));
    for (int i = 0; i < conv->input_count + conv->output_count; i++) {
        const bool output = i >= conv->input_count;
        void *data = output ? (void *)out[i - conv->input_count] : (void *)(uintptr_t)in[i];
        CHECK(dnnl_memory_set_data_handle(h->plain[i], data), "wrapping memory");
        if (!output && !conv->tensors[i].same)
            DF_TRY(reorder(conv, h, i, stream));
        args[count++] =
            (dnnl_exec_arg_t){conv->tensors[i].arg, conv->tensors[i].same ? h->plain[i] : h->own[i]};
    }
    if (conv->kind != DF_LAYER_WEIGHT_GRADIENT)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, h->weight};
    if (conv->kind == DF_LAYER_FORWARD)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, h->bias};
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, h->pad};
    CHECK(dnnl_primitive_execute(conv->primitive, stream, count, args), "running a convolution");
    for (int i = conv->input_count; i < conv->input_count + conv->output_count; i++)
        if (!conv->tensors[i].same)
            DF_TRY(reorder(conv, h, i, stream));
    return check(dnnl_stream_wait(stream), "running a convolution");
}

dfal_status df_onednn_conv_run(struct df_onednn_conv *conv, int32_t queue, const struct df_cpu_queue *memory,
                               float *const out[2], const float *const in[2])
{
    const int threads = enter_one_thread();
    const dfal_status status = run_one_thread(conv, queue, memory, out, in);
    leave_one_thread(threads);
    return status;
}
