/* SPDX-License-Identifier: Apache-2.0 */
#include "estimate_table.h"

#include <inttypes.h>
#include <stdio.h>

#include "print.h"

static double total(const struct dfal_run_estimate_row *row)
{
    return row->train_seconds + row->select_seconds + row->test_seconds;
}

static void add_row(void *array, const struct dfal_run_estimate_row *row)
{
    json_array_append_new(array, OBJECT(MEMBER(row, strategy), MEMBER(row, trials), MEMBER(row, rounds),
                                        MEMBER(row, labelled), MEMBER(row, train_seconds),
                                        MEMBER(row, select_seconds), MEMBER(row, test_seconds), "seconds",
                                        JSON(total(row)), MEMBER(row, missing)));
}

static void print_row(void *rows, const struct dfal_run_estimate_row *row)
{
    char train[64], select[64], test[64], all[64];
    if ((*(int *)rows)++ == 0)
        printf("%-16s %7s %7s %9s %10s %10s %10s %10s  %s\n", "strategy", "trials", "rounds", "rows",
               "training", "choosing", "testing", "together", "not counted");
    printf("%-16s %7d %7" PRId64 " %9" PRId64 " %10s %10s %10s %10s  %s\n", row->strategy, row->trials,
           row->rounds, row->labelled, duration(train, row->train_seconds),
           duration(select, row->select_seconds), duration(test, row->test_seconds),
           duration(all, total(row)), row->missing[0] != '\0' ? row->missing : "-");
}

dfal_status run_estimate(struct session *session, const struct dfal_run_options *options)
{
    struct dfal_run_estimate_result r;
    json_t *array = session->json ? json_array() : NULL;
    int rows = 0;
    char text[64];
    dfal_run_estimate_result_init(&r);
    const dfal_status status =
        dfal_run_estimate(session->context, &r, options, session->json ? add_row : print_row,
                          session->json ? (void *)array : (void *)&rows);
    if (status != DFAL_OK) {
        json_decref(array);
        return status;
    }
    if (session->json)
        return print_json(OBJECT(MEMBER(&r, branches), MEMBER(&r, beside), MEMBER(&r, seconds),
                                 MEMBER(&r, device_seconds), MEMBER(&r, memory_bytes),
                                 MEMBER(&r, upper_bound), MEMBER(&r, timed_seconds), "strategies", array));
    printf("\n%-12s %s%s for %" PRId64 " trials of strategies, %" PRId64 " at once\n", "time",
           r.upper_bound ? "at most about " : "about ", duration(text, r.seconds), r.branches, r.beside);
    printf("%-12s %.3g device-hours: of all threads together, or of the GPU\n", "device",
           r.device_seconds / 3600);
    printf("%-12s about %.0f MiB\n", "memory", (double)r.memory_bytes / 1048576.0);
    printf("%-12s trainings and choices on samples, %.1f s%s\n", "timed", r.timed_seconds,
           r.upper_bound ? "; with training.patience a training may end early" : "");
    return DFAL_OK;
}
