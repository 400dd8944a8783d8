/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: run again and again they give the bits of the calls they were made of; what may not be recorded
 * fails, and the queue goes on. A back end without recordings runs the calls. */
#include "support.h"
#include "support_device.h"
#include "support_gradient.h"
#include "support_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "net/plan.h"

enum { FEW = 11, MANY = 37, COTANGENTS = 11 };

/* A network on a queue. */
struct rig {
    struct df_device *device;
    int32_t queue;
    struct df_network *network;
    struct df_plan *plan;
    struct df_tape *tape;
    struct df_span dlogits, gradient, dinput;
    int64_t rows; /* of `calls` */
    bool trains;
};

/* Layer by layer, with gradients of the parameters; or fused, where the back end has that. */
static void rig_open(struct rig *rig, struct df_device *device, int32_t queue, bool fused)
{
    *rig = (struct rig){.device = device, .queue = queue, .rows = FEW, .trains = !fused};
    rig->network = fused ? test_graph((struct df_shape){1, 12, 12}, 5,
                                      "c Conv input o=4 k=5;p MaxPool c k=2 s=2;r Relu p;f Flatten r;"
                                      "g Gemm f o=9;h Relu g;out Gemm h o=5")
                         : test_chain();
    test_ok(df_plan_create(&rig->plan, device, rig->network,
                           DF_PLAN_INPUT_GRADIENT | (fused ? DF_PLAN_FUSED : DF_PLAN_TRAIN), false));
    test_ok(df_tape_create(&rig->tape, rig->plan, queue, MANY, COTANGENTS));
    test_ok(df_buffer_new(device, &rig->dlogits, DF_TYPE_REAL, MANY * rig->network->class_count));
    test_ok(df_buffer_new(device, &rig->gradient, DF_TYPE_REAL, df_plan_parameter_size(rig->plan)));
    test_ok(df_tape_input_gradient(rig->tape, 0, 1, &rig->dinput));
}

static void rig_close(struct rig *rig)
{
    df_buffer_drop(rig->device, &rig->dlogits);
    df_buffer_drop(rig->device, &rig->gradient);
    df_tape_destroy(rig->tape);
    df_plan_destroy(rig->plan);
    df_network_destroy(rig->network);
}

static dfal_status fill(const struct rig *rig, struct df_span span, int64_t count, uint64_t seed)
{
    float *values = test_random_floats(count, seed);
    const dfal_status status = df_write(rig->device, rig->queue, span, values, count);
    df_free(values);
    return status;
}

/* Other contents for all that `calls` reads. */
static dfal_status give(const struct rig *rig, uint64_t seed)
{
    int32_t owner[COTANGENTS];
    for (int32_t i = 0; i < COTANGENTS; i++)
        owner[i] = (int32_t)((seed + (uint64_t)i * 5) % FEW);
    DF_TRY(fill(rig, df_plan_parameters(rig->plan), df_plan_parameter_size(rig->plan), seed));
    DF_TRY(fill(rig, df_tape_input(rig->tape), MANY * df_plan_input_size(rig->plan), seed + 1));
    DF_TRY(fill(rig, rig->dlogits, MANY * rig->network->class_count, seed + 2));
    DF_TRY(fill(rig, df_tape_cotangents(rig->tape), COTANGENTS * rig->network->class_count, seed + 3));
    return df_write(rig->device, rig->queue, df_tape_owners(rig->tape), owner, COTANGENTS);
}

/* Binds, layers and ops, or binds and runs of a fused network. */
static dfal_status calls(const struct rig *rig)
{
    struct df_span dinput;
    DF_TRY(df_plan_rebind(rig->plan, rig->queue));
    DF_TRY(df_tape_forward(rig->tape, rig->rows));
    DF_TRY(df_tape_input_gradient(rig->tape, COTANGENTS, 1, &dinput));
    return rig->trains ? df_tape_parameter_gradient(rig->tape, rig->rows, rig->dlogits, rig->gradient)
                       : DFAL_OK;
}

static int64_t gradient_size(const struct rig *rig)
{
    return rig->trains ? df_plan_parameter_size(rig->plan) : 0;
}

static int64_t result_size(const struct rig *rig)
{
    return rig->rows * rig->network->class_count + COTANGENTS * df_plan_input_size(rig->plan) +
           gradient_size(rig);
}

/* What `calls` has written, put to `to`, and something else written over it. */
static dfal_status take(const struct rig *rig, float *to)
{
    const struct {
        struct df_span span;
        int64_t count;
    } results[] = {
        {df_tape_logits(rig->tape), rig->rows * rig->network->class_count},
        {rig->dinput, COTANGENTS * df_plan_input_size(rig->plan)},
        {rig->gradient, gradient_size(rig)},
    };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        DF_TRY(df_read(rig->device, rig->queue, to, results[i].span, results[i].count));
        DF_TRY(fill(rig, results[i].span, results[i].count, 99));
        to += results[i].count;
    }
    return DFAL_OK;
}

