/* SPDX-License-Identifier: Apache-2.0 */
/* Members in shared objects (base/shared_object.h): libdfal_mpi.so, beside libdfal. */
#ifndef DF_COMM_MEMBER_H
#define DF_COMM_MEMBER_H

#include "base/shared_object.h"
#include "comm/comm.h"

enum { DF_COMM_ABI = 2 };
#define DF_COMM_ENTRY "dfal_comm_entry"
struct df_comm_object {
    int32_t abi; /* first: df_object_load compares it */
    /* Join the other ranks. watch is copied, its user borrowed until close. */
    dfal_status (*open)(struct df_comm **out, const struct df_comm_watch *watch);
};

/* Load the object of a member. Errors   E_UNAVAILABLE with the loader's reason */
dfal_status df_comm_object_load(const struct df_comm_object **object, const char *name);

#endif
