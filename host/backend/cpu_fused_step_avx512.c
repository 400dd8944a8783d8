/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_fused_step.c for AVX-512: the build gives this file the flags. */
#define DF_FUSED_KERNELS df_fused_kernels_avx512
#include "cpu_fused_step.c"
