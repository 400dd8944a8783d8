/* SPDX-License-Identifier: Apache-2.0 */
/* Label files by id: what overlays what, who contradicts whom, ids and names that want to be formulas, a
 * million lines; and that failures leave nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/label_text.h"
#include "store/labels.h"
#include "support.h"

static char folder[TEST_PATH];

static const char *at(const char *name)
{
    static char path[4][TEST_PATH];
    static int next;
    next = (next + 1) % 4;
    test_join(path[next], folder, name);
    return path[next];
}

static void make_pool(const char *name, int64_t count, const char *const *ids, const char *const *classes,
                      int32_t class_count)
{
    struct df_pool_spec spec = {.count = count,
                                .shape = {1, 1, 1},
                                .class_count = class_count,
                                .has_labels = class_count > 0,
                                .ids = ids,
                                .classes = classes};
    struct df_pool_writer *writer;
    uint8_t *raw = calloc((size_t)count, 1);
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    for (int64_t i = 0; i < count; i++)
        labels[i] = -1;
    test_ok(df_pool_create(&writer, at(name), &spec, true));
    test_ok(df_pool_append(writer, raw, class_count ? labels : NULL, count));
    test_ok(df_pool_finish(writer));
    free(raw);
    free(labels);
}

/* Open with up to three label files, NULL: none. */
static dfal_status open_with(struct df_pool **pool, const char *name, const char *a, const char *b,
                             const char *c)
{
    const char *const texts[3] = {a, b, c};
    char paths[3][TEST_PATH];
    const char *files[3];
    struct dfal_pool_options options = {.size = sizeof(struct dfal_pool_options), .label_files = files};
    for (int i = 0; i < 3 && texts[i]; i++) {
        char file[16];
        snprintf(file, sizeof file, "%c.csv", 'a' + i);
        test_join(paths[i], folder, file);
        test_ok(df_file_write(paths[i], texts[i], strlen(texts[i])));
        files[options.label_file_count++] = paths[i];
    }
    return df_pool_open(pool, NULL, at(name), &options);
}

static void test_order(void **state)
{
    (void)state;
    const char *const ids[4] = {"p", "q", "r", "s"};
    const char *const classes[3] = {"cat", "dog", "eel"};
    struct df_pool *pool;
    int64_t live = df_alloc_live();
    make_pool("order.h5", 4, ids, classes, 3);
    test_ok(open_with(&pool, "order.h5", "id,label,status\np,cat,\nq,dog,label\nr,,skip\n",
                      "label,status,id\neel,label,p\n,unsure,q\ncat,,r\n", "id,label\np,1\n"));
    test_same_ints("labels", pool->labels, (const int32_t[4]){1, -1, 0, -1}, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pool->skipped[i], 0);
    df_pool_close(pool);
    /* lines of a spreadsheet: a mark, returns, quotes, empty cells at the end */
    test_ok(open_with(
        &pool, "order.h5",
        "\xef\xbb\xbf\"id\",\"label\",\"status\"\r\n\"p\",\"cat\",\"\"\r\n\r\nq,dog,\r\n,,\r\n,,,,\r\n\r\n",
        NULL, NULL));
    test_same_ints("labels", pool->labels, (const int32_t[4]){0, 1, -1, -1}, 4);
    assert_int_equal(pool->label_conflicts, 0);
    df_pool_close(pool);
    assert_int_equal(df_alloc_live(), live);
}

struct heard {
    int count;
    int64_t conflicts;
    char text[512];
};

static void hear(void *user, const struct dfal_event *event)
{
    struct heard *heard = user;
    assert_string_equal(event->name, "labels.conflict");
    assert_int_equal(event->level, DFAL_WARNING);
    heard->count++;
    heard->conflicts = event->fields[0].integer;
    snprintf(heard->text, sizeof heard->text, "%s", event->text);
}

