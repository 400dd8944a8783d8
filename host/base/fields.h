/* SPDX-License-Identifier: Apache-2.0 */
/* Named values that outlive whoever told them. */
#ifndef DF_BASE_FIELDS_H
#define DF_BASE_FIELDS_H

#include "base/status.h"

/* Keys are borrowed for ever, as literals are; texts are copies. Zero-initialise; clear. */
struct df_fields {
    struct dfal_field *field; /* [count] and behind them the texts */
    int32_t count;
};
/* Keep these in the place of what is there. Errors   E_MEMORY: what is there is gone */
dfal_status df_fields_keep(struct df_fields *fields, const struct dfal_field *field, int32_t count);
void df_fields_clear(struct df_fields *fields);

#endif
