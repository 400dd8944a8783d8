/* SPDX-License-Identifier: Apache-2.0 */
/* Superblock, trees and local heaps; the way to the checks of the rest. */
#include "store/hdf5_check.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/number.h"
#include "store/hdf5_header.h"
#include "store/hdf5_heap.h"
#include "store/hdf5_newer.h"

enum { MOST_K = 16384, MOST_LEVELS = 32 };
static const uint64_t none = UINT64_MAX;

void df_h5_source_begin(struct df_h5_source *source, int fd, uint64_t size)
{
    *source = (struct df_h5_source){.fd = fd, .size = size, .leaf_k = 4, .group_k = 16, .chunk_k = 32};
}

void df_h5_source_end(struct df_h5_source *source)
{
    df_free(source->known);
    df_h5_heap_end(source);
}

/* ---- Superblock ------------------------------------------------------------------------------- */

static bool check_k(struct df_h5_source *source, uint64_t k, uint32_t *out)
{
    if (k < 1 || k > MOST_K)
        return df_h5_refuse(source, "trees with %llu entries a node, expected 2 to %d",
                            (unsigned long long)(2 * k), 2 * MOST_K);
    *out = (uint32_t)k;
    return true;
}

/* Versions 0 and 1, before HDF5 1.8 or where the oldest format will do. */
static bool check_old_superblock(struct df_h5_source *source, struct df_h5_cursor *c, uint64_t version)
{
    df_h5_skip(c, 4); /* versions of parts, checked by HDF5 */
    uint64_t address_bytes = df_h5_take(c, 1), size_bytes = df_h5_take(c, 1);
    df_h5_skip(c, 1);
    uint64_t leaf_k = df_h5_take(c, 2), group_k = df_h5_take(c, 2);
    df_h5_skip(c, 4);
    uint64_t chunk_k = version == 1 ? df_h5_take(c, 4) & 0xffff : source->chunk_k;
    df_h5_skip(c, 24); /* base, free space, end of file */
    uint64_t driver = df_h5_take(c, 8);
    if (c->past)
        return df_h5_refuse(source, "the superblock is cut off");
    if (address_bytes != 8 || size_bytes != 8)
        return df_h5_refuse(source, "addresses of %llu and sizes of %llu bytes, expected 8",
                            (unsigned long long)address_bytes, (unsigned long long)size_bytes);
    if (driver != none)
        return df_h5_refuse(source, "it is one of several files of a split HDF5 file");
    return check_k(source, leaf_k, &source->leaf_k) && check_k(source, group_k, &source->group_k) &&
           check_k(source, chunk_k, &source->chunk_k);
}

/* HDF5 reads it in pieces: the whole is looked at with the first. */
static bool check_superblock(struct df_h5_source *source, uint64_t address)
{
    uint8_t bytes[128];
    if (address != 0)
        return true; /* the signature is looked for, or the rest is read of what was checked */
    const ssize_t size = pread(source->fd, bytes, sizeof bytes, (off_t)source->base);
    if (size <= 8) {
        source->error = size < 0 ? errno : 0;
        return size >= 0;
    }
    struct df_h5_cursor c = {bytes, bytes + size, false};
    df_h5_skip(&c, 8);
    uint64_t version = df_h5_take(&c, 1);
    if (version < 2)
        return check_old_superblock(source, &c, version);
    uint64_t address_bytes = df_h5_take(&c, 1), size_bytes = df_h5_take(&c, 1);
    if (!c.past && (address_bytes != 8 || size_bytes != 8))
        return df_h5_refuse(source, "addresses of %llu and sizes of %llu bytes, expected 8",
                            (unsigned long long)address_bytes, (unsigned long long)size_bytes);
    return true;
}

/* ---- Version 1 trees: of a group's names, of a dataset's chunks ---------------------------------- */

struct node {
    uint64_t address, children, key_bytes;
    uint32_t type, level;
    const uint8_t *keys; /* key, child, key, child, .., key */
};

static const uint8_t *node_key(const struct node *node, uint64_t i)
{
    return node->keys + i * (node->key_bytes + 8);
}

static uint64_t number_at(const uint8_t *bytes)
{
    struct df_h5_cursor c = {bytes, bytes + 8, false};
    return df_h5_take(&c, 8);
}

static uint64_t node_child(const struct node *node, uint64_t i)
{
    return number_at(node_key(node, i) + node->key_bytes);
}

/* Chunks by their place, the first dimension first. A key of a group is the place of a name in a heap that
 * the node does not name. */
