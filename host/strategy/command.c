/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's command chooses (docs/FORMATS.md, "Strategy command"):
 *
 *   CMD --candidates FILE.h5 --count Q --seed S --round R --out IDS.csv
 *
 * It gets what dfal knows of the candidates in a file and leaves ids, the best first. Its choice is a set:
 * who is in it may depend on who else is. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/external_command.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text_file.h"
#include "graph/network.h"
#include "score/pool_network.h"
#include "store/candidates_file.h"
#include "store/csv_rows.h"
#include "store/labels.h"
#include "strategy/selection.h"
#include "strategy/view.h"

/* One call. What it reads and leaves is in a folder of its own, beside which the log stays. */
struct call {
    struct df_view *view;
    struct df_command_place *place;
    int64_t q;
    char *folder, *candidates, *out, *key, *log;
    struct df_external_command command;
};

static void call_close(struct call *call)
{
    df_external_command_end(&call->command);
    df_free(call->folder);
    df_free(call->candidates);
    df_free(call->out);
    df_free(call->key);
    df_free(call->log);
}

static dfal_status make_words(struct call *call)
{
    char seed[DF_COMMAND_SEED], count[32], round[16];
    df_external_command_seed(seed, df_view_seed(call->view));
    snprintf(count, sizeof count, "%lld", (long long)call->q);
    snprintf(round, sizeof round, "%d", df_view_round(call->view));
    const struct df_command_option options[] = {{"--candidates", call->candidates},
                                                {"--count", count},
                                                {"--seed", seed},
                                                {"--round", round},
                                                {"--out", call->out}};
    return df_external_command_words(&call->command.words, call->place->text, options,
                                     sizeof options / sizeof *options);
}

static dfal_status call_open(struct call *call)
{
    const struct df_command_place *place = call->place;
    DF_TRY(df_format(&call->folder, "%s/round-%d", place->folder, df_view_round(call->view)));
    DF_TRY(df_format(&call->candidates, "%s/candidates.h5", call->folder));
    DF_TRY(df_format(&call->out, "%s/ids.csv", call->folder));
    DF_TRY(df_format(&call->key, "%s/key.txt", call->folder));
    DF_TRY(df_format(&call->log, "%s/command-%d.log", place->folder, df_view_round(call->view)));
    call->command = DF_EXTERNAL_COMMAND_NONE;
    call->command.context = df_view_context(call->view);
    call->command.what = "strategy command";
    call->command.command = place->text;
    call->command.log_path = call->log;
    call->command.log_goes = place->goes;
    DF_TRY(df_folder_create(place->folder));
    DF_TRY(make_words(call));
    return df_external_command_begin(&call->command);
}

/* ---- what the command reads ---------------------------------------------------------------------------- */

/* What a command that exited with 75 has kept in its folder belongs to this very work or goes. */
static void work_key(char key[DF_DIGEST_TEXT], const struct call *call)
{
    const struct df_view *view = call->view;
    const struct df_words *words = &call->command.words;
    const size_t labelled = (size_t)df_view_labelled_count(view);
    struct df_digest digest;
    df_network_digest(key, df_view_network(view));
    df_digest_begin(&digest);
    df_digest_add_text(&digest, key);
    df_digest_add_text(&digest, df_view_pool(view)->fingerprint);
    for (int32_t i = 0; i < words->count; i++)
        df_digest_add_text(&digest, words->word[i]);
    df_digest_add_i64(&digest, df_view_count(view));
    df_digest_add(&digest, df_view_rows(view), (size_t)df_view_count(view) * sizeof(int64_t));
    df_digest_add(&digest, df_view_labelled_rows(view), labelled * sizeof(int64_t));
    df_digest_end(&digest, key);
}

static dfal_status make_folder(const struct call *call)
{
    char key[DF_DIGEST_TEXT], *kept = NULL;
    size_t size = 0;
    work_key(key, call);
    const bool same = df_file_exists(call->key) &&
                      df_file_read(&kept, &size, call->key, DF_DIGEST_TEXT) == DFAL_OK && !strcmp(kept, key);
    df_free(kept);
    if (!same)
        DF_TRY(df_path_remove(call->folder));
    DF_TRY(df_folder_create(call->folder));
    DF_TRY(df_path_remove(call->out));
    return df_file_write(call->key, key, strlen(key));
}

static dfal_status put_logits(void *user, int64_t at, int64_t count, const float *values)
{
    return df_candidates_put(user, DF_CANDIDATES_LOGITS, at, count, values);
}

static dfal_status put_features(void *user, int64_t at, int64_t count, const float *values)
{
    return df_candidates_put(user, DF_CANDIDATES_FEATURES, at, count, values);
}

