/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for files that another program reads and writes by name: under /tmp, closed to others, removed
 * with all that is in it. */
#ifndef DF_BASE_SCRATCH_H
#define DF_BASE_SCRATCH_H

#include "base/status.h"

/* Zero-initialise. */
struct df_scratch {
    char *path; /* NULL: none */
    int lock;   /* of a folder that is somebody's */
};
/* Make one. Those of processes that were killed are removed first. Errors   E_EXISTS, E_IO, E_MEMORY */
dfal_status df_scratch_open(struct df_scratch *scratch);
void df_scratch_close(struct df_scratch *scratch);

#endif
