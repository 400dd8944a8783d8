/* SPDX-License-Identifier: Apache-2.0 */
/* HDF5 as the store sees it: one lock, silent error stacks, every return checked, files from strangers
 * refused before memory is taken. Internal to host/store: the only headers that show hid_t.
 *
 * Every function below demands the lock (df_h5_lock), which is not recursive: public functions of the store
 * take it, nothing under them does. */
#ifndef DF_STORE_HDF5_FILE_H
#define DF_STORE_HDF5_FILE_H

#include "base/file_mark.h"
#include "store/hdf5_api.h"

/* A file open for reading (temporary NULL) or being written beside its target. */
struct df_h5 {
    char *path;                  /* as the caller named it: stands in every message */
    char *temporary;             /* NULL: opened for reading */
    hid_t file;                  /* -1: none */
    int fd;                      /* of the temporary; -1: none */
    hid_t access;                /* link access: external links are refused */
    int64_t size;                /* bytes of the file on disk when it was opened */
    bool plugins;                /* filter plugins are allowed */
    struct df_h5_source *source; /* what the driver knows of a file that is read; NULL: one that is written */
    bool external;               /* an external link was met (set by HDF5's call back) */
    bool replace;                /* publishing may replace a file */
    struct df_file_mark mark;    /* of a file opened for reading */
};

enum df_h5_kind { DF_H5_INTEGER, DF_H5_REAL, DF_H5_TEXT, DF_H5_OTHER };
enum { DF_H5_MAX_RANK = 8 };

/* An open dataset whose stored bytes are known to be there. */
struct df_h5_data {
    hid_t id; /* -1: none */
    char *name;
    int32_t rank;
    int64_t dims[DF_H5_MAX_RANK];
    enum df_h5_kind kind;
    size_t type_size; /* bytes an element */
    bool is_unsigned;
    int64_t chunk_rows;            /* 0: contiguous */
    size_t stored_size;            /* ... in the file: another number for texts of variable length */
    int64_t cache_bytes;           /* limit of HDF5's cache of unpacked chunks; 0: none */
    struct df_h5_packing *packing; /* its chunks; NULL: it has none, or is written */
};

void df_h5_lock(void);
void df_h5_unlock(void);

/* Fail with the innermost line of HDF5's error stack behind the sentence. */
dfal_status df_h5_fail(dfal_status status, const char *format, ...) DFAL_PRINTF(2, 3);

/* E_IO when the medium failed in the last read, E_MEMORY when memory did, E_DATA when the file is to
 * blame. */
dfal_status df_h5_blame(const struct df_h5 *h5);

/* Zeroed structs are closed by the close functions without harm, so a caller may close in every case. */
#define DF_H5_NONE    ((struct df_h5){.file = -1, .fd = -1, .access = -1})
#define DF_H5_NO_DATA ((struct df_h5_data){.id = -1})
/* HDF5's cache of chunks: slots, and a policy that evicts what was read, too. A policy of 1 would never evict
 * a chunk that was read in part: the cache would grow to the whole pool. */
enum { DF_H5_CACHE_SLOTS = 521 };
#define DF_H5_CACHE_POLICY 0.75

/* Open for reading.
 * Errors   E_NOINPUT missing; E_DATA a folder, empty, not HDF5, truncated; E_IO locked or unreadable */
dfal_status df_h5_open(struct df_h5 *h5, const char *path, bool plugins);
/* Whether a file that is read is still the one that was opened: to be asked when the last byte is in memory,
 * and every now and then before. Errors   E_IO shorter, written to, replaced, removed */
dfal_status df_h5_unchanged(const struct df_h5 *h5);
/* The same of a file that was read in one go, unless that failed already; then close it. */
dfal_status df_h5_read_end(struct df_h5 *h5, dfal_status status);
/* Create a temporary beside path, locked until it is closed. force: it may replace a file. Errors   E_EXISTS;
 * E_IO */
dfal_status df_h5_create(struct df_h5 *h5, const char *path, bool force);
/* Flush, close, and look at the closed file again (a full disk is not told by closing): the temporary is
 * ready to be published. Datasets must be closed before. */
dfal_status df_h5_seal(struct df_h5 *h5);
/* Seal, fsync, give it its name. On error nothing is at the target that was not there before. HDF5's lock is
 * let go while the disk works, the file's own is not. Errors   E_EXISTS a file has appeared meanwhile and
 * force was off */
dfal_status df_h5_publish(struct df_h5 *h5);
/* Whether all that HDF5 has written so far is on the disk. Errors   E_IO "a.h5: write failed: No space
 * left" */
dfal_status df_h5_written(const struct df_h5 *h5);
/* Close what is open; an unpublished temporary is removed. */
void df_h5_close(struct df_h5 *h5);

/* Root attribute "format": "" when there is none or it is no string. Errors   E_IO */
dfal_status df_h5_format(const struct df_h5 *h5, char format[32]);
/* Demand format and version 1. Errors   E_DATA "a.h5 is a dfal network, expected a dfal pool" */
/* What a file without a format is of, and what to do about it; NULL: not known. */
const char *df_h5_foreign(const struct df_h5 *h5);
dfal_status df_h5_expect(const struct df_h5 *h5, const char *format);
/* Write format, version = 1, created. */
dfal_status df_h5_stamp(struct df_h5 *h5, const char *format);

