/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu back end's layers: test_cpu [avx2|avx512]. Against the reference, and the same bits for a row
 * wherever it stands. oneDNN's instruction set is chosen once a process, so each runs in its own. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "support.h"

enum { QUEUES = 4, BLOCK = 64, MAX_ROWS = 200 };

static const char *isa = "auto";
static struct df_device *cpu, *ref;

static int64_t draw(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(df_random_bits(3, DF_STREAM_WEIGHTS, (*state)++) % (uint64_t)(high - low + 1));
}

/* c>o kernel, stride, pads top left bottom right, dilation, group on h x w. */
struct shape {
    int32_t c, o, h, w, kh, kw, sh, sw, pad[4], dh, dw, group;
};

static const struct shape shapes[] = {
    {1, 6, 28, 28, 5, 5, 1, 1, {0, 0, 0, 0}, 1, 1, 1}, /* LeNet5 */
    {6, 16, 12, 12, 5, 5, 1, 1, {0, 0, 0, 0}, 1, 1, 1},
    {1, 20, 28, 28, 5, 5, 1, 1, {0, 0, 0, 0}, 1, 1, 1},
    {20, 50, 12, 12, 5, 5, 1, 1, {0, 0, 0, 0}, 1, 1, 1},
    {1, 64, 28, 28, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 1}, /* VGG8 */
    {3, 64, 32, 32, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 1},
    {64, 128, 14, 14, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 1},
    {32, 64, 3, 3, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 1},
    {3, 8, 23, 19, 7, 7, 2, 2, {3, 3, 3, 3}, 1, 1, 1},
    {4, 9, 9, 11, 3, 5, 1, 1, {0, 3, 2, 1}, 1, 1, 1},  /* asymmetric */
    {2, 5, 8, 8, 3, 3, 1, 1, {4, 4, 0, 0}, 1, 1, 1},   /* more padding than kernel */
    {5, 10, 13, 9, 3, 3, 1, 1, {2, 2, 2, 2}, 2, 2, 1}, /* dilated */
    {8, 8, 9, 9, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 8},   /* depthwise */
    {6, 9, 7, 7, 3, 3, 1, 1, {1, 1, 1, 1}, 1, 1, 3},
    {3, 7, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, 1, 1, 1}, /* tiny */
    {2, 3, 3, 2, 3, 2, 1, 1, {0, 0, 0, 0}, 1, 1, 1},
    {1, 1, 1, 5, 1, 5, 1, 1, {0, 2, 0, 2}, 1, 1, 1},
    {17, 33, 5, 6, 1, 1, 1, 1, {0, 0, 0, 0}, 1, 1, 1},
    {12, 14, 10, 33, 3, 7, 1, 1, {1, 3, 1, 3}, 1, 1, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static bool describe(struct df_layer_desc *desc, const struct shape *s)
{
    const int64_t h = s->h + s->pad[0] + s->pad[2] - (s->dh * (s->kh - 1) + 1);
    const int64_t w = s->w + s->pad[1] + s->pad[3] - (s->dw * (s->kw - 1) + 1);
    *desc = (struct df_layer_desc){
        .in = {s->c, s->h, s->w},
        .out = {s->o, h / s->sh + 1, w / s->sw + 1},
        .window = {{s->kh, s->kw},
                   {s->sh, s->sw},
                   {s->pad[0], s->pad[1], s->pad[2], s->pad[3]},
                   {s->dh, s->dw}},
        .group = s->group,
        .block_rows = BLOCK,
        .forward = true,
        .backward = true,
        .weight_gradient = true,
    };
    return h >= 0 && w >= 0;
}

static struct shape random_shape(uint64_t *state)
{
    const int32_t group = draw(state, 0, 4) == 0 ? (int32_t)draw(state, 2, 3) : 1;
    struct shape s = {.group = group};
    s.c = group * (int32_t)draw(state, 1, draw(state, 0, 1) ? 4 : 20);
    s.o = group * (int32_t)draw(state, 1, 20);
    s.h = (int32_t)draw(state, 1, 17);
    s.w = (int32_t)draw(state, 1, 35);
    s.kh = (int32_t)draw(state, 1, 5);
    s.kw = (int32_t)draw(state, 1, 7);
    s.sh = draw(state, 0, 2) == 0 ? 2 : 1;
    s.sw = draw(state, 0, 2) == 0 ? 2 : 1;
    s.dh = draw(state, 0, 4) == 0 ? 2 : 1;
    s.dw = draw(state, 0, 4) == 0 ? 2 : 1;
    for (int i = 0; i < 4; i++)
        s.pad[i] = (int32_t)draw(state, 0, (i % 2 == 0 ? s.kh : s.kw) - 1);
    return s;
}

static struct df_layer_desc product_desc(int64_t c, int64_t o)
{
    return (struct df_layer_desc){.is_gemm = true,
                                  .in = {c, 1, 1},
                                  .out = {o, 1, 1},
                                  .group = 1,
                                  .window = {{1, 1}, {1, 1}, {0}, {1, 1}},
                                  .block_rows = BLOCK,
                                  .forward = true,
                                  .backward = true,
                                  .weight_gradient = true};
}

/* A layer on one device with its parameters and room for MAX_ROWS rows. The data start at an odd element. */
struct rig {
    struct df_device *device;
    struct df_layer_desc desc;
    struct df_layer *layer;
    int64_t in, out, weights, biases;
    struct df_span x, y, dx, dy, w, b, dw, db;
};

static struct df_span buffer(struct df_device *device, int64_t count)
{
    struct df_span span;
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, count + 3));
    return df_at(span, 3);
}