static void test_conflicts(void **state)
{
    (void)state;
    const char *const ids[4] = {"p", "q", "r", "s"};
    const char *const classes[3] = {"cat", "dog", "eel"};
    struct df_pool *pool;
    make_pool("conflict.h5", 4, ids, classes, 3);
    const struct {
        const char *a, *b;
        int conflicts;
        const char *words;
    } cases[] = {
        {"id,label\np,cat\nq,dog\n", "id,label\np,cat\nq,1\n", 0, ""},
        {"id,label,annotator\np,cat,ann\np,dog,ann\n", NULL, 0, ""},
        {"id,label,annotator,status\np,,ann,unsure\np,dog,bob,\n", NULL, 0, ""},
        {"id,label,annotator\np,cat,ann\nq,dog,ann\n", "id,label,annotator\nq,eel,bob\np,cat,bob\n", 1,
         "b.csv:2 says 'eel' of id 'q', "},
        {"id,label\np,cat\np,dog\np,cat\n", NULL, 2, "a.csv:3 says 'dog' of id 'p', "},
        {"id,label,status\np,cat,\nq,dog,\nr,,skip\n", "id,label,status\np,,skip\nr,eel,\nq,,unsure\n", 3,
         "a.csv:2 had said 'cat'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct heard heard = {0};
        struct dfal_context_options options;
        dfal_context *context;
        dfal_context_options_init(&options);
        options.event = hear;
        options.event_user = &heard;
        test_ok(dfal_context_create(&context, &options));
        test_ok(open_with(&pool, "conflict.h5", cases[i].a, cases[i].b, NULL));
        df_labels_warn(context, pool);
        if (heard.count != (cases[i].conflicts > 0) || heard.conflicts != cases[i].conflicts ||
            !strstr(heard.text, cases[i].words))
            test_fail("case %zu: %lld conflicts, expected %d: %s", i, (long long)heard.conflicts,
                      cases[i].conflicts, heard.text);
        df_pool_close(pool);
        dfal_context_destroy(context);
    }
}

/* Every id and class name through QUERIES.csv's writer and back, in one pool with all that look alike. */
static void test_round_trip(void **state)
{
    (void)state;
    enum { N = 24, LONG = 65536 };
    static char giant[LONG + 1];
    memset(giant, 'x', LONG);
    const char *const ids[N] = {"=cmd|' /C calc'!A0",
                                "'=cmd|' /C calc'!A0",
                                "''=cmd|' /C calc'!A0",
                                "+1",
                                "'+1",
                                "-1",
                                "@x",
                                "\tx",
                                "\rx",
                                "'",
                                "''",
                                "'a",
                                "a,b",
                                "a\"b",
                                "\"a\"",
                                "a\nb",
                                "a\r\nb",
                                "<script>alert(1)</script>",
                                " a ",
                                "\xff\xfe\x80",
                                "d\xc3\xb6g",
                                "0001",
                                "1e5",
                                giant};
    const char *const classes[4] = {"=1+1", "'=1+1", "<b>", "a,\"b\"\n"};
    struct df_pool *pool;
    struct df_text text = {0};
    int64_t live = df_alloc_live();
    make_pool("evil.h5", N, ids, classes, 4);
    df_text_add(&text, "id,label\n");
    for (int i = 0; i < N; i++) {
        df_text_csv(&text, ids[i]);
        df_text_add(&text, ",");
        df_text_csv(&text, classes[i % 4]);
        df_text_add(&text, "\r\n");
    }
    test_ok(text.status);
    for (const char *line = text.bytes; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *cell = line + (*line == '"');
        if (strchr("=+-@", *cell) && *cell)
            test_fail("a cell begins with %c: a spreadsheet would compute it", *cell);
    }
    test_ok(open_with(&pool, "evil.h5", text.bytes, NULL, NULL));
    for (int i = 0; i < N; i++)
        if (pool->labels[i] != i % 4)
            test_fail("row %d, id '%.40s', has label %d, expected %d", i, ids[i], pool->labels[i], i % 4);
    df_pool_close(pool);
    df_text_clear(&text);
    /* as people write them */
    test_ok(open_with(&pool, "evil.h5", "id,label\n=cmd|' /C calc'!A0,=1+1\n+1,'=1+1\n'a,0\n", NULL, NULL));
    assert_int_equal(pool->labels[0], 0);
    assert_int_equal(pool->labels[3], 0); /* guarded, it means the class =1+1 */
    assert_int_equal(pool->labels[11], 0);
    df_pool_close(pool);
    test_error(open_with(&pool, "evil.h5", "id,label\n\x1b[2Jx,0\n", NULL, NULL), DFAL_E_DATA, "id '?[2Jx'");
    assert_int_equal(df_alloc_live(), live);
}

static void test_own_ids(void **state)
{
    (void)state;
    struct df_pool *pool;
    const char *const doubled[3] = {"a", "b", "a"}, *const empty[3] = {"a", "", "b"};
    make_pool("doubled.h5", 3, doubled, NULL, 2);
    test_error(open_with(&pool, "doubled.h5", "id,label\nb,1\n", NULL, NULL), DFAL_E_DATA,
               "id 'a' stands in row 0 and in row 2");
    test_ok(open_with(&pool, "doubled.h5", NULL, NULL, NULL));
    df_pool_close(pool);
    make_pool("empty.h5", 3, empty, NULL, 2);
    test_error(open_with(&pool, "empty.h5", "id,label\nb,1\n", NULL, NULL), DFAL_E_DATA,
               "id of row 1 is empty");
    make_pool("none.h5", 3, NULL, NULL, 0);
    test_error(open_with(&pool, "none.h5", "id,label\n,1\n", NULL, NULL), DFAL_E_DATA,
               "a.csv:2: the id is empty");
    test_error(open_with(&pool, "none.h5", "id:label\nx:1\n", NULL, NULL), DFAL_E_DATA,
               "with commas, semicolons or tabs between");
    test_error(open_with(&pool, "none.h5", "id;label\nx;1\n", NULL, NULL), DFAL_E_DATA, ":0 to ");
    test_ok(open_with(&pool, "none.h5", NULL, NULL, NULL));
    char *id, text[128];
    test_ok(df_pool_id(pool, &id, 2));
    df_pool_close(pool);
    snprintf(text, sizeof text, "id,label\n%s,1\n", id);
    test_ok(open_with(&pool, "none.h5", text, NULL, NULL));
    test_same_ints("labels", pool->labels, (const int32_t[3]){-1, -1, 1}, 3);
    assert_int_equal(pool->class_count, 2);
    df_pool_close(pool);
    df_free(id);
}

/* What a label written as text says. */
static void test_forms(void **state)
{
    (void)state;
    const struct {
        const char *text;
        enum df_label_form form;
        int number;
    } cases[] = {
        {"", DF_LABEL_NONE, 0},          {"nan", DF_LABEL_NONE, 0},
        {"NaN", DF_LABEL_NONE, 0},       {"<NA>", DF_LABEL_NONE, 0},
        {"0", DF_LABEL_NUMBER, 0},       {"3.0", DF_LABEL_NUMBER, 3},
        {"12.000", DF_LABEL_NUMBER, 12}, {"-1", DF_LABEL_NUMBER, -1},
        {"-1.0", DF_LABEL_NUMBER, -1},   {"9999999", DF_LABEL_NUMBER, 9999999},
        {"10000000", DF_LABEL_CODE, 0},  {"007", DF_LABEL_CODE, 0},
        {"07.0", DF_LABEL_NAME, 0},      {"3.", DF_LABEL_NAME, 0},
        {"3.5", DF_LABEL_NAME, 0},       {"3.0x", DF_LABEL_NAME, 0},
        {"3,0", DF_LABEL_NAME, 0},       {"-2", DF_LABEL_NAME, 0},
        {"-", DF_LABEL_NAME, 0},         {".0", DF_LABEL_NAME, 0},
        {" 3", DF_LABEL_NAME, 0},        {"nano", DF_LABEL_NAME, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t number = 0;
        enum df_label_form form = df_label_form(cases[i].text, &number);
        if (form != cases[i].form || number != cases[i].number)
            test_fail("'%s' is form %d, number %d", cases[i].text, (int)form, number);
    }
}

/* pandas makes 1.0 of 1 and nothing, or nan, of what is missing; names that are numbers are names. */
static void test_missing(void **state)
{
    (void)state;
    const char *const ids[5] = {"1", "2", "3", "4.0", "4"};
    const char *const numbers[3] = {"10", "20", "30"}, *const names[3] = {"cat", "dog", "nan"};
    struct df_pool *pool;
    int64_t live = df_alloc_live();
    make_pool("plain.h5", 5, ids, NULL, 3);
    test_ok(open_with(&pool, "plain.h5", "id,label\n1.0,1.0\n2.0,2.0\n3.0,\n4.0,nan\n4,0\n", NULL, NULL));
    test_same_ints("labels", pool->labels, (const int32_t[5]){1, 2, -1, -1, 0}, 5);
    assert_int_equal(pool->label_blanks, 2);
    assert_string_equal(pool->label_blank, at("a.csv:4"));
    assert_null(pool->label_nothing);
    df_pool_close(pool);
    /* the row keeps what it had; -1 takes it back */
    test_ok(open_with(&pool, "plain.h5", "id,label\n1,1\n2,2\n", "id,label\n1,\n2,-1\n", NULL));
    test_same_ints("labels", pool->labels, (const int32_t[5]){1, -1, -1, -1, -1}, 5);
    df_pool_close(pool);
    test_error(open_with(&pool, "plain.h5", "id,label,status\n1,,label\n", NULL, NULL), DFAL_E_DATA,
               "a.csv:2: the label is empty and the status 'label'");
    test_error(open_with(&pool, "plain.h5", "id,label\n1,1.5\n", NULL, NULL), DFAL_E_DATA,
               "unknown class '1.5': expected 0 to 2, or -1");
    make_pool("numbers.h5", 5, ids, numbers, 3);
    test_ok(open_with(&pool, "numbers.h5", "id,label\n1,10\n2,20.0\n3,30\n", NULL, NULL));
    test_same_ints("labels", pool->labels, (const int32_t[5]){0, 1, 2, -1, -1}, 5);
    df_pool_close(pool);
    test_error(open_with(&pool, "numbers.h5", "id,label\n1,1\n", NULL, NULL), DFAL_E_DATA,
               "numbers are names here");
    make_pool("names.h5", 5, ids, names, 3);
    test_ok(open_with(&pool, "names.h5", "id,label\n1,nan\n2,0.0\n", NULL, NULL));
    test_same_ints("labels", pool->labels, (const int32_t[5]){2, 0, -1, -1, -1}, 5);
    df_pool_close(pool);
    test_error(open_with(&pool, "names.h5", "id,label\n1,dgo\n", NULL, NULL), DFAL_E_DATA,
               "nearest is 'dog'");
    test_error(open_with(&pool, "names.h5", "id,label\n5.0,dog\n", NULL, NULL), DFAL_E_DATA,
               "nearest is '4.0'");
    assert_int_equal(df_alloc_live(), live);
}

/* Spreadsheets of other countries, exports of other programs. */
static void test_separators(void **state)
{
    (void)state;
    const char *const ids[4] = {"p", "q,1", "r;2", "s"};
    const char *const classes[3] = {"cat", "dog", "eel"};
    const char *const good[] = {
        "id,label\np,cat\n\"q,1\",dog\nr;2,eel\n",
        "sep=,\nid,label\np,cat\n\"q,1\",dog\nr;2,eel\n",
        "sep=;\r\nid;label\r\np;cat\r\nq,1;dog\r\n\"r;2\";eel\r\n",
        "\xef\xbb\xbf\"sep=;\"\nid;label\np;cat\nq,1;dog\n\"r;2\";eel\n",
        "\"id\";\"label\";\"seconds, minutes, hours\"\np;cat;2,5\nq,1;dog;\n\"r;2\";eel;1\n",
        "id\tlabel\tnotes; more, and more\np\tcat\t\nq,1\tdog\t\nr;2\teel\t\n",
        "SEP=|\nid|label\np|cat\nq,1|dog\nr;2|eel\n",
    };
    struct df_pool *pool;
    make_pool("comma.h5", 4, ids, classes, 3);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        test_ok(open_with(&pool, "comma.h5", good[i], NULL, NULL));
        test_same_ints(good[i], pool->labels, (const int32_t[4]){0, 1, 2, -1}, 4);
        df_pool_close(pool);
    }
    test_error(open_with(&pool, "comma.h5", "sep=;\nid;label\np;cow\n", NULL, NULL), DFAL_E_DATA, "a.csv:3");
    test_error(open_with(&pool, "comma.h5", "sep=x\nidxlabel\n", NULL, NULL), DFAL_E_DATA, "behind sep=");
    test_ok(open_with(&pool, "comma.h5", "id,image,label,choice\np,a.png,-1,cat\n", NULL, NULL));
    assert_non_null(strstr(pool->label_nothing, "its columns are id, image, label, choice"));
    df_pool_close(pool);
    test_ok(open_with(&pool, "comma.h5", "id,label\n", NULL, NULL)); /* nobody has begun */
    assert_null(pool->label_nothing);
    df_pool_close(pool);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Many rows, each labelled, in another order; what lies behind the bound is the machine's load. */
static void test_many(void **state)
{
    (void)state;
    enum { N = 200000, CLASSES = 1000, WIDTH = 24 };
    char(*names)[WIDTH] = malloc((size_t)N * WIDTH), (*class_names)[WIDTH] = malloc((size_t)CLASSES * WIDTH);
    const char **ids = malloc(N * sizeof *ids), *classes[CLASSES];
    struct df_text text = {0};
    struct df_pool *pool;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], WIDTH, "folder/image%08d", i);
        ids[i] = names[i];
    }
    for (int i = 0; i < CLASSES; i++) {
        snprintf(class_names[i], WIDTH, "class %d", i);
        classes[i] = class_names[i];
    }
    make_pool("many.h5", N, ids, classes, CLASSES);
    df_text_add(&text, "id,label,annotator\n");
    for (int64_t i = 0; i < N; i++) {
        int64_t row = i * 7919 % N;
        df_text_add(&text, "%s,class %d,ann\n", names[row], (int)(row * 31 % CLASSES));
    }
    double begin = seconds();
    test_ok(open_with(&pool, "many.h5", text.bytes, NULL, NULL));
    double spent = seconds() - begin;
    for (int64_t i = 0; i < N; i++)
        if (pool->labels[i] != i * 31 % CLASSES)
            test_fail("row %lld has label %d", (long long)i, pool->labels[i]);
    df_pool_close(pool);
    if (spent > 60)
        test_fail("%d labels took %.1f s", N, spent);
    printf("%d labels by id in %.2f s\n", N, spent);
    df_text_clear(&text);
    free(names);
    free(class_names);
    free(ids);
}

