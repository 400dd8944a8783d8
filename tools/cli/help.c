/* SPDX-License-Identifier: Apache-2.0 */
/* --help, docs/CLI.md and the bash completion, all from the option tables. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

static void option_name(char text[320], const struct option *option)
{
    char letter[8] = "", name[64] = "";
    if (option->letter != 0)
        snprintf(letter, sizeof(letter), "-%c%s", option->letter, option->name != NULL ? ", " : "");
    if (option->name != NULL)
        snprintf(name, sizeof(name), "--%s", option->name);
    snprintf(text, 320, "%s%s%s%s", letter, name, option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
}

static const char *required(const struct option *option)
{
    return option->required ? " (required)" : "";
}

static void print_options(const struct option *options, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        char name[320];
        if (options[i].hidden)
            continue;
        option_name(name, &options[i]);
        if (strlen(name) <= 26)
            printf("  %-26s  ", name);
        else
            printf("  %s\n  %-26s  ", name, "");
        printf("%s%s\n", options[i].help, required(&options[i]));
    }
}

/* Statuses of one code stand together. */
static void print_exit_codes(const char *row)
{
    static const struct {
        int code;
        const char *text;
    } statuses[] = {
#define X(name, value, exit_code, meaning) {exit_code, meaning},
        DFAL_STATUS_LIST(X)
#undef X
    };
    for (int32_t i = 0, next; i < COUNT_OF(statuses); i = next) {
        char text[256] = "";
        for (next = i; next < COUNT_OF(statuses) && statuses[next].code == statuses[i].code; next++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", next > i ? "; " : "",
                     statuses[next].text);
        printf(row, statuses[i].code, text);
    }
}

void print_overview(void)
{
    printf("Usage: dfal [GLOBAL OPTIONS] COMMAND ...\n"
           "Which samples to label next: DeepFool margins over whole pools and deep active learning.\n\n"
           "Commands ('dfal help COMMAND' or 'dfal COMMAND --help' says more):\n");
    for (int32_t i = 0; commands[i] != NULL; i++)
        printf("  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    printf("\nGlobal options, before or behind the command:\n");
    print_options(global_options, global_option_count);
    printf("\nExit codes:\n");
    print_exit_codes("  %-3d %s\n");
}

/* The form of a line: options stand before another command's words, else anywhere. */
static void print_form(const struct command *command)
{
    const bool first = command->holds_command;
    printf("dfal %s%s%s%s%s", command->name, first ? " [OPTIONS]" : "",
           command->operands[0] != '\0' ? " " : "", command->operands, first ? "" : " [OPTIONS]");
}

void print_command_help(const struct command *command)
{
    printf("Usage: ");
    print_form(command);
    printf("\n%s\n", command->summary);
    if (command->text != NULL)
        printf("\n%s\n", command->text);
    if (command->option_count > 0) {
        printf("\nOptions:\n");
        print_options(command->options, command->option_count);
    }
    if (command->more != NULL) {
        printf("\n");
        command->more(false);
    }
    printf("\nGlobal options:\n");
    print_options(global_options, global_option_count);
}

/* A table cell: | would end it. */
void print_cell(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text == '\n' ? ' ' : *text);
    }
}

static void print_option_table(const struct option *options, int32_t count)
{
    printf("| option | does |\n|---|---|\n");
    for (int32_t i = 0; i < count; i++) {
        char name[320];
        if (options[i].hidden)
            continue;
        option_name(name, &options[i]);
        printf("| `");
        print_cell(name);
        printf("` | ");
        print_cell(options[i].help);
        printf("%s |\n", required(&options[i]));
    }
    printf("\n");
}

void print_markdown(void)
{
    printf(
        "# The dfal command\n\n"
        "This page is printed by `dfal --help-markdown` from the command's own option tables; a test keeps "
        "it\n"
        "equal to them. Results go to stdout, as a table or, with `--json`, as one JSON document in which "
        "what is\n"
        "not finite is `null`; everything else goes to stderr. File formats stand in FORMATS.md.\n\n"
        "    dfal [GLOBAL OPTIONS] COMMAND ...\n\n"
        "`dfal help` and `dfal help COMMAND` print what `dfal --help` and `dfal COMMAND --help` do.\n"
        "Numbers are decimal, without a leading zero. Options cannot be abbreviated. Wherever NET stands, a\n"
        "built-in name (lenet5, vgg8) or a network file may stand.\n\n"
        "An output that is unfinished and of the same configuration is continued by the same line; "
        "finished:\n"
        "exit code 73 unless `--force`; of another configuration: 78. SIGTERM, SIGINT, SIGUSR1 and SIGHUP\n"
        "finish the step, keep the finished work and end with 75; without work to keep, the command dies by "
        "the\n"
        "signal. SIGHUP is left ignored where it is, as under nohup.\n\n"
        "No command writes over a file that it reads, by whatever name, link or folder: 64, with or without "
        "`--force`.\n"
        "An output has one owner: a second line on it while the first one works is refused with 73.\n\n"
        "## Global options\n\n");
    print_option_table(global_options, global_option_count);
    for (int32_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];
        printf("## dfal %s\n\n    ", command->name);
        print_form(command);
        printf("\n\n%s.\n\n", command->summary);
        if (command->text != NULL)
            printf("%s\n\n", command->text);
        if (command->option_count > 0)
            print_option_table(command->options, command->option_count);
        if (command->more != NULL) {
            command->more(true);
            printf("\n");
        }
    }
    printf("## Exit codes\n\n| code | meaning |\n|---|---|\n");
    print_exit_codes("| %d | %s |\n");
}

static void print_words(const struct option *options, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!options[i].hidden && options[i].name != NULL)
            printf(" --%s", options[i].name);
}

static void print_choices(const struct option *options, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (options[i].hidden || options[i].kind != VALUE_CHOICE)
            continue;
        printf("    --%s) COMPREPLY=($(compgen -W \"", options[i].name);
        for (const char *c = options[i].value; *c != '\0'; c++)
            putchar(*c == '|' ? ' ' : *c);
        printf("\" -- \"$word\")); return ;;\n");
    }
}

void print_completion(void)
{
    printf("# SPDX-License-Identifier: Apache-2.0\n"
           "# Completion of the dfal command for bash; printed by `dfal --help-completion`.\n"
           "_dfal() {\n"
           "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=\"\" i\n"
           "  local commands=\"");
    for (int32_t i = 0; commands[i] != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", commands[i]->name);
    printf(" " HELP_COMMAND "\"\n"
           "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "    [[ \" $commands \" == *\" ${COMP_WORDS[i]} \"* ]] && { command=${COMP_WORDS[i]}; break; }\n"
           "  done\n"
           "  case $before in\n");
    print_choices(global_options, global_option_count);
    printf("  esac\n"
           "  local options=\"");
    print_words(global_options, global_option_count);
    printf("\"\n"
           "  case $command in\n");
    for (int32_t i = 0; commands[i] != NULL; i++) {
        printf("  %s)\n    options+=\"", commands[i]->name);
        print_words(commands[i]->options, commands[i]->option_count);
        printf("\"\n    case $before in\n");
        print_choices(commands[i]->options, commands[i]->option_count);
        printf("    esac ;;\n");
    }
    printf("  \"\" | " HELP_COMMAND ")\n"
           "    [[ $word == -* ]] || { COMPREPLY=($(compgen -W \"$commands\" -- \"$word\")); return; } ;;\n"
           "  esac\n"
           "  if [[ $word == -* ]]; then\n"
           "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "  else\n"
           "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "  fi\n"
           "}\n"
           "complete -o filenames -F _dfal dfal\n");
}