static void upload(struct rig *rig, struct df_span to, int64_t count, uint64_t seed, bool whole)
{
    float *host = test_malloc((size_t)(count + 1) * sizeof *host);
    if (whole)
        test_fill_whole(host, count, seed, -2, 2);
    else
        test_fill_floats(host, count, seed, -1, 1);
    test_ok(df_write(rig->device, 0, to, host, count));
    test_free(host);
}

static float *download(struct rig *rig, int32_t queue, struct df_span from, int64_t count)
{
    float *host = test_malloc((size_t)(count + 1) * sizeof *host);
    test_ok(df_read(rig->device, queue, host, from, count));
    return host;
}

static void rig_create(struct rig *rig, struct df_device *device, const struct df_layer_desc *desc,
                       int64_t rows, bool whole)
{
    *rig = (struct rig){.device = device, .desc = *desc};
    rig->in = df_shape_size(desc->in);
    rig->out = df_shape_size(desc->out);
    rig->weights = df_layer_weight_count(desc);
    rig->biases = df_layer_bias_count(desc);
    rig->x = buffer(device, rows * rig->in);
    rig->dx = buffer(device, rows * rig->in);
    rig->y = buffer(device, rows * rig->out);
    rig->dy = buffer(device, rows * rig->out);
    rig->w = buffer(device, rig->weights);
    rig->dw = buffer(device, rig->weights);
    rig->b = buffer(device, rig->biases);
    rig->db = buffer(device, rig->biases);
    upload(rig, rig->x, rows * rig->in, 1, whole);
    upload(rig, rig->dy, rows * rig->out, 2, whole);
    upload(rig, rig->w, rig->weights, 3, whole);
    upload(rig, rig->b, rig->biases, 4, whole);
    test_ok(device->backend->layer_create(device, &rig->layer, desc));
    test_ok(device->backend->layer_bind(device, 0, rig->layer, rig->w, rig->b));
}

static void rig_destroy(struct rig *rig)
{
    struct df_span *spans[] = {&rig->x, &rig->y, &rig->dx, &rig->dy, &rig->w, &rig->b, &rig->dw, &rig->db};
    rig->device->backend->layer_destroy(rig->device, rig->layer);
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        df_buffer_drop(rig->device, spans[i]);
}

