/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of the command line against the option tables: no abbreviations, strict numbers, the nearest name.
 */
#include "base/number.h"
#include "command.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const later_commands[] = {"query", "answer"};

static const struct option *find_long(const struct option *options, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (options[i].name != NULL && strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static const struct option *find_letter(const struct option *options, int32_t count, char letter)
{
    for (int32_t i = 0; i < count; i++)
        if (options[i].letter == letter)
            return &options[i];
    return NULL;
}

/* Name an option as the user may write it. */
static const char *spelled(char text[80], const struct option *option)
{
    if (option->name != NULL)
        snprintf(text, 80, "--%s", option->name);
    else
        snprintf(text, 80, "-%c", option->letter);
    return text;
}

static dfal_status bad_value(const struct option *option, const char *text, const char *expected)
{
    char name[80];
    return usage_error(DFAL_E_USAGE, "%s is '%s', expected %s", spelled(name, option), text, expected);
}

static dfal_status store_number(const struct option *option, const char *text, void *field)
{
    char expected[160];
    if (df_number_parse(&option->number, text, field))
        return DFAL_OK;
    df_number_expectation(expected, sizeof(expected), &option->number);
    return bad_value(option, text, expected);
}

/* Take a word of "a|b|c". */
static dfal_status store_choice(const struct option *option, const char *text, const char **field)
{
    enum { MOST = 32 };
    char words[256], name[80];
    const char *names[MOST];
    int32_t count = 0;
    snprintf(words, sizeof(words), "%s", option->value);
    char *rest = words;
    for (char *word = strsep(&rest, "|"); word != NULL; word = strsep(&rest, "|")) {
        if (strcmp(word, text) == 0) {
            *field = text;
            return DFAL_OK;
        }
        if (count < MOST)
            names[count++] = word;
    }
    return usage_unknown(spelled(name, option), "value", text, NULL, names, count);
}

static dfal_status store_norm(const struct option *option, const char *text, double *field)
{
    if (strcmp(text, "l2") == 0)
        *field = 2.0;
    else if (strcmp(text, "l1") == 0)
        *field = 1.0;
    else if (strcmp(text, "linf") == 0)
        *field = INFINITY;
    else if (!df_parse_decimal(field, text) || *field < 1.0)
        return bad_value(option, text, "l2, linf, l1 or a number of at least 1");
    return DFAL_OK;
}

static dfal_status store_pair(const struct option *option, const char *text, char separator, int64_t pair[2],
                              const char *expected)
{
    char first[32];
    const char *mark = strchr(text, separator);
    if (mark == NULL || (size_t)(mark - text) >= sizeof(first))
        return bad_value(option, text, expected);
    memcpy(first, text, (size_t)(mark - text));
    first[mark - text] = '\0';
    if (!df_parse_whole(&pair[0], first) || !df_parse_whole(&pair[1], mark + 1))
        return bad_value(option, text, expected);
    return DFAL_OK;
}

static dfal_status out_of_memory(void)
{
    return usage_error(DFAL_E_MEMORY, "out of memory while reading the command line");
}

static dfal_status append(struct text_list *list, const char *text)
{
    const char **items = realloc(list->items, (size_t)(list->count + 1) * sizeof(*items));
    if (items == NULL)
        return out_of_memory();
    items[list->count++] = text;
    list->items = items;
    return DFAL_OK;
}

static dfal_status store(const struct option *option, void *base, const char *text)
{
    char *field = (char *)base + option->offset;
    int64_t pair[2] = {0, 0};
    switch (option->kind) {
    case VALUE_FLAG:
        *(bool *)field = true;
        return DFAL_OK;
    case VALUE_TEXT:
        if (text[0] == '\0')
            return bad_value(option, text, "something");
        *(const char **)field = text;
        return DFAL_OK;
    case VALUE_CHOICE:
        return store_choice(option, text, (const char **)field);
    case VALUE_NUMBER:
        return store_number(option, text, field);
    case VALUE_LIST:
        return append((struct text_list *)(void *)field, text);
    case VALUE_NORM:
        return store_norm(option, text, (double *)(void *)field);
    case VALUE_RANGE:
        if (store_pair(option, text, ':', pair, "A:B with 0 <= A < B") != DFAL_OK)
            return DFAL_E_USAGE;
        if (pair[0] < 0 || pair[1] <= pair[0])
            return bad_value(option, text, "A:B with 0 <= A < B");
        memcpy(field, pair, sizeof(pair));
        return DFAL_OK;
    case VALUE_SHARD:
        if (store_pair(option, text, '/', pair, "K/N with 1 <= K <= N") != DFAL_OK)
            return DFAL_E_USAGE;
        if (pair[0] < 1 || pair[1] < pair[0] || pair[1] > INT32_MAX)
            return bad_value(option, text, "K/N with 1 <= K <= N");
        ((int32_t *)(void *)field)[0] = (int32_t)pair[0] - 1;
        ((int32_t *)(void *)field)[1] = (int32_t)pair[1];
        return DFAL_OK;
    }
    return DFAL_OK;
}

static bool takes_value(const struct option *option)
{
    return option->kind != VALUE_FLAG;
}

/* Is this the next option rather than a value? A number may begin with a dash. */
static bool looks_like_option(const char *text)
{
    return text[0] == '-' && text[1] != '\0' && !isdigit((unsigned char)text[1]) && text[1] != '.';
}

enum { MOST_NAMES = 128, NAME_SIZE = 80 };

/* Add the long names of options that --help shows; returns how many there are then. */
static int32_t list_options(char names[MOST_NAMES][NAME_SIZE], int32_t count, const struct option *options,
                            int32_t option_count)
{
    for (int32_t i = 0; i < option_count && count < MOST_NAMES; i++)
        if (!options[i].hidden && options[i].name != NULL)
            spelled(names[count++], &options[i]);
    return count;
}

static dfal_status unknown_option(struct parsed *parsed, const char *as_written)
{
    const struct command *command = parsed->command;
    char texts[MOST_NAMES][NAME_SIZE], expected[NAME_SIZE];
    const char *names[MOST_NAMES];
    int32_t count = command != NULL ? list_options(texts, 0, command->options, command->option_count) : 0;
    count = list_options(texts, count, global_options, global_option_count);
    for (int32_t i = 0; i < count; i++)
        names[i] = texts[i];
    snprintf(expected, sizeof(expected), "one that 'dfal %s%s--help' lists",
             command != NULL ? command->name : "", command != NULL ? " " : "");
    return usage_unknown(command != NULL ? command->name : "", "option", as_written, expected, names, count);
}

/* Handle argv[*at], which begins with a dash; *at moves past a value taken from the next word. */
static dfal_status take_option(struct parsed *parsed, struct session *session, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const struct command *command = parsed->command;
    const struct option *own = command != NULL ? command->options : NULL, *option = NULL;
    int32_t own_count = command != NULL ? command->option_count : 0;
    char name[80];
    const char *value = NULL;
    void *base = parsed->args;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        snprintf(name, sizeof(name), "%.*s", (int)(length < 79 ? length : 79), word + 2);
        if (word[2 + length] == '=')
            value = word + 3 + length;
        option = find_long(own, own_count, name);
        if (option == NULL) {
            option = find_long(global_options, global_option_count, name);
            base = session;
        }
        if (option == NULL) {
            char written[96];
            snprintf(written, sizeof(written), "--%s", name);
            return unknown_option(parsed, written);
        }
    } else {
        name[0] = word[1];
        name[1] = '\0';
        option = find_letter(own, own_count, word[1]);
        if (option == NULL) {
            option = find_letter(global_options, global_option_count, word[1]);
            base = session;
        }
        if (option == NULL || (!takes_value(option) && word[2] != '\0'))
            return unknown_option(parsed, word);
        if (word[2] != '\0')
            value = word + 2;
    }
    char written[80];
    if (!takes_value(option)) {
        if (value != NULL)
            return usage_error(DFAL_E_USAGE, "%s takes no value, but has '%s'", spelled(written, option),
                               value);
    } else if (value == NULL) {
        if (*at + 1 >= argc || looks_like_option(argv[*at + 1]))
            return usage_error(DFAL_E_USAGE, "%s needs a value: %s", spelled(written, option), option->value);
        value = argv[++*at];
    }
    const dfal_status status = store(option, base, value);
    return status == DFAL_OK && option->name != NULL ? append(&session->given, option->name) : status;
}

static dfal_status begin_command(struct parsed *parsed, const struct command *command)
{
    parsed->command = command;
    parsed->args = calloc(1, command->size > 0 ? command->size : 1);
    if (parsed->args == NULL)
        return out_of_memory();
    if (command->init != NULL)
        command->init(parsed->args);
    return DFAL_OK;
}

/* The word help asks for what --help prints, of the command behind it where there is one. */
static dfal_status take_command(struct parsed *parsed, struct session *session, const char *word)
{
    const char *names[MOST_NAMES];
    int32_t count = 0;
    if (strcmp(word, HELP_COMMAND) == 0) {
        session->help = true;
        return DFAL_OK;
    }
    for (int32_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, word) == 0)
            return begin_command(parsed, commands[i]);
        names[count++] = commands[i]->name;
    }
    for (int32_t i = 0; i < COUNT_OF(later_commands); i++)
        if (strcmp(later_commands[i], word) == 0)
            return usage_error(DFAL_E_UNAVAILABLE, "the command %s is not in this version", word);
    names[count++] = HELP_COMMAND;
    return usage_unknown("", "command", word, NULL, names, count);
}

