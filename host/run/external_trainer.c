/* SPDX-License-Identifier: Apache-2.0 */
#include "run/external_trainer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "score/pass.h"
#include "store/label_text.h"
#include "store/network_file.h"
#include "store/table.h"

enum { EXIT_STOPPED = 75, TAIL_BYTES = 480, PATIENCE_SECONDS = 30 };

/* The files of a round. */
struct round_paths {
    char *labels, *twins, *init, *out, *done, *log;
};

static void paths_clear(struct round_paths *paths)
{
    char *all[] = {paths->labels, paths->twins, paths->init, paths->out, paths->done, paths->log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        df_free(all[i]);
    *paths = (struct round_paths){0};
}

static dfal_status paths_make(struct round_paths *paths, const struct df_external_trainer *trainer,
                              int32_t round)
{
    const char *folder = trainer->folder;
    *paths = (struct round_paths){0};
    DF_TRY(df_format(&paths->labels, "%s/labels-%d.csv", folder, round));
    DF_TRY(df_format(&paths->twins, "%s/twins-%d.h5", folder, round));
    DF_TRY(df_format(&paths->out, "%s/net-%d.onnx", folder, round));
    DF_TRY(df_format(&paths->done, "%s/done-%d.txt", folder, round));
    DF_TRY(df_format(&paths->log, "%s/trainer-%d.log", folder, round));
    if (round > 0)
        return df_format(&paths->init, "%s/net-%d.onnx", folder, round - 1);
    return trainer->init[0] ? df_strdup(&paths->init, trainer->init) : DFAL_OK;
}

dfal_status df_external_trainer_open(struct df_external_trainer *trainer, struct dfal_context *context,
                                     const char *dir, const char *strategy, int32_t trial)
{
    char whole[PATH_MAX];
    trainer->context = context;
    if (!realpath(dir, whole))
        return df_fail_errno(errno, false, dir, "finding");
    DF_TRY(df_format(&trainer->folder, "%s/state/%s-%d.trainer", whole, strategy, trial));
    return df_folder_create(trainer->folder);
}

void df_external_trainer_close(struct df_external_trainer *trainer)
{
    df_free(trainer->folder);
    trainer->folder = NULL;
}

/* ---- what the command reads ---------------------------------------------------------------------------- */

/* `id,label` of the labelled rows of the pool in the order they were labelled; the digest gets it all. Where
 * there are pseudo-labelled rows they follow, and a column `annotator` tells them. */
static dfal_status write_labels(const struct df_external_trainer *trainer, const struct df_run_state *state,
                                const char *path, struct df_digest *digest)
{
    struct df_text text = {0};
    char *id = NULL;
    const bool pseudo = state->count > 0 && state->rows[state->count - 1].source == DF_ROW_PSEUDO;
    dfal_status status = DFAL_OK;
    df_text_add(&text, "id,label%s\n", pseudo ? ",annotator" : "");
    for (int64_t i = 0; i < state->count; i++) {
        const struct df_training_row *row = &state->rows[i];
        if (row->source == DF_ROW_TWIN)
            continue;
        DF_TRY_TO(done, status, df_pool_id(trainer->pool, &id, row->index));
        df_label_line(&text, id, trainer->pool->classes, row->label,
                      row->source == DF_ROW_PSEUDO ? "pseudo"
                      : pseudo                     ? ""
                                                   : NULL);
        df_free(id);
        id = NULL;
    }
    DF_TRY_TO(done, status, text.status);
    df_digest_add(digest, text.bytes, (size_t)text.size);
    status = df_file_write(path, text.bytes, (size_t)text.size);
done:
    df_text_clear(&text);
    return status;
}

static void put_reals(struct df_text *text, const char *key, const double *values, int32_t count)
{
    df_text_add(text, "\"%s\":[", key);
    for (int32_t i = 0; i < count; i++)
        df_text_add(text, "%s%.17g", i ? "," : "", values[i]);
    df_text_add(text, "],");
}

/* What turns the twins back into the pool's raw units. */
static dfal_status describe_twins(char **out, const struct df_pool *pool)
{
    struct df_text text = {0};
    df_text_add(&text, "{");
    put_reals(&text, "offset", pool->offset, pool->affine_count);
    df_text_add(&text, "\"pool_fingerprint\":\"%s\",", pool->fingerprint);
    put_reals(&text, "scale", pool->scale, pool->affine_count);
    df_text_add(&text, "\"version\":\"%s\"}", DFAL_VERSION);
    return df_text_take(&text, out);
}

/* The table that `select --twins` writes, of all twins so far, with the oracle's labels. */
static dfal_status write_twins(const struct df_external_trainer *trainer, const struct df_run_state *state,
                               const char *path)
{
    const int64_t n = state->twin_count;
    const struct df_shape shape = trainer->pool->shape;
    int64_t *rank = NULL;
    int32_t *label = NULL;
    uint8_t *end = NULL;
    char **ids = NULL, *configuration = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, describe_twins(&configuration, trainer->pool));
    DF_TRY_TO(done, status, df_alloc(&rank, n, sizeof *rank));
    DF_TRY_TO(done, status, df_alloc(&label, n, sizeof *label));
    DF_TRY_TO(done, status, df_alloc(&end, n, 1)); /* OK: others get no twin */
    DF_TRY_TO(done, status, df_alloc(&ids, n, sizeof *ids));
    for (int64_t i = 0; i < state->count; i++) {
        const struct df_training_row *row = &state->rows[i];
        if (row->source != DF_ROW_TWIN)
            continue;
        label[row->index] = row->label;
        rank[row->index] = row->index + 1;
    }
    for (int64_t i = 0; i < n; i++)
        DF_TRY_TO(done, status, df_pool_id(trainer->pool, &ids[i], state->twin_of[i]));
    const struct df_column columns[] = {
        {.name = "/samples",
         .type = DF_COLUMN_F32,
         .rank = 4,
         .dims = {n, shape.c, shape.h, shape.w},
         .data = state->x},
        {.name = "/rank", .type = DF_COLUMN_I64, .rank = 1, .dims = {n}, .data = rank},
        {.name = "/adversarial_class",
         .type = DF_COLUMN_I32,
         .rank = 1,
         .dims = {n},
         .data = state->twin_class},
        {.name = "/label", .type = DF_COLUMN_I32, .rank = 1, .dims = {n}, .data = label},
        {.name = "/index", .type = DF_COLUMN_I64, .rank = 1, .dims = {n}, .data = state->twin_of},
        {.name = "/status", .type = DF_COLUMN_U8, .rank = 1, .dims = {n}, .data = end},
        {.name = "/id", .type = DF_COLUMN_TEXT, .rank = 1, .dims = {n}, .data = ids},
    };
    status =
        df_table_write(path, "dfal-twins", configuration, columns, sizeof columns / sizeof *columns, true);
done:
    for (int64_t i = 0; ids && i < n; i++)
        df_free(ids[i]);
    df_free(ids);
    df_free(configuration);
    df_free(rank);
    df_free(label);
    df_free(end);
    return status;
}

