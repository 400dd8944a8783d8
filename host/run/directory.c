/* SPDX-License-Identifier: Apache-2.0 */
#include "run/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "run/curve.h"
#include "run/select.h"

#define QUERIES_HEADER "strategy,trial,round," DF_QUERY_COLUMNS "," DF_QUERY_NAME_COLUMNS "\n"
#define CURVE_HEADER   DF_CURVE_COLUMNS "\n"

const char *const df_identity_keys[DF_IDENTITY_COUNT] = {
    "train_fingerprint", "test_fingerprint", "network_sha256", "version", "backend", "engine", "isa",
    "precision",         "library",
};

bool df_run_directory_is_finished(const char *path)
{
    char *marker = NULL;
    if (df_format(&marker, "%s/state/finished", path) != DFAL_OK)
        return false;
    bool finished = df_file_exists(marker);
    df_free(marker);
    return finished;
}

dfal_status df_run_directory_finish(const char *path)
{
    char *marker = NULL;
    DF_TRY(df_format(&marker, "%s/state/finished", path));
    dfal_status status = df_file_write(marker, "finished\n", 9);
    df_free(marker);
    return status;
}

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(folder));)
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    closedir(folder);
    return empty;
}

/* ---- identity ------------------------------------------------------------------------------------------ */

static dfal_status identity_write(const char *path, const struct df_run_identity *identity)
{
    struct df_text text = {0};
    char *bytes = NULL;
    for (int i = 0; i < DF_IDENTITY_COUNT; i++)
        df_text_add(&text, "%s: %s\n", df_identity_keys[i], identity->value[i]);
    DF_TRY(df_text_take(&text, &bytes));
    dfal_status status = df_file_write(path, bytes, strlen(bytes));
    df_free(bytes);
    return status;
}

static dfal_status identity_compare(const char *path, const struct df_run_identity *ours,
                                    struct dfal_context *context, struct df_run_directory *directory)
{
    char *text = NULL;
    size_t size = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, 1 << 16));
    char *line = text;
    for (int i = 0; i < DF_IDENTITY_COUNT; i++) {
        size_t key = strlen(df_identity_keys[i]);
        char *end = strchr(line, '\n');
        if (!end || strncmp(line, df_identity_keys[i], key) || strncmp(line + key, ": ", 2)) {
            status = df_fail(DFAL_E_DATA, "%s: line %d is not '%s: ...', expected the file that run wrote",
                             path, i + 1, df_identity_keys[i]);
            goto done;
        }
        *end = 0;
        const char *theirs = line + key + 2;
        line = end + 1;
        if (!strcmp(theirs, ours->value[i]))
            continue;
        if (i >= DF_IDENTITY_DATA && context->options.allow_mixed) {
            const struct dfal_field fields[] = {DF_TEXT("key", df_identity_keys[i]), DF_TEXT("begun", theirs),
                                                DF_TEXT("now", ours->value[i])};
            char sentence[DF_MESSAGE_SIZE];
            snprintf(sentence, sizeof sentence,
                     "%s was %s when this run was begun and is %s now: its numbers are mixed",
                     df_identity_keys[i], theirs, ours->value[i]);
            const struct dfal_event event = {DFAL_WARNING, "run.mixed", sentence, fields, 3};
            df_run_directory_event(directory, &event); /* the run's own log does not listen yet */
            df_say(context, DFAL_WARNING, "run.mixed",
                   DF_FIELDS(DF_TEXT("key", df_identity_keys[i]), DF_TEXT("begun", theirs),
                             DF_TEXT("now", ours->value[i])),
                   "%s", sentence);
            continue;
        }
        status = df_fail(DFAL_E_CONFIG, "%s was begun with %s %s, expected the same, here it is %s%s", path,
                         df_identity_keys[i], theirs, ours->value[i],
                         i >= DF_IDENTITY_DATA ? " (--allow-mixed continues all the same)" : "");
        goto done;
    }
done:
    df_free(text);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Open for appending; a header that is missing, or of which a full disk took only a part, is written. */
static dfal_status open_table(int *fd, const char *dir, const char *name, const char *header)
{
    char *path = NULL;
    struct df_text text = {0};
    struct stat info;
    int64_t bytes;
    dfal_status status;
    DF_TRY_TO(done, status, df_format(&path, "%s/%s", dir, name));
    *fd = df_descriptor(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (*fd < 0 || fstat(*fd, &info)) {
        status = df_fail_errno(errno, true, path, "opening");
        goto done;
    }
    if (!header || info.st_size >= (int64_t)strlen(header))
        goto done;
    if (ftruncate(*fd, 0)) {
        status = df_fail_errno(errno, true, path, "shortening");
        goto done;
    }
    df_text_add(&text, "%s", header);
    status = df_run_directory_append(*fd, &text, &bytes, name);
done:
    df_text_clear(&text);
    df_free(path);
    return status;
}

/* Remove what a run writes, and nothing else that somebody may have put beside it. config.yaml goes last: as long as it
 * is there the folder is known for a run directory, also to whoever comes after a kill in the middle of this. */
static dfal_status clear(const char *dir)
{
    static const char *const names[] = {"curve.csv", "queries.csv", "log.jsonl", "report.html",
                                        "config.yaml"};
    static const char *const folders[] = {"state", "networks"};
    char *path = NULL;
    dfal_status status = DFAL_OK;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == DFAL_OK; i++) {
        DF_TRY(df_format(&path, "%s/%s", dir, folders[i]));
        if (df_folder_exists(path))
            status = df_folder_remove(path);
        df_free(path);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == DFAL_OK; i++) {
        DF_TRY(df_format(&path, "%s/%s", dir, names[i]));
        if (unlink(path) && errno != ENOENT)
            status = df_fail_errno(errno, true, path, "removing");
        df_free(path);
    }
    return status;
}

