/* SPDX-License-Identifier: Apache-2.0 */
/* What a job reads and what it writes. No output is a file that the job reads, by whatever name, and an
 * output has one owner from the job's beginning until the file has its name. Every public job names its
 * outputs first, then all it reads, then takes the outputs; what it learns of later (files that a file names)
 * is checked before anything is written. */
#ifndef DF_BASE_CLAIM_H
#define DF_BASE_CLAIM_H

#include <sys/types.h>

#include "base/status.h"

struct df_claim_target;
struct df_claim {
    struct df_claim_target *targets;
    int32_t count;
};
#define DF_CLAIM_NONE ((struct df_claim){0})

/* Name an output, "queries"; path NULL: none. Errors   E_USAGE it is another output, too; E_MEMORY */
dfal_status df_claim_output(struct df_claim *claim, const char *path, const char *what);
/* Name a folder in which files are removed or replaced, at any depth. */
dfal_status df_claim_folder(struct df_claim *claim, const char *path, const char *what);
/* A file that is read; path NULL, or nothing there: fine.
 * Errors   E_USAGE it is an output, or one of the files that an output's temporaries or parts are kept in;
 *          both are named */
dfal_status df_claim_input(const struct df_claim *claim, const char *path);
dfal_status df_claim_inputs(const struct df_claim *claim, const char *const *paths, int32_t count);
/* A pool and its label files. */
dfal_status df_claim_pool(const struct df_claim *claim, const char *path,
                          const struct dfal_pool_options *options);
/* Whether a file that is there could be an output at all: a list of a million need not be looked at. */
bool df_claim_may_clash(const struct df_claim *claim);
/* Own an output that was named: TARGET.tmp.locked is locked until the claim ends (where a file system has no
 * locks, only publishing keeps a second job from replacing the first one's file). What dead jobs have left
 * beside it is removed. path NULL: nothing.
 * Errors   E_EXISTS somebody else owns it, it is there and force is off, or it cannot be written */
dfal_status df_claim_take(struct df_claim *claim, const char *path, bool force);
/* Whether the output was taken, be it only to clean up beside it. */
bool df_claim_owns(const struct df_claim *claim, const char *path);
/* Name the only output of a pool and, unless NULL, a network, and these. */
dfal_status df_claim_files(struct df_claim *claim, const char *out_path, const char *network,
                           const char *pool_path, const struct dfal_pool_options *options);
/* The same, and take the output. */
dfal_status df_claim_job(struct df_claim *claim, const char *out_path, const char *network,
                         const char *pool_path, const struct dfal_pool_options *options, bool force);
void df_claim_end(struct df_claim *claim);

#endif
