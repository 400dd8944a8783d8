/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of plain numbers, as qsort and bsearch take them: ascending. */
#ifndef DF_BASE_COMPARE_H
#define DF_BASE_COMPARE_H

/* int64_t: rows, numbers of parts. */
int df_compare_integers(const void *a, const void *b);
/* double; none is NaN. */
int df_compare_reals(const void *a, const void *b);

#endif