/* The options may ask for help or for something else than the command: then operands do not matter. */
static bool asks_for_text(const struct session *session)
{
    return session->help || session->version || session->help_markdown || session->completion;
}

bool is_given(const struct session *session, const char *name)
{
    for (int32_t i = 0; i < session->given.count; i++)
        if (strcmp(session->given.items[i], name) == 0)
            return true;
    return false;
}

/* Is the word one of "npy, npz"? */
static bool lists(const char *names, const char *word)
{
    const size_t length = strlen(word);
    for (; names != NULL; names = strchr(names, ' '), names += names != NULL)
        if (strncmp(names, word, length) == 0 && (names[length] == ',' || names[length] == '\0'))
            return true;
    return false;
}

/* Is one of "print-config, estimate" given? */
static bool is_any_given(const struct session *session, const char *names)
{
    for (int32_t i = 0; i < session->given.count; i++)
        if (lists(names, session->given.items[i]))
            return true;
    return false;
}

static dfal_status check_required(const struct session *session, const struct command *command)
{
    for (int32_t i = 0; i < command->option_count; i++) {
        const struct option *option = &command->options[i];
        const bool needed = !is_any_given(session, option->unless);
        if (option->required && needed && !is_given(session, option->name))
            return usage_error(DFAL_E_USAGE, "%s needs %s%s %s", command->name, option->letter ? "-" : "--",
                               option->letter ? (char[2]){option->letter} : option->name, option->value);
    }
    return DFAL_OK;
}

