/* SPDX-License-Identifier: Apache-2.0 */
/* What a piece of work was made from and with: ordered keys, compared before the work is continued, joined or
 * used. A key is of the data, which shapes the result on every machine, or of the arithmetic, which shapes
 * its rounding alone: work of two arithmetics may be mixed where somebody asks for it. */
#ifndef DF_BASE_IDENTITY_H
#define DF_BASE_IDENTITY_H

#include "base/text.h"

struct df_identity_key {
    char *name, *value;
    bool arithmetic;
    bool recent; /* an earlier dfal did not write this key: where it is absent nothing is compared */
};
/* Zero-initialise. An error is kept until the identity is written or compared. */
struct df_identity {
    struct df_identity_key *keys;
    int32_t count;
    int64_t capacity;
    dfal_status status;
};
void df_identity_clear(struct df_identity *identity);
/* A key that is not there yet, of the arithmetic where df_identity_is_arithmetic says so. The value has no
 * line end. */
void df_identity_add(struct df_identity *identity, const char *name, const char *format, ...)
    DFAL_PRINTF(3, 4);
/* The key is not in work of an earlier dfal. */
void df_identity_recent(struct df_identity *identity, const char *name);
/* version, dfal_version, build, backend, engine, isa, precision, library, libraries, solver, training,
 * transfer_training. */
bool df_identity_is_arithmetic(const char *name);
/* Take a key out, if it is there. */
void df_identity_remove(struct df_identity *identity, const char *name);
/* NULL: there is no such key. */
const char *df_identity_value(const struct df_identity *identity, const char *name);

/* Lines "name: value", of an empty value "name:", and back. Errors   E_DATA a line of another form, or cut
 * short */
dfal_status df_identity_write(struct df_text *text, const struct df_identity *identity);
dfal_status df_identity_read(struct df_identity *identity, const char *text, const char *path);

/* One difference after another: keys of ours in their order, then those that only theirs has.
 * Zero-initialise. */
struct df_identity_difference {
    int32_t at;
    const char *name, *ours, *theirs; /* NULL: absent */
    bool arithmetic;
};
bool df_identity_next(struct df_identity_difference *difference, const struct df_identity *ours,
                      const struct df_identity *theirs);
/* Whether `path` was made as we would make it; the first difference is named, a long value from shortly
 * before the place where the two differ.
 *   allow_mixed  differences of the arithmetic are passed over
 *   status       of a difference: E_CONFIG where the work is unfinished
 *   hint         what to do about one, such as "; --force starts anew", or "" */
dfal_status df_identity_check(const struct df_identity *ours, const struct df_identity *theirs,
                              bool allow_mixed, dfal_status status, const char *path, const char *hint);

#endif
