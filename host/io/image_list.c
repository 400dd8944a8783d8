/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/image.h"

enum { DEEPEST = 64 };

void df_image_list_clear(struct df_image_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        df_free(list->entries[i].id);
        df_free(list->entries[i].path);
    }
    for (int32_t i = 0; list->classes && i < list->class_count; i++)
        df_free(list->classes[i]);
    df_free(list->classes);
    df_free(list->entries);
    df_free(list->root);
    memset(list, 0, sizeof *list);
}

dfal_status df_image_list_path(char **path, const struct df_image_list *list, int64_t row)
{
    const struct df_image_entry *entry = &list->entries[row];
    const char *name = entry->path ? entry->path : entry->id;
    if (name[0] == '/')
        return df_strdup(path, name);
    return df_format(path, "%s/%s", list->root, name);
}

dfal_status df_image_list_look(const struct df_image_list *list, int64_t begin, int64_t end,
                               struct df_row_sum *sum)
{
    *sum = (struct df_row_sum){0};
    for (int64_t row = begin; row < end; row++) {
        char *path;
        struct stat file;
        DF_TRY(df_image_list_path(&path, list, row));
        const bool there = stat(path, &file) == 0;
        df_free(path);
        const int64_t look[] = {there ? file.st_size : 0, there ? file.st_mtim.tv_sec : 0,
                                there ? file.st_mtim.tv_nsec : 0};
        df_row_sum_take(sum, look, sizeof look, row);
    }
    return DFAL_OK;
}

void df_image_list_digest(const struct df_image_list *list, char digest[65])
{
    struct df_digest sum;
    df_digest_begin(&sum);
    df_digest_add_i64(&sum, list->count);
    for (int64_t i = 0; i < list->count; i++) {
        const struct df_image_entry *entry = &list->entries[i];
        df_digest_add_text(&sum, entry->id);
        df_digest_add_text(&sum, entry->path ? entry->path : entry->id);
    }
    df_digest_end(&sum, digest);
}

/* ---- folders ------------------------------------------------------------------------------------------- */

/* The folders from the root down to the one being read. */
struct trail {
    const struct trail *up;
    dev_t device;
    ino_t number;
    int depth;
};

static dfal_status walk(struct df_image_list *list, int fd, const char *prefix, const struct trail *up);

static dfal_status take(struct df_image_list *list, int fd, const char *name, const char *prefix,
                        const struct trail *trail)
{
    struct stat facts;
    char *relative;
    dfal_status status = DFAL_OK;
    if (name[0] == '.') {
        list->hidden += strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        return DFAL_OK;
    }
    DF_TRY(df_format(&relative, "%s%s", prefix, name));
    /* A link that leads nowhere is listed by its name, and fails when it is read. */
    if (fstatat(fd, name, &facts, 0) == 0 && S_ISDIR(facts.st_mode)) {
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
        int error = errno;
        df_free(relative);
        DF_TRY(df_format(&relative, "%s%s/", prefix, name));
        status = below < 0 ? df_fail(DFAL_E_NOINPUT, "%s/%s cannot be read: %s", list->root, relative,
                                     strerror(error))
                           : walk(list, below, relative, trail);
    } else if (df_image_is_named(name)) {
        status = df_image_list_add(list, relative, NULL, 0);
    } else {
        list->other_files++;
    }
    df_free(relative);
    return status;
}

