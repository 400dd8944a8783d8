/* SPDX-License-Identifier: Apache-2.0 */
/* dfal bench ops. */
#ifndef DFAL_TOOLS_BENCH_OPS_H
#define DFAL_TOOLS_BENCH_OPS_H

#include "command.h"

/* network NULL: lenet5, then vgg8. samples 0: as many as the back end likes. */
dfal_status bench_ops(struct session *session, const char *network, int64_t samples, int32_t repeat);

#endif
