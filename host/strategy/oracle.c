/* SPDX-License-Identifier: Apache-2.0 */
/* The oracles of this build. */
#include "strategy/oracle.h"

#include <string.h>

#include "base/memory.h"
#include "base/word.h"

/* ---- simulated: it knows the labels of the pool -------------------------------------------------------- */

struct simulated {
    struct df_oracle oracle;
    const struct df_pool *pool;
};

static dfal_status ask(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count)
{
    const struct df_pool *pool = ((const struct simulated *)self)->pool;
    for (int64_t i = 0; i < count; i++) {
        if (rows[i] < 0 || rows[i] >= pool->count)
            DF_FAIL(DFAL_E_INTERNAL, "%s: the oracle was asked for row %lld of %lld", pool->path,
                    (long long)rows[i], (long long)pool->count);
        labels[i] = pool->labels[rows[i]];
        if (labels[i] < 0)
            DF_FAIL(DFAL_E_DATA, "%s: row %lld has label -1, expected a known label for the simulated oracle",
                    pool->path, (long long)rows[i]);
    }
    return DFAL_OK;
}

static void close_simulated(struct df_oracle *self)
{
    df_free(self);
}

static dfal_status open_simulated(struct df_oracle **out, const struct df_pool *pool)
{
    struct simulated *simulated = NULL;
    *out = NULL;
    if (!pool->labels)
        DF_FAIL(DFAL_E_DATA,
                "%s: the pool has no labels, expected /labels or a label file for the simulated oracle",
                pool->path);
    DF_TRY(df_alloc(&simulated, 1, sizeof *simulated));
    simulated->oracle.ask = ask;
    simulated->oracle.close = close_simulated;
    simulated->pool = pool;
    *out = &simulated->oracle;
    return DFAL_OK;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

const struct df_oracle_kind df_oracles[] = {
    {"simulated", "knows the labels of the pool", open_simulated},
    {0},
};

dfal_status df_oracle_open(struct df_oracle **out, const struct df_oracle_kind *table, const char *name,
                           const struct df_pool *pool)
{
    enum { MOST = 16 };
    const char *names[MOST];
    size_t count = 0;
    *out = NULL;
    for (const struct df_oracle_kind *kind = table; kind->name; kind++) {
        if (!strcmp(kind->name, name))
            return kind->open(out, pool);
        if (count < MOST)
            names[count++] = kind->name;
    }
    return df_fail_unknown(DFAL_E_USAGE, "oracle", name, NULL, names, count);
}
