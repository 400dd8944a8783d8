/* SPDX-License-Identifier: Apache-2.0 */
/* What chains need of vectors beside cpu_vector.h: the optimiser's arithmetic, units with their codes
 * (cpu_stack.h), half vectors. Lanes are never mixed here either. */
#ifndef DF_BACKEND_CPU_STACK_VECTOR_H
#define DF_BACKEND_CPU_STACK_VECTOR_H

#include "backend/cpu_stack.h"
#include "backend/cpu_vector.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__
typedef __mmask16 vec_mask;
INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
INLINE vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
INLINE vec vec_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}
INLINE vec_mask vec_greater(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
INLINE vec_mask vec_is_off(vec a) /* a NaN is */
{
    return _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_NGT_UQ);
}
INLINE vec_mask vec_takes(vec a, vec b) /* df_max_takes: a NaN is larger than nothing */
{
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
}
INLINE vec vec_choose(vec_mask mask, vec yes, vec no)
{
    return _mm512_mask_mov_ps(no, mask, yes);
}
/* A code a lane, as it is computed. */
typedef __m512i vec_codes;
INLINE vec_codes codes_all(int code)
{
    return _mm512_set1_epi32(code);
}
INLINE vec_codes codes_choose(vec_mask mask, int yes, vec_codes no)
{
    return _mm512_mask_mov_epi32(no, mask, _mm512_set1_epi32(yes));
}
INLINE void codes_store(uint8_t code[LANES], vec_codes codes)
{
    _mm_storeu_si128((__m128i *)code, _mm512_cvtepi32_epi8(codes));
}
INLINE vec_codes codes_load(const uint8_t code[LANES])
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)code));
}
INLINE __m128i bytes_of_lanes(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}
typedef __m256 half_vec;
INLINE half_vec half_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void half_store(float *p, half_vec v)
{
    _mm256_storeu_ps(p, v);
}
INLINE half_vec half_of(vec v)
{
    return _mm512_castps512_ps256(v);
}
INLINE half_vec half_zero(void)
{
    return _mm256_setzero_ps();
}
INLINE half_vec half_add(half_vec a, half_vec b)
{
    return _mm256_add_ps(a, b);
}
INLINE half_vec half_fma(half_vec a, half_vec b, half_vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
#else
typedef __m256 vec_mask;
INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
INLINE vec vec_sqrt(vec a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vec_mask vec_greater(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}
INLINE vec_mask vec_is_off(vec a)
{
    return _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_NGT_UQ);
}
INLINE vec_mask vec_takes(vec a, vec b)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, a, _CMP_ORD_Q), _mm256_cmp_ps(a, b, _CMP_NLE_UQ));
}
INLINE vec vec_choose(vec_mask mask, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, mask);
}
typedef __m256i vec_codes;
INLINE vec_codes codes_all(int code)
{
    return _mm256_set1_epi32(code);
}
INLINE vec_codes codes_choose(vec_mask mask, int yes, vec_codes no)
{
    return _mm256_blendv_epi8(no, _mm256_set1_epi32(yes), _mm256_castps_si256(mask));
}
INLINE void codes_store(uint8_t code[LANES], vec_codes codes)
{
    const __m128i halves =
        _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storel_epi64((__m128i *)code, _mm_packus_epi16(halves, halves));
}
INLINE vec_codes codes_load(const uint8_t code[LANES])
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)code));
}
INLINE __m128i bytes_of_lanes(const uint8_t *p)
{
    return _mm_loadl_epi64((const __m128i *)p);
}
typedef __m128 half_vec;
INLINE half_vec half_load(const float *p)
{
    return _mm_loadu_ps(p);
}
INLINE void half_store(float *p, half_vec v)
{
    _mm_storeu_ps(p, v);
}
INLINE half_vec half_of(vec v)
{
    return _mm256_castps256_ps128(v);
}
INLINE half_vec half_zero(void)
{
    return _mm_setzero_ps();
}
INLINE half_vec half_add(half_vec a, half_vec b)
{
    return _mm_add_ps(a, b);
}
INLINE half_vec half_fma(half_vec a, half_vec b, half_vec c)
{
    return _mm_fmadd_ps(a, b, c);
}
#endif

INLINE vec vec_zero(void)
{
    return vec_all(0);
}

/* What leaves a unit behind its ReLU, if it has one, and its code. */
INLINE vec unit_end(vec value, vec_codes codes, bool relu, uint8_t code[LANES])
{
    const vec_mask off = vec_is_off(value);
    codes_store(code, relu ? codes_choose(off, DF_STACK_DEAD, codes) : codes);
    return relu ? vec_choose(off, vec_zero(), value) : value;
}

/* Of a 2x2 window: the first of equal values is the largest and a NaN is never, as in kernels/planes.h. With
 * a ReLU what is to be beaten first is its 0, which no NaN beats either. */
INLINE vec unit_of_window(const vec value[4], bool relu, uint8_t code[LANES])
{
    vec largest = relu ? vec_zero() : value[0];
    vec_codes codes = codes_all(relu ? DF_STACK_DEAD : 0);
    for (int q = relu ? 0 : 1; q < 4; q++) { /* a 0 is a number: the plain comparison tells the same of it */
        const vec_mask larger = relu ? vec_greater(value[q], largest) : vec_takes(value[q], largest);
        largest = vec_choose(larger, value[q], largest);
        codes = codes_choose(larger, q, codes);
    }
    codes_store(code, codes);
    return largest;
}

/* What dropout makes of its code: a factor of 0 is a dead unit. */
INLINE void code_drop(uint8_t code[LANES], vec factor)
{
    codes_store(code, codes_choose(vec_is_off(factor), DF_STACK_DEAD, codes_load(code)));
}

/* Bytes of lanes [size][LANES] -> the first `count` lanes as rows, `stride` apart. lanes are read in
 * sixteens. */
static inline void bytes_to_rows(uint8_t *rows, int64_t stride, const uint8_t *lanes, int64_t size,
                                 int64_t count)
{
    for (int64_t i = 0; i < size; i += 16) {
        const size_t bytes = size - i < 16 ? (size_t)(size - i) : 16;
        __m128i a[16], b[16];
        for (int j = 0; j < 16; j++)
            a[j] = bytes_of_lanes(lanes + (i + j) * LANES);
        for (int shuffle = 0; shuffle < 4; shuffle++) { /* four perfect shuffles turn 16 x 16 bytes */
            for (int j = 0; j < 8; j++) {
                b[2 * j] = _mm_unpacklo_epi8(a[j], a[j + 8]);
                b[2 * j + 1] = _mm_unpackhi_epi8(a[j], a[j + 8]);
            }
            memcpy(a, b, sizeof a);
        }
        for (int l = 0; l < LANES && bytes == 16 && l < count; l++)
            _mm_storeu_si128((__m128i *)(rows + l * stride + i), a[l]);
        for (int l = 0; l < LANES && bytes < 16 && l < count; l++)
            memcpy(rows + l * stride + i, &a[l], bytes);
    }
}

#endif
