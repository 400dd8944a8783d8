/* SPDX-License-Identifier: Apache-2.0 */
/* The closest Q as a row job's work. */
#ifndef DF_SCORE_CLOSEST_JOB_H
#define DF_SCORE_CLOSEST_JOB_H

#include "job/sink.h"
#include "score/closest.h"

/* How many of so many rows a rank has at most: how its shards are cut may not be known yet. */
int64_t df_closest_room(const struct df_comm *comm, int64_t rows);
/* Find them, and store a result for each row of the stream; of several ranks each has the shards that are
 * dealt to it (df_job_maker), and spec's comm is the job's. Results come when all is done, so a job that is
 * killed before begins anew; killed later it does so, too, but for the shards that it has written: who is
 * among the closest, all rows tell together. */
dfal_status df_closest_run(struct df_closest *closest, struct df_deepfool_engine *engine,
                           struct df_row_stream *stream, struct df_shard_sink *shards,
                           struct df_progress *progress);
/* What the file says of it: attributes closest_margin, deepfool_rows and of a cascade audited, audit_found,
 * recall. */
dfal_status df_closest_record(const struct df_closest *closest, struct df_rows_writer *writer);

#endif
