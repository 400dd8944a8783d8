/* SPDX-License-Identifier: Apache-2.0 */
#include "job_mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job_script.h"

static dfal_status no_memory(void)
{
    return usage_error(DFAL_E_MEMORY, "out of memory while listing the mounts of a container");
}

static bool lies_in(const char *path, const char *folder)
{
    const size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

dfal_status job_mounts_add_folder(struct job_mounts *mounts, const char *folder)
{
    for (int32_t i = 0; i < mounts->count; i++)
        if (lies_in(folder, mounts->folders[i]))
            return DFAL_OK;
    if (strpbrk(folder, ",:") != NULL || !job_can_hold(folder))
        return usage_error(DFAL_E_USAGE,
                           "the folder %s cannot be mounted in a container, expected a name without commas, "
                           "colons and control characters",
                           folder);
    if (mounts->count == MOST_MOUNTS)
        return usage_error(DFAL_E_USAGE, "the files lie in more than %d folders, too many for a container",
                           MOST_MOUNTS);
    char *copy = strdup(folder);
    if (copy == NULL)
        return no_memory();
    mounts->folders[mounts->count++] = copy;
    return DFAL_OK;
}

/* Of /a/b/c the folder /a/b. */
static dfal_status add_parent(struct job_mounts *mounts, char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path] = '\0';
    return job_mounts_add_folder(mounts, path);
}

dfal_status job_mounts_add(struct job_mounts *mounts, const char *path)
{
    dfal_status status = DFAL_OK;
    char *whole = path[0] == '/' ? strdup(path) : NULL, *real = realpath(path, NULL);
    if (path[0] == '/')
        status = whole != NULL ? add_parent(mounts, whole) : no_memory();
    if (status == DFAL_OK && real != NULL)
        status = add_parent(mounts, real);
    free(whole);
    free(real);
    return status;
}

char *job_mounts_word(const struct job_mounts *mounts, bool pairs)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return NULL;
    for (int32_t i = 0; i < mounts->count; i++) {
        fprintf(to, "%s%s", i > 0 ? "," : "", mounts->folders[i]);
        if (pairs)
            fprintf(to, ":%s", mounts->folders[i]);
    }
    char *word = fclose(to) == 0 ? job_bash_word(text) : NULL;
    free(text);
    return word;
}

void job_mounts_clear(struct job_mounts *mounts)
{
    for (int32_t i = 0; i < mounts->count; i++)
        free(mounts->folders[i]);
    mounts->count = 0;
}
