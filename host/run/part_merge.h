/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of an experiment into one run directory: what one run of all its branches would have left. */
#ifndef DF_RUN_PART_MERGE_H
#define DF_RUN_PART_MERGE_H

#include "run/rounds.h"

/* dirs [count], at least one, in any order; nothing is written into them. All is put together in OUT.merging,
 * which gets its name when it is published: killed before, the same call begins anew.
 * Errors   E_DATA a part is missing, there twice, of another cut, unfinished or torn; E_CONFIG of another
 *          configuration or identity: the first difference and both directories; E_EXISTS; E_STOPPED;
 *          E_IO */
dfal_status df_run_merge(struct dfal_context *context, const char *out_dir, const char *const *dirs,
                         int32_t count, df_run_publish_fn *publish);

#endif
