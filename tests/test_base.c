/* SPDX-License-Identifier: Apache-2.0 */
/* Status and messages, memory and its faults, context, events, progress, digest, sizes, the rank of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/digest.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "base/word.h"
#include "tensor/tensor.h"

/* ---- status ---- */

static void status_names_and_exit_codes(void **state)
{
    (void)state;
    assert_string_equal(dfal_status_name(DFAL_OK), "OK");
    assert_string_equal(dfal_status_name(DFAL_E_DATA), "E_DATA");
    assert_string_equal(dfal_status_name((dfal_status)-99), "unknown status");
    const struct {
        dfal_status status;
        int code;
    } contract[] = {
        {DFAL_OK, 0},         {DFAL_E_USAGE, 64},   {DFAL_E_DATA, 65},     {DFAL_E_SHAPE, 65},
        {DFAL_E_NOINPUT, 66}, {DFAL_E_MEMORY, 69},  {DFAL_E_INTERNAL, 70}, {DFAL_E_EXISTS, 73},
        {DFAL_E_IO, 74},      {DFAL_E_STOPPED, 75}, {DFAL_E_CONFIG, 78},   {DFAL_E_UNAVAILABLE, 69},
    };
    for (size_t i = 0; i < sizeof contract / sizeof *contract; i++)
        assert_int_equal(dfal_status_exit_code(contract[i].status), contract[i].code);
    assert_int_equal(dfal_status_exit_code((dfal_status)-99), 70);
}

static void messages_are_kept_prefixed_and_cut(void **state)
{
    (void)state;
    assert_int_equal(df_fail(DFAL_E_DATA, "%s: %d rows, expected %d", "pool.h5", 3, 4), DFAL_E_DATA);
    assert_string_equal(dfal_last_error(), "pool.h5: 3 rows, expected 4");
    assert_int_equal(df_fail_prefix(DFAL_E_IO, "shard %d: ", 2), DFAL_E_IO);
    assert_string_equal(dfal_last_error(), "shard 2: pool.h5: 3 rows, expected 4");
    df_fail(DFAL_E_DATA, "again: %s", dfal_last_error());
    assert_string_equal(dfal_last_error(), "again: shard 2: pool.h5: 3 rows, expected 4");

    char saved[DF_MESSAGE_SIZE];
    df_message_get(saved);
    df_message_set("other");
    assert_string_equal(dfal_last_error(), "other");
    df_message_set(saved);
    assert_string_equal(dfal_last_error(), saved);

    char longer[3 * DF_MESSAGE_SIZE];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    df_fail(DFAL_E_DATA, "%s", longer);
    assert_int_equal(strlen(dfal_last_error()), DF_MESSAGE_SIZE - 1);
    df_fail_prefix(DFAL_E_DATA, "%s", "front");
    assert_int_equal(strlen(dfal_last_error()), DF_MESSAGE_SIZE - 1);
    assert_memory_equal(dfal_last_error(), "frontxx", 7);
}

/* However many names there are, none is cut in two, and 200 have room. */
static void a_list_of_names_is_not_cut(void **state)
{
    (void)state;
    enum { MANY = 200, MORE = 1000 };
    char text[MORE][24];
    const char *names[MORE];
    for (int i = 0; i < MORE; i++) {
        snprintf(text[i], sizeof text[i], "strategy-%07d", i);
        names[i] = text[i];
    }
    assert_int_equal(df_fail_unknown(DFAL_E_USAGE, "strategy", "strategy-000003x", NULL, names, MANY),
                     DFAL_E_USAGE);
    const char *at = dfal_last_error();
    for (int i = 0; i < MANY; i++) {
        at = strstr(at, names[i]);
        assert_non_null(at);
    }
    assert_string_equal(at, "strategy-0000199; nearest is 'strategy-0000030'");
    df_fail_unknown(DFAL_E_USAGE, "strategy", "strategy-000003x", NULL, names, MORE);
    at = strstr(dfal_last_error(), ", ...; nearest is 'strategy-0000030'");
    assert_non_null(at);
    assert_int_equal(strlen(at), strlen(", ...; nearest is 'strategy-0000030'"));
    assert_int_equal(at[-17], ' '); /* the last name is whole */
    char small[18];
    assert_string_equal(df_names_text(small, sizeof small, names, 0), "none");
    assert_string_equal(df_names_text(small, sizeof small, (const char *const[]){"a", "b", "c"}, 3),
                        "a, b or c");
    assert_string_equal(df_names_text(small, sizeof small, (const char *const[]){"abcde", "fg", "hi"}, 3),
                        "abcde, fg, ...");
}

