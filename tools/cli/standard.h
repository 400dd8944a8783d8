/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams of the command: closed ones, and readers that go away. */
#ifndef DFAL_TOOLS_STANDARD_H
#define DFAL_TOOLS_STANDARD_H

#include <stdbool.h>

/* First of all: no file is to get the number of a closed descriptor 0, 1 or 2, and a job is not to die in the
 * middle because nobody reads its messages any more. */
void standard_begin(void);
/* Last of all: false where results did not reach stdout. Dies by SIGPIPE, as other commands do, where its
 * reader is gone. */
bool standard_end(void);
/* Die by the signal, so that a shell and a scheduler see it. */
void die_by(int number);

#endif
