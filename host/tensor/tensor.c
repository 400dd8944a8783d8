/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <inttypes.h>

dfal_status df_checked_product(int64_t *out, const int64_t *factors, int count)
{
    *out = 0;
    int64_t product = 1;
    for (int i = 0; i < count; i++) {
        if (factors[i] < 0)
            DF_FAIL(DFAL_E_DATA, "a size is %" PRId64 ": expected at least 0", factors[i]);
        if (__builtin_mul_overflow(product, factors[i], &product) || product > (int64_t)1 << 62)
            DF_FAIL(DFAL_E_DATA, "a product of sizes passes 2^62 at the factor %" PRId64, factors[i]);
    }
    *out = product;
    return DFAL_OK;
}

void df_turn_rows(void *out, const void *in, struct df_shape shape, size_t element, int64_t rows)
{
    int64_t plane = shape.h * shape.w, size = plane * shape.c;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < shape.c; c++)
            for (int64_t i = 0; i < plane; i++) {
                int64_t to = r * size + c * plane + i, from = r * size + i * shape.c + c;
                if (element == 1)
                    ((uint8_t *)out)[to] = ((const uint8_t *)in)[from];
                else
                    ((float *)out)[to] = ((const float *)in)[from];
            }
}
