/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_winograd_conv.c for AVX-512: the build gives this file the flags. */
#define DF_CPU_WINOGRAD         df_cpu_winograd_avx512
#define DF_CPU_WINOGRAD_SCRATCH df_cpu_winograd_scratch_avx512
#include "cpu_winograd_conv.c"
