/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_chain_step.c for AVX-512: the build gives this file the flags. */
#define DF_CHAIN_KERNELS df_chain_kernels_avx512
#include "cpu_chain_step.c"
