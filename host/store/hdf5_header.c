/* SPDX-License-Identifier: Apache-2.0 */
/* Object headers: all their blocks, all messages that HDF5 1.10 decodes without looking at their length. */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "store/hdf5_check.h"
#include "store/hdf5_heap.h"
#include "store/hdf5_newer.h"

enum { MOST_BLOCKS = 1024, MOST_DEPTH = 2, MOST_FILTERS = 32, MOST_VALUES = 4096, MOST_SIDES = 33 };
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
enum { COMPACT = 0, CONTIGUOUS = 1, CHUNKED = 2, VIRTUAL = 3 };
enum { FIXED_ARRAY = 3, GROWING_ARRAY = 4, TREE_INDEX = 5 };
static const uint64_t none = UINT64_MAX, chunk_limit = UINT32_MAX;

/* What one message says that another must agree with. */
struct header {
    struct df_h5_source *source;
    uint64_t address;
    int depth;
    bool newer; /* "OHDR" */
    uint64_t flags;
    struct block {
        uint64_t address, size;
    } block[MOST_BLOCKS];
    int blocks;
    bool has_type, has_space, has_layout;
    struct df_h5_type type;
    uint32_t rank;
    uint64_t points;
    struct fill {
        bool there;
        uint64_t size;
        const uint8_t *bytes;                /* in one of the copies */
    } fill[2];                               /* of the older kind, of the newer */
    uint64_t layout, sides, element, stored; /* stored: bytes of a compact dataset */
    uint64_t chunk, index_kind, index; /* bytes of a chunk; how the chunks are found, 0: the older way */
    bool packed;
    uint8_t *copy[MOST_BLOCKS];
};

static bool refuse(const struct header *header, const char *what)
{
    return df_h5_refuse(header->source, "the object header at %llu: %s", (unsigned long long)header->address,
                        what);
}

/* An address that may be missing. */
static bool leads_somewhere(const struct header *header, uint64_t address)
{
    return address == none || df_h5_inside(header->source, address, 8) ||
           refuse(header, "an address beyond the file's end");
}

/* ---- Types and what they bound ------------------------------------------------------------------ */

/* A datatype of its own object: that object's header is checked, and may not pass the question on. */
static bool check_shared_type(struct header *header, struct df_h5_cursor *c, struct df_h5_type *type)
{
    uint64_t version = df_h5_take(c, 1), kind = df_h5_take(c, 1);
    if (version == 1)
        df_h5_skip(c, 14);
    uint64_t address = df_h5_take(c, 8);
    if (c->past || version < 1 || version > 3 || (version == 3 && kind != 2))
        return refuse(header, "a shared message of an unknown kind");
    *type = (struct df_h5_type){0};
    if (!df_h5_check_header(header->source, address, header->depth + 1, type))
        return false;
    return type->size > 0 || refuse(header, "a datatype that is none");
}

static bool check_any_type(struct header *header, struct df_h5_cursor *c, bool shared,
                           struct df_h5_type *type)
{
    return shared ? check_shared_type(header, c, type) : df_h5_check_type(header->source, c, 0, type);
}

static uint64_t in_eights(uint64_t size)
{
    return (size + 7) / 8 * 8;
}

static bool check_attribute(struct header *header, struct df_h5_cursor *c)
{
    struct df_h5_type type;
    uint32_t rank;
    uint64_t points, version = df_h5_take(c, 1), flags = df_h5_take(c, 1);
    uint64_t name = df_h5_take(c, 2), type_bytes = df_h5_take(c, 2), space_bytes = df_h5_take(c, 2);
    flags = version == 1 ? 0 : flags;
    if (version < 1 || version > 3 || flags > 1)
        return refuse(header, "an attribute of an unknown kind");
    if (version == 3)
        df_h5_skip(c, 1);
    if (c->past || name == 0 || name > df_h5_left(c) || memchr(c->at, 0, name) != c->at + name - 1)
        return refuse(header, "an attribute's name has no end");
    df_h5_skip(c, version == 1 ? in_eights(name) : name);
    if (c->past || type_bytes > df_h5_left(c))
        return refuse(header, "an attribute is cut off");
    struct df_h5_cursor part = {c->at, c->at + type_bytes, false};
    if (!check_any_type(header, &part, flags & 1, &type))
        return false;
    df_h5_skip(c, version == 1 ? in_eights(type_bytes) : type_bytes);
    if (c->past || space_bytes > df_h5_left(c))
        return refuse(header, "an attribute is cut off");
    part = (struct df_h5_cursor){c->at, c->at + space_bytes, false};
    if (!df_h5_check_space(header->source, &part, &rank, &points))
        return false;
    df_h5_skip(c, version == 1 ? in_eights(space_bytes) : space_bytes);
    if (c->past || df_h5_times(points, type.size) > df_h5_left(c))
        return refuse(header, "an attribute declares more than it holds");
    return true;
}