static dfal_status keeps_the_first(void)
{
    dfal_status status;
    DF_TRY_TO(done, status, df_fail(DFAL_E_SHAPE, "first"));
done:
    DF_KEEP_FIRST(status, DFAL_E_IO);
    return status;
}

static void clean_up_keeps_the_first_status(void **state)
{
    (void)state;
    assert_int_equal(keeps_the_first(), DFAL_E_SHAPE);
    assert_string_equal(dfal_last_error(), "first");
}

static void nearest_names(void **state)
{
    (void)state;
    const char *const names[] = {"random", "dfal", "coreset", "bald", "max-entropy"};
    const size_t count = sizeof names / sizeof *names;
    assert_string_equal(df_nearest("randm", names, count), "random");
    assert_string_equal(df_nearest("dafl", names, count), "dfal"); /* a swap is one step */
    assert_string_equal(df_nearest("DFAL", names, count), "dfal");
    assert_string_equal(df_nearest("corset", names, count), "coreset");
    assert_string_equal(df_nearest("maxentropy", names, count), "max-entropy");
    assert_string_equal(df_nearest("max", names, count), "max-entropy"); /* an abbreviation */
    assert_null(df_nearest("", names, count));
    assert_null(df_nearest("zzzzzzzz", names, count));
    char long_word[200];
    memset(long_word, 'a', sizeof long_word);
    long_word[sizeof long_word - 1] = 0;
    assert_null(df_nearest(long_word, names, count));
    assert_null(df_nearest("dfal", names, 0));
}

/* ---- memory ---- */

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    int64_t live = df_alloc_live(), total = df_alloc_total();
    unsigned char *blocks[20];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(df_alloc(&blocks[i], i * 37, 3), DFAL_OK);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        for (int j = 0; j < i * 37 * 3; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], 0xff, (size_t)(i * 37 * 3));
    }
    assert_int_equal(df_alloc_live() - live, 20);
    for (int i = 0; i < 20; i++)
        df_free(blocks[i]);
    df_free(NULL);
    assert_int_equal(df_alloc_live(), live);
    assert_int_equal(df_alloc_total() - total, 20);
}

static void resize_keeps_and_zeroes(void **state)
{
    (void)state;
    int32_t *numbers = NULL;
    assert_int_equal(df_resize(&numbers, 0, 4, sizeof *numbers), DFAL_OK);
    for (int i = 0; i < 4; i++)
        numbers[i] = i + 1;
    assert_int_equal(df_resize(&numbers, 4, 1000, sizeof *numbers), DFAL_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], i < 4 ? i + 1 : 0);
    assert_int_equal(df_resize(&numbers, 1000, 2, sizeof *numbers), DFAL_OK);
    assert_int_equal(numbers[1], 2);
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_resize(&numbers, 2, 50, sizeof *numbers), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    assert_int_equal(numbers[0], 1); /* the old block is still there */
    df_free(numbers);
}

