/* SPDX-License-Identifier: Apache-2.0 */
/* What a run writes into its directory: no input may be among it, and all of it can be removed again. */
#ifndef DF_RUN_DIRECTORY_FILES_H
#define DF_RUN_DIRECTORY_FILES_H

#include "base/claim.h"

#define DF_RUN_LOG "log.jsonl"
/* None of the inputs is a file that a run in dir replaces or removes. Errors   E_USAGE both are named */
dfal_status df_run_directory_apart(const char *dir, bool force, const char *const *inputs, int32_t count);
/* What is read of a run directory is no output of the claim. */
dfal_status df_run_directory_inputs(const struct df_claim *claim, const char *dir);
/* Remove what a run writes, and nothing else that somebody may have put beside it. The log is the lock: it is
 * emptied, and stays. */
dfal_status df_run_files_clear(const char *dir, int log);
/* What a run that is finished could not remove: nobody writes there again. */
void df_run_files_sweep(const char *dir);
/* Is there nothing else? Errors   E_EXISTS names it */
dfal_status df_run_files_alone(const char *dir);

#endif
