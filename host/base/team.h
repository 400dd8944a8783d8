/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed team of threads. Work is cut by the caller in a way that does not depend on the team's size. */
#ifndef DF_BASE_TEAM_H
#define DF_BASE_TEAM_H

#include "base/status.h"

struct df_team;
/* One job; worker is 0..size-1 and serves to pick per-thread memory. */
typedef dfal_status df_team_fn(void *arg, int64_t job, int32_t worker);

dfal_status df_team_create(struct df_team **out, int32_t size);
void df_team_destroy(struct df_team *team);
/* Run jobs 0..count-1, each once, in any order; the calling thread is worker 0. Returns the error of the
 * lowest failing job, its message copied to the caller; jobs not yet begun are dropped after an error.
 * Order    results must not depend on it.   Threads  one call at a time a team */
dfal_status df_team_run(struct df_team *team, df_team_fn *fn, void *arg, int64_t count);

#endif