static int compare_keys(const struct node *node, const uint8_t *a, const uint8_t *b)
{
    for (uint64_t at = 8; at + 8 <= node->key_bytes; at += 8) {
        uint64_t x = number_at(a + at), y = number_at(b + at);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

static bool open_node(struct df_h5_source *source, struct node *node, uint64_t address, const uint8_t *bytes,
                      uint64_t size)
{
    struct df_h5_cursor c = {bytes + 4, bytes + size, false};
    *node = (struct node){.address = address, .type = (uint32_t)df_h5_take(&c, 1)};
    node->level = (uint32_t)df_h5_take(&c, 1);
    node->children = df_h5_take(&c, 2);
    df_h5_skip(&c, 16);
    const uint64_t most = 2 * (uint64_t)(node->type ? source->chunk_k : source->group_k);
    if (c.past || memcmp(bytes, "TREE", 4) != 0 || node->type > 1 || node->level > MOST_LEVELS ||
        node->children > most || df_h5_left(&c) < 8 * most)
        return df_h5_refuse(source, "the tree node at %llu is damaged", (unsigned long long)address);
    node->key_bytes = (df_h5_left(&c) - 8 * most) / (most + 1);
    node->keys = c.at;
    if (node->type == 0 ? node->key_bytes != 8 : node->key_bytes < 16)
        return df_h5_refuse(source, "the tree node at %llu is damaged", (unsigned long long)address);
    return true;
}

/* Trees of names have keys that only their heap can tell the order of. A node that was met under another
 * entry would be walked once more for each. */
static bool claim_child(struct df_h5_source *source, const struct node *node, uint64_t i)
{
    uint64_t before;
    const uint64_t child = node_child(node, i), entry = node->address + i;
    if (df_h5_recall(source, DF_H5_CHILD, child, &before))
        return before == entry ||
               df_h5_refuse(source, "two tree nodes lead to the one at %llu", (unsigned long long)child);
    return df_h5_remember(source, DF_H5_CHILD, child, entry);
}

/* A child one level down, all of its keys between the parent's two: so no node is met twice and no walk is
 * endless. */
static bool check_child(struct df_h5_source *source, const struct node *node, uint64_t i, uint64_t size)
{
    uint8_t *bytes;
    struct node child;
    if (!df_h5_fetch(source, node_child(node, i), size, &bytes))
        return false;
    bool ok = open_node(source, &child, node_child(node, i), bytes, size);
    if (ok && (child.type != node->type || child.level + 1 != node->level || child.children == 0 ||
               (node->type == 1 &&
                (compare_keys(node, node_key(node, i), node_key(&child, 0)) > 0 ||
                 compare_keys(node, node_key(&child, child.children), node_key(node, i + 1)) > 0))))
        ok = df_h5_refuse(source, "the tree node at %llu does not fit the one above it",
                          (unsigned long long)child.address);
    df_free(bytes);
    return ok;
}

static bool check_tree(struct df_h5_source *source, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    struct node node;
    if (!open_node(source, &node, address, bytes, size))
        return false;
    for (uint64_t i = 0; i < node.children; i++) {
        const uint64_t child = node_child(&node, i);
        const uint64_t stored = node.type ? number_at(node_key(&node, i)) & 0xffffffff : 8;
        if (node.type == 1 && compare_keys(&node, node_key(&node, i), node_key(&node, i + 1)) >= 0)
            return df_h5_refuse(source, "the tree node at %llu is not in order", (unsigned long long)address);
        if (!df_h5_inside(source, child, node.level || stored == 0 ? 8 : stored))
            return df_h5_refuse(
                source, "the tree node at %llu leads to %llu, %llu bytes, beyond the file's end",
                (unsigned long long)address, (unsigned long long)child, (unsigned long long)stored);
        if ((node.level && !check_child(source, &node, i, size)) ||
            (node.type == 0 && !claim_child(source, &node, i)))
            return false;
    }
    return true;
}

/* A group's names, in leaves. */
static bool check_names(struct df_h5_source *source, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    struct df_h5_cursor c = {bytes + 6, bytes + size, false};
    uint64_t count = df_h5_take(&c, 2);
    if (count < 1 || count > 2 * (uint64_t)source->leaf_k || 40 * count > df_h5_left(&c))
        return df_h5_refuse(source, "the symbol node at %llu declares %llu names",
                            (unsigned long long)address, (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        df_h5_skip(&c, 8);
        uint64_t header = df_h5_take(&c, 8), cached = df_h5_take(&c, 4);
        df_h5_skip(&c, 20);
        if (cached > 2 || (cached != 2 && !df_h5_inside(source, header, 16)))
            return df_h5_refuse(source, "name %llu of the symbol node at %llu leads nowhere",
                                (unsigned long long)i, (unsigned long long)address);
    }
    return true;
}

/* ---- Local heaps: a group's names --------------------------------------------------------------- */

static bool check_free_list(const uint8_t *data, uint64_t size, uint64_t at)
{
    for (uint64_t steps = 0; at != 1; steps++) {
        if (size < 16 || at > size - 16 || steps > size / 16)
            return false;
        uint64_t next = number_at(data + at), length = number_at(data + at + 8);
        if (length < 16 || length > size - at)
            return false;
        at = next;
    }
    return true;
}

static bool check_local_heap(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                             uint64_t size)
{
    uint8_t *data;
    if (size < 32)
        return df_h5_refuse(source, "the local heap at %llu is cut off", (unsigned long long)address);
    uint64_t length = number_at(bytes + 8), first = number_at(bytes + 16), at = number_at(bytes + 24);
    if (length == 0)
        return true;
    if (!df_h5_fetch(source, at, length, &data))
        return false;
    /* names end within: HDF5 looks for a zero */
    bool ok = data[length - 1] == 0 && check_free_list(data, length, first);
    df_free(data);
    if (!ok)
        return df_h5_refuse(source, "the local heap at %llu is damaged", (unsigned long long)address);
    return df_h5_remember(source, DF_H5_LOCAL_HEAP, at, length) &&
           df_h5_remember(source, DF_H5_LOCAL_HEAP, address, at == address + 32 ? 32 + length : 32);
}

/* ---- Which check --------------------------------------------------------------------------------- */

/* Pages of a chunk index follow: they have a checksum and no signature. */
static bool note_pages(struct df_h5_source *source, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    (void)address, (void)bytes, (void)size;
    source->pages = true;
    return true;
}

static bool check_header(struct df_h5_source *source, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    (void)bytes, (void)size; /* it is read whole */
    return df_h5_check_header(source, address, 0, NULL);
}

/* Pieces of the newer format without a check carry a checksum that HDF5 looks at: what is rotten is found. */
static const struct {
    enum df_h5_piece piece;
    char name[5];
    df_h5_check_fn *check; /* NULL: none */
} kinds[] = {
    {DF_H5_TREE, "TREE", check_tree},
    {DF_H5_TREE, "SNOD", check_names},
    {DF_H5_TREE, "BTHD", df_h5_check_block_tree},
    {DF_H5_TREE, "BTIN", NULL},
    {DF_H5_TREE, "BTLF", NULL},
    {DF_H5_TREE, "EASB", NULL},
    {DF_H5_LOCAL_HEAP, "HEAP", check_local_heap},
    {DF_H5_LOCAL_HEAP, "EADB", note_pages},
    {DF_H5_LOCAL_HEAP, "FADB", note_pages},
    {DF_H5_LOCAL_HEAP, "FHDB", NULL},
    {DF_H5_LOCAL_HEAP, "FSSE", NULL},
    {DF_H5_HEADER, "OHDR", check_header},
    {DF_H5_HEADER, "FRHP", df_h5_check_block_heap},
    {DF_H5_HEADER, "FHIB", NULL},
    {DF_H5_HEADER, "FSHD", NULL},
    {DF_H5_HEADER, "EAHD", df_h5_check_growing_array},
    {DF_H5_HEADER, "EAIB", NULL},
    {DF_H5_HEADER, "FAHD", df_h5_check_array},
};

/* The older format has no signature there, and a block that continues a header may begin with the same byte.
 * HDF5 reads 512 bytes of a header first, or up to the end: only then it is not known which of the two it
 * means to read. */
static bool begins_older_header(const struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                                uint64_t size)
{
    return size > 0 && bytes[0] == 1 &&
           (size == 512 || address + size == source->size - source->base ||
            !df_h5_leads_to(source, DF_H5_HEADER, address, size));
}

bool df_h5_check_piece(struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                       const uint8_t *bytes, uint64_t size)
{
    source->why[0] = '\0';
    source->error = 0;
    if (piece == DF_H5_SUPERBLOCK)
        return check_superblock(source, address);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && size >= 8; i++)
        if (kinds[i].piece == piece && memcmp(bytes, kinds[i].name, 4) == 0)
            return !kinds[i].check || kinds[i].check(source, address, bytes, size);
    if (piece == DF_H5_HEADER && begins_older_header(source, address, bytes, size))
        return check_header(source, address, bytes, size);
    if (df_h5_leads_to(source, piece, address, size) || (piece == DF_H5_LOCAL_HEAP && source->pages))
        return true;
    return df_h5_refuse(source, "%llu bytes of unknown metadata at %llu", (unsigned long long)size,
                        (unsigned long long)address);
}
