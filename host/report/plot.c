/* SPDX-License-Identifier: Apache-2.0 */
/* The curve as inline SVG: mean accuracy with a band of one standard error, labelled at its end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/report.h"

/* The drawing's own units. */
enum { WIDTH = 760, HEIGHT = 400, LEFT = 56, RIGHT = 148, TOP = 18, BOTTOM = 48, LABEL_HEIGHT = 17 };

double df_nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw))), rest = raw / power;
    return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

int32_t df_report_colour(const struct df_run_config *config, int32_t strategy)
{
    int32_t colour = 0;
    if (!strcmp(config->strategy[strategy], "random"))
        return 0;
    for (int32_t s = 0; s <= strategy; s++)
        colour += strcmp(config->strategy[s], "random") != 0;
    return 1 + (colour - 1) % 6;
}

struct line {
    struct df_curve_point *points;
    int64_t count;
    double label_y;
};

struct frame {
    double x_low, x_high, y_low, y_high; /* data; y is a fraction */
};

static double at_x(const struct frame *f, double x)
{
    return LEFT + (x - f->x_low) / (f->x_high - f->x_low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM - (y - f->y_low) / (f->y_high - f->y_low) * (HEIGHT - TOP - BOTTOM);
}

static double spread(const struct df_curve_point *point)
{
    return isfinite(point->standard_error) ? point->standard_error : 0;
}

static struct frame frame_of(const struct line *lines, int32_t count)
{
    struct frame f = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int32_t s = 0; s < count; s++) {
        for (int64_t i = 0; i < lines[s].count; i++) {
            const struct df_curve_point *point = &lines[s].points[i];
            f.x_low = fmin(f.x_low, (double)point->annotations);
            f.x_high = fmax(f.x_high, (double)point->annotations);
            f.y_low = fmin(f.y_low, point->mean - spread(point));
            f.y_high = fmax(f.y_high, point->mean + spread(point));
        }
    }
    if (!(f.x_high > f.x_low)) {
        f.x_low = isfinite(f.x_low) ? f.x_low - 1 : 0;
        f.x_high = f.x_low + 2;
    }
    if (!(f.y_high > f.y_low)) {
        f.y_low = isfinite(f.y_low) ? f.y_low - 0.005 : 0;
        f.y_high = f.y_low + 0.01;
    }
    double step = df_nice_step(f.y_high - f.y_low, 5);
    f.y_low = fmax(0, floor(f.y_low / step) * step);
    f.y_high = fmin(1, ceil(f.y_high / step - 1e-9) * step);
    return f;
}