static dfal_status run_forward(struct rig *rig, int32_t queue, int64_t from, int64_t rows, struct df_span y)
{
    const struct df_call call = {.op = rig->desc.is_gemm ? DF_OP_gemm_fwd : DF_OP_conv_fwd,
                                 .rows = rows,
                                 .layer = rig->layer,
                                 .out = {y},
                                 .in = {df_at(rig->x, from * rig->in)}};
    return df_call_run(rig->device, queue, &call);
}

static dfal_status run_backward(struct rig *rig, int32_t queue, int64_t from, int64_t rows, struct df_span dx)
{
    const struct df_call call = {.op = rig->desc.is_gemm ? DF_OP_gemm_bwd : DF_OP_conv_bwd,
                                 .rows = rows,
                                 .layer = rig->layer,
                                 .out = {dx},
                                 .in = {df_at(rig->dy, from * rig->out)}};
    return df_call_run(rig->device, queue, &call);
}

static dfal_status run_gradient(struct rig *rig, int32_t queue, int64_t from, int64_t rows, struct df_span dw,
                                struct df_span db)
{
    const struct df_call call = {.op = rig->desc.is_gemm ? DF_OP_gemm_wgrad : DF_OP_conv_wgrad,
                                 .rows = rows,
                                 .layer = rig->layer,
                                 .out = {dw, db},
                                 .in = {df_at(rig->x, from * rig->in), df_at(rig->dy, from * rig->out)}};
    return df_call_run(rig->device, queue, &call);
}

static void compare(const char *what, const struct df_layer_desc *d, struct rig *a, struct df_span from_a,
                    struct rig *b, struct df_span from_b, int64_t count, bool whole)
{
    char text[200];
    snprintf(text, sizeof text,
             "%s %d>%d %dx%d on %dx%d stride %d,%d pad %d,%d,%d,%d dilation %d,%d group %d", what,
             (int)d->in.c, (int)d->out.c, d->window.kernel[0], d->window.kernel[1], (int)d->in.h,
             (int)d->in.w, d->window.stride[0], d->window.stride[1], d->window.pad[0], d->window.pad[1],
             d->window.pad[2], d->window.pad[3], d->window.dilation[0], d->window.dilation[1], d->group);
    float *found = download(a, 0, from_a, count), *expected = download(b, 0, from_b, count);
    test_near(text, found, expected, count, whole ? 0 : 4e-6);
    test_free(found);
    test_free(expected);
}

static void check_against_ref(const struct df_layer_desc *desc, int64_t rows, bool whole)
{
    struct rig a, b;
    rig_create(&a, cpu, desc, rows, whole);
    rig_create(&b, ref, desc, rows, whole);
    test_ok(run_forward(&a, 0, 0, rows, a.y));
    test_ok(run_forward(&b, 0, 0, rows, b.y));
    compare("forward", desc, &a, a.y, &b, b.y, rows * a.out, whole);
    test_ok(run_backward(&a, 0, 0, rows, a.dx));
    test_ok(run_backward(&b, 0, 0, rows, b.dx));
    compare("backward", desc, &a, a.dx, &b, b.dx, rows * a.in, whole);
    test_ok(run_gradient(&a, 0, 0, rows, a.dw, a.db));
    test_ok(run_gradient(&b, 0, 0, rows, b.dw, b.db));
    compare("dw", desc, &a, a.dw, &b, b.dw, a.weights, whole);
    compare("db", desc, &a, a.db, &b, b.db, a.biases, whole);
    rig_destroy(&a);
    rig_destroy(&b);
}

/* Multiply-adds a row: the reference is slow, so large shapes get few rows. */
static int64_t work(const struct df_layer_desc *desc)
{
    return df_layer_weight_count(desc) * desc->out.h * desc->out.w;
}

static void test_known_shapes(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct df_layer_desc desc;
        assert_true(describe(&desc, &shapes[i]));
        const int64_t rows = work(&desc) > 1000000 ? 1 : work(&desc) > 300000 ? 3 : 9;
        check_against_ref(&desc, rows, true);
        check_against_ref(&desc, rows, false);
    }
}

