/* SPDX-License-Identifier: Apache-2.0 */
/* Object headers: all their blocks, all messages that HDF5 1.10 decodes without looking at their length. */
#include "store/hdf5_header.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "store/hdf5_heap.h"
#include "store/hdf5_newer.h"

enum { MOST_DEPTH = 2 };
enum {
    SPACE = 1,
    LINKS = 2,
    TYPE = 3,
    OLD_FILL = 4,
    FILL = 5,
    LINK = 6,
    EXTERNAL = 7,
    LAYOUT = 8,
    GROUP = 10,
    FILTERS = 11,
    ATTRIBUTE = 12,
    COMMENT = 13,
    OLD_TIME = 14,
    SHARED_TABLE = 15,
    CONTINUATION = 16,
    SYMBOLS = 17,
    TIME = 18,
    TREE_K = 19,
    DRIVER = 20,
    ATTRIBUTES = 21,
    REFERENCES = 22,
    FREE_SPACE = 23,
    CACHE_IMAGE = 24
};
static const uint64_t none = UINT64_MAX;

/* ---- Types and what they bound ------------------------------------------------------------------ */

/* A datatype of its own object: that object's header is checked, and may not pass the question on. */
static bool check_shared_type(struct df_h5_header *header, struct df_h5_cursor *c, struct df_h5_type *type)
{
    uint64_t version = df_h5_take(c, 1), kind = df_h5_take(c, 1);
    if (version == 1)
        df_h5_skip(c, 14);
    uint64_t address = df_h5_take(c, 8);
    if (c->past || version < 1 || version > 3 || (version == 3 && kind != 2))
        return df_h5_header_refuse(header, "a shared message of an unknown kind");
    *type = (struct df_h5_type){0};
    if (!df_h5_check_header(header->source, address, header->depth + 1, type))
        return false;
    return type->size > 0 || df_h5_header_refuse(header, "a datatype that is none");
}

static bool check_any_type(struct df_h5_header *header, struct df_h5_cursor *c, bool shared,
                           struct df_h5_type *type)
{
    return shared ? check_shared_type(header, c, type) : df_h5_check_type(header->source, c, 0, type);
}

static bool check_attribute(struct df_h5_header *header, struct df_h5_cursor *c)
{
    struct df_h5_type type = {0};
    uint32_t rank = 0;
    uint64_t points = 0, version = df_h5_take(c, 1), flags = df_h5_take(c, 1);
    uint64_t name = df_h5_take(c, 2), type_bytes = df_h5_take(c, 2), space_bytes = df_h5_take(c, 2);
    flags = version == 1 ? 0 : flags;
    if (version < 1 || version > 3 || flags > 1)
        return df_h5_header_refuse(header, "an attribute of an unknown kind");
    if (version == 3)
        df_h5_skip(c, 1);
    if (c->past || name == 0 || name > df_h5_left(c) || memchr(c->at, 0, name) != c->at + name - 1)
        return df_h5_header_refuse(header, "an attribute's name has no end");
    df_h5_skip(c, version == 1 ? df_h5_in_eights(name) : name);
    if (c->past || type_bytes > df_h5_left(c))
        return df_h5_header_refuse(header, "an attribute is cut off");
    struct df_h5_cursor part = {c->at, c->at + type_bytes, false};
    if (!check_any_type(header, &part, flags & 1, &type))
        return false;
    df_h5_skip(c, version == 1 ? df_h5_in_eights(type_bytes) : type_bytes);
    if (c->past || space_bytes > df_h5_left(c))
        return df_h5_header_refuse(header, "an attribute is cut off");
    part = (struct df_h5_cursor){c->at, c->at + space_bytes, false};
    if (!df_h5_check_space(header->source, &part, &rank, &points))
        return false;
    df_h5_skip(c, version == 1 ? df_h5_in_eights(space_bytes) : space_bytes);
    if (c->past || df_h5_times(points, type.size) > df_h5_left(c))
        return df_h5_header_refuse(header, "an attribute declares more than it holds");
    return true;
}

/* ---- Groups ------------------------------------------------------------------------------------------ */

