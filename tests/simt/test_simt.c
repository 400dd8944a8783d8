/* SPDX-License-Identifier: Apache-2.0 */
/* The shim itself: what CUDA promises holds, in every order of threads, and what is wrong is seen. */
#include "../support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <cuda_runtime.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

#ifdef DF_SIMT_WATCH
static const char *const orders[] = {"ascending", "descending", "random:1", "switching:1", "switching:2"};
#else
static const char *const orders[] = {"ascending", "descending", "random:1", "random:2"};
#endif
enum { ORDERS = sizeof orders / sizeof orders[0] };

static void set_order(const char *order)
{
    assert_int_equal(setenv("DF_SIMT_ORDER", order, 1), 0);
}

static void ok(int error)
{
    if (error != cudaSuccess)
        test_fail("%s", cudaGetErrorString((cudaError_t)error));
}

static void *device_new(const void *values, size_t size)
{
    void *memory;
    ok(cudaMalloc(&memory, size));
    if (values != NULL)
        ok(cudaMemcpy(memory, values, size, cudaMemcpyHostToDevice));
    return memory;
}

static void device_take(void *values, void *memory, size_t size)
{
    ok(cudaDeviceSynchronize());
    ok(cudaMemcpy(values, memory, size, cudaMemcpyDeviceToHost));
    ok(cudaFree(memory));
}

/* ---- What is right ------------------------------------------------------------------------------------- */

static void threads_know_where_they_stand(void **state)
{
    (void)state;
    int32_t out[PROBE_BLOCKS * PROBE_THREADS];
    for (int o = 0; o < ORDERS; o++) {
        set_order(orders[o]);
        void *memory = device_new(NULL, sizeof out);
        ok(probe_index(memory, NULL));
        device_take(out, memory, sizeof out);
        for (int i = 0; i < PROBE_BLOCKS * PROBE_THREADS; i++)
            assert_int_equal(out[i], 1000 * (i / PROBE_THREADS) + i % PROBE_THREADS);
    }
}

static void blocks_meet_at_barriers(void **state)
{
    (void)state;
    enum { BLOCKS = 5 };
    float floats[BLOCKS * PROBE_BLOCK];
    int32_t values[BLOCKS * PROBE_BLOCK], sums[BLOCKS], expected[BLOCKS] = {0}, pair[2] = {0};
    test_fill_whole(floats, BLOCKS * PROBE_BLOCK, 1, -99, 99);
    for (int i = 0; i < BLOCKS * PROBE_BLOCK; i++) {
        values[i] = (int32_t)floats[i];
        expected[i / PROBE_BLOCK] += values[i];
        if (i < 2 * 33)
            pair[i / 33] += values[i];
    }
    for (int o = 0; o < ORDERS; o++) {
        set_order(orders[o]);
        void *from = device_new(values, sizeof values), *to = device_new(NULL, sizeof sums);
        ok(probe_sum(to, from, BLOCKS, NULL));
        device_take(sums, to, sizeof sums);
        test_same_ints("static shared memory", sums, expected, BLOCKS);
        to = device_new(NULL, sizeof pair);
        ok(probe_sum_dynamic(to, from, 33, 33 * 4, NULL));
        device_take(sums, to, sizeof pair);
        test_same_ints("dynamic shared memory", sums, pair, 2);
        ok(cudaFree(from));
    }
}

