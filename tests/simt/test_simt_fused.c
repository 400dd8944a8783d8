/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways of a fused network's backward on the shim, bit for bit: through the maxima of the pools
 * (fused_pooled.cu) and over whole windows (fused.cu), on GPUs with more and with less shared memory. */
#include "../support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <cuda_runtime.h>
#include <string.h>

#include "fused.h" /* kernels */

enum { SAMPLES = 5, GROUPS = 7, GUARD = 4, CASES_A_SIZE = 12 };
static const int32_t shared_sizes[] = {48 << 10, 99 << 10, 163 << 10, 227 << 10};

static void ok(int error)
{
    if (error != 0)
        test_fail("CUDA says: %s", cudaGetErrorString((cudaError_t)error));
}

static void *device(size_t bytes)
{
    void *memory = NULL;
    ok(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
    return memory;
}

/* Floats from -1 to 1; a fifth of them are 0 with zeros. */
static float *filled(int64_t count, uint64_t seed, bool zeros)
{
    float *values = device((size_t)count * sizeof *values);
    test_fill_floats(values, count, seed, -1, 1);
    for (int64_t i = 0; zeros && i < count; i += 5)
        values[i] = 0;
    return values;
}

static int32_t pick(uint64_t *state, int32_t least, int32_t most)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return least + (int32_t)((*state >> 33) % (uint64_t)(most - least + 1));
}

struct sizes {
    int32_t parameters, rows, each;
};

/* One convolution more; false: no window is left. */
static bool add_conv(struct df_fused_shape *shape, struct sizes *sizes, const int32_t in[3], int32_t kernel,
                     int32_t pad, int32_t channels)
{
    struct df_fused_conv *conv = &shape->conv[shape->count++];
    memcpy(conv->in, in, sizeof conv->in);
    conv->kernel = kernel;
    conv->pad = pad;
    conv->out[0] = channels;
    for (int a = 1; a < 3; a++)
        conv->out[a] = (in[a] + 2 * pad - kernel + 1) / 2;
    conv->kept_at = shape->kept_size;
    conv->weight_at = sizes->parameters;
    conv->bias_at = conv->weight_at + channels * in[0] * kernel * kernel;
    sizes->parameters = conv->bias_at + channels;
    shape->kept_size += channels * conv->out[1] * conv->out[2];
    return conv->out[1] > 0 && conv->out[2] > 0;
}

/* Chains of one to three convolutions, of odd sizes, too. */
static bool draw(struct df_fused_shape *shape, struct sizes *sizes, uint64_t *state)
{
    int32_t in[3] = {pick(state, 1, 5), pick(state, 3, 22), pick(state, 3, 22)};
    const int32_t count = pick(state, 1, 3);
    for (int32_t s = 0; s < count; s++) {
        const int32_t kernel = pick(state, 0, 1) ? 5 : 3;
        if (!add_conv(shape, sizes, in, kernel, pick(state, 0, kernel - 1), pick(state, 1, 14)))
            return false;
        memcpy(in, shape->conv[s].out, sizeof in);
    }
    sizes->each = pick(state, 1, 21);
    return true;
}

struct arrays {
    float *parameters, *packed, *x, *features, *gradient, *dx[2];
    uint8_t *kept;
    int32_t *owner;
};

static void arrays_open(struct arrays *a, const struct df_fused_shape *shape, const struct sizes *sizes)
{
    const size_t rows = (size_t)sizes->rows, dx = (rows * (size_t)shape->input + GUARD) * sizeof(float);
    a->parameters = filled(sizes->parameters, 1, false);
    a->packed = device(((size_t)shape->packed + (size_t)shape->pooled_weights) * sizeof(float));
    a->x = filled((int64_t)SAMPLES * shape->input, 2, false);
    a->features = device((size_t)(SAMPLES * shape->features) * sizeof(float));
    a->gradient = filled((int64_t)sizes->rows * shape->features, 3, true);
    a->kept = device((size_t)(SAMPLES * shape->kept_size));
    a->owner = device(rows * sizeof *a->owner);
    for (int way = 0; way < 2; way++) {
        a->dx[way] = device(dx);
        memset(a->dx[way], 0x55, dx);
    }
    for (int32_t row = 0; row < sizes->rows; row++)
        a->owner[row] = row / sizes->each * 3 % SAMPLES;
}

static void arrays_close(struct arrays *a)
{
    void *all[] = {a->parameters, a->packed, a->x,    a->features, a->gradient,
                   a->dx[0],      a->dx[1],  a->kept, a->owner};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok(cudaFree(all[i]));
}

/* off: floats before dx, so that it is not aligned to two. */
static void compare(const struct df_fused_shape *shape, const struct sizes *sizes, int32_t off)
{
    struct arrays a;
    arrays_open(&a, shape, sizes);
    ok(df_fused_pack(shape, a.packed, a.parameters, NULL));
    ok(df_fused_forward(shape, a.features, a.kept, a.x, a.packed, SAMPLES, NULL));
    ok(df_fused_backward(shape, a.dx[0] + off, a.gradient, a.kept, a.owner, a.packed, sizes->rows, NULL));
    ok(df_fused_pooled_backward(shape, a.dx[1] + off, a.gradient, a.kept, a.owner, a.packed, sizes->rows,
                                sizes->each, NULL));
    ok(cudaDeviceSynchronize());
    test_same_floats("dx", a.dx[1], a.dx[0], (int64_t)sizes->rows * shape->input + GUARD);
    arrays_close(&a);
}

static void ways_agree(void **state)
{
    uint64_t random = 1;
    (void)state;
    for (size_t m = 0; m < sizeof shared_sizes / sizeof *shared_sizes; m++)
        for (int done = 0; done < CASES_A_SIZE;) {
            struct df_fused_shape shape = {.shared_most = shared_sizes[m], .multiprocessors = 3};
            struct sizes sizes = {0};
            if (!draw(&shape, &sizes, &random) || !df_fused_plan(&shape) || shape.pooled_parts == 0)
                continue;
            sizes.rows = sizes.each * GROUPS;
            compare(&shape, &sizes, done % 2);
            done++;
        }
}

static struct df_fused_shape lenet5(int32_t shared_most)
{
    struct df_fused_shape shape = {.shared_most = shared_most, .multiprocessors = 132};
    struct sizes sizes = {0};
    assert_true(add_conv(&shape, &sizes, (const int32_t[3]){1, 28, 28}, 5, 0, 6));
    assert_true(add_conv(&shape, &sizes, (const int32_t[3]){6, 12, 12}, 5, 0, 16));
    assert_true(df_fused_plan(&shape));
    return shape;
}

/* Samples of a block, and no memory where the way is not taken. */
static void lenet5_takes_it(void **state)
{
    static const int32_t parts[] = {0, 0, 3, 5};
    (void)state;
    for (size_t m = 0; m < sizeof shared_sizes / sizeof *shared_sizes; m++) {
        const struct df_fused_shape shape = lenet5(shared_sizes[m]);
        assert_int_equal(shape.pooled_parts, parts[m]);
        assert_int_equal(shape.pooled_weights > 0, parts[m] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ways_agree), cmocka_unit_test(lenet5_takes_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
