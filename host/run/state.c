/* SPDX-License-Identifier: Apache-2.0 */
#include "run/state.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "score/pool_rows.h"
#include "store/table.h"

#define FORMAT "dfal-state"
/* Columns of /position */
enum {
    ROUND,
    ANNOTATIONS,
    FINISHED,
    LENGTHS, /* of tables, which an earlier dfal cuts there: none has as many, so that it refuses */
    ROWS = LENGTHS + 3,
    TWINS,
    SIZE,
    PARAMETERS,
    POSITION_COUNT,
    EARLIER_COUNT /* an earlier dfal may have written one number more, the length of another table */
};

void df_run_state_clear(struct df_run_state *state)
{
    df_free(state->rows);
    df_free(state->x);
    df_free(state->twin_of);
    df_free(state->twin_class);
    *state = (struct df_run_state){.round = -1, .twins_only = state->twins_only};
}

dfal_status df_run_state_reserve(struct df_run_state *state, int64_t rows, int64_t twins)
{
    const int64_t all = rows + twins, inputs = state->twins_only ? twins : all;
    int64_t twin_of = state->capacity, twin_class = state->capacity; /* as many as rows */
    DF_TRY(df_reserve(&state->twin_of, &twin_of, all, sizeof *state->twin_of));
    DF_TRY(df_reserve(&state->twin_class, &twin_class, all, sizeof *state->twin_class));
    DF_TRY(df_reserve(&state->rows, &state->capacity, all, sizeof *state->rows));
    return df_reserve(&state->x, &state->x_capacity, inputs, (size_t)state->size * sizeof *state->x);
}

static dfal_status make_room(struct df_run_state *state, int64_t more, bool twins)
{
    enum { FIRST = 64 };
    const int64_t rows = state->count + more;
    int64_t twin_of = state->capacity, twin_class = state->capacity; /* as many as rows */
    DF_TRY(df_grow(&state->twin_of, &twin_of, rows, sizeof *state->twin_of, FIRST));
    DF_TRY(df_grow(&state->twin_class, &twin_class, rows, sizeof *state->twin_class, FIRST));
    DF_TRY(df_grow(&state->rows, &state->capacity, rows, sizeof *state->rows, FIRST));
    if (state->twins_only && !twins)
        return DFAL_OK;
    int64_t x_count = state->twins_only ? state->twin_count : state->count;
    return df_grow(&state->x, &state->x_capacity, x_count + more, (size_t)state->size * sizeof *state->x,
                   FIRST);
}

const float *df_run_state_x(const struct df_run_state *state, int64_t row)
{
    if (!state->twins_only)
        return state->x + row * state->size;
    return state->rows[row].source == DF_ROW_TWIN ? state->x + state->rows[row].index * state->size : NULL;
}

static dfal_status append_rows(struct df_run_state *state, struct df_pool *pool, enum df_row_source source,
                               const int64_t *rows, const int32_t *labels, int64_t n)
{
    DF_TRY(make_room(state, n, false));
    if (!state->twins_only)
        DF_TRY(df_pool_rows_read(state->x + state->count * state->size, NULL, pool, rows, n));
    for (int64_t i = 0; i < n; i++)
        state->rows[state->count++] =
            (struct df_training_row){.source = source, .index = rows[i], .label = labels[i], .weight = 1};
    return DFAL_OK;
}

dfal_status df_run_state_add_rows(struct df_run_state *state, struct df_pool *pool, const int64_t *rows,
                                  const int32_t *labels, int64_t n)
{
    return append_rows(state, pool, DF_ROW_POOL, rows, labels, n);
}

dfal_status df_run_state_add_pseudo(struct df_run_state *state, struct df_pool *pool, const int64_t *rows,
                                    const int32_t *labels, int64_t n)
{
    return append_rows(state, pool, DF_ROW_PSEUDO, rows, labels, n);
}

void df_run_state_drop_pseudo(struct df_run_state *state)
{
    while (state->count > 0 && state->rows[state->count - 1].source == DF_ROW_PSEUDO)
        state->count--;
}

dfal_status df_run_state_add_twin(struct df_run_state *state, int64_t row, int32_t label,
                                  int32_t adversarial_class, const float *x)
{
    DF_TRY(make_room(state, 1, true));
    int64_t at = state->twins_only ? state->twin_count : state->count;
    memcpy(state->x + at * state->size, x, (size_t)state->size * sizeof *x);
    state->twin_class[state->twin_count] = adversarial_class;
    state->rows[state->count++] = (struct df_training_row){
        .source = DF_ROW_TWIN, .index = state->twin_count, .label = label, .weight = 1};
    state->twin_of[state->twin_count++] = row;
    return DFAL_OK;
}

