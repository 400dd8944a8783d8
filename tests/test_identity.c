/* SPDX-License-Identifier: Apache-2.0 */
/* What work was made from and with: its keys as lines and back, and which difference is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/identity.h"
#include "base/memory.h"
#include "graph/json_text.h"
#include "support.h"

#define TEXT "pool: ab cd\nseed: -7\nversion: 0.1: x\nmean:\nrate: 0.5\n"

static struct df_identity made_of(const char *lines)
{
    struct df_identity identity = {0};
    test_ok(df_identity_read(&identity, lines, "made"));
    return identity;
}

static void add_all(struct df_identity *identity)
{
    df_identity_add(identity, "pool", "%s", "ab cd");
    df_identity_add(identity, "seed", "%d", -7);
    df_identity_add(identity, "version", "0.1: x");
    df_identity_add(identity, "mean", "%s", "");
    df_identity_add(identity, "rate", "%g", 0.5);
}

static void test_round_trip(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    struct df_identity ours = {0}, read = made_of(TEXT), none = {0};
    struct df_text text = {0};
    char *out;
    add_all(&ours);
    assert_string_equal(df_identity_value(&ours, "pool"), "ab cd");
    assert_string_equal(df_identity_value(&ours, "mean"), "");
    assert_null(df_identity_value(&ours, "poo"));
    assert_string_equal(df_identity_value(&read, "version"), "0.1: x");
    assert_string_equal(df_identity_value(&read, "mean"), "");
    assert_int_equal(read.count, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(read.keys[i].arithmetic, i == 2);
    test_ok(df_identity_check(&ours, &read, false, DFAL_E_CONFIG, "a", ""));
    test_ok(df_identity_write(&text, &ours));
    test_ok(df_text_take(&text, &out));
    assert_string_equal(out, TEXT);
    test_ok(df_identity_read(&none, "", "empty"));
    assert_int_equal(none.count, 0);
    df_free(out);
    df_identity_clear(&ours);
    df_identity_clear(&read);
    df_identity_clear(&read);
    assert_int_equal(df_alloc_live(), live);
}

/* More keys than room was taken for at first. */
static void test_many(void **state)
{
    (void)state;
    struct df_identity ours = {0};
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "key%d", i);
        df_identity_add(&ours, name, "%d", i * i);
    }
    assert_string_equal(df_identity_value(&ours, "key0"), "0");
    assert_string_equal(df_identity_value(&ours, "key99"), "9801");
    df_identity_clear(&ours);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"seed: 1\npool", "x: line 2 is 'pool', expected 'name: value' and a line end"},
        {"seed: 1\npool: a", "x: line 2 is 'pool: a', expected"},
        {"seed: 1", "x: line 1 is 'seed: 1', expected"},
        {"seed", "x: line 1 is 'seed', expected"},
        {"seed:1\n", "x: line 1 is 'seed:1"},
        {"seed \"1\"\npool: a\n", "x: line 1 is 'seed \"1\""},
        {": 1\n", "x: line 1 is ': 1"},
        {"a: 1\nb: 2\n\nc: 3\n", "x: line 3 is '?c: 3"},
        {"a: 1\n\033[2J\n", "x: line 2 is '?[2J"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct df_identity read = {0};
        test_error(df_identity_read(&read, bad[i].text, "x"), DFAL_E_DATA, bad[i].words);
        df_identity_clear(&read);
    }
}

/* sha256 as it is told; the third begins like the first. */
#define DIGEST_REST "56789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST_A    "01234" DIGEST_REST
#define DIGEST_B    "11234" DIGEST_REST
#define DIGEST_C    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde0"