/* ---- How a dataset is stored ---------------------------------------------------------------------- */

static bool check_sides(struct header *header, struct df_h5_cursor *c, uint64_t sides, int bytes)
{
    uint64_t size = 1;
    header->sides = sides;
    if (sides < 2 || sides > MOST_SIDES || bytes < 1 || bytes > 8)
        return refuse(header, "a chunk of an unknown shape");
    for (uint64_t i = 0; i < sides; i++) {
        header->element = df_h5_take(c, bytes);
        size = df_h5_times(size, header->element);
    }
    header->chunk = size;
    return (size > 0 && size <= chunk_limit) || refuse(header, "a chunk larger than 4 GiB, or of no size");
}

static bool check_extent(struct header *header, uint64_t address, uint64_t size)
{
    return address == none || df_h5_inside(header->source, address, size) ||
           refuse(header, "its bytes lie beyond the file's end");
}

static bool check_old_layout(struct header *header, struct df_h5_cursor *c)
{
    uint64_t sides = df_h5_take(c, 1);
    header->layout = df_h5_take(c, 1);
    df_h5_skip(c, 5);
    if (sides < 1 || sides > MOST_SIDES || header->layout > CHUNKED)
        return refuse(header, "a layout of an unknown kind");
    if (header->layout != COMPACT && !leads_somewhere(header, df_h5_take(c, 8)))
        return false;
    if (header->layout == CHUNKED)
        return check_sides(header, c, sides, 4);
    df_h5_skip(c, 4 * sides);
    if (header->layout == COMPACT) {
        header->stored = df_h5_take(c, 4);
        df_h5_skip(c, header->stored);
    }
    return true;
}

/* The chunk indices of HDF5 1.10. */
static bool check_index(struct header *header, struct df_h5_cursor *c)
{
    static const uint8_t least[6] = {0, 0, 0, 1, 5, 0}; /* bytes of parameters that may not be 0 */
    uint64_t flags = df_h5_take(c, 1), sides = df_h5_take(c, 1), bytes = df_h5_take(c, 1);
    if (flags > 3)
        return refuse(header, "a layout of an unknown kind");
    if (!check_sides(header, c, sides, (int)(bytes > 8 ? 0 : bytes)))
        return false;
    uint64_t kind = df_h5_take(c, 1);
    if (kind < 1 || kind > 5)
        return refuse(header, "a chunk index of an unknown kind");
    if (kind == 1 && flags & 2) /* a single chunk, packed: its size and mask */
        df_h5_skip(c, 12);
    else if (kind == 5)
        df_h5_skip(c, 6);
    for (int i = 0; i < least[kind]; i++) {
        uint64_t value = df_h5_take(c, 1);
        if (value < 1 || value > 64)
            return refuse(header, "a chunk index of an unknown kind");
    }
    header->index_kind = kind;
    header->index = df_h5_take(c, 8);
    return leads_somewhere(header, header->index);
}

static bool check_layout(struct header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1);
    if (version < 1 || version > 4)
        return refuse(header, "a layout of an unknown version");
    if (version < 3)
        return check_old_layout(header, c);
    header->layout = df_h5_take(c, 1);
    if (header->layout == COMPACT) {
        header->stored = df_h5_take(c, 2);
        df_h5_skip(c, header->stored);
        return true;
    }
    if (header->layout == CONTIGUOUS) {
        uint64_t address = df_h5_take(c, 8);
        return check_extent(header, address, df_h5_take(c, 8));
    }
    if (header->layout == VIRTUAL)
        return refuse(header, "a virtual dataset, expected its bytes in the file");
    if (header->layout != CHUNKED)
        return refuse(header, "a layout of an unknown kind");
    if (version == 4)
        return check_index(header, c);
    uint64_t sides = df_h5_take(c, 1);
    return leads_somewhere(header, df_h5_take(c, 8)) && check_sides(header, c, sides, 4);
}