void df_run_state_units(const struct df_run_state *state, bool grouped, int64_t *unit)
{
    int64_t units = 0;
    for (int64_t i = 0; i < state->count; i++) {
        const struct df_training_row *row = &state->rows[i];
        int64_t source = -1;
        if (row->source == DF_ROW_PSEUDO) {
            unit[i] = DF_UNIT_NONE;
            continue;
        }
        if (grouped && row->source == DF_ROW_TWIN) /* its source came in the same round: not far back */
            for (source = i - 1; source >= 0; source--)
                if (state->rows[source].source == DF_ROW_POOL &&
                    state->rows[source].index == state->twin_of[row->index])
                    break;
        unit[i] = source >= 0 ? unit[source] : units++;
    }
}

static void copy_parameters(struct df_network *network, float *flat, bool to_network)
{
    for (int32_t i = 0; i < network->node_count; i++) {
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            struct df_parameter *parameter = &network->nodes[i].parameter[k];
            if (!parameter->data)
                continue;
            float *to = to_network ? parameter->data : flat;
            const float *from = to_network ? flat : parameter->data;
            memcpy(to, from, (size_t)parameter->count * sizeof *to);
            flat += parameter->count;
        }
    }
}

dfal_status df_run_state_save(const struct df_run_state *state, const struct df_network *network,
                              const char *path)
{
    int64_t n = state->count, twins = state->twin_count, size = state->size;
    int64_t parameters = state->finished || !network ? 0 : df_network_parameter_count(network);
    int64_t *index = NULL;
    int32_t *label = NULL;
    uint8_t *source = NULL;
    float *twin = NULL, *flat = NULL;
    double best = state->best_so_far;
    int64_t at[POSITION_COUNT] = {[ROUND] = state->round,
                                  [ANNOTATIONS] = state->annotations,
                                  [FINISHED] = state->finished,
                                  [LENGTHS] = INT64_MAX,
                                  [LENGTHS + 1] = INT64_MAX,
                                  [LENGTHS + 2] = INT64_MAX,
                                  [ROWS] = n,
                                  [TWINS] = twins,
                                  [SIZE] = size,
                                  [PARAMETERS] = parameters};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&index, n, sizeof *index));
    DF_TRY_TO(done, status, df_alloc(&label, n, sizeof *label));
    DF_TRY_TO(done, status, df_alloc(&source, n, sizeof *source));
    DF_TRY_TO(done, status, df_alloc(&twin, twins * size, sizeof *twin));
    DF_TRY_TO(done, status, df_alloc(&flat, parameters, sizeof *flat));
    for (int64_t i = 0, t = 0; i < n; i++) {
        index[i] = state->rows[i].index;
        label[i] = state->rows[i].label;
        source[i] = (uint8_t)state->rows[i].source;
        if (state->rows[i].source == DF_ROW_TWIN)
            memcpy(twin + size * t++, df_run_state_x(state, i), (size_t)size * sizeof *twin);
    }
    if (parameters)
        copy_parameters((struct df_network *)network, flat, false);
    struct df_column columns[9] = {
        {.name = "/position", .type = DF_COLUMN_I64, .rank = 1, .dims = {POSITION_COUNT}, .data = at},
        {.name = "/best_so_far", .type = DF_COLUMN_F64, .rank = 1, .dims = {1}, .data = &best},
        {.name = "/index", .type = DF_COLUMN_I64, .rank = 1, .dims = {n}, .data = index},
        {.name = "/label", .type = DF_COLUMN_I32, .rank = 1, .dims = {n}, .data = label},
        {.name = "/source", .type = DF_COLUMN_U8, .rank = 1, .dims = {n}, .data = source},
    };
    int32_t count = 5;
    if (twins) {
        columns[count++] = (struct df_column){
            .name = "/twin_of", .type = DF_COLUMN_I64, .rank = 1, .dims = {twins}, .data = state->twin_of};
        columns[count++] = (struct df_column){.name = "/twin_class",
                                              .type = DF_COLUMN_I32,
                                              .rank = 1,
                                              .dims = {twins},
                                              .data = state->twin_class};
        columns[count++] = (struct df_column){
            .name = "/twins", .type = DF_COLUMN_F32, .rank = 2, .dims = {twins, size}, .data = twin};
    }
    if (parameters)
        columns[count++] = (struct df_column){
            .name = "/parameters", .type = DF_COLUMN_F32, .rank = 1, .dims = {parameters}, .data = flat};
    status = df_table_write(path, FORMAT, "", columns, count, true);
