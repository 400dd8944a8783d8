/* SPDX-License-Identifier: Apache-2.0 */
/* Scores files (docs/FORMATS.md, "Scores"): the rows that DeepFool gives, with names for their columns. */
#ifndef DF_STORE_SCORES_H
#define DF_STORE_SCORES_H

#include "store/row_file.h"

extern const struct df_rows_kind df_scores_kind;

/* X(name of the column, C type, type in the file, fill value) */
#define DF_SCORES_COLUMN_LIST(X)                                                                             \
    X(margin, float, F32, NAN)                                                                               \
    X(status, uint8_t, U8, 255)                                                                              \
    X(label, int32_t, I32, -1)                                                                               \
    X(adversarial_class, int32_t, I32, -1)                                                                   \
    X(iterations, uint16_t, U16, 0)                                                                          \
    X(first_margin, float, F32, NAN)                                                                         \
    X(logit_gap, float, F32, NAN)
enum df_scores_column {
#define X(field, type, file, fill) DF_SCORES_##field,
    DF_SCORES_COLUMN_LIST(X)
#undef X
        DF_SCORES_COLUMN_COUNT
};

/* The same rows twice: as columns of a kind, and by their names. */
struct df_scores {
    union {
        struct df_rows rows;
        struct {
            DF_ROWS_FIELDS
#define X(field, type, file, fill) type *field; /* [count] */
            DF_SCORES_COLUMN_LIST(X)
#undef X
        };
    };
};
dfal_status df_scores_alloc(struct df_scores *scores, int64_t count);
void df_scores_clear(struct df_scores *scores);
/* Rows of this kind by their names; what they point to stays theirs. */
struct df_scores df_scores_of(const struct df_rows *rows);

/* Read the head and some of the columns, a set of bits 1 << the column to which the status is added; not the
 * ids, which take several times the memory of the numbers.
 * Errors   E_DATA truncated, foreign or not complete */
dfal_status df_scores_read_columns(const char *path, struct df_rows_head *head, unsigned columns,
                                   struct df_scores *scores);

/* How many adversarial images were asked for: not compared, a continued job may ask for another number. */
dfal_status df_scores_asked(struct df_rows_reader *reader, int64_t *asked);
/* Rows of the pool that have an adversarial image, in the file's order (fresh, df_free); count 0: none
 * have. */
dfal_status df_scores_image_rows(struct df_rows_reader *reader, int64_t **rows, int64_t *count,
                                 struct df_shape *shape);
/* Some of those images, numbered from 0, each to its place [C, H, W]. Errors   E_IO the file has others
 * now */
dfal_status df_scores_images(struct df_rows_reader *reader, struct df_shape shape, const int64_t *images,
                             float *const *places, int64_t count);
/* /adversarial/samples [q, C, H, W] f32 and /adversarial/index [q] i64, rows in rank order. */
dfal_status df_scores_put_images(struct df_rows_writer *writer, const float *samples, const int64_t *index,
                                 int64_t q, struct df_shape shape);
dfal_status df_scores_put_asked(struct df_rows_writer *writer, int64_t asked);
/* Cut results down to those of ascending rows. Errors   E_INTERNAL a row has none */
dfal_status df_scores_keep(struct df_scores *scores, const int64_t *rows, int64_t n);

#endif