static bool check_filters(struct header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), count = df_h5_take(c, 1);
    if (version < 1 || version > 2 || count > MOST_FILTERS)
        return refuse(header, "filters of an unknown kind");
    header->packed = header->packed || count > 0;
    if (version == 1)
        df_h5_skip(c, 6);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = df_h5_take(c, 2), name = version == 1 || id >= 256 ? df_h5_take(c, 2) : 0;
        df_h5_skip(c, 2);
        uint64_t values = df_h5_take(c, 2);
        if (values > MOST_VALUES || name > df_h5_left(c) || (name && !memchr(c->at, 0, name)))
            return refuse(header, "a filter is damaged");
        df_h5_skip(c, version == 1 ? in_eights(name) : name);
        df_h5_skip(c, 4 * (version == 1 ? values + values % 2 : values));
    }
    return true;
}

static bool check_fill(struct header *header, struct df_h5_cursor *c, bool old)
{
    bool there = true;
    uint64_t version = old ? 0 : df_h5_take(c, 1), size = 0;
    if (!old && (version < 1 || version > 3))
        return refuse(header, "a fill value of an unknown kind");
    if (version == 1 || version == 2) {
        df_h5_skip(c, 2);
        there = df_h5_take(c, 1) != 0 || version == 1;
    } else if (version == 3) {
        there = df_h5_take(c, 1) & 32;
    }
    if (there)
        size = df_h5_take(c, 4);
    size = !old && version < 3 && size > INT32_MAX ? 0 : size; /* -1: none */
    if (header->fill[!old].there)
        return refuse(header, "two fill values");
    header->fill[!old] = (struct fill){true, size, c->at};
    df_h5_skip(c, size);
    return true;
}

static bool check_external(struct header *header, struct df_h5_cursor *c)
{
    df_h5_skip(c, 4);
    uint64_t room = df_h5_take(c, 2), used = df_h5_take(c, 2), heap = df_h5_take(c, 8);
    if (used > room || !leads_somewhere(header, heap))
        return refuse(header, "a list of files is damaged");
    df_h5_skip(c, 24 * used);
    return true;
}

/* ---- Groups ------------------------------------------------------------------------------------------ */

