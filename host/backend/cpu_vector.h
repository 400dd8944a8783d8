/* SPDX-License-Identifier: Apache-2.0 */
/* A vector of floats, as wide as the file's instruction set: 8 lanes, or 16 where AVX-512 is on. Only what
 * never mixes lanes is here, so both widths give the same bits. */
#ifndef DF_BACKEND_CPU_VECTOR_H
#define DF_BACKEND_CPU_VECTOR_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
enum { LANES = 16 };
typedef __m512 vec;
static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vec_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
static inline vec vec_all(float x)
{
    return _mm512_set1_ps(x);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
#else
enum { LANES = 8 };
typedef __m256 vec;
static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
static inline vec vec_all(float x)
{
    return _mm256_set1_ps(x);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
#endif

/* out[j * out_stride + i] = in[i * in_stride + j] for i, j < 8. */
static inline void transpose_8x8(float *out, int64_t out_stride, const float *in, int64_t in_stride)
{
    __m256 r[8], s[8];
    for (int i = 0; i < 4; i++) {
        /* The halves of rows i and i + 4 meet on loading: no lane-crossing shuffle is left. */
        const float *low = in + i * in_stride, *high = in + (i + 4) * in_stride;
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
        r[i + 4] =
            _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
    for (int h = 0; h < 8; h += 4) {
        const __m256 a = _mm256_unpacklo_ps(r[h], r[h + 1]), b = _mm256_unpackhi_ps(r[h], r[h + 1]);
        const __m256 c = _mm256_unpacklo_ps(r[h + 2], r[h + 3]), d = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
        s[h] = _mm256_shuffle_ps(a, c, 0x44);
        s[h + 1] = _mm256_shuffle_ps(a, c, 0xee);
        s[h + 2] = _mm256_shuffle_ps(b, d, 0x44);
        s[h + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int j = 0; j < 8; j++)
        _mm256_storeu_ps(out + j * out_stride, s[j]);
}

/* `size` floats of each of `count` rows, `stride` apart -> lanes [size][LANES]; missing rows are zeros. */
static inline void rows_to_lanes(float *lanes, const float *in, int64_t stride, int64_t size, int64_t count)
{
    for (int64_t first = 0; first < LANES; first += 8) {
        const int64_t have = count - first < 0 ? 0 : count - first < 8 ? count - first : 8;
        float *to = lanes + first;
        const float *from = in + first * stride;
        int64_t i = 0;
        if (have == 8)
            for (; i + 8 <= size; i += 8)
                transpose_8x8(to + i * LANES, LANES, from + i, stride);
        for (; i < size; i += 8) {
            const int64_t cols = size - i < 8 ? size - i : 8;
            float block[64] = {0}, turned[64];
            for (int64_t r = 0; r < have; r++)
                memcpy(block + r * 8, from + r * stride + i, (size_t)cols * sizeof(float));
            transpose_8x8(turned, 8, block, 8);
            for (int64_t j = 0; j < cols; j++)
                memcpy(to + (i + j) * LANES, turned + j * 8, 8 * sizeof(float));
        }
    }
}

/* And back: the first `count` lanes of [size][LANES] -> rows. */
static inline void lanes_to_rows(float *out, const float *lanes, int64_t stride, int64_t size, int64_t count)
{
    for (int64_t first = 0; first < LANES && first < count; first += 8) {
        const int64_t have = count - first < 8 ? count - first : 8;
        const float *from = lanes + first;
        float *to = out + first * stride;
        int64_t i = 0;
        if (have == 8)
            for (; i + 8 <= size; i += 8)
                transpose_8x8(to + i, stride, from + i * LANES, LANES);
        for (; i < size; i += 8) {
            const int64_t cols = size - i < 8 ? size - i : 8;
            float block[64] = {0}, turned[64];
            for (int64_t j = 0; j < cols; j++)
                memcpy(block + j * 8, from + (i + j) * LANES, 8 * sizeof(float));
            transpose_8x8(turned, 8, block, 8);
            for (int64_t r = 0; r < have; r++)
                memcpy(to + r * stride + i, turned + r * 8, (size_t)cols * sizeof(float));
        }
    }
}

#endif
