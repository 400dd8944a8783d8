/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough of Python's pickle to read the published CIFAR batches: protocol 2 or 3; dictionaries, lists,
 * tuples, numbers, texts and numpy arrays of bytes. Nothing is ever executed: a pickle is a program, and
 * every instruction or name that those files do not use is refused by its name.
 * Source   Lib/pickletools.py of CPython */
#ifndef DF_IO_PICKLE_H
#define DF_IO_PICKLE_H

#include "base/status.h"

enum df_pickle_kind {
    DF_PICKLE_NONE,
    DF_PICKLE_BOOL,
    DF_PICKLE_INT,
    DF_PICKLE_BYTES, /* texts and bytes: borrowed from the file's bytes */
    DF_PICKLE_LIST,
    DF_PICKLE_TUPLE,
    DF_PICKLE_DICT,   /* items: key, value, key, value ... */
    DF_PICKLE_GLOBAL, /* integer: enum of the names that are known */
    DF_PICKLE_DTYPE,  /* bytes: "u1" */
    DF_PICKLE_ARRAY,  /* items: sizes; bytes: the elements, of u1; NULL before its state was set */
};
struct df_pickle_value {
    enum df_pickle_kind kind;
    int64_t integer;
    const char *bytes;
    int64_t size;
    int32_t *items; /* indices of values */
    int32_t count;
    int64_t capacity;
};
struct df_pickle {
    const char *path;
    struct df_pickle_value *values;
    int32_t count;
    int64_t capacity;
    int32_t root;
};

/* Parse bytes, which must outlive the pickle. Errors   E_DATA an instruction or a name that is not known
 * (named, with its place), truncated, more than 2^20 values; E_MEMORY */
dfal_status df_pickle_parse(struct df_pickle *pickle, const char *bytes, int64_t size, const char *path);
void df_pickle_clear(struct df_pickle *pickle);
/* Value of a key of the root dictionary, NULL: none, or the root is no dictionary. The last one of a doubled
 * key, as in Python. */
const struct df_pickle_value *df_pickle_get(const struct df_pickle *pickle, const char *key);
const struct df_pickle_value *df_pickle_item(const struct df_pickle *pickle,
                                             const struct df_pickle_value *list, int32_t i);

#endif
