/* SPDX-License-Identifier: Apache-2.0 */
#include "job_script.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How a file of this command begins. */
static const char first_line[] = "#!/bin/bash\n";
static const char mark[] = "# Written by dfal submit,";

void job_set(struct job_settings *settings, const char *key, const char *format, ...)
{
    va_list arguments;
    char *value = NULL;
    va_start(arguments, format);
    const int length = vasprintf(&value, format, arguments);
    va_end(arguments);
    job_take(settings, key, length < 0 ? NULL : value);
}

void job_take(struct job_settings *settings, const char *key, char *value)
{
    settings->rows[settings->count++] = (struct job_setting){key, value};
}

void job_settings_clear(struct job_settings *settings)
{
    for (int32_t i = 0; i < settings->count; i++)
        free(settings->rows[i].value);
    settings->count = 0;
}

/* ---- words --------------------------------------------------------------------------------------------- */

bool job_can_hold(const char *word)
{
    for (; *word != '\0'; word++)
        if (iscntrl((unsigned char)*word))
            return false;
    return true;
}

/* The word with `escape` in front of each of `which`, between `quote` and `quote`. */
static char *quoted(const char *word, const char *quote, const char *which, const char *escape)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return NULL;
    fputs(quote, to);
    for (; *word != '\0'; word++) {
        if (strchr(which, *word) != NULL)
            fputs(escape, to);
        fputc(*word, to);
    }
    fputs(quote, to);
    return fclose(to) == 0 ? text : NULL;
}

static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    return *word != '\0' && strspn(word, plain) == strlen(word);
}

char *job_bash_word(const char *word)
{
    /* '\'' ends the quotes, has a quote and opens them again. */
    return is_plain(word) ? strdup(word) : quoted(word, "'", "'", "'\\'");
}

char *job_bash_line(const char *first, const char *const *words, int32_t count, const char *second)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return NULL;
    bool whole = fputs(first, to) >= 0;
    for (int32_t i = 0; i < count; i++) {
        char *word = job_bash_word(words[i]);
        whole = whole && word != NULL && fprintf(to, " %s%s", word, i == 0 ? second : "") >= 0;
        free(word);
    }
    if (fclose(to) == 0 && whole)
        return text;
    free(text);
    return NULL;
}

char *job_sbatch_value(const char *value)
{
    return is_plain(value) ? strdup(value) : quoted(value, "\"", "\"\\", "\\");
}

char *job_log_value(const char *path, const char *more)
{
    char *doubled = quoted(path, "", "%", "%"), *joined = NULL, *value = NULL;
    if (doubled != NULL && asprintf(&joined, "%s%s", doubled, more) >= 0) {
        value = job_sbatch_value(joined);
        free(joined);
    }
    free(doubled);
    return value;
}

/* ---- templates ----------------------------------------------------------------------------------------- */

static const char *find_template(const char *name)
{
    for (const struct job_template *t = job_templates; t->name != NULL; t++)
        if (strcmp(t->name, name) == 0)
            return t->text;
    return NULL;
}

/* Where the setting of a line begins and how long its key is; 0: the line has none. */
static size_t find_key(const char **key, const char *line)
{
    const char *hashes = line + strspn(line, "#");
    const bool is_option = hashes > line && strncmp(hashes, "SBATCH --", 9) == 0;
    *key = is_option ? hashes + 7 : line;
    const size_t length = strspn(*key, "abcdefghijklmnopqrstuvwxyz_-");
    return is_option || (*key)[length] == '=' ? length : 0;
}

static void put_line(FILE *to, const char *line, size_t length, const struct job_settings *settings,
                     bool used[JOB_SETTINGS])
{
    const char *key, *site = strstr(line, "# SITE");
    const size_t key_length = find_key(&key, line);
    for (int32_t i = 0; i < settings->count && key_length > 0; i++) {
        const struct job_setting *row = &settings->rows[i];
        if (strlen(row->key) != key_length || strncmp(row->key, key, key_length) != 0)
            continue;
        used[i] = true;
        fprintf(to, "%s%s=%s\n", row->key[0] == '-' ? "#SBATCH " : "", row->key, row->value);
        return;
    }
    if (key_length == 0 || site == NULL || site >= line + length)
        fprintf(to, "%.*s\n", (int)length, line);
}

dfal_status job_script_fill(char **text, const char *name, const char *line,
                            const struct job_settings *settings)
{
    const char *at = find_template(name);
    bool used[JOB_SETTINGS] = {false}, begun = false;
    size_t size = 0;
    *text = NULL;
    FILE *to = open_memstream(text, &size);
    for (int32_t i = 0; i < settings->count; i++)
        if (to == NULL || settings->rows[i].value == NULL)
            return usage_error(DFAL_E_MEMORY, "out of memory while writing a job file");
    fprintf(to, "%s%s which replaces it when this output is submitted again:\n#   %s\n", first_line, mark,
            line);
    for (; at != NULL && *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        /* What the template says of itself is for whoever fills it in by hand. */
        begun = begun || strncmp(at, "#SBATCH", 7) == 0;
        if (begun)
            put_line(to, at, strcspn(at, "\n"), settings, used);
    }
    if (fclose(to) != 0)
        return usage_error(DFAL_E_MEMORY, "out of memory while writing a job file");
    for (int32_t i = 0; i < settings->count; i++)
        if (!used[i])
            return usage_error(DFAL_E_INTERNAL, "the job file %s.sbatch has no line for %s", name,
                               settings->rows[i].key);
    return DFAL_OK;
}

/* ---- files --------------------------------------------------------------------------------------------- */

bool job_script_exists(const char *path)
{
    char begin[sizeof first_line + sizeof mark - 1] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const size_t got = fread(begin, 1, sizeof begin - 1, file);
    fclose(file);
    return got == sizeof begin - 1 && strncmp(begin, first_line, sizeof first_line - 1) == 0 &&
           strcmp(begin + sizeof first_line - 1, mark) == 0;
}

dfal_status job_script_save(const char *path, const char *text)
{
    char *beside = NULL;
    if (access(path, F_OK) == 0 && !job_script_exists(path))
        return usage_error(DFAL_E_EXISTS,
                           "%s exists and was not written by dfal submit, expected no such file", path);
    if (asprintf(&beside, "%s.tmp.%ld", path, (long)getpid()) < 0)
        return usage_error(DFAL_E_MEMORY, "out of memory while writing a job file");
    FILE *file = fopen(beside, "wxe");
    int error = file == NULL ? errno : 0;
    if (file != NULL && (fputs(text, file) < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0))
        error = errno;
    if (file != NULL && fclose(file) != 0 && error == 0)
        error = errno;
    if (error == 0 && rename(beside, path) != 0)
        error = errno;
    if (error != 0 && file != NULL)
        unlink(beside);
    free(beside);
    return error == 0 ? DFAL_OK
                      : usage_error(file == NULL ? DFAL_E_EXISTS : DFAL_E_IO, "%s: cannot be written: %s",
                                    path, strerror(error));
}
