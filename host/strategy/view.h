/* SPDX-License-Identifier: Apache-2.0 */
/* What a strategy sees of one selection: the candidates, and quantities of them. Each quantity is computed
 * when it is asked for, or taken from a file that the user gave, and kept until the selection ends; asked for
 * again it is there.
 *
 * Order    row i of every array is candidate i. None of a quantity's bits depends on the other candidates, on
 *          batch or threads; a strategy's own scores may depend on them
 * Memory   values that are kept whole are checked against the limit first: E_MEMORY. Numbers are 8 bytes a
 *          candidate and are not. What is streamed costs its result alone
 * Ranks    where several make the same selection (df_selection_options.alike) each computes a part of a
 *          quantity that is kept, and has all of it: they ask for the same in the same order
 * Finite   a candidate's input is looked at when it is chosen. A strategy sees values alone, which may be not
 *          finite; one that compares candidates may meet a row that is never queried
 * Borrowed arrays live until the selection ends. Errors besides: those of a pass over the pool, E_STOPPED
 * among them */
#ifndef DF_STRATEGY_VIEW_H
#define DF_STRATEGY_VIEW_H

#include "score/gradients.h"

struct df_network;
struct df_pool;
struct df_scores;
struct df_comm;
struct df_command_place;
struct df_device;
struct df_view;

int64_t df_view_count(const struct df_view *view);                  /* n */
const int64_t *df_view_rows(const struct df_view *view);            /* [n] rows of the pool, ascending */
int64_t df_view_candidate(const struct df_view *view, int64_t row); /* -1: the row is none */
int32_t df_view_class_count(const struct df_view *view);            /* K */
uint64_t df_view_seed(const struct df_view *view);                  /* of this selection */
const char *df_view_unconverged(const struct df_view *view);        /* last | keep | exclude */
int32_t df_view_round(const struct df_view *view);                  /* of an experiment, else 0 */

/* Collective where several ranks make the selection (df_strategy.spreads). The candidates of this rank: a run
 * of them, as many as of any other, in a view of its own that is closed with this one. Else this view. */
dfal_status df_view_part(struct df_view *view, struct df_view **part);
struct df_comm *df_view_comm(const struct df_view *view); /* of who sees the others; NULL: nobody does */

/* The strategy's options, of the keys of its table. */
int64_t df_view_integer(const struct df_view *view, const char *key);
double df_view_real(const struct df_view *view, const char *key);
const char *df_view_text(const struct df_view *view, const char *key);
/* The same of a key that the strategy may not have: "". */
const char *df_view_own_text(const struct df_view *view, const char *key);

/* Logits [n, K]. Errors   E_DATA as below */
dfal_status df_view_logits(struct df_view *view, const float **logits);
/* A number of each candidate's logits: [n]. The logits are not kept.
 * Errors   E_DATA all candidates' logits look like probabilities */
typedef double df_row_score_fn(const float *values, int64_t size);
dfal_status df_view_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores);
/* The same of the rows that are labelled already, in the order of the pool. */
dfal_status df_view_labelled_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores);
/* f_(1) - f_(2) as float32: of the scores file where there is one, else of the logits. [n]; NAN: not
 * finite */
dfal_status df_view_logit_gaps(struct df_view *view, const double **gaps);
/* DeepFool margins with statuses and adversarial classes, [n]: of the scores file, or computed. */
dfal_status df_view_margins(struct df_view *view, const struct df_scores **margins);
bool df_view_has_scores(const struct df_view *view); /* of a file */
/* The same where nobody looks beyond the q smallest: rows that are proven to lie farther than the q-th may be
 * PRUNED, where that saves work. With the option `cascade` rows may be UNSCORED, too, and the q smallest are
 * those of the rows that were run. Errors   E_UNAVAILABLE a cascade of a network whose last layer is no
 * Gemm
 * Collective where several ranks make the selection */
dfal_status df_view_closest(struct df_view *view, int64_t q, const struct df_scores **margins);

/* Whether ranks have found these together: then every row that is not among the q smallest is UNSCORED.
 * *nonfinite: how many rows of all ranks are not finite. */
bool df_view_closest_shared(const struct df_view *view, int64_t *nonfinite);
/* Whether the q smallest margins of n rows are found with less work than all: the look at all costs about a
 * seventh of DeepFool on all, and for more than a five-hundredth of a pool the bounds may say little
 * (docs/NUMERICS.md, "The closest Q"). */
static inline bool df_closest_is_worth(int64_t q, int64_t n)
{
    return q <= n / 500;
}

/* The values of a node of the network as it is given; "": of the folded network the input of its last Gemm
 * (of LeNet5 84 numbers). [count, size]. Errors   E_USAGE no such node (the nearest is named); E_DATA no
 * Gemm */
struct df_features {
    int64_t count, size;
    const float *values;
};
/* Rows to choose from by features. */
struct df_feature_rows {
    struct dfal_context *context;
    uint64_t seed;       /* of ties */
    const int64_t *rows; /* [h.count] of the pool, which order ties */
    struct df_features h;
};
dfal_status df_view_features(struct df_view *view, const char *node, struct df_features *features);
/* A number of each candidate's features, which are not kept: [n]. */
dfal_status df_view_feature_scores(struct df_view *view, const char *node, df_row_score_fn *score,
                                   const double **scores);
/* The same features of the rows that are labelled already, in the order of the pool. */
dfal_status df_view_labelled_features(struct df_view *view, const char *node, struct df_features *features);

/* The same of some rows of the pool [count], ascending: values (df_free) are the caller's and are not
 * kept. */