done:
    df_free(index);
    df_free(label);
    df_free(source);
    df_free(twin);
    df_free(flat);
    return status;
}

static dfal_status read_position(int64_t at[POSITION_COUNT], double *best, const char *path)
{
    struct df_column columns[] = {
        {.name = "/position", .type = DF_COLUMN_I64, .rank = 1},
        {.name = "/best_so_far", .type = DF_COLUMN_F64, .rank = 1},
    };
    char *configuration = NULL;
    dfal_status status = df_table_read(path, FORMAT, &configuration, columns, 2);
    if (status == DFAL_OK && ((columns[0].dims[0] != POSITION_COUNT && columns[0].dims[0] != EARLIER_COUNT) ||
                              columns[1].dims[0] != 1))
        status = df_fail(DFAL_E_DATA, "%s: /position has %lld numbers, expected %d", path,
                         (long long)columns[0].dims[0], POSITION_COUNT);
    if (status == DFAL_OK) {
        memset(at, 0, POSITION_COUNT * sizeof *at);
        memcpy(at, columns[0].data, POSITION_COUNT * sizeof *at);
        *best = *(double *)columns[1].data;
        for (int i = 0; i < POSITION_COUNT && status == DFAL_OK; i++)
            if (at[i] < 0)
                status = df_fail(DFAL_E_DATA, "%s: /position[%d] is %lld, expected 0 or more", path, i,
                                 (long long)at[i]);
    }
    df_free(configuration);
    df_free(columns[0].data);
    df_free(columns[1].data);
    return status;
}

static void take_position(struct df_run_state *state, const int64_t *at, double best)
{
    state->round = (int32_t)at[ROUND];
    state->annotations = at[ANNOTATIONS];
    state->finished = at[FINISHED];
    state->size = at[SIZE];
    state->best_so_far = best;
}

dfal_status df_run_state_peek(struct df_run_state *state, const char *path)
{
    int64_t at[POSITION_COUNT];
    double best;
    *state = (struct df_run_state){.round = -1};
    df_file_sweep(path);
    if (!df_file_exists(path))
        return DFAL_OK;
    DF_TRY(read_position(at, &best, path));
    take_position(state, at, best);
    return DFAL_OK;
}

/* Whether a checkpoint's row can be: a labelled row of the pool, or the next of its twins. */
static bool row_fits(const struct df_pool *pool, const struct df_column *columns, int64_t row,
                     int64_t twins_before)
{
    const int64_t index = ((const int64_t *)columns[0].data)[row];
    const int32_t label = ((const int32_t *)columns[1].data)[row];
    const uint8_t source = ((const uint8_t *)columns[2].data)[row];
    if (label < 0 || label >= pool->class_count)
        return false;
    if (source == DF_ROW_POOL)
        return index >= 0 && index < pool->count;
    return source == DF_ROW_TWIN && index == twins_before;
}

/* Rows of the checkpoint back into the state, in their order. */
static dfal_status put_rows(struct df_run_state *state, struct df_pool *pool, const struct df_column *columns,
                            int64_t twins, const char *path)
{
    const int64_t *index = columns[0].data, *twin_of = columns[3].data;
    const int32_t *label = columns[1].data, *twin_class = columns[5].data;
    const uint8_t *source = columns[2].data;
    const float *twin = columns[4].data;
    int64_t n = columns[0].dims[0];
    for (int64_t i = 0; i < n; i++) {
        const bool is_twin = source[i] == DF_ROW_TWIN;
        if (!row_fits(pool, columns, i, state->twin_count) || (is_twin && state->twin_count == twins))
            DF_FAIL(DFAL_E_DATA, "%s: row %lld (index %lld, label %d) does not fit the pool of %lld rows",
                    path, (long long)i, (long long)index[i], label[i], (long long)pool->count);
        if (is_twin && (twin_of[index[i]] < 0 || twin_of[index[i]] >= pool->count))
            DF_FAIL(DFAL_E_DATA, "%s: twin %lld is of row %lld, which does not fit the pool of %lld rows",
                    path, (long long)index[i], (long long)twin_of[index[i]], (long long)pool->count);
        if (is_twin) {
            DF_TRY(df_run_state_add_twin(state, twin_of[index[i]], label[i], twin_class[index[i]],
                                         twin + index[i] * state->size));
            continue;
        }
        /* Runs of pool rows are read together. */
        int64_t end = i + 1;
        while (end < n && source[end] == DF_ROW_POOL && row_fits(pool, columns, end, 0))
            end++;
        DF_TRY(df_run_state_add_rows(state, pool, index + i, label + i, end - i));
        i = end - 1;
    }
    return DFAL_OK;
}

