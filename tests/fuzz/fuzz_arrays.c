/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: what the rest is said to be: an npy file, one with labels, an npz archive, a CIFAR-10 batch,
 * the drawings of each of two classes. A pool appears or a sentence says why not. */
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLASSES = 16 };

static dfal_status import(dfal_context *context, const char *out, unsigned kind, const char *whole,
                          const char *first, const char *second)
{
    const struct dfal_pool_options options = {.layout = kind & 8 ? "NHWC" : NULL};
    const char *const batches[1] = {whole}, *const classes[2] = {whole, first};
    if (kind & CLASSES)
        return dfal_import_classes(context, out, "quickdraw", classes, 2, kind & 8 ? "test" : NULL, NULL);
    switch (kind % 4) {
    case 0:
        return dfal_import_npy(context, out, whole, NULL, &options);
    case 1:
        return dfal_import_npy(context, out, first, second, &options);
    case 2:
        return dfal_import_npz(context, out, whole, &options);
    default:
        return dfal_import_cifar10(context, out, batches, 1, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct memory_file whole, first, second;
    size_t half = 1 + (size - 1) / 2;
    char out[64];
    struct dfal_context_options options;
    dfal_context *context = NULL;
    int64_t live = df_alloc_live();
    snprintf(out, sizeof out, "/dev/shm/dfal-fuzz-arrays-%d.h5", (int)getpid());
    dfal_context_options_init(&options);
    options.force = true;
    if (dfal_context_create(&context, &options) != DFAL_OK)
        abort();
    memory_file_open(&whole, data + 1, size - 1);
    memory_file_open(&first, data + 1, data[0] & CLASSES ? size - 1 : half - 1);
    memory_file_open(&second, data + half, size - half);
    dfal_status status = import(context, out, data[0], whole.path, first.path, second.path);
    if ((status == DFAL_OK) != df_file_exists(out) || (status != DFAL_OK && !dfal_last_error()[0]))
        abort();
    unlink(out);
    memory_file_close(&whole);
    memory_file_close(&first);
    memory_file_close(&second);
    dfal_context_destroy(context);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
