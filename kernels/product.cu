/* SPDX-License-Identifier: Apache-2.0 */
/* Dense products: y = x weight' + bias, and its gradients.
 *
 * Math, order   tile.h: k ascending, one fmaf a term, whatever the tile. Weight gradients sum over rows:
 *               eight of them from 0, the eights one after the other.
 * Work          A block a tile of the result, its columns fastest in the grid, so that blocks that share rows
 *               run together.
 * Traffic       x once for every BN columns, the weights once for every BM rows. */
#include "conv.h"
#include "cuda_launch.h"
#include "tile.h"

/* out [rows, cols] = first + a [rows, depth] b [depth, cols]; the other two strides are 1. */
struct product {
    float *out;
    const float *a, *b, *first; /* first [cols] or NULL */
    float *line_sum;            /* [rows]: the sums of a alone, or NULL */
    int64_t rows, cols, depth;
    int64_t a_stride, b_stride; /* of the dimension that is not 1 apart */
};

/* One operand of a tile: SIZE lines of it from line i0 on. ALONG_K: element (i, k) at i stride + k, else k
 * stride + i. */
template <class T, int SIZE, bool ALONG_K> struct operand {
    static constexpr int SHARE = SIZE * T::BK / T::THREADS, STEP = T::THREADS / (ALONG_K ? T::BK : SIZE);
    const float *from; /* this thread's first element */
    int64_t depth, step, next;
    int32_t lines; /* from this thread's first one to the edge */

    __device__ operand(const float *matrix, int64_t stride, int64_t i0, int64_t size, int64_t depth_)
    {
        const int t = (int)threadIdx.x;
        const int64_t i = i0 + df_tile_i<T, SIZE, ALONG_K>(t, 0), k = df_tile_k<T, SIZE, ALONG_K>(t, 0);
        from = matrix + (ALONG_K ? i * stride + k : k * stride + i);
        depth = depth_ - k;
        step = STEP * stride;                    /* to the thread's next element */
        next = ALONG_K ? T::BK : T::BK * stride; /* to the next chunk */
        lines = size - i < SIZE ? (int32_t)(size - i) : SIZE;
    }
    __device__ void fetch(int64_t chunk, float (&to)[SHARE]) const
    {
        const float *here = from + chunk * next;
        const int64_t rest = depth - chunk * T::BK;
        const int32_t left = rest < T::BK ? (int32_t)rest : T::BK; /* of k */
        const int32_t reach = ALONG_K ? (left > 0 ? lines : 0) : (lines > 0 ? left : 0);
#pragma unroll
        for (int j = 0; j < SHARE; j++, here += step)
            to[j] = j * STEP < reach ? *here : 0.0F;
    }
};

template <class T, bool A_ALONG_K_, bool B_ALONG_K_> struct dense {
    static constexpr bool A_ALONG_K = A_ALONG_K_, B_ALONG_K = B_ALONG_K_;
    struct operand<T, T::BM, A_ALONG_K_> a;
    struct operand<T, T::BN, B_ALONG_K_> b;

    __device__ void prepare(int64_t) const
    {
    }
    __device__ bool folds(int64_t) const
    {
        return true;
    }
    __device__ void fetch(int64_t chunk, float (&to_a)[T::A_SHARE], float (&to_b)[T::B_SHARE]) const
    {
        a.fetch(chunk, to_a);
        b.fetch(chunk, to_b);
    }
};

