/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the report, of a run directory whose numbers are written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "report/report_tables.h"
#include "run/curve.h"
#include "support_world.h"

/* 5 % point of Student's t for 2 degrees is 4.302653: three accuracies 2 points apart have an interval of
 * 4.302653 x 2 / sqrt 3 = 4.97 points. */
static const char config[] =
    "data: {train: train.h5, test: test.h5}\n"
    "strategies: [dfal, random]\ninitial: 10\nquery: 90\nannotations: 100\ntrials: 3\n";
static const char curve[] = DF_CURVE_COLUMNS "\n"
                                             "dfal,1,0,10,10,0.50,0.50,1,1,0,5,2,\n"
                                             "dfal,1,1,100,190,0.80,0.80,1,10,1,5,20,OK 299 MAX_ITER 1\n"
                                             "random,1,0,10,10,0.40,0.40,1,1,0,5,2,\n"
                                             "random,1,1,100,100,0.70,0.70,1,10,0.01,5,20,\n"
                                             "dfal,2,0,10,10,0.52,0.52,1,1,0,5,2,\n"
                                             "dfal,2,1,100,190,0.84,0.84,1,10,2,5,20,OK 299 MAX_ITER 1\n"
                                             "random,2,0,10,10,0.44,0.44,1,1,0,5,2,\n"
                                             "random,2,1,100,100,0.74,0.74,1,10,0.02,5,20,\n"
                                             "dfal,3,0,10,10,0.54,0.54,1,1,0,5,2,\n"
                                             "dfal,3,1,100,190,0.82,0.82,1,13,6,5,26,OK 299 MAX_ITER 1\n"
                                             "random,3,0,10,10,0.42,0.42,1,1,0,5,2,\n"
                                             "random,3,1,100,100,0.78,0.78,1,10,0.03,5,20,\n";
static const char queries[] =
    "strategy,trial,round,rank,id,index,score,predicted,confidence,label,adversarial_class,predicted_name,"
    "label_name,adversarial_name\n"
    "dfal,1,1,1,a,1,0.1,1,0.5,0,1,y_2,\"x, & z\",y_2\n"
    "dfal,1,1,2,b,2,0.2,1,0.5,0,1,y_2,\"x, & z\",y_2\n"
    "random,1,1,1,b,2,,1,0.5,0,-1,y_2,\"x, & z\",\n"
    "random,1,1,2,c,5,,1,0.5,1,-1,y_2,y_2,\n"
    "dfal,2,1,1,d,3,0.1,1,0.5,1,0,y_2,y_2,\"x, & z\"\n"
    "dfal,2,1,2,e,4,0.2,1,0.5,0,1,y_2,\"x, & z\",y_2\n"
    "random,2,1,1,e,4,,1,0.5,0,-1,y_2,\"x, & z\",\n"
    "random,2,1,2,d,3,,1,0.5,1,-1,y_2,y_2,\n";

static dfal_context *context;

