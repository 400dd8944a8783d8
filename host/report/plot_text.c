/* SPDX-License-Identifier: Apache-2.0 */
/* The curve for a terminal: one mark a column and strategy, percent at the left, annotations below. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "report/report.h"

enum { ROWS = 13, MARGIN = 9, LEAST_WIDTH = 40, MOST_WIDTH = 400, LABEL = 8, GAP = 3 };

/* Of random, then of the other strategies, from the begin again where there are more. */
static const char *const unicode_marks[] = {"·", "●", "▲", "■", "◆", "▼", "○", "△", "□", "◇", "▽", "★", "☆"};
static const char *const ascii_marks[] = {".", "*", "+", "x", "o", "#", "@", "%", "&", "=", "~", "v", "^"};
enum { MARKS = sizeof ascii_marks / sizeof ascii_marks[0] };

static const char *mark_of(int32_t number, bool ascii)
{
    const int32_t at = number ? 1 + (number - 1) % (MARKS - 1) : 0;
    return ascii ? ascii_marks[at] : unicode_marks[at];
}

/* Mean accuracy at any number of annotations, between the points on a straight line; NAN outside. */
static double mean_at(const struct df_curve_point *points, int64_t count, double annotations)
{
    for (int64_t i = 0; i < count; i++) {
        double x = (double)points[i].annotations;
        if (x == annotations)
            return points[i].mean;
        if (x < annotations)
            continue;
        if (!i)
            return NAN;
        double before = (double)points[i - 1].annotations, share = (annotations - before) / (x - before);
        return points[i - 1].mean + share * (points[i].mean - points[i - 1].mean);
    }
    return NAN;
}

struct canvas {
    int32_t width; /* of the plot */
    double x_low, x_high, y_low, y_high;
    signed char cells[ROWS][MOST_WIDTH]; /* -1: empty, else a strategy's number */
};

static void frame(struct canvas *canvas, const struct df_curve *curve)
{
    canvas->x_low = canvas->y_low = INFINITY;
    canvas->x_high = canvas->y_high = -INFINITY;
    for (int64_t i = 0; i < curve->count; i++) {
        canvas->x_low = fmin(canvas->x_low, (double)curve->rows[i].annotations);
        canvas->x_high = fmax(canvas->x_high, (double)curve->rows[i].annotations);
        canvas->y_low = fmin(canvas->y_low, curve->rows[i].accuracy);
        canvas->y_high = fmax(canvas->y_high, curve->rows[i].accuracy);
    }
    if (!(canvas->x_high > canvas->x_low))
        canvas->x_high = canvas->x_low + 1;
    if (!(canvas->y_high > canvas->y_low))
        canvas->y_high = canvas->y_low + 0.01;
    double step = df_nice_step(canvas->y_high - canvas->y_low, 4);
    canvas->y_low = fmax(0, floor(canvas->y_low / step) * step);
    canvas->y_high = fmin(1, ceil(canvas->y_high / step - 1e-9) * step);
}

static void draw(struct canvas *canvas, const struct df_curve_point *points, int64_t count, int32_t number)
{
    for (int32_t column = 0; column < canvas->width; column++) {
        double share = canvas->width > 1 ? (double)column / (canvas->width - 1) : 0;
        double mean = mean_at(points, count, canvas->x_low + share * (canvas->x_high - canvas->x_low));
        if (isnan(mean))
            continue;
        double up = (mean - canvas->y_low) / (canvas->y_high - canvas->y_low);
        long row = lrint((1 - up) * (ROWS - 1));
        if (row >= 0 && row < ROWS)
            canvas->cells[row][column] = (signed char)number;
    }
}

