/* SPDX-License-Identifier: Apache-2.0 */
/* Options and results of the public header begin with their size, so that a program and a library of two
 * versions agree on what both know: a field that only one of them has keeps its default, or is not told. New
 * fields are appended. */
#ifndef DF_BASE_SIZED_H
#define DF_BASE_SIZED_H

#include "base/status.h"

/* Fill a caller's struct of `size` bytes with as much of the defaults as fits, zeros behind them. */
void df_sized_init(void *to, size_t size, const void *defaults, size_t defaults_size);
/* Lay what a caller gave over the defaults that stand in own; NULL: they stay.
 *   name  of the struct, for the message
 * Errors   E_USAGE not filled by its init function, or of a newer header with a field set that is not known
 *          here */
dfal_status df_sized_take(void *own, size_t own_size, const void *given, const char *name);
/* Whether a caller's result struct, or NULL, can be filled. Errors   E_USAGE not filled by its init
 * function */
dfal_status df_sized_check(const void *result, const char *name);
/* Give a result as far as the caller knows it. */
void df_sized_give(void *result, const void *own, size_t own_size);

#endif
