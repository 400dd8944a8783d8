/* SPDX-License-Identifier: Apache-2.0 */
/* Query strategies: one file each, one row in the table. A strategy asks a view of its candidates for what it
 * wants to know of them and chooses. */
#ifndef DF_STRATEGY_STRATEGY_H
#define DF_STRATEGY_STRATEGY_H

#include "base/fields.h"
#include "strategy/strategy_option.h"

struct df_network;
struct df_view;
struct dfal_context;

/* What a strategy asks its view for. Declared, so that files which a user gives, and the network, are checked
 * against it before any work. */
enum df_asks {
    DF_ASKS_LOGITS = 1,     /* or numbers of them: a logits file has these */
    DF_ASKS_LOGIT_GAPS = 2, /* a logits file or a scores file */
    DF_ASKS_MARGINS = 4,    /* a scores file */
    DF_ASKS_FEATURES = 8,   /* of the node that an option "node" names, where it has one */
    DF_ASKS_PASSES = 16,
    DF_ASKS_LAST_LAYER = 32, /* what the last layer reads; it is a Gemm */
    DF_ASKS_GRADIENTS =
        64, /* by the parameters of the nodes that an option "layers" names, where it has one */
};

/* One chosen candidate: which, and the score that chose it (NAN: none). */
struct df_choice {
    int64_t candidate;
    double score;
};
struct df_choices {
    struct df_choice *list; /* [min(q, n)] in rank order */
    int64_t count;          /* chosen: fewer than q where candidates run out */
    int64_t nonfinite;      /* candidates passed over: something of them is not finite */
    struct df_fields
        facts; /* what a strategy that chooses a set knows of it, none by default; the caller's */
};

/* Mark the candidates that the strategy is certain of: certain [n], all false. */
typedef dfal_status df_certain_fn(struct df_view *view, bool *certain);

enum { DF_STRATEGY_SOLVER = 128 };

struct df_strategy {
    const char *name, *summary;
    int asks;   /* enum df_asks */
    bool twins; /* each query brings its adversarial twin */
    /* The choice is a set: who is in it depends on who else is, and a choice of more does not begin with one
     * of fewer. Where a chosen candidate turns out not to be finite, the strategy chooses again without it.
     * Else the list of a larger q begins with that of a smaller, and is asked for further on. */
    bool set;
    /* Several ranks may choose together, each with a part of the candidates (df_view_part). */
    bool spreads;
    /* The option that says how many times as many smallest margins it looks at as it chooses; NULL: as many.
     * */
    const char *longer;
    const struct df_strategy_option *options; /* NULL: none but those that all strategies have */
    /* The name and version of the program beside dfal that does a part of the work under these options
     * (values NULL: none is given), or "none"; NULL: there is never one.
     * Errors   E_UNAVAILABLE it does not work here; E_USAGE an option that names none */
    dfal_status (*solver)(char name[DF_STRATEGY_SOLVER], struct dfal_context *context,
                          const struct df_option_values *values);
    /* Choose q of the view's candidates; choices->list is the caller's.
     * Order    the same rows whatever else was asked of the view before
     * Ties   by df_tie (rank.h) of the row of the pool, then row */
    dfal_status (*select)(struct df_view *view, int64_t q, struct df_choices *choices);
    /* What it asks for besides `asks` under these options; NULL: nothing. */
    int (*asks_besides)(const struct df_option_values *values);
    /* NULL: it labels nothing itself (pseudo_labels.h). Called once, when the choice is made. */
    df_certain_fn *certain;
};
/* clang-format off */
#define DF_STRATEGY(identifier) extern const struct df_strategy df_strategy_##identifier;
#include "strategy/strategies.def"
/* clang-format on */
extern const struct df_strategy *const df_strategies[]; /* NULL-terminated */
/* Their names and own options by index, by which a run keeps what is given for them; NULL behind the last,
 * and where a strategy has none of its own. */
const char *df_strategy_known(int32_t index);
const struct df_strategy_option *df_strategy_options(int32_t known);
int32_t df_strategy_known_index(const char *name); /* -1: unknown */
/* Errors   E_USAGE no name, or an unknown one (the nearest is named) */
dfal_status df_strategy_find(const struct df_strategy **out, const char *name);
/* What it asks its view for under these options (values NULL: none is given). */
int df_strategy_asks(const struct df_strategy *strategy, const struct df_option_values *values);
/* Whether noise ranks the candidates (option "power"), so that the scores of all are needed. */
bool df_strategy_is_noisy(const struct df_strategy *strategy, const struct df_option_values *values);
/* A file that a user gave must hold what the strategy needs; more than that may be given. Paths may be NULL.
 * Errors   E_USAGE */
dfal_status df_strategy_check_files(const struct df_strategy *strategy, const struct df_option_values *values,
                                    const char *scores_path, const char *logits_path);
/* Can the strategy ask this network? values NULL: no option is given.
 * Errors   E_DATA no dropout to draw, no layer of the kind; E_USAGE no node of that name */
dfal_status df_strategy_check_network(const struct df_strategy *strategy,
                                      const struct df_option_values *values,
                                      const struct df_network *network);
/* The nodes that a text such as "fc2,fc3" names, each with parameters that are trained; "": all that have
 * some. chosen [nodes], df_free gives it back.
 * Errors   E_USAGE no node of that name (the nearest is named), or nothing in it is trained; E_DATA nothing
 *          is */
dfal_status df_layers_choose(uint8_t **chosen, const struct df_network *network, const char *layers);

#endif
