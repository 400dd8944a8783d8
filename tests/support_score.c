/* SPDX-License-Identifier: Apache-2.0 */
#include "support_score.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

static int32_t add(struct df_network *network, const char *name, enum df_node_op op, int32_t input)
{
    int32_t index;
    test_ok(df_network_add(network, &index, name, op, &input, 1));
    return index;
}

static void set(struct df_parameter *parameter, const float *values)
{
    if (values)
        memcpy(parameter->data, values, (size_t)parameter->count * sizeof *values);
}

static int32_t add_gemm(struct df_network *network, const char *name, int32_t input, int64_t outputs)
{
    const int32_t index = add(network, name, DF_NODE_GEMM, input);
    network->nodes[index].parameter[DF_WEIGHT].dims[0] = outputs;
    return index;
}

struct df_network *test_affine_network(const float *weight, const float *bias, int32_t classes,
                                       int64_t inputs)
{
    struct df_network *network;
    test_ok(df_network_create(&network, (struct df_shape){1, 1, inputs}, classes));
    const int32_t flatten = add(network, "flatten", DF_NODE_FLATTEN, DF_INPUT);
    const int32_t fc = add_gemm(network, "fc", flatten, classes);
    network->output = fc;
    test_ok(df_network_infer(network));
    set(&network->nodes[fc].parameter[DF_WEIGHT], weight);
    set(&network->nodes[fc].parameter[DF_BIAS], bias);
    return network;
}

struct df_network *test_relu_network(const float *weight1, const float *bias1, int64_t hidden,
                                     const float *weight2, const float *bias2, int32_t classes,
                                     int64_t inputs)
{
    struct df_network *network;
    test_ok(df_network_create(&network, (struct df_shape){1, 1, inputs}, classes));
    const int32_t flatten = add(network, "flatten", DF_NODE_FLATTEN, DF_INPUT);
    const int32_t fc1 = add_gemm(network, "fc1", flatten, hidden);
    const int32_t relu = add(network, "relu", DF_NODE_RELU, fc1);
    const int32_t fc2 = add_gemm(network, "fc2", relu, classes);
    network->output = fc2;
    test_ok(df_network_infer(network));
    set(&network->nodes[fc1].parameter[DF_WEIGHT], weight1);
    set(&network->nodes[fc1].parameter[DF_BIAS], bias1);
    set(&network->nodes[fc2].parameter[DF_WEIGHT], weight2);
    set(&network->nodes[fc2].parameter[DF_BIAS], bias2);
    return network;
}

static int32_t add_conv(struct df_network *network, const char *name, int32_t input, int64_t features)
{
    const int32_t index = add(network, name, DF_NODE_CONV, input);
    struct df_node *node = &network->nodes[index];
    node->window.kernel[0] = node->window.kernel[1] = 3;
    node->parameter[DF_WEIGHT].dims[0] = features;
    return index;
}

struct df_network *test_small_network(uint64_t seed, int32_t classes)
{
    struct df_network *network;
    test_ok(df_network_create(&network, (struct df_shape){1, 10, 10}, classes));
    const int32_t conv1 = add_conv(network, "conv1", DF_INPUT, 4);
    const int32_t relu1 = add(network, "relu1", DF_NODE_RELU, conv1);
    const int32_t pool1 = add(network, "pool1", DF_NODE_MAX_POOL, relu1);
    for (int i = 0; i < 2; i++)
        network->nodes[pool1].window.kernel[i] = network->nodes[pool1].window.stride[i] = 2;
    const int32_t conv2 = add_conv(network, "conv2", pool1, 8);
    const int32_t relu2 = add(network, "relu2", DF_NODE_RELU, conv2);
    const int32_t flatten = add(network, "flatten", DF_NODE_FLATTEN, relu2);
    network->output = add_gemm(network, "fc", flatten, classes);
    test_ok(df_network_infer(network));
    test_ok(df_network_initialise(network, seed));
    network->scale[0] = 1.0 / 255;
    return network;
}

void test_pool_f32(const char *path, const float *x, int64_t n, struct df_shape shape, int32_t classes,
                   const int32_t *labels)
{
    const struct df_pool_spec spec = {
        .count = n, .shape = shape, .raw = DF_RAW_F32, .class_count = classes, .has_labels = labels != NULL};
    struct df_pool_writer *writer;
    test_ok(df_pool_create(&writer, path, &spec, true));
    test_ok(df_pool_append(writer, x, labels, n));
    test_ok(df_pool_finish(writer));
}

/* A few bright blobs on a dark ground, so that rows differ in more than noise. */
static void draw(unsigned char *out, struct df_shape shape, uint64_t seed)
{
    const int64_t size = df_shape_size(shape);
    float noise[8];
    test_fill_floats(noise, 8, seed, 0, 1);
    for (int64_t j = 0; j < size; j++) {
        const double row = (double)(j / shape.w % shape.h), col = (double)(j % shape.w);
        double light = 0;
        for (int b = 0; b < 2; b++) {
            const double dy = row - (double)noise[2 * b] * (double)shape.h,
                         dx = col - (double)noise[2 * b + 1] * (double)shape.w;
            light += 230.0 * (double)(noise[4 + b] + 0.2f) / (1 + 0.3 * (dy * dy + dx * dx));
        }
        out[j] = (unsigned char)(light > 255 ? 255 : light);
    }
}

