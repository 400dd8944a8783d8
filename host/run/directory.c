/* SPDX-License-Identifier: Apache-2.0 */
#include "run/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/at_work.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"
#include "run/class_table.h"
#include "run/curve.h"
#include "run/directory_files.h"
#include "strategy/selection.h"

static const struct {
    const char *name, *header;
} tables[DF_RUN_TABLES] = {
    [DF_RUN_CURVE] = {"curve.csv", DF_CURVE_COLUMNS "\n"},
    [DF_RUN_QUERIES] = {"queries.csv",
                        "strategy,trial,round," DF_QUERY_COLUMNS_BEHIND "," DF_QUERY_NAME_COLUMNS "\n"},
    [DF_RUN_CLASSES] = {"classes.csv", DF_CLASS_COLUMNS "\n"},
    [DF_RUN_TRANSFER] = {"transfer.csv", DF_TRANSFER_COLUMNS "\n"},
};

static const char log_name[] = DF_RUN_LOG;

bool df_run_directory_is_finished(const char *path)
{
    char *marker = NULL;
    if (df_format(&marker, "%s/state/finished", path) != DFAL_OK)
        return false;
    bool finished = df_file_exists(marker);
    df_free(marker);
    return finished;
}

static bool is_checkpoint(const char *name)
{
    return df_name_ends(name, ".h5");
}

bool df_run_directory_has_checkpoint(const char *path)
{
    char *state = NULL;
    if (df_format(&state, "%s/state", path) != DFAL_OK)
        return false;
    const bool has = df_folder_holds(state, is_checkpoint);
    df_free(state);
    return has;
}

dfal_status df_run_directory_finish(const char *path)
{
    char *marker = NULL;
    DF_TRY(df_format(&marker, "%s/state/finished", path));
    dfal_status status = df_file_write(marker, "finished\n", 9);
    df_free(marker);
    return status;
}

/* Nothing but a log without a line: somebody was about to begin. */
static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct stat facts;
    if (!folder)
        return false;
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(folder));)
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
                (!strcmp(entry->d_name, log_name) && fstatat(dirfd(folder), log_name, &facts, 0) == 0 &&
                 facts.st_size == 0);
    closedir(folder);
    return empty;
}

/* ---- identity ------------------------------------------------------------------------------------------ */

static dfal_status identity_write(const char *path, const struct df_identity *identity)
{
    struct df_text text = {0};
    dfal_status status = df_identity_write(&text, identity);
    if (status == DFAL_OK)
        status = df_file_write(path, text.bytes, (size_t)text.size);
    df_text_clear(&text);
    return status;
}

/* The run's own log does not listen yet, so it is told beside the context. */
static void say_mixed(struct df_run_directory *directory, struct dfal_context *context,
                      const struct df_identity_difference *difference)
{
    const char *begun = difference->theirs ? difference->theirs : "(none)",
               *now = difference->ours ? difference->ours : "(none)";
    const struct dfal_field fields[] = {DF_TEXT("key", difference->name), DF_TEXT("begun", begun),
                                        DF_TEXT("now", now)};
    char sentence[DF_MESSAGE_SIZE];
    snprintf(sentence, sizeof sentence,
             "%s was %s when this run was begun and is %s now: its numbers are mixed", difference->name,
             begun, now);
    const struct dfal_event event = {DFAL_WARNING, "run.mixed", sentence, fields, 3};
    df_run_directory_event(directory, &event);
    df_say(context, DFAL_WARNING, "run.mixed", fields, 3, "%s", sentence);
}

static dfal_status identity_read(struct df_identity *identity, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, 1 << 16));
    status = df_identity_read(identity, text, path);
done:
    df_free(text);
    return status;
}

static dfal_status identity_path(char **out, const char *dir)
{
    return df_format(out, "%s/state/identity", dir);
}

dfal_status df_run_directory_identity(struct df_identity *identity, const char *dir)
{
    char *path;
    DF_TRY(identity_path(&path, dir));
    const dfal_status status = df_file_exists(path) ? identity_read(identity, path) : DFAL_OK;
    df_free(path);
    return status;
}

void df_run_directory_say_mixed(struct df_run_directory *directory, struct dfal_context *context,
                                const struct df_identity *ours, const struct df_identity *theirs)
{
    for (struct df_identity_difference difference = {0}; df_identity_next(&difference, ours, theirs);)
        say_mixed(directory, context, &difference);
}

