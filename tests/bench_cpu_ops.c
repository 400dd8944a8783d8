/* SPDX-License-Identifier: Apache-2.0 */
/* Time every op of LeNet5 and VGG8 on the cpu back end: bench_cpu_ops [avx2|avx512] [part of a name].
 * One queue, the calling thread; random data, never zeros; the best of several runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"

static struct df_device *device;
static const char *filter = "";

static void must(dfal_status status)
{
    if (status == DFAL_OK)
        return;
    fprintf(stderr, "%s\n", dfal_last_error());
    exit(1);
}

static struct df_span random_span(int64_t count)
{
    struct df_span span;
    float *host = malloc((size_t)count * sizeof *host);
    if (host == NULL)
        exit(1);
    for (int64_t i = 0; i < count; i++)
        host[i] = (float)(2 * df_random_uniform(7, DF_STREAM_WEIGHTS, (uint64_t)i) - 1);
    must(df_buffer_new(device, &span, DF_TYPE_REAL, count));
    must(df_write(device, 0, span, host, count));
    free(host);
    return span;
}

/* Seconds of one call: the best of as many runs as fit into a fifth of a second. */
static double seconds(const struct df_call *call)
{
    double best = 1e9, begin = df_clock();
    must(df_call_run(device, 0, call));
    while (df_clock() - begin < 0.2) {
        const double start = df_clock();
        must(df_call_run(device, 0, call));
        const double took = df_clock() - start;
        best = took < best ? took : best;
    }
    return best;
}

static void report(const char *net, const char *name, const char *op, double took, double flop, int64_t rows,
                   double bytes)
{
    printf("%-7s %-22s %-12s %9.2f us/row %8.1f GFLOP/s %7.1f GB/s\n", net, name, op,
           1e6 * took / (double)rows, flop / took * 1e-9, bytes / took * 1e-9);
}

static void layer(const char *net, struct df_layer_desc desc, int64_t rows)
{
    char name[64];
    struct df_layer *handle = NULL;
    const int64_t in = df_shape_size(desc.in), out = df_shape_size(desc.out);
    const int64_t weight_count =
        desc.is_gemm ? in * out : desc.out.c * desc.in.c * desc.window.kernel[0] * desc.window.kernel[1];
    snprintf(name, sizeof name, "%d>%d %dx%d %dx%d", (int)desc.in.c, (int)desc.out.c, desc.window.kernel[0],
             desc.window.kernel[1], (int)desc.in.h, (int)desc.in.w);
    if (strstr(name, filter) == NULL && strstr(net, filter) == NULL)
        return;
    desc.group = 1;
    desc.block_rows = 64;
    desc.forward = desc.backward = desc.weight_gradient = true;
    must(device->backend->layer_create(device, &handle, &desc));
    struct df_span x = random_span(rows * in), y = random_span(rows * out), w = random_span(weight_count);
    struct df_span b = random_span(desc.out.c), dw = random_span(weight_count);
    must(device->backend->layer_bind(device, 0, handle, w, b));
    const double flop = 2.0 * (double)weight_count * (double)(desc.out.h * desc.out.w);
    const double bytes = 4.0 * (double)(in + out);
    struct df_call call = {
        .op = desc.is_gemm ? DF_OP_gemm_bwd : DF_OP_conv_bwd, .rows = rows, .layer = handle};
    call.out[0] = x;
    call.in[0] = y;
    report(net, name, "bwd", seconds(&call), flop * (double)rows, rows, bytes * (double)rows);
    call.op = desc.is_gemm ? DF_OP_gemm_fwd : DF_OP_conv_fwd;
    call.out[0] = y;
    call.in[0] = x;
    report(net, name, "fwd", seconds(&call), flop * (double)rows, rows, bytes * (double)rows);
    call.op = desc.is_gemm ? DF_OP_gemm_wgrad : DF_OP_conv_wgrad;
    call.rows = 8;
    call.out[0] = dw;
    call.out[1] = b;
    call.in[0] = x;
    call.in[1] = y;
    report(net, name, "wgrad (8)", seconds(&call), flop * 8, 8, bytes * 8);
    device->backend->layer_destroy(device, handle);
    struct df_span *spans[] = {&x, &y, &w, &b, &dw};
    for (int i = 0; i < 5; i++)
        df_buffer_drop(device, spans[i]);
}

static void conv(const char *net, int64_t c, int64_t o, int64_t size, int32_t kernel, int32_t pad,
                 int64_t rows)
{
    const int64_t out = size + 2 * pad - kernel + 1;
    layer(net,
          (struct df_layer_desc){
              .in = {c, size, size},
              .out = {o, out, out},
              .window = {{kernel, kernel}, {1, 1}, {pad, pad, pad, pad}, {1, 1}},
          },
          rows);
}

static void gemm(const char *net, int64_t c, int64_t o, int64_t rows)
{
    layer(net,
          (struct df_layer_desc){
              .is_gemm = true, .in = {c, 1, 1}, .out = {o, 1, 1}, .window = {{1, 1}, {1, 1}, {0}, {1, 1}}},
          rows);
}

