/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's rows in the memory of devices, for rounds that score them again and again: what DeepFool takes
 * then are numbers of rows, and nothing is read or copied. Pools of bytes alone. */
#ifndef DF_SCORE_RESIDENT_POOL_H
#define DF_SCORE_RESIDENT_POOL_H

#include "comm/comm.h"
#include "store/pool.h"

struct df_resident_pool;

/* Are the rows bytes that take at most a quarter of what each device of a group has free? */
bool df_resident_pool_fits(struct df_device *device, const struct df_pool *pool);
/* Put all rows on each device of a group. comm NULL: this process reads them for all its devices; else rank 0
 * of comm reads them and sends them to the others' devices (comm/spans.h), one of each rank; collective.
 * Errors   E_MEMORY; those of df_pool_read and of comm */
dfal_status df_resident_pool_open(struct df_resident_pool **out, struct dfal_context *context,
                                  struct df_device *device, struct df_pool *pool, struct df_comm *comm);
/* Row i begins at byte i * df_pool_row_bytes; buffer NULL: the rows are not in this device's memory, which
 * several devices of one GPU have. resident may be NULL. */
struct df_span df_resident_pool_rows(const struct df_resident_pool *resident, const struct df_device *device);
void df_resident_pool_close(struct df_resident_pool *resident);

#endif
