/* SPDX-License-Identifier: Apache-2.0 */
/* dfal run --estimate: what a run would take. */
#ifndef DFAL_ESTIMATE_TABLE_H
#define DFAL_ESTIMATE_TABLE_H

#include "command.h"

dfal_status run_estimate(struct session *session, const struct dfal_run_options *options);

#endif