void test_pool_u8(const char *path, int64_t n, struct df_shape shape, int32_t classes, uint64_t seed,
                  const int64_t *order)
{
    const int64_t size = df_shape_size(shape);
    unsigned char *raw;
    int32_t *labels;
    char **ids;
    test_ok(df_alloc(&raw, n * size, 1));
    test_ok(df_alloc(&labels, n, sizeof *labels));
    test_ok(df_alloc(&ids, n, sizeof *ids));
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = order ? order[i] : i;
        draw(raw + i * size, shape, seed * 1000003 + (uint64_t)from);
        labels[i] = (int32_t)(from % classes);
        test_ok(df_format(&ids[i], "sample-%lld", (long long)from));
    }
    const struct df_pool_spec spec = {.count = n,
                                      .shape = shape,
                                      .raw = DF_RAW_U8,
                                      .class_count = classes,
                                      .has_labels = true,
                                      .ids = (const char *const *)ids};
    struct df_pool_writer *writer;
    test_ok(df_pool_create(&writer, path, &spec, true));
    test_ok(df_pool_append(writer, raw, labels, n));
    test_ok(df_pool_finish(writer));
    for (int64_t i = 0; i < n; i++)
        df_free(ids[i]);
    df_free(ids);
    df_free(labels);
    df_free(raw);
}

struct dfal_context *test_context(const char *backend, int32_t threads)
{
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.backend = backend;
    options.threads = threads;
    struct dfal_context *context;
    test_ok(dfal_context_create(&context, &options));
    return context;
}

struct table_sink {
    struct df_margin_sink sink;
    struct df_margin *margins;
    float *images;
    int64_t size, count;
};

static dfal_status table_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    struct table_sink *sink = (struct table_sink *)self;
    sink->margins[margin->index] = *margin;
    sink->count++;
    if (sink->images && adversarial)
        memcpy(sink->images + margin->index * sink->size, adversarial, (size_t)sink->size * sizeof(float));
    return DFAL_OK;
}

void test_engine(struct dfal_context *context, struct df_device *device, const struct df_network *network,
                 struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                 struct df_margin *margins, float *images)
{
    struct df_deepfool_engine *engine;
    struct df_row_stream *stream;
    struct df_range_source range;
    struct table_sink sink = {.sink = {.put = table_put, .wants_adversarial = images != NULL},
                              .margins = margins,
                              .images = images,
                              .size = df_shape_size(pool->shape)};
    test_ok(df_deepfool_create(&engine, context, device, network, pool, deepfool, batch, true));
    df_range_source_init(&range, 0, pool->count, 16);
    test_ok(df_stream_open(&stream, pool, &range.source));
    test_ok(df_deepfool_run(engine, stream, &sink.sink, NULL));
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    if (sink.count != pool->count)
        test_fail("%lld of %lld rows came out", (long long)sink.count, (long long)pool->count);
}

void test_engine_f32(struct df_device *device, const struct df_network *network, const float *x, int64_t n,
                     const struct df_deepfool *deepfool, int64_t batch, struct df_margin *margins,
                     float *images)
{
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    test_pool_f32(path, x, n, network->input, network->class_count, NULL);
    struct dfal_context *context = test_context("ref", 1);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    test_engine(context, device, network, pool, deepfool, batch, margins, images);
    df_pool_close(pool);
    dfal_context_destroy(context);
    test_folder_remove(folder);
}

void test_same_margins(const char *what, const struct df_margin *a, const struct df_margin *b, int64_t n,
                       const int64_t *order)
{
    for (int64_t i = 0; i < n; i++) {
        const struct df_margin *x = &a[order ? order[i] : i], *y = &b[i];
        if (memcmp(&x->margin, &y->margin, sizeof(float)) ||
            memcmp(&x->first_margin, &y->first_margin, sizeof(float)) ||
            memcmp(&x->logit_gap, &y->logit_gap, sizeof(float)) || x->status != y->status ||
            x->label != y->label || x->adversarial_class != y->adversarial_class ||
            x->iterations != y->iterations)
            test_fail("%s: row %lld: margin %.9g and %.9g, first %.9g and %.9g, gap %.9g and %.9g, status %d "
                      "and %d, "
                      "class %d and %d, steps %d and %d",
                      what, (long long)i, (double)x->margin, (double)y->margin, (double)x->first_margin,
                      (double)y->first_margin, (double)x->logit_gap, (double)y->logit_gap, x->status,
                      y->status, x->adversarial_class, y->adversarial_class, x->iterations, y->iterations);
    }
}

struct df_deepfool test_preset(const char *name)
{
    struct df_deepfool deepfool;
    test_ok(df_deepfool_preset(&deepfool, name));
    return deepfool;
}

struct df_deepfool test_few_rounds(const char *name)
{
    struct df_deepfool deepfool = test_preset(name);
    if (deepfool.rounds > 4)
        deepfool.rounds = 4;
    return deepfool;
}
