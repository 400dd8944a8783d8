/* SPDX-License-Identifier: Apache-2.0 */
/* Links and groups of a stranger's file. */
#include <string.h>

#include "base/memory.h"
#include "store/hdf5_file.h"

/* H5Lexists alone fails when a group in front is missing. */
dfal_status df_h5_exists(struct df_h5 *h5, const char *name, bool *found)
{
    dfal_status status = DFAL_OK;
    char *part;
    *found = true;
    DF_TRY(df_strdup(&part, name));
    for (char *end = part; status == DFAL_OK && *found && end;) {
        end = strchr(end + 1, '/');
        if (end)
            *end = '\0';
        htri_t there = *part ? H5Lexists(h5->file, part, h5->access) : 1;
        if (h5->external)
            status = df_fail(DFAL_E_DATA, "%s: '%s' leads through an external link to another file", h5->path,
                             name);
        else if (there < 0)
            status = df_h5_fail(df_h5_blame(h5), "%s: '%s' cannot be looked up", h5->path, name);
        *found = there > 0;
        if (end)
            *end = '/';
    }
    df_free(part);
    return status;
}

enum { MOST_OBJECTS = 100000, MOST_DEPTH = 32 };

struct walk {
    df_h5_visit_fn *visit;
    void *user;
    int64_t objects;
    bool endless;
};

/* Groups of a stranger's file may contain themselves: HDF5 sees that only where the file counts its links. */
static herr_t walk_on(hid_t group, const char *name, const H5O_info_t *info, void *user)
{
    (void)group;
    struct walk *walk = user;
    int depth = 0;
    for (const char *at = name; (at = strchr(at, '/')); at++)
        depth++;
    walk->endless = depth > MOST_DEPTH || ++walk->objects > MOST_OBJECTS;
    if (walk->endless)
        return 1;
    return info->type == H5O_TYPE_DATASET && !walk->visit(walk->user, name);
}

dfal_status df_h5_visit(struct df_h5 *h5, const char *group, df_h5_visit_fn *visit, void *user)
{
    struct walk walk = {.visit = visit, .user = user};
    bool there;
    DF_TRY(df_h5_exists(h5, group, &there));
    if (!there)
        return DFAL_OK;
    if (H5Ovisit_by_name(h5->file, group, H5_INDEX_NAME, H5_ITER_INC, walk_on, &walk, h5->access) < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: the datasets of '%s' cannot be listed", h5->path, group);
    if (walk.endless)
        DF_FAIL(DFAL_E_DATA, "%s: '%s' has more than %d objects, or groups %d deep", h5->path, group,
                MOST_OBJECTS, MOST_DEPTH);
    return DFAL_OK;
}
