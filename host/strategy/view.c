/* SPDX-License-Identifier: Apache-2.0 */
/* The candidates of one selection, and what is known of them. */
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/rng.h"
#include "comm/comm.h"
#include "strategy/view_inside.h"

int64_t df_view_count(const struct df_view *view)
{
    return view->count;
}

const int64_t *df_view_rows(const struct df_view *view)
{
    return view->rows;
}

int32_t df_view_class_count(const struct df_view *view)
{
    return view->network->class_count;
}

uint64_t df_view_seed(const struct df_view *view)
{
    return view->options->seed;
}

const int64_t *df_view_labelled_rows(const struct df_view *view)
{
    return view->options->labelled_rows;
}

struct df_pool *df_view_pool(const struct df_view *view)
{
    return view->pool;
}

struct df_device *df_view_device(const struct df_view *view)
{
    return view->device;
}

const struct df_network *df_view_network(const struct df_view *view)
{
    return view->network;
}

struct df_command_place *df_view_command(const struct df_view *view)
{
    return view->options->command;
}

const char *df_view_unconverged(const struct df_view *view)
{
    return view->options->unconverged ? view->options->unconverged : "last";
}

struct df_comm *df_view_comm(const struct df_view *view)
{
    return view->comm;
}

int32_t df_view_round(const struct df_view *view)
{
    return view->options->round;
}

int64_t df_view_labelled_count(const struct df_view *view)
{
    return view->options->labelled_row_count;
}

void df_view_labelled_classes(const struct df_view *view, int32_t *classes)
{
    for (int64_t i = 0; i < view->options->labelled_row_count; i++)
        classes[i] = df_network_from_pool(view->network, view->options->labelled_labels[i]);
}

const char *df_view_text(const struct df_view *view, const char *key)
{
    return df_option_text(view->options->values, view->options->strategy->options, key);
}

const char *df_view_own_text(const struct df_view *view, const char *key)
{
    return df_option_find(view->options->strategy->options, key) ? df_view_text(view, key) : "";
}

int64_t df_view_integer(const struct df_view *view, const char *key)
{
    return strtoll(df_view_text(view, key), NULL, 10);
}

double df_view_real(const struct df_view *view, const char *key)
{
    return df_parse_real(df_view_text(view, key), NULL);
}

int64_t df_row_run_end(const int64_t *rows, int64_t n, int64_t begin)
{
    enum { GAP = 64 };
    int64_t end = begin + 1;
    while (end < n && rows[end] - rows[begin] < DF_ROW_RUN && rows[end] - rows[end - 1] <= GAP)
        end++;
    return end;
}

int64_t df_view_candidate(const struct df_view *view, int64_t row)
{
    return df_row_position(view->rows, view->count, row);
}

/* ---- the candidates ------------------------------------------------------------------------------------ */

static bool ascending(const int64_t *rows, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (rows[i] <= rows[i - 1])
            return false;
    return true;
}

/* The m candidates with the lowest random numbers of their own, so that neither the list's order nor its
 * other members decide about a row's number. */
static dfal_status draw(int64_t *rows, int64_t m, const int64_t *candidates, int64_t n, uint64_t seed)
{
    struct df_draw draw;
    DF_TRY(df_draw_open(&draw, m, seed, DF_STREAM_CANDIDATES));
    for (int64_t i = 0; i < n; i++)
        df_draw_add(&draw, candidates[i]);
    df_draw_take(&draw, rows);
    return DFAL_OK;
}

