/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_lanes.c for AVX-512: the build gives this file the flags. */
#define DF_CPU_KERNELS          df_cpu_kernels_avx512
#define DF_CPU_HALF             (&df_cpu_kernels_avx2)
#define DF_CPU_PRODUCT          df_cpu_product_avx512
#define DF_CPU_STRIP            df_cpu_strip_avx512
#define DF_CPU_WINOGRAD         df_cpu_winograd_avx512
#define DF_CPU_WINOGRAD_SCRATCH df_cpu_winograd_scratch_avx512
#include "cpu_lanes.c"
