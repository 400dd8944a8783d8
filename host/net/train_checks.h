/* SPDX-License-Identifier: Apache-2.0 */
/* What a training is refused for before it begins. For training.c only. */
#ifndef DF_NET_TRAIN_CHECKS_H
#define DF_NET_TRAIN_CHECKS_H

#include "base/status.h"

struct df_network;
struct df_training_options;
struct df_training_set;

/* Errors   E_USAGE options; E_DATA no rows, a label out of range; E_SHAPE rows or shifts do not fit the
 * network's input */
dfal_status df_train_check(const struct df_network *network, const struct df_training_set *set,
                           const struct df_training_options *options);

#endif
