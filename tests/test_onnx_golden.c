/* SPDX-License-Identifier: Apache-2.0 */
/* The exports in tests/golden/onnx against PyTorch's float64: logits and input gradients, folded and not,
 * every back end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx.h"
#include "net/plan.h"
#include "store/hdf5_file.h"
#include "support.h"
#include "support_device.h"

#define FOLDER          "tests/golden/onnx/"
#define count_of(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *file, *group; /* of references.hdf5 */
} exports[] = {
    {"lenet-static-script", "LeNet"},
    {"lenet-dynamic-script", "LeNet"},
    {"lenet-static-dynamo", "LeNet"},
    {"lenet-dynamic-dynamo", "LeNet"},
    {"residual-folded-script", "Residual"},
    {"residual-kept-script", "Residual"},
    {"residual-dynamo", "Residual"},
    {"residual-external-script", "Residual"},
    {"residual-external-dynamo", "Residual"},
    {"shared-script", "Shared"},
    {"inverted-script", "Inverted"},
    {"inverted-dynamo", "Inverted"},
    {"squeeze-excite-script-13", "Squeeze"},
    {"squeeze-excite-script-16", "Squeeze"},
    {"squeeze-excite-dynamo", "Squeeze"},
    {"dense-script", "Dense"},
    {"dense-dynamo", "Dense"},
    {"fire-script", "Fire"},
    {"fire-dynamo", "Fire"},
    {"channels-last-script", "ChannelsLast"},
    {"channels-last-dynamo", "ChannelsLast"},
    {"pools-script", "Pools"},
    {"pools-dynamo", "Pools"},
    {"arithmetic-script", "Arithmetic"},
    {"arithmetic-dynamo", "Arithmetic"},
    {"softmax-script", "Probabilities"},
    {"softmax-dynamo", "Probabilities"},
};

/* What PyTorch says about a network. */
struct reference {
    struct df_shape input;
    int64_t rows, size, classes;
    double *x, *logits, *cotangents, *gradients;
};

/* dims of `rank` axes. */
static double *dataset(struct df_h5 *h5, const char *group, const char *name, int32_t rank, int64_t *dims)
{
    struct df_h5_data data = DF_H5_NO_DATA;
    char path[128];
    double *values;
    snprintf(path, sizeof path, "%s/%s", group, name);
    test_ok(df_h5_data_open(h5, path, &data, NULL));
    assert_int_equal(data.rank, rank);
    int64_t count = 1;
    for (int32_t k = 0; k < rank; k++)
        count *= dims[k] = data.dims[k];
    test_ok(df_alloc(&values, count, sizeof *values));
    test_ok(df_h5_data_read(h5, &data, H5T_NATIVE_DOUBLE, 0, dims[0], values));
    test_ok(df_h5_data_close(h5, &data));
    return values;
}

static void reference_read(struct reference *r, const char *group)
{
    struct df_h5 h5 = DF_H5_NONE;
    int64_t dims[4];
    char path[TEST_PATH];
    test_source(path, FOLDER "references.hdf5");
    df_h5_lock();
    test_ok(df_h5_open(&h5, path, false));
    r->cotangents = dataset(&h5, group, "cotangents", 2, dims);
    r->gradients = dataset(&h5, group, "gradients", 4, dims);
    r->x = dataset(&h5, group, "input", 4, dims);
    r->input = (struct df_shape){dims[1], dims[2], dims[3]};
    r->size = dims[1] * dims[2] * dims[3];
    r->logits = dataset(&h5, group, "logits", 2, dims);
    r->rows = dims[0];
    r->classes = dims[1];
    df_h5_close(&h5);
    df_h5_unlock();
}

static void reference_clear(struct reference *r)
{
    df_free(r->x);
    df_free(r->logits);
    df_free(r->cotangents);
    df_free(r->gradients);
}

static void write_floats(struct df_device *device, struct df_span to, const double *from, int64_t count)
{
    float *values;
    test_ok(df_alloc(&values, count, sizeof *values));
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)from[i];
    test_ok(df_write(device, 0, to, values, count));
    df_free(values);
}

/* Relative to the largest: gradients of single pixels may cancel. */
static void compare(const char *file, const char *what, struct df_device *device, struct df_span found,
                    const double *expected, int64_t count, double tolerance)
{
    double *values, largest = 0.0;
    test_ok(df_alloc(&values, count, sizeof *values));
    test_ok(device->backend->synchronize(device, 0));
    test_ok(device->backend->read_f64(device, 0, values, found, count));
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    assert_true(largest > 1e-3);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(values[i] - expected[i]) <= tolerance * largest))
            test_fail("%s on %s: %s %lld is %.9g, PyTorch says %.9g", file, device->info.backend, what,
                      (long long)i, values[i], expected[i]);
    df_free(values);
}

static void check(struct df_device *device, const char *file, const struct df_network *network,
                  const struct reference *r, bool fold)
{
    /* Float32 parameters are folded in both exporters and in dfal: a few ulp even where dfal works in
     * double. */
    double tolerance = strcmp(device->info.backend, "ref64") == 0 ? 3e-6 : 2e-5;
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dinput;
    int32_t owners[16];
    assert_true(r->rows <= 16);
    for (int32_t i = 0; i < r->rows; i++)
        owners[i] = i;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT, fold));
    test_ok(df_tape_create(&tape, plan, 0, r->rows, r->rows));
    write_floats(device, df_tape_input(tape), r->x, r->rows * r->size);
    write_floats(device, df_tape_cotangents(tape), r->cotangents, r->rows * r->classes);
    test_ok(df_write(device, 0, df_tape_owners(tape), owners, r->rows));
    test_ok(df_tape_forward(tape, r->rows));
    compare(file, "logit", device, df_tape_logits(tape), r->logits, r->rows * r->classes, tolerance);
    test_ok(df_tape_input_gradient(tape, r->rows, 1, &dinput));
    compare(file, "gradient", device, dinput, r->gradients, r->rows * r->size, tolerance);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
}

static void test_exports(void **state)
{
    struct df_device *device = *state;
    for (size_t i = 0; i < count_of(exports); i++) {
        char path[TEST_PATH], name[128];
        struct reference r = {0};
        struct df_network *network;
        snprintf(name, sizeof name, FOLDER "%s.onnx", exports[i].file);
        test_source(path, name);
        reference_read(&r, exports[i].group);
        test_ok(df_onnx_load(&network, NULL, path));
        assert_int_equal(network->class_count, r.classes);
        assert_int_equal(network->input.c, r.input.c);
        assert_int_equal(network->input.h, r.input.h);
        assert_int_equal(network->input.w, r.input.w);
        check(device, exports[i].file, network, &r, false);
        check(device, exports[i].file, network, &r, true);
        df_network_destroy(network);
        reference_clear(&r);
    }
}

/* A file that somebody adds is either in the list above or noticed here. */
static void test_complete(void **state)
{
    (void)state;
    size_t found = 0;
    char path[TEST_PATH];
    test_source(path, FOLDER);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        size_t length = strlen(entry->d_name);
        found += length > 5 && strcmp(entry->d_name + length - 5, ".onnx") == 0;
    }
    closedir(folder);
    assert_int_equal(found, count_of(exports));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exports), cmocka_unit_test(test_complete)};
    return test_on_backends(argc, argv, "ref64,ref,cpu", tests, count_of(tests));
}
