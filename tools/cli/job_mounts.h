/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that a job in a container has to see, each under its own name. */
#ifndef DFAL_TOOLS_JOB_MOUNTS_H
#define DFAL_TOOLS_JOB_MOUNTS_H

#include "command.h"

enum { MOST_MOUNTS = 64 };
struct job_mounts {
    char *folders[MOST_MOUNTS];
    int32_t count;
};
/* A folder, by its whole path; nothing where it lies in one that is there. Errors   E_USAGE a name that a
 * list of mounts cannot hold; E_MEMORY */
dfal_status job_mounts_add_folder(struct job_mounts *mounts, const char *folder);
/* The folder that a path names a file of, and the one in which a link to it ends. */
dfal_status job_mounts_add(struct job_mounts *mounts, const char *path);
/* A,B or, in pairs, A:A,B:B as one word of bash; free gives it back. NULL: no memory */
char *job_mounts_word(const struct job_mounts *mounts, bool pairs);
void job_mounts_clear(struct job_mounts *mounts);

#endif