static void test_random_shapes(void **state)
{
    uint64_t seed = 0;
    (void)state;
    for (int done = 0; done < 40;) {
        struct df_layer_desc desc;
        const struct shape s = random_shape(&seed);
        if (!describe(&desc, &s))
            continue;
        check_against_ref(&desc, draw(&seed, 1, work(&desc) > 100000 ? 3 : 18), done % 2 == 0);
        done++;
    }
}

/* A layer whose weight gradients are of one row at a time. */
static void test_one_row(void **state)
{
    uint64_t seed = 1000;
    char text[80];
    struct rig rig;
    struct df_layer_desc desc;
    (void)state;
    for (int done = 0; done < SHAPES + 60;) {
        const struct shape s = done < SHAPES ? shapes[done] : random_shape(&seed);
        if (!describe(&desc, &s))
            continue;
        desc.of_one_row = true;
        check_against_ref(&desc, 1, done < SHAPES || done % 2 == 0);
        if (done < SHAPES)
            check_against_ref(&desc, 1, false);
        done++;
    }
    rig_create(&rig, cpu, &desc, 2, true);
    cpu->backend->layer_text(cpu, rig.layer, DF_LAYER_WEIGHT_GRADIENT, text, sizeof text);
    assert_string_equal(text, "own kernels: pixels as a product");
    test_error(run_gradient(&rig, 0, 0, 2, rig.dw, rig.db), DFAL_E_INTERNAL,
               "a weight gradient of 2 rows runs on a layer made for one");
    rig_destroy(&rig);
}

static const int64_t products[][2] = {{256, 84}, {84, 10}, {1, 1},    {7, 33},
                                      {31, 64},  {100, 2}, {513, 65}, {3, 1000}};
enum { PRODUCTS = sizeof products / sizeof *products };

static void test_products(void **state)
{
    (void)state;
    for (int i = 0; i < PRODUCTS; i++)
        for (int64_t rows = 1; rows < 30; rows += 5) {
            const struct df_layer_desc desc = product_desc(products[i][0], products[i][1]);
            check_against_ref(&desc, rows, true);
            check_against_ref(&desc, rows, false);
        }
}

static void test_bias_absent(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct df_layer_desc desc;
        struct rig rig;
        describe(&desc, &shapes[i]);
        if (i == 9)
            desc = product_desc(33, 12);
        rig_create(&rig, cpu, &desc, 2, false);
        test_ok(cpu->backend->layer_bind(cpu, 0, rig.layer, rig.w, (struct df_span){NULL, 0}));
        test_ok(run_forward(&rig, 0, 0, 2, rig.y));
        float *absent = download(&rig, 0, rig.y, 2 * rig.out);
        float *zeros = test_calloc((size_t)rig.biases, sizeof *zeros);
        test_ok(df_write(cpu, 0, rig.b, zeros, rig.biases));
        test_ok(cpu->backend->layer_bind(cpu, 0, rig.layer, rig.w, rig.b));
        test_ok(run_forward(&rig, 0, 0, 2, rig.y));
        float *zero = download(&rig, 0, rig.y, 2 * rig.out);
        test_same_floats("bias absent", absent, zero, 2 * rig.out);
        test_free(absent);
        test_free(zero);
        test_free(zeros);
        rig_destroy(&rig);
    }
}

/* Rows [from, from + rows) computed as a batch of their own on this queue have the bits they have among
 * all. */