static bool check_link(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), flags = df_h5_take(c, 1), kind = flags & 8 ? df_h5_take(c, 1) : 0;
    if (version != 1 || flags > 31)
        return df_h5_header_refuse(header, "a link of an unknown kind");
    df_h5_skip(c, (flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
    uint64_t length = df_h5_take(c, 1 << (flags & 3));
    if (length == 0 || length > df_h5_left(c) || memchr(c->at, 0, length))
        return df_h5_header_refuse(header, "a link's name is damaged");
    df_h5_skip(c, length);
    if (kind == 0)
        return df_h5_inside(header->source, df_h5_take(c, 8), 16) ||
               df_h5_header_refuse(header, "a link that leads nowhere");
    length = df_h5_take(c, 2);
    if (kind == 64 &&
        (length < 3 || length > df_h5_left(c) || c->at[length - 1] || !memchr(c->at + 1, 0, length - 2)))
        return df_h5_header_refuse(header, "a link to another file is damaged");
    df_h5_skip(c, length);
    return true;
}

static bool check_heap_link(void *header, struct df_h5_cursor *c)
{
    return check_link(header, c);
}

static bool check_heap_attribute(void *header, struct df_h5_cursor *c)
{
    return check_attribute(header, c);
}

/* Where many links, or many attributes, are kept: a heap, a tree by their names, and one by their order. */
static bool check_dense(struct df_h5_header *header, struct df_h5_cursor *c, bool links)
{
    uint64_t version = df_h5_take(c, 1), flags = df_h5_take(c, 1);
    if (version != 0 || flags > 3)
        return df_h5_header_refuse(header, "a list of links or attributes of an unknown kind");
    df_h5_skip(c, flags & 1 ? (links ? 8 : 2) : 0);
    const uint64_t heap = df_h5_take(c, 8), names = df_h5_take(c, 8),
                   order = flags & 2 ? df_h5_take(c, 8) : none;
    if (c->past || heap == none) /* few are kept in the header itself */
        return (names == none && order == none) ||
               df_h5_header_refuse(header, "a tree of links or attributes without a heap");
    df_h5_message_fn *check = links ? check_heap_link : check_heap_attribute;
    return df_h5_dense_walk(header->source, heap, names, links ? DF_H5_LINK_NAMES : DF_H5_ATTRIBUTE_NAMES,
                            check, header) &&
           (order == none ||
            df_h5_dense_walk(header->source, heap, order, links ? DF_H5_LINK_ORDER : DF_H5_ATTRIBUTE_ORDER,
                             check, header));
}

static bool check_symbols(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t tree = df_h5_take(c, 8), heap = df_h5_take(c, 8);
    return (df_h5_inside(header->source, tree, 24) && df_h5_inside(header->source, heap, 32)) ||
           df_h5_header_refuse(header, "a group that leads nowhere");
}

/* ---- Messages ------------------------------------------------------------------------------------------ */

static bool add_block(struct df_h5_header *header, uint64_t address, uint64_t size)
{
    for (int i = 0; i < header->blocks; i++)
        if (header->block[i].address == address)
            return df_h5_header_refuse(header, "it goes round in a circle");
    if (header->blocks == DF_H5_MOST_BLOCKS)
        return df_h5_header_refuse(header, "it has more than 1,024 blocks");
    header->block[header->blocks++] = (struct block){address, size};
    return true;
}

static bool check_continuation(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t address = df_h5_take(c, 8), size = df_h5_take(c, 8);
    return add_block(header, address, size);
}

static bool check_ks(struct df_h5_header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), k[3] = {df_h5_take(c, 2), 0, 0};
    k[1] = df_h5_take(c, 2);
    k[2] = df_h5_take(c, 2);
    for (int i = 0; i < 3; i++)
        if (version != 0 || k[i] < 1 || k[i] > 16384)
            return df_h5_header_refuse(header, "trees of an unknown shape");
    header->source->chunk_k = (uint32_t)k[0];
    header->source->group_k = (uint32_t)k[1];
    header->source->leaf_k = (uint32_t)k[2];
    return true;
}

/* The first of its kind is the one that HDF5 goes by. */
static bool check_dataset_message(struct df_h5_header *header, uint64_t id, bool shared,
                                  struct df_h5_cursor *c)
{
    struct df_h5_type type;
    uint32_t rank;
    uint64_t points;
    switch (id) {
    case TYPE:
        if (!check_any_type(header, c, shared, &type))
            return false;
        header->type = header->has_type ? header->type : type;
        header->has_type = true;
        return true;
    case SPACE:
        if (!df_h5_check_space(header->source, c, &rank, &points))
            return false;
        if (!header->has_space)
            header->rank = rank, header->points = points;
        header->has_space = true;
        return true;
    case LAYOUT:
        if (header->has_layout)
            return df_h5_header_refuse(header, "two layouts");
        header->has_layout = true;
        return df_h5_check_layout(header, c);
    default:
        return df_h5_check_fill(header, c, id == OLD_FILL);
    }
}