/* *out NULL: the device has no recordings. */
static dfal_status record(const struct rig *rig, struct df_recording **out)
{
    bool on;
    *out = NULL;
    DF_TRY(df_record_begin(rig->device, rig->queue, &on));
    if (!on)
        return DFAL_OK;
    dfal_status status = calls(rig);
    DF_KEEP_FIRST(status, rig->device->backend->record_end(rig->device, rig->queue, out));
    DF_TRY(status);
    if (*out == NULL)
        DF_FAIL(DFAL_E_DATA, "record_end gave nothing");
    return DFAL_OK;
}

static void drop(const struct rig *rig, struct df_recording *recording)
{
    if (recording != NULL)
        rig->device->backend->record_destroy(rig->device, recording);
}

static dfal_status run_recorded(const struct rig *rig, struct df_recording *recording)
{
    return recording == NULL ? calls(rig)
                             : rig->device->backend->record_run(rig->device, rig->queue, recording);
}

static uint32_t bits(float value)
{
    uint32_t as_int;
    memcpy(&as_int, &value, sizeof as_int);
    return as_int;
}

/* The calls, then the recording of them, with the same contents. */
static dfal_status same_bits(const struct rig *rig, struct df_recording *recording, uint64_t seed)
{
    const int64_t size = result_size(rig);
    float *a = NULL, *b = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&a, size, sizeof *a));
    DF_TRY_TO(done, status, df_alloc(&b, size, sizeof *b));
    DF_TRY_TO(done, status, give(rig, seed));
    DF_TRY_TO(done, status, calls(rig));
    DF_TRY_TO(done, status, take(rig, a));
    DF_TRY_TO(done, status, run_recorded(rig, recording));
    DF_TRY_TO(done, status, take(rig, b));
    for (int64_t i = 0; i < size && status == DFAL_OK; i++)
        if (bits(a[i]) != bits(b[i]))
            status = df_fail(DFAL_E_DATA, "element %lld of %lld is %.9g, recorded %.9g", (long long)i,
                             (long long)size, (double)a[i], (double)b[i]);
done:
    df_free(a);
    df_free(b);
    return status;
}