static int setup(void **state)
{
    if (world_setup(state))
        return -1;
    context = world_context("ref", 1, NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    dfal_context_destroy(context);
    return world_teardown(state);
}

static void put(const char *dir, const char *name, const char *text, const char *more)
{
    char path[TEST_PATH * 2];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fputs(more, file);
    assert_int_equal(fclose(file), 0);
}

/* All of a trial's last rounds, as a network learnt their rows that did not choose them. */
static const char transfer[] = DF_TRANSFER_COLUMNS "\n"
                                                   "dfal,1,1,100,190,0.90\n"
                                                   "random,1,1,100,100,0.70\n"
                                                   "dfal,2,1,100,190,0.92\n"
                                                   "random,2,1,100,100,0.72\n"
                                                   "dfal,3,1,100,190,0.94\n"
                                                   "random,3,1,100,100,0.74\n";

/* Write the run with more lines in its configuration; give its tables as LaTeX. */
static char *tables_of(const char *name, const char *more, const char *asked)
{
    char dir[TEST_PATH + 32], out[TEST_PATH + 64];
    snprintf(dir, sizeof dir, "%s/%s", world.folder, name);
    snprintf(out, sizeof out, "%s/%s.tex", world.folder, name);
    assert_int_equal(mkdir(dir, 0777), 0);
    put(dir, "config.yaml", config, more);
    put(dir, "curve.csv", curve, "");
    if (strstr(more, "transfer"))
        put(dir, "transfer.csv", transfer, "");
    if (asked)
        put(dir, "queries.csv", asked, "");
    test_ok(dfal_report_latex(context, out, (const char *const[]){dir}, 1));
    snprintf(out, sizeof out, "%s.tex", name);
    return world_read(world.folder, out);
}

static void has(const char *text, const char *line)
{
    if (!strstr(text, line))
        test_fail("'%s' is not in the tables:\n%s", line, text);
}

static void has_not(const char *text, const char *line)
{
    if (strstr(text, line))
        test_fail("'%s' is in the tables:\n%s", line, text);
}

static void test_marks(void **state)
{
    (void)state;
    char *text = tables_of("plain", "", queries);
    has(text, "strategy & 10 & 100 \\\\\n\\hline\ndfal & 52.00 $\\pm$ 4.97 & 82.00 $\\pm$ 4.97 \\\\\n"
              "random & 42.00 $\\pm$ 4.97 & 74.00 $\\pm$ 9.94 \\\\\n");
    /* 10, 8 and 12; 10, 10 and 4 points */
    has(text,
        "strategy & 10 & 100 \\\\\n\\hline\ndfal & +10.00 $\\pm$ 4.97 & +8.00 $\\pm$ 8.61 \\\\\n\\hline\n");
    has_not(text, "paper");
    has_not(text, "Annotations until");
    free(text);
}

static void test_paper(void **state)
{
    (void)state;
    char *text = tables_of("paper", "report: {paper: mnist}\n", queries);
    has(text, "strategy & 10 & 100 & paper, 100 \\\\\n\\hline\n"
              "dfal & 52.00 $\\pm$ 4.97 & 82.00 $\\pm$ 4.97 & 82.77 \\\\\n"
              "random & 42.00 $\\pm$ 4.97 & 74.00 $\\pm$ 9.94 & 77.56 \\\\\n");
    has(text, "99.04 \\% in the paper");
    has(text, "dfal & more than 100 & 1210 \\\\\nrandom & more than 100 &  \\\\\n");
    free(text);
    text = tables_of("known", "report: {paper: mnist, full_set: 0.824}\n", queries);
    has(text, "82.40 \\%}");
    has(text, "dfal & 100 & 1210 \\\\\nrandom & more than 100 &  \\\\\n");
    free(text);
    text = tables_of("transferred", "transfer: vgg8\nreport: {paper: mnist}\n", queries);
    has(text, "accuracy of vgg8 on the rows that were chosen with lenet5");
    has(text, "table 4, at 1000: dfal 97.80, random 94.46}");
    has(text,
        "strategy & 100 \\\\\n\\hline\ndfal & 92.00 $\\pm$ 4.97 \\\\\nrandom & 72.00 $\\pm$ 4.97 \\\\\n");
    free(text);
    /* With another network the paper has nothing to say of this data set. */
    text = tables_of("other", "report: {paper: mnist}\nnetwork: other.h5\n", queries);
    has_not(text, "paper, 100");
    free(text);
}

/* Areas by their spans: 65, 68 and 68 % against 55, 59 and 60; differences of 10, 9 and 8 points. */
static void test_primary(void **state)
{
    (void)state;
    char *text =
        tables_of("primary", "report: {primary: 'dfal against random,  dfal against nobody '}\n", queries);
    has(text, "comparison & trials & difference & significant");
    has(text, "dfal against random & 3 & +9.00 $\\pm$ 2.48 & yes (p = 0.0041, corrected 0.0041) \\\\\n"
              "dfal against nobody & 0 &  & nobody has no round \\\\\n");
    free(text);
    text = tables_of("none", "", queries);
    has_not(text, "comparison");
    free(text);
}

static void test_choices(void **state)
{
    (void)state;
    char *text = tables_of("choices", "", queries);
    /* 3 of 4 and 1 of 4: an entropy of 0.8113 bits; 2 of 4 each: 1 bit */
    has(text, "strategy & queries & evenness & x, \\& z & y\\_2 \\\\\n\\hline\n"
              "dfal & 4 & 81.13 & 75.0 & 25.0 \\\\\nrandom & 4 & 100.00 & 50.0 & 50.0 \\\\\n");
    has(text, "strategy & dfal & random \\\\\n\\hline\ndfal &  & 75.0 \\\\\nrandom & 75.0 &  \\\\\n");
    has(text, "strategy & choosing & first quarter of rounds & last quarter & training & whole round "
              "\\\\\n\\hline\n"
              "dfal & 3 & 3 & 3 & 11 & 22 \\\\\nrandom & 0.02 & 0.02 & 0.02 & 10 & 20 \\\\\n");
    has(text, "strategy & runs & OK & MAX\\_ITER \\\\\n\\hline\ndfal & 900 & 99.67 & 0.33 \\\\\n\\hline\n");
    free(text);
    /* A table of an earlier version, which has no names. */
    text = tables_of("earlier", "",
                     "strategy,trial,round,rank,id,index,score,predicted,confidence,label,adversarial_class\n"
                     "dfal,1,1,1,a,1,0.1,1,0.5,0,1\ndfal,1,1,2,b,2,0.1,1,0.5,1,1\n");
    has(text, "strategy & queries & evenness & 0 & 1 \\\\\n\\hline\ndfal & 2 & 100.00 & 50.0 & 50.0 \\\\\n");
    has_not(text, "in common");
    free(text);
    /* Without its queries the other tables stand. */
    text = tables_of("lost", "", NULL);
    has_not(text, "evenness");
    has(text, "whole round");
    free(text);
}

/* Who is not as far as others of the strategy is left out, and queries count as far as both have come. */
static void test_unfinished(void **state)
{
    (void)state;
    char dir[TEST_PATH + 32], out[TEST_PATH + 64];
    snprintf(dir, sizeof dir, "%s/unfinished", world.folder);
    snprintf(out, sizeof out, "%s/unfinished.tex", world.folder);
    assert_int_equal(mkdir(dir, 0777), 0);
    put(dir, "config.yaml", config, "");
    put(dir, "curve.csv", DF_CURVE_COLUMNS "\n",
        "dfal,1,0,10,10,0.50,0.50,1,1,0,5,2,\ndfal,1,1,100,190,0.80,0.80,1,10,1,5,20,\n"
        "random,1,0,10,10,0.40,0.40,1,1,0,5,2,\nrandom,1,1,100,100,0.70,0.70,1,10,1,5,20,\n"
        "dfal,2,0,10,10,0.10,0.10,1,1,0,5,2,\ndfal,2,1,100,190,0.90,0.90,1,10,1,5,20,\n"
        "random,2,0,10,10,0.20,0.20,1,1,0,5,2,\n");
    put(dir, "queries.csv", queries, "");
    put(dir, "classes.csv", "strategy,trial,round,class,accuracy,samples,queried,class_name\n",
        "dfal,1,0,0,0.5,10,1,a\ndfal,1,0,1,0.5,10,1,b\ndfal,1,0,3,0.5,10,1,d\nx,y\n");
    test_ok(dfal_report_latex(context, out, (const char *const[]){dir}, 1));
    char *text = world_read(world.folder, "unfinished.tex");
    has(text, "the run is not finished");
    has(text, "dfal & 100 & 190 & 2 & 85.00 $\\pm$ 5.00 & 85.00 & 5 & +10.00 & not tested: fewer than two "
              "trials of");
    has(text, "random & 100 & 100 & 1 & 70.00 & 70.00 & 5 &  &  \\\\\n");
    has(text,
        "strategy & queries & evenness & x, \\& z & y\\_2 & 2 & 3 \\\\\n"); /* classes.csv tells of four */
    has(text, "dfal & 4 & 40.56 & 75.0 & 25.0 & 0.0 & 0.0 \\\\\n");         /* of two bits */
    free(text);
    /* One trial of more strategies than there are sentences for. */
    snprintf(dir, sizeof dir, "%s/single", world.folder);
    snprintf(out, sizeof out, "%s/single.html", world.folder);
    assert_int_equal(mkdir(dir, 0777), 0);
    put(dir, "config.yaml", "strategies: [dfal, margin, entropy, badge, logit-gap, random]\ntrials: 1\n", "");
    put(dir, "curve.csv", DF_CURVE_COLUMNS "\n",
        "dfal,1,0,10,10,0.50,0.50,1,1,0,5,2,\nmargin,1,0,10,10,0.40,0.40,1,1,0,5,2,\n"
        "entropy,1,0,10,10,,,1,1,0,5,2,\nbadge,1,0,10,10,0.40,0.40,1,1,0,5,2,\n"
        "logit-gap,1,0,10,10,0.39,0.40,1,1,0,5,2,\nrandom,1,0,10,10,0.40,0.40,1,1,0,5,2,\n");
    test_ok(dfal_report(context, out, (const char *const[]){dir}, 1));
    text = world_read(world.folder, "single.html");
    has(text, "<b>Beside random</b> in test accuracy, in points above it: dfal +10.0, margin +0.0, badge "
              "+0.0, logit-gap -1.0; "
              "not tested");
    has_not(text, "paired t test with Holm's correction, 5 %)");
    free(text);
}

/* Tables of strangers: numbers that cannot be cost the tables of the queries. */
static void test_hostile(void **state)
{
    (void)state;
    static const char head[] =
        "strategy,trial,round,rank,id,index,score,predicted,confidence,label,adversarial_class\n";
    static const char *const rows[] = {
        "dfal,1,1,1,a,1,0.1,1,0.5,2147483647,1\ndfal,1,1,2,b,2,0.1,1,0.5,5,1\n",
        "dfal,1,1,1,a,1,0.1,1,0.5,-2,1\n",
        "dfal,0,1,1,a,1,0.1,1,0.5,1,1\n",
        "dfal,1,1,1,a,-1,0.1,1,0.5,1,1\n",
        "dfal,1,1,1,a,x,0.1,1,0.5,1,1\n",
        "dfal,1,1,1,a,99999999999999999999,0.1,1,0.5,1,1\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[32], table[512];
        snprintf(name, sizeof name, "hostile%zu", i);
        snprintf(table, sizeof table, "%s%s", head, rows[i]);
        char *text = tables_of(name, "", table);
        has_not(text, "evenness");
        has(text, "whole round");
        free(text);
    }
    char many[512]; /* a header alone; a label that is not known */
    snprintf(many, sizeof many, "%s", head);
    char *text = tables_of("empty", "", many);
    has_not(text, "evenness");
    free(text);
    snprintf(many, sizeof many, "%sdfal,1,1,1,a,1,0.1,1,0.5,-1,1\n", head);
    text = tables_of("unknown", "", many);
    has_not(text, "evenness");
    free(text);
}

static void test_page(void **state)
{
    (void)state;
    char dir[TEST_PATH + 32], out[TEST_PATH + 64];
    snprintf(dir, sizeof dir, "%s/paper", world.folder);
    snprintf(out, sizeof out, "%s/page.html", world.folder);
    test_ok(dfal_report(context, out, (const char *const[]){dir}, 1));
    char *text = world_read(world.folder, "page.html");
    has(text, "<h3>On the way</h3>");
    has(text, "</th><td class=\"n\">52.00 ± 4.97<td class=\"n\">82.00 ± 4.97<td class=\"n\">82.77</tr>");
    has(text, "<th scope=\"col\" class=\"n\">x, &amp; z</th>");
    free(text);
}

static void test_latex_text(void **state)
{
    (void)state;
    struct df_text text = {0};
    df_latex_text(&text, "a_b\n{50%} \\ ~^#$& ±");
    assert_string_equal(text.bytes,
                        "a\\_b \\{50\\%\\} \\textbackslash{} \\textasciitilde{}\\^{}\\#\\$\\& $\\pm$");
    df_text_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),   cmocka_unit_test(test_paper),      cmocka_unit_test(test_choices),
        cmocka_unit_test(test_primary), cmocka_unit_test(test_unfinished), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_page),    cmocka_unit_test(test_latex_text),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
