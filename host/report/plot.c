/* SPDX-License-Identifier: Apache-2.0 */
/* The curve as inline SVG: mean accuracy with a band of one standard error, labelled at its end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/report.h"

/* A drawing in its own units, which are a reader's pixels at about the width it is made for. One with names
 * labels its lines; another one has numbers there, which a list below explains. */
struct shape {
    const char *class_name;
    int32_t width, height, left, right, top, bottom;
    int x_steps;
    bool names;
};
static const struct shape wide_names = {"broad", 760, 400, 56, 148, 18, 48, 6, true},
                          wide_numbers = {"broad", 760, 400, 56, 30, 18, 48, 6, false},
                          narrow = {"narrow", 360, 300, 48, 26, 12, 46, 4, false};
enum { LABEL_HEIGHT = 17, LETTER_WIDTH = 7, DASHES = 6, MOST_LINES = DF_MAX_STRATEGIES * DF_REPORT_RUNS };

struct line {
    struct df_curve_point *points;
    int64_t count;
    const char *run, *strategy; /* run NULL: the only one */
    int32_t colour, dash;       /* dash 0: none */
    int32_t number;             /* from 1 */
    double label_y;
};

struct frame {
    const struct shape *shape;
    double x_low, x_high, y_low, y_high; /* data; y is a fraction */
};

static double at_x(const struct frame *f, double x)
{
    const struct shape *d = f->shape;
    return d->left + (x - f->x_low) / (f->x_high - f->x_low) * (d->width - d->left - d->right);
}

static double at_y(const struct frame *f, double y)
{
    const struct shape *d = f->shape;
    return d->height - d->bottom - (y - f->y_low) / (f->y_high - f->y_low) * (d->height - d->top - d->bottom);
}

static double spread(const struct df_curve_point *point)
{
    return isfinite(point->standard_error) ? point->standard_error : 0;
}

static struct frame frame_of(const struct shape *shape, const struct line *lines, int32_t count)
{
    struct frame f = {shape, INFINITY, -INFINITY, INFINITY, -INFINITY};
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
    const struct shape *d = f->shape;
    const int right = d->width - d->right, floor_y = d->height - d->bottom;
    double y_step = df_nice_step(f->y_high - f->y_low, 5),
           x_step = df_nice_step(f->x_high - f->x_low, d->x_steps);
    int decimals = y_step < 0.001 ? 2 : y_step < 0.01 ? 1 : 0;
    if (x_step < 1)
        x_step = 1;
    df_text_add(page, "<g class=\"axis\">\n");
    for (double y = ceil(f->y_low / y_step - 1e-9) * y_step; y <= f->y_high + 1e-9; y += y_step)
        df_text_add(
            page,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%.*f %%</text>\n",
            d->left, right, at_y(f, y), at_y(f, y), d->left - 8, at_y(f, y) + 4, decimals,
            100 * fabs(y)); /* never "-0 %" */
    for (double x = ceil(f->x_low / x_step) * x_step; x <= f->x_high + 1e-9; x += x_step)
        df_text_add(
            page,
            "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"middle\">%.0f</text>\n",
            at_x(f, x), at_x(f, x), floor_y, floor_y + 5, at_x(f, x), floor_y + 20, x);
    df_text_add(page, "<line class=\"base\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", d->left, right,
                floor_y, floor_y);
    df_text_add(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">annotations</text>\n</g>\n",
                (d->left + right) / 2, d->height - 6);
}

static void put_dash(struct df_text *page, const struct line *line)
{
    if (line->dash)
        df_text_add(page, " d%d", line->dash);
}

static void put_line(struct df_text *page, const struct frame *f, const struct line *line)
{
    const int32_t colour = line->colour;
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
    df_text_add(page, "<polyline class=\"line c%d", colour);
    put_dash(page, line);
    df_text_add(page, "\" points=\"");
    for (int64_t i = 0; i < line->count; i++)
        df_text_add(page, "%.1f,%.1f ", at_x(f, (double)line->points[i].annotations),
                    at_y(f, line->points[i].mean));
    df_text_add(page, "\"/>\n");
    const struct df_curve_point *last = &line->points[line->count - 1];
    df_text_add(page, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", colour,
                at_x(f, (double)last->annotations), at_y(f, last->mean));
}