static bool has_recordings(struct df_device *device)
{
    struct df_recording *nothing = NULL;
    bool on;
    test_ok(df_record_begin(device, 0, &on));
    if (on) { /* of no call at all: that is one, too */
        test_ok(device->backend->record_end(device, 0, &nothing));
        assert_non_null(nothing);
        test_ok(device->backend->record_run(device, 0, nothing));
        device->backend->record_destroy(device, nothing);
    }
    return on;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void again_and_again(void **state)
{
    struct df_device *device = *state;
    for (int fused = 0; fused < 2; fused++) {
        struct rig rig;
        struct df_recording *recording;
        rig_open(&rig, device, device->queue_count - 1, fused != 0);
        float *before, *after;
        const int64_t size = result_size(&rig);
        test_ok(df_alloc(&before, size, sizeof *before));
        test_ok(df_alloc(&after, size, sizeof *after));
        test_ok(give(&rig, 7));
        test_ok(calls(&rig));
        test_ok(take(&rig, before));
        test_ok(take(&rig, before));
        test_ok(record(&rig, &recording));
        test_ok(take(&rig, after)); /* kept, not run */
        test_same_floats("while recorded", after, before, size);
        for (uint64_t seed = 1; seed < 4; seed++)
            test_ok(same_bits(&rig, recording, 10 * seed));
        test_ok(give(&rig, 50)); /* twice in a row, and an eager call behind */
        test_ok(run_recorded(&rig, recording));
        test_ok(run_recorded(&rig, recording));
        test_ok(df_tape_forward(rig.tape, rig.rows));
        test_ok(take(&rig, after));
        test_ok(calls(&rig));
        test_ok(take(&rig, before));
        test_same_floats("in a row", after, before, size);
        drop(&rig, recording);
        df_free(before);
        df_free(after);
        rig_close(&rig);
    }
}

/* A queue whose workspace grows: the recording keeps the one it has, which goes with it. */
static void growth(void **state)
{
    struct df_device *device = *state;
    struct rig rig;
    struct df_recording *first, *second, *third;
    rig_open(&rig, device, 0, false);
    test_ok(calls(&rig));
    test_ok(record(&rig, &first));
    test_ok(record(&rig, &second));
    rig.rows = MANY;
    test_ok(give(&rig, 3));
    test_ok(calls(&rig));
    test_ok(record(&rig, &third));
    test_ok(same_bits(&rig, third, 4));
    rig.rows = FEW;
    test_ok(same_bits(&rig, second, 5));
    drop(&rig, second);
    test_ok(same_bits(&rig, first, 6));
    const int64_t free_before = device->backend->memory_free(device);
    test_ok(run_recorded(&rig, first));
    drop(&rig, first);
    /* exact where nobody else uses the device */
    if (first != NULL && strncmp(test_backend(), "dlopen", 6) == 0)
        assert_true(device->backend->memory_free(device) > free_before);
    rig.rows = MANY;
    test_ok(same_bits(&rig, third, 7));
    drop(&rig, third);
    rig_close(&rig);
}

/* What ends a recording. */
enum mistake {
    READ,
    READ_F64,
    WRITE,
    SYNCHRONIZE,
    TAKE_MEMORY,
    MAKE_A_LAYER,
    GROW,
    RECORD,
    RECORD_ON_ANOTHER,
    RUN_A_RECORDING,
    NO_SUCH_OP,
    MISTAKES
};

static dfal_status make(enum mistake mistake, struct rig *rig, struct df_recording *recording)
{
    struct df_device *device = rig->device;
    struct df_layer_desc desc = {
        .is_gemm = true, .in = {3, 1, 1}, .out = {2, 1, 1}, .group = 1, .block_rows = 8, .forward = true};
    struct df_layer *layer;
    struct df_span span;
    float value = 1;
    double wide;
    bool on;
    dfal_status status;
    switch (mistake) {
    case READ:
        return df_read(device, rig->queue, &value, rig->dlogits, 1);
    case READ_F64:
        return device->backend->read_f64(device, rig->queue, &wide, rig->dlogits, 1);
    case WRITE:
        return df_write(device, rig->queue, rig->dlogits, &value, 1);
    case SYNCHRONIZE:
        return device->backend->synchronize(device, rig->queue);
    case TAKE_MEMORY:
        return df_buffer_new(device, &span, DF_TYPE_REAL, 10);
    case MAKE_A_LAYER:
        return device->backend->layer_create(device, &layer, &desc);
    case GROW:
        rig->rows = MANY;
        status = calls(rig);
        rig->rows = FEW;
        return status;
    case RECORD:
        return df_record_begin(device, rig->queue, &on);
    case RECORD_ON_ANOTHER:
        return df_record_begin(device, rig->queue - 1, &on);
    case RUN_A_RECORDING:
        return run_recorded(rig, recording);
    case NO_SUCH_OP:
    case MISTAKES:
        break;
    }
    const struct df_call call = {.op = DF_OP_COUNT};
    return df_call_run(device, rig->queue, &call);
}

static void mistakes(void **state)
{
    struct df_device *device = *state;
    struct df_recording *good, *recording;
    struct rig rig;
    bool on;
    if (!has_recordings(device))
        return;
    rig_open(&rig, device, 1, false);
    test_ok(calls(&rig));
    test_ok(record(&rig, &good));
    for (int mistake = 0; mistake < MISTAKES; mistake++) {
        for (int turn = 0; turn < 2; turn++) { /* first of all, and with calls around */
            test_ok(df_record_begin(device, 1, &on));
            if (turn > 0)
                test_ok(calls(&rig));
            test_error(make((enum mistake)mistake, &rig, good), DFAL_E_INTERNAL,
                       mistake == NO_SUCH_OP ? "was called, expected 0 to" : "before record_end");
            if (turn > 0)
                test_ok(calls(&rig));
            recording = good;
            test_ok(device->backend->record_end(device, 1, &recording));
            assert_null(recording);
            test_ok(device->backend->synchronize(device, 1));
        }
        test_ok(record(&rig, &recording));
        test_ok(same_bits(&rig, recording, 20));
        test_ok(same_bits(&rig, good, 21));
        drop(&rig, recording);
    }
    /* An end without a beginning; a recording of another queue. */
    test_error(device->backend->record_end(device, 1, &recording), DFAL_E_INTERNAL,
               "this thread has begun no recording on queue 1");
    assert_null(recording);
    test_error(device->backend->record_run(device, 0, good), DFAL_E_INTERNAL,
               "a recording of another queue was run on queue 0");
    drop(&rig, good);
    rig_close(&rig);
}

/* Two queues in two threads: each records, runs, takes and gives memory as it likes. */
static dfal_status one_of_two(void *arg, int64_t job, int32_t worker)
{
    const struct rig *rig = (const struct rig *)arg + job;
    (void)worker;
    for (uint64_t turn = 0; turn < 6; turn++) {
        struct df_recording *recording = NULL;
        struct df_span span;
        dfal_status status = give(rig, 30 + turn);
        if (status == DFAL_OK)
            status = calls(rig);
        if (status == DFAL_OK)
            status = record(rig, &recording);
        if (status == DFAL_OK)
            status = df_buffer_new(rig->device, &span, DF_TYPE_F64, 100);
        if (status == DFAL_OK) {
            status = same_bits(rig, recording, 40 + turn);
            df_buffer_drop(rig->device, &span);
        }
        drop(rig, recording);
        DF_TRY(status);
    }
    return DFAL_OK;
}

static void side_by_side(void **state)
{
    struct df_device *device = *state;
    struct df_thread_pool *threads;
    struct rig rigs[2];
    test_ok(df_thread_pool_create(&threads, 2));
    for (int fused = 0; fused < 2; fused++) {
        for (int32_t i = 0; i < 2; i++)
            rig_open(&rigs[i], device, i, fused != 0);
        test_ok(df_thread_pool_run(threads, one_of_two, rigs, 2));
        for (int32_t i = 0; i < 2; i++)
            rig_close(&rigs[i]);
    }
    df_thread_pool_destroy(threads);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(again_and_again), cmocka_unit_test(growth),
                                       cmocka_unit_test(mistakes), cmocka_unit_test(side_by_side)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
