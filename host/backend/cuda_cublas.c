/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of cuBLAS: products, through cublasLt.
 *
 * Math     y [rows, O] = x [rows, C] weight [O, C]' + bias; dx = dy weight; dw = dy' x.
 * Layout   cublasLt counts columns first: a matrix [rows, n] of ours is its n x rows with leading dimension
 *          n, so
 *            forward          D (O x rows)  = A' B  with A = weight (C x O), B = x (C x rows), bias down the
 *                             columns
 *            backward         D (C x rows)  = A B   with A = weight (C x O), B = dy (O x rows)
 *            weight gradient  D (C x O)     = A B'  with A = x (C x rows), B = dy (O x rows)
 * Numbers  half_backward: A and B of the backward are binary16, products are summed in float32 and D is
 * float32. Else
 *          plain float32: compute type 32F and no algorithm with tensor core instructions, not even where the
 *          environment asks for emulated float32.
 * Bias     the epilogue's may be read by vectors, and no preference tells its alignment: one that does not
 *          lie at a multiple of 16 bytes is copied when it is bound.
 * Order    the heuristic's first algorithm whose sums are not split. It knows the shape and the GPU; nothing
 *          is timed. */
#include <cublasLt.h>

#include <stdio.h>

#include "backend/cuda.h"
#include "base/memory.h"

/* Bytes of workspace an algorithm may ask for; without split sums few want any. */
enum { WORKSPACE = 4 << 20 };

/* Algorithms asked of the heuristic. */
enum { MAX_ALGORITHMS = 32 };

/* Bytes that a matrix of binary16 is aligned to at the least. */
enum { HALF_ALIGNMENT = 16 };

struct df_cublas {
    cublasLtHandle_t handle; /* for all queues: a handle keeps nothing that a product changes */
};

enum { MATRIX_A, MATRIX_B, MATRIX_D, MATRICES };

struct gemm {
    struct df_cuda_op head;
    struct df_cublas *library;
    enum df_layer_kind kind;
    int64_t outputs;
    bool half; /* A and B are binary16 */
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t matrix[MATRICES];
    cublasLtMatmulAlgo_t algorithm;
    float *aligned_bias; /* [outputs] of a forward */
};

enum { BIAS_ALIGNMENT = 16 };

static bool is_aligned(const float *bias)
{
    return (uintptr_t)bias % BIAS_ALIGNMENT == 0;
}

static dfal_status check(cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return DFAL_OK;
    DF_FAIL(status == CUBLAS_STATUS_ALLOC_FAILED    ? DFAL_E_MEMORY
            : status == CUBLAS_STATUS_INVALID_VALUE ? DFAL_E_INTERNAL
                                                    : DFAL_E_UNAVAILABLE,
            "cuBLAS: %s: %s", what, cublasLtGetStatusString(status));
}

/* ---- The library ------------------------------------------------------------------------------ */

dfal_status df_cublas_open(struct df_cublas **out, const struct df_cuda_device *device, char *version,
                           size_t version_size)
{
    struct df_cublas *library = NULL;
    const size_t found = cublasLtGetVersion();
    (void)device;
    *out = NULL;
    (void)snprintf(version, version_size, "cuBLAS %zu.%zu.%zu", found / 10000, found / 100 % 100,
                   found % 100);
    DF_TRY(df_alloc(&library, 1, sizeof *library));
    const dfal_status status = check(cublasLtCreate(&library->handle), "opening the library");
    if (status != DFAL_OK)
        df_cublas_close(library);
    else
        *out = library;
    return status;
}

void df_cublas_close(struct df_cublas *library)
{
    if (library == NULL)
        return;
    if (library->handle != NULL)
        (void)cublasLtDestroy(library->handle);
    df_free(library);
}

/* ---- An op ------------------------------------------------------------------------------------ */

static dfal_status describe_matrices(struct gemm *gemm, const struct df_layer_desc *desc)
{
    const uint64_t c = (uint64_t)desc->in.c, o = (uint64_t)desc->out.c, rows = (uint64_t)desc->block_rows;
    const uint64_t sizes[][MATRICES][2] = {
        [DF_LAYER_FORWARD] = {{c, o}, {c, rows}, {o, rows}},
        [DF_LAYER_BACKWARD] = {{c, o}, {o, rows}, {c, rows}},
        [DF_LAYER_WEIGHT_GRADIENT] = {{c, rows}, {o, rows}, {c, o}},
    };
    for (int i = 0; i < MATRICES; i++) {
        const uint64_t *size = sizes[gemm->kind][i];
        const cudaDataType_t type = gemm->half && i != MATRIX_D ? CUDA_R_16F : CUDA_R_32F;
        DF_TRY(check(cublasLtMatrixLayoutInit(&gemm->matrix[i], type, size[0], size[1], (int64_t)size[0]),
                     "describing a matrix"));
    }
    return DFAL_OK;
}

