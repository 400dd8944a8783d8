/* SPDX-License-Identifier: Apache-2.0 */
#include "run_table.h"

#include <inttypes.h>
#include <math.h>

void run_table_add(void *array, const struct dfal_run_row *row)
{
    json_t *significant = isfinite(row->p_corrected) ? JSON(row->significant) : json_null();
    json_array_append_new(
        array, OBJECT(MEMBER(row, strategy), MEMBER(row, annotations), MEMBER(row, labelled),
                      MEMBER(row, trials), "accuracy", JSON(row->accuracy_mean), MEMBER(row, accuracy_stderr),
                      "best", JSON(row->best_mean), MEMBER(row, difference), MEMBER(row, difference_stderr),
                      "significant", significant, MEMBER(row, p_value), "p_holm", JSON(row->p_corrected),
                      "steps", JSON(row->steps_mean), "area", JSON(row->area_mean), MEMBER(row, area_stderr),
                      MEMBER(row, area_difference), MEMBER(row, area_difference_stderr),
                      MEMBER(row, area_p_value), "area_p_holm", JSON(row->area_p_corrected)));
}

/* "0.9275 +- 0.0123"; one trial has no standard error. */
static void mean_text(char text[48], const char *format, double mean, double standard_error)
{
    const int length = snprintf(text, 48, format, mean);
    if (isfinite(standard_error) && length > 0 && length < 48)
        snprintf(text + length, 48 - (size_t)length, " +- %.4f", standard_error);
}

static void print_test(const struct dfal_run_row *row)
{
    char text[48];
    if (!isfinite(row->difference)) {
        printf("-\n");
        return;
    }
    mean_text(text, "%+.4f", row->difference, row->difference_stderr);
    if (!isfinite(row->p_value))
        printf("%s, not tested (%s)\n", text,
               row->trials < 2 ? "one trial" : "all trials differ by the same");
    else
        printf("%s, %s (p %.2g, Holm %.2g)\n", text, row->significant ? "significant" : "not significant",
               row->p_value, row->p_corrected);
}

void run_table_print(void *user, const struct dfal_run_row *row)
{
    struct run_table *table = user;
    char accuracy[48], steps[24] = "-";
    if (table->rows++ == 0)
        printf("%-16s %11s %9s %7s %8s %17s %9s %8s  %s\n", "strategy", "annotations", "labelled", "trials",
               "steps", "accuracy", "best", "area", "against random, paired");
    if (isfinite(row->steps_mean))
        snprintf(steps, sizeof(steps), "%.0f", row->steps_mean);
    mean_text(accuracy, "%.4f", row->accuracy_mean, row->accuracy_stderr);
    printf("%-16s %11" PRId64 " %9" PRId64 " %7d %8s %17s %9.4f %8.4f  ", row->strategy, row->annotations,
           row->labelled, row->trials, steps, accuracy, row->best_mean, row->area_mean);
    print_test(row);
}

dfal_status run_table_json(json_t **array, struct session *session, const char *dir)
{
    *array = json_array();
    dfal_status status = dfal_run_table(session->context, dir, run_table_add, *array);
    if (status != DFAL_OK) {
        json_decref(*array);
        *array = NULL;
    }
    return status;
}
