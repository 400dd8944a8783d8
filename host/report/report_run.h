/* SPDX-License-Identifier: Apache-2.0 */
/* A run directory as a report reads it, and how its strategies are told apart in charts and tables. */
#ifndef DF_REPORT_REPORT_RUN_H
#define DF_REPORT_REPORT_RUN_H

#include "run/curve.h"
#include "run/part.h"

/* Rows of DIR/queries.csv; ids as they stand there. */
struct df_query_row {
    char strategy[32];
    int32_t trial, round, rank;
    char *id;
    int64_t index;
    double score, confidence;
    int32_t predicted, label, adversarial_class;
    char *label_name; /* "": not known */
};
struct df_query_table {
    struct df_query_row *rows;
    int64_t count;
};
/* Errors   E_NOINPUT, E_IO, E_DATA its header is another one */
dfal_status df_query_table_read(struct df_query_table *table, const char *dir);
void df_query_table_clear(struct df_query_table *table);

/* What a page shows of one run directory, and of how many. */
enum { DF_REPORT_RUNS = 64 };
struct df_report_run {
    const char *dir;
    char name[256]; /* the folder's own, or as it was given where two are the same */
    char *differs;  /* from the other runs of the page in its configuration; NULL: it is the only one */
    struct df_run_config config;
    struct df_run_part part; /* of an experiment: its strategies are not compared, trials are missing */
    struct df_curve curve;
    struct df_query_table queries; /* none where they cannot be read */
    struct dfal_run_row summary[DF_MAX_STRATEGIES];
};
/* Read all but the queries; the name is the folder's.
 * Errors   those of df_run_directory_config and df_curve_read */
dfal_status df_report_run_read(struct df_report_run *run, const char *dir);
/* Take the name without what a shell's completion puts behind a folder. */
void df_report_run_rename(struct df_report_run *run, const char *name);
void df_report_run_clear(struct df_report_run *run);

/* Round a step to 1, 2 or 5 times a power of ten, so that about `count` of them cover span. */
double df_nice_step(double span, int count);
/* A strategy's number among the drawn ones: 0 for random, the baseline, else 1, 2, ... in the order of the
 * configuration. Whatever is drawn of it looks by this number. */
int32_t df_report_number(const struct df_run_config *config, int32_t strategy);
/* There are six colours besides the baseline's: the page's class c0 to c6 of a number, and how often the
 * colours have been used up before, by which lines have dashes and keys a shape: class k0, k1, ... */
int32_t df_report_colour(int32_t number);
int32_t df_report_cycle(int32_t number);

#endif