/* What the marks mean, in lines of the plot's width. */
static void print_keys(struct df_text *text, int32_t width, const struct df_report_run *run, bool ascii)
{
    int32_t column = 0;
    df_text_add(text, "%*s", MARGIN + 1, "");
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const char *strategy = run->config.strategy[s].name;
        const double mean = run->summary[s].accuracy_mean; /* NaN: no round is finished */
        char accuracy[16] = "";
        if (isfinite(mean))
            df_print(accuracy, sizeof accuracy, " %.1f %%", 100 * mean);
        const int32_t length = 2 + (int32_t)(strlen(strategy) + strlen(accuracy));
        if (column && column + GAP + length > width) {
            df_text_add(text, "\n%*s", MARGIN + 1, "");
            column = 0;
        }
        df_text_add(text, "%*s%s %s%s", column ? GAP : 0, "",
                    mark_of(df_report_number(&run->config, s), ascii), strategy, accuracy);
        column += (column ? GAP : 0) + length;
    }
    df_text_add(text, "\n");
}

static void print(struct df_text *text, const struct canvas *canvas, const struct df_report_run *run,
                  bool ascii)
{
    for (int32_t row = 0; row < ROWS; row++) {
        double value = canvas->y_high - (canvas->y_high - canvas->y_low) * row / (ROWS - 1);
        bool labelled = row % 3 == 0;
        if (labelled)
            df_text_add(text, "%6.1f %% %s", 100 * fabs(value), ascii ? "|" : "┤"); /* never "-0.0" */
        else
            df_text_add(text, "%*s%s", MARGIN, "", ascii ? "|" : "│");
        int32_t last = canvas->width - 1;
        while (last >= 0 && canvas->cells[row][last] < 0)
            last--;
        for (int32_t column = 0; column <= last; column++)
            df_text_add(text, "%s",
                        canvas->cells[row][column] < 0 ? " " : mark_of(canvas->cells[row][column], ascii));
        df_text_add(text, "\n");
    }
    df_text_add(text, "%*s%s", MARGIN, "", ascii ? "+" : "└");
    for (int32_t column = 0; column < canvas->width; column++)
        df_text_add(text, "%s", ascii ? "-" : "─");
    df_text_add(text, "\n%*s%-*.0f%*.0f annotations\n", MARGIN + 1, "", LABEL, canvas->x_low,
                canvas->width - LABEL - 12 > LABEL ? canvas->width - LABEL - 12 : LABEL, canvas->x_high);
    print_keys(text, canvas->width, run, ascii);
}

dfal_status dfal_run_curve(dfal_context *context, char **text, const char *dir, int32_t width, bool ascii)
{
    struct df_report_run run = {0};
    struct df_text out = {0};
    struct canvas *canvas = NULL;
    dfal_status status;
    (void)context;
    *text = NULL;
    if (width < LEAST_WIDTH)
        DF_FAIL(DFAL_E_USAGE, "the width is %d columns, expected at least %d", width, LEAST_WIDTH);
    DF_TRY_TO(done, status, df_report_run_read(&run, dir));
    if (!run.curve.count) {
        status = df_fail(DFAL_E_DATA, "%s: no round is finished, expected at least one", dir);
        goto done;
    }
    DF_TRY_TO(done, status, df_alloc(&canvas, 1, sizeof *canvas));
    canvas->width = (width < MOST_WIDTH ? width : MOST_WIDTH) - MARGIN - 1;
    memset(canvas->cells, -1, sizeof canvas->cells);
    frame(canvas, &run.curve);
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t s = 0; s < run.config.strategy_count; s++) {
            struct df_curve_point *points = NULL;
            int64_t count = 0;
            int32_t number = df_report_number(&run.config, s);
            if ((number == 0) != (pass == 0))
                continue;
            DF_TRY_TO(done, status,
                      df_curve_points(&points, &count, &run.curve, run.config.strategy[s].name));
            draw(canvas, points, count, number);
            df_free(points);
        }
    }
    print(&out, canvas, &run, ascii);
    status = df_text_take(&out, text);
done:
    df_text_clear(&out);
    df_free(canvas);
    df_report_run_clear(&run);
    return status;
}
