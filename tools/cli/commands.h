/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, one file each, and the option rows that several of them share. */
#ifndef DFAL_TOOLS_COMMANDS_H
#define DFAL_TOOLS_COMMANDS_H

#include "command.h"

extern const struct command command_synth, command_import, command_info, command_doctor, command_train,
    command_eval, command_logits, command_score, command_merge, command_select, command_run, command_status,
    command_submit, command_verify, command_bench, command_report;

/* Where a pool's data is found. */
struct pool_args {
    struct dfal_pool_options options;
    struct text_list labels;
};
/* Which rows of it. */
#define ROW_OPTIONS(S, options)                                                                              \
    OPT(S, "range", 0, VALUE_RANGE, options.range_begin, "A:B", "only rows A to B-1"),                       \
        OPT(S, "shard", 0, VALUE_SHARD, options.shard, "K/N",                                                \
            "only the K-th of N parts of the pool, counted from 1")
dfal_status check_rows(int64_t range_begin, int64_t range_end, int32_t shard_count); /* not both */
/* The line of dfal that comes next, for a shell. */
void note_next(struct session *session, const char *const *words, int32_t count);
/* What to do when every shard is there. */
void note_merge(struct session *session, int32_t shard_count, const char *file);
/* The options, with the label files in them; they borrow from args. */
const struct dfal_pool_options *pool_args_options(struct pool_args *args);
#define POOL_OPTIONS(S, pool)                                                                                \
    OPT(S, "labels", 0, VALUE_LIST, pool.labels, "LABELS.csv",                                               \
        "labels laid over the pool's, header id,label[,annotator,seconds,status] (repeatable)",              \
        .reads = true),                                                                                      \
        OPT(S, "samples-name", 0, VALUE_TEXT, pool.options.samples_name, "NAME",                             \
            "dataset of the samples (default samples)"),                                                     \
        OPT(S, "labels-name", 0, VALUE_TEXT, pool.options.labels_name, "NAME",                               \
            "dataset of the labels (default labels)"),                                                       \
        OPT(S, "layout", 0, VALUE_CHOICE, pool.options.layout, DFAL_LAYOUTS,                                 \
            "order of the samples' axes (default NCHW)"),                                                    \
        OPT(S, "hdf5-plugins", 0, VALUE_FLAG, pool.options.hdf5_plugins, NULL,                               \
            "let HDF5 load filter plugins")

/* How DeepFool walks; `score` is a struct dfal_score_options, behind which stand fields of all rows by
 * name. */
#define DEEPFOOL_OPTIONS(S, score, ...)                                                                      \
    OPT(S, "deepfool", 0, VALUE_CHOICE, score.preset, DFAL_DEEPFOOL_PRESETS,                                 \
        "whose DeepFool is computed, in all that no option here says: docs/NUMERICS.md (default lts4)",      \
        __VA_ARGS__),                                                                                        \
        OPT(S, "norm", 0, VALUE_NORM, score.norm, "l2|linf|l1|P", "norm of the margin (default l2)",         \
            __VA_ARGS__),                                                                                    \
        OPT(S, "max-iter", 0, VALUE_NUMBER, score.max_iter, "N", "steps at most (default: the preset's)",    \
            NUMBER(I32, 0, 65535), __VA_ARGS__),                                                             \
        OPT(S, "overshoot", 0, VALUE_NUMBER, score.overshoot, "ETA",                                         \
            "go on behind the boundary by this fraction of the way to it (default: the preset's, 0.02 of "   \
            "lts4)",                                                                                         \
            NUMBER(REAL, 0, 100), __VA_ARGS__),                                                              \
        OPT(S, "classes", 0, VALUE_NUMBER, score.classes, "K|all",                                           \
            "candidate classes with the sample's own (default: the preset's)",                               \
            NUMBER(I32, 2, 1000000, .or_all = true), __VA_ARGS__),                                           \
        OPT(S, "unconverged", 0, VALUE_CHOICE, score.unconverged, DFAL_UNCONVERGEDS,                         \
            "where MAX_ITER samples rank (default last)", __VA_ARGS__)
#define BATCH_HELP                                                                                           \
    "samples in flight, rounded up to as many for each worker (default: from memory); no result depends on " \
    "it"
#define BATCH_OPTION(S, score)                                                                               \
    OPT(S, "batch", 0, VALUE_NUMBER, score.batch, "B", BATCH_HELP, NUMBER(I64, 1, 16777216))

/* What computes it; likewise. */
#define ARITHMETIC_OPTIONS(S, score, ...)                                                                    \
    OPT(S, "precision", 0, VALUE_CHOICE, score.precision, DFAL_PRECISIONS,                                   \
        "arithmetic (default strict); on GPUs also fast: input gradients in half precision, and split: "     \
        "wide layers at float32's grade on tensor cores",                                                    \
        __VA_ARGS__),                                                                                        \
        OPT(S, "engine", 0, VALUE_CHOICE, score.engine, DFAL_ENGINES,                                        \
            "compute a network op by op (layers) or a small one in a single call (fused); auto takes fused " \
            "where there is one (default auto)",                                                             \
            __VA_ARGS__)

#endif