static void an_array_grows_by_doubling(void **state)
{
    (void)state;
    int32_t *numbers = NULL;
    int64_t capacity = 0, total = df_alloc_total();
    for (int32_t i = 0; i < 1000; i++) {
        assert_int_equal(df_grow(&numbers, &capacity, i + 1, sizeof *numbers, 3), DFAL_OK);
        assert_true(capacity > i);
        numbers[i] = i;
    }
    for (int32_t i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], i);
    assert_int_equal(capacity, 1536); /* 3 * 2^9 */
    assert_int_equal(df_alloc_total() - total, 10);
    assert_int_equal(df_grow(&numbers, &capacity, 5000, sizeof *numbers, 3), DFAL_OK);
    assert_int_equal(capacity, 5000); /* more than twice as many were wanted */
    assert_int_equal(numbers[999], 999);
    assert_int_equal(numbers[4999], 0);
    assert_int_equal(df_reserve(&numbers, &capacity, 5001, sizeof *numbers), DFAL_OK);
    assert_int_equal(capacity, 5001);
    assert_int_equal(df_reserve(&numbers, &capacity, 7, sizeof *numbers), DFAL_OK);
    assert_int_equal(capacity, 5001);
    df_free(numbers);
}

static void growth_that_fails_leaves_the_array(void **state)
{
    (void)state;
    int32_t *numbers = NULL;
    int64_t capacity = 0, most = INT64_MAX - 1;
    assert_int_equal(df_grow(&numbers, &capacity, 1, sizeof *numbers, 4), DFAL_OK);
    numbers[0] = 7;
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_grow(&numbers, &capacity, 5, sizeof *numbers, 4), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    assert_int_equal(df_grow(&numbers, &capacity, INT64_MAX, sizeof *numbers, 4), DFAL_E_MEMORY);
    assert_int_equal(df_grow(&numbers, &most, INT64_MAX, sizeof *numbers, 4), DFAL_E_MEMORY);
    assert_int_equal(most, INT64_MAX - 1);
    assert_int_equal(capacity, 4);
    assert_int_equal(numbers[0], 7);
    df_free(numbers);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    void *block = &block;
    assert_int_equal(df_alloc(&block, INT64_MAX, 1024), DFAL_E_MEMORY);
    assert_null(block);
    assert_int_equal(df_alloc(&block, (int64_t)1 << 61, 8), DFAL_E_MEMORY);
    assert_int_equal(df_alloc(&block, INT64_C(1) << 60, 1), DFAL_E_MEMORY);
    assert_int_equal(df_alloc(&block, -1, 1), DFAL_E_INTERNAL);
    assert_null(block);
}

static void nth_allocation_fails_once(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    df_fault_arm(DF_FAULT_ALLOC, 3);
    char *strings[4];
    for (int i = 0; i < 4; i++) {
        dfal_status status = df_strdup(&strings[i], "abc");
        assert_int_equal(status, i == 2 ? DFAL_E_MEMORY : DFAL_OK);
        assert_true((strings[i] == NULL) == (i == 2));
    }
    assert_int_equal(df_fault_seen(DF_FAULT_ALLOC), 4);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    assert_int_equal(df_fault_seen(DF_FAULT_ALLOC), 0);
    for (int i = 0; i < 4; i++)
        dfal_string_free(strings[i]);
    assert_int_equal(df_alloc_live(), live);
}

/* What a terminal obeys, or shows as another text, and what looks like it and is fine. */
static void only_what_may_be_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean, *json;
    } cases[] = {
        {"a\x1b[31mb", "a?[31mb", "\"a\\u001b[31mb\""},
        {"tab\tline\nreturn\r\x7f", "tab?line?return??", "\"tab\\u0009line\\u000areturn\\u000d\\u007f\""},
        {"\xc2\x9b"
         "1m\xc2\x80\xc2\x9f\xc2\xa0",
         "?1m??\xc2\xa0", "\"\\u009b1m\\u0080\\u009f\xc2\xa0\""},
        {"\u202e\u202a\u2066\u2069\u200e\u200f\u061c", "???????",
         "\"\\u202e\\u202a\\u2066\\u2069\\u200e\\u200f\\u061c\""},
        {"\u2028\u2029\u202f\u200d\u2065\u206a", "??\u202f\u200d\u2065\u206a",
         "\"\\u2028\\u2029\u202f\u200d\u2065\u206a\""},
        {"\x9b raw \xff \xe2\x80", "? raw ? ??", "\"\ufffd raw \ufffd \ufffd\ufffd\""},
        {"\u00e4\u2192\U0001f600", "\u00e4\u2192\U0001f600", "\"\u00e4\u2192\U0001f600\""},
        {"", "", "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_text json = {0};
        char text[64], *made;
        snprintf(text, sizeof text, "%s", cases[i].text);
        dfal_text_clean(text);
        assert_string_equal(text, cases[i].clean);
        df_text_json(&json, cases[i].text);
        assert_int_equal(df_text_take(&json, &made), DFAL_OK);
        assert_string_equal(made, cases[i].json);
        df_free(made);
        (void)df_fail(DFAL_E_DATA, "<%s>", cases[i].text);
        snprintf(text, sizeof text, "<%s>", cases[i].clean);
        assert_string_equal(dfal_last_error(), text);
    }
}

