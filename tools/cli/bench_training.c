/* SPDX-License-Identifier: Apache-2.0 */
/* The real job, dfal_train into a folder that is removed; its events tell when an epoch has ended. */
#include "bench_training.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_floor.h"
#include "bench_folder.h"
#include "print.h"

struct times {
    double seconds, cpu_seconds; /* of all threads */
};

/* What is heard of a training. */
struct training {
    int32_t restarts;
    int64_t rows, multiply_adds; /* multiply-adds of a forward, as it is trained */
    char engine[16], isa[16], backend[64];
    int64_t ended;       /* epochs, of all restarts */
    struct times before; /* clocks when the last repetition ended */
    struct times *times; /* of repetitions */
    int32_t count;
};

static double clock_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Restarts may run side by side: a repetition is over when as many epochs have ended as there are restarts.
 * The first is none, for it warms up. */
static void end_epoch(struct training *training)
{
    if (++training->ended % training->restarts != 0)
        return;
    const struct times now = {clock_of(CLOCK_MONOTONIC), clock_of(CLOCK_PROCESS_CPUTIME_ID)},
                       before = training->before;
    if (training->ended > training->restarts)
        training->times[training->count++] =
            (struct times){now.seconds - before.seconds, now.cpu_seconds - before.cpu_seconds};
    training->before = now;
}

static void take_text(char *to, size_t size, const struct dfal_field *field, const char *key)
{
    if (strcmp(field->key, key) == 0)
        snprintf(to, size, "%s", field->text);
}

static void hear(void *user, const struct dfal_event *event)
{
    struct training *training = user;
    if (strcmp(event->name, "train.epoch") == 0)
        end_epoch(training);
    for (int32_t i = 0; strcmp(event->name, "train.begin") == 0 && i < event->field_count; i++) {
        const struct dfal_field *field = &event->fields[i];
        if (strcmp(field->key, "rows") == 0)
            training->rows = field->integer;
        take_text(training->engine, sizeof training->engine, field, "engine");
        take_text(training->isa, sizeof training->isa, field, "isa");
        take_text(training->backend, sizeof training->backend, field, "backend");
    }
}

static void take_fact(void *user, const struct dfal_field *fact)
{
    if (strcmp(fact->key, "multiply_adds_unfolded") == 0)
        ((struct training *)user)->multiply_adds = fact->integer;
}

static dfal_status train(struct session *session, struct training *training, const char *network,
                         const char *pool, const struct dfal_train_options *options,
                         struct dfal_train_result *result)
{
    struct bench_folder folder;
    char out[BENCH_PATH];
    dfal_status status = bench_folder_make(&folder);
    if (status != DFAL_OK)
        return status;
    bench_folder_file(out, &folder, "net.h5");
    session->hear = hear;
    session->hear_user = training;
    status = dfal_train(session->context, result, out, network, pool, options);
    session->hear = NULL;
    if (status == DFAL_OK)
        status = dfal_info(session->context, out, take_fact, training);
    bench_folder_remove(&folder);
    return status;
}

/* One repetition beside the machine's peak. */
struct speed {
    int64_t samples, steps;
    double operations, peak_share; /* operations that a training does which saves none: three forwards */
};

static struct speed speed_of(const struct training *training, const struct times *times, int32_t batch,
                             double peak, int32_t threads)
{
    struct speed speed = {.samples = training->restarts * training->rows,
                          .steps = training->restarts * ((training->rows + batch - 1) / batch)};
    speed.operations = 2.0 * 3.0 * (double)training->multiply_adds * (double)speed.samples;
    speed.peak_share = bench_peak_share(speed.operations, times->cpu_seconds, peak, threads);
    return speed;
}

static dfal_status print_repetitions(struct session *session, const struct training *training,
                                     const struct dfal_train_options *options,
                                     const struct dfal_train_result *result)
{
    const int32_t threads = session->options.threads;
    const double peak = bench_peak_for(training->backend, bench_peak_operations(threads));
    json_t *rows = session->json ? json_array() : NULL;
    for (int32_t i = 0; i < training->count; i++) {
        const struct times *times = &training->times[i];
        const struct speed speed = speed_of(training, times, options->batch, peak, threads);
        const double sample_rate = (double)speed.samples / times->seconds,
                     step_rate = (double)speed.steps / times->seconds,
                     rate = speed.operations / times->seconds;
        if (session->json) {
            json_array_append_new(
                rows,
                OBJECT("case", JSON("train"), "repeat", JSON(i + 1), MEMBER(&speed, samples),
                       MEMBER(&speed, steps), MEMBER(times, seconds), MEMBER(times, cpu_seconds),
                       "samples_per_second", JSON(sample_rate), "steps_per_second", JSON(step_rate),
                       "dense_operations_per_second", JSON(rate), "peak_operations_per_second", JSON(peak),
                       MEMBER(&speed, peak_share), MEMBER(options, batch), MEMBER(training, restarts),
                       "threads", JSON(threads), MEMBER(result, peak_memory_bytes), MEMBER(training, engine),
                       MEMBER(training, isa), MEMBER(training, backend)));
            continue;
        }
        printf("train %d  %" PRId64 " samples  %" PRId64 " steps  %.3f s  %.3f CPU s  %.1f samples/s  "
               "%.1f steps/s",
               i + 1, speed.samples, speed.steps, times->seconds, times->cpu_seconds, sample_rate, step_rate);
        bench_print_share(rate, speed.peak_share, peak, threads);
        printf("  threads %d  %.1f MiB  %s %s %s\n", threads, (double)result->peak_memory_bytes / 1048576.0,
               training->backend, training->engine, training->isa);
    }
    return session->json ? print_json(rows) : DFAL_OK;
}

dfal_status bench_train(struct session *session, const char *network, const char *pool, int32_t repeat,
                        struct dfal_train_options *options)
{
    struct training training = {.restarts = options->restarts,
                                .times = calloc((size_t)repeat, sizeof *training.times)};
    struct dfal_train_result result;
    if (training.times == NULL)
        return usage_error(DFAL_E_MEMORY, "out of memory");
    dfal_train_result_init(&result);
    options->epochs = repeat + 1;
    dfal_status status = train(session, &training, network, pool, options, &result);
    if (status == DFAL_OK)
        status = print_repetitions(session, &training, options, &result);
    free(training.times);
    return status;
}