/* Every allocation and every read fails once: an error, and nothing is lost. */
static void test_torture(void **state)
{
    (void)state;
    const char *const ids[4] = {"p", "q", "r", "s"};
    const char *const classes[3] = {"cat", "dog", "eel"};
    make_pool("torture.h5", 4, ids, classes, 3);
    const enum df_fault kinds[3] = {DF_FAULT_ALLOC, DF_FAULT_OPEN, DF_FAULT_READ};
    for (int k = 0; k < 3; k++) {
        int64_t failed = 0;
        for (int64_t n = 1;; n++) {
            struct df_pool *pool = NULL;
            int64_t live = df_alloc_live();
            char paths[2][TEST_PATH];
            const char *files[2] = {paths[0], paths[1]};
            struct dfal_pool_options options = {
                .size = sizeof(struct dfal_pool_options), .label_files = files, .label_file_count = 2};
            test_join(paths[0], folder, "x.csv");
            test_join(paths[1], folder, "y.csv");
            test_ok(df_file_write(paths[0], "id,label,annotator\np,cat,ann\nq,0,\n", 34));
            test_ok(df_file_write(paths[1], "id,label,annotator\np,dog,bob\nr,2,\n", 34));
            df_fault_arm(kinds[k], n);
            dfal_status status = df_pool_open(&pool, NULL, at("torture.h5"), &options);
            bool reached = df_fault_seen(kinds[k]) >= n;
            df_fault_arm(kinds[k], 0);
            if (status == DFAL_OK) {
                assert_int_equal(pool->labels[0], 1);
                assert_int_equal(pool->label_conflicts, 1);
                df_pool_close(pool);
            } else {
                assert_null(pool);
                assert_true(dfal_last_error()[0]);
                failed++;
            }
            assert_int_equal(df_alloc_live(), live);
            if (!reached)
                break;
        }
        if (!failed)
            test_fail("no fault of kind %d was met", kinds[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_missing),   cmocka_unit_test(test_separators),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_conflicts), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_own_ids), cmocka_unit_test(test_many),      cmocka_unit_test(test_torture),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
