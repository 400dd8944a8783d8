/* SPDX-License-Identifier: Apache-2.0 */
/* Links: devices of several processes that a library of their maker joins, as NCCL joins GPUs. What one
 * device has goes to the others without passing through memory of the host.
 *
 * Collective: every member makes the same call, in the same order, on any queue of its own. A call waits
 * until its result is there. It asks `check` meanwhile, and where that gives an error the link is cut: this
 * call and all later ones fail, and the other members' calls with them, once they ask. */
#ifndef DF_BACKEND_LINK_H
#define DF_BACKEND_LINK_H

#include "backend/backend.h"

enum { DF_LINK_ID = 128, DF_LINK_TEXT = 32 };

struct df_link_desc {
    unsigned char id[DF_LINK_ID]; /* of link_id, asked by one member and sent to the others */
    int32_t rank, size;           /* of this member, of 0..size-1 */
    /* In the thread that waits, many times a second. Errors   any: the wait ends with it */
    dfal_status (*check)(void *user);
    void *user;
};

#endif
