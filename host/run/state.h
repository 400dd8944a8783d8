/* SPDX-License-Identifier: Apache-2.0 */
/* What one strategy has gathered in one trial: the labelled rows with their network inputs, the network of
 * the last round, and its checkpoint state/STRATEGY-TRIAL.h5 (docs/FORMATS.md). */
#ifndef DF_RUN_STATE_H
#define DF_RUN_STATE_H

#include "net/training.h"
#include "run/directory.h"
#include "store/pool.h"

struct df_run_state {
    /* rows [count] with x [count, size]; room is reserved ahead */
    struct df_training_row *rows;
    float *x;
    int64_t count, capacity, x_capacity, size;
    bool twins_only;     /* x [twin_count, size] is that of the twins: a trainer reads the pool itself */
    int64_t *twin_of;    /* [twin_count] row of the pool a twin came from; a twin's index is its number */
    int32_t *twin_class; /* [twin_count] what the network took the twin for */
    int64_t twin_count;
    /* as of the last finished round */
    int32_t round; /* -1: none */
    int64_t annotations;
    bool finished;
    double best_so_far;
};
void df_run_state_clear(struct df_run_state *state);
/* Make room for so many rows of the pool and twins of them, at once and no more; what comes beyond them makes
 * room of its own. */
dfal_status df_run_state_reserve(struct df_run_state *state, int64_t rows, int64_t twins);
/* Append pool rows with their labels; x is read and decoded. */
dfal_status df_run_state_add_rows(struct df_run_state *state, struct df_pool *pool, const int64_t *rows,
                                  const int32_t *labels, int64_t n);
/* Append pseudo-labelled rows of the pool, for one training; then drop them. A checkpoint has none. */
dfal_status df_run_state_add_pseudo(struct df_run_state *state, struct df_pool *pool, const int64_t *rows,
                                    const int32_t *labels, int64_t n);
void df_run_state_drop_pseudo(struct df_run_state *state);
dfal_status df_run_state_add_twin(struct df_run_state *state, int64_t row, int32_t label,
                                  int32_t adversarial_class, const float *x);
/* Network input of a row; NULL: it is one of the pool's and only the twins' are kept. */
const float *df_run_state_x(const struct df_run_state *state, int64_t row);

/* Which rows belong together: unit [count], from 0 in the order of the first row of each (struct
 * df_training_set). A twin's number is that of the row it came from, unless each is to stand by itself; a
 * pseudo-labelled row is of none, as its label is no answer to validate by. */
void df_run_state_units(const struct df_run_state *state, bool grouped, int64_t *unit);

/* Write state and the network's parameters atomically. A finished one leaves the parameters out, and so does
 * one without a network (NULL), which load then leaves alone. */
dfal_status df_run_state_save(const struct df_run_state *state, const struct df_network *network,
                              const char *path);
/* Only what stands in front of the rows: round, annotations, finished. round is -1 where path does
 * not exist. */
dfal_status df_run_state_peek(struct df_run_state *state, const char *path);
/* All of it; network is of the run's graph and takes the parameters. Errors   E_DATA does not fit the network
 * or pool */
dfal_status df_run_state_load(struct df_run_state *state, struct df_network *network, struct df_pool *pool,
                              const char *path);
/* The twins alone, for the report: twin_of and x [twin_count, size]; free both with df_free. twin_count 0:
 * none. */
dfal_status df_run_state_twins(const char *path, int64_t **twin_of, float **x, int64_t *twin_count,
                               int64_t *size);

#endif
