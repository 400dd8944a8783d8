/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of cuBLAS against a cublasLt of this test's own, which does what the descriptions say, on the
 * CPU: are the matrices, transposes and the bias described rightly, and what is chosen from what is on offer?
 * No GPU, no library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cublasLt.h>

#include "backend/cuda.h"
#include "half.h" /* kernels */
#include "support.h"

/* ---- A cublasLt ------------------------------------------------------------------------------ */

/* What the semi-opaque structs hold here. */
struct product {
    int32_t transpose_a, transpose_b;
    uint32_t epilogue;
    const float *bias;
};
struct matrix {
    uint64_t rows, cols;
    int64_t leading;
    cudaDataType type;
};
struct algorithm {
    int32_t id, splits;
    uint32_t reduction;
    uint64_t numbers;
};
_Static_assert(sizeof(struct product) <= sizeof(cublasLtMatmulDescOpaque_t), "product");
_Static_assert(sizeof(struct matrix) <= sizeof(cublasLtMatrixLayoutOpaque_t), "matrix");
_Static_assert(sizeof(struct algorithm) <= sizeof(cublasLtMatmulAlgo_t), "algorithm");

static const struct algorithm offered[] = {
    {1, 4, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA}, /* a split sum */
    {2, 1, CUBLASLT_REDUCTION_SCHEME_NONE,
     CUBLASLT_NUMERICAL_IMPL_FLAGS_HMMA |
         CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_16F}, /* sums of binary16 */
    {6, 1, CUBLASLT_REDUCTION_SCHEME_NONE,
     CUBLASLT_NUMERICAL_IMPL_FLAGS_HMMA | CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F}, /* tensor cores */
    {3, 1, CUBLASLT_REDUCTION_SCHEME_NONE, CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA}, /* wants too much memory */
    {4, 1, CUBLASLT_REDUCTION_SCHEME_NONE, CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA},
    {5, 1, CUBLASLT_REDUCTION_SCHEME_NONE, CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA},
};
static int offered_count = sizeof offered / sizeof *offered;
static uint64_t numbers_wanted;
static uint32_t reduction_wanted, operand_alignment, alignment_wanted;
static int32_t algorithm_run;
static cudaStream_t stream_run;

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = (cublasLtHandle_t)(void *)&offered_count;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return handle == (cublasLtHandle_t)(void *)&offered_count ? CUBLAS_STATUS_SUCCESS
                                                              : CUBLAS_STATUS_INVALID_VALUE;
}

