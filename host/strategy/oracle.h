/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles answer labels for rows, or E_STOPPED: not yet, as people do. */
#ifndef DF_STRATEGY_ORACLE_H
#define DF_STRATEGY_ORACLE_H

#include "store/pool.h"

struct df_oracle {
    dfal_status (*ask)(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count);
    void (*close)(struct df_oracle *self);
};
struct df_oracle_kind {
    const char *name, *summary; /* name NULL: the end of a table */
    /* pool is borrowed until the oracle is closed. */
    dfal_status (*open)(struct df_oracle **out, const struct df_pool *pool);
};
extern const struct df_oracle_kind df_oracles[];
/* Open one of a table's. Errors   E_USAGE unknown name; those of the oracle */
dfal_status df_oracle_open(struct df_oracle **out, const struct df_oracle_kind *table, const char *name,
                           const struct df_pool *pool);

#endif