static dfal_status set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t name, const void *value,
                       size_t size)
{
    return check(cublasLtMatmulDescSetAttribute(product, name, value, size), "describing a product");
}

static dfal_status describe_product(struct gemm *gemm)
{
    const cublasLtMatmulDesc_t product = &gemm->product;
    const int32_t a = gemm->kind == DF_LAYER_FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t b = gemm->kind == DF_LAYER_WEIGHT_GRADIENT ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint32_t epilogue =
        gemm->kind == DF_LAYER_FORWARD ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    DF_TRY(check(cublasLtMatmulDescInit(product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product"));
    DF_TRY(set(product, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    DF_TRY(set(product, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    return set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
}

/* Numbers that an algorithm must not have. */
static uint64_t unwanted(bool half)
{
    return half ? CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_16F
                : CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK;
}

/* What the heuristic may offer. A span may begin at any float: so may a matrix, but for those of binary16. */
static dfal_status describe_preference(cublasLtMatmulPreference_t preference, bool half)
{
    const uint64_t workspace = WORKSPACE;
    const uint64_t numbers = ~unwanted(half);
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE, alignment = sizeof(float);
    const uint32_t operands = half ? HALF_ALIGNMENT : alignment;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t size;
    } wanted[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_IMPL_MASK, &numbers, sizeof numbers},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &operands, sizeof operands},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &operands, sizeof operands},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &alignment, sizeof alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &alignment, sizeof alignment},
    };
    DF_TRY(check(cublasLtMatmulPreferenceInit(preference), "describing a choice"));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        DF_TRY(check(
            cublasLtMatmulPreferenceSetAttribute(preference, wanted[i].name, wanted[i].value, wanted[i].size),
            "describing a choice"));
    return DFAL_OK;
}

/* What an algorithm says of itself. */
struct facts {
    int32_t id, splits;
    uint32_t tile, stages, reduction;
    uint64_t numbers;
};

static dfal_status read_facts(struct facts *facts, const cublasLtMatmulAlgo_t *algorithm)
{
    size_t written = 0;
    const struct {
        cublasLtMatmulAlgoConfigAttributes_t name;
        void *value;
    } wanted[] = {
        {CUBLASLT_ALGO_CONFIG_ID, &facts->id},
        {CUBLASLT_ALGO_CONFIG_TILE_ID, &facts->tile},
        {CUBLASLT_ALGO_CONFIG_STAGES_ID, &facts->stages},
        {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &facts->splits},
        {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &facts->reduction},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        DF_TRY(check(cublasLtMatmulAlgoConfigGetAttribute(algorithm, wanted[i].name, wanted[i].value,
                                                          sizeof(uint32_t), &written),
                     "reading an algorithm"));
    return check(cublasLtMatmulAlgoCapGetAttribute(algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS,
                                                   &facts->numbers, sizeof facts->numbers, &written),
                 "reading an algorithm");
}

/* Does it sum each output in one sequence, in float32, and in plain float32 unless half? */
static bool is_exact(const struct facts *facts, bool half)
{
    return facts->splits <= 1 && facts->reduction == CUBLASLT_REDUCTION_SCHEME_NONE &&
           (facts->numbers & unwanted(half)) == 0;
}

static dfal_status choose(struct gemm *gemm, const struct df_layer_desc *desc)
{
    cublasLtMatmulHeuristicResult_t found[MAX_ALGORITHMS];
    cublasLtMatmulPreferenceOpaque_t preference;
    int count = 0;
    DF_TRY(describe_preference(&preference, gemm->half));
    DF_TRY(check(cublasLtMatmulAlgoGetHeuristic(gemm->library->handle, &gemm->product,
                                                &gemm->matrix[MATRIX_A], &gemm->matrix[MATRIX_B],
                                                &gemm->matrix[MATRIX_D], &gemm->matrix[MATRIX_D], &preference,
                                                MAX_ALGORITHMS, found, &count),
                 "choosing an algorithm"));
    for (int i = 0; i < count; i++) {
        struct facts facts = {0};
        if (found[i].state != CUBLAS_STATUS_SUCCESS || found[i].workspaceSize > WORKSPACE)
            continue;
        DF_TRY(read_facts(&facts, &found[i].algo));
        if (!is_exact(&facts, gemm->half))
            continue;
        gemm->algorithm = found[i].algo;
        gemm->head.workspace = found[i].workspaceSize;
        (void)snprintf(gemm->head.text, sizeof gemm->head.text, "algorithm %d, tile %u, stages %u, %zu bytes",
                       (int)facts.id, (unsigned)facts.tile, (unsigned)facts.stages, found[i].workspaceSize);
        return DFAL_OK;
    }
    DF_FAIL(DFAL_E_UNAVAILABLE, "cuBLAS has no product in %s from %lld to %lld values",
            gemm->half ? "binary16" : "plain float32", (long long)desc->in.c, (long long)desc->out.c);
}

static void gemm_destroy(struct df_cuda_op *op)
{
    struct gemm *gemm = (struct gemm *)op;
    if (gemm == NULL)
        return;
    (void)cudaFree(gemm->aligned_bias);
    df_free(gemm);
}

static dfal_status gemm_bind(struct df_cuda_op *op, const float *weight, const float *bias,
                             cudaStream_t stream)
{
    const struct gemm *gemm = (const struct gemm *)op;
    (void)weight;
    if (gemm->kind != DF_LAYER_FORWARD || is_aligned(bias))
        return DFAL_OK;
    return df_cuda_status(cudaMemcpyAsync(gemm->aligned_bias, bias,
                                          (size_t)gemm->outputs * sizeof *gemm->aligned_bias,
                                          cudaMemcpyDeviceToDevice, stream),
                          "binding a bias");
}

static dfal_status gemm_create(struct df_cuda_op **out, struct df_cuda_device *device,
                               const struct df_layer_desc *desc, enum df_layer_kind kind)
{
    struct gemm *gemm = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&gemm, 1, sizeof *gemm));
    gemm->library = device->cublas;
    gemm->kind = kind;
    gemm->outputs = desc->out.c;
    gemm->half = desc->half_backward && kind == DF_LAYER_BACKWARD;
    gemm->head.engine = &df_cuda_cublas;
    gemm->head.rows = desc->block_rows;
    DF_TRY_TO(done, status, describe_matrices(gemm, desc));
    DF_TRY_TO(done, status, describe_product(gemm));
    DF_TRY_TO(done, status, choose(gemm, desc));
    if (kind == DF_LAYER_FORWARD)
        DF_TRY_TO(done, status,
                  df_cuda_memory((void **)&gemm->aligned_bias, gemm->outputs * (int64_t)sizeof(float)));
    *out = &gemm->head;
    gemm = NULL;
done:
    if (gemm != NULL)
        gemm_destroy(&gemm->head);
    return status;
}

static dfal_status gemm_run(struct df_cuda_op *op, const struct df_cuda_run *run)
{
    struct gemm *gemm = (struct gemm *)op;
    const float one = 1.0F, zero = 0.0F;
    /* Queues run the op side by side: each sets its bias in a description of its own. */
    cublasLtMatmulDescOpaque_t product = gemm->product;
    const void *a = gemm->kind == DF_LAYER_WEIGHT_GRADIENT ? run->in[0] : run->weight;
    const void *b = gemm->kind == DF_LAYER_WEIGHT_GRADIENT ? run->in[1] : run->in[0];
    const float *bias = is_aligned(run->bias) ? run->bias : gemm->aligned_bias;
    if (gemm->kind == DF_LAYER_FORWARD)
        DF_TRY(set(&product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    return check(cublasLtMatmul(gemm->library->handle, &product, &one, a, &gemm->matrix[MATRIX_A], b,
                                &gemm->matrix[MATRIX_B], &zero, run->out, &gemm->matrix[MATRIX_D], run->out,
                                &gemm->matrix[MATRIX_D], &gemm->algorithm, run->workspace,
                                gemm->head.workspace, run->stream),
                 "running a product");
}

const struct df_cuda_engine df_cuda_cublas = {
    .name = "cuBLAS", .create = gemm_create, .destroy = gemm_destroy, .bind = gemm_bind, .run = gemm_run};
