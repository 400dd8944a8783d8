/* SPDX-License-Identifier: Apache-2.0 */
/* OUT.parts: the folder of finished work beside an unfinished output. One process at a time holds it, and
 * nothing that dfal did not write is ever removed from it. */
#ifndef DF_BASE_PARTS_H
#define DF_BASE_PARTS_H

#include "base/signature.h"

#define DF_PARTS_SUFFIX ".parts" /* behind OUT */
struct df_parts {
    char *folder; /* OUT.parts */
    int fd;       /* the folder, under flock unless it was joined; -1: not open */
    bool shared;  /* other ranks may be writing into it: it is not removed */
};
#define DF_PARTS_NONE ((struct df_parts){.fd = -1})

/* NNNNNN.h5, six digits or more, and its temporaries: the part names of a job cut into rows. */
bool df_parts_is_numbered(const char *name);
/* Any job's parts, their temporaries, and what df_parts_publish leaves: all that is ever removed from
 * OUT.parts. */
bool df_parts_is_own(const char *name);
/* Create or find OUT.parts and hold it until it is closed. ours tells the names this kind of job writes,
 * whose is "parts of a scores file". force removes an earlier dfal job's parts of another kind.
 * Errors   E_EXISTS another process holds it, or it holds a file dfal never writes; E_CONFIG parts of another
 *          kind of job without force; E_IO */
dfal_status df_parts_open(struct df_parts *parts, const char *out_path, bool (*ours)(const char *name),
                          const char *whose, bool force);
/* Several ranks work on one output: the one that holds the folder signs it, the others join it
 * (signature.h). */
dfal_status df_parts_sign(const struct df_parts *parts, char signature[DF_SIGNATURE]);
dfal_status df_parts_join(struct df_parts *parts, const char *out_path, const char signature[DF_SIGNATURE]);
void df_parts_unsign(const struct df_parts *parts);
/* The numbers of the parts that are whole, ascending (df_free). */
dfal_status df_parts_numbers(const struct df_parts *parts, int64_t **numbers, int64_t *count);
/* Remove every part, temporaries too; the folder goes when it is closed. */
dfal_status df_parts_clear(const struct df_parts *parts);
/* The output is about to get its name. Whoever finds the parts of a job that was killed before it could clear
 * them then knows whether they have become the output (df_parts_sweep) or are unfinished work. Where it
 * cannot be noted, they stay. */
void df_parts_publish(const struct df_parts *parts);
/* Whether the parts beside an output have become it, and only a kill has left them there. */
bool df_parts_are_published(const char *out_path);
/* Whether finished parts stand beside an output, of this job or an earlier start of it, that have not become
 * it: the same line continues from them. */
bool df_parts_are_left(const char *out_path);
/* A job ends with this status. Where it was stopped and finished parts are left, perhaps of an earlier start,
 * its context tells that work is kept. */
void df_parts_tell_kept(struct dfal_context *context, dfal_status status, const char *out_path);
/* Remove the parts beside a finished output that they have become; nothing where somebody holds them. */
void df_parts_sweep(const char *out_path);
/* Let go; a folder without parts is removed, unless it is shared. */
void df_parts_close(struct df_parts *parts);

#endif