/* Labels at the lines' ends, pushed apart where they would touch: from the top, each below the one before. */
static void put_labels(struct df_text *page, const struct frame *f, struct line *lines, int32_t count)
{
    const struct shape *d = f->shape;
    int32_t order[MOST_LINES], n = 0;
    for (int32_t s = 0; s < count; s++) {
        lines[s].label_y = at_y(f, lines[s].points[lines[s].count - 1].mean);
        int32_t at = n++;
        for (; at > 0 && lines[order[at - 1]].label_y > lines[s].label_y; at--)
            order[at] = order[at - 1];
        order[at] = s;
    }
    for (int32_t i = 1; i < n; i++)
        lines[order[i]].label_y = fmax(lines[order[i]].label_y, lines[order[i - 1]].label_y + LABEL_HEIGHT);
    for (int32_t i = n; i-- > 0;) {
        double lowest = d->height - d->bottom - LABEL_HEIGHT * (n - 1 - i);
        lines[order[i]].label_y = fmin(lines[order[i]].label_y, lowest);
    }
    for (int32_t i = 0; i < n; i++) {
        const struct line *line = &lines[order[i]];
        df_text_add(page, "<text class=\"name c%d\" x=\"%d\" y=\"%.1f\">", line->colour,
                    d->width - d->right + 10, line->label_y + 4.5);
        if (d->names) {
            df_text_html(page, line->strategy);
            df_text_add(page, " %.1f %%</text>\n", 100 * line->points[line->count - 1].mean);
        } else {
            df_text_add(page, "%d</text>\n", line->number);
        }
    }
}

static void put_name(struct df_text *page, const struct line *line)
{
    if (line->run) {
        df_text_html(page, line->run);
        df_text_add(page, ": ");
    }
    df_text_html(page, line->strategy);
}

static void put_description(struct df_text *page, const struct line *lines, int32_t count, const char *id)
{
    df_text_add(page, "<title id=\"t%s\">Test accuracy over annotations</title>\n<desc id=\"d%s\">", id, id);
    for (int32_t s = 0; s < count; s++) {
        const struct line *line = &lines[s];
        const struct df_curve_point *a = &line->points[0], *b = &line->points[line->count - 1];
        put_name(page, line);
        df_text_add(page, " goes from %.1f %% at %lld annotations to %.1f %% at %lld. ", 100 * a->mean,
                    (long long)a->annotations, 100 * b->mean, (long long)b->annotations);
    }
    df_text_add(page, "The band is one standard error.</desc>\n");
}

/* A drawing that has room for the names at its right, and for one below the other. */
static struct shape make_room(const struct shape *shape, const struct line *lines, int32_t count)
{
    struct shape out = *shape;
    for (int32_t s = 0; s < count && shape->names; s++) {
        const int32_t width = 24 + LETTER_WIDTH * (int32_t)(strlen(lines[s].strategy) + strlen(" 100.0 %"));
        out.right = width > out.right ? width : out.right;
    }
    const int32_t height = shape->top + shape->bottom + LABEL_HEIGHT * count;
    out.height = height > out.height ? height : out.height;
    return out;
}

static void put_drawing(struct df_text *page, const struct shape *kind, struct line *lines, int32_t count,
                        const char *number)
{
    const struct shape room = make_room(kind, lines, count), *shape = &room;
    const struct frame f = frame_of(shape, lines, count);
    char id[32];
    snprintf(id, sizeof id, "%s%s", number, shape->class_name);
    df_text_add(page, "<svg viewBox=\"0 0 %d %d\" class=\"%s\" role=\"img\" aria-labelledby=\"t%s d%s\">\n",
                shape->width, shape->height, shape->class_name, id, id);
    put_description(page, lines, count, id);
    put_axes(page, &f);
    /* The baseline lies below the others. */
    for (int pass = 0; pass < 2; pass++)
        for (int32_t s = 0; s < count; s++)
            if ((lines[s].colour == 0) == (pass == 0))
                put_line(page, &f, &lines[s]);
    put_labels(page, &f, lines, count);
    df_text_add(page, "</svg>\n");
}