dfal_status df_view_open(struct df_view *view, const int64_t *candidates, int64_t n)
{
    const int64_t m = view->options->subsample;
    const bool drawn = m > 0 && m < n;
    uint64_t seed = view->options->seed;
    if (view->options->labelled)
        seed = df_random_child(seed, DF_STREAM_LABELLED, view->options->labelled);
    view->count = drawn ? m : n;
    view->rows = candidates;
    if (!drawn && ascending(candidates, n))
        return DFAL_OK;
    DF_TRY(df_alloc(&view->own_rows, view->count, sizeof *view->own_rows));
    if (drawn)
        DF_TRY(draw(view->own_rows, m, candidates, n, seed));
    else
        memcpy(view->own_rows, candidates, (size_t)n * sizeof *candidates);
    qsort(view->own_rows, (size_t)view->count, sizeof *view->own_rows, df_compare_integers);
    view->rows = view->own_rows;
    return DFAL_OK;
}

dfal_status df_view_part(struct df_view *view, struct df_view **out)
{
    struct df_comm *comm = view->options->comm;
    struct df_view *part;
    *out = view;
    if (!comm || comm->size == 1)
        return DFAL_OK;
    *out = view->part;
    if (view->part)
        return DFAL_OK;
    const struct df_comm_share share = df_comm_share(comm, comm->rank, view->count);
    DF_TRY(df_alloc(&part, 1, sizeof *part));
    view->part = part;
    *part = (struct df_view){.context = view->context,
                             .device = view->device,
                             .network = view->network,
                             .pool = view->pool,
                             .options = view->options,
                             .comm = comm};
    DF_TRY(df_alloc(&part->own_rows, share.count, sizeof *part->own_rows));
    memcpy(part->own_rows, view->rows + share.begin, (size_t)share.count * sizeof *part->own_rows);
    part->rows = part->own_rows;
    part->count = share.count;
    *out = part;
    return DFAL_OK;
}

struct df_comm_share df_view_share(const struct df_view *view, int64_t count)
{
    if (!view->sharers)
        return (struct df_comm_share){0, count};
    return df_comm_share(view->sharers, view->sharers->rank, count);
}

dfal_status df_view_exchange(const struct df_view *view, void *values, int64_t count, size_t row_bytes)
{
    return view->sharers ? df_comm_exchange(view->sharers, values, count, row_bytes) : DFAL_OK;
}

void df_view_close(struct df_view *view)
{
    if (view->part)
        df_view_close(view->part);
    df_free(view->part);
    while (view->known)
        df_view_drop(view);
    df_network_destroy(view->folded);
    df_scores_clear(&view->own_margins);
    df_free(view->own_rows);
}

/* Rows [0, count) of an array without those of excluded [excluded_count], ascending. */
static void close_gaps(void *values, size_t row_bytes, int64_t count, const int64_t *excluded,
                       int64_t excluded_count)
{
    char *bytes = values;
    for (int64_t i = 0, at = 0, next = 0; i < count; i++) {
        if (next < excluded_count && excluded[next] == i) {
            next++;
            continue;
        }
        if (at != i)
            memcpy(bytes + (size_t)at * row_bytes, bytes + (size_t)i * row_bytes, row_bytes);
        at++;
    }
}

/* The same of this rank's part, where it was taken. */
static dfal_status exclude_of_part(struct df_view *view, const int64_t *candidates, int64_t count)
{
    int64_t *of_part, n = 0;
    if (!view->part)
        return DFAL_OK;
    DF_TRY(df_alloc(&of_part, count, sizeof *of_part));
    for (int64_t i = 0; i < count; i++) {
        of_part[n] = df_view_candidate(view->part, view->rows[candidates[i]]);
        n += of_part[n] >= 0;
    }
    const dfal_status status = df_view_exclude(view->part, of_part, n);
    df_free(of_part);
    return status;
}

dfal_status df_view_exclude(struct df_view *view, const int64_t *candidates, int64_t count)
{
    DF_TRY(exclude_of_part(view, candidates, count));
    if (!view->own_rows) {
        DF_TRY(df_alloc(&view->own_rows, view->count, sizeof *view->own_rows));
        memcpy(view->own_rows, view->rows, (size_t)view->count * sizeof *view->rows);
        view->rows = view->own_rows;
    }
    close_gaps(view->own_rows, sizeof *view->own_rows, view->count, candidates, count);
    for (struct df_known *known = view->known; known; known = known->next)
        if (!known->labelled)
            close_gaps(known->values, known->row_bytes, view->count, candidates, count);
    view->count -= count;
    /* They may have been among the smallest. */
    view->closest = view->closest > count ? view->closest - count : 0;
    return view->margins ? df_scores_keep(view->margins, view->rows, view->count) : DFAL_OK;
}