static void check_part(struct rig *rig, const float *y, const float *dx, int32_t queue, int64_t from,
                       int64_t rows)
{
    char text[160];
    snprintf(text, sizeof text, "%s %d>%d %dx%d, rows %d to %d alone, queue %d",
             rig->desc.is_gemm ? "product" : "conv", (int)rig->desc.in.c, (int)rig->desc.out.c,
             (int)rig->desc.in.h, (int)rig->desc.in.w, (int)from, (int)(from + rows), queue);
    test_ok(run_forward(rig, queue, from, rows, rig->y));
    test_ok(run_backward(rig, queue, from, rows, rig->dx));
    float *part_y = download(rig, queue, rig->y, rows * rig->out);
    float *part_dx = download(rig, queue, rig->dx, rows * rig->in);
    test_same_floats(text, part_y, y + from * rig->out, rows * rig->out);
    test_same_floats(text, part_dx, dx + from * rig->in, rows * rig->in);
    test_free(part_y);
    test_free(part_dx);
}

static void check_same_bits(const struct df_layer_desc *desc, uint64_t *seed)
{
    static const int64_t alone[] = {0, 1, 62, 63, 64, 127, 130, MAX_ROWS - 1};
    struct rig rig;
    rig_create(&rig, cpu, desc, MAX_ROWS, false);
    test_ok(run_forward(&rig, 0, 0, MAX_ROWS, rig.y));
    test_ok(run_backward(&rig, 0, 0, MAX_ROWS, rig.dx));
    float *y = download(&rig, 0, rig.y, MAX_ROWS * rig.out),
          *dx = download(&rig, 0, rig.dx, MAX_ROWS * rig.in);
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        check_part(&rig, y, dx, (int32_t)(i % QUEUES), alone[i], 1);
    for (int i = 0; i < 6; i++) {
        const int64_t rows = draw(seed, 2, MAX_ROWS - 1), from = draw(seed, 0, MAX_ROWS - rows);
        check_part(&rig, y, dx, i % QUEUES, from, rows);
    }
    test_free(y);
    test_free(dx);
    rig_destroy(&rig);
}

static void test_same_bits(void **state)
{
    uint64_t seed = 1000;
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct df_layer_desc desc;
        describe(&desc, &shapes[i]);
        if (work(&desc) < 500000)
            check_same_bits(&desc, &seed);
    }
    for (int i = 0; i < 10;) {
        struct df_layer_desc desc;
        const struct shape s = random_shape(&seed);
        if (!describe(&desc, &s))
            continue;
        check_same_bits(&desc, &seed);
        i++;
    }
    for (int i = 0; i < PRODUCTS; i++) {
        const struct df_layer_desc desc = product_desc(products[i][0], products[i][1]);
        check_same_bits(&desc, &seed);
    }
}

/* A weight gradient is the sum over eights in order; a partial eight does not see what lies behind it. */
static void test_weight_gradient_blocks(void **state)
{
    static const int64_t sizes[] = {1, 5, 8, 13, 16};
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct df_layer_desc desc;
        struct rig rig;
        describe(&desc, &shapes[i]);
        if (work(&desc) > 1000000)
            continue;
        rig_create(&rig, cpu, &desc, 16, false);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            float *first = NULL;
            for (int32_t queue = 0; queue < QUEUES; queue++) {
                test_ok(run_gradient(&rig, 1, 0, 16, rig.dw,
                                     rig.db)); /* leaves other numbers in scratch memory */
                test_ok(run_gradient(&rig, queue, 0, sizes[k], rig.dw, rig.db));
                float *dw = download(&rig, queue, rig.dw, rig.weights);
                if (first != NULL)
                    test_same_floats("weight gradient on another queue", dw, first, rig.weights);
                test_free(first);
                first = dw;
            }
            test_free(first);
        }
        test_ok(run_gradient(&rig, 0, 0, 13, rig.dw, rig.db));
        float *all = download(&rig, 0, rig.dw, rig.weights);
        test_ok(run_gradient(&rig, 0, 0, 8, rig.dw, rig.db));
        float *sum = download(&rig, 0, rig.dw, rig.weights);
        test_ok(run_gradient(&rig, 0, 8, 5, rig.dw, rig.db));
        float *tail = download(&rig, 0, rig.dw, rig.weights);
        for (int64_t j = 0; j < rig.weights; j++)
            sum[j] += tail[j];
        test_same_floats("13 rows as 8 and 5", all, sum, rig.weights);
        test_ok(run_gradient(&rig, 0, 0, 0, rig.dw, rig.db));
        float *none = download(&rig, 0, rig.dw, rig.weights);
        for (int64_t j = 0; j < rig.weights; j++)
            assert_true(none[j] == 0);
        test_free(all);
        test_free(sum);
        test_free(tail);
        test_free(none);
        rig_destroy(&rig);
    }
}

