/* SPDX-License-Identifier: Apache-2.0 */
/* dfal's own allocator: zeroed, aligned to 64 bytes, counted, and able to fail on command (fault.h). */
#ifndef DF_BASE_MEMORY_H
#define DF_BASE_MEMORY_H

#include "base/status.h"

/* Allocate count * size zeroed bytes; *out = NULL on error. count 0 gives a valid unique pointer.
 * Errors   E_MEMORY (also when count * size overflows or passes 1 TiB) */
dfal_status df_alloc(void *out_pointer, int64_t count, size_t size);
/* Grow or shrink to count elements keeping the contents; new bytes are zero. *pointer may be NULL. */
dfal_status df_resize(void *pointer_to_pointer, int64_t old_count, int64_t count, size_t size);
/* Let an array of *capacity elements hold count: exactly count where it had fewer. It may be NULL. */
dfal_status df_reserve(void *pointer_to_array, int64_t *capacity, int64_t count, size_t size);
/* The same for an array that is filled bit by bit: it begins with `first` and at least doubles. */
dfal_status df_grow(void *pointer_to_array, int64_t *capacity, int64_t count, size_t size, int64_t first);
/* Free; NULL is fine. */
void df_free(void *pointer);
dfal_status df_strdup(char **out, const char *text);
/* A list of strings, each fresh. strings NULL gives NULL, and freeing NULL is fine. */
dfal_status df_strings_copy(char ***out, char *const *strings, int64_t count);
void df_strings_free(char **strings, int64_t count);
/* printf into a fresh string. */
dfal_status df_format(char **out, const char *format, ...) DFAL_PRINTF(2, 3);
/* Live allocations and the number ever made (the hot path makes none: a test counts). */
int64_t df_alloc_live(void);
int64_t df_alloc_total(void);
/* Largest resident set of this process so far, bytes; memory available to it now, bytes (cgroup and host). */
int64_t df_memory_peak(void);
/* False where this process is denied code that it makes itself (MemoryDenyWriteExecute of systemd, SELinux's
 * execmem). */
bool df_memory_may_execute(void);
/* What this process holds now: its resident set, or what df_alloc has given out where that is more, for a
 * block's pages count as resident only once they are touched. */
int64_t df_memory_held(void);
int64_t df_memory_available(void);

#endif