static void wide_formulas_are_guarded(void **state)
{
    (void)state;
    static const char *const fields[][2] = {
        {"=1", "'=1"},           {"\uff1d1", "'\uff1d1"}, {"\uff0b1", "'\uff0b1"},
        {"\uff0d1", "'\uff0d1"}, {"\uff20a", "'\uff20a"}, {"'\uff1d1", "''\uff1d1"},
        {"\t1", "'\t1"},         {"\uff0e1", "\uff0e1"},  {"a=1", "a=1"}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct df_text text = {0};
        char *made;
        df_text_csv(&text, fields[i][0]);
        assert_int_equal(df_text_take(&text, &made), DFAL_OK);
        assert_string_equal(made, fields[i][1]);
        df_free(made);
    }
}

static void letters_without_case(void **state)
{
    (void)state;
    assert_true(df_same_but_case("Train.JPG", "tRAIN.jpg"));
    assert_true(df_same_but_case("", ""));
    assert_false(df_same_but_case("a", "ab"));
    assert_false(df_same_but_case("ab", "a"));
    assert_true(df_begins_but_case("SEP=;", "sep="));
    assert_false(df_begins_but_case("se", "sep="));
    assert_false(df_same_but_case("[", "{")); /* as far apart as A and a */
    assert_false(df_same_but_case("@", "`"));
}

static void numbers_are_short_and_exact(void **state)
{
    (void)state;
    char text[DF_NUMBER_TEXT];
    static const double values[] = {0.1, 0.1 + 0.2, 1e-5, -1.5e300, 5e-324, 1.0 / 3.0, 0};
    static const char *const texts[] = {"0.1",    "0.30000000000000004", "1e-05", "-1.5e+300",
                                        "5e-324", "0.3333333333333333",  "0"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_string_equal(df_print_shortest(text, values[i], 1), texts[i]);
        assert_true(df_parse_real(text, NULL) == values[i]);
    }
}

static void format_makes_strings(void **state)
{
    (void)state;
    char *text;
    assert_int_equal(df_format(&text, "%s-%04d", "row", 7), DFAL_OK);
    assert_string_equal(text, "row-0007");
    df_free(text);
    df_fault_arm(DF_FAULT_ALLOC, 1);
    assert_int_equal(df_format(&text, "x"), DFAL_E_MEMORY);
    df_fault_arm(DF_FAULT_ALLOC, 0);
    assert_null(text);
    assert_true(df_memory_peak() > 1 << 20);
}

/* ---- context ---- */

static dfal_status create_with(const char *backend, const char *isa)
{
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.backend = backend;
    options.isa = isa;
    dfal_context *context;
    dfal_status status = dfal_context_create(&context, &options);
    assert_true((context != NULL) == (status == DFAL_OK));
    dfal_context_destroy(context);
    return status;
}

