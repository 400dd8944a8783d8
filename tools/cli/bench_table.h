/* SPDX-License-Identifier: Apache-2.0 */
/* dfal bench table3 and coreset: strategies side by side on the same rows. */
#ifndef DFAL_TOOLS_BENCH_TABLE_H
#define DFAL_TOOLS_BENCH_TABLE_H

#include "print.h"

struct bench_table_options {
    struct dfal_score_options *score;
    int64_t queries, labelled, candidates;
    int64_t outliers; /* of the programs with robustness */
    int64_t limit;    /* seconds: of all passes of a case, and of one search of Sener's program */
    int32_t repeat;
    bool growth;
    const char *solver; /* a command that solves the programs, too; NULL: none */
};

/* What is measured. */
struct bench_case {
    const char *name, *strategy;
    const char *option;   /* NULL: none */
    bool robust, limited; /* the options outliers, seconds are given, too */
    bool own_solver;      /* by the command that was given; without one there is no such case */
    bool grows;           /* measured at other sizes, too */
    double paper_seconds; /* of Table 3; 0: it has none */
};
enum { BENCH_OPTIONS = 4, BENCH_OPTION = 1056 }; /* a command is one of them */
struct bench_row {
    const struct bench_case *of;
    char options[BENCH_OPTIONS][BENCH_OPTION]; /* "program=sener"; behind the last "" */
    struct dfal_bench_select_result result;    /* its labelled and candidates hold in any case */
    json_t *facts;                             /* an object */
    char *refusal;                             /* NULL: measured; else why not, a sentence */
    double paper_seconds;                      /* 0: none; a grown size has none */
};

/* What is measured of what: the rows of a base size, then those of other sizes. */
struct bench_table {
    struct session *session;
    struct bench_table_options options;
    const char *kind, *network, *pool; /* "table3" or "coreset" */
    bool drawn;                        /* network and pool were made for this */
    struct bench_case *cases;
    int32_t case_count;
    bool failed;        /* there was no memory for a case */
    bool solver_serves; /* the command has solved a case */
    struct bench_row *rows;
    int32_t row_count;
};
/* A text of the facts; "": it is not there. */
const char *bench_fact(const struct bench_row *row, const char *key);
/* The search was ended by its limit: another machine may choose others, and would take longer. */
bool bench_row_cut(const struct bench_row *row);
/* A measured row by its case's name and size; NULL: there is none. */
const struct bench_row *bench_table_find(const struct bench_table *table, const char *name, int64_t labelled,
                                         int64_t candidates);

/* Measure and print. network NULL: both are made, drawn digits and a lenet5 that is trained on the labelled
 * rows. kind "table3": every strategy of the build; "coreset": the programs of CORE-SET alone. */
dfal_status bench_table(struct session *session, const char *kind, const char *network, const char *pool,
                        const struct bench_table_options *options);

/* bench_table_print.c */
dfal_status bench_table_print(const struct bench_table *table);

/* bench_growth.c: what becomes of the seconds of the cases that grow, as lines or as members of an object. */
void bench_growth_print(const struct bench_table *table);
void bench_growth_json(const struct bench_table *table, json_t *object);

#endif