template <class T, bool FOLDED, bool A_ALONG_K, bool B_ALONG_K>
__global__ void __launch_bounds__(T::THREADS, T::BLOCKS) product_tile(const struct product p)
{
    __shared__ __align__(16) float pool[2 * T::BUFFER];
    const int64_t tiles = (p.cols + T::BN - 1) / T::BN;
    const int64_t m0 = blockIdx.x / tiles * T::BM, n0 = blockIdx.x % tiles * T::BN;
    const int t = (int)threadIdx.x, tn = t % (T::BN / T::TN), tm = t / (T::BN / T::TN);
    const dense<T, A_ALONG_K, B_ALONG_K> source = {{p.a, p.a_stride, m0, p.rows, p.depth},
                                                   {p.b, p.b_stride, n0, p.cols, p.depth}};
    float sum[T::TM][T::TN], line_sum = 0;
    const bool sums_lines = FOLDED && p.line_sum != NULL && n0 == 0;
#pragma unroll
    for (int j = 0; j < T::TN; j++) {
        const int64_t n = n0 + df_tile_at<T::BN, T::TN>(tn, j);
        const float first = p.first != NULL && n < p.cols ? p.first[n] : 0.0F;
#pragma unroll
        for (int i = 0; i < T::TM; i++)
            sum[i][j] = first;
    }
    df_tile_sum<T, FOLDED>(sum, source, (p.depth + T::BK - 1) / T::BK, pool, sums_lines, line_sum);
    if (sums_lines && t < T::BM && m0 + t < p.rows)
        p.line_sum[m0 + t] = line_sum;
#pragma unroll
    for (int i = 0; i < T::TM; i++) {
        const int64_t m = m0 + df_tile_at<T::BM, T::TM>(tm, i);
#pragma unroll
        for (int j = 0; j < T::TN; j++) {
            const int64_t n = n0 + df_tile_at<T::BN, T::TN>(tn, j);
            if (m < p.rows && n < p.cols)
                p.out[m * p.cols + n] = sum[i][j];
        }
    }
}

typedef df_tile<128, 64, 16, 8, 4> broad_tile;
typedef df_tile<128, 32, 16, 8, 4> middle_tile;
typedef df_tile<128, 16, 16, 4, 4> slim_tile;
typedef df_tile<32, 32, 32, 2, 2> small_tile; /* few rows: more blocks, fewer and longer chunks */

static int64_t divide_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step;
}

template <class T, bool FOLDED, bool A_ALONG_K, bool B_ALONG_K>
static int launch(const struct product *p, void *stream)
{
    void (*kernel)(struct product) = product_tile<T, FOLDED, A_ALONG_K, B_ALONG_K>;
    const unsigned blocks = (unsigned)(divide_up(p->rows, T::BM) * divide_up(p->cols, T::BN));
    DF_LAUNCH(kernel, blocks, T::THREADS, 0, stream, *p);
    return df_launched();
}

template <bool B_ALONG_K> static int run(const struct product *p, void *stream)
{
    enum { FEW_BLOCKS = 256 };
    if (p->rows <= 0)
        return 0;
    if (divide_up(p->rows, 128) * divide_up(p->cols, 32) < FEW_BLOCKS)
        return launch<small_tile, false, true, B_ALONG_K>(p, stream);
    if (p->cols <= 16)
        return launch<slim_tile, false, true, B_ALONG_K>(p, stream);
    if (divide_up(p->cols, 64) * 16 <= divide_up(p->cols, 32) * 9) /* little of the broader tile is wasted */
        return launch<broad_tile, false, true, B_ALONG_K>(p, stream);
    return launch<middle_tile, false, true, B_ALONG_K>(p, stream);
}

int df_gemm_forward(int64_t in, int64_t out, float *y, const float *x, const float *weight, const float *bias,
                    int64_t rows, void *stream)
{
    const struct product p = {y, x, weight, bias, NULL, rows, out, in, in, in};
    return run<true>(&p, stream);
}

int df_gemm_backward(int64_t in, int64_t out, float *dx, const float *dy, const float *weight, int64_t rows,
                     void *stream)
{
    const struct product p = {dx, dy, weight, NULL, NULL, rows, in, out, out, in};
    return run<false>(&p, stream);
}

int df_gemm_weight_gradient(int64_t in, int64_t out, float *dw, float *db, const float *x, const float *dy,
                            int64_t rows, void *stream)
{
    typedef df_tile<32, 32, DF_GRADIENT_ROWS, 2, 2> few;
    typedef df_tile<64, 64, DF_GRADIENT_ROWS, 4, 4> many;
    const struct product p = {dw, dy, x, NULL, db, out, in, rows > 0 ? rows : 0, out, in};
    if (divide_up(out, 64) * divide_up(in, 64) < 128)
        return launch<few, true, false, false>(&p, stream);
    return launch<many, true, false, false>(&p, stream);
}
