/* SPDX-License-Identifier: Apache-2.0 */
/* Class names: found by name, and compared where two things that have them meet. A number means a class only
 * together with the order of the names, so that order is never taken on trust. */
#ifndef DF_STORE_CLASSES_H
#define DF_STORE_CLASSES_H

#include "base/status.h"

struct dfal_context;
struct df_pool;

/* Classes of a pool or a network, at most. */
enum { DF_CLASS_LIMIT = 1000000 };

/* The names of a pool or a network; source is what messages call it. names NULL: it has none. */
struct df_classes {
    const char *source;
    char *const *names;
    int32_t count;
};

/* The name of a class, NULL: it has none, or is no class. */
const char *df_classes_name(const struct df_classes *classes, int32_t class);
/* The same, or its number printed into text: what people are shown. */
enum { DF_CLASS_NUMBER = 16 };
const char *df_classes_text(char text[DF_CLASS_NUMBER], const struct df_classes *classes, int32_t class);

/* Names sorted for look-ups; they are borrowed. */
struct df_class_index {
    struct df_class_entry *sorted;
    int32_t count;
};
/* Zero-initialise; without names nothing is ever found. */
dfal_status df_class_index_make(struct df_class_index *index, char *const *names, int32_t count);
void df_class_index_clear(struct df_class_index *index);
/* The lowest class of a name, -1: none. */
int32_t df_class_index_find(const struct df_class_index *index, const char *name);

/* Match classes by name: (*map)[i] is the number that class i of `from` has in `to`. *map NULL: the orders
 * are the same, or one of the two has no names and nothing can be compared. Free with df_free.
 * Errors   E_DATA other names, both lists and the first difference are told; another order of names that
 *          stand twice */
dfal_status df_classes_match(int32_t **map, const struct df_classes *from, const struct df_classes *to);
/* The event classes.order: the names were matched because the orders differ. */
void df_classes_say(struct dfal_context *context, const struct df_classes *from, const struct df_classes *to);
/* Count a pool's classes anew: its class i is number map[i] from now on, in labels and names. map NULL: as it
 * was. */
dfal_status df_pool_reorder(struct df_pool *pool, const int32_t *map);

/* A warning where most of the classes that labels count never occur, as after a number that is no class:
 * every job pays for all of them.
 *   labels  [count] at a distance of stride bytes; -1: unknown
 * Errors   E_MEMORY */
dfal_status df_classes_warn_unused(struct dfal_context *context, const char *path, const int32_t *labels,
                                   size_t stride, int64_t count, int32_t class_count);
/* Do fewer than half of so many classes occur that it is worth a word? */
bool df_classes_are_unused(int64_t occurring, int32_t class_count);

#endif
