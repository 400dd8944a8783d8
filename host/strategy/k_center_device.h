/* SPDX-License-Identifier: Apache-2.0 */
/* k-center of k_center.h on a device that is wide: rows stay there, and a step is three calls. */
#ifndef DF_STRATEGY_K_CENTER_DEVICE_H
#define DF_STRATEGY_K_CENTER_DEVICE_H

#include "backend/backend.h"
#include "strategy/k_center.h"

/* What df_k_center_greedy chooses, to the bit, whatever the device.
 * Memory   of the device 4 D + 8 bytes a row; of the host 24 bytes a row, and 64 more while rows are sent
 * Errors   E_MEMORY one of them has not as much; E_STOPPED */
dfal_status df_k_center_on_device(struct df_device *device, const struct df_k_center_among *among, int64_t q,
                                  struct df_choices *choices);
/* df_k_center_greedy where it is fastest: on the view's device if that is wide and has the memory. */
dfal_status df_k_center_choose(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                               struct df_choices *choices);

#endif
