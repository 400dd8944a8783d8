/* SPDX-License-Identifier: Apache-2.0 */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t host_size[] = {
    [DF_TYPE_REAL] = 4, [DF_TYPE_I32] = 4, [DF_TYPE_U8] = 1, [DF_TYPE_F64] = 8};

/* A value no op writes by chance; ours: 0 before and behind, 1 unset output. */
static void fill_pattern(void *to, enum df_type type, int64_t count, int which)
{
    for (int64_t i = 0; i < count; i++)
        switch (type) {
        case DF_TYPE_REAL:
            ((float *)to)[i] = which ? -7654.25F : 1234.5F;
            break;
        case DF_TYPE_I32:
            ((int32_t *)to)[i] = which ? -765432 : 0x5a5a5a5a;
            break;
        case DF_TYPE_U8:
            ((uint8_t *)to)[i] = which ? 0xa5 : 0x5a;
            break;
        case DF_TYPE_F64:
            ((double *)to)[i] = which ? -7654.25 : 1234.5;
            break;
        }
}

static void *host_new(enum df_type type, int64_t count)
{
    void *memory = calloc((size_t)count + 1, host_size[type]);
    if (memory == NULL)
        test_fail("out of memory");
    return memory;
}

/* Write guards and first contents. */
static void operand_reset(struct df_device *device, const struct test_operand *o)
{
    void *guard = host_new(o->type, TEST_GUARD);
    fill_pattern(guard, o->type, TEST_GUARD, 0);
    test_ok(df_write(device, 0, (struct df_span){o->span.buffer, 0}, guard, TEST_GUARD));
    test_ok(df_write(device, 0, o->span, o->first, o->count));
    test_ok(df_write(device, 0, df_at(o->span, o->count), guard, TEST_GUARD));
    free(guard);
}

static void operand_create(struct df_device *device, struct test_operand *o, struct df_span *span,
                           enum df_type type, const void *values, int64_t count)
{
    o->type = type;
    o->count = count;
    o->first = host_new(type, count);
    if (values != NULL)
        memcpy(o->first, values, (size_t)count * host_size[type]);
    else
        fill_pattern(o->first, type, count, 1);
    test_ok(df_buffer_new(device, &o->span, type, count + 2 * TEST_GUARD));
    o->span.offset = TEST_GUARD;
    *span = o->span;
    operand_reset(device, o);
}

static void check_guards(struct df_device *device, const struct test_operand *o, const char *op,
                         const char *side, int k)
{
    void *guard = host_new(o->type, TEST_GUARD), *found = host_new(o->type, TEST_GUARD);
    fill_pattern(guard, o->type, TEST_GUARD, 0);
    for (int end = 0; end < 2; end++) {
        struct df_span at = end ? df_at(o->span, o->count) : (struct df_span){o->span.buffer, 0};
        test_ok(df_read(device, 0, found, at, TEST_GUARD));
        if (memcmp(guard, found, TEST_GUARD * host_size[o->type]) != 0)
            test_fail("%s on %s wrote %s operand %s %d", op, device->info.backend, end ? "behind" : "before",
                      side, k);
    }
    free(guard);
    free(found);
}

void rig_begin(struct test_rig *rig, struct df_device *device, enum df_op op, int64_t rows, int64_t cols)
{
    memset(rig, 0, sizeof *rig);
    rig->device = device;
    rig->call.op = op;
    rig->call.rows = rows;
    rig->call.cols = cols;
}

void rig_in(struct test_rig *rig, int k, enum df_type type, const void *values, int64_t count)
{
    operand_create(rig->device, &rig->in[k], &rig->call.in[k], type, values, count);
}

void rig_out(struct test_rig *rig, int k, enum df_type type, const void *values, int64_t count)
{
    operand_create(rig->device, &rig->out[k], &rig->call.out[k], type, values, count);
}

