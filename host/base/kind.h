/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is that is not what was expected, and what can be done about it. */
#ifndef DF_BASE_KIND_H
#define DF_BASE_KIND_H

#include "base/status.h"

struct df_kind {
    const char *what,
        *advice; /* "an array of numpy (.npy)", "dfal import npy makes a pool of it"; "": nothing to say */
};
/* What dfal reads is told apart by this; the first: missing, a folder or a special file. */
enum df_file_type { DF_FILE_NONE, DF_FILE_OTHER, DF_FILE_HDF5, DF_FILE_ONNX, DF_FILE_CSV };
/* Look at the first and last bytes of a file, or into a folder. what NULL: nothing known, as of missing,
 * empty and special files. Errors   E_MEMORY */
dfal_status df_file_kind(struct df_kind *kind, enum df_file_type *type, const char *path);
/* E_DATA "PATH is WHAT, expected EXPECTED; ADVICE" where the kind is known; else OK, for the caller's own
 * sentence, and so where EXPECTED names that very kind: the caller knows better what is wrong with it. */
dfal_status df_refuse_kind(const char *path, const char *expected);

#endif