static dfal_status make_words(struct df_words *words, const struct df_external_trainer *trainer,
                              const struct round_paths *paths, bool twins, int32_t round, uint64_t seed)
{
    char numbers[2][32];
    /* 31 bits: any framework takes them. */
    snprintf(numbers[0], sizeof numbers[0], "%llu", (unsigned long long)(seed & 0x7fffffffU));
    snprintf(numbers[1], sizeof numbers[1], "%d", round);
    const char *const options[][2] = {
        {"--pool", trainer->pool_path}, {"--labels", paths->labels}, {"--twins", twins ? paths->twins : NULL},
        {"--init", paths->init},        {"--out", paths->out},       {"--seed", numbers[0]},
        {"--round", numbers[1]},
    };
    DF_TRY(df_words_split(words, trainer->command, DFAL_E_USAGE));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i][1]) {
            DF_TRY(df_words_add(words, options[i][0]));
            DF_TRY(df_words_add(words, options[i][1]));
        }
    return DFAL_OK;
}

/* ---- what it leaves ------------------------------------------------------------------------------------ */

/* The log is the lock: the command's outputs are the very descriptor, so it is held until the last of them is
 * closed. */
static dfal_status open_log(int *fd, const struct df_external_trainer *trainer, const char *path,
                            const struct df_words *words)
{
    static const struct timespec moment = {.tv_nsec = 100000000};
    char now[32];
    *fd = df_file_make(AT_FDCWD, path, O_WRONLY | O_APPEND);
    if (*fd < 0)
        return df_fail_errno(errno, true, path, "opening");
    for (const double begin = df_clock(); flock(*fd, LOCK_EX | LOCK_NB); nanosleep(&moment, NULL)) {
        if (errno != EWOULDBLOCK)
            return df_fail_errno(errno, true, path, "locking");
        DF_TRY(df_context_check_stop(trainer->context));
        if (df_clock() - begin > PATIENCE_SECONDS)
            DF_FAIL(DFAL_E_EXISTS,
                    "%s: the trainer of an earlier start still runs, expected it to be stopped first", path);
    }
    df_time_iso(now);
    struct df_text text = {0};
    char *line = NULL;
    df_text_add(&text, "--- %s", now);
    for (int32_t i = 0; i < words->count; i++)
        df_text_add(&text, " %s", words->word[i]);
    DF_TRY(df_text_take(&text, &line));
    dfal_text_clean(line);
    dprintf(*fd, "%s\n", line);
    df_free(line);
    return DFAL_OK;
}

