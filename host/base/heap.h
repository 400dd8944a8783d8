/* SPDX-License-Identifier: Apache-2.0 */
/* A heap with its largest element on top: what keeps the least of many. */
#ifndef DF_BASE_HEAP_H
#define DF_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* As qsort's. */
typedef int df_compare_fn(const void *a, const void *b);
/* Elements have at most so many bytes. */
enum { DF_HEAP_ELEMENT = 64 };

/* Put element `at` of `count` elements of `size` bytes below those that are larger; all behind it are in
 * order. */
void df_heap_sink(void *heap, int64_t count, int64_t at, size_t size, df_compare_fn *compare);
/* Make a heap of elements in any order. */
void df_heap_make(void *heap, int64_t count, size_t size, df_compare_fn *compare);

#endif