static void put_axes(struct df_text *page, const struct frame *f)
{
    double y_step = df_nice_step(f->y_high - f->y_low, 5), x_step = df_nice_step(f->x_high - f->x_low, 6);
    int decimals = y_step < 0.001 ? 2 : y_step < 0.01 ? 1 : 0;
    if (x_step < 1)
        x_step = 1;
    df_text_add(page, "<g class=\"axis\">\n");
    for (double y = ceil(f->y_low / y_step - 1e-9) * y_step; y <= f->y_high + 1e-9; y += y_step)
        df_text_add(
            page,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%.*f %%</text>\n",
            LEFT, WIDTH - RIGHT, at_y(f, y), at_y(f, y), LEFT - 8, at_y(f, y) + 4, decimals,
            100 * fabs(y)); /* never "-0 %" */
    for (double x = ceil(f->x_low / x_step) * x_step; x <= f->x_high + 1e-9; x += x_step)
        df_text_add(
            page,
            "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"middle\">%.0f</text>\n",
            at_x(f, x), at_x(f, x), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5, at_x(f, x), HEIGHT - BOTTOM + 20,
            x);
    df_text_add(page, "<line class=\"base\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, WIDTH - RIGHT,
                HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    df_text_add(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">annotations</text>\n</g>\n",
                (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
}

static void put_line(struct df_text *page, const struct frame *f, const struct line *line, int32_t colour)
{
    bool band = false;
    for (int64_t i = 0; i < line->count; i++)
        band = band || spread(&line->points[i]) > 0;
    if (band) {
        df_text_add(page, "<polygon class=\"band c%d\" points=\"", colour);
        for (int64_t i = 0; i < line->count; i++)
            df_text_add(page, "%.1f,%.1f ", at_x(f, (double)line->points[i].annotations),
                        at_y(f, fmin(f->y_high, line->points[i].mean + spread(&line->points[i]))));
        for (int64_t i = line->count; i-- > 0;)
            df_text_add(page, "%.1f,%.1f ", at_x(f, (double)line->points[i].annotations),
                        at_y(f, fmax(f->y_low, line->points[i].mean - spread(&line->points[i]))));
        df_text_add(page, "\"/>\n");
    }
    df_text_add(page, "<polyline class=\"line c%d\" points=\"", colour);
    for (int64_t i = 0; i < line->count; i++)
        df_text_add(page, "%.1f,%.1f ", at_x(f, (double)line->points[i].annotations),
                    at_y(f, line->points[i].mean));
    df_text_add(page, "\"/>\n");
    const struct df_curve_point *last = &line->points[line->count - 1];
    df_text_add(page, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", colour,
                at_x(f, (double)last->annotations), at_y(f, last->mean));
}

/* Labels at the lines' ends, pushed apart where they would touch: from the top, each below the one before. */
static void put_labels(struct df_text *page, const struct frame *f, struct line *lines,
                       const struct df_run_config *config)
{
    int32_t order[DF_MAX_STRATEGIES], n = 0;
    for (int32_t s = 0; s < config->strategy_count; s++) {
        if (!lines[s].count)
            continue;
        lines[s].label_y = at_y(f, lines[s].points[lines[s].count - 1].mean);
        int32_t at = n++;
        for (; at > 0 && lines[order[at - 1]].label_y > lines[s].label_y; at--)
            order[at] = order[at - 1];
        order[at] = s;
    }
    for (int32_t i = 1; i < n; i++)
        lines[order[i]].label_y = fmax(lines[order[i]].label_y, lines[order[i - 1]].label_y + LABEL_HEIGHT);
    for (int32_t i = n; i-- > 0;) {
        double lowest = HEIGHT - BOTTOM - LABEL_HEIGHT * (n - 1 - i);
        lines[order[i]].label_y = fmin(lines[order[i]].label_y, lowest);
    }
    for (int32_t i = 0; i < n; i++) {
        const struct line *line = &lines[order[i]];
        df_text_add(page, "<text class=\"name c%d\" x=\"%d\" y=\"%.1f\">", df_report_colour(config, order[i]),
                    WIDTH - RIGHT + 10, line->label_y + 4.5);
        df_text_html(page, config->strategy[order[i]]);
        df_text_add(page, " %.1f %%</text>\n", 100 * line->points[line->count - 1].mean);
    }
}

static void put_description(struct df_text *page, const struct line *lines,
                            const struct df_run_config *config, int32_t number)
{
    df_text_add(page, "<title id=\"t%d\">Test accuracy over annotations</title>\n<desc id=\"d%d\">", number,
                number);
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct line *line = &lines[s];
        if (!line->count)
            continue;
        const struct df_curve_point *a = &line->points[0], *b = &line->points[line->count - 1];
        df_text_html(page, config->strategy[s]);
        df_text_add(page, " rises from %.1f %% at %lld annotations to %.1f %% at %lld. ", 100 * a->mean,
                    (long long)a->annotations, 100 * b->mean, (long long)b->annotations);
    }
    df_text_add(page, "The band is one standard error.</desc>\n");
}

dfal_status df_plot_curve(struct df_text *page, const struct df_report_run *run, int32_t number)
{
    struct line lines[DF_MAX_STRATEGIES] = {0};
    const struct df_run_config *config = &run->config;
    dfal_status status = DFAL_OK;
    for (int32_t s = 0; s < config->strategy_count; s++)
        DF_TRY_TO(done, status,
                  df_curve_points(&lines[s].points, &lines[s].count, &run->curve, config->strategy[s]));
    struct frame f = frame_of(lines, config->strategy_count);
    df_text_add(page, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t%d d%d\">\n", WIDTH, HEIGHT,
                number, number);
    put_description(page, lines, config, number);
    put_axes(page, &f);
    /* The baseline lies below the others. */
    for (int pass = 0; pass < 2; pass++)
        for (int32_t s = 0; s < config->strategy_count; s++)
            if (lines[s].count && (df_report_colour(config, s) == 0) == (pass == 0))
                put_line(page, &f, &lines[s], df_report_colour(config, s));
    put_labels(page, &f, lines, config);
    df_text_add(page, "</svg>\n");
done:
    for (int32_t s = 0; s < config->strategy_count; s++)
        df_free(lines[s].points);
    return status;
}
