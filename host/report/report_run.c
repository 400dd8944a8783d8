/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { COLOURS = 6 };

void df_report_run_rename(struct df_report_run *run, const char *name)
{
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '/')
        length--;
    snprintf(run->name, sizeof run->name, "%.*s", (int)length, name);
}

dfal_status df_report_run_read(struct df_report_run *run, const char *dir)
{
    *run = (struct df_report_run){.dir = dir};
    df_report_run_rename(run, dir);
    DF_TRY(df_run_directory_config(&run->config, dir));
    DF_TRY(df_run_part_read(&run->part, dir));
    DF_TRY(df_curve_read(&run->curve, dir));
    return df_curve_summary(run->summary, &run->curve, &run->config, run->part.count == 0);
}

void df_report_run_clear(struct df_report_run *run)
{
    df_curve_clear(&run->curve);
    df_query_table_clear(&run->queries);
    df_free(run->differs);
    run->differs = NULL;
}

double df_nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw))), rest = raw / power;
    return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

int32_t df_report_number(const struct df_run_config *config, int32_t strategy)
{
    int32_t number = 0;
    if (!strcmp(config->strategy[strategy].name, "random"))
        return 0;
    for (int32_t s = 0; s <= strategy; s++)
        number += strcmp(config->strategy[s].name, "random") != 0;
    return number;
}

int32_t df_report_colour(int32_t number)
{
    return number ? 1 + (number - 1) % COLOURS : 0;
}

int32_t df_report_cycle(int32_t number)
{
    return number ? (number - 1) / COLOURS : 0;
}
