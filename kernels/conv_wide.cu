/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of any geometry as products: [rows x cells of a phase] x [output channels of a group], over
 * (c, ty, tx). The matrix of windows is never written: a tile gathers its values from the planes.
 *
 * Math, order   conv_walk.h, tile.h: (c, ty, tx) ascending, one fmaf a term
 * Work          blockIdx.x a tile of the product, channels fastest; blockIdx.z (phase, group). In a share of
 *               a, a thread keeps to one cell and walks along k; the places of the BK values of k are a table
 *               in shared memory. */
#include "conv_walk.h"
#include "tile.h"

/* Where one k lies: in the plane relative to a cell's first tap, among the weights of an output channel. */
struct alignas(16) place {
    int32_t y, x, input, weight;
};
enum { NOWHERE = -(1 << 30) }; /* a line that is in no plane */

/* One block's view of its group and phase. */
struct wide {
    struct df_conv_walk walk;
    struct df_conv_axis y, x;
    const float *in, *weight; /* of the group; in: of row 0 */
    int64_t rows;
    int32_t depth;
};

template <class T> struct gather {
    static constexpr bool A_ALONG_K = false, B_ALONG_K = true;
    static_assert(T::THREADS % T::BM == 0, "a thread's share of a is one cell");
    const struct wide *wide;
    struct place *places; /* [2][BK] in shared memory */
    const float *from;    /* this thread's cell: tap (0, 0) of channel 0, at (line, column) of the plane */
    int32_t line, column;
    int32_t weight[T::B_SHARE]; /* this thread's output channels' weights; behind the edge the last one's */

    __device__ void prepare(int64_t chunk) const
    {
        const int t = (int)threadIdx.x;
        if (t >= T::BK)
            return;
        const int32_t k = (int32_t)chunk * T::BK + t, taps_x = wide->x.taps, taps = wide->y.taps * taps_x;
        struct place place = {NOWHERE, 0, 0, 0};
        if (k < wide->depth) {
            const int32_t c = k / taps, ty = k % taps / taps_x, tx = k % taps_x;
            const struct df_conv_walk &walk = wide->walk;
            place.y = ty * wide->y.step;
            place.x = tx * wide->x.step;
            place.input = (c * walk.in_h + place.y) * walk.in_w + place.x;
            place.weight = c * walk.weight_in + (wide->y.first + ty * wide->y.skip) * walk.window.kernel[1] +
                           wide->x.first + tx * wide->x.skip;
        }
        places[(int)(chunk % 2) * T::BK + t] = place;
    }
    __device__ void fetch(int64_t chunk, float (&a)[T::A_SHARE], float (&b)[T::B_SHARE]) const
    {
        const struct place *table = places + (int)(chunk % 2) * T::BK;
        const int32_t height = wide->walk.in_h, width = wide->walk.in_w;
#pragma unroll
        for (int j = 0; j < T::A_SHARE; j++) {
            const struct place p = table[df_tile_k<T, T::BM, false>((int)threadIdx.x, j)];
            const bool inside =
                ((uint32_t)(line + p.y) < (uint32_t)height) & ((uint32_t)(column + p.x) < (uint32_t)width);
            a[j] = inside ? from[p.input] : 0.0F;
        }
        /* Behind the last k: some weight, times 0. */
#pragma unroll
        for (int j = 0; j < T::B_SHARE; j++)
            b[j] = wide->weight[weight[j] + table[df_tile_k<T, T::BN, true>((int)threadIdx.x, j)].weight];
    }
};