/* What the numbers mean. */
static void put_keys(struct df_text *page, const struct line *lines, int32_t count, bool only_narrow)
{
    df_text_add(page, "<ol class=\"keys%s\">\n", only_narrow ? " narrow" : "");
    for (int32_t s = 0; s < count; s++) {
        const struct df_curve_point *last = &lines[s].points[lines[s].count - 1];
        df_text_add(page, "<li class=\"c%d\"><svg viewBox=\"0 0 34 10\"><path class=\"sample line c%d",
                    lines[s].colour, lines[s].colour);
        put_dash(page, &lines[s]);
        df_text_add(page, "\" d=\"M0 5H34\"/></svg><b>%d</b> ", lines[s].number);
        put_name(page, &lines[s]);
        df_text_add(page, ", %.1f %% with %lld annotations</li>\n", 100 * last->mean,
                    (long long)last->annotations);
    }
    df_text_add(page, "</ol>\n");
}

/* The lines of a run behind those that are there; strategies without a round have none. */
static dfal_status add_lines(struct line *lines, int32_t *count, const struct df_report_run *run)
{
    for (int32_t s = 0; s < run->config.strategy_count; s++) {
        const int32_t number = df_report_number(&run->config, s), cycle = df_report_cycle(number);
        struct line *line = &lines[*count];
        *line =
            (struct line){.run = run->name,
                          .strategy = run->config.strategy[s].name,
                          .colour = df_report_colour(number),
                          .dash = cycle ? 2 + (cycle - 1) % DASHES : 0, /* d1 are random's in other charts */
                          .number = *count + 1};
        DF_TRY(df_curve_points(&line->points, &line->count, &run->curve, run->config.strategy[s].name));
        if (line->count)
            ++*count;
        else
            df_free(line->points);
    }
    return DFAL_OK;
}

static void free_lines(struct line *lines, int32_t count)
{
    for (int32_t s = 0; s < count; s++)
        df_free(lines[s].points);
    df_free(lines);
}

dfal_status df_plot_curve(struct df_text *page, const struct df_report_run *run, int32_t number)
{
    struct line *lines = NULL;
    int32_t count = 0;
    char id[16];
    dfal_status status;
    snprintf(id, sizeof id, "%d", number);
    DF_TRY_TO(done, status, df_alloc(&lines, DF_MAX_STRATEGIES, sizeof *lines));
    DF_TRY_TO(done, status, add_lines(lines, &count, run));
    for (int32_t s = 0; s < count; s++)
        lines[s].run = NULL;
    put_drawing(page, &wide_names, lines, count, id);
    put_drawing(page, &narrow, lines, count, id);
    put_keys(page, lines, count, true);
done:
    free_lines(lines, count);
    return status;
}

/* Here a colour is a run; what a run compares differs in its dashes, random's are those that it always
 * has. */
dfal_status df_plot_runs(struct df_text *page, const struct df_report_run *runs, int32_t count)
{
    struct line *lines = NULL;
    int32_t line_count = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&lines, MOST_LINES, sizeof *lines));
    for (int32_t r = 0; r < count; r++) {
        int32_t next = 0;
        const int32_t first = line_count;
        DF_TRY_TO(done, status, add_lines(lines, &line_count, &runs[r]));
        for (int32_t s = first; s < line_count; s++) {
            const bool random = lines[s].colour == 0;
            lines[s].dash = random ? 1 : s == first ? 0 : 2 + next++ % DASHES;
            lines[s].colour = df_report_colour(1 + r);
        }
    }
    put_drawing(page, &wide_numbers, lines, line_count, "all");
    put_drawing(page, &narrow, lines, line_count, "all");
    put_keys(page, lines, line_count, false);
done:
    free_lines(lines, line_count);
    return status;
}
