/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compare.h"
#include "base/context.h"
#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"

static bool ends_or_is_temporary(const char *rest)
{
    return *rest == 0 || strncmp(rest, DF_TEMPORARY_MARK, sizeof DF_TEMPORARY_MARK - 1) == 0;
}

bool df_parts_is_numbered(const char *name)
{
    const size_t digits = strspn(name, "0123456789");
    return digits >= 6 && strncmp(name + digits, ".h5", 3) == 0 && ends_or_is_temporary(name + digits + 3);
}

/* Written when everything is there and the output is about to get its name; it tells what stood at the output
 * then. */
static const char marker[] = "publishing";

static bool is_marker(const char *name)
{
    return strcmp(name, marker) == 0;
}

bool df_parts_is_own(const char *name)
{
    return df_parts_is_numbered(name) || is_marker(name) || strcmp(name, DF_SIGNATURE_NAME) == 0 ||
           (strncmp(name, "state.h5", 8) == 0 && ends_or_is_temporary(name + 8));
}

typedef dfal_status visit_fn(const struct df_parts *parts, const char *name, void *user);

static dfal_status visit(const struct df_parts *parts, visit_fn *each, void *user)
{
    int fd = dup(parts->fd);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return df_fail_errno(error, true, parts->folder, "reading the folder");
    }
    rewinddir(directory); /* the copy shares its position */
    dfal_status status = DFAL_OK;
    for (struct dirent *entry; status == DFAL_OK && (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = each(parts, entry->d_name, user);
    closedir(directory);
    return status;
}

struct kind {
    bool (*ours)(const char *name);
    const char *whose;
    bool force;
};

static dfal_status check(const struct df_parts *parts, const char *name, void *user)
{
    const struct kind *kind = user;
    if (kind->ours(name) || is_marker(name) || strcmp(name, DF_SIGNATURE_NAME) == 0)
        return DFAL_OK;
    if (!df_parts_is_own(name))
        DF_FAIL(DFAL_E_EXISTS,
                "%s holds '%s', which dfal did not write, expected %s or nothing: move it away, or choose "
                "another output",
                parts->folder, name, kind->whose);
    if (!kind->force)
        DF_FAIL(DFAL_E_CONFIG,
                "%s holds '%s', unfinished work of another job, expected %s; `force` starts anew",
                parts->folder, name, kind->whose);
    return DFAL_OK;
}

static dfal_status remove_foreign(const struct df_parts *parts, const char *name, void *user)
{
    const struct kind *kind = user;
    if (!kind->ours(name) && !is_marker(name) && unlinkat(parts->fd, name, 0) != 0 && errno != ENOENT)
        return df_fail_errno(errno, true, parts->folder, "removing another job's parts");
    return DFAL_OK;
}

static dfal_status remove_part(const struct df_parts *parts, const char *name, void *user)
{
    (void)user;
    if (df_parts_is_own(name) && !is_marker(name) && unlinkat(parts->fd, name, 0) != 0 && errno != ENOENT)
        return df_fail_errno(errno, true, parts->folder, "removing finished parts");
    return DFAL_OK;
}

/* Open and lock; *gone: whoever held it last has removed the folder meanwhile. */
static dfal_status hold(struct df_parts *parts, bool *gone)
{
    bool named = false;
    *gone = false;
    DF_TRY(df_folder_create(parts->folder));
    parts->fd = df_descriptor(open(parts->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parts->fd < 0 && errno == ENOENT) {
        *gone = true;
        return DFAL_OK;
    }
    if (parts->fd < 0)
        return df_fail_errno(errno, true, parts->folder, "opening the folder");
    /* No harm where a file system has no locks. */
    if (!df_file_lock(parts->fd) && errno == EWOULDBLOCK)
        DF_FAIL(DFAL_E_EXISTS, "%s: another process is working on this output, expected an output of its own",
                parts->folder);
    DF_TRY(df_file_has_name(&named, parts->fd, parts->folder));
    *gone = !named;
    return DFAL_OK;
}

static void let_go(struct df_parts *parts)
{
    if (parts->fd >= 0)
        close(parts->fd);
    parts->fd = -1;
}

dfal_status df_parts_open(struct df_parts *parts, const char *out_path, bool (*ours)(const char *name),
                          const char *whose, bool force)
{
    struct kind kind = {ours, whose, force};
    bool gone = true;
    dfal_status status;
    *parts = DF_PARTS_NONE;
    DF_TRY(df_format(&parts->folder, "%s" DF_PARTS_SUFFIX, out_path));
    while (gone) {
        let_go(parts);
        DF_TRY_TO(done, status, hold(parts, &gone));
    }
    DF_TRY_TO(done, status, visit(parts, check, &kind));
    if (force)
        status = visit(parts, remove_foreign, &kind);
done:
    if (status != DFAL_OK) {
        let_go(parts);
        df_free(parts->folder);
        parts->folder = NULL;
    }
    return status;
}

/* ---- Several ranks ---------------------------------------------------------------------------- */

dfal_status df_parts_sign(const struct df_parts *parts, char signature[DF_SIGNATURE])
{
    return df_folder_sign(parts->fd, parts->folder, signature);
}

void df_parts_unsign(const struct df_parts *parts)
{
    df_folder_unsign(parts->fd);
}

dfal_status df_parts_join(struct df_parts *parts, const char *out_path, const char signature[DF_SIGNATURE])
{
    *parts = DF_PARTS_NONE;
    DF_TRY(df_format(&parts->folder, "%s" DF_PARTS_SUFFIX, out_path));
    const dfal_status status = df_folder_find(&parts->fd, parts->folder, signature);
    parts->shared = status == DFAL_OK;
    if (status != DFAL_OK) {
        df_free(parts->folder);
        *parts = DF_PARTS_NONE;
    }
    return status;
}

struct numbers {
    int64_t *list, count, capacity;
};

static dfal_status take_number(const struct df_parts *parts, const char *name, void *user)
{
    struct numbers *numbers = user;
    const size_t digits = strspn(name, "0123456789");
    enum { MOST_DIGITS = 18 };
    (void)parts;
    if (digits < 6 || digits > MOST_DIGITS || strcmp(name + digits, ".h5") != 0)
        return DFAL_OK;
    DF_TRY(df_grow(&numbers->list, &numbers->capacity, numbers->count + 1, sizeof *numbers->list, 64));
    numbers->list[numbers->count++] = strtoll(name, NULL, 10);
    return DFAL_OK;
}

dfal_status df_parts_numbers(const struct df_parts *parts, int64_t **list, int64_t *count)
{
    struct numbers numbers = {0};
    *list = NULL;
    *count = 0;
    const dfal_status status = visit(parts, take_number, &numbers);
    if (status != DFAL_OK) {
        df_free(numbers.list);
        return status;
    }
    if (numbers.count > 0)
        qsort(numbers.list, (size_t)numbers.count, sizeof *numbers.list, df_compare_integers);
    *list = numbers.list;
    *count = numbers.count;
    return DFAL_OK;
}

/* The marker goes last: a kill in the middle is then still known for what it is. */
dfal_status df_parts_clear(const struct df_parts *parts)
{
    DF_TRY(visit(parts, remove_part, NULL));
    if (unlinkat(parts->fd, marker, 0) != 0 && errno != ENOENT)
        return df_fail_errno(errno, true, parts->folder, "removing finished parts");
    return DFAL_OK;
}

/* ---- Published or not ------------------------------------------------------------------------- */

enum { IDENTITY_SIZE = 128 };

static void identify(char text[IDENTITY_SIZE], const struct df_parts *parts)
{
    struct stat facts;
    const size_t length = strlen(parts->folder) - (sizeof DF_PARTS_SUFFIX - 1);
    char *out;
    if (df_format(&out, "%.*s", (int)length, parts->folder) != DFAL_OK || lstat(out, &facts) != 0)
        snprintf(text, IDENTITY_SIZE, "nothing\n");
    else
        snprintf(text, IDENTITY_SIZE, "%ju %ju %jd %jd.%09ld\n", (uintmax_t)facts.st_dev,
                 (uintmax_t)facts.st_ino, (intmax_t)facts.st_size, (intmax_t)facts.st_mtim.tv_sec,
                 facts.st_mtim.tv_nsec);
    df_free(out);
}

void df_parts_publish(const struct df_parts *parts)
{
    char text[IDENTITY_SIZE];
    identify(text, parts);
    const int fd = df_file_make(parts->fd, marker, O_WRONLY | O_TRUNC);
    if (fd < 0)
        return;
    const ssize_t length = (ssize_t)strlen(text);
    if (write(fd, text, (size_t)length) != length)
        (void)unlinkat(parts->fd, marker, 0);
    close(fd);
}

/* Whether another file stands at the output than when it was about to get its name. */
static bool is_published(const struct df_parts *parts)
{
    char then[IDENTITY_SIZE] = "", now[IDENTITY_SIZE];
    const int fd = openat(parts->fd, marker, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, then, sizeof then - 1);
    close(fd);
    identify(now, parts);
    return got > 0 && then[got - 1] == '\n' && strcmp(then, now) != 0 && strncmp(now, "nothing", 7) != 0;
}

bool df_parts_are_published(const char *out_path)
{
    struct df_parts parts = DF_PARTS_NONE;
    bool published = false;
    if (df_format(&parts.folder, "%s" DF_PARTS_SUFFIX, out_path) != DFAL_OK)
        return false;
    parts.fd = open(parts.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parts.fd >= 0)
        published = is_published(&parts);
    let_go(&parts);
    df_free(parts.folder);
    return published;
}

static bool is_finished_part(const char *name)
{
    return df_parts_is_own(name) && df_name_ends(name, ".h5");
}

bool df_parts_are_left(const char *out_path)
{
    char *folder;
    if (df_format(&folder, "%s" DF_PARTS_SUFFIX, out_path) != DFAL_OK)
        return false;
    const bool left = df_folder_holds(folder, is_finished_part) && !df_parts_are_published(out_path);
    df_free(folder);
    return left;
}

void df_parts_tell_kept(struct dfal_context *context, dfal_status status, const char *out_path)
{
    if (status == DFAL_E_STOPPED && df_parts_are_left(out_path))
        context->kept_work = true;
}

void df_parts_sweep(const char *out_path)
{
    struct df_parts parts = DF_PARTS_NONE;
    char message[DF_MESSAGE_SIZE];
    bool gone = true;
    df_message_get(message);
    if (df_format(&parts.folder, "%s" DF_PARTS_SUFFIX, out_path) == DFAL_OK &&
        df_folder_exists(parts.folder) && hold(&parts, &gone) == DFAL_OK && !gone && is_published(&parts))
        (void)df_parts_clear(&parts);
    df_parts_close(&parts);
    df_message_set(message);
}

void df_parts_close(struct df_parts *parts)
{
    if (parts->fd >= 0 && !parts->shared)
        (void)rmdir(parts->folder); /* still held: nobody else has put anything into it */
    let_go(parts);
    df_free(parts->folder);
    *parts = DF_PARTS_NONE;
}
