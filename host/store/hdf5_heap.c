/* SPDX-License-Identifier: Apache-2.0 */
/* A collection of the global heap is read and checked once, then a table tells where its objects are. HDF5
 * 1.10 walks a collection by the sizes that stand in it: a size of 0 is an endless loop. */
#include "store/hdf5_heap.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"

enum { HEAD = 16 };
static const uint64_t text_limit = (uint64_t)64 << 20, collection_least = 4096,
                      free_read = (uint64_t)256 << 20, string_credit = 16384;

struct object {
    uint64_t at, size;
    uint32_t round; /* of the collection that has it */
};

struct df_h5_collection {
    uint64_t address;
    uint8_t *bytes;
    uint32_t round; /* 0: none */
    struct object *object;
    int64_t capacity;
};

static bool make_room(struct df_h5_source *source, int64_t count)
{
    struct df_h5_collection *collection = source->collection;
    if (df_grow(&collection->object, &collection->capacity, count, sizeof *collection->object, 64) == DFAL_OK)
        return true;
    source->error = ENOMEM;
    return false;
}

static bool list_objects(struct df_h5_source *source, const uint8_t *bytes, uint64_t size)
{
    struct df_h5_collection *collection = source->collection;
    uint64_t at = HEAD;
    while (size - at >= HEAD) {
        struct df_h5_cursor c = {bytes + at, bytes + size, false};
        uint64_t index = df_h5_take(&c, 2);
        df_h5_skip(&c, 6);
        uint64_t length = df_h5_take(&c, 8), left = size - at - HEAD;
        /* object 0 is what is free, its head included */
        uint64_t whole = index ? HEAD + (length + 7) / 8 * 8 : length;
        if (index ? length > left || whole > size - at : length < HEAD || length > size - at)
            return df_h5_refuse(source, "object %llu of the global heap at %llu declares %llu bytes",
                                (unsigned long long)index, (unsigned long long)collection->address,
                                (unsigned long long)length);
        if (index && !make_room(source, (int64_t)index + 1))
            return false;
        if (index)
            collection->object[index] = (struct object){at + HEAD, length, collection->round};
        at += whole;
    }
    return true;
}

static bool close_collection(struct df_h5_collection *collection)
{
    df_free(collection->bytes);
    df_free(collection->object);
    *collection = (struct df_h5_collection){0};
    return false;
}

/* One collection is kept. Strings of an honest file that lie in others than the one before cost its few
 * kilobytes, or not much more than their own; a hostile one would have half of the file read again for
 * each. */
static bool may_read(struct df_h5_source *source, uint64_t size)
{
    source->heap_read += size;
    return source->heap_read <= source->heap_credit + (uint64_t)16 * source->size + free_read ||
           df_h5_refuse(source, "strings scattered over collections of %llu bytes", (unsigned long long)size);
}

static bool open_collection(struct df_h5_source *source, uint64_t address)
{
    uint8_t *bytes;
    if (!source->collection && df_alloc(&source->collection, 1, sizeof *source->collection) != DFAL_OK) {
        source->error = ENOMEM;
        return false;
    }
    struct df_h5_collection *collection = source->collection;
    if (collection->round && collection->address == address)
        return true;
    if (collection->round == UINT32_MAX)
        close_collection(collection);
    if (!df_h5_fetch(source, address, HEAD, &bytes))
        return false;
    struct df_h5_cursor c = {bytes + 8, bytes + HEAD, false};
    uint64_t size = df_h5_take(&c, 8);
    bool ok = memcmp(bytes, "GCOL\1", 5) == 0 && size >= collection_least;
    df_free(bytes);
    if (!ok)
        return df_h5_refuse(source, "there is no global heap at %llu", (unsigned long long)address);
    df_free(collection->bytes);
    collection->bytes = NULL;
    if ((df_h5_inside(source, address, size) && !may_read(source, size)) ||
        !df_h5_fetch(source, address, size, &collection->bytes))
        return close_collection(collection);
    collection->round++;
    collection->address = address;
    return list_objects(source, collection->bytes, size) || close_collection(collection);
}

bool df_h5_heap_find(struct df_h5_source *source, const uint8_t reference[DF_H5_REFERENCE],
                     const uint8_t **bytes, uint64_t *size)
{
    struct df_h5_cursor c = {reference, reference + DF_H5_REFERENCE, false};
    uint64_t length = df_h5_take(&c, 4), at = df_h5_take(&c, 8), index = df_h5_take(&c, 4);
    *bytes = NULL;
    *size = 0;
    if (at == 0)
        return true;
    if (length > text_limit)
        return df_h5_refuse(source, "a string of %llu bytes, expected at most 64 MiB",
                            (unsigned long long)length);
    source->heap_credit += string_credit + 2 * length;
    if (!open_collection(source, at))
        return false;
    const struct df_h5_collection *collection = source->collection;
    const struct object *object = collection->object + (index < (uint64_t)collection->capacity ? index : 0);
    if (index == 0 || index >= (uint64_t)collection->capacity || object->round != collection->round ||
        object->size != length)
        return df_h5_refuse(source, "the global heap at %llu has no string %llu of %llu bytes",
                            (unsigned long long)at, (unsigned long long)index, (unsigned long long)length);
    *bytes = collection->bytes + object->at;
    *size = length;
    return true;
}

void df_h5_heap_end(struct df_h5_source *source)
{
    if (source->collection)
        close_collection(source->collection);
    df_free(source->collection);
    source->collection = NULL;
}
