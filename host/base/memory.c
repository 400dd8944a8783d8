/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/number.h"

enum { ALIGNMENT = 64 };

/* No single block of dfal comes near a TiB: a larger one is a size read from a file that lies. The checking
 * allocators of the sanitizers abort the process at this size instead of returning NULL. */
static const size_t largest_block = ((size_t)1 << 40) - ((size_t)1 << 20);

/* Stands in the cache line before the memory given out. */
struct header {
    void *raw; /* what calloc gave */
    size_t bytes;
};

static atomic_int_least64_t live_count, total_count, live_bytes;

static struct header *header_of(void *pointer)
{
    return (struct header *)((char *)pointer - ALIGNMENT);
}

/* calloc and not aligned_alloc + memset: large blocks stay untouched pages until used. */
static dfal_status allocate(void **out, int64_t count, size_t size)
{
    *out = NULL;
    if (count < 0)
        DF_FAIL(DFAL_E_INTERNAL, "cannot allocate %" PRId64 " elements: the count is negative", count);
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, size, &bytes) || bytes > largest_block)
        DF_FAIL(DFAL_E_MEMORY,
                "cannot allocate %" PRId64 " elements of %zu bytes: a block has less than 1 TiB", count,
                size);
    char *raw = df_fault_hits(DF_FAULT_ALLOC) ? NULL : calloc(1, bytes + 2 * ALIGNMENT);
    if (!raw)
        DF_FAIL(DFAL_E_MEMORY, "out of memory: %zu bytes are not available", bytes);
    uintptr_t address = ((uintptr_t)raw + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *pointer = raw + (address - (uintptr_t)raw);
    *header_of(pointer) = (struct header){raw, bytes};
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&total_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, (int64_t)bytes, memory_order_relaxed);
    *out = pointer;
    return DFAL_OK;
}

dfal_status df_alloc(void *out_pointer, int64_t count, size_t size)
{
    void *pointer;
    dfal_status status = allocate(&pointer, count, size);
    memcpy(out_pointer, &pointer, sizeof pointer);
    return status;
}

dfal_status df_resize(void *pointer_to_pointer, int64_t old_count, int64_t count, size_t size)
{
    void *old, *grown;
    memcpy(&old, pointer_to_pointer, sizeof old);
    DF_TRY(allocate(&grown, count, size));
    if (old) {
        size_t keep = (size_t)(old_count < count ? old_count : count) * size;
        size_t held = header_of(old)->bytes;
        memcpy(grown, old, keep < held ? keep : held);
        df_free(old);
    }
    memcpy(pointer_to_pointer, &grown, sizeof grown);
    return DFAL_OK;
}

dfal_status df_reserve(void *pointer_to_array, int64_t *capacity, int64_t count, size_t size)
{
    if (count <= *capacity)
        return DFAL_OK;
    DF_TRY(df_resize(pointer_to_array, *capacity, count, size));
    *capacity = count;
    return DFAL_OK;
}

dfal_status df_grow(void *pointer_to_array, int64_t *capacity, int64_t count, size_t size, int64_t first)
{
    if (count <= *capacity)
        return DFAL_OK;
    int64_t room = first;
    if (*capacity > 0 && __builtin_mul_overflow(*capacity, 2, &room))
        room = count;
    return df_reserve(pointer_to_array, capacity, room > count ? room : count, size);
}

void df_free(void *pointer)
{
    if (!pointer)
        return;
    const struct header header = *header_of(pointer);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, (int64_t)header.bytes, memory_order_relaxed);
    free(header.raw);
}

dfal_status df_strdup(char **out, const char *text)
{
    size_t length = strlen(text);
    DF_TRY(df_alloc(out, (int64_t)length + 1, 1));
    memcpy(*out, text, length + 1);
    return DFAL_OK;
}

void df_strings_free(char **strings, int64_t count)
{
    for (int64_t i = 0; strings && i < count; i++)
        df_free(strings[i]);
    df_free(strings);
}

dfal_status df_strings_copy(char ***out, char *const *strings, int64_t count)
{
    char **copy = NULL;
    *out = NULL;
    if (!strings)
        return DFAL_OK;
    dfal_status status = df_alloc(&copy, count, sizeof *copy);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++)
        status = df_strdup(&copy[i], strings[i]);
    if (status == DFAL_OK)
        *out = copy;
    else
        df_strings_free(copy, count);
    return status;
}

dfal_status df_format(char **out, const char *format, ...)
{
    *out = NULL;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = df_vprint(NULL, 0, format, arguments);
    dfal_status status = DFAL_OK;
    if (length < 0)
        status = df_fail(DFAL_E_INTERNAL, "cannot format text with '%s'", format);
    if (status == DFAL_OK)
        status = df_alloc(out, (int64_t)length + 1, 1);
    if (status == DFAL_OK)
        df_vprint(*out, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return status;
}

int64_t df_alloc_live(void)
{
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}

int64_t df_alloc_total(void)
{
    return atomic_load_explicit(&total_count, memory_order_relaxed);
}

/* VmHWM rather than getrusage's ru_maxrss, which outlives exec: it may be the size of whoever started the
 * program. */
int64_t df_memory_peak(void)
{
    char line[128];
    long long kibi = 0;
    struct rusage usage;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && kibi == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld kB", &kibi) != 1)
            kibi = 0;
    if (file)
        fclose(file);
    if (kibi == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kibi = usage.ru_maxrss;
    return (int64_t)kibi * 1024;
}

bool df_memory_may_execute(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return true; /* something else is wrong */
    const bool may = mprotect(memory, page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
    munmap(memory, page);
    return may;
}

static int64_t resident(void)
{
    long long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%lld %lld", &size, &pages) != 2)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

int64_t df_memory_held(void)
{
    const int64_t touched = resident(), taken = atomic_load_explicit(&live_bytes, memory_order_relaxed);
    return touched > taken ? touched : taken;
}

void dfal_string_free(char *string)
{
    df_free(string);
}
