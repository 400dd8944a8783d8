/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for what a benchmark makes and nobody keeps. */
#ifndef DFAL_TOOLS_BENCH_FOLDER_H
#define DFAL_TOOLS_BENCH_FOLDER_H

#include "command.h"

struct bench_folder {
    char path[32];
};
dfal_status bench_folder_make(struct bench_folder *folder);
/* With all that is in it. */
void bench_folder_remove(const struct bench_folder *folder);
/* A file of it. Returns path. */
enum { BENCH_PATH = 64 };
const char *bench_folder_file(char path[BENCH_PATH], const struct bench_folder *folder, const char *name);

#endif
