/* SPDX-License-Identifier: Apache-2.0 */
/* Results in completion order, collected by shard. One thread at a time. */
#ifndef DF_JOB_SINK_H
#define DF_JOB_SINK_H

#include "job/output.h"

struct df_shard_sink {
    const struct df_shards *shards;
    struct df_output *output;
    struct df_shard_rows *open; /* shards that lack rows, the one used last in front */
};
void df_shard_sink_init(struct df_shard_sink *sink, const struct df_shards *shards, struct df_output *output);
void df_shard_sink_clear(struct df_shard_sink *sink);
/* Where the values of a row of the pool go: entry *at of *rows, whose index is set. The caller stores them,
 * then calls df_shard_sink_stored, which hands a shard to the output when its last row has come.
 * Errors   what has stopped the output; E_MEMORY */
dfal_status df_shard_sink_row(struct df_shard_sink *sink, int64_t row, struct df_rows **rows, int64_t *at);
void df_shard_sink_stored(struct df_shard_sink *sink);

#endif
