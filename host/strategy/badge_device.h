/* SPDX-License-Identifier: Apache-2.0 */
/* BADGE's choice (badge.c) on a device. */
#ifndef DF_STRATEGY_BADGE_DEVICE_H
#define DF_STRATEGY_BADGE_DEVICE_H

#include "strategy/badge_race.h"
#include "strategy/device_choice.h"

/* Choose what the host would, to the bit, from a, h, square and priority; a choice's candidate is its row of
 * the pool. Collective where the view is a part.
 * Errors   E_MEMORY the device or the host has not as much: nothing is chosen, and where no rank has heard of
 *          this one (not begun), the host may choose; E_STOPPED */
dfal_status df_badge_on_device(struct df_device *device, struct badge *badge, int64_t q, bool *begun);

#endif
