/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_cells.c for AVX-512: the build gives this file the flags. */
#define DF_CPU_CELLS df_cpu_cells_avx512
#include "cpu_cells.c"
