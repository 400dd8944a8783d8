/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of an older or newer header, and those that forget to initialise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"
#include "base/word.h"
#include "support.h"

/* What a later version would have: a field more. */
struct later {
    struct dfal_train_options known;
    int64_t more;
};

static void test_older_program(void **state)
{
    (void)state;
    struct dfal_train_options given, own;
    const size_t size = offsetof(struct dfal_train_options, optimizer); /* all that it knows */
    memset(&given, 0xa5, sizeof given);
    (dfal_train_options_init)(&given, size);
    assert_int_equal(given.size, size);
    assert_int_equal(given.epochs, 12);
    assert_int_equal(((unsigned char *)&given)[size], 0xa5); /* nothing is written behind it */
    given.epochs = 3;
    dfal_train_options_init(&own);
    test_ok(df_sized_take(&own, sizeof own, &given, "dfal_train_options"));
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.epochs, 3);
    assert_string_equal(own.optimizer, "adam");
    assert_true(own.learning_rate == 1e-3);
}

static void test_newer_program(void **state)
{
    (void)state;
    struct later given;
    struct dfal_train_options own;
    (dfal_train_options_init)(&given.known, sizeof given);
    assert_int_equal(given.more, 0);
    given.known.batch = 7;
    dfal_train_options_init(&own);
    test_ok(df_sized_take(&own, sizeof own, &given, "dfal_train_options"));
    assert_int_equal(own.batch, 7);
    given.more = 1; /* and asks for what this version cannot do */
    test_error(df_sized_take(&own, sizeof own, &given, "dfal_train_options"), DFAL_E_USAGE,
               "sets a field that dfal " DFAL_VERSION " does not know");
}

static void test_not_initialised(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, sizeof(size_t), 1u << 20, SIZE_MAX};
    struct dfal_score_options given = {0}, own;
    dfal_context *context;
    for (int i = 0; i < 4; i++) {
        given.size = sizes[i];
        test_error(df_sized_take(&own, sizeof own, &given, "dfal_score_options"), DFAL_E_USAGE,
                   "expected one filled by dfal_score_options_init");
        test_error(df_sized_check(&given, "dfal_score_result"), DFAL_E_USAGE, "dfal_score_result_init");
    }
    test_ok(df_sized_take(&own, sizeof own, NULL, "dfal_score_options"));
    test_ok(df_sized_check(NULL, "dfal_score_result"));
    struct dfal_context_options nothing;
    memset(&nothing, 0xa5, sizeof nothing);
    test_error(dfal_context_create(&context, &nothing), DFAL_E_USAGE, "dfal_context_options_init");
    assert_null(context);
}

static void test_results(void **state)
{
    (void)state;
    struct dfal_train_result told, own = {.size = sizeof own, .epochs = 5, .loss = 0.25, .seconds = 2.5};
    dfal_train_result_init(&told);
    assert_int_equal(told.size, sizeof told);
    assert_int_equal(told.epochs, 0);
    df_sized_give(&told, &own, sizeof own);
    assert_int_equal(told.epochs, 5);
    assert_true(told.seconds == 2.5);
    const size_t size = offsetof(struct dfal_train_result, seconds);
    memset(&told, 0xa5, sizeof told);
    dfal_result_init(&told, size);
    df_sized_give(&told, &own, sizeof own);
    assert_true(told.loss == 0.25);
    assert_int_equal(told.size, size);
    assert_int_equal(((unsigned char *)&told)[size], 0xa5);
    df_sized_give(NULL, &own, sizeof own);
}

static void test_words(void **state)
{
    (void)state;
    static const char *const lists[] = {DFAL_ISAS,           DFAL_LAYOUTS,          DFAL_SPLITS,
                                        DFAL_INTERPOLATIONS, DFAL_ON_ERRORS,        DFAL_EXIFS,
                                        DFAL_OPTIMIZERS,     DFAL_DEEPFOOL_PRESETS, DFAL_UNCONVERGEDS,
                                        DFAL_PRECISIONS,     DFAL_ENGINES};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char list[128], *rest = list;
        snprintf(list, sizeof list, "%s", lists[i]);
        int32_t index = -1;
        for (int32_t k = 0; rest; k++) {
            char *word = strsep(&rest, "|");
            test_ok(df_word(&index, "word", word, lists[i]));
            assert_int_equal(index, k);
        }
    }
    test_error(df_word(NULL, "engine", "fusde", DFAL_ENGINES), DFAL_E_USAGE,
               "unknown engine 'fusde': expected auto, layers or fused; nearest is 'fused'");
    test_error(df_word(NULL, "engine", "", DFAL_ENGINES), DFAL_E_USAGE, "expected auto, layers or fused");
    test_error(df_word(NULL, "engine", NULL, DFAL_ENGINES), DFAL_E_USAGE, "unknown engine ''");
    test_error(df_word(NULL, "engine", "auto|layers", DFAL_ENGINES), DFAL_E_USAGE, "unknown engine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_program), cmocka_unit_test(test_newer_program),
        cmocka_unit_test(test_not_initialised), cmocka_unit_test(test_results), cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
