/* SPDX-License-Identifier: Apache-2.0 */
/* k-center of k_center.h on a device. */
#ifndef DF_STRATEGY_K_CENTER_DEVICE_H
#define DF_STRATEGY_K_CENTER_DEVICE_H

#include "strategy/device_choice.h"
#include "strategy/k_center.h"

/* What df_k_center_greedy chooses, to the bit.
 * Memory   of the device 4 D + 8 bytes a row; of the host 16 bytes a row, and 64 more while rows are sent
 * Errors   E_MEMORY one of them has not as much; E_STOPPED */
dfal_status df_k_center_on_device(struct df_device *device, const struct df_k_center_among *among, int64_t q,
                                  struct df_choices *choices);
/* Collective. What df_k_center_over_ranks chooses, to the bit, which may have the rows of other ranks.
 * Errors   E_MEMORY where nothing has begun: df_k_center_over_ranks may be called instead */
dfal_status df_k_center_on_devices(struct df_comm *comm, struct df_device *device,
                                   const struct df_k_center_among *among, int64_t q,
                                   struct df_choices *choices, bool *begun);
/* The same where it is fastest: on the view's device if that is wide and has the memory. Collective where the
 * view is a part, and a choice's candidate its row of the pool then. */
dfal_status df_k_center_choose(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                               struct df_choices *choices);

#endif
