/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers that Ducoffe and Precioso report (arXiv:1802.09841), to stand beside those of a run. */
#ifndef DF_REPORT_PAPER_H
#define DF_REPORT_PAPER_H

#include "run/config.h"

enum { DF_PAPER_MARKS = 4, DF_PAPER_METHODS = 7 };
extern const int64_t df_paper_marks[DF_PAPER_MARKS]; /* annotations of table 1 */

struct df_paper_method {
    const char *strategy;
    double highest[DF_PAPER_MARKS]; /* table 1: running maxima of the test accuracy, % */
    int64_t needed;                 /* table 2: annotations to half a point below the full set; 0: not told */
    double transferred;             /* table 4: the other network on these queries, 1000 annotations, %; 0 */
};
struct df_paper {
    const char *data, *network;
    double full_set; /* test accuracy of a network trained on all, % */
    struct df_paper_method method[DF_PAPER_METHODS];
};
/* The experiment that a run repeats, NULL: none. */
const struct df_paper *df_paper_find(const struct df_run_config *config);
/* The method of a strategy, NULL: the paper has none of that name. */
const struct df_paper_method *df_paper_method(const struct df_paper *paper, const char *strategy);

#endif