static dfal_status identity_compare(const char *path, const struct df_identity *ours,
                                    struct dfal_context *context, struct df_run_directory *directory)
{
    struct df_identity theirs = {0};
    dfal_status status;
    DF_TRY_TO(done, status, identity_read(&theirs, path));
    DF_TRY_TO(done, status,
              df_identity_check(ours, &theirs, context->options.allow_mixed, DFAL_E_CONFIG, path,
                                "; `force` begins anew"));
    df_run_directory_say_mixed(directory, context, ours, &theirs);
done:
    df_identity_clear(&theirs);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Rows of these columns cannot stand below others: another build began the table. */
static dfal_status check_header(int fd, const char *path, const char *header)
{
    char first[512] = "";
    ssize_t got = pread(fd, first, strlen(header) < sizeof first ? strlen(header) : sizeof first - 1, 0);
    if (got < 0)
        return df_fail_errno(errno, true, path, "reading");
    if (strncmp(first, header, strlen(header)))
        DF_FAIL(DFAL_E_CONFIG, "%s was begun with the columns %.*s, expected %.*s (`force` begins anew)",
                path, (int)strcspn(first, "\n"), first, (int)strcspn(header, "\n"), header);
    return DFAL_OK;
}

static dfal_status append(int fd, const struct df_text *text, const char *name)
{
    if (text->status != DFAL_OK)
        DF_FAIL(text->status, "%s: out of memory for new rows", name);
    DF_TRY(df_file_append(fd, name, text->bytes, (size_t)text->size));
    if (df_fault_hits(DF_FAULT_FSYNC)) {
        errno = EIO;
        return df_fail_errno(errno, true, name, "syncing");
    }
    if (fsync(fd))
        return df_fail_errno(errno, true, name, "syncing");
    return DFAL_OK;
}

/* Open for appending; a header that is missing, or of which a full disk took only a part, is written. */
static dfal_status open_table(int *fd, const char *dir, const char *name, const char *header)
{
    char *path = NULL;
    struct df_text text = {0};
    struct stat info;
    dfal_status status;
    DF_TRY_TO(done, status, df_format(&path, "%s/%s", dir, name));
    *fd = df_file_make(AT_FDCWD, path, O_RDWR | O_APPEND);
    if (*fd < 0 || fstat(*fd, &info)) {
        status = df_fail_errno(errno, true, path, "opening");
        goto done;
    }
    if (!header)
        goto done;
    if (info.st_size >= (int64_t)strlen(header)) {
        status = check_header(*fd, path, header);
        goto done;
    }
    if (ftruncate(*fd, 0)) {
        status = df_fail_errno(errno, true, path, "shortening");
        goto done;
    }
    df_text_add(&text, "%s", header);
    status = append(*fd, &text, name);
done:
    df_text_clear(&text);
    df_free(path);
    return status;
}

/* What is at path: nothing, a run that was begun, or somebody else's. */
static dfal_status look(const char *path, const char *config_path, bool force, bool resume, bool *begun)
{
    const bool folder = df_folder_exists(path);
    *begun = false;
    if (folder) {
        df_file_sweep(config_path);
        *begun = df_file_exists(config_path);
        const bool finished = *begun && !force && df_run_directory_is_finished(path);
        if (finished) {
            df_run_files_sweep(path);
            DF_FAIL(DFAL_E_EXISTS, "%s: the run is finished, expected another folder or `force`", path);
        }
    }
    if (!*begun && resume)
        return df_run_directory_check(path);
    if (folder && !*begun && !is_empty_folder(path))
        DF_FAIL(DFAL_E_EXISTS,
                "%s: the folder holds other files, expected a run directory or a name not taken", path);
    if (!folder && df_file_exists(path))
        DF_FAIL(DFAL_E_EXISTS, "%s: a file is there, expected a run directory or a name not taken", path);
    return DFAL_OK;
}

/* Lock the log that has the name now: its last owner may have removed his. Nobody may lose the ground under a
 * running experiment, so nothing is decided before. */
static dfal_status hold(struct df_run_directory *directory)
{
    for (;;) {
        bool same = false;
        DF_TRY(open_table(&directory->log, directory->path, log_name, NULL));
        const bool locked = df_file_lock(directory->log);
        if (!locked && errno == EWOULDBLOCK) {
            directory->created = false;
            DF_FAIL(DFAL_E_EXISTS, "%s: another process is running in it, expected a folder of its own",
                    directory->path);
        }
        if (locked) {
            char *path;
            DF_TRY(df_format(&path, "%s/%s", directory->path, log_name));
            const dfal_status status = df_file_has_name(&same, directory->log, path);
            df_free(path);
            DF_TRY(status);
        }
        if (same || !locked) {
            df_at_work_mark(directory->log);
            return DFAL_OK;
        }
        close(directory->log);
        directory->log = -1;
    }
}

/* A configuration is large for a thread's stack. */
static dfal_status compare_config(const struct df_run_config *config, const char *path)
{
    struct df_run_config *theirs;
    DF_TRY(df_alloc(&theirs, 1, sizeof *theirs));
    dfal_status status = df_run_directory_config(theirs, path);
    if (status == DFAL_OK)
        status = df_run_config_compare(config, theirs, path);
    df_free(theirs);
    return status;
}

/* Create the folder if need be, own it, and decide what is at path: nothing, ours (continue, or clear), or
 * somebody else's. */
static dfal_status enter(struct df_run_directory *directory, struct dfal_context *context,
                         const struct df_run_config *config, const char *config_path, bool resume)
{
    const bool force = context->options.force;
    const char *path = directory->path;
    bool begun;
    DF_TRY(look(path, config_path, force, resume, &begun));
    if (!df_folder_exists(path)) {
        DF_TRY(df_folder_create(path));
        directory->created = true;
    }
    DF_TRY(hold(directory));
    DF_TRY(look(path, config_path, force, resume, &begun));
    if (begun && !force) {
        DF_TRY(compare_config(config, path));
        directory->resumed = true;
        return DFAL_OK;
    }
    if (begun)
        DF_TRY(df_run_files_clear(path, directory->log));
    directory->fresh = true;
    return DFAL_OK;
}

static dfal_status lay_out(const struct df_run_directory *directory, const struct df_run_config *config,
                           const char *config_path, const char *state)
{
    char *networks = NULL, *yaml = NULL;
    dfal_status status;
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
                                  const struct df_identity *identity, bool resume)
{
    char *config_path = NULL, *state = NULL, *identity_at = NULL;
    dfal_status status;
    *directory = df_run_directory_none();
    DF_TRY_TO(done, status, df_strdup(&directory->path, path));
    for (size_t n = strlen(path); n > 1 && directory->path[n - 1] == '/'; n--)
        directory->path[n - 1] = 0;
    DF_TRY_TO(done, status, df_format(&config_path, "%s/config.yaml", directory->path));
    DF_TRY_TO(done, status, df_format(&state, "%s/state", directory->path));
    DF_TRY_TO(done, status, identity_path(&identity_at, directory->path));
    DF_TRY_TO(done, status, enter(directory, context, config, config_path, resume));
    DF_TRY_TO(done, status, lay_out(directory, config, config_path, state));
    if (df_file_exists(identity_at))
        DF_TRY_TO(done, status, identity_compare(identity_at, identity, context, directory));
    else
        DF_TRY_TO(done, status, identity_write(identity_at, identity));
    for (int t = 0; t < DF_RUN_TABLES; t++)
        if (t != DF_RUN_TRANSFER || config->transfer[0])
            DF_TRY_TO(done, status,
                      open_table(&directory->table[t], directory->path, tables[t].name, tables[t].header));
done:
    df_free(config_path);
    df_free(state);
    df_free(identity_at);
    if (status != DFAL_OK)
        df_run_directory_abandon(directory);
    return status;
}

struct df_run_directory df_run_directory_none(void)
{
    struct df_run_directory none = {.log = -1};
    for (int t = 0; t < DF_RUN_TABLES; t++)
        none.table[t] = -1;
    return none;
}

void df_run_directory_close(struct df_run_directory *directory)
{
    for (int t = 0; t < DF_RUN_TABLES; t++)
        if (directory->table[t] >= 0)
            close(directory->table[t]);
    if (directory->log >= 0)
        close(directory->log);
    df_free(directory->path);
    *directory = df_run_directory_none();
}

void df_run_directory_abandon(struct df_run_directory *directory)
{
    char message[DF_MESSAGE_SIZE], *log = NULL;
    df_message_get(message);
    if (directory->fresh && df_run_files_clear(directory->path, directory->log) == DFAL_OK &&
        df_format(&log, "%s/%s", directory->path, log_name) == DFAL_OK)
        (void)unlink(log); /* still held: nobody else's */
    if (directory->created)
        (void)rmdir(directory->path);
    df_free(log);
    df_message_set(message);
    df_run_directory_close(directory);
}

dfal_status df_run_directory_discard(const char *path)
{
    struct df_run_directory old = df_run_directory_none();
    dfal_status status;
    DF_TRY_TO(done, status, df_run_files_alone(path));
    DF_TRY_TO(done, status, df_strdup(&old.path, path));
    DF_TRY_TO(done, status, hold(&old));
    DF_TRY_TO(done, status, df_run_files_clear(path, old.log));
    status = df_folder_remove_all(path);
done:
    df_run_directory_close(&old);
    return status;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

dfal_status df_run_table_path(char **out, const char *dir, enum df_run_table table)
{
    return df_format(out, "%s/%s", dir, tables[table].name);
}

const char *df_run_table_header(enum df_run_table table)
{
    return tables[table].header;
}

dfal_status df_run_directory_append(struct df_run_directory *directory, enum df_run_table table,
                                    const struct df_text *text)
{
    const int fd = directory->table[table];
    struct stat before;
    if (fstat(fd, &before))
        return df_fail_errno(errno, true, tables[table].name, "looking at");
    const dfal_status status = append(fd, text, tables[table].name);
    if (status != DFAL_OK && ftruncate(fd, before.st_size) == 0)
        (void)fsync(fd); /* what is cut short would spoil the next line */
    return status;
}

dfal_status df_run_directory_replace(struct df_run_directory *directory, enum df_run_table table,
                                     const char *bytes, int64_t size)
{
    char *path;
    DF_TRY(df_run_table_path(&path, directory->path, table));
    const dfal_status status = df_file_write(path, bytes, (size_t)size);
    df_free(path);
    DF_TRY(status);
    close(directory->table[table]);
    directory->table[table] = -1;
    return open_table(&directory->table[table], directory->path, tables[table].name, tables[table].header);
}

/* A list is an array and what is not finite null, as `--log-format json` has them. */
static void add_value(struct df_text *text, const struct dfal_field *field)
{
    const char *one = field->text ? field->text : "";
    switch (field->kind) {
    case DFAL_FIELD_INT:
        df_text_add(text, "%lld", (long long)field->integer);
        return;
    case DFAL_FIELD_REAL:
        if (isfinite(field->real))
            df_text_number(text, field->real);
        else
            df_text_add(text, "null");
        return;
    case DFAL_FIELD_TEXT:
        df_text_json(text, one);
        return;
    case DFAL_FIELD_LIST:
        df_text_add(text, "[");
        for (int64_t i = 0; i < field->integer; i++, one += strlen(one) + 1) {
            df_text_add(text, i ? ", " : "");
            df_text_json(text, one);
        }
        df_text_add(text, "]");
        return;
    }
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
        df_text_add(&text, ", ");
        df_text_json(&text, event->fields[i].key);
        df_text_add(&text, ": ");
        add_value(&text, &event->fields[i]);
    }
    df_text_add(&text, "}\n");
    /* The log explains a run and decides nothing: when it cannot be written the run goes on, and says so at
     * its end. */
    df_message_get(message);
    if (text.status != DFAL_OK ||
        df_file_append(directory->log, log_name, text.bytes, (size_t)text.size) != DFAL_OK) {
        directory->log_failed = true;
        df_message_set(message);
    }
    df_text_clear(&text);
}

dfal_status df_run_directory_take_log(struct df_run_directory *directory, const char *dir)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_format(&path, "%s/%s", dir, log_name));
    if (!df_file_exists(path))
        goto done;
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, INT64_MAX));
    const char *last = memrchr(text, '\n', size);
    status = df_file_append(directory->log, log_name, text, last ? (size_t)(last + 1 - text) : 0);
done:
    df_free(path);
    df_free(text);
    return status;
}

dfal_status df_run_directory_work(char **out, const char *dir, const char *strategy, int32_t trial,
                                  const char *what)
{
    char whole[PATH_MAX];
    *out = NULL;
    if (!realpath(dir, whole))
        return df_fail_errno(errno, false, dir, "finding");
    DF_TRY(df_format(out, "%s/state/%s-%d.%s", whole, strategy, trial, what));
    return df_folder_create(*out);
}
