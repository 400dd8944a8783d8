/* SPDX-License-Identifier: Apache-2.0 */
/* The library's sentences name fields of its structs, `on_error`. To whoever reads them here they are
 * options. */
#include <stdio.h>
#include <string.h>

#include "command.h"

/* Fields whose option is not called as they are. */
static const struct {
    const char *field, *option;
} others[] = {{"scores_path", "scores"},
              {"logits_path", "logits"},
              {"strategy_options", "option"},
              {"label_files", "labels"}};

static bool is_option(const struct option *options, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (options[i].name != NULL && strcmp(options[i].name, name) == 0)
            return true;
    return false;
}

/* The option of a field, without dashes in front; false: there is none. */
static bool option_of(char name[64], const char *field, size_t length)
{
    if (length == 0 || length >= 64 || strspn(field, "abcdefghijklmnopqrstuvwxyz0123456789_") < length)
        return false;
    for (int32_t i = 0; i < COUNT_OF(others); i++)
        if (strlen(others[i].field) == length && strncmp(others[i].field, field, length) == 0) {
            snprintf(name, 64, "%s", others[i].option);
            return true;
        }
    for (size_t i = 0; i < length; i++)
        name[i] = field[i] == '_' ? '-' : field[i];
    name[length] = '\0';
    if (is_option(global_options, global_option_count, name))
        return true;
    for (int32_t i = 0; commands[i] != NULL; i++)
        if (is_option(commands[i]->options, commands[i]->option_count, name))
            return true;
    return false;
}

const char *with_options(char text[SENTENCE_SIZE], const char *sentence)
{
    size_t used = 0;
    while (*sentence != '\0' && used + 1 < SENTENCE_SIZE) {
        char name[64];
        const char *end = *sentence == '`' ? strchr(sentence + 1, '`') : NULL;
        if (end == NULL || !option_of(name, sentence + 1, (size_t)(end - sentence - 1))) {
            text[used++] = *sentence++;
            continue;
        }
        const int length = snprintf(text + used, SENTENCE_SIZE - used, "--%s", name);
        used = used + (size_t)length < SENTENCE_SIZE ? used + (size_t)length : SENTENCE_SIZE - 1;
        sentence = end + 1;
    }
    text[used] = '\0';
    return text;
}