/* Attributes of the root group (object is h5->file) or of a dataset. Texts are variable-length UTF-8, so that
 * their length has no limit of 64 KiB. */
dfal_status df_h5_put_text(const struct df_h5 *h5, hid_t object, const char *name, const char *text);
dfal_status df_h5_put_texts(const struct df_h5 *h5, hid_t object, const char *name, const char *const *texts,
                            int64_t count);
/* rank0: a scalar, else [count]. */
dfal_status df_h5_put_ints(const struct df_h5 *h5, hid_t object, const char *name, const int64_t *values,
                           int64_t count, bool rank0);
dfal_status df_h5_put_reals(const struct df_h5 *h5, hid_t object, const char *name, const double *values,
                            int64_t count);
/* A seed: all 64 bits, unsigned. */
dfal_status df_h5_put_seed(const struct df_h5 *h5, uint64_t seed);
dfal_status df_h5_get_seed(const struct df_h5 *h5, uint64_t *seed);
/* Read; *text NULL or *count 0: there is no such attribute. Any string kind, any integer or float width.
 * Errors   E_DATA of another kind, longer than limit; E_IO */
dfal_status df_h5_get_text(const struct df_h5 *h5, hid_t object, const char *name, char **text);
dfal_status df_h5_get_ints(const struct df_h5 *h5, hid_t object, const char *name, int64_t *values,
                           int32_t limit, int32_t *count);
dfal_status df_h5_get_reals(const struct df_h5 *h5, hid_t object, const char *name, double *values,
                            int32_t limit, int32_t *count);
/* A text that fits a fixed buffer, "" when missing. */
dfal_status df_h5_get_short(const struct df_h5 *h5, const char *name, char *text, size_t size);
/* One integer of the root group. Errors   E_DATA missing, or out of low..high */
dfal_status df_h5_get_one(const struct df_h5 *h5, const char *name, int64_t *value, int64_t low,
                          int64_t high);

/* Does every link of a path exist? Errors   E_DATA through an external link, damaged; E_IO */
dfal_status df_h5_exists(struct df_h5 *h5, const char *name, bool *found);
/* Name each dataset under a group, in order, by its path from there; false: enough. Nothing happens without
 * the group. The function may not fail: it keeps its own status.
 * Errors   E_DATA damaged, or too large or deep to be walked; E_IO */
typedef bool df_h5_visit_fn(void *user, const char *name);
dfal_status df_h5_visit(struct df_h5 *h5, const char *group, df_h5_visit_fn *visit, void *user);
/* Has the root group such an attribute? */
dfal_status df_h5_has(const struct df_h5 *h5, const char *name, bool *there);
/* Open a dataset: refuses external storage, external links, virtual datasets, unknown filters and declared
 * sizes that the file does not hold. found NULL: a missing one is E_DATA. */
dfal_status df_h5_data_open(struct df_h5 *h5, const char *name, struct df_h5_data *data, bool *found);
/* Create; chunk_rows 0: contiguous. fill NULL: zero. Missing groups on the way are made. */
dfal_status df_h5_data_create(struct df_h5 *h5, const char *name, hid_t type, int32_t rank,
                              const int64_t *dims, int64_t chunk_rows, const void *fill,
                              struct df_h5_data *data);
/* Rows [begin, begin + count) of dimension 0 (a scalar: 0, 1) as elements of the memory type. */
dfal_status df_h5_data_read(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type, int64_t begin,
                            int64_t count, void *buffer);
dfal_status df_h5_data_write(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type, int64_t begin,
                             int64_t count, const void *buffer);
dfal_status df_h5_data_close(const struct df_h5 *h5, struct df_h5_data *data);
/* Whole one-dimensional dataset written at once. */
dfal_status df_h5_data_put(struct df_h5 *h5, const char *name, hid_t file_type, hid_t memory_type,
                           int32_t rank, const int64_t *dims, const void *buffer);
/* Strings of any kind, rows [begin, begin + count), each a fresh string. */
dfal_status df_h5_texts_read(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                             int64_t count, char **texts);
dfal_status df_h5_texts_create(struct df_h5 *h5, const char *name, int64_t count, struct df_h5_data *data);
dfal_status df_h5_texts_write(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                              int64_t count, const char *const *texts);
/* A whole list of strings written at once; texts NULL: no dataset. */
dfal_status df_h5_texts_put(struct df_h5 *h5, const char *name, int64_t count, const char *const *texts);
/* A scalar string dataset. Errors   E_DATA missing, not a scalar string, longer than 64 MiB */
dfal_status df_h5_put_document(struct df_h5 *h5, const char *name, const char *text);
dfal_status df_h5_get_document(struct df_h5 *h5, const char *name, char **text);
/* Integers of any integer or float width as int64: a value with a fraction is E_DATA with its row. */
dfal_status df_h5_ints_read(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                            int64_t count, int64_t *values);
/* "[60000, 1, 28, 28]" for messages. */
enum { DF_H5_SHAPE_TEXT = 128 };
const char *df_h5_shape(char text[DF_H5_SHAPE_TEXT], const int64_t *dims, int32_t rank);

#endif
