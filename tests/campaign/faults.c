/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before the command: one call of a kind fails. Calls are counted from main on; those on descriptors 0
 * to 2 are not.
 * Memory fails dfal only: what HDF5, oneDNN and the C++ library do without it is not this project's.
 *   DFAL_FAULT_KIND=KIND     one of the names below
 *   DFAL_FAULT_CALL=N        the N-th call of that kind, from 1
 *   DFAL_FAULT_ERRNO=E       fails with this; 0: it moves half of the bytes
 *   DFAL_FAULT_ALL=1         and so do all later ones
 *   DFAL_FAULT_COUNTS=FILE   at the end the number of calls of each kind is written there */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind {
    OPEN,
    READ,
    PREAD,
    WRITE,
    PWRITE,
    FSYNC,
    RENAME,
    LINK,
    CLOSE,
    MMAP,
    MALLOC,
    FLOCK,
    FTRUNCATE,
    FCHMOD,
    MKDIR,
    UNLINK,
    STAT,
    OPENDIR,
    FORK,
    THREAD,
    KINDS
};
static const char *const names[KINDS] = {
    "open",   "read",  "pread",     "write",  "pwrite", "fsync",  "rename", "link",    "close", "mmap",
    "malloc", "flock", "ftruncate", "fchmod", "mkdir",  "unlink", "stat",   "opendir", "fork",  "thread"};
static atomic_long calls[KINDS];
static atomic_bool counting;
static int chosen = -1, number;
static long first, all;
static char counts[4096];

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static void write_counts(void)
{
    counting = false;
    FILE *file = counts[0] ? fopen(counts, "w") : NULL;
    for (int i = 0; file && i < KINDS; i++)
        fprintf(file, "%s %ld\n", names[i], (long)calls[i]);
    if (file)
        fclose(file);
}

/* The command ends by this, without what atexit was told. */
void _exit(int code)
{
    if (counts[0])
        write_counts();
    syscall(SYS_exit_group, code);
    __builtin_unreachable();
}

/* Where the code of dfal is: the program and its library. */
static struct {
    uintptr_t begin, end;
} code[8];
static int pieces;

static int add_code(struct dl_phdr_info *object, size_t size, void *nothing)
{
    (void)size, (void)nothing;
    for (int i = 0; i < object->dlpi_phnum && pieces < 8; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) ||
            (object->dlpi_name[0] && !strstr(object->dlpi_name, "libdfal")))
            continue;
        code[pieces].begin = object->dlpi_addr + part->p_vaddr;
        code[pieces].end = code[pieces].begin + part->p_memsz;
        pieces++;
    }
    return 0;
}

static bool is_dfal(const void *caller)
{
    for (int i = 0; i < pieces; i++)
        if ((uintptr_t)caller >= code[i].begin && (uintptr_t)caller < code[i].end)
            return true;
    return false;
}

static int (*real_main)(int, char **, char **);

static int counted_main(int count, char **words, char **environment)
{
    const char *kind = getenv("DFAL_FAULT_KIND"), *call = getenv("DFAL_FAULT_CALL"),
               *error = getenv("DFAL_FAULT_ERRNO"), *after = getenv("DFAL_FAULT_ALL"),
               *path = getenv("DFAL_FAULT_COUNTS");
    for (int i = 0; kind && i < KINDS; i++)
        if (strcmp(kind, names[i]) == 0)
            chosen = i;
    first = call ? atol(call) : 0;
    number = error ? atoi(error) : EIO;
    all = after ? atol(after) : 0;
    if (path) {
        snprintf(counts, sizeof counts, "%s", path);
        atexit(write_counts); /* of a sanitized command */
    }
    dl_iterate_phdr(add_code, NULL);
    counting = true;
    return real_main(count, words, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int count, char **words, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack)
{
    int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void),
                void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = main;
    return real(counted_main, count, words, init, fini, rtld_fini, stack);
}

/* Whether this call is to fail; errno is set. */
static bool fails(enum kind kind)
{
    if (!counting)
        return false;
    const long call = atomic_fetch_add(&calls[kind], 1) + 1;
    if ((int)kind != chosen || first == 0 || (all ? call < first : call != first))
        return false;
    errno = number;
    return true;
}

#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* A transfer that fails moves half, where that is what is asked for and half is something. */
#define MOVE(kind, name, parameters, fd, size, half, same)                                                   \
    ssize_t name parameters                                                                                  \
    {                                                                                                        \
        REAL(ssize_t, name, int, void *, size_t, off_t);                                                     \
        if (fd > 2 && fails(kind)) {                                                                         \
            if (number != 0)                                                                                 \
                return -1;                                                                                   \
            if (size > 1)                                                                                    \
                return half;                                                                                 \
        }                                                                                                    \
        return same;                                                                                         \
    }
MOVE(READ, read, (int fd, void *to, size_t size), fd, size, real(fd, to, size / 2, 0), real(fd, to, size, 0))
MOVE(WRITE, write, (int fd, const void *from, size_t size), fd, size, real(fd, (void *)from, size / 2, 0),
     real(fd, (void *)from, size, 0))
MOVE(PREAD, pread, (int fd, void *to, size_t size, off_t at), fd, size, real(fd, to, size / 2, at),
     real(fd, to, size, at))
MOVE(PREAD, pread64, (int fd, void *to, size_t size, off_t at), fd, size, real(fd, to, size / 2, at),
     real(fd, to, size, at))
