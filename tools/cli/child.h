/* SPDX-License-Identifier: Apache-2.0 */
/* Another program's output, without a shell. */
#ifndef DFAL_TOOLS_CHILD_H
#define DFAL_TOOLS_CHILD_H

#include <stddef.h>

/* Run words[0], found on the PATH, to its end; words ends with NULL. text [size] gets what it prints to
 * stdout, cut where there is no more room; its stderr goes to the descriptor `errors`, -1: it is ours.
 * *ended: its status, as waitpid tells it. Returns the errno with which it could not be started, or 0. */
int child_output(char *const *words, char *text, size_t size, int errors, int *ended);
/* "sbatch ended with exit code 1", "sbatch died by signal 9"; "" where it ended with 0. */
void child_ended(char *why, size_t size, const char *name, int ended);

#endif
