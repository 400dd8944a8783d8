/* SPDX-License-Identifier: Apache-2.0 */
/* Which pictures an import takes, under which ids and with which labels. Internal to host/io. */
#ifndef DF_IO_IMAGE_LIST_H
#define DF_IO_IMAGE_LIST_H

#include "base/context.h"
#include "base/row_sum.h"

struct df_image_entry {
    char *id;   /* relative path, or the list's id */
    char *path; /* from root; NULL: the id */
    int32_t label;
    int64_t line; /* of the list; 0: found in a folder */
};
struct df_image_list {
    char *root; /* folder the paths start from */
    struct df_image_entry *entries;
    int64_t count, capacity;
    char **classes;      /* [class_count] or NULL: numbers */
    int32_t class_count; /* 0: unknown */
    bool labelled;       /* at least one entry has a label */
    int64_t other_files, hidden, loops, unlabelled;
    int64_t blanks; /* of unlabelled: the list says nan, as pandas does */
};

/* Find the pictures of a folder or a CSV list, sorted by id, bytewise.
 * Folders are walked; links to files and folders are followed, except a link to a folder that the path
 * already goes through, which is counted in `loops`. Names that begin with a dot are passed over and counted
 * in `hidden`, files of other extensions than DF_IMAGE_NAMES in `other_files`.
 *   class_names   NULL, or a file of names, one a line: the classes, in its order
 * Errors   E_NOINPUT missing, unreadable; E_DATA no picture, doubled id, broken list (line named), one class,
 *          a class that the file of names has not, labels of which some are numbers and some are names */
dfal_status df_image_list_read(struct df_image_list *list, const char *source, bool folders_are_classes,
                               const char *class_names);
void df_image_list_clear(struct df_image_list *list);
/* The path of an entry into a fresh string. */
dfal_status df_image_list_path(char **path, const struct df_image_list *list, int64_t row);
/* What the files of entries [begin, end) look like from outside: a sum of their sizes and times, that of a
 * missing file of zeros. Another sum: a file was changed or replaced, or copied without its time. */
dfal_status df_image_list_look(const struct df_image_list *list, int64_t begin, int64_t end,
                               struct df_row_sum *sum);
/* sha256 of all ids and paths: what the pixels of a pool depend on. */
void df_image_list_digest(const struct df_image_list *list, char digest[65]);

/* image_names.c: read the classes of a file of names. Errors   E_NOINPUT; E_DATA a doubled or missing name
 * (line named) */
dfal_status df_image_list_name(struct df_image_list *list, const char *path);
/* sha256 of class names and labels. */
void df_image_list_classes_digest(const struct df_image_list *list, char text[65]);

/* image_csv.c: fill entries and classes from a list. */
dfal_status df_image_list_parse(struct df_image_list *list, const char *path, bool *labelled);
/* image_entry.c: one more. */
dfal_status df_image_list_add(struct df_image_list *list, const char *id, const char *path, int64_t line);
/* image_words.c: labels from a word an entry (NULL: none). Where the list has classes a word is one of them,
 * as in label files (names_only: by name). Else numbers where every word is one, else names in bytewise
 * order. */
dfal_status df_image_list_label(struct df_image_list *list, const char *const *words, const char *source,
                                bool names_only);

#endif