static dfal_status put_labelled(void *user, int64_t at, int64_t count, const float *values)
{
    return df_candidates_put(user, DF_CANDIDATES_LABELLED_FEATURES, at, count, values);
}

static dfal_status put_ids(void *user, int64_t at, int64_t count, char *const *ids)
{
    return df_candidates_put_ids(user, at, count, ids);
}

static dfal_status write_candidates(const struct call *call)
{
    struct df_view *view = call->view;
    const char *node = df_view_text(view, "node");
    const struct df_candidates_rows candidates = {df_view_rows(view), df_view_count(view)},
                                    labelled = {df_view_labelled_rows(view), df_view_labelled_count(view)};
    struct df_candidates_writer *writer = NULL;
    int32_t *labels = NULL;
    int64_t size;
    dfal_status status;
    const struct df_candidates_head head = {
        .queries = call->q,
        .class_count = df_view_class_count(view),
        .seed = df_view_seed(view),
        .round = df_view_round(call->view),
        .network = call->place->network_path,
        .pool = call->place->pool_path,
        .node = node,
        .classes = df_classes_of_network(df_view_network(view), df_view_pool(view)).names,
    };
    DF_TRY_TO(done, status, df_view_feature_size(view, node, &size));
    DF_TRY_TO(done, status, df_alloc(&labels, labelled.count, sizeof *labels));
    df_view_labelled_classes(view, labels); /* as the logits count them */
    DF_TRY_TO(done, status,
              df_candidates_create(&writer, call->candidates, &head, &candidates, &labelled, labels, size));
    DF_TRY_TO(done, status, df_view_ids(view, put_ids, writer));
    DF_TRY_TO(done, status, df_view_stream(view, false, put_logits, node, put_features, writer));
    DF_TRY_TO(done, status, df_view_stream(view, true, NULL, node, put_labelled, writer));
    status = df_candidates_finish(writer);
    writer = NULL;
done:
    df_candidates_abandon(writer);
    df_free(labels);
    return status;
}

/* ---- what it leaves ------------------------------------------------------------------------------------ */

enum column { COLUMN_ID, COLUMN_SCORE, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"id", "score"};

struct answer {
    const struct call *call;
    struct df_choices *choices;
    int64_t *line; /* [n] where each candidate was named; 0: nowhere */
    int64_t named;
};

static dfal_status begin_answer(struct df_csv *csv)
{
    if (csv->position[COLUMN_ID] < 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: the header has no column 'id', expected %s", csv->path,
                (long long)csv->line, csv->header);
    return DFAL_OK;
}

/* Why a row of the pool is no candidate. */
static const char *other_row(const struct df_view *view, int64_t row)
{
    const int64_t *rows = df_view_labelled_rows(view);
    const struct df_pool *pool = df_view_pool(view);
    for (int64_t i = 0; i < df_view_labelled_count(view); i++)
        if (rows[i] == row)
            return "is labelled already";
    return pool->skipped && pool->skipped[row] ? "is skipped" : "is none of the candidates";
}

static dfal_status take_score(const struct df_csv *csv, double *score)
{
    const char *text = csv->field[COLUMN_SCORE];
    char shown[DF_SHOWN_TEXT];
    char *end = NULL;
    *score = NAN;
    if (text && text[0])
        *score = df_parse_real(text, &end);
    if (end && *end)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: the score is '%s', expected a number", csv->path, (long long)csv->line,
                df_shown(shown, text));
    return DFAL_OK;
}

static dfal_status take_id(struct df_csv *csv)
{
    struct answer *answer = csv->user;
    const struct call *call = answer->call;
    const char *id = csv->field[COLUMN_ID];
    char shown[DF_SHOWN_TEXT];
    double score;
    int64_t row;
    if (csv->field_count > csv->column_count) /* an id with a bare comma would be another's */
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected at most %d: %s", csv->path, (long long)csv->line,
                csv->field_count, csv->column_count, csv->header);
    DF_TRY(df_csv_row(csv, df_view_pool(call->view), &row, id ? id : ""));
    const int64_t candidate = df_view_candidate(call->view, row);
    if (candidate < 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' %s, expected one of /id of the candidates", csv->path,
                (long long)csv->line, df_shown(shown, id), other_row(call->view, row));
    if (answer->line[candidate])
        DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' stands in line %lld already, expected each id once", csv->path,
                (long long)csv->line, df_shown(shown, id), (long long)answer->line[candidate]);
    answer->line[candidate] = csv->line;
    DF_TRY(take_score(csv, &score));
    if (answer->named++ < call->q)
        answer->choices->list[answer->choices->count++] = (struct df_choice){candidate, score};
    return DFAL_OK;
}