/* Those of candidates [begin, end), which one block of the pool holds. */
static dfal_status take_ids(const struct df_view *view, int64_t begin, int64_t end, df_view_ids_fn *fn,
                            void *user)
{
    const int64_t first = view->rows[begin], n = view->rows[end - 1] - first + 1;
    char **all = NULL, **ids = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&all, n, sizeof *all));
    DF_TRY_TO(done, status, df_alloc(&ids, end - begin, sizeof *ids));
    DF_TRY_TO(done, status, df_pool_ids(view->pool, all, first, n));
    for (int64_t i = begin; i < end; i++)
        ids[i - begin] = all[view->rows[i] - first];
    status = fn(user, begin, end - begin, ids);
done:
    for (int64_t i = 0; all && i < n; i++)
        df_free(all[i]);
    df_free(all);
    df_free(ids);
    return status;
}

dfal_status df_view_ids(const struct df_view *view, df_view_ids_fn *fn, void *user)
{
    for (int64_t begin = 0, end; begin < view->count; begin = end) {
        end = df_row_run_end(view->rows, view->count, begin);
        DF_TRY(df_context_check_stop(view->context));
        DF_TRY(take_ids(view, begin, end, fn, user));
    }
    return DFAL_OK;
}

/* ---- what is known of them ----------------------------------------------------------------------------- */

struct dfal_context *df_view_context(const struct df_view *view)
{
    return view->context;
}

dfal_status df_view_check_memory(const struct df_view *view, double bytes, const char *what)
{
    return df_context_check_memory(view->context, bytes, what, "choose from fewer candidates (subsample)");
}

static bool same_node(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

struct df_known *df_view_find(const struct df_view *view, const struct df_known_key *key)
{
    for (struct df_known *known = view->known; known; known = known->next)
        if (same_node(known->node, key->node) && known->score == key->score &&
            known->labelled == key->labelled && known->own == key->own)
            return known;
    return NULL;
}

int64_t df_view_rows_of(const struct df_view *view, const struct df_known_key *key)
{
    return key->labelled ? view->options->labelled_row_count : view->count;
}

dfal_status df_view_add(struct df_view *view, struct df_known **out, const struct df_known_key *key,
                        int64_t size, size_t row_bytes)
{
    struct df_known *known;
    *out = NULL;
    DF_TRY(df_alloc(&known, 1, sizeof *known));
    *known = (struct df_known){.next = view->known,
                               .score = key->score,
                               .labelled = key->labelled,
                               .own = key->own,
                               .size = size,
                               .row_bytes = row_bytes};
    view->known = known;
    dfal_status status = key->node ? df_strdup(&known->node, key->node) : DFAL_OK;
    if (status == DFAL_OK)
        status = df_alloc(&known->values, df_view_rows_of(view, key), row_bytes);
    if (status != DFAL_OK)
        df_view_drop(view);
    else
        *out = known;
    return status;
}

dfal_status df_view_own_scores(struct df_view *view, double **scores, bool *known)
{
    const struct df_known_key key = {.own = true};
    struct df_known *found = df_view_find(view, &key);
    *known = found != NULL;
    *scores = NULL;
    if (!found)
        DF_TRY(df_view_add(view, &found, &key, 1, sizeof **scores));
    *scores = found->values;
    return DFAL_OK;
}

void df_view_drop(struct df_view *view)
{
    struct df_known *known = view->known;
    view->known = known->next;
    df_free(known->node);
    df_free(known->values);
    df_free(known);
}
