/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: strings of any kind, integers and reals of any width. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "store/hdf5_file.h"
#include "store/hdf5_reference.h"

/* Write one attribute of `count` elements (rank0: a scalar). */
static dfal_status put(const struct df_h5 *h5, hid_t object, const char *name, hid_t file_type,
                       hid_t memory_type, int64_t count, bool rank0, const void *values)
{
    dfal_status status = DFAL_OK;
    hsize_t size = (hsize_t)count;
    hid_t space = rank0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &size, NULL);
    hid_t attribute = -1;
    if (space >= 0 && !df_fault_hits(DF_FAULT_WRITE))
        attribute = H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, memory_type, values) < 0)
        status = df_h5_fail(DFAL_E_IO, "%s: attribute '%s' cannot be written", h5->path, name);
    if (attribute >= 0 && H5Aclose(attribute) < 0 && status == DFAL_OK)
        status = df_h5_fail(DFAL_E_IO, "%s: attribute '%s' cannot be closed", h5->path, name);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

static dfal_status put_strings(const struct df_h5 *h5, hid_t object, const char *name,
                               const char *const *texts, int64_t count, bool rank0)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)
        return df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a string type", h5->path);
    dfal_status status = put(h5, object, name, type, type, count, rank0, texts);
    H5Tclose(type);
    return status;
}

dfal_status df_h5_put_text(const struct df_h5 *h5, hid_t object, const char *name, const char *text)
{
    if (!text)
        text = "";
    return put_strings(h5, object, name, &text, 1, true);
}

dfal_status df_h5_put_texts(const struct df_h5 *h5, hid_t object, const char *name, const char *const *texts,
                            int64_t count)
{
    return put_strings(h5, object, name, texts, count, false);
}

dfal_status df_h5_put_ints(const struct df_h5 *h5, hid_t object, const char *name, const int64_t *values,
                           int64_t count, bool rank0)
{
    return put(h5, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, count, rank0, values);
}

dfal_status df_h5_put_seed(const struct df_h5 *h5, uint64_t seed)
{
    return put(h5, h5->file, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, 1, true, &seed);
}

dfal_status df_h5_put_reals(const struct df_h5 *h5, hid_t object, const char *name, const double *values,
                            int64_t count)
{
    return put(h5, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, count, false, values);
}

/* An open attribute: its type, its number of elements (0: there is none). */
struct attribute {
    hid_t id, type;
    H5T_class_t class;
    int64_t count;
};

static void attribute_close(struct attribute *attribute)
{
    if (attribute->type >= 0)
        H5Tclose(attribute->type);
    if (attribute->id >= 0)
        H5Aclose(attribute->id);
}