static void warps_exchange(void **state)
{
    (void)state;
    int32_t out[8 * 32], expected[8 * 32];
    for (int l = 0; l < 32; l++) {
        expected[l] = 70;
        expected[32 + l] = 10 * (l / 8 * 8 + (l + 1) % 8);
        expected[64 + l] = l % 16 < 3 ? 10 * l : 10 * (l - 3);
        expected[96 + l] = l % 16 > 12 ? 10 * l : 10 * (l + 3);
        expected[128 + l] = 10 * (l ^ 5);
        expected[160 + l] = 2 * (l ^ 1) + 1;
        expected[192 + l] = l < 16 ? 120 : 376;
        expected[224 + l] = 1;
    }
    for (int o = 0; o < ORDERS; o++) {
        set_order(orders[o]);
        void *memory = device_new(NULL, sizeof out);
        ok(probe_warp(memory, NULL));
        device_take(out, memory, sizeof out);
        test_same_ints("shuffles and votes", out, expected, 8 * 32);
        memory = device_new(NULL, 40 * 4);
        ok(probe_narrow_warp(memory, NULL));
        device_take(out, memory, 40 * 4);
        for (int t = 0; t < 40; t++)
            assert_int_equal(out[t], t < 32 ? 28 : 32 * 8 + 28);
    }
}

static void blocks_vote_and_add(void **state)
{
    (void)state;
    int32_t values[64], count[3], total[2] = {0, 0};
    for (int i = 0; i < 64; i++)
        values[i] = i % 4 == 1;
    for (int o = 0; o < ORDERS; o++) {
        set_order(orders[o]);
        void *from = device_new(values, sizeof values), *to = device_new(NULL, sizeof count);
        ok(probe_vote(to, from, NULL));
        device_take(count, to, sizeof count);
        assert_int_equal(count[0], 16);
        assert_int_equal(count[1], 0);
        assert_int_equal(count[2], 1);
        ok(cudaFree(from));
        memset(total, 0, sizeof total);
        to = device_new(total, sizeof total);
        ok(probe_atomic(to, 7, NULL));
        device_take(total, to, sizeof total);
        assert_int_equal(total[0], 447 * 448 / 2);
        assert_int_equal(total[1], 447);
    }
}

/* ---- What is wrong ------------------------------------------------------------------------------------- */

static void a_race_shows_in_the_order(void **state)
{
    (void)state;
#ifdef DF_SIMT_WATCH
    printf("not run: the first race ends this build's programs (races_abort)\n");
    skip();
#endif
    int32_t up[64], down[64];
    void *memory = device_new(NULL, sizeof up);
    set_order("ascending");
    ok(probe_race(memory, NULL));
    device_take(up, memory, sizeof up);
    memory = device_new(NULL, sizeof down);
    set_order("descending");
    ok(probe_race(memory, NULL));
    device_take(down, memory, sizeof down);
    assert_int_equal(up[0], 63);
    assert_int_equal(down[0], 0);
    set_order("ascending");
}

/* Values that binary16 holds, and sums that float32 does: exact, so every place of a fragment counts. */
static void warps_multiply(void **state)
{
    (void)state;
    uint16_t a[256], b[256];
    float d[256], whole[512];
    uint32_t seen[4][32];
    test_fill_whole(whole, 512, 1, -99, 99);
    for (int i = 0; i < 256; i++) {
        const _Float16 x = (_Float16)whole[i], y = (_Float16)whole[256 + i];
        memcpy(&a[i], &x, sizeof a[i]);
        memcpy(&b[i], &y, sizeof b[i]);
    }
    for (int o = 0; o < ORDERS; o++) {
        void *from_a = device_new(a, sizeof a), *from_b = device_new(b, sizeof b),
             *to = device_new(NULL, sizeof d), *words = device_new(NULL, sizeof seen);
        set_order(orders[o]);
        ok(probe_tensor(to, words, from_a, from_b, NULL));
        device_take(d, to, sizeof d);
        device_take(seen, words, sizeof seen);
        ok(cudaFree(from_a));
        ok(cudaFree(from_b));
        for (int i = 0; i < 256; i++) {
            const int row = i / 16, column = i % 16;
            float sum = 0;
            for (int k = 0; k < (column == 15 ? 8 : 16); k++)
                sum += whole[16 * row + k] * whole[256 + 16 * column + k];
            if (d[i] != sum)
                test_fail("row %d, column %d is %g, expected %g", row, column, (double)d[i], (double)sum);
        }
        for (int lane = 0; lane < 32; lane++) {
            uint32_t first;
            memcpy(&first, &a[8 * lane], sizeof first);
            assert_int_equal(seen[0][lane], UINT32_MAX);
            assert_int_equal(seen[1][lane], UINT32_MAX);
            assert_int_equal(seen[2][lane], first);
            assert_int_equal(seen[3][lane], UINT32_MAX);
        }
    }
    set_order("ascending");
}

