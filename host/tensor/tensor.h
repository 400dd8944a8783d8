/* SPDX-License-Identifier: Apache-2.0 */
/* Element types and shapes. */
#ifndef DF_TENSOR_TENSOR_H
#define DF_TENSOR_TENSOR_H

#include "base/status.h"

/* A real is float on every back end but ref64, where it is double. */
enum df_type { DF_TYPE_REAL, DF_TYPE_I32, DF_TYPE_U8, DF_TYPE_F64 };

/* Bytes of an element on a back end whose reals are floats. */
static inline size_t df_type_size(enum df_type type)
{
    switch (type) {
    case DF_TYPE_REAL:
        return sizeof(float);
    case DF_TYPE_I32:
        return sizeof(int32_t);
    case DF_TYPE_U8:
        return sizeof(uint8_t);
    case DF_TYPE_F64:
        return sizeof(double);
    }
    return 0;
}

/* Shape of one sample's activation: C, H, W (a vector is [n, 1, 1]). */
struct df_shape {
    int64_t c, h, w;
};
/* Do dims [N, a, b, c] look like [N, H, W, C] where [N, C, H, W] was expected? Feature maps of a few pixels
 * do not. */
static inline bool df_looks_like_nhwc(const int64_t dims[4])
{
    enum { FEW_PIXELS = 4 };
    const bool last = dims[3] == 1 || dims[3] == 3 || dims[3] == 4;
    const bool first = dims[1] == 1 || dims[1] == 3 || dims[1] == 4;
    return last && !first && dims[2] > FEW_PIXELS;
}
static inline int64_t df_shape_size(struct df_shape s)
{
    return s.c * s.h * s.w;
}
/* Rows [H,W,C] to rows [C,H,W]; element: the bytes of one, 1, or 4 of a float. */
void df_turn_rows(void *out, const void *in, struct df_shape shape, size_t element, int64_t rows);
/* Multiply with a check. Errors   E_DATA on overflow past 2^62 */
dfal_status df_checked_product(int64_t *out, const int64_t *factors, int count);

#endif
