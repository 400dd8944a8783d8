/* SPDX-License-Identifier: Apache-2.0 */
/* A test of several ranks, each a process of one program under mpirun: a rank that finds something else than
 * expected says so and gives up, so that mpirun ends with its exit code 1. */
#ifndef DFAL_TESTS_EXPECT_RANKS_H
#define DFAL_TESTS_EXPECT_RANKS_H

#include <stdio.h>
#include <unistd.h>

#include "comm/comm.h"

#define EXPECT_ON(comm, condition)                                                                           \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "rank %d, line %d: expected %s; last error: %s\n", (comm)->rank, __LINE__,       \
                    #condition, dfal_last_error());                                                          \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

#endif
