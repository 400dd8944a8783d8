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
/* The same where it is fastest: on the view's device if that is wide and has the memory. */
dfal_status df_k_center_choose(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                               struct df_choices *choices);

#endif
