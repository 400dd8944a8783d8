/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a view: for view*.c and for the selection that it belongs to. */
#ifndef DF_STRATEGY_VIEW_INSIDE_H
#define DF_STRATEGY_VIEW_INSIDE_H

#include "comm/comm.h"
#include "strategy/selection.h"
#include "strategy/view.h"

/* What a quantity is made of. */
struct df_known_key {
    const char *node;       /* NULL: the logits; "": the default of features */
    df_row_score_fn *score; /* NULL: the values themselves */
    bool labelled;          /* of the labelled rows, else of the candidates */
    bool own;               /* the strategy's */
};
struct df_known {
    struct df_known *next;
    char *node;
    df_row_score_fn *score;
    bool labelled, own;
    int64_t size; /* values a row; of scores: of the rows that they are of */
    size_t row_bytes;
    void *values;
};

/* The caller's are borrowed. */
struct df_view {
    struct dfal_context *context;
    struct df_device *device;
    const struct df_network *network;
    struct df_pool *pool;
    const struct df_selection_options *options;
    const int64_t *rows; /* [count] ascending */
    int64_t count;
    int64_t *own_rows; /* where rows is not the caller's array */
    struct df_known *known;
    struct df_network *folded; /* NULL: nobody asked */
    struct df_scores own_margins;
    struct df_scores *margins; /* NULL: nobody asked */
    struct df_view *part;      /* of this rank; NULL: nobody asked */
    struct df_comm *comm;      /* of the ranks that see the other parts; NULL: this is no part */
    struct df_comm *sharers;   /* the ranks that compute what is known together; NULL: this one does alone */
    bool some;                 /* not all of own_margins are known, but the `closest` smallest of them */
    int64_t closest;
    bool shared; /* and only those, which ranks have told each other */
    int64_t nonfinite, statuses[DFAL_SCORE_STATUS_ROOM]; /* of the rows of all ranks then */
};

/* Take the candidates of this selection, ascending: all of them, or a subsample. The view's other fields are
 * set. */
dfal_status df_view_open(struct df_view *view, const int64_t *candidates, int64_t n);
void df_view_close(struct df_view *view);
/* These candidates [count], ascending, are none any more; what is known of the others stays. */
dfal_status df_view_exclude(struct df_view *view, const int64_t *candidates, int64_t count);

/* Of `count` rows those that this rank computes itself. */
struct df_comm_share df_view_share(const struct df_view *view, int64_t count);
/* Collective of sharers: then the others' of values [count * row_bytes] are there, too. */
dfal_status df_view_exchange(const struct df_view *view, void *values, int64_t count, size_t row_bytes);

/* NULL: it is not known. */
struct df_known *df_view_find(const struct df_view *view, const struct df_known_key *key);
/* Make room for a quantity that is not known. */
dfal_status df_view_add(struct df_view *view, struct df_known **known, const struct df_known_key *key,
                        int64_t size, size_t row_bytes);
int64_t df_view_rows_of(const struct df_view *view, const struct df_known_key *key);
/* Forget what was added last: it could not be computed. */
void df_view_drop(struct df_view *view);

/* Logits [n, K] of ascending rows, whoever's: from the file where there is one. */
dfal_status df_view_logits_of(const struct df_view *view, const int64_t *rows, int64_t n, float *logits);
/* Twins of the first selection->twin_count chosen: their rows run again, so memory does not grow with the
 * pool. */
dfal_status df_view_twins(const struct df_view *view, struct df_selection *selection);

/* The node whose values are the features where nobody names one: the input of the folded network's last Gemm.
 * Borrowed.
 * Errors   E_DATA there is no Gemm */
dfal_status df_feature_node(const struct df_network *folded, const char **node);

/* Collective of a part, whose rows count with those of the others.
 * Errors   E_DATA of `rows` rows whose logits were looked at all look like probabilities */
dfal_status df_view_check_alike(const struct df_view *view, int64_t alike, int64_t rows);

/* Where the rows from begin on that are read in one go end: DF_ROW_RUN rows of a file at most. Those between
 * rows that lie near each other are read along. */
enum { DF_ROW_RUN = 4096 };
int64_t df_row_run_end(const int64_t *rows, int64_t n, int64_t begin);

#endif