/* The last lines behind byte `begin` of the log as one: line ends become " | ", other control bytes
 * blanks. */
static void read_tail(char text[2 * TAIL_BYTES], const char *path, int64_t begin)
{
    char bytes[TAIL_BYTES];
    struct stat info;
    size_t used = 0;
    ssize_t got = 0;
    text[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &info)) {
        begin = info.st_size - TAIL_BYTES > begin ? info.st_size - TAIL_BYTES : begin;
        got = pread(fd, bytes, TAIL_BYTES, begin);
    }
    close(fd);
    while (got > 0 && (unsigned char)bytes[got - 1] <= ' ')
        got--;
    for (ssize_t i = 0; i < got && used + 4 < 2 * TAIL_BYTES; i++) {
        if (bytes[i] == '\n')
            used += (size_t)snprintf(text + used, 4, " | ");
        else
            text[used++] = (char)((unsigned char)bytes[i] < ' ' || bytes[i] == 127 ? ' ' : bytes[i]);
    }
    text[used] = 0;
}

static dfal_status judge(const struct df_external_trainer *trainer, const struct df_process_end *end,
                         const char *log_path, int64_t log_begin)
{
    char tail[2 * TAIL_BYTES], how[64];
    if (end->code == 0)
        return DFAL_OK;
    if (end->code == EXIT_STOPPED || end->stopped)
        DF_FAIL(DFAL_E_STOPPED, "the trainer '%.200s' was stopped", trainer->command);
    read_tail(tail, log_path, log_begin);
    if (end->signal)
        snprintf(how, sizeof how, "died by signal %d (%s)", end->signal, strsignal(end->signal));
    else
        snprintf(how, sizeof how, "ended with exit code %d", end->code);
    DF_FAIL(DFAL_E_UNAVAILABLE, "the trainer '%.200s' %s, expected 0; %s ends with: %s", trainer->command,
            how, log_path, tail[0] ? tail : "nothing");
}

static dfal_status load(struct df_external_trainer *trainer, struct df_network **network, const char *path)
{
    const struct df_pool *pool = trainer->pool;
    DF_TRY(df_network_for_pool(network, trainer->context, path, pool));
    dfal_status status = DFAL_OK;
    if ((*network)->class_count < pool->class_count)
        status = df_fail(DFAL_E_SHAPE, "%s tells %d classes apart, expected at least the %d of %s", path,
                         (*network)->class_count, pool->class_count, pool->path);
    if (status == DFAL_OK &&
        (*network)->affine_count == 0) /* it does not tell: it was trained on this pool */
        status = df_network_take_scaling(*network, pool);
    if (status == DFAL_OK && !(*network)->classes && (*network)->class_count == pool->class_count)
        status = df_network_name_classes(*network, pool->classes); /* --pool has told it their order */
    if (status != DFAL_OK) {
        df_network_destroy(*network);
        *network = NULL;
    }
    return status;
}

static dfal_status load_result(struct df_external_trainer *trainer, struct df_network **network,
                               const struct round_paths *paths, int64_t log_begin)
{
    char tail[2 * TAIL_BYTES], reason[DF_MESSAGE_SIZE];
    dfal_status status = DFAL_E_DATA;
    if (!df_file_exists(paths->out)) {
        snprintf(reason, sizeof reason, "left no %s", paths->out);
    } else {
        status = load(trainer, network, paths->out);
        if (status == DFAL_OK || status == DFAL_E_MEMORY)
            return status;
        df_message_get(reason);
    }
    read_tail(tail, paths->log, log_begin);
    DF_FAIL(status == DFAL_E_SHAPE ? status : DFAL_E_DATA,
            "the trainer '%.200s' ended with exit code 0, expected a network: %.400s; %s ends with: %s",
            trainer->command, reason, paths->log, tail[0] ? tail : "nothing");
}

