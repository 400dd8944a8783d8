/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's sbatch, called without a shell. */
#ifndef DFAL_TOOLS_SBATCH_H
#define DFAL_TOOLS_SBATCH_H

#include "command.h"

/* Hand a job file to Slurm; what sbatch has to say goes to stderr. after 0: the job waits for nobody, else
 * for that job to end well, and it is cancelled where that one does not. Errors   E_UNAVAILABLE there is no
 * sbatch, or it refuses the file */
dfal_status sbatch(int64_t *job, const char *path, int64_t after);

#endif
