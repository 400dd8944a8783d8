/* SPDX-License-Identifier: Apache-2.0 */
/* dfal bench train. */
#ifndef DFAL_TOOLS_BENCH_TRAINING_H
#define DFAL_TOOLS_BENCH_TRAINING_H

#include "command.h"

/* Behind a first epoch that warms up, so many are timed. The options' epochs are set here. */
dfal_status bench_train(struct session *session, const char *network, const char *pool, int32_t repeat,
                        struct dfal_train_options *options);

#endif
