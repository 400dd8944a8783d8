/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/plan.h"
#include "support_device.h"

char onnx_folder[TEST_PATH];

int onnx_setup(void **state)
{
    (void)state;
    test_folder_create(onnx_folder);
    return 0;
}

int onnx_teardown(void **state)
{
    (void)state;
    test_folder_remove(onnx_folder);
    return 0;
}

static int read_words(const char *text, float *values, int most)
{
    int count = 0;
    for (char *end; *text && count < most; text = end + strspn(end, " "), count++) {
        values[count] = strtof(text, &end);
        if (end == text)
            test_fail("'%s' begins with no number", text);
    }
    return count;
}

static void compute(const struct df_network *network, const float *x, int64_t rows, float *logits)
{
    struct df_device *device = test_device_open("ref", 1);
    struct df_plan *plan;
    struct df_tape *tape;
    test_ok(df_plan_create(&plan, device, network, DF_PLAN_FORWARD, true));
    test_ok(df_tape_create(&tape, plan, 0, rows, 0));
    test_ok(df_write(device, 0, df_tape_input(tape), x, rows * df_shape_size(network->input)));
    test_ok(df_tape_forward(tape, rows));
    test_ok(df_read(device, 0, logits, df_tape_logits(tape), rows * network->class_count));
    df_tape_destroy(tape);
    df_plan_destroy(plan);
    df_device_close(device);
}

void onnx_begin(struct model *model, int opset, const char *dims)
{
    model_begin(model, opset);
    model_input(model, "x", 1, dims);
    model_output(model, "y");
}

void onnx_expect(struct model *model, const char *x, const char *logits, struct df_network **keep)
{
    enum { MOST = 1024 };
    char path[TEST_PATH];
    float in[MOST], found[MOST], expected[MOST], largest = 0.0f;
    const int64_t live = df_alloc_live();
    struct df_network *network;
    test_join(path, onnx_folder, "m.onnx");
    model_write(model, path);
    model_clear(model);
    test_ok(df_onnx_load(&network, NULL, path));
    const int count = read_words(logits, expected, MOST), given = read_words(x, in, MOST);
    const int64_t rows = given / df_shape_size(network->input);
    if (given != rows * df_shape_size(network->input) || count != rows * network->class_count)
        test_fail("%d values and %d logits do not fit a network of %lld inputs and %d classes", given, count,
                  (long long)df_shape_size(network->input), network->class_count);
    compute(network, in, rows, found);
    for (int i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    for (int i = 0; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) <= 1e-6f * largest + 1e-9f))
            test_fail("logit %d is %.9g, expected %.9g", i, (double)found[i], (double)expected[i]);
    if (keep) {
        *keep = network;
        return;
    }
    df_network_destroy(network);
    if (df_alloc_live() != live)
        test_fail("%lld blocks are left", (long long)(df_alloc_live() - live));
}

void onnx_refuse_file(const char *path, int status, const char *words)
{
    struct df_network *network;
    const int64_t live = df_alloc_live();
    const dfal_status found = df_onnx_load(&network, NULL, path);
    if (found != (dfal_status)status || network)
        test_fail("the file gave %d (%s), expected %d", (int)found, dfal_last_error(), status);
    if (df_alloc_live() != live)
        test_fail("%lld blocks are left", (long long)(df_alloc_live() - live));
    char word[256];
    const char *name = strrchr(path, '/');
    if (!strstr(dfal_last_error(), name ? name + 1 : path))
        test_fail("the file is not named in: %s", dfal_last_error());
    for (const char *at = words; *at; at += *at == '|') {
        const size_t length = strcspn(at, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        if (!strstr(dfal_last_error(), word))
            test_fail("'%s' is not named in: %s", word, dfal_last_error());
        at += length;
    }
}

void onnx_refuse(struct model *model, int status, const char *words)
{
    char path[TEST_PATH];
    test_join(path, onnx_folder, "bad.onnx");
    model_write(model, path);
    model_clear(model);
    onnx_refuse_file(path, status, words);
}
