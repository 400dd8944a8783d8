/* SPDX-License-Identifier: Apache-2.0 */
/* A vector of floats, as wide as the file's instruction set: 8 lanes, or 16 where AVX-512 is on. Only what never
 * mixes lanes is here, so both widths give the same bits. */
#ifndef DF_BACKEND_CPU_VECTOR_H
#define DF_BACKEND_CPU_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

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

#endif