template <class T>
__global__ void __launch_bounds__(T::THREADS, T::BLOCKS)
    conv_wide(const struct df_conv_walk walk, const struct df_conv_data data)
{
    __shared__ __align__(16) float pool[2 * T::BUFFER];
    __shared__ __align__(16) struct place places[2 * T::BK];
    const int32_t stride_x = walk.backward ? walk.window.stride[1] : 1;
    const int32_t phase = (int32_t)blockIdx.z / walk.group, group = (int32_t)blockIdx.z % walk.group;
    struct wide wide;
    wide.walk = walk;
    wide.y = df_conv_axis_at(&walk, 0, phase / stride_x);
    wide.x = df_conv_axis_at(&walk, 1, phase % stride_x);
    wide.in = data.in + (int64_t)group * walk.in_c * walk.in_h * walk.in_w;
    wide.weight =
        data.weight + (int64_t)group * walk.in_c * walk.out_c * walk.window.kernel[0] * walk.window.kernel[1];
    wide.rows = data.rows;
    wide.depth = walk.in_c * wide.y.taps * wide.x.taps;
    const int32_t cells = wide.y.cells * wide.x.cells;
    const int32_t tiles = (walk.out_c + T::BN - 1) / T::BN,
                  n0 = (int32_t)(blockIdx.x % (unsigned)tiles) * T::BN;
    const int64_t m0 = (int64_t)(blockIdx.x / (unsigned)tiles) * T::BM;
    if (m0 >= wide.rows * cells)
        return; /* the grid is as large as the largest phase wants it */

    const int t = (int)threadIdx.x, tn = t % (T::BN / T::TN), tm = t / (T::BN / T::TN);
    const int64_t row0 = m0 / cells;
    const int32_t cell0 = (int32_t)(m0 - row0 * cells);
    const int64_t in_row = (int64_t)walk.group * walk.in_c * walk.in_h * walk.in_w;
    const int32_t own = cell0 + t % T::BM, own_cell = own % cells;
    const int64_t own_row = row0 + own / cells;
    const int32_t line = own_cell / wide.x.cells * wide.y.move + wide.y.base;
    const int32_t column = own_cell % wide.x.cells * wide.x.move + wide.x.base;
    const float *from = wide.in + own_row * in_row + (int64_t)line * walk.in_w + column;
    struct gather<T> source = {
        &wide, places, from, own_row < wide.rows ? line : NOWHERE, column,
        {
        }
    };
#pragma unroll
    for (int j = 0; j < T::B_SHARE; j++) {
        const int32_t n = n0 + df_tile_i<T, T::BN, true>(t, j);
        source.weight[j] = (n < walk.out_c ? n : walk.out_c - 1) * walk.weight_out;
    }
    float sum[T::TM][T::TN], unused = 0;
#pragma unroll
    for (int j = 0; j < T::TN; j++) {
        const int32_t n = n0 + df_tile_at<T::BN, T::TN>(tn, j);
        const float first = data.bias != NULL && n < walk.out_c ? data.bias[group * walk.out_c + n] : 0.0F;
#pragma unroll
        for (int i = 0; i < T::TM; i++)
            sum[i][j] = first;
    }
    df_tile_sum<T, false>(sum, source, (wide.depth + T::BK - 1) / T::BK, pool, false, unused);
    const int64_t plane = (int64_t)walk.out_h * walk.out_w;
#pragma unroll
    for (int i = 0; i < T::TM; i++) {
        const int32_t at = cell0 + df_tile_at<T::BM, T::TM>(tm, i), cell = at % cells;
        const int64_t row = row0 + at / cells;
        if (row >= wide.rows)
            continue;
        const int32_t h = wide.y.phase + cell / wide.x.cells * wide.y.stride;
        const int32_t w = wide.x.phase + cell % wide.x.cells * wide.x.stride;
        float *out = data.out + (row * walk.group + group) * walk.out_c * plane + (int64_t)h * walk.out_w + w;
#pragma unroll
        for (int j = 0; j < T::TN; j++) {
            const int32_t n = n0 + df_tile_at<T::BN, T::TN>(tn, j);
            if (n < walk.out_c)
                out[n * plane] = sum[i][j];
        }
    }
}

typedef df_tile<128, 64, 16, 8, 4> broad_tile;
typedef df_tile<128, 32, 16, 8, 4> middle_tile;
typedef df_tile<128, 16, 16, 4, 4> slim_tile;
typedef df_tile<32, 32, 32, 2, 2> small_tile;

static int64_t divide_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step;
}

template <class T>
static int launch(const struct df_conv_walk *walk, const struct df_conv_data *data, int64_t cells,
                  void *stream)
{
    void (*kernel)(struct df_conv_walk, struct df_conv_data) = conv_wide<T>;
    const int64_t blocks = divide_up(cells, T::BM) * divide_up(walk->out_c, T::BN);
    const dim3 grid((unsigned)blocks, 1, (unsigned)(df_conv_phases(walk) * walk->group));
    DF_LAUNCH(kernel, grid, T::THREADS, 0, stream, *walk, *data);
    return df_launched();
}

/* Few channels would leave most of a tile empty. */
int32_t df_conv_suits_wide(const struct df_conv_walk *walk)
{
    return walk->out_c >= 6 && df_conv_phases(walk) * walk->group <= 65535;
}

int df_conv_wide(const struct df_conv_walk *walk, const struct df_conv_data *data, void *stream)
{
    enum { FEW_BLOCKS = 256 };
    const struct df_conv_axis y = df_conv_axis_at(walk, 0, 0), x = df_conv_axis_at(walk, 1, 0);
    const int64_t cells = data->rows * y.cells * x.cells;
    const int64_t blocks = divide_up(cells, 128) * divide_up(walk->out_c, 32) * walk->group;
    if (blocks * df_conv_phases(walk) < FEW_BLOCKS)
        return launch<small_tile>(walk, data, cells, stream);
    if (walk->out_c <= 16)
        return launch<slim_tile>(walk, data, cells, stream);
    if (divide_up(walk->out_c, 64) * 16 <= divide_up(walk->out_c, 32) * 9)
        return launch<broad_tile>(walk, data, cells, stream);
    return launch<middle_tile>(walk, data, cells, stream);
}