static void context_knows_its_names(void **state)
{
    (void)state;
    const char *const good[] = {"auto",
                                "cpu",
                                "ref",
                                "ref64",
                                "cuda",
                                "cuda:0",
                                "cuda:12",
                                "cuda:2,0,9999",
                                "cuda:all",
                                "check:ref:cpu",
                                "check:ref:cuda:1",
                                "check:cuda:0:ref",
                                "dlopen:./libmine.so",
                                NULL};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(create_with(good[i], NULL), DFAL_OK);
    const char *const bad[] = {"",
                               "cpuu",
                               "cuda:",
                               "cuda:x",
                               "cuda:-1",
                               "cuda:0,",
                               "cuda:,0",
                               "cuda:0,x",
                               "cuda:0,1,0",
                               "cuda:0,00",
                               "cuda:10000",
                               "cuda:all,0",
                               "check:ref:cuda:0,1",
                               "check:cuda:0,1:ref",
                               "check:ref:cuda:all",
                               "check",
                               "check:",
                               "check:ref",
                               "check:ref:",
                               "check:ref:auto",
                               "check:ref:check:ref:cpu",
                               "dlopen:",
                               "cpu:1",
                               "tpu"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(create_with(bad[i], NULL), DFAL_E_USAGE);
    assert_int_equal(create_with("cqu", NULL), DFAL_E_USAGE);
    assert_non_null(strstr(dfal_last_error(), "'cqu'"));
    assert_non_null(strstr(dfal_last_error(), "nearest is 'cpu'"));
    assert_int_equal(create_with("cpu", "avx2"), DFAL_OK);
    assert_int_equal(create_with("cpu", "avx512"), DFAL_OK);
    assert_int_equal(create_with("cpu", "avx51"), DFAL_E_USAGE);
    assert_non_null(strstr(dfal_last_error(), "nearest is 'avx512'"));
}

static void context_owns_its_strings_and_limits(void **state)
{
    (void)state;
    char backend[] = "ref", isa[] = "avx2", line[] = "dfal score";
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    assert_int_equal(options.seed, 1);
    options.backend = backend;
    options.isa = isa;
    options.command_line = line;
    options.threads = 3;
    options.memory = 12345678;
    dfal_context *context;
    assert_int_equal(dfal_context_create(&context, &options), DFAL_OK);
    backend[0] = isa[0] = line[0] = '#';
    assert_string_equal(context->options.backend, "ref");
    assert_string_equal(context->options.isa, "avx2");
    assert_string_equal(context->options.command_line, "dfal score");
    assert_int_equal(context->threads, 3);
    assert_int_equal(context->memory, 12345678);
    dfal_context_destroy(context);

    assert_int_equal(dfal_context_create(&context, NULL), DFAL_OK);
    assert_int_equal(context->threads, df_cpu_count());
    assert_true(context->threads >= 1);
    assert_true(context->memory > 1 << 20);
    dfal_context_destroy(context);
    dfal_context_destroy(NULL);

    options.threads = -1;
    options.backend = options.isa = NULL;
    assert_int_equal(dfal_context_create(&context, &options), DFAL_E_USAGE);
    options.threads = 0;
    options.memory = -5;
    assert_int_equal(dfal_context_create(&context, &options), DFAL_E_USAGE);
}

static void context_stops(void **state)
{
    (void)state;
    dfal_context *context;
    assert_int_equal(dfal_context_create(&context, NULL), DFAL_OK);
    assert_int_equal(df_context_check_stop(context), DFAL_OK);
    assert_false(dfal_context_kept_work(context));
    dfal_context_stop(context);
    assert_int_equal(df_context_check_stop(context), DFAL_E_STOPPED);
    assert_non_null(strstr(dfal_last_error(), "stopped"));
    dfal_context_destroy(context);
}

static void context_survives_every_failing_allocation(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    dfal_status status = DFAL_E_MEMORY;
    int64_t n = 1;
    for (; status != DFAL_OK; n++) {
        dfal_context *context;
        df_fault_arm(DF_FAULT_ALLOC, n);
        status = dfal_context_create(&context, NULL);
        df_fault_arm(DF_FAULT_ALLOC, 0);
        assert_true(status == DFAL_OK || status == DFAL_E_MEMORY);
        dfal_context_destroy(context);
        assert_int_equal(df_alloc_live(), live);
    }
    assert_true(n > 4);
}

/* ---- events ---- */

struct heard {
    int count;
    char name[64], text[512];
    dfal_level level;
    int64_t first_integer;
    char first_key[32];
};

static void hear(void *user, const struct dfal_event *event)
{
    struct heard *heard = user;
    heard->count++;
    heard->level = event->level;
    snprintf(heard->name, sizeof heard->name, "%s", event->name);
    snprintf(heard->text, sizeof heard->text, "%s", event->text);
    if (event->field_count > 0) {
        heard->first_integer = event->fields[0].integer;
        snprintf(heard->first_key, sizeof heard->first_key, "%s", event->fields[0].key);
    }
}

static dfal_context *listening_context(struct heard *heard)
{
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.event = hear;
    options.event_user = heard;
    dfal_context *context;
    assert_int_equal(dfal_context_create(&context, &options), DFAL_OK);
    return context;
}

static void events_reach_both_sinks(void **state)
{
    (void)state;
    struct heard heard = {0}, second = {0};
    dfal_context *context = listening_context(&heard);
    df_say(context, DFAL_INFO, "train.epoch", DF_FIELDS(DF_INT("epoch", 3), DF_REAL("loss", 0.5)), "epoch %d",
           3);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.name, "train.epoch");
    assert_string_equal(heard.text, "epoch 3");
    assert_string_equal(heard.first_key, "epoch");
    assert_int_equal(heard.first_integer, 3);
    df_log_tee(context, hear, &second);
    df_say(context, DFAL_WARNING, "w", DF_NO_FIELDS, "%s", "careful");
    assert_int_equal(second.count, 1);
    assert_int_equal(second.level, DFAL_WARNING);
    df_log_tee(context, NULL, NULL);
    df_say(context, DFAL_INFO, "w", DF_NO_FIELDS, "x");
    assert_int_equal(heard.count, 3);
    assert_int_equal(second.count, 1);
    dfal_context_destroy(context);

    char iso[32];
    df_time_iso(iso);
    assert_int_equal(strlen(iso), 20);
    assert_int_equal(iso[10], 'T');
    assert_int_equal(iso[19], 'Z');
}