/* Every line is looked at, also those behind the last that is used. */
static dfal_status read_ids(struct answer *answer)
{
    const struct call *call = answer->call;
    if (!df_file_exists(call->out))
        DF_FAIL(DFAL_E_DATA, "left no %s", call->out);
    struct df_csv csv = {.path = call->out,
                         .columns = column_names,
                         .count = COLUMN_COUNT,
                         .header = "an id a line, or id,score with or without that header",
                         .may_be_bare = true,
                         .begin = begin_answer,
                         .record = take_id,
                         .user = answer};
    DF_TRY(df_csv_read(&csv));
    if (!answer->named)
        DF_FAIL(DFAL_E_DATA, "%s names no id, expected at least one", call->out);
    return DFAL_OK;
}

/* Nobody can look into a folder that goes: of the file in it the thread's message keeps the name. */
static void leave_folder_out(const struct call *call)
{
    const size_t length = strlen(call->folder) + 1; /* with the slash behind it */
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    for (char *at; (at = strstr(message, call->folder)) && at[length - 1] == '/';)
        memmove(at, at + length, strlen(at + length) + 1);
    df_message_set(message);
}

static dfal_status read_answer(const struct call *call, struct df_choices *choices, double seconds)
{
    struct dfal_context *context = df_view_context(call->view);
    struct answer answer = {.call = call, .choices = choices};
    DF_TRY(df_alloc(&answer.line, df_view_count(call->view), sizeof *answer.line));
    const dfal_status status = read_ids(&answer);
    df_free(answer.line);
    if (status == DFAL_E_MEMORY || status == DFAL_E_STOPPED)
        return status;
    if (status != DFAL_OK && call->place->goes)
        leave_folder_out(call);
    if (status != DFAL_OK)
        return df_external_command_blame(&call->command, DFAL_E_DATA, "ids of candidates");
    df_say(context, answer.named < call->q ? DFAL_WARNING : DFAL_INFO, "select.command_end",
           DF_FIELDS(DF_TEXT("command", call->place->text), DF_INT("named", answer.named),
                     DF_INT("asked", call->q), DF_REAL("seconds", seconds)),
           "'%s' named %lld ids in %.1f s, %lld were asked for", call->place->text, (long long)answer.named,
           seconds, (long long)call->q);
    return DFAL_OK;
}

/* What the command has printed, a line an event; of much the beginning only: the log has it all. */
static void tell_output(const struct call *call)
{
    enum { MOST_BYTES = 1 << 16 };
    struct dfal_context *context = df_view_context(call->view);
    char text[MOST_BYTES], *at = text;
    df_external_command_output(&call->command, text, sizeof text);
    for (char *line; (line = df_text_line(&at));) {
        dfal_text_clean(line);
        df_say(context, DFAL_INFO, "select.command_output", DF_FIELDS(DF_TEXT("line", line)), "%s", line);
    }
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct dfal_context *context = df_view_context(view);
    struct call call = {
        .view = view, .place = df_view_command(view), .q = q, .command = DF_EXTERNAL_COMMAND_NONE};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    if (!call.place)
        DF_FAIL(DFAL_E_USAGE, "strategy command has no command, expected `strategy_command` CMD");
    DF_TRY_TO(done, status, call_open(&call));
    DF_TRY_TO(done, status, make_folder(&call));
    DF_TRY_TO(done, status, write_candidates(&call));
    df_say(context, DFAL_INFO, "select.command",
           DF_FIELDS(DF_TEXT("command", call.place->text), DF_INT("candidates", df_view_count(view)),
                     DF_INT("count", q), DF_INT("round", df_view_round(view)), DF_TEXT("log", call.log)),
           "'%s' chooses %lld of %lld candidates, log %s", call.place->text, (long long)q,
           (long long)df_view_count(view), call.log);
    call.place->at_fault = true;
    const double begin = df_clock();
    status = df_external_command_run(&call.command);
    const double seconds = df_clock() - begin;
    if (call.place->goes && call.command.started)
        tell_output(&call);
    DF_TRY_TO(done, status, status);
    DF_TRY_TO(done, status, read_answer(&call, choices, seconds));
    call.place->at_fault = false;
    status = df_path_remove(call.folder);
done:
    call_close(&call);
    return status;
}

static const struct df_strategy_option options[] = {DF_OPTION_NODE, {0}};

const struct df_strategy df_strategy_command = {
    .name = "command",
    .summary = "what a command of your own names, given as --strategy-command",
    .asks = DF_ASKS_LOGITS | DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .select = choose,
};