/* Nobody may lose the ground under a running experiment. */
static dfal_status check_unused(const char *dir)
{
    char *path = NULL;
    DF_TRY(df_format(&path, "%s/log.jsonl", dir));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    df_free(path);
    bool used = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    if (used)
        DF_FAIL(DFAL_E_EXISTS, "%s: another process is running in it, expected a folder of its own", dir);
    return DFAL_OK;
}

/* Decide what is at path: nothing (create), ours (continue), or somebody else's. */
static dfal_status decide(struct df_run_directory *directory, struct dfal_context *context,
                          const struct df_run_config *config, const char *config_path, bool resume)
{
    const char *path = directory->path;
    if (df_folder_exists(path)) {
        df_file_sweep(config_path);
        if (df_file_exists(config_path)) {
            if (context->options.force) {
                DF_TRY(check_unused(path));
                return clear(path);
            }
            if (df_run_directory_is_finished(path))
                DF_FAIL(DFAL_E_EXISTS, "%s: the run is finished, expected another folder or --force", path);
            struct df_run_config theirs;
            DF_TRY(df_run_directory_config(&theirs, path));
            DF_TRY(df_run_config_compare(config, &theirs, path));
            directory->resumed = true;
            return DFAL_OK;
        }
        if (!is_empty_folder(path))
            DF_FAIL(DFAL_E_EXISTS,
                    "%s: the folder holds other files, expected a run directory or a name not taken", path);
    } else if (df_file_exists(path)) {
        DF_FAIL(DFAL_E_EXISTS, "%s: a file is there, expected a run directory or a name not taken", path);
    }
    if (resume)
        DF_FAIL(DFAL_E_NOINPUT, "%s: there is nothing to resume, expected a run directory", path);
    return DFAL_OK;
}

static dfal_status lay_out(struct df_run_directory *directory, const struct df_run_config *config,
                           const char *config_path, const char *state)
{
    char *networks = NULL, *yaml = NULL;
    dfal_status status;
    if (!df_folder_exists(directory->path)) {
        DF_TRY(df_folder_create(directory->path));
        directory->created = true;
    }
    directory->fresh = !directory->resumed;
    /* The configuration comes first: whoever is killed from here on can be continued. */
    DF_TRY_TO(done, status, df_run_config_yaml(&yaml, config));
    if (!directory->resumed)
        DF_TRY_TO(done, status, df_file_write(config_path, yaml, strlen(yaml)));
    DF_TRY_TO(done, status, df_folder_create(state));
    DF_TRY_TO(done, status, df_format(&networks, "%s/networks", directory->path));
    status = df_folder_create(networks);
done:
    df_free(yaml);
    df_free(networks);
    return status;
}

