/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_table.h"

#include <math.h>
#include <string.h>

#include "report/report_run.h"

static const char end_of_cell = 0;

void df_table_caption(struct df_table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_text_add_list(&table->caption, format, arguments);
    va_end(arguments);
}

void df_table_heading(struct df_table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_text_add_list(&table->cells, format, arguments);
    va_end(arguments);
    df_text_append(&table->cells, &end_of_cell, 1);
    table->columns++;
}

void df_table_row(struct df_table *table, int32_t number, const char *name)
{
    const char byte = (char)(number + 1);
    df_text_append(&table->cells, &byte, 1);
    df_text_append(&table->cells, name, (int64_t)strlen(name) + 1);
    table->rows++;
}

void df_table_cell(struct df_table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_text_add_list(&table->cells, format, arguments);
    va_end(arguments);
    df_text_append(&table->cells, &end_of_cell, 1);
}

static void put_number(struct df_table *table, bool with_sign, double value, double spread)
{
    if (fabs(value) < 5e-5) /* never "-0.00" */
        value = 0;
    if (isfinite(value))
        df_text_add(&table->cells, with_sign ? "%+.2f" : "%.2f", 100 * value);
    if (isfinite(value) && isfinite(spread))
        df_text_add(&table->cells, " ± %.2f", 100 * spread);
    df_text_append(&table->cells, &end_of_cell, 1);
}

void df_table_percent(struct df_table *table, double mean, double spread)
{
    put_number(table, false, mean, spread);
}

void df_table_difference(struct df_table *table, double difference, double spread)
{
    put_number(table, true, difference, spread);
}

void df_table_clear(struct df_table *table)
{
    df_text_clear(&table->caption);
    df_text_clear(&table->cells);
    *table = (struct df_table){0};
}

/* ---- drawing ------------------------------------------------------------------------------------------- */

/* The text at *at, which moves to the next. */
static const char *next_text(const char **at)
{
    const char *text = *at;
    *at += strlen(text) + 1;
    return text;
}

static bool is_words(const struct df_table *table, int32_t column)
{
    return table->words >> column & 1;
}

/* HTML ends a cell where the next one begins. */
static void html_row(struct df_text *page, const struct df_table *table,
                     const char *const headings[DF_TABLE_COLUMNS], const char **at)
{
    const int32_t number = *(*at)++ - 1;
    df_text_add(page, "<tr><th scope=\"row\">");
    if (number >= 0)
        df_text_add(page, "<span class=\"key c%d k%d\"></span>", df_report_colour(number),
                    df_report_cycle(number));
    df_text_html(page, next_text(at));
    df_text_add(page, "</th>");
    for (int32_t c = 1; c < table->columns; c++) {
        df_text_add(page, "<td%s", is_words(table, c) ? "" : " class=\"n\"");
        if (table->narrow) {
            df_text_add(page, " data-label=\"");
            df_text_html(page, headings[c]);
            df_text_add(page, "\"");
        }
        df_text_add(page, ">");
        df_text_html(page, next_text(at));
    }
    df_text_add(page, "</tr>\n");
}

/* Whether there is something to draw; a table that is not whole makes the page fail. */
static bool is_drawn(struct df_text *page, const struct df_table *table)
{
    const dfal_status status = table->caption.status != DFAL_OK ? table->caption.status : table->cells.status;
    if (page->status == DFAL_OK)
        page->status = status;
    return status == DFAL_OK && table->rows > 0;
}

void df_table_html(struct df_text *page, const struct df_table *table)
{
    const char *headings[DF_TABLE_COLUMNS], *at = table->cells.bytes;
    if (!is_drawn(page, table))
        return;
    df_text_add(page, "<div class=\"wide\"><table%s>\n<caption>", table->narrow ? " class=\"final\"" : "");
    df_text_html(page, table->caption.bytes);
    df_text_add(page, "</caption>\n<thead><tr>");
    for (int32_t c = 0; c < table->columns; c++) {
        headings[c] = next_text(&at);
        df_text_add(page, "<th scope=\"col\"%s>", c == 0 || is_words(table, c) ? "" : " class=\"n\"");
        df_text_html(page, headings[c]);
        df_text_add(page, "</th>");
    }
    df_text_add(page, "</tr></thead>\n<tbody>\n");
    for (int32_t r = 0; r < table->rows; r++)
        html_row(page, table, headings, &at);
    df_text_add(page, "</tbody></table></div>\n");
}

/* Characters that mean something to LaTeX, and what it has for them. The rest of UTF-8 it reads as it is. */
static const struct {
    const char *plain, *latex;
} escapes[] = {
    {"\\", "\\textbackslash{}"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\^{}"},
    {"±", "$\\pm$"},
    {"→", "$\\to$"},
    {"<", "$<$"},
    {">", "$>$"},
};

void df_latex_text(struct df_text *text, const char *plain)
{
    while (*plain) {
        size_t taken = 1;
        const char *latex = NULL;
        for (size_t i = 0; i < sizeof escapes / sizeof escapes[0] && !latex; i++)
            if (!strncmp(plain, escapes[i].plain, strlen(escapes[i].plain))) {
                taken = strlen(escapes[i].plain);
                latex = escapes[i].latex;
            }
        if ((unsigned char)*plain < ' ')
            latex = " ";
        df_text_append(text, latex ? latex : plain, latex ? (int64_t)strlen(latex) : 1);
        plain += taken;
    }
}

/* A number with a sign has a minus, not a hyphen. */
static void latex_cell(struct df_text *text, const char *plain, bool words)
{
    if (!words && plain[0] == '-' && plain[1]) {
        df_text_add(text, "$-$");
        plain++;
    }
    df_latex_text(text, plain);
}

void df_table_latex(struct df_text *text, const struct df_table *table)
{
    const char *at = table->cells.bytes;
    if (!is_drawn(text, table))
        return;
    df_text_add(text, "\\begin{table}\n\\caption{");
    df_latex_text(text, table->caption.bytes);
    df_text_add(text, "}\n\\begin{tabular}{");
    for (int32_t c = 0; c < table->columns; c++)
        df_text_add(text, c == 0 || is_words(table, c) ? "l" : "r");
    df_text_add(text, "}\n\\hline\n");
    for (int32_t r = -1; r < table->rows; r++) { /* -1: the headings */
        at += r >= 0;                            /* a number */
        for (int32_t c = 0; c < table->columns; c++) {
            df_text_add(text, c ? " & " : "");
            latex_cell(text, next_text(&at), r < 0 || c == 0 || is_words(table, c));
        }
        df_text_add(text, " \\\\\n%s", r < 0 ? "\\hline\n" : "");
    }
    df_text_add(text, "\\hline\n\\end{tabular}\n\\end{table}\n\n");
}