size_t cublasLtGetVersion(void)
{
    return 130100;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "an error";
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t size,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t leading)
{
    const struct matrix matrix = {rows, cols, leading, type};
    assert_int_equal(size, sizeof *layout);
    memcpy(layout, &matrix, sizeof matrix);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t size,
                                               cublasComputeType_t compute, cudaDataType_t scale)
{
    assert_int_equal(size, sizeof *desc);
    assert_int_equal(compute, CUBLAS_COMPUTE_32F);
    assert_int_equal(scale, CUDA_R_32F);
    memset(desc, 0, sizeof *desc);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t size)
{
    struct product product;
    memcpy(&product, desc, sizeof product);
    switch ((int)name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        assert_int_equal(size, sizeof product.transpose_a);
        memcpy(&product.transpose_a, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        assert_int_equal(size, sizeof product.transpose_b);
        memcpy(&product.transpose_b, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        assert_int_equal(size, sizeof product.epilogue);
        memcpy(&product.epilogue, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        assert_int_equal(size, sizeof(void *));
        memcpy(&product.bias, value, size);
        break;
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(desc, &product, sizeof product);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t size)
{
    assert_int_equal(size, sizeof *preference);
    memset(preference, 0, sizeof *preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t size)
{
    (void)preference;
    if (name == CUBLASLT_MATMUL_PREF_IMPL_MASK)
        memcpy(&numbers_wanted, value, size);
    else if (name == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        memcpy(&reduction_wanted, value, size);
    else if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES)
        memcpy(&operand_alignment, value, size);
    else if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
        memcpy(&alignment_wanted, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *count)
{
    (void)handle, (void)desc, (void)a, (void)b, (void)c, (void)d, (void)preference;
    assert_true(wanted >= offered_count);
    memset(results, 0, (size_t)offered_count * sizeof *results);
    for (int i = 0; i < offered_count; i++) {
        memcpy(&results[i].algo, &offered[i], sizeof offered[i]);
        results[i].workspaceSize = offered[i].id == 3 ? (size_t)1 << 40 : 100;
        results[i].state = CUBLAS_STATUS_SUCCESS;
    }
    *count = offered_count;
    return offered_count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t name, void *value,
                                                    size_t size, size_t *written)
{
    struct algorithm algorithm;
    memcpy(&algorithm, algo, sizeof algorithm);
    assert_int_equal(size, sizeof(int32_t));
    *written = size;
    if (name == CUBLASLT_ALGO_CONFIG_ID)
        memcpy(value, &algorithm.id, size);
    else if (name == CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
        memcpy(value, &algorithm.splits, size);
    else if (name == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME)
        memcpy(value, &algorithm.reduction, size);
    else
        memset(value, 0, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                 cublasLtMatmulAlgoCapAttributes_t name, void *value,
                                                 size_t size, size_t *written)
{
    struct algorithm algorithm;
    memcpy(&algorithm, algo, sizeof algorithm);
    assert_int_equal(name, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS);
    assert_int_equal(size, sizeof algorithm.numbers);
    *written = size;
    memcpy(value, &algorithm.numbers, size);
    return CUBLAS_STATUS_SUCCESS;
}

static float element(const void *data, const struct matrix *m, bool transposed, uint64_t row, uint64_t col)
{
    const int64_t at =
        transposed ? (int64_t)row * m->leading + (int64_t)col : (int64_t)col * m->leading + (int64_t)row;
    return m->type == CUDA_R_16F ? df_half_value(((const uint16_t *)data)[at]) : ((const float *)data)[at];
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    struct product product;
    struct matrix am, bm, dm;
    struct algorithm algorithm;
    memcpy(&product, desc, sizeof product);
    memcpy(&am, a_layout, sizeof am);
    memcpy(&bm, b_layout, sizeof bm);
    memcpy(&dm, d_layout, sizeof dm);
    memcpy(&algorithm, algo, sizeof algorithm);
    (void)handle;
    assert_int_equal(am.type, bm.type);
    assert_int_equal(dm.type, CUDA_R_32F);
    assert_ptr_equal(c, d);
    assert_ptr_equal(c_layout, d_layout);
    assert_true(*(const float *)alpha == 1.0F && *(const float *)beta == 0.0F);
    assert_true(workspace != NULL && workspace_bytes == 100);
    const bool ta = product.transpose_a == CUBLAS_OP_T, tb = product.transpose_b == CUBLAS_OP_T;
    const uint64_t depth = ta ? am.rows : am.cols;
    assert_int_equal(ta ? am.cols : am.rows, dm.rows);
    assert_int_equal(tb ? bm.rows : bm.cols, dm.cols);
    assert_int_equal(tb ? bm.cols : bm.rows, depth);
    if (product.epilogue == CUBLASLT_EPILOGUE_BIAS)
        assert_int_equal((uintptr_t)product.bias % 16, 0); /* as its kernels may read it */
    for (uint64_t col = 0; col < dm.cols; col++)
        for (uint64_t row = 0; row < dm.rows; row++) {
            double sum = product.epilogue == CUBLASLT_EPILOGUE_BIAS ? (double)product.bias[row] : 0.0;
            for (uint64_t k = 0; k < depth; k++)
                sum += (double)element(a, &am, ta, row, k) * (double)element(b, &bm, tb, k, col);
            ((float *)d)[(int64_t)col * dm.leading + (int64_t)row] = (float)sum;
        }
    algorithm_run = algorithm.id;
    stream_run = stream;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- A runtime of the test's own: the host's memory ------------------------------------------- */

dfal_status df_cuda_status(cudaError_t error, const char *what)
{
    (void)what;
    return error == cudaSuccess ? DFAL_OK : DFAL_E_UNAVAILABLE;
}

dfal_status df_cuda_memory(void **out, int64_t bytes)
{
    *out = aligned_alloc(16, (size_t)(bytes + 15) / 16 * 16);
    return *out != NULL ? DFAL_OK : DFAL_E_MEMORY;
}

cudaError_t cudaFree(void *memory)
{
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)stream;
    assert_int_equal(kind, cudaMemcpyDeviceToDevice);
    memcpy(to, from, bytes);
    return cudaSuccess;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

enum { ROWS = 5, IN = 3, OUT = 4 };

static struct df_cuda_device device = {.head = {.queue_count = 1}};
static const struct df_layer_desc layer = {
    .is_gemm = true, .in = {IN, 1, 1}, .out = {OUT, 1, 1}, .group = 1, .block_rows = ROWS};
static const struct df_layer_desc half_layer = {.is_gemm = true,
                                                .in = {IN, 1, 1},
                                                .out = {OUT, 1, 1},
                                                .group = 1,
                                                .block_rows = ROWS,
                                                .half_backward = true};

static void run(const struct df_layer_desc *desc, enum df_layer_kind kind, struct df_cuda_run *r)
{
    const int32_t expected = desc->half_backward && kind == DF_LAYER_BACKWARD ? 6 : 4;
    char text[64];
    static float workspace[32];
    static char stream;
    struct df_cuda_op *op;
    test_ok(df_cuda_cublas.create(&op, &device, desc, kind));
    assert_int_equal(op->rows, ROWS);
    assert_int_equal(op->workspace, 100);
    snprintf(text, sizeof text, "algorithm %d, tile 0, stages 0, 100 bytes", expected);
    assert_string_equal(op->text, text);
    r->rows = ROWS;
    r->workspace = workspace;
    r->stream = (cudaStream_t)(void *)&stream;
    test_ok(df_cuda_cublas.bind(op, r->weight, r->bias, r->stream));
    test_ok(df_cuda_cublas.run(op, r));
    assert_int_equal(algorithm_run, expected);
    assert_ptr_equal(stream_run, &stream);
    df_cuda_cublas.destroy(op);
}

/* shift: floats from a multiple of 16 bytes to the bias. */
static void check_products(const struct df_layer_desc *desc, int shift)
{
    float x[ROWS * IN], y[ROWS * OUT], dy[ROWS * OUT], dx[ROWS * IN], weight[OUT * IN], dw[OUT * IN];
    _Alignas(16) float room[OUT + 1];
    float *const bias = room + shift;
    uint16_t half_dy[ROWS * OUT], half_weight[OUT * IN];
    test_fill_whole(x, ROWS * IN, 1, -9, 9);
    test_fill_whole(dy, ROWS * OUT, 2, -9, 9);
    test_fill_whole(weight, OUT * IN, 3, -9, 9);
    test_fill_whole(bias, OUT, 4, -9, 9);
    for (int i = 0; i < ROWS * OUT; i++)
        half_dy[i] = df_half_of(dy[i]);
    for (int i = 0; i < OUT * IN; i++)
        half_weight[i] = df_half_of(weight[i]);
    run(desc, DF_LAYER_FORWARD, &(struct df_cuda_run){.out = y, .in = {x}, .weight = weight, .bias = bias});
    run(desc, DF_LAYER_BACKWARD,
        &(struct df_cuda_run){.out = dx,
                              .in = {desc->half_backward ? (const float *)(const void *)half_dy : dy},
                              .weight =
                                  desc->half_backward ? (const float *)(const void *)half_weight : weight});
    run(desc, DF_LAYER_WEIGHT_GRADIENT, &(struct df_cuda_run){.out = dw, .in = {x, dy}});
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++) {
            float sum = bias[o];
            for (int c = 0; c < IN; c++)
                sum += x[r * IN + c] * weight[o * IN + c];
            assert_true(y[r * OUT + o] == sum);
        }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < IN; c++) {
            float sum = 0.0F;
            for (int o = 0; o < OUT; o++)
                sum += dy[r * OUT + o] * weight[o * IN + c];
            assert_true(dx[r * IN + c] == sum);
        }
    for (int o = 0; o < OUT; o++)
        for (int c = 0; c < IN; c++) {
            float sum = 0.0F;
            for (int r = 0; r < ROWS; r++)
                sum += dy[r * OUT + o] * x[r * IN + c];
            assert_true(dw[o * IN + c] == sum);
        }
}

static void products(void **state)
{
    (void)state;
    for (int shift = 0; shift < 2; shift++) {
        check_products(&layer, shift);
        check_products(&half_layer, shift);
    }
}

static void only_strict_algorithms(void **state)
{
    struct df_cuda_op *op;
    (void)state;
    for (offered_count = 0; offered_count < 5; offered_count++) {
        test_error(df_cuda_cublas.create(&op, &device, &layer, DF_LAYER_FORWARD), DFAL_E_UNAVAILABLE,
                   "cuBLAS");
        assert_null(op);
    }
    offered_count = sizeof offered / sizeof *offered;
    assert_true((numbers_wanted & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK) == 0);
    assert_true((numbers_wanted & CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA) != 0);
    assert_int_equal(reduction_wanted, CUBLASLT_REDUCTION_SCHEME_NONE);
    assert_int_equal(alignment_wanted, sizeof(float));
    assert_int_equal(operand_alignment, sizeof(float));
    for (offered_count = 1; offered_count < 3; offered_count++)
        test_error(df_cuda_cublas.create(&op, &device, &half_layer, DF_LAYER_BACKWARD), DFAL_E_UNAVAILABLE,
                   "no product in binary16");
    offered_count = sizeof offered / sizeof *offered;
    assert_true((numbers_wanted & CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_16F) == 0);
    assert_true((numbers_wanted & CUBLASLT_NUMERICAL_IMPL_FLAGS_HMMA) != 0);
    assert_int_equal(reduction_wanted, CUBLASLT_REDUCTION_SCHEME_NONE);
    assert_int_equal(alignment_wanted, sizeof(float));
    assert_int_equal(operand_alignment, 16);
}

static int open_library(void **state)
{
    char version[96];
    (void)state;
    test_ok(df_cublas_open(&device.cublas, &device, version, sizeof version));
    assert_string_equal(version, "cuBLAS 13.1.0");
    return 0;
}

static int close_library(void **state)
{
    (void)state;
    df_cublas_close(device.cublas);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(only_strict_algorithms),
    };
    return cmocka_run_group_tests(tests, open_library, close_library);
}
