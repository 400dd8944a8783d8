/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as words, and commands run in a process group of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/external_command.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "support.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words[5];
    } cases[] = {
        {"python train.py", {"python", "train.py"}},
        {"  a \t b\n", {"a", "b"}},
        {"a 'b c' \"d e\" f\\ g", {"a", "b c", "d e", "f g"}},
        {"a '' \"\"", {"a", "", ""}},
        {"x'y'\"z\"w", {"xyzw"}},
        {"'a\\b' \"a\\\"b\" a\\\\b", {"a\\b", "a\"b", "a\\b"}},
        {"$HOME *.c | ; &", {"$HOME", "*.c", "|", ";", "&"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_words words;
        test_ok(df_words_split(&words, cases[i].text, DFAL_E_USAGE));
        int32_t count = 0;
        while (count < 5 && cases[i].words[count])
            count++;
        assert_int_equal(words.count, count);
        for (int32_t k = 0; k < count; k++)
            assert_string_equal(words.word[k], cases[i].words[k]);
        assert_null(words.word[count]);
        df_words_clear(&words);
    }
    static const char *const broken[] = {"", " \t", "'a", "a \"b", "a\\"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct df_words words;
        assert_int_equal(df_words_split(&words, broken[i], DFAL_E_CONFIG), DFAL_E_CONFIG);
        assert_int_equal(words.count, 0);
    }
}

/* Run under a fresh context; stop: it was asked to before. */
static dfal_status run_for(struct df_process_end *end, const char *text, double seconds, const char *log,
                           bool stop)
{
    dfal_context *context;
    struct df_words words;
    test_ok(dfal_context_create(&context, NULL));
    test_ok(df_words_split(&words, text, DFAL_E_USAGE));
    int fd = df_descriptor(open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    assert_true(fd >= 0);
    if (stop)
        dfal_context_stop(context);
    dfal_status status = df_process_run(end, context, &words, seconds, fd);
    close(fd);
    df_words_clear(&words);
    dfal_context_destroy(context);
    return status;
}

static dfal_status run(struct df_process_end *end, const char *text, const char *log, bool stop)
{
    return run_for(end, text, 0, log, stop);
}

static void test_ends(void **state)
{
    const char *log = *state;
    struct df_process_end end;
    char *text;
    size_t size;
    test_ok(run(&end, "sh -c 'echo out; echo err >&2; cat; exit 7'", log, false));
    assert_true(end.code == 7 && end.signal == 0 && !end.stopped);
    test_ok(df_file_read(&text, &size, log, 100));
    assert_string_equal(text, "out\nerr\n");
    df_free(text);
    test_ok(run(&end, "sh -c 'kill -9 $$'", log, false));
    assert_true(end.code == -1 && end.signal == SIGKILL);
    /* Its own group; signals that dfal ignores are not ignored in it. */
    test_ok(run(&end, "sh -c 'test $(cut -d\" \" -f5 /proc/$$/stat) = $$'", log, false));
    assert_int_equal(end.code, 0);
    signal(SIGXFSZ, SIG_IGN);
    test_ok(run(&end, "sh -c 'kill -XFSZ $$; exit 3'", log, false));
    assert_int_equal(end.signal, SIGXFSZ);
    signal(SIGXFSZ, SIG_DFL);
    /* It is no rank of what dfal is a rank of; the rest of the environment is its own. */
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    setenv("PMIX_RANK", "1", 1);
    setenv("SLURM_STEP_NUM_TASKS", "2", 1);
    setenv("DFAL_TEST_KEPT", "kept", 1);
    test_ok(run(&end, "sh -c 'echo $OMPI_COMM_WORLD_SIZE$PMIX_RANK$SLURM_STEP_NUM_TASKS$DFAL_TEST_KEPT'", log,
                false));
    test_ok(df_file_read(&text, &size, log, 100));
    assert_string_equal(text, "kept\n");
    df_free(text);
    assert_string_equal(getenv("PMIX_RANK"), "1");
    unsetenv("OMPI_COMM_WORLD_SIZE");
    unsetenv("PMIX_RANK");
    unsetenv("SLURM_STEP_NUM_TASKS");
    assert_int_equal(run(&end, "/no/such/program", log, false), DFAL_E_UNAVAILABLE);
    assert_non_null(strstr(dfal_last_error(), "No such file"));
    assert_int_equal(run(&end, "/dev/null", log, false), DFAL_E_UNAVAILABLE);
}

/* A host program without standard streams: the command has all three, the first of them /dev/null. */
static void test_closed(void **state)
{
    const char *log = *state;
    struct df_process_end end = {.code = -1};
    int kept[3];
    char *text;
    size_t size;
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    dfal_status status =
        run(&end, "sh -c 'cat && echo out && echo err >&2 && readlink /proc/$$/fd/0'", log, false);
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    test_ok(status);
    assert_int_equal(end.code, 0);
    test_ok(df_file_read(&text, &size, log, 100));
    assert_string_equal(text, "out\nerr\n/dev/null\n");
    df_free(text);
}

static void test_stop(void **state)
{
    const char *log = *state;
    struct df_process_end end;
    test_ok(run(&end, "sleep 600", log, true));
    assert_true(end.stopped && end.signal == SIGTERM);
    /* The whole group gets it; what it leaves behind is killed and keeps nothing waiting. */
    test_ok(run(&end, "sh -c 'sleep 600 & exit 0'", log, false));
    assert_true(end.code == 0 && !end.stopped);
    test_ok(run(&end, "sh -c 'trap \"exit 75\" TERM; sleep 600 & wait'", log, true));
    assert_true(end.stopped && (end.code == 75 || end.signal == SIGTERM)); /* TERM may come before the trap */
}

/* One that takes too long is killed with its whole group, whatever it ignores; one in time is not. */
static void test_seconds(void **state)
{
    const char *log = *state;
    struct df_process_end end;
    const double begin = df_clock();
    test_ok(run_for(&end, "sh -c 'trap \"\" TERM INT; sleep 600 & wait'", 0.2, log, false));
    assert_true(end.expired && !end.stopped && end.signal == SIGKILL);
    assert_true(df_clock() - begin >= 0.2 && df_clock() - begin < 60);
    test_ok(run_for(&end, "sh -c 'exit 3'", 60, log, false));
    assert_true(!end.expired && end.code == 3);
}

/* A log on a file system without locks is written all the same. */
static void test_log_without_locks(void **state)
{
    (void)state;
    char folder[] = "/tmp/dfal-process-XXXXXX", path[64], output[64];
    struct df_external_command call = DF_EXTERNAL_COMMAND_NONE;
    struct dfal_context *context = NULL;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    test_ok(dfal_context_create(&context, NULL));
    call.context = context;
    call.what = "trainer";
    call.command = "echo";
    call.log_path = path;
    test_ok(df_words_add(&call.words, "echo"));
    test_ok(df_words_add(&call.words, "said"));
    df_fault_arm(DF_FAULT_LOCK, 1);
    test_ok(df_external_command_begin(&call));
    df_fault_arm(DF_FAULT_LOCK, 0);
    test_ok(df_external_command_run(&call));
    df_external_command_output(&call, output, sizeof output);
    assert_string_equal(output, "said\n");
    df_external_command_output(&call, output, 3);
    assert_string_equal(output, "sa");
    df_external_command_end(&call);
    dfal_context_destroy(context);
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static char log[] = "/tmp/dfal-test-process-XXXXXX";
    int fd = mkstemp(log);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test_prestate(test_ends, log),
        cmocka_unit_test_prestate(test_closed, log),
        cmocka_unit_test_prestate(test_stop, log),
        cmocka_unit_test_prestate(test_seconds, log),
        cmocka_unit_test(test_log_without_locks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(log);
    return failed;
}