static void test_first_difference(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *theirs, *words; /* NULL: no difference */
    } cases[] = {
        {"a: 1\nb: 2\n", "b: 2\na: 1\n", NULL},
        {"a: 1\nb: 2\nc: 3\n", "c: 4\nb: 5\na: 1\n", "x.h5 was made with b 5, expected 2; hint"},
        {"a: 1\nb: 2\n", "b: 2\n", "x.h5 was made with a (none), expected 1; hint"},
        {"d: " DIGEST_A "\n", "d: " DIGEST_B "\n",
         "x.h5 was made with d 1123456789ab..., expected 0123456789ab...; hint"},
        {"d: " DIGEST_A "\n", "", "x.h5 was made with d (none), expected 0123456789ab...; hint"},
        {"d: " DIGEST_A "\n", "d: " DIGEST_C "\n",
         "x.h5 was made with d " DIGEST_C ", expected " DIGEST_A "; hint"},
        {"b: 2\n", "z: 9\nb: 2\na: 1\n", "x.h5 was made with z 9, expected (none); hint"},
        {"a: 1\nb: 2\n", "z: 9\na: 1\n", "x.h5 was made with b (none), expected 2; hint"},
        {"a: 1\n", "", "x.h5 was made with a (none), expected 1; hint"},
        {"a:\n", "a: 1\n", "x.h5 was made with a 1, expected (empty); hint"},
        {"a: 1\n", "a:\n", "x.h5 was made with a (empty), expected 1; hint"},
        {"a: 1\n", "a: 10\n", "x.h5 was made with a 10, expected 1; hint"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_identity ours = made_of(cases[i].ours), theirs = made_of(cases[i].theirs);
        const dfal_status status = df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x.h5", "; hint");
        assert_int_equal(status, cases[i].words ? DFAL_E_CONFIG : DFAL_OK);
        if (cases[i].words)
            assert_string_equal(dfal_last_error(), cases[i].words);
        df_identity_clear(&ours);
        df_identity_clear(&theirs);
    }
}

/* Every difference, one after another: ours in their order, then what only theirs has. */
static void test_next(void **state)
{
    (void)state;
    struct df_identity ours = made_of("a: 1\nisa: x\nb: 2\nc: 3\n"),
                       theirs = made_of("d: 5\nc: 4\nb: 2\nisa: y\n");
    static const struct df_identity_difference expected[] = {{1, "a", "1", NULL, false},
                                                             {2, "isa", "x", "y", true},
                                                             {4, "c", "3", "4", false},
                                                             {5, "d", NULL, "5", false}};
    struct df_identity_difference found = {0};
    for (size_t i = 0; i < 4; i++) {
        assert_true(df_identity_next(&found, &ours, &theirs));
        assert_int_equal(found.at, expected[i].at);
        assert_string_equal(found.name, expected[i].name);
        assert_string_equal(found.ours ? found.ours : "", expected[i].ours ? expected[i].ours : "");
        assert_string_equal(found.theirs ? found.theirs : "", expected[i].theirs ? expected[i].theirs : "");
        assert_int_equal(found.arithmetic, expected[i].arithmetic);
    }
    assert_false(df_identity_next(&found, &ours, &theirs));
    assert_false(df_identity_next(&found, &ours, &theirs));
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
}

/* What an earlier dfal did not write is compared where it is there, and only theirs may lack it. */
static void test_recent(void **state)
{
    (void)state;
    struct df_identity ours = made_of("a: 1\nrows: 2\n"), earlier = made_of("a: 1\n"),
                       other = made_of("a: 1\nrows: 3\n");
    test_error(df_identity_check(&ours, &earlier, false, DFAL_E_DATA, "x", ""), DFAL_E_DATA,
               "x was made with rows (none), expected 2");
    df_identity_recent(&ours, "rows");
    df_identity_recent(&ours, "nothing of that name");
    test_ok(df_identity_check(&ours, &earlier, false, DFAL_E_DATA, "x", ""));
    test_error(df_identity_check(&ours, &other, true, DFAL_E_DATA, "x", ""), DFAL_E_DATA,
               "x was made with rows 3, expected 2");
    test_error(df_identity_check(&earlier, &ours, true, DFAL_E_DATA, "x", ""), DFAL_E_DATA,
               "x was made with rows 2, expected (none)");
    df_identity_clear(&ours);
    df_identity_clear(&earlier);
    df_identity_clear(&other);
}

