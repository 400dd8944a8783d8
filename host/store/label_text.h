/* SPDX-License-Identifier: Apache-2.0 */
/* What a label that somebody wrote as text says: the same in label files and in lists of pictures. */
#ifndef DF_STORE_LABEL_TEXT_H
#define DF_STORE_LABEL_TEXT_H

#include "base/text.h"
#include "store/classes.h"

enum df_label_form {
    DF_LABEL_NONE, /* empty, or how pandas writes what is missing: nan (any case), <NA> */
    /* 0 to 9,999,999 without zeros in front, or -1; also "3.0", as pandas writes a column with gaps */
    DF_LABEL_NUMBER,
    DF_LABEL_CODE, /* other digits: "007" */
    DF_LABEL_NAME,
};
/* Bytes of the whole number before ".0" in a text such as "12.0" or "-1.00"; 0: it is no such text. */
size_t df_label_whole(const char *text);
/* number NULL or where a DF_LABEL_NUMBER goes */
enum df_label_form df_label_form(const char *text, int32_t *number);

/* QUERIES.csv puts a ' before a text that a spreadsheet would take for a formula, and before one that could
 * be taken for such: df_text_csv. */
bool df_label_is_guarded(const char *text);

/* Classes by name and number. */
struct df_class_table {
    char *const *names; /* [count] borrowed; NULL: numbers alone */
    int32_t count;
    struct df_class_index index;
    /* a name is the number of another class: then a number is a place only where a class has no name of its
     * own */
    bool numbered;
};
dfal_status df_class_table_make(struct df_class_table *table, char *const *names, int32_t count);
void df_class_table_clear(struct df_class_table *table);

enum { DF_LABEL_MISSING = -2 };
/* A label by class name, with or without the guard; else by number; -1 unknown, DF_LABEL_MISSING: none is
 * given.
 *   most   numbers are below it; 0: names alone
 * Errors   E_DATA unknown class, nearest named: the reason without file and line */
dfal_status df_label_read(int32_t *label, const struct df_class_table *table, const char *text, int32_t most);

/* A line of a label file: id, the class by its name, or by its number where it has none or one that means
 * a class before it; and who says so, annotator NULL: the file has no such column. names [count] or NULL. */
void df_label_line(struct df_text *text, const char *id, char *const *names, int32_t label,
                   const char *annotator);

#endif
