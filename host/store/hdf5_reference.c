/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hdf5_reference.h"

#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "store/hdf5_file.h"

/* From a string of variable length in a file to a reference in memory: both are the same bytes. */
static herr_t keep_bytes(hid_t from, hid_t to, H5T_cdata_t *conversion, size_t count, size_t stride,
                         size_t background_stride, void *bytes, void *background, hid_t transfer)
{
    (void)count, (void)stride, (void)background_stride, (void)bytes, (void)background, (void)transfer;
    conversion->need_bkg = H5T_BKG_NO;
    if (conversion->command != H5T_CONV_INIT)
        return 0;
    return H5Tis_variable_str(from) > 0 && H5Tget_size(to) == DF_H5_REFERENCE ? 0 : -1;
}

/* HDF5 is asked whether it knows the conversion: a host program that calls H5close makes it forget. */
static bool conversion_there(hid_t text, hid_t reference)
{
    H5T_cdata_t *found;
    return H5Tfind(text, reference, &found) ||
           H5Tregister(H5T_PERS_SOFT, "dfal reference", text, reference, keep_bytes) >= 0;
}

hid_t df_h5_reference_type(void)
{
    hid_t text = H5Tcopy(H5T_C_S1), reference = H5Tcreate(H5T_OPAQUE, DF_H5_REFERENCE);
    if (text < 0 || reference < 0 || H5Tset_size(text, H5T_VARIABLE) < 0 ||
        H5Tset_tag(reference, "dfal reference") < 0 || !conversion_there(text, reference)) {
        H5Tclose(reference);
        reference = -1;
    }
    if (text >= 0)
        H5Tclose(text);
    return reference;
}

dfal_status df_h5_follow(const struct df_h5 *h5, const uint8_t reference[DF_H5_REFERENCE], char **text,
                         const char *format, ...)
{
    const uint8_t *bytes;
    uint64_t size;
    *text = NULL;
    if (df_h5_heap_find(h5->source, reference, &bytes, &size)) {
        DF_TRY(df_alloc(text, (int64_t)size + 1, 1));
        if (size)
            memcpy(*text, bytes, size);
        return DFAL_OK;
    }
    if (h5->source->error)
        return df_fail_errno(h5->source->error, false, h5->path, "read");
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    df_vprint(what, sizeof what, format, arguments);
    va_end(arguments);
    DF_FAIL(DFAL_E_DATA, "%s: %s cannot be read: %s", h5->path, what, h5->source->why);
}