static void test_arithmetic(void **state)
{
    (void)state;
    static const char *const names[] = {"version", "dfal_version", "backend", "engine",
                                        "isa",     "precision",    "library", "libraries"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct df_identity ours = {0}, theirs = {0}, none = {0};
        char words[100];
        df_identity_add(&ours, names[i], "one");
        df_identity_add(&theirs, names[i], "two");
        snprintf(words, sizeof words,
                 "x was made with %s two, expected one; hint (`allow_mixed` takes it all the same)",
                 names[i]);
        assert_int_equal(df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x", "; hint"),
                         DFAL_E_CONFIG);
        assert_string_equal(dfal_last_error(), words);
        test_ok(df_identity_check(&ours, &theirs, true, DFAL_E_CONFIG, "x", "; hint"));
        test_ok(df_identity_check(&ours, &none, true, DFAL_E_CONFIG, "x", ""));
        test_ok(df_identity_check(&none, &theirs, true, DFAL_E_CONFIG, "x", ""));
        df_identity_add(&ours, "seed", "1");
        df_identity_add(&theirs, "seed", "2");
        test_error(df_identity_check(&ours, &theirs, true, DFAL_E_CONFIG, "x", ""), DFAL_E_CONFIG,
                   "x was made with seed 2, expected 1");
        assert_null(strstr(dfal_last_error(), "`allow_mixed`"));
        df_identity_clear(&ours);
        df_identity_clear(&theirs);
    }
    assert_false(df_identity_is_arithmetic("versions"));
    assert_false(df_identity_is_arithmetic("pool"));
}