static bool check_message(struct df_h5_header *header, uint64_t id, uint64_t flags, struct df_h5_cursor *c)
{
    const bool shared = flags & 2;
    if (shared && id != TYPE)
        return id == ATTRIBUTE || (id != SPACE && id != OLD_FILL && id != FILL && id != FILTERS)
                   ? df_h5_header_refuse(header, "a shared message of an unknown kind")
                   : df_h5_header_refuse(header,
                                         "a message shared with other objects, which dfal does not read");
    switch (id) {
    case TYPE:
    case SPACE:
    case LAYOUT:
    case FILL:
    case OLD_FILL:
        return check_dataset_message(header, id, shared, c);
    case ATTRIBUTE:
        return check_attribute(header, c);
    case FILTERS:
        return df_h5_check_filters(header, c);
    case EXTERNAL:
        return df_h5_check_external(header, c);
    case LINK:
        return check_link(header, c);
    case LINKS:
        return check_dense(header, c, true);
    case ATTRIBUTES:
        return check_dense(header, c, false);
    case SYMBOLS:
        return check_symbols(header, c);
    case CONTINUATION:
        return check_continuation(header, c);
    case TREE_K:
        return check_ks(header, c);
    case GROUP:
        df_h5_skip(c, 1);
        uint64_t parts = df_h5_take(c, 1);
        df_h5_skip(c, (parts & 1 ? 4 : 0) + (parts & 2 ? 4 : 0));
        return true;
    case COMMENT:
        return memchr(c->at, 0, df_h5_left(c)) || df_h5_header_refuse(header, "a comment without an end");
    case OLD_TIME:
        df_h5_skip(c, 16);
        return true;
    case TIME:
        df_h5_skip(c, 8);
        return true;
    case REFERENCES:
        df_h5_skip(c, 5);
        return true;
    case SHARED_TABLE:
    case DRIVER:
    case CACHE_IMAGE:
        return df_h5_header_refuse(
            header, "shared messages, a split file or a cache image, which dfal does not read");
    case FREE_SPACE:
        df_h5_skip(c, df_h5_left(c) < 29 ? 11 : 29);
        return true;
    default:
        return true; /* HDF5 passes over what it does not know */
    }
}

static bool check_messages(struct df_h5_header *header, struct df_h5_cursor *c)
{
    const uint64_t head = header->newer ? (header->flags & 4 ? 6 : 4) : 8;
    while (df_h5_left(c) >= head) {
        uint64_t id = df_h5_take(c, header->newer ? 1 : 2), size = df_h5_take(c, 2), flags = df_h5_take(c, 1);
        df_h5_skip(c, head - (header->newer ? 4 : 5));
        if (size > df_h5_left(c))
            return df_h5_header_refuse(header, "a message is longer than its block");
        struct df_h5_cursor body = {c->at, c->at + size, false};
        if (!check_message(header, id, flags, &body))
            return false;
        if (body.past)
            return df_h5_refuse(
                header->source, "the object header at %llu: message %llu of %llu bytes is cut off",
                (unsigned long long)header->address, (unsigned long long)id, (unsigned long long)size);
        df_h5_skip(c, size);
    }
    return header->newer || df_h5_left(c) == 0 || df_h5_header_refuse(header, "its messages do not fill it");
}

/* ---- Blocks -------------------------------------------------------------------------------------------- */

/* The head of the first block: where its messages begin, and how many bytes they have. */
static bool open_header(struct df_h5_header *header, uint64_t *begin, uint64_t *size)
{
    uint8_t *bytes;
    const uint64_t whole = header->source->size - header->source->base;
    const uint64_t room =
        header->address < whole && whole - header->address < 34 ? whole - header->address : 34;
    if (!df_h5_fetch(header->source, header->address, room, &bytes))
        return false;
    struct df_h5_cursor c = {bytes, bytes + room, false};
    header->newer = room >= 4 && memcmp(bytes, "OHDR", 4) == 0;
    if (header->newer) {
        df_h5_skip(&c, 4);
        uint64_t version = df_h5_take(&c, 1);
        header->flags = df_h5_take(&c, 1);
        df_h5_skip(&c, (header->flags & 32 ? 16 : 0) + (header->flags & 16 ? 4 : 0));
        *size = df_h5_take(&c, 1 << (header->flags & 3));
        *begin = (uint64_t)(c.at - bytes);
        c.past = c.past || version != 2 || header->flags > 63;
    } else {
        uint64_t version = df_h5_take(&c, 1);
        df_h5_skip(&c, 7);
        *size = df_h5_take(&c, 4);
        *begin = 16;
        c.past = c.past || version != 1;
    }
    df_free(bytes);
    return !c.past || df_h5_header_refuse(header, "there is none");
}

