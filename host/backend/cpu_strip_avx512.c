/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_strip.c for AVX-512: the build gives this file the flags. */
#define DF_CPU_STRIP df_cpu_strip_avx512
#include "cpu_strip.c"
