/* SPDX-License-Identifier: Apache-2.0 */
#include "store/classes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/pool.h"

struct df_class_entry {
    const char *name;
    int32_t class;
};

enum { SHOWN = 8, LIST_TEXT = 320 };

static int by_name(const void *a, const void *b)
{
    const struct df_class_entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->class > y->class) - (x->class < y->class);
}

const char *df_classes_name(const struct df_classes *classes, int32_t class)
{
    return classes->names && class >= 0 && class < classes->count ? classes->names[class] : NULL;
}

const char *df_classes_text(char text[DF_CLASS_NUMBER], const struct df_classes *classes, int32_t class)
{
    const char *name = df_classes_name(classes, class);
    snprintf(text, DF_CLASS_NUMBER, "%d", class);
    return name ? name : text;
}

dfal_status df_class_index_make(struct df_class_index *index, char *const *names, int32_t count)
{
    if (!names)
        return DFAL_OK;
    DF_TRY(df_alloc(&index->sorted, count, sizeof *index->sorted));
    for (int32_t i = 0; i < count; i++)
        index->sorted[i] = (struct df_class_entry){names[i], i};
    qsort(index->sorted, (size_t)count, sizeof *index->sorted, by_name);
    index->count = count;
    return DFAL_OK;
}

void df_class_index_clear(struct df_class_index *index)
{
    df_free(index->sorted);
    *index = (struct df_class_index){0};
}

int32_t df_class_index_find(const struct df_class_index *index, const char *name)
{
    int32_t low = 0, high = index->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (strcmp(index->sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && strcmp(index->sorted[low].name, name) == 0 ? index->sorted[low].class : -1;
}

/* "cat, dog, ... (1000 in all)": a list of a thousand names is no sentence. */
static const char *list(char text[LIST_TEXT], const struct df_classes *classes)
{
    char name[DF_SHOWN_TEXT];
    int32_t i = 0;
    size_t used = 0;
    text[0] = 0;
    for (; i < classes->count && i < SHOWN && used < LIST_TEXT - DF_SHOWN_TEXT - 32; i++)
        used += (size_t)snprintf(text + used, LIST_TEXT - used, "%s%s", i ? ", " : "",
                                 df_shown(name, classes->names[i]));
    if (i < classes->count)
        snprintf(text + used, LIST_TEXT - used, ", ... (%d in all)", classes->count);
    return text;
}

static bool same_order(const struct df_classes *a, const struct df_classes *b)
{
    for (int32_t i = 0; a->count == b->count && i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return a->count == b->count;
}

static dfal_status fail_other(const struct df_classes *from, const struct df_classes *to,
                              const struct df_classes *has, const struct df_classes *lacks, int32_t class)
{
    char ours[LIST_TEXT], theirs[LIST_TEXT], name[DF_SHOWN_TEXT];
    DF_FAIL(DFAL_E_DATA,
            "%s and %s have other classes: '%s', class %d of %s, is none of %s; expected the same names, the "
            "first has %s, the second %s",
            from->source, to->source, df_shown(name, has->names[class]), class, has->source, lacks->source,
            list(ours, from), list(theirs, to));
}

/* Numbers of a's names in b, -1 where b lacks one; *missing is the first of those, or -1. */
static dfal_status find_all(int32_t *map, const struct df_classes *a, const struct df_classes *b,
                            int32_t *missing)
{
    struct df_class_index index = {0};
    *missing = -1;
    DF_TRY(df_class_index_make(&index, b->names, b->count));
    for (int32_t i = a->count - 1; i >= 0; i--) {
        map[i] = df_class_index_find(&index, a->names[i]);
        *missing = map[i] < 0 ? i : *missing;
    }
    df_class_index_clear(&index);
    return DFAL_OK;
}

dfal_status df_classes_match(int32_t **map, const struct df_classes *from, const struct df_classes *to)
{
    char name[DF_SHOWN_TEXT];
    int32_t *found = NULL, *back = NULL, missing = -1;
    dfal_status status;
    *map = NULL;
    if (!from->names || !to->names || same_order(from, to))
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&found, from->count, sizeof *found));
    DF_TRY_TO(done, status, df_alloc(&back, to->count, sizeof *back));
    DF_TRY_TO(done, status, find_all(found, from, to, &missing));
    if (missing >= 0)
        DF_TRY_TO(done, status, fail_other(from, to, from, to, missing));
    DF_TRY_TO(done, status, find_all(back, to, from, &missing));
    if (missing >= 0)
        DF_TRY_TO(done, status, fail_other(from, to, to, from, missing));
    for (int32_t i = 0; i < from->count; i++)
        if (back[found[i]] != i || from->count != to->count) {
            status = df_fail(DFAL_E_DATA,
                             "%s and %s have their classes in another order, and '%s' stands there more than "
                             "once: expected each name once, or the same order",
                             from->source, to->source, df_shown(name, from->names[i]));
            goto done;
        }
    *map = found;
    found = NULL;
done:
    df_free(found);
    df_free(back);
    return status;
}

void df_classes_say(struct dfal_context *context, const struct df_classes *from, const struct df_classes *to)
{
    char ours[LIST_TEXT], theirs[LIST_TEXT];
    df_say(context, DFAL_WARNING, "classes.order",
           DF_FIELDS(DF_TEXT("first", from->source), DF_TEXT("second", to->source),
                     DF_TEXT("first_classes", list(ours, from)), DF_TEXT("second_classes", list(theirs, to))),
           "%s has its classes in the order %s, and %s in the order %s: they are matched by name",
           from->source, ours, to->source, theirs);
}

dfal_status df_pool_reorder(struct df_pool *pool, const int32_t *map)
{
    char **classes = NULL;
    if (!map)
        return DFAL_OK;
    if (pool->classes)
        DF_TRY(df_alloc(&classes, pool->class_count, sizeof *classes));
    for (int32_t i = 0; pool->classes && i < pool->class_count; i++)
        classes[map[i]] = pool->classes[i];
    for (int64_t i = 0; pool->labels && i < pool->count; i++)
        pool->labels[i] = pool->labels[i] < 0 ? -1 : map[pool->labels[i]];
    df_free(pool->classes);
    pool->classes = classes;
    return DFAL_OK;
}

enum { FEW_CLASSES = 20 }; /* of so many a small pool may well lack most */

bool df_classes_are_unused(int64_t occurring, int32_t class_count)
{
    return class_count > FEW_CLASSES && 2 * occurring < class_count;
}

dfal_status df_classes_warn_unused(struct dfal_context *context, const char *path, const int32_t *labels,
                                   size_t stride, int64_t count, int32_t class_count)
{
    bool *occurs = NULL;
    int64_t occurring = 0, row = 0;
    int32_t largest = -1;
    DF_TRY(df_alloc(&occurs, class_count, sizeof *occurs));
    for (int64_t i = 0; i < count; i++) {
        const int32_t label = *(const int32_t *)((const char *)labels + (size_t)i * stride);
        if (label < 0 || occurs[label])
            continue;
        occurs[label] = true;
        occurring++;
        row = label > largest ? i : row;
        largest = label > largest ? label : largest;
    }
    df_free(occurs);
    if (df_classes_are_unused(occurring, class_count))
        df_say(context, DFAL_WARNING, "labels.unused",
               DF_FIELDS(DF_INT("label", largest), DF_INT("row", row), DF_INT("classes", class_count),
                         DF_INT("occurring", occurring), DF_TEXT("pool", path)),
               "%s: label %d in row %lld: %d classes, of which %lld occur", path, largest, (long long)row,
               class_count, (long long)occurring);
    return DFAL_OK;
}
