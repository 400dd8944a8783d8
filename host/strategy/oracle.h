/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles answer labels for rows, or E_STOPPED: not yet, as people do. */
#ifndef DF_STRATEGY_ORACLE_H
#define DF_STRATEGY_ORACLE_H

#include "store/pool.h"

struct df_oracle {
    dfal_status (*ask)(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count);
    void (*close)(struct df_oracle *self);
};
/* Knows the labels of the pool. */
dfal_status df_oracle_simulated(struct df_oracle **out, const struct df_pool *pool);

#endif
