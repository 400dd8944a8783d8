/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in networks, by name: lenet5 and vgg8 of docs/NUMERICS.md (Ducoffe, Precioso 2018, section 4). */
#ifndef DF_MODELS_MODELS_H
#define DF_MODELS_MODELS_H

#include "graph/network.h"

/* Build an uninitialised network for an input and a number of classes.
 * Errors   E_USAGE unknown name (nearest named); E_SHAPE the input is too small for it */
dfal_status df_model_create(struct df_network **out, const char *name, struct df_shape input,
                            int32_t class_count);
bool df_model_exists(const char *name);
/* A bare name, without '/' or '.', has to be a model's. Errors   E_USAGE names the nearest */
dfal_status df_model_check(const char *name);
extern const char *const df_model_names[]; /* NULL-terminated */

#endif
