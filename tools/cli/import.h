/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `dfal import` share: its options, and a row a kind of source. */
#ifndef DFAL_TOOLS_IMPORT_H
#define DFAL_TOOLS_IMPORT_H

#include "command.h"

struct import_args {
    const char *out;
    struct dfal_image_options images; /* of onnx its class_names */
    const char *resize;               /* as written: PIXELS, or H,W */
    const char *mean, *std;           /* as written: R,G,B */
    struct dfal_pool_options pool;    /* npy, npz: names and layout */
    const char *split;                /* cifar10 */
};

/* A word behind `import`: operands are counted without it. */
struct import_source {
    const char *name, *operands;
    int32_t least, most;
    dfal_status (*run)(struct session *session, struct import_args *args, const char *const *operands,
                       int32_t count);
};

/* import_images.c */
dfal_status import_images(struct session *session, struct import_args *args, const char *const *operands,
                          int32_t count);

/* import_arrays.c */
dfal_status import_npy(struct session *session, struct import_args *args, const char *const *operands,
                       int32_t count);
dfal_status import_npz(struct session *session, struct import_args *args, const char *const *operands,
                       int32_t count);
dfal_status import_cifar10(struct session *session, struct import_args *args, const char *const *operands,
                           int32_t count);

#endif
