/* SPDX-License-Identifier: Apache-2.0 */
/* The network that a job runs on the rows of a pool. */
#ifndef DF_SCORE_POOL_NETWORK_H
#define DF_SCORE_POOL_NETWORK_H

#include "base/context.h"
#include "graph/network.h"
#include "store/classes.h"
#include "store/pool.h"

/* Errors   E_SHAPE the pool's samples are not what the network, called so, expects */
dfal_status df_network_check_shape(const struct df_network *network, const struct df_pool *pool,
                                   const char *name);
/* Read a network file for a pool: a softmax that was cut off is said, another scale or offset is a warning
 * that names both, and so is another number of classes. Where both have class names they are matched: another
 * order is said, and to_pool and from_pool tell it.
 * Errors   E_SHAPE shapes differ; E_DATA other class names; E_USAGE a built-in name: it has no weights before
 *          training */
dfal_status df_network_for_pool(struct df_network **out, struct dfal_context *context, const char *name,
                                const struct df_pool *pool);
/* The same for a network whose weights will not be used: what its classes were called does not matter, and a
 * softmax that was cut off is for the caller to say. */
dfal_status df_network_shape_for_pool(struct df_network **out, struct dfal_context *context, const char *name,
                                      const struct df_pool *pool);
/* Say that a network's file had a softmax at its end, which was cut off. */
void df_say_softmax(struct dfal_context *context, const char *name, const struct df_network *network);
/* A warning where the network's file tells that rows of this very pool trained it.
 *   selects      rows are chosen, else evaluated: what the event is called
 *   consequence  what that means, behind a colon */
void df_warn_trained_on(struct dfal_context *context, const char *name, const struct df_network *network,
                        const struct df_pool *pool, bool selects, const char *consequence);
/* Names of classes as the network counts them: its own, else those of the pool it runs on; and as the pool
 * counts them: its own, else the network's. Borrowed. */
struct df_classes df_classes_of_network(const struct df_network *network, const struct df_pool *pool);
struct df_classes df_classes_of_pool(const struct df_network *network, const struct df_pool *pool);

#endif