MOVE(PWRITE, pwrite, (int fd, const void *from, size_t size, off_t at), fd, size,
     real(fd, (void *)from, size / 2, at), real(fd, (void *)from, size, at))
MOVE(PWRITE, pwrite64, (int fd, const void *from, size_t size, off_t at), fd, size,
     real(fd, (void *)from, size / 2, at), real(fd, (void *)from, size, at))

/* What a program built with _FORTIFY_SOURCE calls instead; the buffer's size is the compiler's business. */
ssize_t __read_chk(int fd, void *to, size_t size, size_t room)
{
    (void)room;
    return read(fd, to, size);
}

ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t room)
{
    (void)room;
    return pread(fd, to, size, at);
}

ssize_t __pread64_chk(int fd, void *to, size_t size, off_t at, size_t room)
{
    (void)room;
    return pread(fd, to, size, at);
}

#define SIMPLE(kind, name, parameters, arguments, ...)                                                       \
    int name parameters                                                                                      \
    {                                                                                                        \
        REAL(int, name, __VA_ARGS__);                                                                        \
        return fails(kind) ? -1 : real arguments;                                                            \
    }
SIMPLE(FSYNC, fsync, (int fd), (fd), int)
SIMPLE(FSYNC, fdatasync, (int fd), (fd), int)
SIMPLE(RENAME, rename, (const char *from, const char *to), (from, to), const char *, const char *)
SIMPLE(RENAME, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
       (a, from, b, to, flags), int, const char *, int, const char *, unsigned)
SIMPLE(LINK, link, (const char *from, const char *to), (from, to), const char *, const char *)
SIMPLE(FLOCK, flock, (int fd, int operation), (fd, operation), int, int)
SIMPLE(FTRUNCATE, ftruncate, (int fd, off_t size), (fd, size), int, off_t)
SIMPLE(FTRUNCATE, ftruncate64, (int fd, off_t size), (fd, size), int, off_t)
SIMPLE(FCHMOD, fchmod, (int fd, mode_t mode), (fd, mode), int, mode_t)
SIMPLE(MKDIR, mkdir, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
SIMPLE(MKDIR, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), int, const char *,
       mode_t)
SIMPLE(UNLINK, unlink, (const char *path), (path), const char *)
SIMPLE(UNLINK, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), int, const char *,
       int)
SIMPLE(UNLINK, rmdir, (const char *path), (path), const char *)
SIMPLE(STAT, fstat, (int fd, struct stat *facts), (fd, facts), int, struct stat *)
SIMPLE(STAT, stat, (const char *restrict path, struct stat *restrict facts), (path, facts), const char *,
       struct stat *)
SIMPLE(STAT, lstat, (const char *restrict path, struct stat *restrict facts), (path, facts), const char *,
       struct stat *)
SIMPLE(OPEN, mkostemp, (char *template, int flags), (template, flags), char *, int)
SIMPLE(OPEN, mkostemp64, (char *template, int flags), (template, flags), char *, int)

int close(int fd)
{
    REAL(int, close, int);
    const bool failed = fd > 2 && fails(CLOSE);
    const int result = real(fd); /* Linux gives the descriptor back even then */
    if (failed)
        errno = number;
    return failed ? -1 : result;
}

#define MODE(mode, flags)                                                                                    \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                     \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode = va_arg(more, mode_t);                                                                         \
        va_end(more);                                                                                        \
    }

int open(const char *path, int flags, ...)
{
    MODE(mode, flags)
    REAL(int, open, const char *, int, mode_t);
    return fails(OPEN) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(mode, flags)
    REAL(int, open, const char *, int, mode_t);
    return fails(OPEN) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(mode, flags)
    REAL(int, openat, int, const char *, int, mode_t);
    return fails(OPEN) ? -1 : real(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(mode, flags)
    REAL(int, openat, int, const char *, int, mode_t);
    return fails(OPEN) ? -1 : real(folder, path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int __open64_2(const char *path, int flags)
{
    return open(path, flags);
}

int __openat_2(int folder, const char *path, int flags)
{
    return openat(folder, path, flags);
}

FILE *fopen(const char *restrict path, const char *restrict mode)
{
    REAL(FILE *, fopen, const char *, const char *);
    return fails(OPEN) ? NULL : real(path, mode);
}

FILE *fopen64(const char *restrict path, const char *restrict mode)
{
    return fopen(path, mode);
}

DIR *opendir(const char *path)
{
    REAL(DIR *, opendir, const char *);
    return fails(OPENDIR) ? NULL : real(path);
}

DIR *fdopendir(int fd)
{
    REAL(DIR *, fdopendir, int);
    return fails(OPENDIR) ? NULL : real(fd);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    return is_dfal(__builtin_return_address(0)) && fails(MMAP)
               ? MAP_FAILED
               : real(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(void *, mmap64, void *, size_t, int, int, int, off_t);
    return is_dfal(__builtin_return_address(0)) && fails(MMAP)
               ? MAP_FAILED
               : real(at, size, protection, flags, fd, offset);
}

pid_t fork(void)
{
    REAL(pid_t, fork, void);
    return fails(FORK) ? -1 : real();
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict how, void *(*what)(void *),
                   void *restrict with)
{
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return fails(THREAD) ? number : real(thread, how, what, with);
}

void *malloc(size_t size)
{
    return is_dfal(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_dfal(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return is_dfal(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_realloc(memory, size);
}