dfal_status df_run_directory_open(struct df_run_directory *directory, struct dfal_context *context,
                                  const char *path, const struct df_run_config *config,
                                  const struct df_run_identity *identity, bool resume)
{
    char *config_path = NULL, *state = NULL, *identity_path = NULL;
    dfal_status status;
    *directory = (struct df_run_directory){.curve = -1, .queries = -1, .log = -1};
    DF_TRY_TO(done, status, df_strdup(&directory->path, path));
    for (size_t n = strlen(path); n > 1 && directory->path[n - 1] == '/'; n--)
        directory->path[n - 1] = 0;
    DF_TRY_TO(done, status, df_format(&config_path, "%s/config.yaml", directory->path));
    DF_TRY_TO(done, status, df_format(&state, "%s/state", directory->path));
    DF_TRY_TO(done, status, df_format(&identity_path, "%s/identity", state));
    DF_TRY_TO(done, status, decide(directory, context, config, config_path, resume));
    DF_TRY_TO(done, status, lay_out(directory, config, config_path, state));
    DF_TRY_TO(done, status, open_table(&directory->log, directory->path, "log.jsonl", NULL));
    if (flock(directory->log, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        directory->created = directory->fresh = false;
        status = df_fail(DFAL_E_EXISTS, "%s: another process is running in it, expected a folder of its own",
                         path);
        goto done;
    }
    if (df_file_exists(identity_path))
        DF_TRY_TO(done, status, identity_compare(identity_path, identity, context, directory));
    else
        DF_TRY_TO(done, status, identity_write(identity_path, identity));
    DF_TRY_TO(done, status, open_table(&directory->curve, directory->path, "curve.csv", CURVE_HEADER));
    status = open_table(&directory->queries, directory->path, "queries.csv", QUERIES_HEADER);
done:
    df_free(config_path);
    df_free(state);
    df_free(identity_path);
    if (status != DFAL_OK)
        df_run_directory_abandon(directory);
    return status;
}

void df_run_directory_close(struct df_run_directory *directory)
{
    if (directory->curve >= 0)
        close(directory->curve);
    if (directory->queries >= 0)
        close(directory->queries);
    if (directory->log >= 0)
        close(directory->log);
    df_free(directory->path);
    *directory = (struct df_run_directory){.curve = -1, .queries = -1, .log = -1};
}

void df_run_directory_abandon(struct df_run_directory *directory)
{
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    if (directory->fresh && clear(directory->path) == DFAL_OK && directory->created)
        rmdir(directory->path);
    df_message_set(message);
    df_run_directory_close(directory);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static dfal_status cut(int fd, const char *dir, const char *name, int64_t bytes, int64_t header)
{
    struct stat info;
    if (fstat(fd, &info))
        return df_fail_errno(errno, true, name, "looking at");
    int64_t wanted = bytes > header ? bytes : header;
    if (info.st_size < wanted)
        DF_FAIL(DFAL_E_DATA,
                "%s/%s has %lld bytes, expected at least the %lld that the last checkpoint knows of", dir,
                name, (long long)info.st_size, (long long)wanted);
    if (info.st_size > wanted && (ftruncate(fd, wanted) || fsync(fd)))
        return df_fail_errno(errno, true, name, "shortening");
    return DFAL_OK;
}

dfal_status df_run_directory_cut(struct df_run_directory *directory, int64_t curve_bytes,
                                 int64_t queries_bytes)
{
    DF_TRY(cut(directory->curve, directory->path, "curve.csv", curve_bytes, (int64_t)strlen(CURVE_HEADER)));
    return cut(directory->queries, directory->path, "queries.csv", queries_bytes,
               (int64_t)strlen(QUERIES_HEADER));
}

static dfal_status write_all(int fd, const char *bytes, int64_t size, const char *name)
{
    while (size > 0) {
        if (df_fault_hits(DF_FAULT_WRITE))
            return df_fail_errno(EIO, true, name, "writing");
        ssize_t written = write(fd, bytes, (size_t)size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return df_fail_errno(errno, true, name, "writing");
        bytes += written;
        size -= written;
    }
    return DFAL_OK;
}

dfal_status df_run_directory_append(int fd, const struct df_text *text, int64_t *bytes, const char *name)
{
    struct stat info;
    if (text->status != DFAL_OK)
        DF_FAIL(text->status, "%s: out of memory for new rows", name);
    DF_TRY(write_all(fd, text->bytes, text->size, name));
    if (df_fault_hits(DF_FAULT_FSYNC)) {
        errno = EIO;
        return df_fail_errno(errno, true, name, "syncing");
    }
    if (fsync(fd) || fstat(fd, &info))
        return df_fail_errno(errno, true, name, "syncing");
    *bytes = info.st_size;
    return DFAL_OK;
}

void df_run_directory_event(void *user, const struct dfal_event *event)
{
    struct df_run_directory *directory = user;
    struct df_text text = {0};
    char now[32], message[DF_MESSAGE_SIZE];
    if (event->level == DFAL_DEBUG || event->level == DFAL_PROGRESS)
        return;
    df_time_iso(now);
    df_text_add(&text, "{\"time\": \"%s\", \"level\": \"%s\", \"event\": ", now,
                event->level == DFAL_WARNING ? "warning" : "info");
    df_text_json(&text, event->name);
    df_text_add(&text, ", \"text\": ");
    df_text_json(&text, event->text ? event->text : "");
    for (int32_t i = 0; i < event->field_count; i++) {
        const struct dfal_field *field = &event->fields[i];
        df_text_add(&text, ", ");
        df_text_json(&text, field->key);
        df_text_add(&text, ": ");
        if (field->kind == DFAL_FIELD_INT)
            df_text_add(&text, "%lld", (long long)field->integer);
        else if (field->kind == DFAL_FIELD_TEXT)
            df_text_json(&text, field->text ? field->text : "");
        else if (isfinite(field->real))
            df_text_number(&text, field->real);
        else
            df_text_add(&text, "null");
    }
    df_text_add(&text, "}\n");
    /* The log explains a run and decides nothing: when it cannot be written the run goes on, and says so at its end. */
    df_message_get(message);
    if (text.status != DFAL_OK || write_all(directory->log, text.bytes, text.size, "log.jsonl") != DFAL_OK) {
        directory->log_failed = true;
        df_message_set(message);
    }
    df_text_clear(&text);
}
