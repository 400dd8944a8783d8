/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_tables.h"

static const struct {
    const char *title; /* NULL: the final table, which stands by itself */
    df_report_table_fn *fill[5];
} groups[] = {
    {NULL, {df_report_final}},
    {"What it was made for", {df_report_primary}},
    {"On the way",
     {df_report_area, df_report_accuracy, df_report_highest, df_report_against_random, df_report_needed}},
    {"Another network", {df_report_transfer}},
    {"What was asked for", {df_report_balance, df_report_overlap, df_report_statuses}},
    {"What it cost", {df_report_seconds}},
};
enum { GROUPS = sizeof groups / sizeof groups[0], GROUP_TABLES = sizeof groups[0].fill / sizeof(void *) };

typedef void draw_fn(struct df_text *text, const struct df_table *table);

static dfal_status draw(struct df_text *text, const struct df_report_run *run, df_report_table_fn *fill,
                        draw_fn *as)
{
    struct df_table table = {0};
    const dfal_status status = fill(&table, run);
    if (status == DFAL_OK)
        as(text, &table);
    df_table_clear(&table);
    return status;
}

dfal_status df_report_table(struct df_text *page, const struct df_report_run *run, df_report_table_fn *fill)
{
    return draw(page, run, fill, df_table_html);
}

dfal_status df_report_tables(struct df_text *page, const struct df_report_run *run)
{
    for (int g = 0; g < GROUPS; g++) {
        struct df_text group = {0};
        dfal_status status = DFAL_OK;
        for (int i = 0; groups[g].title && i < GROUP_TABLES && groups[g].fill[i] && status == DFAL_OK; i++)
            status = draw(&group, run, groups[g].fill[i], df_table_html);
        if (status == DFAL_OK)
            status = group.status;
        if (status == DFAL_OK && group.size) {
            df_text_add(page, "<h3>%s</h3>\n", groups[g].title);
            df_text_append(page, group.bytes, group.size);
        }
        df_text_clear(&group);
        if (status != DFAL_OK)
            return status;
    }
    return DFAL_OK;
}

dfal_status df_report_latex(struct df_text *text, const struct df_report_run *run)
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < GROUP_TABLES && groups[g].fill[i]; i++)
            DF_TRY(draw(text, run, groups[g].fill[i], df_table_latex));
    return DFAL_OK;
}