static void long_prefix(void *user, char *text, int32_t size)
{
    (void)user;
    snprintf(text, (size_t)size, "run 37.5 %%  ETA 13 h 25 min  after 12 h 45 min | ");
}

static void progress_is_thinned_and_readable(void **state)
{
    (void)state;
    struct heard heard = {0};
    dfal_context *context = listening_context(&heard);
    struct df_progress progress;
    double begin = df_clock();
    df_progress_begin(&progress, context, "score.progress", "samples", 2000000, 1000);
    progress.begin -= 100; /* as if it had begun 100 s ago */
    for (int i = 0; i < 247000; i++)
        df_progress_add(&progress, 1, "OK 99.97 %");
    int most = 1 + (int)((df_clock() - begin) * 10);
    assert_true(heard.count <= most);
    struct timespec pause = {0, 120000000};
    nanosleep(&pause, NULL);
    df_progress_add(&progress, 0, "OK 99.97 %");
    assert_int_equal(heard.level, DFAL_PROGRESS);
    assert_int_equal(heard.first_integer, 248000);
    assert_memory_equal(heard.text, "248,000/2,000,000  ETA 11 min  12.4 %  2,", 41);
    assert_non_null(strstr(heard.text, " samples/s  OK 99.97 %"));
    df_progress_add(&progress, 1752000, NULL);
    df_progress_end(&progress);
    assert_non_null(strstr(heard.text, "2,000,000/2,000,000  ETA 0 s  100.0 %  "));
    dfal_context_destroy(context);
}

/* Behind the longest that a run says of itself, counts and time left stand within 80 columns, whose last
 * stays empty. */
