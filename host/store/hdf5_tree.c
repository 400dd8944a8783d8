/* SPDX-License-Identifier: Apache-2.0 */
/* Version 2 trees, walked before HDF5 does: it trusts the counts that stand beside children. */
#include "store/hdf5_newer.h"

#include <string.h>

#include "base/memory.h"

enum { HEAD = 38, NODE_HEAD = 6, SUM = 4, MOST_DEPTH = 16, LAST_KIND = 11 };
static const uint64_t none = UINT64_MAX, most_node = (uint64_t)1 << 30;

struct tree {
    struct df_h5_source *source;
    uint64_t address, kind, node_bytes, record_bytes, depth, root, root_records, all;
    uint64_t most[MOST_DEPTH + 1];   /* records of a node at each height */
    int below_bytes[MOST_DEPTH + 1]; /* of the number of all records below a child at that height */
    int count_bytes;                 /* of the number of a child's own */
    uint64_t seen, fetched;          /* records, bytes of nodes */
    df_h5_record_fn *visit;
    void *user;
};

static bool damaged(const struct tree *tree)
{
    return df_h5_refuse(tree->source, "the tree at %llu is damaged", (unsigned long long)tree->address);
}

int df_h5_bytes_for(uint64_t limit)
{
    return limit ? df_h5_log(limit) / 8 + 1 : 1;
}

/* What fits into a node at each height follows from its size. */
static bool measure(struct tree *tree)
{
    const uint64_t room = tree->node_bytes - NODE_HEAD - SUM;
    uint64_t all = tree->most[0] = room / tree->record_bytes;
    tree->count_bytes = df_h5_bytes_for(all);
    tree->below_bytes[0] = 0;
    for (uint64_t height = 1; height <= tree->depth; height++) {
        const uint64_t pointer = 8 + (uint64_t)tree->count_bytes + (uint64_t)tree->below_bytes[height - 1];
        tree->most[height] = room > pointer ? (room - pointer) / (tree->record_bytes + pointer) : 0;
        if (tree->most[height] == 0 || all > UINT64_MAX / 2 / (tree->most[height] + 1))
            return damaged(tree);
        all = (tree->most[height] + 1) * all + tree->most[height];
        tree->below_bytes[height] = df_h5_bytes_for(all);
    }
    return true;
}

static bool open_tree(struct tree *tree, uint64_t least_record)
{
    uint8_t *bytes;
    struct df_h5_source *source = tree->source;
    if (!df_h5_fetch(source, tree->address, HEAD, &bytes))
        return false;
    struct df_h5_cursor c = {bytes, bytes + HEAD, false};
    bool ok = memcmp(bytes, "BTHD", 4) == 0;
    df_h5_skip(&c, 5);
    tree->kind = df_h5_take(&c, 1);
    tree->node_bytes = df_h5_take(&c, 4);
    tree->record_bytes = df_h5_take(&c, 2);
    tree->depth = df_h5_take(&c, 2);
    df_h5_skip(&c, 2);
    tree->root = df_h5_take(&c, 8);
    tree->root_records = df_h5_take(&c, 2);
    tree->all = df_h5_take(&c, 8);
    df_free(bytes);
    const uint64_t whole = source->size - source->base;
    ok = ok && tree->kind <= LAST_KIND && tree->node_bytes >= 64 && tree->node_bytes <= most_node &&
         tree->record_bytes >= least_record && tree->record_bytes >= 4 &&
         tree->record_bytes <= tree->node_bytes / 4 && tree->depth <= MOST_DEPTH &&
         tree->all <= whole / tree->record_bytes &&
         (tree->root == none ? tree->all == 0 && tree->root_records == 0 : tree->root_records > 0);
    return (ok || damaged(tree)) && measure(tree);
}

static bool walk_node(struct tree *tree, uint64_t address, uint64_t records, uint64_t height);

static bool walk_children(struct tree *tree, struct df_h5_cursor *c, uint64_t count, uint64_t height)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t child = df_h5_take(c, 8), records = df_h5_take(c, tree->count_bytes);
        df_h5_skip(c, (uint64_t)tree->below_bytes[height - 1]);
        if (!walk_node(tree, child, records, height - 1))
            return false;
    }
    return true;
}

/* A node has a record at least, and all nodes together have as many as the head says: so no walk is
 * endless. */
static bool walk_node(struct tree *tree, uint64_t address, uint64_t records, uint64_t height)
{
    uint8_t *bytes;
    tree->seen += records;
    tree->fetched += tree->node_bytes; /* no two are the same bytes */
    if (tree->fetched > tree->source->size || records == 0 || records > tree->most[height] ||
        tree->seen > tree->all)
        return damaged(tree);
    if (!df_h5_fetch(tree->source, address, tree->node_bytes, &bytes))
        return false;
    struct df_h5_cursor c = {bytes, bytes + tree->node_bytes, false};
    bool ok = (memcmp(bytes, height ? "BTIN" : "BTLF", 4) == 0 && bytes[5] == tree->kind) || damaged(tree);
    df_h5_skip(&c, NODE_HEAD);
    for (uint64_t i = 0; ok && i < records; i++) {
        ok = !tree->visit || tree->visit(tree->user, c.at);
        df_h5_skip(&c, tree->record_bytes);
    }
    ok = ok && (height == 0 || walk_children(tree, &c, records + 1, height));
    df_free(bytes);
    return ok;
}

bool df_h5_tree_walk(struct df_h5_source *source, uint64_t address, uint64_t kind, uint64_t least_record,
                     df_h5_record_fn *visit, void *user)
{
    struct tree tree = {.source = source, .address = address, .visit = visit, .user = user};
    if (!open_tree(&tree, least_record))
        return false;
    if (kind != DF_H5_ANY_TREE && kind != tree.kind)
        return damaged(&tree);
    if (tree.root != none && !walk_node(&tree, tree.root, tree.root_records, tree.depth))
        return false;
    return tree.seen == tree.all || damaged(&tree);
}

bool df_h5_check_block_tree(struct df_h5_source *source, uint64_t address, const uint8_t *bytes,
                            uint64_t size)
{
    (void)bytes, (void)size; /* read again, with its nodes */
    return df_h5_tree_walk(source, address, DF_H5_ANY_TREE, 0, NULL, NULL);
}
