/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: how many columns a model has. The rest is what somebody's solver leaves, as a solution and as a
 * log: what is read of it lies within the model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "strategy/solver_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *open_bytes(const uint8_t *data, size_t size)
{
    FILE *file = fmemopen((void *)data, size, "r");
    if (!file)
        abort();
    return file;
}

static void read_solution(const uint8_t *data, size_t size, int64_t columns)
{
    bool *chosen; /* of its own size, so that the sanitizer sees a column too many */
    int64_t ones = 0;
    if (df_alloc(&chosen, columns, sizeof *chosen) != DFAL_OK)
        abort();
    struct df_solver_solution solution = {.columns = columns, .chosen = chosen};
    FILE *file = open_bytes(data, size);
    df_solver_read_solution(&solution, file, 1 << 16);
    fclose(file);
    for (int64_t j = 0; j < columns; j++)
        ones += chosen[j];
    if (ones > solution.values || solution.fractional >= columns || solution.fractional < -1 ||
        (solution.foreign >= 0 && solution.foreign < columns) || solution.foreign < -1 ||
        solution.word > DF_WORD_SECONDS)
        abort();
    df_free(chosen);
}

static void read_log(const uint8_t *data, size_t size)
{
    struct df_solver_log log;
    FILE *file = open_bytes(data, size);
    df_solver_read_log(&log, file);
    fclose(file);
    if (!memchr(log.version, 0, sizeof log.version) || !memchr(log.last, 0, sizeof log.last) ||
        log.word > DF_WORD_SECONDS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t live = df_alloc_live();
    if (size < 2)
        return 0;
    read_solution(data + 1, size - 1, 1 + data[0]);
    read_log(data + 1, size - 1);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
