/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel lets this process use: read from /proc and the cgroup files, version 1 and 2. */
#ifndef DF_BASE_LIMITS_H
#define DF_BASE_LIMITS_H

#include "base/status.h"

struct df_limits {
    double cpus;    /* the tightest quota on the way to the root; 0: none */
    int64_t memory; /* bytes available: the host's, cut by every cgroup above; 0: unknown */
};

/* Read below root ("" for the real files; a test gives a folder that holds proc/ and sys/). */
void df_limits_read(struct df_limits *limits, const char *root);

#endif
