/* SPDX-License-Identifier: Apache-2.0 */
/* What another framework computed: inputs, logits and activations to hold a network against (docs/FORMATS.md,
 * "Reference"). The file is a stranger's: every dataset is opened by the store's guarded functions. */
#ifndef DF_STORE_REFERENCE_H
#define DF_STORE_REFERENCE_H

#include "tensor/tensor.h"

/* One dataset of /activations. */
struct df_reference_node {
    char *node;    /* as dfal calls it: attribute `node`, else the dataset's path with '.' for '/' */
    char *dataset; /* path in the file */
    int64_t size;  /* values of a sample */
    int32_t rank;
    int64_t dims[8];
};

struct df_reference {
    char *path;
    int64_t count; /* N */
    int32_t class_count;
    double *logits;        /* [N, K], finite */
    int64_t *index;        /* [N] rows of the pool */
    bool has_index;        /* else 0..N-1 was filled in */
    struct df_shape input; /* of /inputs; c 0: there are none */
    struct df_reference_node *nodes;
    int32_t node_count;
    struct df_reference_file *file;
};

/* Open and read all but the large arrays.
 * Errors   E_NOINPUT; E_DATA not HDF5, no /logits, wrong types, values that are not finite, probabilities,
 *          two activations of one node, external links and storage; E_SHAPE ranks and lengths that do not
 *          fit */
dfal_status df_reference_open(struct df_reference **out, const char *path);
void df_reference_close(struct df_reference *reference);
/* Rows [begin, begin + count) of /inputs (node -1) or of an activation, as float32.
 * Errors   E_DATA a value that is not finite, named by its sample; E_IO */
dfal_status df_reference_read(const struct df_reference *reference, int32_t node, float *values,
                              int64_t begin, int64_t count);

#endif
