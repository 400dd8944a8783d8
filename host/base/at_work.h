/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a job is at work on an output now, for who only looks. Trying a job's flock would take it for a
 * moment, in which a job that begins were refused. So whoever holds an output marks the file that he holds by
 * a lock of another kind as well, for which the kernel can be asked. */
#ifndef DF_BASE_AT_WORK_H
#define DF_BASE_AT_WORK_H

#include "base/file.h"

/* Behind OUT: what the owner of an output holds (claim.h). It looks like a temporary, and is swept like
 * one. */
#define DF_OWNER_SUFFIX DF_TEMPORARY_MARK "locked"

/* Mark an open file until it is closed. Where a file system has no locks, nobody can tell. */
void df_at_work_mark(int fd);

enum df_at_work { DF_AT_WORK_UNKNOWN, DF_AT_WORK_NO, DF_AT_WORK_YES };
/* Look at the file that an owner would hold, which may be missing. No is told of a file system of this host
 * alone: another host's locks may not be seen here. */
enum df_at_work df_at_work_look(const char *path);

#endif
