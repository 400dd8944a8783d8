/* SPDX-License-Identifier: Apache-2.0 */
/* What reads a configuration's YAML: where it is, and how it complains. Inside the room only. */
#ifndef DF_RUN_CONFIG_READER_H
#define DF_RUN_CONFIG_READER_H

#include <yaml.h>

#include "run/config.h"

enum { DF_CONFIG_PATH = 128, DF_CONFIG_SHOWN = 80 };

struct df_config_reader {
    struct df_run_config *config;
    const char *source, *folder;
    dfal_status error;
    bool lines; /* messages carry a line */
    yaml_parser_t parser;
    struct df_config_held *held; /* events that come before those of the parser; NULL: none */
};

/* One pair of a mapping. */
struct df_config_pair {
    const yaml_event_t *name, *value;
    const char *parent, *path; /* of the mapping, and of this value; path "": the name can be no key */
    int depth;
};
typedef dfal_status df_config_pair_fn(struct df_config_reader *reader, const struct df_config_pair *pair,
                                      void *user);

/* Where in the source; "--set training.epochs=x" has no lines. */
dfal_status df_config_complain(const struct df_config_reader *reader, const yaml_event_t *at,
                               const char *format, ...) DFAL_PRINTF(3, 4);
/* What has just failed, as the fault of the value at path ("": the message tells it). */
dfal_status df_config_complain_of(const struct df_config_reader *reader, const yaml_event_t *event,
                                  const char *path);
/* The value at path is not what is expected. */
dfal_status df_config_ill_valued(const struct df_config_reader *reader, const yaml_event_t *event,
                                 const char *path, const char *expectation);
dfal_status df_config_ill_typed(const struct df_config_reader *reader, const yaml_event_t *event,
                                const struct df_key *key, const char *path);
/* Would YAML 1.1 read this plain scalar as text? */
bool df_config_is_text(const char *text);
/* Of the file that a command stands in; 0: it is none. */
int64_t df_config_line_of(const struct df_config_reader *reader, const yaml_event_t *event);

/* Lay one assignment over a key, a flag's at the command.
 *   option  named in messages
 *   group   what stands in front of the assignment's key, "" or "training.augment."
 *   shape   of what the option takes, for messages
 * Errors   E_USAGE */
dfal_status df_config_lay(struct df_run_config *config, const char *option, const char *group,
                          const char *assignment, const char *shape);

/* The next event, aliases, anchors and tags refused. Delete it unless this fails. */
dfal_status df_config_next(struct df_config_reader *reader, yaml_event_t *event);
/* Take a mapping, whose start event was taken, up to its end: a name twice, or one of two rivals beside the
 * other, is refused. */
dfal_status df_config_walk(struct df_config_reader *reader, const char *parent, int depth,
                           df_config_pair_fn *visit, void *user);

/* The events of a mapping that is understood later, because what tells its meaning may stand behind it. */
enum { DF_CONFIG_HELD = 130 };
struct df_config_held {
    yaml_event_t event[DF_CONFIG_HELD]; /* of what is between start and end, and the end's */
    int count, next;
};
/* Keep a mapping whose start event was taken. Zero-initialise, and clear it in any case.
 *   path  its own, for messages */
dfal_status df_config_hold(struct df_config_held *held, struct df_config_reader *reader,
                           const yaml_event_t *start, const char *path);
void df_config_held_clear(struct df_config_held *held);

/* Take a value that is a scalar.
 *   field  where it goes: df_key_field */
dfal_status df_config_store_scalar(const struct df_config_reader *reader, const yaml_event_t *event,
                                   const struct df_key *key, const char *path, void *field);
/* Take an option of a strategy, whatever mapping it stands in. */
dfal_status df_config_store_option(const struct df_config_reader *reader, const struct df_config_pair *pair,
                                   int32_t known, struct df_strategy_config *options);
/* Take the list `strategies`. */
dfal_status df_config_store_strategies(struct df_config_reader *reader, const yaml_event_t *start,
                                       const struct df_key *key, const char *path);

#endif