/* relu, its gradient and both max-pools over [channels, size, size]. */
static void planes(const char *net, int64_t channels, int64_t size, int64_t rows)
{
    char name[64];
    const int64_t full = channels * size * size, half = full / 4;
    snprintf(name, sizeof name, "%dx%dx%d", (int)channels, (int)size, (int)size);
    if (strstr(name, filter) == NULL && strstr(net, filter) == NULL)
        return;
    struct df_span x = random_span(rows * full), y = random_span(rows * full),
                   pooled = random_span(rows * half), arg;
    struct df_span owner;
    must(df_buffer_new(device, &arg, DF_TYPE_I32, rows * half));
    must(df_buffer_new(device, &owner, DF_TYPE_I32, rows));
    int32_t *owners = calloc((size_t)rows, sizeof *owners);
    for (int64_t i = 0; i < rows; i++)
        owners[i] = (int32_t)(i / 9);
    must(df_write(device, 0, owner, owners, rows));
    free(owners);
    struct df_call call = {.op = DF_OP_relu_fwd, .rows = rows, .cols = full};
    call.out[0] = y;
    call.in[0] = x;
    report(net, name, "relu_fwd", seconds(&call), 0, rows, 8.0 * (double)(full * rows));
    call.op = DF_OP_relu_bwd;
    call.in[1] = x;
    call.in[2] = owner;
    report(net, name, "relu_bwd", seconds(&call), 0, rows, 12.0 * (double)(full * rows));
    call = (struct df_call){.op = DF_OP_maxpool_fwd, .rows = rows * channels};
    call.p.pool.window = (struct df_window){{2, 2}, {2, 2}, {0}, {1, 1}};
    call.p.pool.channels = (int32_t)channels;
    call.p.pool.in_h = call.p.pool.in_w = (int32_t)size;
    call.p.pool.out_h = call.p.pool.out_w = (int32_t)size / 2;
    call.out[0] = pooled;
    call.out[1] = arg;
    call.in[0] = x;
    report(net, name, "maxpool_fwd", seconds(&call), 0, rows, 6.0 * (double)(full * rows));
    call.op = DF_OP_maxpool_bwd;
    call.out[0] = y;
    call.out[1] = (struct df_span){NULL, 0};
    call.in[0] = pooled;
    call.in[1] = arg;
    call.in[2] = owner;
    report(net, name, "maxpool_bwd", seconds(&call), 0, rows, 6.0 * (double)(full * rows));
    struct df_span *spans[] = {&x, &y, &pooled, &arg, &owner};
    for (int i = 0; i < 5; i++)
        df_buffer_drop(device, spans[i]);
}

/* Element-wise ops over a flat vector. */
static void cells(int64_t count)
{
    struct df_span v[4], rate;
    if (strstr("cells", filter) == NULL)
        return;
    must(df_buffer_new(device, &rate, DF_TYPE_F64, 1));
    must(df_write(device, 0, rate, &(double){1e-3}, 1));
    for (int i = 0; i < 4; i++)
        v[i] = random_span(count);
    struct df_call call = {.op = DF_OP_accumulate, .rows = 1, .cols = count};
    call.out[0] = v[0];
    call.in[0] = v[1];
    report("cells", "", "accumulate", seconds(&call), 0, count, 12.0 * (double)count);
    call.op = DF_OP_copy_cols;
    call.p.cols.x_stride = call.p.cols.y_stride = count;
    report("cells", "", "copy_cols", seconds(&call), 0, count, 8.0 * (double)count);
    call.op = DF_OP_adam_step;
    call.in[1] = rate;
    call.p.adam.beta1 = 0.9;
    call.p.adam.beta2 = 0.999;
    call.p.adam.epsilon = 1e-7;
    call.out[1] = v[2];
    call.out[2] = v[3];
    must(
        df_call_run(device, 0, &(struct df_call){.op = DF_OP_fill, .rows = 1, .cols = count, .out = {v[3]}}));
    report("cells", "", "adam_step", seconds(&call), 0, count, 28.0 * (double)count);
    for (int i = 0; i < 4; i++)
        df_buffer_drop(device, &v[i]);
    df_buffer_drop(device, &rate);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        filter = argv[2];
    must(df_device_open(&device, "cpu", argc > 1 ? argv[1] : "auto", 1));
    printf("%s, %s, %s\n", device->info.device, device->info.isa, device->info.library);
    conv("lenet5", 1, 6, 28, 5, 0, 576);
    conv("lenet5", 6, 16, 12, 5, 0, 576);
    gemm("lenet5", 256, 84, 576);
    gemm("lenet5", 84, 10, 576);
    planes("lenet5", 6, 24, 576);
    planes("lenet5", 16, 8, 576);
    conv("caffe", 1, 20, 28, 5, 0, 256);
    conv("caffe", 20, 50, 12, 5, 0, 256);
    gemm("caffe", 800, 500, 256);
    gemm("caffe", 500, 10, 256);
    conv("vgg8", 1, 64, 28, 3, 1, 64);
    conv("vgg8", 3, 64, 64, 3, 1, 64);
    conv("vgg8", 64, 128, 14, 3, 1, 64);
    conv("vgg8", 128, 256, 7, 3, 1, 64);
    conv("vgg8", 256, 256, 7, 3, 1, 64);
    conv("vgg8", 256, 512, 3, 3, 1, 64);
    conv("vgg8", 512, 512, 3, 3, 1, 64);
    gemm("vgg8", 512, 4096, 64);
    gemm("vgg8", 4096, 10, 64);
    planes("vgg8", 64, 28, 64);
    cells(100000);
    df_device_close(device);
    return 0;
}