struct side {
    struct rig rigs[6];
    struct df_span y[6][QUEUES], dx[6][QUEUES];
};

static dfal_status run_side(void *arg, int64_t job, int32_t worker)
{
    struct side *side = arg;
    for (int round = 0; round < 2; round++)
        for (int k = 0; k < 6; k++) {
            const int i = (k + (int)job) % 6; /* every queue meets another layer */
            DF_TRY(run_forward(&side->rigs[i], worker, 0, 70, side->y[i][job]));
            DF_TRY(run_backward(&side->rigs[i], worker, 0, 70, side->dx[i][job]));
        }
    return DFAL_OK;
}

/* Four threads drive four queues through the same layers at once; no memory is taken after the first time. */
static void test_queues_side_by_side(void **state)
{
    struct side side;
    struct df_thread_pool *threads = NULL;
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct df_layer_desc desc;
        describe(&desc, &shapes[(int[]){0, 1, 9, 7, 8, 12}[i]]);
        rig_create(&side.rigs[i], cpu, &desc, 70, false);
        for (int q = 0; q < QUEUES; q++) {
            side.y[i][q] = buffer(cpu, 70 * side.rigs[i].out);
            side.dx[i][q] = buffer(cpu, 70 * side.rigs[i].in);
        }
    }
    for (int32_t q = 0; q < QUEUES; q++)
        test_ok(run_side(&side, q, q));
    const int64_t before = df_alloc_total();
    for (int32_t q = 0; q < QUEUES; q++)
        test_ok(run_side(&side, q, q));
    assert_int_equal(df_alloc_total(), before);
    test_ok(df_thread_pool_create(&threads, QUEUES));
    for (int round = 0; round < 2; round++)
        test_ok(df_thread_pool_run(threads, run_side, &side, QUEUES));
    df_thread_pool_destroy(threads);
    for (int i = 0; i < 6; i++) {
        struct rig *rig = &side.rigs[i];
        test_ok(run_forward(rig, 0, 0, 70, rig->y));
        test_ok(run_backward(rig, 0, 0, 70, rig->dx));
        float *y = download(rig, 0, rig->y, 70 * rig->out), *dx = download(rig, 0, rig->dx, 70 * rig->in);
        for (int q = 0; q < QUEUES; q++) {
            float *other_y = download(rig, 0, side.y[i][q], 70 * rig->out);
            float *other_dx = download(rig, 0, side.dx[i][q], 70 * rig->in);
            test_same_floats("y of a queue", other_y, y, 70 * rig->out);
            test_same_floats("dx of a queue", other_dx, dx, 70 * rig->in);
            test_free(other_y);
            test_free(other_dx);
            df_buffer_drop(cpu, &side.y[i][q]);
            df_buffer_drop(cpu, &side.dx[i][q]);
        }
        test_free(y);
        test_free(dx);
        rig_destroy(rig);
    }
}

static int count_threads(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* The library starts no threads of its own, whatever the machine offers. */
static void test_caller_thread_alone(void **state)
{
    const int before = count_threads();
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct df_layer_desc desc;
        struct rig rig;
        describe(&desc, &shapes[i == 0 ? 5 : 8]);
        rig_create(&rig, cpu, &desc, 64, false);
        test_ok(run_forward(&rig, 0, 0, 64, rig.y));
        test_ok(run_backward(&rig, 0, 0, 64, rig.dx));
        test_ok(run_gradient(&rig, 0, 0, 64, rig.dw, rig.db));
        rig_destroy(&rig);
    }
    assert_int_equal(count_threads(), before);
}