static bool check_link(struct header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), flags = df_h5_take(c, 1), kind = flags & 8 ? df_h5_take(c, 1) : 0;
    if (version != 1 || flags > 31)
        return refuse(header, "a link of an unknown kind");
    df_h5_skip(c, (flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
    uint64_t length = df_h5_take(c, 1 << (flags & 3));
    if (length == 0 || length > df_h5_left(c) || memchr(c->at, 0, length))
        return refuse(header, "a link's name is damaged");
    df_h5_skip(c, length);
    if (kind == 0)
        return df_h5_inside(header->source, df_h5_take(c, 8), 16) ||
               refuse(header, "a link that leads nowhere");
    length = df_h5_take(c, 2);
    if (kind == 64 &&
        (length < 3 || length > df_h5_left(c) || c->at[length - 1] || !memchr(c->at + 1, 0, length - 2)))
        return refuse(header, "a link to another file is damaged");
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
static bool check_dense(struct header *header, struct df_h5_cursor *c, bool links)
{
    uint64_t version = df_h5_take(c, 1), flags = df_h5_take(c, 1);
    if (version != 0 || flags > 3)
        return refuse(header, "a list of links or attributes of an unknown kind");
    df_h5_skip(c, flags & 1 ? (links ? 8 : 2) : 0);
    const uint64_t heap = df_h5_take(c, 8), names = df_h5_take(c, 8),
                   order = flags & 2 ? df_h5_take(c, 8) : none;
    if (c->past || heap == none) /* few are kept in the header itself */
        return (names == none && order == none) ||
               refuse(header, "a tree of links or attributes without a heap");
    df_h5_message_fn *check = links ? check_heap_link : check_heap_attribute;
    return df_h5_dense_walk(header->source, heap, names, links ? DF_H5_LINK_NAMES : DF_H5_ATTRIBUTE_NAMES,
                            check, header) &&
           (order == none ||
            df_h5_dense_walk(header->source, heap, order, links ? DF_H5_LINK_ORDER : DF_H5_ATTRIBUTE_ORDER,
                             check, header));
}

static bool check_symbols(struct header *header, struct df_h5_cursor *c)
{
    uint64_t tree = df_h5_take(c, 8), heap = df_h5_take(c, 8);
    return (df_h5_inside(header->source, tree, 24) && df_h5_inside(header->source, heap, 32)) ||
           refuse(header, "a group that leads nowhere");
}

/* ---- Messages ------------------------------------------------------------------------------------------ */

static bool add_block(struct header *header, uint64_t address, uint64_t size)
{
    for (int i = 0; i < header->blocks; i++)
        if (header->block[i].address == address)
            return refuse(header, "it goes round in a circle");
    if (header->blocks == MOST_BLOCKS)
        return refuse(header, "it has more than 1,024 blocks");
    header->block[header->blocks++] = (struct block){address, size};
    return true;
}

static bool check_continuation(struct header *header, struct df_h5_cursor *c)
{
    uint64_t address = df_h5_take(c, 8), size = df_h5_take(c, 8);
    return add_block(header, address, size);
}

static bool check_ks(struct header *header, struct df_h5_cursor *c)
{
    uint64_t version = df_h5_take(c, 1), k[3] = {df_h5_take(c, 2), 0, 0};
    k[1] = df_h5_take(c, 2);
    k[2] = df_h5_take(c, 2);
    for (int i = 0; i < 3; i++)
        if (version != 0 || k[i] < 1 || k[i] > 16384)
            return refuse(header, "trees of an unknown shape");
    header->source->chunk_k = (uint32_t)k[0];
    header->source->group_k = (uint32_t)k[1];
    header->source->leaf_k = (uint32_t)k[2];
    return true;
}

/* The first of its kind is the one that HDF5 goes by. */
static bool check_dataset_message(struct header *header, uint64_t id, bool shared, struct df_h5_cursor *c)
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
            return refuse(header, "two layouts");
        header->has_layout = true;
        return check_layout(header, c);
    default:
        return check_fill(header, c, id == OLD_FILL);
    }
}

static bool check_message(struct header *header, uint64_t id, uint64_t flags, struct df_h5_cursor *c)
{
    const bool shared = flags & 2;
    if (shared && id != TYPE)
        return id == ATTRIBUTE || (id != SPACE && id != OLD_FILL && id != FILL && id != FILTERS)
                   ? refuse(header, "a shared message of an unknown kind")
                   : refuse(header, "a message shared with other objects, which dfal does not read");
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
        return check_filters(header, c);
    case EXTERNAL:
        return check_external(header, c);
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
        return memchr(c->at, 0, df_h5_left(c)) || refuse(header, "a comment without an end");
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
        return refuse(header, "shared messages, a split file or a cache image, which dfal does not read");
    case FREE_SPACE:
        df_h5_skip(c, df_h5_left(c) < 29 ? 11 : 29);
        return true;
    default:
        return true; /* HDF5 passes over what it does not know */
    }
}

static bool check_messages(struct header *header, struct df_h5_cursor *c)
{
    const uint64_t head = header->newer ? (header->flags & 4 ? 6 : 4) : 8;
    while (df_h5_left(c) >= head) {
        uint64_t id = df_h5_take(c, header->newer ? 1 : 2), size = df_h5_take(c, 2), flags = df_h5_take(c, 1);
        df_h5_skip(c, head - (header->newer ? 4 : 5));
        if (size > df_h5_left(c))
            return refuse(header, "a message is longer than its block");
        struct df_h5_cursor body = {c->at, c->at + size, false};
        if (!check_message(header, id, flags, &body))
            return false;
        if (body.past)
            return df_h5_refuse(
                header->source, "the object header at %llu: message %llu of %llu bytes is cut off",
                (unsigned long long)header->address, (unsigned long long)id, (unsigned long long)size);
        df_h5_skip(c, size);
    }
    return header->newer || df_h5_left(c) == 0 || refuse(header, "its messages do not fill it");
}