static void fresh_memory_is_nan(void **state)
{
    (void)state;
    float out[2];
    for (int turn = 0; turn < 2; turn++) {
        void *memory = device_new(NULL, sizeof out);
        ok(cudaMemcpy(out, memory, sizeof out, cudaMemcpyDeviceToHost));
        assert_true(isnan(out[0]) && isnan(out[1]));
        out[0] = out[1] = 0;
        ok(probe_fresh_shared(memory, NULL));
        device_take(out, memory, sizeof out);
        assert_true(isnan(out[0]) && isnan(out[1]));
    }
}

/* What the program says on stderr before it dies of the fault. */
static void die_of(char *said, size_t size, enum probe_fault fault, const char *order)
{
    int ends[2], status = 0;
    ssize_t used = 0;
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        void *memory;
        dup2(ends[1], STDERR_FILENO);
        set_order(order);
        _exit(cudaMalloc(&memory, 64 * 4) != cudaSuccess || probe_fault(fault, memory, NULL) != 0 ? 3 : 0);
    }
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && (size_t)used<size - 1; used += got> 0 ? got : 0)
        got = read(ends[0], said + used, size - 1 - (size_t)used);
    said[used] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        test_fail("fault %d was not seen, order %s", (int)fault, order);
}

static void missing_barriers_abort(void **state)
{
    (void)state;
    static const struct {
        enum probe_fault fault;
        const char *words[3];
    } cases[] = {
        {PROBE_ENDS,
         {"kernel fault_in_block, block (1,0,0)",
          "waits at __syncthreads, probe.cu:", "but thread (40,0,0) has ended"}},
        {PROBE_OTHER_LINE,
         {"block (", "waits at __syncthreads, probe.cu:", "waits at __syncthreads, probe.cu:"}},
        {PROBE_OTHER_KIND,
         {"thread (3,0,0) waits at __syncwarp with mask 0xffffffff",
          "but thread (0,0,0) waits at __syncthreads", "probe.cu:"}},
        {PROBE_LANE_ENDS,
         {"waits at a shuffle with mask 0xffffffff", "but thread (33,0,0) has ended", "probe.cu:"}},
        {PROBE_PRODUCT_ENDS,
         {"waits at an instruction of a warp with mask 0xffffffff", "but thread (33,0,0) has ended",
          "mma.h:"}},
        {PROBE_COPY_ENDS,
         {"kernel fault_in_block, block (", "thread (17,0,0) ends", "before its copies have"}},
        {PROBE_OTHER_MASK, {"with mask 0x00000003", "with mask 0xffffffff", "but thread ("}},
        {PROBE_NOT_NAMED, {"calls __syncwarp with mask 0xfffffffe", "which does not name it", "thread ("}},
        {PROBE_ABSENT_SOURCE, {"with mask 0x0000ffff", "reads lane 16, which takes no part", "probe.cu:"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (int o = 0; o < ORDERS; o++) {
            char said[8192];
            die_of(said, sizeof said, cases[c].fault, orders[o]);
            for (int w = 0; w < 3; w++)
                if (strstr(said, cases[c].words[w]) == NULL)
                    test_fail("fault %d, order %s: '%s' is not in: %s", (int)cases[c].fault, orders[o],
                              cases[c].words[w], said);
        }
}

/* What is ordered is right in every order. */
static void ordered_threads_go_on(void **state)
{
    (void)state;
    int32_t out[64];
    for (int o = 0; o < ORDERS; o++) {
        memset(out, 0, sizeof out);
        void *memory = device_new(out, sizeof out);
        set_order(orders[o]);
        ok(probe_ordered(memory, NULL));
        device_take(out, memory, sizeof out);
        for (int t = 0; t < 32; t++)
            assert_int_equal(out[t], (63 - t) ^ 1);
        assert_int_equal(out[32], 128);
        for (int t = 0; t < 64; t++)
            assert_int_equal(((const int8_t *)(out + 34))[t], t);
    }
}

static void races_abort(void **state)
{
    (void)state;
#ifdef DF_SIMT_WATCH
    static const char *const words[][3] = {
        {"reads 4 bytes of shared memory", "has written: nothing orders the two",
         "kernel meet, block (0,0,0)"},
        {"4 bytes of shared memory", "nothing orders the two", "kernel meet, block ("},
        {"writes 4 bytes of global memory", " of block (", "thread ("},
        {"of global memory", "an atomic", "nothing orders the two"},
    };
    for (int fault = PROBE_LANES_RACE; fault <= PROBE_ATOMIC_RACE; fault++)
        for (int o = 0; o < ORDERS; o++) {
            char said[8192];
            die_of(said, sizeof said, (enum probe_fault)fault, orders[o]);
            for (int w = 0; w < 3; w++)
                if (strstr(said, words[fault - PROBE_LANES_RACE][w]) == NULL && (w != 2 || o == 0))
                    test_fail("fault %d, order %s: '%s' is not in: %s", fault, orders[o],
                              words[fault - PROBE_LANES_RACE][w], said);
        }
#else
    printf("not run: only the preset races looks at each access\n");
    skip();
#endif
}

static void out_of_bounds_aborts(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    for (int fault = PROBE_PAST_MEMORY; fault <= PROBE_PAST_DYNAMIC; fault++) {
        char said[8192];
        die_of(said, sizeof said, (enum probe_fault)fault, "ascending");
        if (strstr(said, "AddressSanitizer") == NULL || strstr(said, "fault_in_block") == NULL)
            test_fail("fault %d: %s", fault, said);
    }
#else
    printf("not run: only AddressSanitizer's build sees bounds\n");
#endif
}

static void an_unknown_order_aborts(void **state)
{
    (void)state;
    char said[8192];
    die_of(said, sizeof said, PROBE_ENDS, "sideways");
    assert_non_null(strstr(said, "DF_SIMT_ORDER is 'sideways', expected ascending, descending"));
    assert_non_null(strstr(said, "random:SEED"));
}

/* ---- The runtime --------------------------------------------------------------------------------------- */

static void launches_are_checked(void **state)
{
    (void)state;
    int32_t *memory = device_new(NULL, 8);
    set_order("ascending");
    assert_int_equal(probe_sum(memory, memory, 0, NULL), cudaErrorInvalidConfiguration);
    assert_int_equal(probe_sum_dynamic(memory, memory, 1025, 0, NULL), cudaErrorInvalidConfiguration);
    assert_int_equal(probe_sum_dynamic(memory, memory, 1, 48 * 1024 + 1, NULL), cudaErrorInvalidValue);
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess); /* df_launched took it */
    assert_int_equal(probe_allow_shared(228 * 1024), cudaErrorInvalidValue);
    ok(probe_allow_shared(64 * 1024));
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    int32_t values[2] = {3, 4}, sums[2];
    int32_t *from = device_new(values, sizeof values);
    ok(probe_sum_dynamic(memory, from, 1, 64 * 1024, NULL));
    device_take(sums, memory, sizeof sums);
    test_same_ints("64 KiB of shared memory", sums, values, 2);
    ok(cudaFree(from));
}

static void copies_are_checked(void **state)
{
    (void)state;
    char host[16] = {0};
    size_t available, total, now;
    ok(cudaMemGetInfo(&available, &total));
    char *memory = device_new(NULL, 16);
    ok(cudaMemGetInfo(&now, &total));
    assert_int_equal(now, available - 16);
    ok(cudaMemcpy(memory + 8, host, 8, cudaMemcpyHostToDevice));
    assert_int_equal(cudaMemcpy(memory + 8, host, 9, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, memory, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, host, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(memory, 0, 17), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(memory + 1), cudaErrorInvalidValue);
    ok(cudaFree(memory));
    assert_int_equal(cudaFree(memory), cudaErrorInvalidValue);
    void *more = host;
    assert_int_equal(cudaMalloc(&more, total + 1), cudaErrorMemoryAllocation);
    assert_null(more);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
}

/* Streams that run as late as they may: who does not wait sees old contents, who waits for an event sees the
 * new. */
static void streams_run_when_they_must(void **state)
{
    (void)state;
    enum { LENGTH = 4 };
    int32_t first[LENGTH] = {1, 2, 3, 4}, second[LENGTH] = {5, 6, 7, 8}, plain[LENGTH];
    cudaStream_t a, b;
    cudaEvent_t event;
    int32_t *pinned;
    set_order("descending");
    ok(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
    ok(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
    ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    ok(cudaEventSynchronize(event)); /* never recorded */
    ok(cudaMallocHost((void **)&pinned, sizeof first));
    int32_t *memory = device_new(first, sizeof first);
    memcpy(pinned, second, sizeof second);
    ok(cudaMemcpyAsync(memory, pinned, sizeof first, cudaMemcpyHostToDevice, a));
    ok(cudaEventRecord(event, a));
    ok(cudaMemcpyAsync(plain, memory, sizeof plain, cudaMemcpyDeviceToHost, b));
    test_same_ints("another stream does not wait", plain, first, LENGTH);
    assert_int_equal(cudaEventQuery(event), cudaErrorNotReady);
    ok(cudaStreamWaitEvent(b, event, 0));
    ok(cudaMemcpyAsync(plain, memory, sizeof plain, cudaMemcpyDeviceToHost, b));
    test_same_ints("unless it is told to", plain, second, LENGTH);
    ok(cudaEventQuery(event));
    /* pinned memory is read when the copy runs, other memory when it is queued */
    ok(cudaMemcpyAsync(memory, pinned, sizeof first, cudaMemcpyHostToDevice, a));
    memset(pinned, 0, sizeof first);
    ok(cudaMemcpyAsync(plain, memory, sizeof plain, cudaMemcpyDeviceToHost, a));
    assert_int_equal(plain[0], 0);
    memcpy(plain, first, sizeof first);
    ok(cudaMemcpyAsync(memory, plain, sizeof first, cudaMemcpyHostToDevice, a));
    memset(plain, 0, sizeof plain);
    ok(cudaMemcpyAsync(pinned, memory, sizeof first, cudaMemcpyDeviceToHost, a));
    assert_int_equal(pinned[0], 0);
    ok(cudaStreamSynchronize(a));
    test_same_ints("a synchronised stream", pinned, first, LENGTH);
    ok(cudaStreamDestroy(a));
    ok(cudaStreamDestroy(b));
    assert_int_equal(cudaStreamSynchronize(b), cudaErrorInvalidResourceHandle);
    ok(cudaEventDestroy(event));
    ok(cudaFreeHost(pinned));
    ok(cudaFree(memory));
    (void)cudaGetLastError();
    set_order("ascending");
}

/* What is queued on a captured stream is kept, with its arguments, and run as often and as late as the graph
 * is. */
static void graphs_keep_what_is_queued(void **state)
{
    (void)state;
    enum { BLOCKS = 3 };
    int32_t total[2] = {7, 7};
    cudaStream_t stream;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    set_order("descending");
    ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    int32_t *memory = device_new(total, sizeof total), *copy = device_new(total, sizeof total);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ok(cudaMemsetAsync(memory, 0, sizeof total, stream));
    ok(probe_atomic(memory, BLOCKS, stream));
    ok(cudaMemcpyAsync(copy, memory, sizeof total, cudaMemcpyDeviceToDevice, stream));
    ok(cudaStreamEndCapture(stream, &graph));
    ok(cudaGraphInstantiate(&exec, graph, 0));
    ok(cudaGraphUpload(exec, stream));
    ok(cudaGraphDestroy(graph));
    ok(cudaStreamSynchronize(stream));
    ok(cudaMemcpy(total, copy, sizeof total, cudaMemcpyDeviceToHost));
    assert_int_equal(total[0], 7); /* not run yet */
    for (int turn = 0; turn < 2; turn++) {
        ok(cudaMemsetAsync(copy, 0, sizeof total, stream));
        ok(cudaGraphLaunch(exec, stream));
        ok(cudaMemcpy(total, copy, sizeof total, cudaMemcpyDeviceToHost));
        assert_true(total[0] == 7 || turn > 0); /* as late as it may */
        ok(cudaStreamSynchronize(stream));
        ok(cudaMemcpy(total, copy, sizeof total, cudaMemcpyDeviceToHost));
        assert_int_equal(total[1], BLOCKS * 64 - 1);
    }
    ok(cudaGraphExecDestroy(exec));
    ok(cudaStreamDestroy(stream));
    ok(cudaFree(memory));
    ok(cudaFree(copy));
    set_order("ascending");
}

static cudaError_t forbidden(int which, cudaStream_t stream, void *memory)
{
    static char plain[8];
    void *other;
    switch (which) {
    case 0:
        return cudaStreamSynchronize(stream);
    case 1:
        return cudaDeviceSynchronize();
    case 2:
        return cudaMalloc(&other, 8);
    case 3:
        return cudaMallocHost(&other, 8);
    case 4:
        return cudaFree(memory);
    case 5:
        return cudaMemcpy(plain, memory, 8, cudaMemcpyDeviceToHost);
    case 6:
        return cudaMemcpyAsync(plain, memory, 8, cudaMemcpyDeviceToHost, stream);
    case 7:
        return cudaMemset(memory, 0, 8);
    default:
        return cudaStreamDestroy(stream);
    }
}
enum { FORBIDDEN = 9 };

/* It fails, and the capture is invalid from then on; ended, the stream works. */
static void captures_forbid(void **state)
{
    (void)state;
    cudaStream_t stream;
    cudaGraph_t graph = NULL;
    ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    void *memory = device_new(NULL, 8);
    for (int which = 0; which < FORBIDDEN; which++) {
        ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        assert_int_equal(forbidden(which, stream, memory), cudaErrorStreamCaptureUnsupported);
        assert_int_equal(cudaMemsetAsync(memory, 0, 8, stream), cudaErrorStreamCaptureInvalidated);
        assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        assert_null(graph);
        ok(cudaMemsetAsync(memory, 0, 8, stream));
        ok(cudaStreamSynchronize(stream));
    }
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnmatched);
    ok(cudaStreamDestroy(stream));
    ok(cudaFree(memory));
    (void)cudaGetLastError();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_know_where_they_stand),
        cmocka_unit_test(blocks_meet_at_barriers),
        cmocka_unit_test(warps_exchange),
        cmocka_unit_test(blocks_vote_and_add),
        cmocka_unit_test(warps_multiply),
        cmocka_unit_test(a_race_shows_in_the_order),
        cmocka_unit_test(fresh_memory_is_nan),
        cmocka_unit_test(missing_barriers_abort),
        cmocka_unit_test(ordered_threads_go_on),
        cmocka_unit_test(races_abort),
        cmocka_unit_test(out_of_bounds_aborts),
        cmocka_unit_test(an_unknown_order_aborts),
        cmocka_unit_test(launches_are_checked),
        cmocka_unit_test(copies_are_checked),
        cmocka_unit_test(streams_run_when_they_must),
        cmocka_unit_test(graphs_keep_what_is_queued),
        cmocka_unit_test(captures_forbid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
