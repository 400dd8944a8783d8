/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an input that is read over time is still the file that was opened. */
#ifndef DF_BASE_FILE_MARK_H
#define DF_BASE_FILE_MARK_H

#include "base/status.h"

struct df_file_mark {
    int64_t size, seconds, nanoseconds; /* the last two: when it was last modified */
    uint64_t device, inode;
};
/* What an open file looks like now. Errors   E_IO */
dfal_status df_file_mark(struct df_file_mark *mark, int fd, const char *path);
/* Whether path leads to the open file or folder: for a lock, whose last owner may have removed what he had
 * locked. Missing is no. Errors   E_IO it cannot be told, which must not be taken for no: who asks asks again
 * until it is yes */
dfal_status df_file_has_name(bool *has, int fd, const char *path);
/* Compare the open file with its mark, and what its name leads to with both; by_name off: the name is one for
 * messages.
 * Errors   E_IO it became shorter or longer, was written to, replaced or removed */
dfal_status df_file_unchanged(const struct df_file_mark *mark, int fd, const char *path, bool by_name);

#endif