dfal_status df_external_trainer_network(struct df_external_trainer *trainer, struct df_network **network,
                                        int32_t round)
{
    struct round_paths paths;
    dfal_status status = paths_make(&paths, trainer, round);
    if (status == DFAL_OK)
        status = load(trainer, network, paths.out);
    paths_clear(&paths);
    return status;
}

/* ---- a round ------------------------------------------------------------------------------------------- */

/* Was this very work finished before a kill? */
static bool is_done(const struct round_paths *paths, const char *key)
{
    char *text = NULL;
    size_t size = 0;
    bool same = df_file_exists(paths->done) && df_file_read(&text, &size, paths->done, 1024) == DFAL_OK &&
                !strcmp(text, key);
    df_free(text);
    return same;
}

static dfal_status call(struct df_external_trainer *trainer, const struct round_paths *paths,
                        const struct df_words *words, int32_t round, int64_t *log_begin)
{
    struct df_process_end end;
    int fd = -1;
    dfal_status status;
    DF_TRY_TO(done, status, open_log(&fd, trainer, paths->log, words));
    *log_begin = lseek(fd, 0, SEEK_END);
    DF_TRY_TO(done, status, df_path_remove(paths->done));
    DF_TRY_TO(done, status, df_path_remove(paths->out));
    df_say(
        trainer->context, DFAL_INFO, "run.trainer",
        DF_FIELDS(DF_TEXT("command", trainer->command), DF_INT("round", round), DF_TEXT("log", paths->log)),
        "round %d is trained by '%s', log %s", round, trainer->command, paths->log);
    status = df_process_run(&end, trainer->context, words, 0, fd);
    if (status == DFAL_OK) {
        trainer->context->kept_work = true;
        status = judge(trainer, &end, paths->log, *log_begin);
    }
done:
    if (fd >= 0)
        close(fd);
    return status;
}

dfal_status df_external_trainer_run(struct df_external_trainer *trainer, struct df_network **network,
                                    const struct df_run_state *state, int32_t round, uint64_t seed)
{
    struct round_paths paths = {0};
    struct df_words words = {0};
    struct df_digest digest;
    char key[DF_DIGEST_TEXT];
    int64_t log_begin = 0;
    dfal_status status;
    *network = NULL;
    DF_TRY_TO(done, status, paths_make(&paths, trainer, round));
    df_digest_begin(&digest);
    DF_TRY_TO(done, status, write_labels(trainer, state, paths.labels, &digest));
    if (state->twin_count)
        DF_TRY_TO(done, status, write_twins(trainer, state, paths.twins));
    DF_TRY_TO(done, status, make_words(&words, trainer, &paths, state->twin_count > 0, round, seed));
    for (int32_t i = 0; i < words.count; i++)
        df_digest_add(&digest, words.word[i], strlen(words.word[i]) + 1);
    df_digest_end(&digest, key);
    if (is_done(&paths, key) && load(trainer, network, paths.out) == DFAL_OK)
        goto done;
    DF_TRY_TO(done, status, call(trainer, &paths, &words, round, &log_begin));
    DF_TRY_TO(done, status, load_result(trainer, network, &paths, log_begin));
    status = df_file_write(paths.done, key, strlen(key));
done:
    if (status != DFAL_OK) {
        df_network_destroy(*network);
        *network = NULL;
    }
    df_words_clear(&words);
    paths_clear(&paths);
    return status;
}

/* A file, or a folder that the command left beside its network under the network's name. */
static void remove_left(const struct df_external_trainer *trainer, const char *name)
{
    char message[DF_MESSAGE_SIZE], *path;
    df_message_get(message);
    if (df_format(&path, "%s/%s", trainer->folder, name) == DFAL_OK)
        (void)df_path_remove(path);
    df_free(path);
    df_message_set(message);
}

void df_external_trainer_sweep(const struct df_external_trainer *trainer, int32_t round)
{
    static const char *const kinds[] = {"labels-", "twins-", "net-", "done-"};
    DIR *folder = opendir(trainer->folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            const size_t length = strlen(kinds[k]);
            char *end;
            if (strncmp(entry->d_name, kinds[k], length))
                continue;
            const long number = strtol(entry->d_name + length, &end, 10);
            if (end > entry->d_name + length && *end == '.' && number < round)
                remove_left(trainer, entry->d_name);
        }
    closedir(folder);
}
