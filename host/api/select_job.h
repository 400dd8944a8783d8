/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of dfal_select: what goes in, what comes out. Internal to host/api. */
#ifndef DF_API_SELECT_JOB_H
#define DF_API_SELECT_JOB_H

#include "base/claim.h"
#include "base/identity.h"
#include "base/log.h"
#include "report/sheet.h"
#include "strategy/selection.h"

struct df_select_job {
    struct dfal_context *context;
    const struct dfal_select_options *options;
    const char *out_path, *network_name, *pool_path; /* as given */
    const struct df_strategy *strategy;
    struct df_option_values values;  /* of its options */
    char solver[DF_STRATEGY_SOLVER]; /* that it runs, with its version; "": none ever */
    struct df_pool *pool;
    int32_t *truth; /* [N] the pool's own labels, where they are the oracle's; else NULL */
    struct df_network *network;
    char network_sha256[DF_DIGEST_TEXT];
    struct df_device *device;
    struct df_deepfool deepfool;
    struct df_rows_head head;
    struct df_scores scores;
    struct df_table_reader *logits;
    int64_t *candidates, count;
    int64_t *labelled_rows, labelled_row_count; /* ascending; skipped ones are none */
    int32_t *labelled_labels;                   /* of each */
    uint64_t labelled; /* a digest of the rows that are no candidates; 0: there are none */
    struct df_selection selection;
    char **ids;     /* [selection.count] */
    int32_t *label; /* [selection.count] the oracle's, -1 unknown */
    bool resumed;   /* twins and sheet that are there are this line's own, unfinished */
    struct df_claim claim;
    char *journal;
    struct df_command_place command; /* of a command that chooses: its paths are the job's */
    char *command_folder, *command_network, *command_pool;
    bool together; /* the ranks choose together, each from a part of the candidates */
    char *shared;  /* what all ranks have written for this selection; NULL: nothing */
};

/* select.c. Strategy, its options and DeepFool of job->options; what a selection is told of the job. */
dfal_status df_select_take_options(struct df_select_job *job);
struct df_selection_options df_select_selection(struct df_select_job *job);

/* select_input.c: pool, network and candidates, unless that has been done; scores and logits. */
dfal_status df_select_open(struct df_select_job *job);
dfal_status df_select_take_files(struct df_select_job *job);
void df_select_close(struct df_select_job *job);

/* select_ranks.c. Collective: whether the ranks choose together; else scores or logits that the strategy asks
 * for, in a file of this selection. Its path is put into one of the two, or nothing happens. It goes when the
 * selection ends, whatever happened; its parts stay until then, and one process goes on with them, too.
 * Errors   E_CONFIG ranks that choose otherwise, or parts that another selection has left; those of
 *          dfal_score, dfal_logits */
dfal_status df_select_share(struct df_select_job *job, const char **scores_path, const char **logits_path);
void df_select_unshare(const struct df_select_job *job);
/* Collective. Whether all ranks are about to make the same selection by the same arithmetic, because what
 * each of them computes decides about all. Errors   E_CONFIG on every rank alike */
dfal_status df_select_agree(const struct df_select_job *job);

/* select_output.c. What does not fit together, and outputs that are there already, before any work; and, once
 * network and pool are known, whether an unfinished selection is this one. */
dfal_status df_select_check_outputs(struct df_select_job *job);
dfal_status df_select_check_unfinished(struct df_select_job *job);
/* Everything asked for, QUERIES.csv last. */
dfal_status df_select_write(struct df_select_job *job, dfal_query_fn *query, void *user);

/* select_command.c: a command that chooses, and OUT.command, the folder in which it works. Without a command
 * nothing happens. The folder goes when it has chosen, but stays where it asks to be called again. */
dfal_status df_select_command_check(const struct df_select_job *job);
dfal_status df_select_command_claim(struct df_select_job *job);
dfal_status df_select_command_open(struct df_select_job *job);
/* Returns status, or what went wrong besides. */
dfal_status df_select_command_close(struct df_select_job *job, dfal_status status);

/* What shapes the files of a selection, select_journal.c. Label files count by what they leave to choose
 * from. */
dfal_status df_select_describe(struct df_identity *identity, const struct df_select_job *job);

/* select_journal.c: OUT.unfinished stands beside QUERIES.csv while several files are being published, so that
 * a killed line knows its own. It holds what the line asked for, one "key: value" a line. */
dfal_status df_select_journal_path(char **path, const struct df_select_job *job);
bool df_select_journal_exists(const struct df_select_job *job);
/* *found: there is one, of this very selection. Errors   E_CONFIG of another one (the first difference named)
 * unless --force; E_IO */
dfal_status df_select_journal_find(const struct df_select_job *job, bool *found);
dfal_status df_select_journal_write(const struct df_select_job *job);
void df_select_journal_remove(const struct df_select_job *job);

#endif
