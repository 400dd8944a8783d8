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

static bool look(void *user, const char *name)
{
    struct listing *listing = user;
    struct df_h5_data data;
    char shape[DF_H5_SHAPE_TEXT], type[16], what[DF_H5_SHAPE_TEXT + 16];
    if (++listing->count > MOST_NAMES)
        return false;
    listing->status = df_h5_data_open(listing->h5, name, &data, NULL);
    if (listing->status != DFAL_OK)
        return false;
    snprintf(what, sizeof what, "%s %s", data.rank ? df_h5_shape(shape, data.dims, data.rank) : "one",
             type_text(type, &data));
    df_h5_data_close(listing->h5, &data);
    listing->visit(listing->user, name, what);
    return true;
}

dfal_status df_table_list(const char *path, df_table_entry_fn *visit, void *user)
{
    struct df_h5 h5 = DF_H5_NONE;
    df_h5_lock();
    dfal_status status = df_h5_open(&h5, path, false);
    if (status == DFAL_OK) {
        struct listing listing = {.h5 = &h5, .visit = visit, .user = user};
        status = df_h5_visit(&h5, "/", look, &listing);
        if (listing.status != DFAL_OK)
            status = listing.status;
    }
    df_h5_close(&h5);
    df_h5_unlock();
    return status;
}
