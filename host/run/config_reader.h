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
};

/* Where in the source; "--set training.epochs=x" has no lines. */
dfal_status df_config_complain(const struct df_config_reader *reader, const yaml_event_t *at,
                               const char *format, ...) DFAL_PRINTF(3, 4);
/* What has just failed, as the fault of the value at path. */
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

/* The next event, aliases, anchors and tags refused. Delete it unless this fails. */
dfal_status df_config_next(struct df_config_reader *reader, yaml_event_t *event);

/* Take what an event begins: a key's value, an option's, the list `strategies`. */
dfal_status df_config_store_scalar(const struct df_config_reader *reader, const yaml_event_t *event,
                                   const struct df_key *key, const char *path, int32_t strategy);
dfal_status df_config_store_option(const struct df_config_reader *reader, const yaml_event_t *event,
                                   const char *parent, const char *path, int32_t known);
dfal_status df_config_store_strategies(struct df_config_reader *reader, const yaml_event_t *start,
                                       const struct df_key *key, const char *path);

#endif
