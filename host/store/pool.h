/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: HDF5 files of samples (docs/FORMATS.md, "Pool"). Opened read-only; HDF5 is called under one lock. */
#ifndef DF_STORE_POOL_H
#define DF_STORE_POOL_H

#include "base/context.h"
#include "base/digest.h"
#include "tensor/tensor.h"

enum df_raw_type { DF_RAW_U8, DF_RAW_F32 };

struct df_pool {
    char *path;
    int64_t count; /* N */
    struct df_shape shape;
    enum df_raw_type raw;
    int32_t class_count;    /* 0: the file does not tell (foreign, without labels and class names) */
    bool counted_classes;   /* class_count is the largest label + 1: further label files may raise it */
    double *scale, *offset; /* [affine_count]: 1 or C */
    int32_t affine_count;
    int32_t *labels;  /* [N], -1 unknown; NULL: the pool has none and no label file was laid over it */
    uint8_t *skipped; /* [N] 1: a label file says skip; NULL: none */
    int64_t
        label_conflicts;  /* lines of label files that contradict an earlier one (df_labels_warn says so) */
    char *label_conflict; /* the first of them as a sentence; NULL: none */
    char **classes;       /* [class_count] or NULL */
    bool has_ids;         /* else ids are made up from fingerprint and row */
    char fingerprint[DF_DIGEST_TEXT];
    struct df_pool_file *file; /* store/pool.c's own */
    bool looks_like_nhwc;      /* a foreign file, no layout was given, and it seems to be the other one */
    /* what df_labels_warn says of label files */
    int64_t label_blanks; /* lines without a label, passed over */
    char *label_blank;    /* the first of them, "FILE:LINE"; NULL: none */
    char *label_nothing;  /* the first file that says nothing of any row, as a sentence; NULL: none */
    struct df_resident_pool *resident; /* its rows on devices (score/resident_pool.h); NULL: they are
                                              * read. Of whoever put them there */
};

/* A caller's options as this version knows them; NULL: the defaults. Errors   E_USAGE */
dfal_status df_pool_options_take(struct dfal_pool_options *own, const struct dfal_pool_options *given);
/* Open a pool: dfal's own or a foreign HDF5 file (no attribute "format") with samples [N,C,H,W], [N,H,W] or
 * [N,D]; options NULL: the defaults; context NULL: nothing stops it. Nothing the file declares is believed
 * before its bytes are known to be there.
 * Errors   E_NOINPUT missing; E_DATA not HDF5, another kind of file, truncated, samples never written,
 *          external storage or links, filter plugins, a label out of range (row and value named), no sample,
 *          one class, a label file's unknown id or class (file and line named); E_SHAPE; E_IO; E_STOPPED */
dfal_status df_pool_open(struct df_pool **out, const dfal_context *context, const char *path,
                         const struct dfal_pool_options *options);
void df_pool_close(struct df_pool *pool);
size_t df_pool_row_bytes(const struct df_pool *pool);
/* Bytes that HDF5's chunk cache takes once rows are read. */
int64_t df_pool_cache_bytes(const struct df_pool *pool);
/* Whether the file is still the one that was opened; every read below asks that when it is done. Thread-safe.
 * Errors   E_IO */
dfal_status df_pool_unchanged(struct df_pool *pool);
/* Read raw rows [begin, end) in NCHW order into buffer (native u8 or f32). Thread-safe. */
dfal_status df_pool_read(struct df_pool *pool, void *buffer, int64_t begin, int64_t end);
/* Read the rows of a list, any order. Thread-safe. */
dfal_status df_pool_gather(struct df_pool *pool, void *buffer, const int64_t *rows, int64_t count);
/* x = (float)(raw * scale + offset), computed in double: what the network sees. */
void df_pool_decode(const struct df_pool *pool, float *x, const void *raw, int64_t rows);
/* Of a pool of bytes: these for the 256 values of a channel. */
const float *df_pool_table(const struct df_pool *pool, int64_t channel);
/* Id of a row into a fresh string (df_free); ids of rows [begin, begin + count), each a fresh string, NULL
 * each where that fails. */
dfal_status df_pool_id(struct df_pool *pool, char **id, int64_t row);
dfal_status df_pool_ids(struct df_pool *pool, char **ids, int64_t begin, int64_t count);
/* Whether it is the id of a row of a pool of this fingerprint that has no ids of its own. */
bool df_id_is_made(const char *id, const char *fingerprint, int64_t row);
/* Row of an id, -1: none. Builds an index on first use, 36 bytes a row. Errors   E_DATA an id stands in two
 * rows, or is empty */
dfal_status df_pool_find(struct df_pool *pool, int64_t *row, const char *id);
/* The id most like a text, in a fresh string; NULL: none is. Looks at the first million ids; of ids that were
 * made up, none. */
dfal_status df_pool_nearest(struct df_pool *pool, char **id, const char *text);

/* Write a pool from scratch: create, rows in order, end publishes (temporary, flush, fsync, rename). */
struct df_pool_writer;
struct df_pool_spec {
    int64_t count;
    struct df_shape shape;
    enum df_raw_type raw;
    int32_t class_count;          /* at least 2; 0: unknown, only without labels and classes */
    const double *scale, *offset; /* NULL: the default of the raw type */
    int32_t affine_count;
    bool has_labels;
    const char *const *ids;     /* [count] or NULL */
    const char *const *classes; /* [class_count] or NULL */
};
dfal_status df_pool_create(struct df_pool_writer **out, const char *path, const struct df_pool_spec *spec,
                           bool force);
/* labels: [rows], NULL where the spec has none. Errors   E_DATA a label out of range; E_IO; E_INTERNAL too
 * many rows */
dfal_status df_pool_append(struct df_pool_writer *writer, const void *raw, const int32_t *labels,
                           int64_t rows);
dfal_status df_pool_finish(struct df_pool_writer *writer); /* frees the writer in every case */
void df_pool_abandon(struct df_pool_writer *writer);       /* removes the temporary; NULL is fine */

#endif