static void progress_fits_a_terminal(void **state)
{
    (void)state;
    static const char shown[] = "| 24,000/60,000  ETA 2 min 30 s  ";
    struct heard heard = {0};
    dfal_context *context = listening_context(&heard);
    struct df_progress progress;
    df_progress_begin(&progress, context, "score.progress", "samples", 60000, 0);
    progress.begin -= 100;
    progress.last -= 100;
    df_log_prefix(context, long_prefix, NULL);
    df_progress_add(&progress, 24000, "2.1 it  OK 99.97 %");
    const char *found = strstr(heard.text, "| 24,000/60,000  ETA 2 min 3");
    assert_non_null(found);
    assert_true(found + strlen(shown) - 2 - heard.text <= 79);
    df_log_prefix(context, NULL, NULL);
    df_progress_end(&progress);
    dfal_context_destroy(context);
}

/* ---- digest, sizes, ranks ---- */

static void digest_of(char text[DF_DIGEST_TEXT], const char *bytes)
{
    struct df_digest digest;
    df_digest_begin(&digest);
    df_digest_add(&digest, bytes, strlen(bytes));
    df_digest_end(&digest, text);
}

static void sha256_known_answers(void **state)
{
    (void)state;
    char text[DF_DIGEST_TEXT];
    digest_of(text, "");
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_of(text, "abc");
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_of(text, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    assert_string_equal(text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");

    struct df_digest typed, bytes;
    char a[DF_DIGEST_TEXT], b[DF_DIGEST_TEXT];
    df_digest_begin(&typed);
    df_digest_add_i64(&typed, 0x0102030405060708);
    df_digest_add_f64(&typed, 1.0);
    df_digest_add_text(&typed, "ab");
    df_digest_end(&typed, a);
    df_digest_begin(&bytes);
    df_digest_add(&bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    df_digest_add(&bytes, "\0\0\0\0\0\0\xf0\x3f", 8);
    df_digest_add(&bytes, "\2\0\0\0\0\0\0\0ab", 10);
    df_digest_end(&bytes, b);
    assert_string_equal(a, b);
}

static void products_are_checked(void **state)
{
    (void)state;
    int64_t out;
    assert_int_equal(df_checked_product(&out, (int64_t[]){2, 3, 7}, 3), DFAL_OK);
    assert_int_equal(out, 42);
    assert_int_equal(df_checked_product(&out, (int64_t[]){1}, 0), DFAL_OK);
    assert_int_equal(out, 1);
    assert_int_equal(df_checked_product(&out, (int64_t[]){INT64_C(1) << 40, 1 << 22}, 2), DFAL_OK);
    assert_int_equal(df_checked_product(&out, (int64_t[]){INT64_C(1) << 40, 1 << 23}, 2), DFAL_E_DATA);
    assert_int_equal(df_checked_product(&out, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40}, 2),
                     DFAL_E_DATA);
    assert_int_equal(df_checked_product(&out, (int64_t[]){3, -1}, 2), DFAL_E_DATA);
    assert_int_equal(df_shape_size((struct df_shape){3, 4, 5}), 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_names_and_exit_codes),
        cmocka_unit_test(messages_are_kept_prefixed_and_cut),
        cmocka_unit_test(a_list_of_names_is_not_cut),
        cmocka_unit_test(clean_up_keeps_the_first_status),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(resize_keeps_and_zeroes),
        cmocka_unit_test(an_array_grows_by_doubling),
        cmocka_unit_test(growth_that_fails_leaves_the_array),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(only_what_may_be_shown),
        cmocka_unit_test(wide_formulas_are_guarded),
        cmocka_unit_test(letters_without_case),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(format_makes_strings),
        cmocka_unit_test(context_knows_its_names),
        cmocka_unit_test(context_owns_its_strings_and_limits),
        cmocka_unit_test(context_stops),
        cmocka_unit_test(context_survives_every_failing_allocation),
        cmocka_unit_test(events_reach_both_sinks),
        cmocka_unit_test(progress_is_thinned_and_readable),
        cmocka_unit_test(progress_fits_a_terminal),
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(products_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
