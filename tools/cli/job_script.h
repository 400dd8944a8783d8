/* SPDX-License-Identifier: Apache-2.0 */
/* A job file for Slurm: one of those in tools/slurm, with settings of its own. */
#ifndef DFAL_TOOLS_JOB_SCRIPT_H
#define DFAL_TOOLS_JOB_SCRIPT_H

#include <stdio.h>

#include "command.h"

/* Made by tools/slurm/CMakeLists.txt; the last has no name. */
struct job_template {
    const char *name, *text;
};
extern const struct job_template job_templates[];

/* What stands in a line of a template: of "#SBATCH --time=..." the key is "--time", of "shards=4" it is
 * "shards". */
struct job_setting {
    const char *key;
    char *value;
};
enum { JOB_SETTINGS = 24 };
struct job_settings {
    struct job_setting rows[JOB_SETTINGS];
    int32_t count;
};
/* Set a value, printed into a line as it is. */
void job_set(struct job_settings *settings, const char *key, const char *format, ...) DFAL_PRINTF(3, 4);
/* The same with a text that free gives back; NULL: there was no memory for it, which filling finds. */
void job_take(struct job_settings *settings, const char *key, char *value);
void job_settings_clear(struct job_settings *settings);

/* A word as bash reads it back, and a value as sbatch does behind a "#SBATCH --key=". free gives them back.
 * NULL: no memory. Neither can hold a control character (job_can_hold). */
char *job_bash_word(const char *word);
char *job_sbatch_value(const char *value);
/* All words for bash, with `first` before them and `second` behind the first of them; likewise. */
char *job_bash_line(const char *first, const char *const *words, int32_t count, const char *second);
/* The path of a log, in which Slurm replaces what a % announces; `more` stands behind it as it is. */
char *job_log_value(const char *path, const char *more);
bool job_can_hold(const char *word);

/* The template with the settings in their lines. A line marked SITE that is not set is left out, for the
 * cluster to decide; any other stays. `line` is the command line to tell of in the file. free gives *text
 * back. Errors   E_INTERNAL a setting without a line; E_MEMORY */
dfal_status job_script_fill(char **text, const char *name, const char *line,
                            const struct job_settings *settings);
/* Write it as a whole. Errors   E_EXISTS it cannot be created, or is there and not of submit's making */
dfal_status job_script_save(const char *path, const char *text);
/* Whether such a file is there. */
bool job_script_exists(const char *path);

#endif