void rig_run(struct test_rig *rig)
{
    const char *op = df_op_info[rig->call.op].name;
    void *first[DF_MAX_OUT] = {NULL};
    for (int turn = 0; turn < 2; turn++) {
        for (int k = 0; k < DF_MAX_OUT; k++)
            if (rig->out[k].span.buffer != NULL)
                operand_reset(rig->device, &rig->out[k]);
        test_ok(df_call_run(rig->device, 0, &rig->call));
        test_ok(rig->device->backend->synchronize(rig->device, 0));
        for (int k = 0; k < DF_MAX_OUT; k++) {
            const struct test_operand *o = &rig->out[k];
            if (o->span.buffer == NULL)
                continue;
            check_guards(rig->device, o, op, "out", k);
            void *values = host_new(o->type, o->count);
            test_ok(df_read(rig->device, 0, values, o->span, o->count));
            if (turn == 0) {
                first[k] = values;
                continue;
            }
            if (memcmp(first[k], values, (size_t)o->count * host_size[o->type]) != 0)
                test_fail("%s on %s: output %d differs between two runs", op, rig->device->info.backend, k);
            free(values);
            free(first[k]);
        }
    }
    for (int k = 0; k < DF_MAX_IN; k++) {
        const struct test_operand *o = &rig->in[k];
        if (o->span.buffer == NULL)
            continue;
        check_guards(rig->device, o, op, "in", k);
        void *values = host_new(o->type, o->count);
        test_ok(df_read(rig->device, 0, values, o->span, o->count));
        if (memcmp(o->first, values, (size_t)o->count * host_size[o->type]) != 0)
            test_fail("%s on %s changed its input %d", op, rig->device->info.backend, k);
        free(values);
    }
}

void rig_get(struct test_rig *rig, int k, void *out)
{
    test_ok(df_read(rig->device, 0, out, rig->out[k].span, rig->out[k].count));
}

void rig_get_f64(struct test_rig *rig, int k, double *out)
{
    test_ok(rig->device->backend->read_f64(rig->device, 0, out, rig->out[k].span, rig->out[k].count));
}

void rig_end(struct test_rig *rig)
{
    for (int k = 0; k < DF_MAX_OUT; k++) {
        df_buffer_drop(rig->device, &rig->out[k].span);
        free(rig->out[k].first);
    }
    for (int k = 0; k < DF_MAX_IN; k++) {
        df_buffer_drop(rig->device, &rig->in[k].span);
        free(rig->in[k].first);
    }
}

struct df_device *test_device_open(const char *name, int32_t queues)
{
    struct df_device *device;
    const dfal_status status = df_device_open(&device, name, "auto", queues);
    if (status == DFAL_OK)
        return device;
    if (status == DFAL_E_UNAVAILABLE && !test_required(name)) {
        printf("skipped on %s: %s\n", name, dfal_last_error());
        return NULL;
    }
    fprintf(stderr, "cannot open %s: %s\n", name, dfal_last_error());
    exit(1);
}

static const char *current;

const char *test_backend(void)
{
    return current;
}

int test_on_backends(int argc, char **argv, const char *defaults, const struct CMUnitTest *tests,
                     size_t count)
{
    const char *names[TEST_BACKENDS];
    int failed = 0, ran = 0;
    const int backends = test_backends(names, argc, argv, defaults);
    struct CMUnitTest *own = calloc(count, sizeof *own);
    for (int b = 0; b < backends && own != NULL; b++) {
        struct df_device *device = test_device_open(names[b], 2);
        if (device == NULL)
            continue;
        for (size_t i = 0; i < count; i++) {
            own[i] = tests[i];
            own[i].initial_state = device;
        }
        current = names[b];
        printf("on %s:\n", names[b]);
        fflush(stdout);
        failed += _cmocka_run_group_tests(names[b], own, count, NULL, NULL);
        df_device_close(device);
        ran++;
    }
    free(own);
    return failed != 0 ? 1 : ran != 0 ? 0 : 77;
}
