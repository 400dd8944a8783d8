/* SPDX-License-Identifier: Apache-2.0 */
/* What datasets a file holds. */
#include <stdio.h>
#include <string.h>

#include "store/hdf5_file.h"
#include "store/table.h"

enum { MOST_NAMES = 1000 };

struct listing {
    struct df_h5 *h5;
    df_table_entry_fn *visit;
    void *user;
    int64_t count;
    dfal_status status;
};

static const char *type_text(char text[16], const struct df_h5_data *data)
{
    if (data->kind == DF_H5_INTEGER)
        snprintf(text, 16, "%c%d", data->is_unsigned ? 'u' : 'i', (int)(8 * data->type_size));
    else if (data->kind == DF_H5_REAL)
        snprintf(text, 16, "f%d", (int)(8 * data->type_size));
    else
        snprintf(text, 16, "%s", data->kind == DF_H5_TEXT ? "text" : "other");
    return text;
}

/* Hard links only: H5Lvisit follows no other, and comes to each object once. */
static herr_t look(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    struct listing *listing = user;
    struct df_h5_data data;
    H5O_info_t object;
    char shape[DF_H5_SHAPE_TEXT], type[16], what[DF_H5_SHAPE_TEXT + 16];
    if (info->type != H5L_TYPE_HARD || H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) < 0 ||
        object.type != H5O_TYPE_DATASET)
        return 0;
    if (++listing->count > MOST_NAMES)
        return 1;
    listing->status = df_h5_data_open(listing->h5, name, &data, NULL);
    if (listing->status != DFAL_OK)
        return 1;
    snprintf(what, sizeof what, "%s %s", data.rank ? df_h5_shape(shape, data.dims, data.rank) : "one",
             type_text(type, &data));
    df_h5_data_close(listing->h5, &data);
    listing->visit(listing->user, name, what);
    return 0;
}

dfal_status df_table_list(const char *path, df_table_entry_fn *visit, void *user)
{
    struct df_h5 h5 = DF_H5_NONE;
    df_h5_lock();
    dfal_status status = df_h5_open(&h5, path, false);
    if (status == DFAL_OK) {
        struct listing listing = {.h5 = &h5, .visit = visit, .user = user};
        if (H5Lvisit(h5.file, H5_INDEX_NAME, H5_ITER_INC, look, &listing) < 0)
            status = df_h5_fail(DFAL_E_DATA, "%s: its datasets cannot be listed", path);
        if (listing.status != DFAL_OK)
            status = listing.status;
    }
    df_h5_close(&h5);
    df_h5_unlock();
    return status;
}