static dfal_status exists(const struct df_h5 *h5, hid_t object, const char *name, bool *there)
{
    htri_t found = H5Aexists(object, name);
    *there = found > 0;
    if (found < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: attribute '%s' cannot be looked up", h5->path, name);
    return DFAL_OK;
}

dfal_status df_h5_has(const struct df_h5 *h5, const char *name, bool *there)
{
    return exists(h5, h5->file, name, there);
}

static dfal_status attribute_open(const struct df_h5 *h5, hid_t object, const char *name,
                                  struct attribute *attribute)
{
    *attribute = (struct attribute){.id = -1, .type = -1};
    bool there;
    DF_TRY(exists(h5, object, name, &there));
    if (!there)
        return DFAL_OK;
    if (!df_fault_hits(DF_FAULT_READ))
        attribute->id = H5Aopen(object, name, H5P_DEFAULT);
    hid_t space = attribute->id >= 0 ? H5Aget_space(attribute->id) : -1;
    if (attribute->id >= 0)
        attribute->type = H5Aget_type(attribute->id);
    hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    if (space >= 0)
        H5Sclose(space);
    if (attribute->type < 0 || count < 0) {
        dfal_status status = df_h5_fail(df_h5_blame(h5), "%s: attribute '%s' cannot be read", h5->path, name);
        attribute_close(attribute);
        *attribute = (struct attribute){.id = -1, .type = -1};
        return status;
    }
    attribute->count = count;
    attribute->class = H5Tget_class(attribute->type);
    return DFAL_OK;
}

dfal_status df_h5_get_text(const struct df_h5 *h5, hid_t object, const char *name, char **text)
{
    struct attribute attribute;
    dfal_status status = DFAL_OK;
    *text = NULL;
    DF_TRY(attribute_open(h5, object, name, &attribute));
    if (attribute.id < 0)
        return DFAL_OK;
    if (attribute.class != H5T_STRING || attribute.count != 1) {
        status = df_fail(DFAL_E_DATA, "%s: attribute '%s' is no single string", h5->path, name);
        goto done;
    }
    if (H5Tis_variable_str(attribute.type) > 0) {
        uint8_t reference[DF_H5_REFERENCE];
        hid_t type = df_h5_reference_type();
        if (H5Aread(attribute.id, type, reference) < 0)
            status = df_h5_fail(df_h5_blame(h5), "%s: attribute '%s' cannot be read", h5->path, name);
        else
            status = df_h5_follow(h5, reference, text, "attribute '%s'", name);
        H5Tclose(type);
    } else {
        size_t size = H5Tget_size(attribute.type);
        DF_TRY_TO(done, status, df_alloc(text, (int64_t)size + 1, 1));
        if (H5Aread(attribute.id, attribute.type, *text) < 0)
            status = df_h5_fail(df_h5_blame(h5), "%s: attribute '%s' cannot be read", h5->path, name);
        size_t length = strnlen(*text, size);
        while (H5Tget_strpad(attribute.type) == H5T_STR_SPACEPAD && length && (*text)[length - 1] == ' ')
            (*text)[--length] = '\0';
    }
done:
    if (status != DFAL_OK) {
        df_free(*text);
        *text = NULL;
    }
    attribute_close(&attribute);
    return status;
}

/* Numbers as int64 or double; kind tells which. */
static dfal_status get_numbers(const struct df_h5 *h5, hid_t object, const char *name, void *values, hid_t as,
                               int32_t limit, int32_t *count)
{
    struct attribute attribute;
    dfal_status status = DFAL_OK;
    *count = 0;
    DF_TRY(attribute_open(h5, object, name, &attribute));
    if (attribute.id < 0)
        return DFAL_OK;
    if (attribute.class != H5T_INTEGER && attribute.class != H5T_FLOAT)
        status = df_fail(DFAL_E_DATA, "%s: attribute '%s' is no number", h5->path, name);
    else if (attribute.count < 1 || attribute.count > limit)
        status = df_fail(DFAL_E_DATA, "%s: attribute '%s' has %lld values, expected 1 to %d", h5->path, name,
                         (long long)attribute.count, limit);
    else if (H5Aread(attribute.id, as, values) < 0)
        status = df_h5_fail(df_h5_blame(h5), "%s: attribute '%s' cannot be read", h5->path, name);
    else
        *count = (int32_t)attribute.count;
    attribute_close(&attribute);
    return status;
}

dfal_status df_h5_get_reals(const struct df_h5 *h5, hid_t object, const char *name, double *values,
                            int32_t limit, int32_t *count)
{
    return get_numbers(h5, object, name, values, H5T_NATIVE_DOUBLE, limit, count);
}

dfal_status df_h5_get_seed(const struct df_h5 *h5, uint64_t *seed)
{
    int32_t count;
    *seed = 0;
    DF_TRY(get_numbers(h5, h5->file, "seed", seed, H5T_NATIVE_UINT64, 1, &count));
    if (!count)
        DF_FAIL(DFAL_E_DATA, "%s has no attribute 'seed'", h5->path);
    return DFAL_OK;
}

/* Integers beyond 2^53 keep their value, reals must be whole: both are read twice and compared. */
dfal_status df_h5_get_ints(const struct df_h5 *h5, hid_t object, const char *name, int64_t *values,
                           int32_t limit, int32_t *count)
{
    double *reals;
    DF_TRY(df_alloc(&reals, limit, sizeof *reals));
    dfal_status status = get_numbers(h5, object, name, reals, H5T_NATIVE_DOUBLE, limit, count);
    for (int32_t i = 0; status == DFAL_OK && i < *count; i++)
        if (!isfinite(reals[i]) || reals[i] != floor(reals[i]))
            status = df_fail(DFAL_E_DATA, "%s: attribute '%s' has the value %.17g, expected an integer",
                             h5->path, name, reals[i]);
    df_free(reals);
    if (status == DFAL_OK && *count)
        status = get_numbers(h5, object, name, values, H5T_NATIVE_INT64, limit, count);
    return status;
}

dfal_status df_h5_get_short(const struct df_h5 *h5, const char *name, char *text, size_t size)
{
    char *read;
    DF_TRY(df_h5_get_text(h5, h5->file, name, &read));
    dfal_status status = DFAL_OK;
    text[0] = '\0';
    if (read && strlen(read) >= size)
        status = df_fail(DFAL_E_DATA, "%s: attribute '%s' is longer than %lld bytes", h5->path, name,
                         (long long)size - 1);
    else if (read)
        strcpy(text, read);
    df_free(read);
    return status;
}

dfal_status df_h5_get_one(const struct df_h5 *h5, const char *name, int64_t *value, int64_t low, int64_t high)
{
    int32_t count;
    DF_TRY(df_h5_get_ints(h5, h5->file, name, value, 1, &count));
    if (!count)
        DF_FAIL(DFAL_E_DATA, "%s has no attribute '%s'", h5->path, name);
    if (*value < low || *value > high)
        DF_FAIL(DFAL_E_DATA, "%s: attribute '%s' is %lld, expected %lld to %lld", h5->path, name,
                (long long)*value, (long long)low, (long long)high);
    return DFAL_OK;
}
