/* SPDX-License-Identifier: Apache-2.0 */
/* Input bytes choose types, shapes, attributes and labels of an HDF5 file; the pool reader takes or refuses
 * it. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "memory_file.h"
#include "store/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned byte(struct input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static hid_t type_of(unsigned choice)
{
    const hid_t types[] = {H5T_STD_U8LE,   H5T_IEEE_F32LE, H5T_STD_I32LE, H5T_STD_I64BE,
                           H5T_IEEE_F64LE, H5T_STD_U16LE,  H5T_C_S1,      H5T_STD_I8LE};
    return types[choice % 8];
}

static void attribute(hid_t at, const char *name, hid_t type, const void *value, hsize_t count)
{
    hid_t space = count == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, NULL);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0) {
        H5Awrite(a, type == H5T_C_S1 ? H5T_NATIVE_CHAR : type, value);
        H5Aclose(a);
    }
    H5Sclose(space);
}

static void dataset(hid_t file, const char *name, struct input *in, int64_t *values, hid_t type)
{
    int rank = 1 + (int)(byte(in) % 5);
    hsize_t dims[5], total = 1;
    for (int i = 0; i < rank; i++) {
        dims[i] = byte(in) % 7;
        total *= dims[i];
    }
    if (byte(in) == 200)
        dims[0] = (hsize_t)1 << 40;
    hid_t space = H5Screate_simple(rank, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    if (byte(in) % 2 && total > 0) {
        H5Pset_chunk(create, rank, dims[0] > 1000 ? (hsize_t[]){1, 1, 1, 1, 1} : dims);
        if (byte(in) % 2)
            H5Pset_deflate(create, 1);
    }
    hid_t d = H5Dcreate2(file, name, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    if (d >= 0 && total > 0 && total < 20000 && dims[0] < 1000 && byte(in) % 8 && type != H5T_C_S1)
        H5Dwrite(d, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    if (d >= 0)
        H5Dclose(d);
    H5Pclose(create);
    H5Sclose(space);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int64_t values[20000];
    struct input in = {data, size};
    char path[64];
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    snprintf(path, sizeof path, "/dev/shm/dfal-fuzz-pool-%d.h5", (int)getpid());
    for (int i = 0; i < 20000; i++)
        values[i] = (int64_t)(size ? data[(size_t)i % size] % 12 : 0) - 1;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file < 0)
        abort();
    if (byte(&in) % 8) {
        hid_t text = H5Tcopy(H5T_C_S1);
        H5Tset_size(text, byte(&in) % 2 ? 9 : 10);
        attribute(file, "format", text, byte(&in) % 8 ? "dfal-pool\0" : "dfal-netw\0", 0);
        H5Tclose(text);
    }
    int64_t number = byte(&in) % 4 ? 1 : byte(&in);
    attribute(file, "version", H5T_NATIVE_INT64, &number, byte(&in) % 4 ? 0 : 1);
    number = byte(&in) % 16;
    attribute(file, "class_count", byte(&in) % 4 ? H5T_NATIVE_INT64 : H5T_IEEE_F64LE, &number, 0);
    double affine[4] = {1.0 / 255, byte(&in) % 4 ? 0 : 1e308 * 10, 2, 3};
    attribute(file, "scale", H5T_NATIVE_DOUBLE, affine, 1 + byte(&in) % 4);
    attribute(file, "offset", H5T_NATIVE_DOUBLE, affine + 1, 1 + byte(&in) % 3);
    dataset(file, "samples", &in, values, type_of(byte(&in) % 4 ? byte(&in) % 2 : byte(&in)));
    if (byte(&in) % 4)
        dataset(file, "labels", &in, values, type_of(byte(&in)));
    if (byte(&in) % 4 == 0)
        dataset(file, "ids", &in, values, type_of(byte(&in)));
    if (byte(&in) % 4 == 0)
        dataset(file, "classes", &in, values, type_of(byte(&in)));
    H5Fclose(file);

    struct df_pool *pool = NULL;
    struct dfal_pool_options options;
    memset(&options, 0, sizeof options);
    if (byte(&in) % 4 == 0)
        options.layout = "NHWC";
    int64_t live = df_alloc_live();
    if (df_pool_open(&pool, NULL, path, &options) == DFAL_OK) {
        char *raw = NULL;
        if (df_alloc(&raw, pool->count, df_pool_row_bytes(pool)) != DFAL_OK ||
            (df_pool_read(pool, raw, 0, pool->count) != DFAL_OK && !dfal_last_error()[0]))
            abort();
        df_free(raw);
        df_pool_close(pool);
    } else if (pool || !dfal_last_error()[0]) {
        abort();
    }
    if (df_alloc_live() != live || H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_FILE) > 0)
        abort();
    unlink(path);
    return 0;
}
