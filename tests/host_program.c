/* SPDX-License-Identifier: Apache-2.0 */
/* A program that loads libdfal as a plugin: host_program LIBDFAL [closed] [locale=NAME]. In the current
 * folder it makes pools, trains, scores, selects, runs an experiment and draws its report; what it is told
 * goes to facts.txt. Then it unloads the library, which is to stay mapped all the same, and ends.
 *   closed   without descriptors 0, 1 and 2, into which it writes all the same
 *   locale=  with that locale for everything
 * It prints 1.5 as the locale has it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dfal.h"

/* The library's functions, by their names. */
#define FUNCTIONS(X)                                                                                         \
    X(dfal_last_error)                                                                                       \
    X(dfal_context_options_init)                                                                             \
    X(dfal_context_create)                                                                                   \
    X(dfal_context_destroy)                                                                                  \
    X(dfal_synth_options_init)                                                                               \
    X(dfal_synth)                                                                                            \
    X(dfal_train_options_init)                                                                               \
    X(dfal_train)                                                                                            \
    X(dfal_score_options_init)                                                                               \
    X(dfal_score)                                                                                            \
    X(dfal_select_options_init)                                                                              \
    X(dfal_select)                                                                                           \
    X(dfal_run_options_init)                                                                                 \
    X(dfal_run)                                                                                              \
    X(dfal_run_print_config)                                                                                 \
    X(dfal_report)                                                                                           \
    X(dfal_info)                                                                                             \
    X(dfal_string_free)

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} library;

static void *load(const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
#define X(name)                                                                                              \
    *(void **)(void *)&library.name = dlsym(object, #name);                                                  \
    if (!library.name)                                                                                       \
        exit(2);
    FUNCTIONS(X)
#undef X
    return object;
}

static bool closed;

/* Nothing of the library's may be where a host program believes its own streams. */
static void on_event(void *user, const struct dfal_event *event)
{
    FILE *facts = user;
    for (int fd = 0; closed && fd < 3; fd++) {
        const int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
            fprintf(facts, "FAULT: during %s descriptor %d is a file that can be written\n", event->name, fd);
        (void)!write(fd, "words of the host program\n", 26);
    }
    if (event->level != DFAL_PROGRESS)
        fprintf(facts, "%s: %s\n", event->name, event->text);
}

static void on_fact(void *user, const struct dfal_field *fact)
{
    if (fact->kind == DFAL_FIELD_TEXT)
        fprintf(user, "%s %s\n", fact->key, fact->text);
    else if (fact->kind == DFAL_FIELD_INT)
        fprintf(user, "%s %" PRId64 "\n", fact->key, fact->integer);
}

static void make_data(dfal_context *context, FILE *facts)
{
    struct dfal_synth_options synth;
    struct dfal_train_options train;
    library.dfal_synth_options_init(&synth);
    synth.count = 200;
    library.dfal_train_options_init(&train);
    train.epochs = 1;
    train.validation = 0.25;
    fprintf(facts, "synth %d\n", library.dfal_synth(context, "pool.h5", &synth));
    fprintf(facts, "train %d\n", library.dfal_train(context, NULL, "net.h5", "lenet5", "pool.h5", &train));
    train.learning_rate = -1.5;
    fprintf(facts, "bad train %d ", library.dfal_train(context, NULL, "bad.h5", "lenet5", "pool.h5", &train));
    fprintf(facts, "%s\n", library.dfal_last_error());
    fprintf(facts, "info %d\n", library.dfal_info(context, "pool.h5", on_fact, facts));
}

static void choose(dfal_context *context, FILE *facts)
{
    struct dfal_score_options score;
    struct dfal_select_options select;
    library.dfal_score_options_init(&score);
    score.overshoot = 0.025;
    fprintf(facts, "score %d\n", library.dfal_score(context, NULL, "scores.h5", "net.h5", "pool.h5", &score));
    library.dfal_select_options_init(&select);
    select.score = &score;
    select.strategy = "dfal";
    select.count = 5;
    select.scores_path = "scores.h5";
    for (int i = 0; i < 2; i++) { /* against the file's own configuration, then against another */
        select.sheet_path = i ? NULL : "sheet.html";
        score.overshoot = i ? 0.5 : 0.025;
        fprintf(facts, "select %d ",
                library.dfal_select(context, i ? "other.csv" : "queries.csv", "net.h5", "pool.h5", &select,
                                    NULL, NULL));
        fprintf(facts, "%s\n", i ? library.dfal_last_error() : "");
    }
}

static void experiment(dfal_context *context, FILE *facts)
{
    /* One strategy: rounds of several that run side by side end in any order. */
    static const char *const set[] = {"training.validation=0.25", "strategies=[dfal]"}, *const folders[] = {
                                                                                            "run"};
    struct dfal_run_options run;
    char *yaml = NULL;
    library.dfal_run_options_init(&run);
    run.config_path = "run.yaml";
    run.set = set;
    run.set_count = 2;
    fprintf(facts, "run %d\n", library.dfal_run(context, "run", &run, NULL, NULL));
    if (library.dfal_run_print_config(context, &yaml, &run) == DFAL_OK)
        fprintf(facts, "%s", yaml);
    library.dfal_string_free(yaml);
    fprintf(facts, "report %d\n", library.dfal_report(context, "report.html", folders, 1));
}

int main(int argc, char **argv)
{
    struct dfal_context_options options;
    dfal_context *context;
    FILE *facts = fopen("facts.txt", "w");
    if (argc < 2 || !facts)
        return 2;
    for (int i = 2; i < argc; i++) {
        closed = closed || strcmp(argv[i], "closed") == 0;
        if (strncmp(argv[i], "locale=", 7) == 0 && !setlocale(LC_ALL, argv[i] + 7))
            return 3;
    }
    printf("%.1f\n", 1.5);
    fflush(stdout);
    void *object = load(argv[1]);
    for (int fd = 0; closed && fd < 3; fd++)
        close(fd);
    library.dfal_context_options_init(&options);
    options.backend = "cpu";
    options.threads = 2;
    options.event = on_event;
    options.event_user = facts;
    if (library.dfal_context_create(&context, &options) != DFAL_OK)
        return 4;
    make_data(context, facts);
    choose(context, facts);
    experiment(context, facts);
    library.dfal_context_destroy(context);
    dlclose(object);
    if (!dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD))
        return 6; /* what HDF5 and others remember of it would lead nowhere */
    return fclose(facts) == 0 ? 0 : 5;
}