/* Blocks follow each other: what the messages of one name is checked next. */
static bool check_block(struct df_h5_header *header, int i, uint64_t begin)
{
    const struct block block = header->block[i];
    const uint64_t end =
        header->newer ? 4 : 0; /* a checksum; HDF5 1.10 loses memory over a wrong one, and says so at exit */
    if (block.size < begin + end || block.size == 0)
        return df_h5_header_refuse(header, "a block is cut off");
    if (!df_h5_fetch(header->source, block.address, block.size, &header->copy[i]))
        return false;
    const uint8_t *bytes = header->copy[i];
    if (i > 0 && header->newer && memcmp(bytes, "OCHK", 4) != 0)
        return df_h5_header_refuse(header, "a block is none");
    struct df_h5_cursor c = {bytes + block.size - end, bytes + block.size, false};
    if (header->newer && df_h5_take(&c, 4) != df_h5_checksum(bytes, block.size - end))
        return df_h5_header_refuse(header, "its checksum is another");
    c = (struct df_h5_cursor){bytes + begin, bytes + block.size - end, false};
    return check_messages(header, &c) &&
           df_h5_remember(header->source, DF_H5_HEADER, block.address, block.size);
}

/* HDF5 follows the reference of a fill value when a dataset is described, and copies what it finds there. */
static bool check_fill_value(struct df_h5_header *header, const struct fill *fill)
{
    const uint8_t *bytes;
    uint64_t size;
    if (!header->has_type || fill->size == 0)
        return true;
    if (fill->size != header->type.size)
        return df_h5_header_refuse(header, "a fill value of another size than its type");
    if (header->type.texts)
        return fill->size == DF_H5_REFERENCE && df_h5_heap_find(header->source, fill->bytes, &bytes, &size);
    for (uint64_t i = 0; header->type.variable && i < fill->size; i++)
        if (fill->bytes[i])
            return df_h5_header_refuse(header, "a fill value of variable length, which dfal does not read");
    return true;
}

/* Messages that have to agree: HDF5 takes the size from the one and the bytes from the other. */
static bool check_agreement(struct df_h5_header *header)
{
    if (!check_fill_value(header, &header->fill[0]) || !check_fill_value(header, &header->fill[1]))
        return false;
    if (!header->has_layout)
        return true;
    if (!header->has_type || !header->has_space)
        return df_h5_header_refuse(header, "a dataset without a type or a shape");
    if (header->layout == DF_H5_CHUNKED &&
        (header->sides != header->rank + 1 || header->element != header->type.size))
        return df_h5_header_refuse(header, "chunks of another shape than their dataset");
    if (header->layout != DF_H5_COMPACT)
        return df_h5_check_entries(header);
    if (df_h5_times(header->points, header->type.size) > header->stored)
        return df_h5_header_refuse(header, "a dataset that declares more than it holds");
    return true;
}

bool df_h5_check_header(struct df_h5_source *source, uint64_t address, int depth, struct df_h5_type *type)
{
    struct df_h5_header *header;
    uint64_t begin, size;
    if (depth > MOST_DEPTH)
        return df_h5_refuse(source, "datatypes that lead to each other");
    if (df_alloc(&header, 1, sizeof *header) != DFAL_OK) {
        source->error = ENOMEM;
        return false;
    }
    header->source = source;
    header->address = address;
    header->depth = depth;
    bool ok = open_header(header, &begin, &size) &&
              (size <= UINT32_MAX || df_h5_header_refuse(header, "a block is too large")) &&
              add_block(header, address, begin + size + (header->newer ? 4 : 0));
    for (int i = 0; ok && i < header->blocks; i++)
        ok = check_block(header, i, i == 0 ? begin : header->newer ? 4 : 0);
    ok = ok && check_agreement(header);
    if (ok && type)
        *type = header->type;
    for (int i = 0; i < header->blocks; i++)
        df_free(header->copy[i]);
    df_free(header);
    return ok;
}
