/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of a command: one table of options each serves parsing, --help, docs/CLI.md and completion.
 *
 * The front is a small scanner over this table and not argp: argp accepts abbreviations, swallows global
 * options behind the command's name and hides an unknown option's name when its own two lines are silenced.
 */
#ifndef DFAL_TOOLS_COMMAND_H
#define DFAL_TOOLS_COMMAND_H

#include "base/number.h"
#include "dfal.h"

struct text_list {
    const char **items;
    int32_t count;
};

/* What an option's value is and where it goes: a field at `offset` of the command's own struct. */
enum value_kind {
    VALUE_FLAG,   /* bool */
    VALUE_TEXT,   /* const char * */
    VALUE_CHOICE, /* const char *: one of the words of `value` */
    VALUE_NUMBER, /* of the type that `number` says */
    VALUE_LIST,   /* struct text_list: the option may be repeated */
    VALUE_NORM,   /* double: l2, linf, l1 or a number from 1 */
    VALUE_RANGE,  /* int64_t[2]: A:B */
    VALUE_SHARD,  /* int32_t[2]: K/N, 1-based for people, 0-based in the struct */
};

struct option {
    const char *name; /* long name without dashes; NULL: only a letter */
    char letter;      /* 0: none */
    enum value_kind kind;
    size_t offset;
    const char *value; /* placeholder, or the words of a choice: "a|b|c" */
    const char *help;
    struct df_number number;
    bool hidden;
    bool reads;         /* the value is the path of a file that is read */
    bool required;      /* by its command... */
    const char *unless; /* ... where none of these options is given, names with commas between */
    const char *only;   /* names with commas between: for them alone (check_belongs) */
};

/* A row: S is the struct the option is written to. Behind the help stand other fields by name. */
#define NUMBER(type, ...) .number = {DF_NUMBER_##type, __VA_ARGS__}
#define OPT(S, name_, letter_, kind_, field_, value_, help_, ...)                                            \
    {                                                                                                        \
        .name = name_, .letter = letter_, .kind = kind_, .offset = offsetof(S, field_), .value = value_,     \
        .help = help_, __VA_ARGS__                                                                           \
    }

struct session;
struct command {
    const char *name;
    const char *operands; /* "NET POOL" */
    const char *summary;  /* one line */
    const char *text;     /* more lines for --help and docs/CLI.md, or NULL */
    const struct option *options;
    int32_t option_count;
    int32_t least, most; /* operands; most -1: any number */
    bool ranks;          /* several processes may do it together */
    size_t size;         /* of the struct the options are written to */
    void (*init)(void *args);
    dfal_status (*run)(struct session *session, void *args, const char *const *operands, int32_t count);
    /* NULL, or whether it would begin, before it waits in a queue; parts: an array makes so many of it. */
    dfal_status (*check)(struct session *session, void *args, const char *const *operands, int32_t count,
                         int32_t parts);
    bool at_once;       /* answers at once: no work for a job of a cluster */
    bool first_word;    /* the first operand is a word, not a file */
    bool holds_command; /* the operands are another command: its options are its own */
    void (*more)(
        bool markdown); /* NULL, or prints what else --help and docs/CLI.md say, from the library's tables */
};

#define COUNT_OF(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))
#define NO_LIMIT        DF_NUMBER_NO_LIMIT

/* Everything about one invocation that is not the command's own. */
struct session {
    struct dfal_context_options options;
    bool quiet, verbose, json, print_config, help, version, help_markdown, completion;
    const char *log_format;
    const char *comm;
    const char *config;
    struct text_list set;
    struct text_list given; /* names of the options on the line */
    dfal_context *context;
    struct log *log;
    dfal_event_fn *hear; /* every event of the library, beside what is shown; NULL: nobody */
    void *hear_user;
};

#define HELP_COMMAND "help"                    /* dfal help COMMAND is dfal COMMAND --help */
extern const struct command *const commands[]; /* NULL-terminated, in the order of --help */
extern const struct option global_options[];
extern const int32_t global_option_count;

/* options.c: parse argv into the session and the command's struct.
 * Errors   E_USAGE; E_UNAVAILABLE a command that is not in this version */
struct parsed {
    const struct command *command;
    void *args;
    const char **operands;
    int32_t operand_count;
};
dfal_status parse_arguments(struct parsed *parsed, struct session *session, int argc, char **argv);
void parsed_clear(struct parsed *parsed, struct session *session);
bool is_given(const struct session *session, const char *name); /* the option of that name */
/* E_USAGE where an option of the table is given that belongs to others than this word; `before` stands in
 * front of both in the sentence. */
dfal_status check_belongs(const struct session *session, const struct option *options, int32_t count,
                          const char *before, const char *word);

/* option_names.c: a sentence of the library, in which each `field` that has an option is written --option.
 * Returns text. */
enum { SENTENCE_SIZE = 4096 };
const char *with_options(char text[SENTENCE_SIZE], const char *sentence);

/* help.c */
void print_overview(void);
void print_command_help(const struct command *command);
void print_markdown(void);
void print_completion(void);
void print_cell(const char *text); /* of a table in Markdown */

/* rank_of_many.c: which way of ranks the context gets; whether this process prints results, and whether what
 * ended it is said by another. */
dfal_status choose_ranks(struct session *session, const struct command *command, const void *args);
bool is_speaker(const struct session *session);
bool is_told_by_rank_0(const struct session *session, const char *sentence);

/* session.c: signals, the context, events on stderr. */
dfal_status session_open(struct session *session, const char *command_line);
void session_close(struct session *session);
int session_signal(void); /* the signal that asked for a stop, 0: none */
/* A line for people on stderr; quiet silences it. */
void session_note(struct session *session, const char *format, ...) DFAL_PRINTF(2, 3);
/* The one sentence of an error, as text or as a JSON line. */
void session_error(const struct session *session, dfal_status status, const char *sentence);

/* Record an error of the command's own; the sentence is what it prints. Returns the status. */
enum { ERROR_TEXT_SIZE = 1024 };
dfal_status usage_error(dfal_status status, const char *format, ...) DFAL_PRINTF(2, 3);
/* The same for a word that is none of a list of names. `before` and a colon stand in front of the sentence
 * where it is not empty; expected NULL: the names themselves. */
dfal_status usage_unknown(const char *before, const char *what, const char *word, const char *expected,
                          const char *const *names, int32_t count);

/* The command behind start.c's look at the CPU. */
int dfal_main(int argc, char **argv);

#endif
