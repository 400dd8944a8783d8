/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration: taken or refused with a sentence; what is taken prints itself canonically. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "memory_file.h"
#include "run/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_file file;
    struct df_run_config config;
    struct dfal_run_options options;
    struct dfal_context_options flags;
    int64_t live = df_alloc_live();
    memory_file_open(&file, data, size);
    dfal_run_options_init(&options);
    dfal_context_options_init(&flags);
    memset(&config, 0, sizeof config);
    options.config_path = file.path;
    if (df_run_config_load(&config, &options, &flags) == DFAL_OK) {
        char *yaml = NULL;
        if (df_run_config_yaml(&yaml, &config) != DFAL_OK || !yaml)
            abort();
        df_free(yaml);
    } else if (!dfal_last_error()[0]) {
        abort();
    }
    memory_file_close(&file);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