/* A terminal obeys no value, and of long ones the place is shown where they differ, whole characters only. */
static void test_shown(void **state)
{
    (void)state;
    struct df_identity ours = {0}, theirs = {0};
    char long_text[1000];
    df_identity_add(&ours, "pool", "\033[31mred\t\xff");
    df_identity_add(&theirs, "pool", "\xe2\x80\xaeright");
    assert_int_equal(df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x", ""), DFAL_E_CONFIG);
    assert_string_equal(dfal_last_error(), "x was made with pool ?right, expected ?[31mred??");
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    for (size_t i = 0; i < sizeof long_text - 1; i += 3)
        memcpy(long_text + i, "\xe2\x82\xac", 3); /* euro signs */
    long_text[sizeof long_text - 1] = 0;
    df_identity_add(&ours, "path", "%.600s1%s", long_text, long_text);
    df_identity_add(&theirs, "path", "%.600s2", long_text);
    assert_int_equal(df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x", ""), DFAL_E_CONFIG);
#define SEVEN "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
    assert_non_null(
        strstr(dfal_last_error(), "x was made with path ..." SEVEN "2, expected ..." SEVEN "1\xe2"));
    assert_true(df_text_is_utf8(dfal_last_error()));
    assert_true(strlen(dfal_last_error()) < 200);
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    df_identity_add(&ours, "path", "1%.900s", long_text); /* at its beginning */
    df_identity_add(&theirs, "path", "2%.900s", long_text);
    test_error(df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x", ""), DFAL_E_CONFIG,
               "x was made with path 2\xe2");
    assert_non_null(strstr(dfal_last_error(), "..., expected 1\xe2"));
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
}

static void test_json(void **state)
{
    (void)state;
    struct df_identity identity = {0};
    test_ok(df_identity_json(&identity,
                             "{\"b\": \"a text\", \"a\": 3, \"isa\": [1, {\"x\": null}], \"r\": 0.5}", "x"));
    assert_int_equal(identity.count, 4);
    assert_string_equal(identity.keys[0].name, "b");
    assert_string_equal(identity.keys[0].value, "a text");
    assert_string_equal(identity.keys[1].value, "3");
    assert_string_equal(identity.keys[2].value, "[1,{\"x\":null}]");
    assert_true(identity.keys[2].arithmetic && !identity.keys[3].arithmetic);
    assert_string_equal(identity.keys[3].value, "0.5");
    static const char *const bad[] = {"", "[1]", "3", "{\"a\": 1", "{\"a\": 1, \"a\": 2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_error(df_identity_json(&identity, bad[i], "x.h5"), DFAL_E_DATA,
                   "x.h5: its configuration is not a JSON object");
    df_identity_clear(&identity);
}

/* An addition that failed is told by whoever uses the identity. */
static void test_kept_error(void **state)
{
    (void)state;
    struct df_identity ours = {0}, theirs = made_of("pool: a\n");
    struct df_text text = {0};
    df_fault_arm(DF_FAULT_ALLOC, 1);
    df_identity_add(&ours, "pool", "a");
    df_fault_arm(DF_FAULT_ALLOC, 0);
    assert_int_equal(ours.status, DFAL_E_MEMORY);
    df_identity_add(&ours, "pool", "a");
    assert_null(df_identity_value(&ours, "pool"));
    assert_int_equal(df_identity_write(&text, &ours), DFAL_E_MEMORY);
    assert_int_equal(df_identity_check(&ours, &theirs, true, DFAL_E_CONFIG, "x", ""), DFAL_E_MEMORY);
    assert_int_equal(df_identity_check(&theirs, &ours, true, DFAL_E_CONFIG, "x", ""), DFAL_E_MEMORY);
    df_identity_clear(&ours);
    assert_int_equal(ours.status, DFAL_OK);
    df_identity_clear(&theirs);
    df_text_clear(&text);
}

static dfal_status use(void)
{
    struct df_identity ours = {0}, theirs = {0};
    struct df_text text = {0};
    char *out = NULL;
    dfal_status status;
    add_all(&ours);
    DF_TRY_TO(done, status, df_identity_write(&text, &ours));
    DF_TRY_TO(done, status, df_text_take(&text, &out));
    DF_TRY_TO(done, status, df_identity_read(&theirs, out, "x"));
    DF_TRY_TO(done, status, df_identity_json(&theirs, "{\"more\": 1}", "x"));
    status = df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, "x", "");
done:
    df_text_clear(&text);
    df_free(out);
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    return status;
}

/* jansson's memory: as many pieces as are left. */
static int pieces = -1;
static void *take(size_t size)
{
    return pieces >= 0 && pieces-- == 0 ? NULL : malloc(size);
}

/* A text that is no UTF-8 is another failure than memory that is short, wherever it is. */
static void test_packed(void **state)
{
    (void)state;
    char *text;
    test_error(df_json_packed(&text, "the configuration", JSON_COMPACT, "{s:s}", "a", "\xff"), DFAL_E_DATA,
               "the configuration would hold a text that is no UTF-8");
    assert_null(text);
    json_set_alloc_funcs(take, free);
    dfal_status status = DFAL_E_MEMORY;
    int failed = 0;
    for (; status != DFAL_OK; failed++) {
        pieces = failed;
        status = df_json_packed(&text, "the configuration", JSON_COMPACT, "{s:s}", "a", "b");
        pieces = -1;
        if (status != DFAL_OK)
            test_error(status, DFAL_E_MEMORY, "not enough memory for the configuration");
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(failed > 3);
    assert_string_equal(text, "{\"a\":\"b\"}");
    free(text);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    dfal_status status = DFAL_E_MEMORY;
    int64_t n = 0;
    while (status == DFAL_E_MEMORY) {
        df_fault_arm(DF_FAULT_ALLOC, ++n);
        status = use();
        df_fault_arm(DF_FAULT_ALLOC, 0);
        assert_int_equal(df_alloc_live(), live);
    }
    assert_int_equal(status, DFAL_E_CONFIG); /* what nothing failed ends with */
    test_error(status, DFAL_E_CONFIG, "x was made with more 1, expected (none)");
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_many),
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_first_difference),
        cmocka_unit_test(test_next),       cmocka_unit_test(test_recent),
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_shown),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_kept_error),
        cmocka_unit_test(test_packed),     cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