/* ---- Blocks -------------------------------------------------------------------------------------------- */

/* The head of the first block: where its messages begin, and how many bytes they have. */
static bool open_header(struct header *header, uint64_t *begin, uint64_t *size)
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
    return !c.past || refuse(header, "there is none");
}

/* Blocks follow each other: what the messages of one name is checked next. */
static bool check_block(struct header *header, int i, uint64_t begin)
{
    const struct block block = header->block[i];
    const uint64_t end =
        header->newer ? 4 : 0; /* a checksum; HDF5 1.10 loses memory over a wrong one, and says so at exit */
    if (block.size < begin + end || block.size == 0)
        return refuse(header, "a block is cut off");
    if (!df_h5_fetch(header->source, block.address, block.size, &header->copy[i]))
        return false;
    const uint8_t *bytes = header->copy[i];
    if (i > 0 && header->newer && memcmp(bytes, "OCHK", 4) != 0)
        return refuse(header, "a block is none");
    struct df_h5_cursor c = {bytes + block.size - end, bytes + block.size, false};
    if (header->newer && df_h5_take(&c, 4) != df_h5_checksum(bytes, block.size - end))
        return refuse(header, "its checksum is another");
    c = (struct df_h5_cursor){bytes + begin, bytes + block.size - end, false};
    return check_messages(header, &c) &&
           df_h5_remember(header->source, DF_H5_HEADER, block.address, block.size);
}

/* HDF5 follows the reference of a fill value when a dataset is described, and copies what it finds there. */
static bool check_fill_value(struct header *header, const struct fill *fill)
{
    const uint8_t *bytes;
    uint64_t size;
    if (!header->has_type || fill->size == 0)
        return true;
    if (fill->size != header->type.size)
        return refuse(header, "a fill value of another size than its type");
    if (header->type.texts)
        return fill->size == DF_H5_REFERENCE && df_h5_heap_find(header->source, fill->bytes, &bytes, &size);
    for (uint64_t i = 0; header->type.variable && i < fill->size; i++)
        if (fill->bytes[i])
            return refuse(header, "a fill value of variable length, which dfal does not read");
    return true;
}

/* HDF5 takes as many bytes from an entry of the index as the dataset needs, whatever the index says that it has. */
static bool check_entries(struct header *header)
{
    const uint64_t packed_bytes = header->packed ? 4 + (uint64_t)df_h5_bytes_for(header->chunk << 8) : 0;
    const uint64_t sides = header->index_kind == TREE_INDEX ? header->sides - 1 : 0;
    const uint64_t least = 8 + packed_bytes + 8 * sides;
    uint8_t *head;
    if (header->index_kind < FIXED_ARRAY || header->index == none)
        return true;
    if (header->index_kind == TREE_INDEX)
        return df_h5_tree_walk(header->source, header->index,
                               header->packed ? DF_H5_PACKED_CHUNKS : DF_H5_CHUNKS, least, NULL, NULL);
    if (!df_h5_fetch(header->source, header->index, 8, &head))
        return false;
    const bool fits = head[5] == header->packed && head[6] >= least;
    df_free(head);
    return fits || refuse(header, "an index whose entries are shorter than a chunk's");
}

/* Messages that have to agree: HDF5 takes the size from the one and the bytes from the other. */
static bool check_agreement(struct header *header)
{
    if (!check_fill_value(header, &header->fill[0]) || !check_fill_value(header, &header->fill[1]))
        return false;
    if (!header->has_layout)
        return true;
    if (!header->has_type || !header->has_space)
        return refuse(header, "a dataset without a type or a shape");
    if (header->layout == CHUNKED &&
        (header->sides != header->rank + 1 || header->element != header->type.size))
        return refuse(header, "chunks of another shape than their dataset");
    if (header->layout != COMPACT)
        return check_entries(header);
    if (df_h5_times(header->points, header->type.size) > header->stored)
        return refuse(header, "a dataset that declares more than it holds");
    return true;
}

bool df_h5_check_header(struct df_h5_source *source, uint64_t address, int depth, struct df_h5_type *type)
{
    struct header *header;
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
              (size <= UINT32_MAX || refuse(header, "a block is too large")) &&
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
