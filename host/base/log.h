/* SPDX-License-Identifier: Apache-2.0 */
/* Events towards the caller: df_say once per happening, df_progress for long work. */
#ifndef DF_BASE_LOG_H
#define DF_BASE_LOG_H

#include <pthread.h>

#include "base/status.h"

#define DF_INT(key_, value_)  ((struct dfal_field){.key = (key_), .kind = DFAL_FIELD_INT, .integer = (value_)})
#define DF_REAL(key_, value_) ((struct dfal_field){.key = (key_), .kind = DFAL_FIELD_REAL, .real = (value_)})
#define DF_TEXT(key_, value_) ((struct dfal_field){.key = (key_), .kind = DFAL_FIELD_TEXT, .text = (value_)})
#define DF_FIELDS(...)                                                                                       \
    (const struct dfal_field[]){__VA_ARGS__},                                                                \
        (int32_t)(sizeof((const struct dfal_field[]){__VA_ARGS__}) / sizeof(struct dfal_field))
#define DF_NO_FIELDS NULL, 0

/* df_say(context, DFAL_INFO, "train.epoch", DF_FIELDS(DF_INT("epoch", 3)), "epoch %d", 3) */
void df_say(struct dfal_context *context, dfal_level level, const char *name, const struct dfal_field *fields,
            int32_t field_count, const char *format, ...) DFAL_PRINTF(6, 7);
/* Who is told of events from here on, NULL: nobody. Returns who was. */
dfal_event_fn *df_log_sink(struct dfal_context *context, dfal_event_fn *sink);
/* Tee every event to a second sink as well (log.jsonl of a run); NULL ends it. */
void df_log_tee(struct dfal_context *context, dfal_event_fn *sink, void *user);

/* A work of many parts says before each part's progress how far the whole is; NULL ends it. */
typedef void df_prefix_fn(void *user, char *text, int32_t size);
void df_log_prefix(struct dfal_context *context, df_prefix_fn *prefix, void *user);

/* "45 s", "3 min 20 s", "1 h 11 min", rounded up. */
void df_duration_text(char text[32], double seconds);
void df_time_iso(char text[32]); /* UTC, 2026-01-31T12:00:00Z */

/* Work with a known length. Not more than ten events a second reach the sink; the tool thins them further.
 * Thread-safe. text given by the caller is appended to "248,000/2,000,000  ETA 1 h 11 min  12.4 %  412
 * samples/s". */
struct df_progress {
    struct dfal_context *context;
    const char *name, *unit;
    int64_t total, done, done_at_start;
    double begin, last;
    pthread_mutex_t lock;
};
void df_progress_begin(struct df_progress *progress, struct dfal_context *context, const char *name,
                       const char *unit, int64_t total, int64_t done);
/* text (may be NULL) stands at the end: "2.1 it  OK 99.97 %". */
void df_progress_add(struct df_progress *progress, int64_t done, const char *text);
void df_progress_end(struct df_progress *progress);

#endif