dfal_status check_belongs(const struct session *session, const struct option *options, int32_t count,
                          const char *before, const char *word)
{
    for (int32_t i = 0; i < count; i++)
        if (options[i].only != NULL && is_given(session, options[i].name) && !lists(options[i].only, word))
            return usage_error(DFAL_E_USAGE, "--%s belongs to %s%s, not to %s%s", options[i].name, before,
                               options[i].only, before, word);
    return DFAL_OK;
}

static dfal_status check_operands(struct parsed *parsed, const struct session *session)
{
    const struct command *command = parsed->command;
    if (asks_for_text(session))
        return DFAL_OK;
    if (command == NULL)
        return usage_error(DFAL_E_USAGE, "no command given; 'dfal --help' lists what there is");
    if (parsed->operand_count < command->least)
        return usage_error(DFAL_E_USAGE,
                           "%s needs %s, but has %d of its arguments; 'dfal %s --help' says more",
                           command->name, command->operands, parsed->operand_count, command->name);
    if (command->most >= 0 && parsed->operand_count > command->most)
        return usage_error(DFAL_E_USAGE, "%s takes %s, so '%s' is one argument too many", command->name,
                           command->operands[0] != '\0' ? command->operands : "no arguments",
                           parsed->operands[command->most]);
    const dfal_status status = check_belongs(session, global_options, global_option_count, "", command->name);
    return status == DFAL_OK ? check_required(session, command) : status;
}

dfal_status parse_arguments(struct parsed *parsed, struct session *session, int argc, char **argv)
{
    bool only_operands = false;
    parsed->operands = calloc((size_t)argc + 1, sizeof(*parsed->operands));
    if (parsed->operands == NULL)
        return out_of_memory();
    for (int at = 1; at < argc; at++) {
        dfal_status status = DFAL_OK;
        if (!only_operands && strcmp(argv[at], "--") == 0)
            only_operands = true;
        else if (!only_operands && argv[at][0] == '-' && argv[at][1] != '\0')
            status = take_option(parsed, session, argc, argv, &at);
        else if (parsed->command == NULL)
            status = take_command(parsed, session, argv[at]);
        else {
            parsed->operands[parsed->operand_count++] = argv[at];
            only_operands = only_operands || parsed->command->holds_command;
        }
        if (status != DFAL_OK)
            return status;
    }
    return check_operands(parsed, session);
}

/* Free the lists that the options grew. */
static void free_lists(const struct option *options, int32_t count, void *base)
{
    for (int32_t i = 0; i < count; i++)
        if (options[i].kind == VALUE_LIST) {
            struct text_list *list = (struct text_list *)(void *)((char *)base + options[i].offset);
            free(list->items);
            list->items = NULL;
        }
}

void parsed_clear(struct parsed *parsed, struct session *session)
{
    if (parsed->args != NULL)
        free_lists(parsed->command->options, parsed->command->option_count, parsed->args);
    free_lists(global_options, global_option_count, session);
    free(session->given.items);
    free(parsed->args);
    free(parsed->operands);
}