/* A larger layer moves the queue's scratch memory; the smaller one follows. */
static void test_scratch_moves(void **state)
{
    static const int order[] = {14, 8, 14, 6, 8};
    struct df_device *device = NULL;
    struct rig rigs[3];
    float *first[3] = {NULL};
    (void)state;
    test_ok(df_device_open(&device, "cpu", cpu->info.isa, 1));
    for (int i = 0; i < 3; i++) {
        struct df_layer_desc desc;
        describe(&desc, &shapes[(int[]){14, 8, 6}[i]]);
        rig_create(&rigs[i], device, &desc, 3, false);
    }
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        const int i = order[k] == 14 ? 0 : order[k] == 8 ? 1 : 2;
        test_ok(run_forward(&rigs[i], 0, 0, 3, rigs[i].y));
        float *y = download(&rigs[i], 0, rigs[i].y, 3 * rigs[i].out);
        if (first[i] != NULL)
            test_same_floats("after a move", y, first[i], 3 * rigs[i].out);
        test_free(first[i]);
        first[i] = y;
    }
    for (int i = 0; i < 3; i++) {
        test_free(first[i]);
        rig_destroy(&rigs[i]);
    }
    df_device_close(device);
}

/* dfal's own kernels give the same bits on both instruction sets. */
static void test_own_kernels_agree(void **state)
{
    static const struct df_lanes_conv convs[] = {
        {6, 24, 24, 1, 28, 28, 5, 5, 4, 4}, {16, 8, 8, 6, 12, 12, 5, 5, 4, 4},
        {1, 28, 28, 6, 24, 24, 5, 5, 0, 0}, {3, 9, 31, 4, 9, 31, 3, 3, 1, 1},
        {2, 5, 6, 3, 3, 5, 3, 7, 0, 3},     {37, 7, 6, 35, 7, 6, 3, 3, 1, 1},
        {33, 2, 2, 34, 2, 2, 3, 3, 1, 1},
    };
    (void)state;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        skip();
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        const struct df_lanes_conv *c = &convs[i];
        const int64_t rows = 37, in = rows * c->in_c * c->in_h * c->in_w,
                      out = rows * c->out_c * c->out_h * c->out_w;
        const int64_t weights = (int64_t)c->in_c * c->out_c * c->kernel_h * c->kernel_w;
        float *x = test_malloc((size_t)in * 4), *w = test_malloc((size_t)weights * 4);
        float *y[2] = {test_malloc((size_t)out * 4), test_malloc((size_t)out * 4)};
        test_fill_floats(x, in, 5, -1, 1);
        test_fill_floats(w, weights, 6, -1, 1);
        for (int k = 0; k < 2; k++) {
            const struct df_cpu_kernels *kernels = k == 0 ? &df_cpu_kernels_avx2 : &df_cpu_kernels_avx512;
            float *scratch = NULL;
            test_ok(df_alloc(&scratch, kernels->lanes_scratch(c), sizeof(float)));
            kernels->lanes_conv(c, y[k], x, w, NULL, rows, scratch);
            df_free(scratch);
        }
        test_same_floats("avx2 against avx512", y[0], y[1], out);
        for (int k = 0; k < 2 && c->kernel_h == 3 && c->kernel_w == 3; k++) {
            const struct df_cpu_kernels *kernels = k == 0 ? &df_cpu_kernels_avx2 : &df_cpu_kernels_avx512;
            const struct df_winograd filtering = df_winograd_make(c->in_c, c->out_c, kernels->lanes);
            const struct df_winograd_filter taps = {9 * (int64_t)c->in_c, 9, 3, 1};
            float *scratch = NULL, *transformed = NULL;
            test_ok(df_alloc(&scratch, kernels->winograd_scratch(c), sizeof(float)));
            test_ok(df_alloc(&transformed, df_winograd_weights(&filtering), sizeof(float)));
            df_winograd_transform(&filtering, transformed, w, &taps);
            kernels->winograd(c, y[k], x, transformed, NULL, rows, scratch);
            df_free(scratch);
            df_free(transformed);
        }
        test_same_floats("minimal filtering, avx2 against avx512", y[0], y[1], out);
        test_free(x);
        test_free(w);
        test_free(y[0]);
        test_free(y[1]);
    }
}

