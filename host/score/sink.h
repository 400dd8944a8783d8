/* SPDX-License-Identifier: Apache-2.0 */
/* Results in completion order, collected by shard. */
#ifndef DF_SCORE_SINK_H
#define DF_SCORE_SINK_H

#include "score/output.h"

/* Hands a shard to the output when its last row has come. */
struct df_shard_sink {
    struct df_sink sink;
    const struct df_shards *shards;
    struct df_output *output;
    struct df_shard_rows *open; /* shards that lack rows, the one used last in front */
};
void df_shard_sink_init(struct df_shard_sink *sink, const struct df_shards *shards, struct df_output *output);
void df_shard_sink_clear(struct df_shard_sink *sink);

#endif
