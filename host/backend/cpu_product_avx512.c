/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_product.c for AVX-512: the build gives this file the flags. */
#define DF_CPU_PRODUCT df_cpu_product_avx512
#include "cpu_product.c"
