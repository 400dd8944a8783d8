/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks: the member that is one process, on host bytes and on spans of a device. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "comm/spans.h"

enum { COUNT = 7, AT = 3, ALL = 16 };

static void host_bytes(void **state)
{
    (void)state;
    struct df_comm *comm, *part;
    int64_t in[3] = {1, 2, 3}, out[3] = {0};
    test_ok(df_comm_open_self(&comm));
    assert_string_equal(comm->name, "self");
    assert_int_equal(comm->rank, 0);
    assert_int_equal(comm->size, 1);
    test_ok(df_comm_allgather(comm, out, in, sizeof in));
    assert_memory_equal(out, in, sizeof in);
    test_ok(comm->barrier(comm));
    test_ok(comm->split(comm, &part, 3));
    assert_ptr_equal(part, comm);
    comm->close(comm);
}

/* What is gathered is what earlier calls of the queue have made, and lies where it was asked for, alone. */
static void spans(void **state)
{
    struct df_device *device = *state;
    const int32_t queue = device->queue_count - 1;
    struct df_comm *comm;
    struct df_span from, to;
    float made[ALL], found[ALL], expected[ALL];
    test_fill_whole(made, ALL, 1, -8, 8);
    test_fill_whole(expected, ALL, 2, -8, 8);
    test_ok(df_comm_open_self(&comm));
    test_ok(df_buffer_new(device, &from, DF_TYPE_REAL, ALL));
    test_ok(df_buffer_new(device, &to, DF_TYPE_REAL, ALL));
    test_ok(df_write(device, queue, from, made, ALL));
    test_ok(df_write(device, queue, to, expected, ALL));
    memcpy(expected + AT, made + 1, COUNT * sizeof *made);
    test_ok(df_comm_span_allgather(comm, device, queue, df_at(to, AT), df_at(from, 1), COUNT));
    test_ok(df_read(device, queue, found, to, ALL));
    test_same_floats("gathered", found, expected, ALL);
    test_ok(df_comm_span_allreduce(comm, device, queue, df_at(to, AT), COUNT));
    test_ok(df_read(device, queue, found, to, ALL));
    test_same_floats("summed", found, expected, ALL);
    df_buffer_drop(device, &from);
    df_buffer_drop(device, &to);
    comm->close(comm);
}

static void what_does_not_fit(void **state)
{
    struct df_device *device = *state;
    struct df_comm *comm;
    struct df_span reals, whole;
    test_ok(df_comm_open_self(&comm));
    test_ok(df_buffer_new(device, &reals, DF_TYPE_REAL, ALL));
    test_ok(df_buffer_new(device, &whole, DF_TYPE_I32, ALL));
    test_error(df_comm_span_allgather(comm, device, 0, df_at(reals, 1), reals, ALL), DFAL_E_INTERNAL,
               "elements 1 to 17 do not lie in a buffer of 16");
    test_error(df_comm_span_allgather(comm, device, 0, reals, whole, ALL), DFAL_E_INTERNAL, "expected REAL");
    test_error(df_comm_span_allreduce(comm, device, 0, df_at(reals, ALL), 1), DFAL_E_INTERNAL,
               "elements 16 to 17 do not lie in a buffer of 16");
    test_error(df_comm_span_allreduce(comm, device, 0, whole, 1), DFAL_E_INTERNAL, "not of REAL");
    df_buffer_drop(device, &reals);
    df_buffer_drop(device, &whole);
    comm->close(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(host_bytes), cmocka_unit_test(spans),
                                       cmocka_unit_test(what_does_not_fit)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