static void test_products_agree(void **state)
{
    enum { ROWS = 29, COLS = 45, DEPTH = 37 };
    static float a[ROWS * DEPTH], b[DEPTH * COLS], packed[2 * COLS * DEPTH], out[2][ROWS * COLS];
    (void)state;
    if (!__builtin_cpu_supports("avx512vl"))
        skip();
    test_fill_floats(a, ROWS * DEPTH, 7, -1, 1);
    test_fill_floats(b, DEPTH * COLS, 8, -1, 1);
    for (int k = 0; k < 2; k++) {
        const struct df_cpu_kernels *kernels = k == 0 ? &df_cpu_kernels_avx2 : &df_cpu_kernels_avx512;
        const int panel = kernels->panel;
        memset(packed, 0, sizeof packed);
        for (int j = 0; j < COLS; j++)
            for (int d = 0; d < DEPTH; d++)
                packed[j / panel * panel * DEPTH + d * panel + j % panel] = b[d * COLS + j];
        const struct df_product product = {.rows = ROWS,
                                           .cols = COLS,
                                           .depth = DEPTH,
                                           .a = a,
                                           .a_row = DEPTH,
                                           .a_k = 1,
                                           .b = packed,
                                           .out = out[k],
                                           .out_row = COLS};
        kernels->product(&product);
    }
    test_same_floats("product, avx2 against avx512", out[0], out[1], (int64_t)ROWS * COLS);
}

static void test_device(void **state)
{
    struct df_device *other = NULL;
    (void)state;
    assert_string_equal(cpu->info.backend, "cpu");
    assert_non_null(strstr(cpu->info.library, "oneDNN "));
    assert_true(strlen(cpu->info.device) > 0);
    if (strcmp(isa, "auto") != 0)
        assert_string_equal(cpu->info.isa, isa);
    else
        assert_string_equal(cpu->info.isa, __builtin_cpu_supports("avx512vl") ? "avx512" : "avx2");
    test_error(df_device_open(&other, "cpu", strcmp(cpu->info.isa, "avx2") == 0 ? "avx512" : "avx2", 1),
               DFAL_E_UNAVAILABLE, "avx");
    assert_null(other);
    test_error(df_device_open(&other, "cpu", "sse9", 1), DFAL_E_USAGE, "sse9");
    test_ok(df_device_open(&other, "cpu", cpu->info.isa, 1));
    df_device_close(other);
}

static int open_devices(void **state)
{
    (void)state;
    const dfal_status status = df_device_open(&cpu, "cpu", isa, QUEUES);
    if (status != DFAL_OK)
        print_error("%s\n", dfal_last_error());
    return status != DFAL_OK || df_device_open(&ref, "ref", "auto", 1) != DFAL_OK;
}

static int close_devices(void **state)
{
    (void)state;
    df_device_close(cpu);
    df_device_close(ref);
    return df_alloc_live() != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        isa = argv[1];
    __builtin_cpu_init();
    if (strcmp(isa, "avx512") == 0 && !__builtin_cpu_supports("avx512vl")) {
        struct df_device *none = NULL;
        const dfal_status status = df_device_open(&none, "cpu", isa, 1);
        printf("skipped: this CPU has no AVX-512: %s\n", dfal_last_error());
        return status == DFAL_E_UNAVAILABLE && !test_required("avx512") ? 77 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_caller_thread_alone),
        cmocka_unit_test(test_scratch_moves),
        cmocka_unit_test(test_known_shapes),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_one_row),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_bias_absent),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_weight_gradient_blocks),
        cmocka_unit_test(test_queues_side_by_side),
        cmocka_unit_test(test_own_kernels_agree),
        cmocka_unit_test(test_products_agree),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
