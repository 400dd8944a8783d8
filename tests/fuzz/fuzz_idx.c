/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: how the input is cut into images and labels. A pool appears or a sentence says why not. */
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t cut = 1 + (size - 1) * data[0] / 255;
    struct memory_file images, labels;
    char out[64];
    struct dfal_context_options options;
    dfal_context *context = NULL;
    int64_t live = df_alloc_live();
    snprintf(out, sizeof out, "/dev/shm/dfal-fuzz-%d.h5", (int)getpid());
    dfal_context_options_init(&options);
    options.force = true;
    if (dfal_context_create(&context, &options) != DFAL_OK)
        abort();
    memory_file_open(&images, data + 1, cut - 1);
    memory_file_open(&labels, data + cut, size - cut);
    dfal_status status = dfal_import_idx(context, out, images.path, data[0] == 255 ? NULL : labels.path);
    if ((status == DFAL_OK) != df_file_exists(out) || (status != DFAL_OK && !dfal_last_error()[0]))
        abort();
    unlink(out);
    memory_file_close(&images);
    memory_file_close(&labels);
    dfal_context_destroy(context);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
