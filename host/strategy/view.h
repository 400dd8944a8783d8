/* SPDX-License-Identifier: Apache-2.0 */
/* What a strategy sees of one selection: the candidates, and quantities of them. Each quantity is computed when it is asked
 * for, or taken from a file that the user gave, and kept until the selection ends; asked for again it is there.
 *
 * Order    row i of every array is candidate i. None of a row's bits depends on the other candidates, on batch or threads
 * Memory   what is kept whole is checked against the limit first: E_MEMORY. What is streamed costs its result alone
 * Borrowed arrays live until the selection ends. Errors besides: those of a pass over the pool, E_STOPPED among them */
#ifndef DF_STRATEGY_VIEW_H
#define DF_STRATEGY_VIEW_H

#include "base/status.h"

struct df_scores;
struct df_view;

int64_t df_view_count(const struct df_view *view);           /* n */
const int64_t *df_view_rows(const struct df_view *view);     /* [n] rows of the pool, ascending */
int32_t df_view_class_count(const struct df_view *view);     /* K */
uint64_t df_view_seed(const struct df_view *view);           /* of this selection */
const char *df_view_unconverged(const struct df_view *view); /* last | keep | exclude */

/* Logits [n, K]. */
dfal_status df_view_logits(struct df_view *view, const float **logits);
/* A number of each candidate's logits: [n]. The logits are not kept.
 * Errors   E_DATA all candidates' logits look like probabilities */
typedef double df_row_score_fn(const float *values, int64_t size);
dfal_status df_view_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores);
/* f_(1) - f_(2) as float32: of the scores file where there is one, else of the logits. [n]; NAN: not finite */
dfal_status df_view_logit_gaps(struct df_view *view, const double **gaps);
/* DeepFool margins with statuses and adversarial classes, [n]: of the scores file, or computed. */
dfal_status df_view_margins(struct df_view *view, const struct df_scores **margins);

/* What a strategy keeps for itself: refuse it before it is allocated.
 * Errors   E_MEMORY names the bytes, the limit and the way out */
dfal_status df_view_check_memory(const struct df_view *view, double bytes, const char *what);

#endif
