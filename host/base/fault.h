/* SPDX-License-Identifier: Apache-2.0 */
/* Make the n-th allocation or file operation of a kind fail: only tests call df_fault_arm. */
#ifndef DF_BASE_FAULT_H
#define DF_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum df_fault {
    DF_FAULT_ALLOC,
    DF_FAULT_OPEN,
    DF_FAULT_READ,
    DF_FAULT_WRITE,
    DF_FAULT_FLUSH,
    DF_FAULT_CLOSE,
    DF_FAULT_FSYNC,
    DF_FAULT_RENAME,
    DF_FAULT_FLAGS, /* renameat2 as of a file system that cannot do it */
    DF_FAULT_LOCK,  /* flock as of a file system without locks */
    DF_FAULT_COUNT,
    DF_FAULT_LACKS =
        DF_FAULT_FLAGS /* from here on: what a file system may lack, which is no failure of a job */
};

/* Let the n-th (1-based) operation of this kind from now on fail once; n = 0 disarms. */
void df_fault_arm(enum df_fault kind, int64_t n);
/* Operations of this kind seen since the last arm (so a test knows when to stop counting up). */
int64_t df_fault_seen(enum df_fault kind);
/* Asked by the operation itself: true when it has to fail now. errno is left to the caller. */
bool df_fault_hits(enum df_fault kind);

#endif