/* Takes fd over. */
static dfal_status walk(struct df_image_list *list, int fd, const char *prefix, const struct trail *up)
{
    struct stat facts;
    DIR *folder = fstat(fd, &facts) == 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        int error = errno;
        close(fd);
        DF_FAIL(DFAL_E_IO, "%s/%s cannot be read: %s", list->root, prefix, strerror(error));
    }
    const struct trail trail = {up, facts.st_dev, facts.st_ino, up ? up->depth + 1 : 0};
    dfal_status status = DFAL_OK;
    bool loop = false;
    for (const struct trail *above = up; above && !loop; above = above->up)
        loop = above->device == trail.device && above->number == trail.number;
    list->loops += loop;
    if (!loop && trail.depth > DEEPEST)
        status = df_fail(DFAL_E_DATA, "%s/%s lies deeper than %d folders, expected at most that", list->root,
                         prefix, DEEPEST);
    while (status == DFAL_OK && !loop) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno)
            status = df_fail(DFAL_E_IO, "%s/%s cannot be read: %s", list->root, prefix, strerror(errno));
        if (!entry)
            break;
        status = take(list, dirfd(folder), entry->d_name, prefix, &trail);
    }
    closedir(folder);
    return status;
}

static dfal_status read_folder(struct df_image_list *list, const char *source)
{
    size_t length = strlen(source);
    while (length > 1 && source[length - 1] == '/')
        length--;
    DF_TRY(df_format(&list->root, "%.*s", (int)length, source));
    int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return df_fail_errno(errno, false, source, "opening the folder");
    DF_TRY(walk(list, fd, "", NULL));
    if (list->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s holds no file that ends in " DF_IMAGE_NAMES " (%lld other files)", source,
                (long long)list->other_files);
    return DFAL_OK;
}

/* ---- labels -------------------------------------------------------------------------------------------- */

/* The first folder of a path; a file outside of one has no class. */
static dfal_status label_by_folder(struct df_image_list *list, const char *source)
{
    char **words;
    dfal_status status = DFAL_OK;
    bool any = false;
    DF_TRY(df_alloc(&words, list->count, sizeof *words));
    for (int64_t i = 0; i < list->count && status == DFAL_OK; i++) {
        const char *name = list->entries[i].path ? list->entries[i].path : list->entries[i].id;
        while (name[0] == '.' && name[1] == '/') /* as `find .` writes it */
            name += 2;
        const char *slash = strchr(name, '/');
        if (slash && slash > name) {
            status = df_format(&words[i], "%.*s", (int)(slash - name), name);
            any = true;
        }
    }
    if (status == DFAL_OK && !any)
        status = df_fail(DFAL_E_DATA,
                         "%s has no picture inside a folder, expected one folder a class: the first of a "
                         "path that does not begin with /",
                         source);
    if (status == DFAL_OK)
        status = df_image_list_label(list, (const char *const *)words, source, true);
    for (int64_t i = 0; i < list->count; i++)
        df_free(words[i]);
    df_free(words);
    return status;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct df_image_entry *)a)->id, ((const struct df_image_entry *)b)->id);
}

static dfal_status sort(struct df_image_list *list, const char *source)
{
    qsort(list->entries, (size_t)list->count, sizeof *list->entries, by_id);
    for (int64_t i = 1; i < list->count; i++)
        if (by_id(&list->entries[i - 1], &list->entries[i]) == 0) {
            const int64_t a = list->entries[i - 1].line, b = list->entries[i].line;
            DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' stands in line %lld as well, expected each once", source,
                    (long long)(a > b ? a : b), list->entries[i].id, (long long)(a > b ? b : a));
        }
    return DFAL_OK;
}

dfal_status df_image_list_read(struct df_image_list *list, const char *source, bool folders_are_classes,
                               const char *class_names)
{
    bool labelled = false;
    memset(list, 0, sizeof *list);
    if (class_names)
        DF_TRY(df_image_list_name(list, class_names));
    if (df_folder_exists(source))
        DF_TRY(read_folder(list, source));
    else
        DF_TRY(df_image_list_parse(list, source, &labelled));
    if (folders_are_classes && labelled)
        DF_FAIL(DFAL_E_USAGE,
                "%s has a column label and `folders_are_classes` is given, expected one of them", source);
    if (folders_are_classes)
        DF_TRY(label_by_folder(list, source));
    return sort(list, source);
}
