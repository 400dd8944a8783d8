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

/* Of one rank, what is there is the root's. */
static void spans(void **state)
{
    struct df_device *device = *state;
    const int32_t queue = device->queue_count - 1;
    struct df_comm *comm;
    struct df_span data;
    float made[ALL], found[ALL];
    test_fill_whole(made, ALL, 1, -8, 8);
    test_ok(df_comm_open_self(&comm));
    test_ok(df_buffer_new(device, &data, DF_TYPE_REAL, ALL));
    test_ok(df_write(device, queue, data, made, ALL));
    test_ok(df_comm_span_broadcast(comm, device, queue, df_at(data, AT), COUNT, 0));
    test_ok(df_read(device, queue, found, data, ALL));
    test_same_floats("sent", found, made, ALL);
    df_buffer_drop(device, &data);
    comm->close(comm);
}

static void what_does_not_fit(void **state)
{
    struct df_device *device = *state;
    struct df_comm *comm;
    struct df_span data;
    test_ok(df_comm_open_self(&comm));
    test_ok(df_buffer_new(device, &data, DF_TYPE_REAL, ALL));
    test_error(df_comm_span_broadcast(comm, device, 0, df_at(data, 1), ALL, 0), DFAL_E_INTERNAL,
               "elements 1 to 17 do not lie in a buffer of 16");
    df_buffer_drop(device, &data);
    comm->close(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(host_bytes), cmocka_unit_test(spans),
                                       cmocka_unit_test(what_does_not_fit)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
