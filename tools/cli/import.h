/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `dfal import` share. */
#ifndef DFAL_TOOLS_IMPORT_H
#define DFAL_TOOLS_IMPORT_H

#include "print.h"

struct import_args {
    const char *source; /* the word behind `import` */
    const char *out;
    struct dfal_image_options images; /* of onnx its class_names */
    const char *resize;               /* as written: PIXELS, or H,W */
    const char *mean, *std;           /* as written: R,G,B */
    struct dfal_pool_options pool;    /* npy, npz: names and layout; shoebag: a name */
    const char *split;                /* cifar10, quickdraw, shoebag */
    json_t *result;                   /* what --json prints: the output, and what a source adds */
};

typedef dfal_status import_fn(dfal_context *context, struct import_args *args, const char *const *operands,
                              int32_t count);
import_fn import_images; /* import_images.c */

#endif