dfal_status df_view_features_of_rows(struct df_view *view, const char *node, const int64_t *rows,
                                     int64_t count, float **values, struct df_features *features);

/* How many rows are labelled already, and their classes as the network counts them, in the order of the pool:
 * -1 where the network has no such class. */
int64_t df_view_labelled_count(const struct df_view *view);
const int64_t *df_view_labelled_rows(const struct df_view *view); /* of the pool, ascending */
void df_view_labelled_classes(const struct df_view *view, int32_t *classes);

/* What a strategy is going to ask of the same rows: a number of their logits, and features of a node or
 * (of_features) a number of those. Said before, one pass over the pool gives both. Where none could (the
 * logits are a file's, or the node is named and so of the network that is not folded) nothing happens here,
 * and each is computed when it is asked for. The bits are the same.   labelled: of the labelled rows */
dfal_status df_view_expect(struct df_view *view, bool labelled, df_row_score_fn *of_logits, const char *node,
                           df_row_score_fn *of_features);

/* Logits and features of every row, the candidates or the labelled ones, in runs: rows [at, at + count) of
 * them, one call at a time, the runs in any order. Nothing is kept. One pass over the pool gives both where
 * one can. of_logits NULL: nobody wants logits. Errors besides: E_DATA all logits look like probabilities */
typedef dfal_status df_view_values_fn(void *user, int64_t at, int64_t count, const float *values);
dfal_status df_view_stream(struct df_view *view, bool labelled, df_view_values_fn *of_logits,
                           const char *node, df_view_values_fn *of_features, void *user);
dfal_status df_view_feature_size(struct df_view *view, const char *node, int64_t *size);
/* Ids of the candidates, in runs and in order; they are freed behind each call. */
typedef dfal_status df_view_ids_fn(void *user, int64_t at, int64_t count, char *const *ids);
dfal_status df_view_ids(const struct df_view *view, df_view_ids_fn *fn, void *user);
struct df_pool *df_view_pool(const struct df_view *view);
struct df_device *df_view_device(const struct df_view *view);
const struct df_network *df_view_network(const struct df_view *view);
/* The command that chooses, and where it works; NULL: there is none. */
struct df_command_place *df_view_command(const struct df_view *view);

/* Logits of T passes with dropout drawn, a candidate at a time: [T, K], its passes in their order; candidates
 * come in any order, one call at a time. Nothing is kept. Batch-norm stays frozen, and the network is not
 * folded.
 *   OWN     masks of (seed, pass, row of the pool)
 *   SHARED  of (seed, pass): the same for every row, as a committee's members are
 *   FILTERS SHARED, a filter's whole map kept or not
 * ratio is that of every Dropout, 0: each has its own. scores [n]: all that fn keeps of a candidate is what
 * it puts there, so that ranks that share compute a part each; NULL: each computes all.
 * A network without dropout is refused before: DF_ASKS_PASSES. */
enum df_masks { DF_MASKS_OWN, DF_MASKS_SHARED, DF_MASKS_FILTERS };
typedef dfal_status df_view_pass_fn(void *user, int64_t candidate, const float *logits);
dfal_status df_view_passes(struct df_view *view, int64_t passes, enum df_masks masks, double ratio,
                           double *scores, df_view_pass_fn *fn, void *user);

/* The Gemm that gives the logits (DF_ASKS_LAST_LAYER), and what it reads in passes of the network as it is
 * given: [T, size] a row. labelled: of the labelled rows, in place of the candidates. */
struct df_last_layer {
    int64_t size;
    const float *weight, *bias; /* [K, size], [K]; NULL: none */
};
struct df_last_layer df_view_last_layer(const struct df_view *view);
dfal_status df_view_last_layer_passes(struct df_view *view, int64_t passes, enum df_masks masks, double ratio,
                                      bool labelled, double *scores, df_view_pass_fn *fn, void *user);

/* Gradients of losses by the parameters of layers, a candidate at a time; candidates come in any order, one
 * call at a time. A loss is known by its cotangent, its gradient by the logits: p - e_k is that of -log p_k.
 * As the network is evaluated: dropout is off, and batch-norm is frozen, its weight and bias being parameters
 * like others. Of each cotangent there is the gradient's length, and on request the gradient, in the order of
 * the network's nodes, weight before bias. Nothing is kept.
 * Memory   of a candidate's gradients where they are asked for; their lengths take no more than the largest
 *          layer
 * Errors   E_USAGE no such layer, or nothing in it is trained; E_DATA nothing in the network is, or all
 *          candidates' logits look like probabilities */
struct df_gradients_ask {
    const char *layers; /* nodes, "NAME,NAME"; "": all whose parameters are trained */
    int64_t count;      /* cotangents a candidate */
    df_cotangents_fn *cotangents;
    bool vectors;   /* the gradients, not only their lengths */
    double *scores; /* as those of passes */
};
dfal_status df_view_gradients(struct df_view *view, const struct df_gradients_ask *ask, df_gradients_fn *fn,
                              void *user);

/* A number of each candidate that the strategy computes itself, [n]: kept like the others, so that a strategy
 * that is asked again finds them. *known: they are there; else they are zero, and the strategy's to fill. */
dfal_status df_view_own_scores(struct df_view *view, double **scores, bool *known);

/* For loops that take long: row_loop.h. */
struct dfal_context *df_view_context(const struct df_view *view);
/* What a strategy keeps for itself ("the distances of 500 candidates"): refuse it before it is allocated.
 * Errors   E_MEMORY names the bytes, the limit and the way out */
dfal_status df_view_check_memory(const struct df_view *view, double bytes, const char *what);

#endif
