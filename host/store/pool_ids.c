/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of an open pool, and the row of an id. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/pool_file.h"

enum { ID_BLOCK = 4096, NEAREST_MOST = 1 << 20 };

/* An id by 128 bits of its sha256: whoever can make two of them agree has broken sha256, so no id is read
 * again. */
struct id_slot {
    uint64_t key[2];
    int64_t row; /* -1: empty */
};

/* Open addressing, two slots of three in use: 36 bytes a row. */
struct df_id_index {
    int64_t capacity;
    struct id_slot slots[];
};

static void make_id(char id[DF_MADE_ID], const char *fingerprint, int64_t row)
{
    enum { MARK = 8, DIGITS = 20 }; /* letters of the fingerprint; digits of any row */
    char digits[DIGITS];
    int first = DIGITS;
    do
        digits[--first] = (char)('0' + row % 10);
    while ((row /= 10) > 0 && first > 0);
    memcpy(id, fingerprint, MARK);
    id[MARK] = ':';
    memcpy(id + MARK + 1, digits + first, (size_t)(DIGITS - first));
    id[MARK + 1 + DIGITS - first] = 0;
}

void df_pool_make_id(const struct df_pool *pool, char id[DF_MADE_ID], int64_t row)
{
    make_id(id, pool->fingerprint, row);
}

bool df_id_is_made(const char *id, const char *fingerprint, int64_t row)
{
    char made[DF_MADE_ID];
    make_id(made, fingerprint, row);
    return strcmp(id, made) == 0;
}

dfal_status df_pool_ids(struct df_pool *pool, char **ids, int64_t begin, int64_t count)
{
    if (begin < 0 || count < 0 || begin > pool->count - count)
        DF_FAIL(DFAL_E_INTERNAL, "%s: ids of rows %lld to %lld were asked of a pool of %lld", pool->path,
                (long long)begin, (long long)(begin + count), (long long)pool->count);
    if (pool->has_ids) {
        df_h5_lock();
        dfal_status status = df_h5_texts_read(&pool->file->h5, &pool->file->ids, begin, count, ids);
        df_h5_unlock();
        return status;
    }
    for (int64_t i = 0; i < count; i++)
        ids[i] = NULL;
    dfal_status status = DFAL_OK;
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        char id[DF_MADE_ID];
        df_pool_make_id(pool, id, begin + i);
        status = df_strdup(&ids[i], id);
    }
    for (int64_t i = 0; i < count && status != DFAL_OK; i++) {
        df_free(ids[i]);
        ids[i] = NULL;
    }
    return status;
}

dfal_status df_pool_id(struct df_pool *pool, char **id, int64_t row)
{
    *id = NULL;
    return df_pool_ids(pool, id, row, 1);
}

static struct id_slot *find_slot(struct df_id_index *index, const char *id)
{
    uint64_t key[2];
    df_digest_key(key, id);
    for (int64_t at = (int64_t)(key[0] % (uint64_t)index->capacity);;
         at = at + 1 == index->capacity ? 0 : at + 1) {
        struct id_slot *slot = &index->slots[at];
        if (slot->row < 0)
            memcpy(slot->key, key, sizeof key);
        if (slot->row < 0 || (slot->key[0] == key[0] && slot->key[1] == key[1]))
            return slot;
    }
}

static dfal_status add_id(const struct df_pool *pool, struct df_id_index *index, const char *id, int64_t row)
{
    char shown[DF_SHOWN_TEXT];
    struct id_slot *slot = find_slot(index, id);
    if (!id[0])
        DF_FAIL(DFAL_E_DATA, "%s: the id of row %lld is empty, expected a text of its own for each row",
                pool->path, (long long)row);
    if (slot->row >= 0)
        DF_FAIL(DFAL_E_DATA, "%s: id '%s' stands in row %lld and in row %lld, expected each id once",
                pool->path, df_shown(shown, id), (long long)slot->row, (long long)row);
    slot->row = row;
    return DFAL_OK;
}

static dfal_status build_index(struct df_pool *pool)
{
    dfal_status status = DFAL_OK;
    char **ids = NULL;
    struct df_id_index *index = NULL;
    int64_t capacity = pool->count + pool->count / 2 + 1;
    DF_TRY_TO(done, status,
              df_alloc(&index, (int64_t)sizeof *index + capacity * (int64_t)sizeof *index->slots, 1));
    index->capacity = capacity;
    for (int64_t i = 0; i < capacity; i++)
        index->slots[i].row = -1;
    DF_TRY_TO(done, status, df_alloc(&ids, ID_BLOCK, sizeof *ids));
    for (int64_t begin = 0; begin < pool->count && status == DFAL_OK; begin += ID_BLOCK) {
        int64_t n = pool->count - begin < ID_BLOCK ? pool->count - begin : ID_BLOCK;
        DF_TRY_TO(done, status, df_pool_ids(pool, ids, begin, n));
        for (int64_t i = 0; i < n; i++) {
            DF_KEEP_FIRST(status, add_id(pool, index, ids[i], begin + i));
            df_free(ids[i]);
        }
    }
    if (status == DFAL_OK) {
        pool->file->index = index;
        index = NULL;
    }
done:
    df_free(index);
    df_free(ids);
    return status;
}

/* A made-up id tells its row. */
static int64_t parse_made_up(const struct df_pool *pool, const char *id)
{
    if (strncmp(id, pool->fingerprint, 8) != 0 || id[8] != ':' || id[9] < '0' || id[9] > '9' ||
        (id[9] == '0' && id[10]) || strlen(id) > 27)
        return -1;
    char *end;
    long long row = strtoll(id + 9, &end, 10);
    return *end || row >= pool->count ? -1 : row;
}

dfal_status df_pool_find(struct df_pool *pool, int64_t *row, const char *id)
{
    *row = -1;
    if (!pool->has_ids) {
        *row = parse_made_up(pool, id);
        return DFAL_OK;
    }
    if (!pool->file->index)
        DF_TRY(build_index(pool));
    *row = find_slot(pool->file->index, id)->row;
    return DFAL_OK;
}

dfal_status df_pool_nearest(struct df_pool *pool, char **id, const char *text)
{
    const int64_t count = !pool->has_ids ? 0 : pool->count < NEAREST_MOST ? pool->count : NEAREST_MOST;
    int best = df_nearest_begin(text);
    char **ids = NULL;
    dfal_status status;
    *id = NULL;
    DF_TRY_TO(done, status, df_alloc(&ids, ID_BLOCK, sizeof *ids));
    for (int64_t begin = 0; begin < count; begin += ID_BLOCK) {
        const int64_t n = count - begin < ID_BLOCK ? count - begin : ID_BLOCK;
        DF_TRY_TO(done, status, df_pool_ids(pool, ids, begin, n));
        for (int64_t i = 0; i < n; i++) {
            char *other = ids[i];
            if (df_nearest_offer(&best, text, other)) {
                other = *id;
                *id = ids[i];
            }
            df_free(other);
        }
    }
done:
    if (status != DFAL_OK) {
        df_free(*id);
        *id = NULL;
    }
    df_free(ids);
    return status;
}

void df_pool_forget_index(struct df_pool *pool)
{
    df_free(pool->file->index);
    pool->file->index = NULL;
}