dfal_status df_run_state_load(struct df_run_state *state, struct df_network *network, struct df_pool *pool,
                              const char *path)
{
    int64_t at[POSITION_COUNT];
    double best;
    char *configuration = NULL;
    struct df_column columns[] = {
        {.name = "/index", .type = DF_COLUMN_I64, .rank = 1},
        {.name = "/label", .type = DF_COLUMN_I32, .rank = 1},
        {.name = "/source", .type = DF_COLUMN_U8, .rank = 1},
        {.name = "/twin_of", .type = DF_COLUMN_I64, .rank = 1},
        {.name = "/twins", .type = DF_COLUMN_F32, .rank = 2},
        {.name = "/twin_class", .type = DF_COLUMN_I32, .rank = 1},
        {.name = "/parameters", .type = DF_COLUMN_F32, .rank = 1},
    };
    struct df_column *twins = &columns[3], *parameters = &columns[6];
    dfal_status status;
    df_run_state_clear(state);
    DF_TRY_TO(done, status, read_position(at, &best, path));
    take_position(state, at, best);
    DF_TRY_TO(done, status, df_table_read(path, FORMAT, &configuration, columns, 3));
    if (at[TWINS]) {
        df_free(configuration);
        configuration = NULL;
        DF_TRY_TO(done, status, df_table_read(path, FORMAT, &configuration, twins, 3));
    }
    if (at[PARAMETERS]) {
        df_free(configuration);
        configuration = NULL;
        DF_TRY_TO(done, status, df_table_read(path, FORMAT, &configuration, parameters, 1));
    }
    if (columns[0].dims[0] != at[ROWS] || columns[1].dims[0] != at[ROWS] || columns[2].dims[0] != at[ROWS] ||
        at[SIZE] != df_shape_size(pool->shape) ||
        (at[TWINS] && (columns[3].dims[0] != at[TWINS] || columns[4].dims[0] != at[TWINS] ||
                       columns[4].dims[1] != at[SIZE] || columns[5].dims[0] != at[TWINS])) ||
        (at[PARAMETERS] && (!network || parameters->dims[0] != at[PARAMETERS] ||
                            at[PARAMETERS] != df_network_parameter_count(network)))) {
        status =
            df_fail(DFAL_E_DATA,
                    "%s: its columns do not fit the pool and the network, expected what run wrote", path);
        goto done;
    }
    if (at[PARAMETERS])
        copy_parameters(network, parameters->data, true);
    DF_TRY_TO(done, status, df_run_state_reserve(state, at[ROWS] - at[TWINS], at[TWINS]));
    DF_TRY_TO(done, status, put_rows(state, pool, columns, at[TWINS], path));
done:
    df_free(configuration);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        df_free(columns[i].data);
    if (status != DFAL_OK)
        df_run_state_clear(state);
    return status;
}

dfal_status df_run_state_twins(const char *path, int64_t **twin_of, float **x, int64_t *twin_count,
                               int64_t *size)
{
    int64_t at[POSITION_COUNT];
    double best;
    char *configuration = NULL;
    struct df_column columns[] = {
        {.name = "/twin_of", .type = DF_COLUMN_I64, .rank = 1},
        {.name = "/twins", .type = DF_COLUMN_F32, .rank = 2},
    };
    *twin_of = NULL;
    *x = NULL;
    *twin_count = *size = 0;
    DF_TRY(read_position(at, &best, path));
    if (!at[TWINS])
        return DFAL_OK;
    dfal_status status = df_table_read(path, FORMAT, &configuration, columns, 2);
    if (status == DFAL_OK && (columns[0].dims[0] != columns[1].dims[0] || columns[1].dims[1] != at[SIZE]))
        status = df_fail(DFAL_E_DATA, "%s: /twin_of and /twins do not fit, expected what run wrote", path);
    if (status == DFAL_OK) {
        *twin_of = columns[0].data;
        *x = columns[1].data;
        *twin_count = columns[0].dims[0];
        *size = at[SIZE];
    } else {
        df_free(columns[0].data);
        df_free(columns[1].data);
    }
    df_free(configuration);
    return status;
}
