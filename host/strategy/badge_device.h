/* SPDX-License-Identifier: Apache-2.0 */
/* BADGE's choice (badge.c) on a device. */
#ifndef DF_STRATEGY_BADGE_DEVICE_H
#define DF_STRATEGY_BADGE_DEVICE_H

#include "strategy/badge_race.h"
#include "strategy/device_choice.h"

/* Choose what the host would, to the bit, from a, h, square and priority; badge->nearest holds the distances
 * then, each choice's as of when it was chosen.
 * Errors   E_MEMORY the device or the host has not as much: nothing is chosen; E_STOPPED */
dfal_status df_badge_on_device(struct df_device *device, struct badge *badge, int64_t q,
                               struct df_choices *choices);

#endif
