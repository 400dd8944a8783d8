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
