/* SPDX-License-Identifier: Apache-2.0 */
/* A run directory: who may write into it, whether it is continued, and how its tables grow
 * (docs/FORMATS.md). */
#ifndef DF_RUN_DIRECTORY_H
#define DF_RUN_DIRECTORY_H

#include "base/identity.h"
#include "base/log.h"
#include "base/text.h"
#include "run/config.h"

/* Its tables, which grow by a round: DIR/curve.csv, queries.csv, classes.csv, and transfer.csv where the
 * configuration has a network for it. */
enum df_run_table { DF_RUN_CURVE, DF_RUN_QUERIES, DF_RUN_CLASSES, DF_RUN_TRANSFER, DF_RUN_TABLES };
struct df_run_directory {
    char *path;
    bool created, fresh;           /* the folder, its contents were made by this call */
    bool resumed;                  /* had been begun before */
    int table[DF_RUN_TABLES], log; /* -1: there is none */
    bool log_failed;
};
/* Create or continue. Held under flock until close. The identity is what a run was begun with besides its
 * configuration: the lines of state/identity.
 * Errors   E_EXISTS finished, foreign or in use by another process; E_CONFIG unfinished and of another
 *          configuration or identity; E_NOINPUT resume demanded and nothing there */
dfal_status df_run_directory_open(struct df_run_directory *directory, struct dfal_context *context,
                                  const char *path, const struct df_run_config *config,
                                  const struct df_identity *identity, bool resume);
/* One that is not open: it may be closed. */
struct df_run_directory df_run_directory_none(void);
void df_run_directory_close(struct df_run_directory *directory);
/* Remove what this call has made: nothing was finished. */
void df_run_directory_abandon(struct df_run_directory *directory);
/* DIR/curve.csv and its like, df_free; the line of columns that it begins with. */
dfal_status df_run_table_path(char **out, const char *dir, enum df_run_table table);
const char *df_run_table_header(enum df_run_table table);
/* Append to a table and sync; on an error the table is as it was. */
dfal_status df_run_directory_append(struct df_run_directory *directory, enum df_run_table table,
                                    const struct df_text *text);
/* Put these bytes in the place of a table. */
dfal_status df_run_directory_replace(struct df_run_directory *directory, enum df_run_table table,
                                     const char *bytes, int64_t size);
/* Event sink for df_log_tee: one JSON object a line into log.jsonl; progress and debug are left out. */
void df_run_directory_event(void *user, const struct dfal_event *event);
/* Remove one in which nobody works. Errors   E_EXISTS another process does, or there is more in it than a run
 * writes */
dfal_status df_run_directory_discard(const char *path);
/* Say and log what differs in the arithmetic between what is joined or continued. */
void df_run_directory_say_mixed(struct df_run_directory *directory, struct dfal_context *context,
                                const struct df_identity *ours, const struct df_identity *theirs);
/* What DIR/state/identity says; nothing where a run was begun a moment ago. Clear it, also after an error. */
dfal_status df_run_directory_identity(struct df_identity *identity, const char *dir);
/* Append what another one's log says; what a kill has cut short is left out. */
dfal_status df_run_directory_take_log(struct df_run_directory *directory, const char *dir);
/* All trials and the report are there. */
dfal_status df_run_directory_finish(const char *path);
bool df_run_directory_is_finished(const char *path);
/* A round of some branch is finished. */
bool df_run_directory_has_checkpoint(const char *path);

/* DIR/state/STRATEGY-TRIAL.WHAT, absolute: where somebody else's command works. Made if need be. */
dfal_status df_run_directory_work(char **out, const char *dir, const char *strategy, int32_t trial,
                                  const char *what);

#endif
