/* SPDX-License-Identifier: Apache-2.0 */
/* A link of one device, which needs no other process: a GPU's own library joins it, and what is sent comes
 * back. Links of several are in tests/simt/test_link.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/link.h"
#include "support_device.h"

enum { COUNT = 1 << 20, AT = 5 };

static int asked;

static dfal_status check(void *user)
{
    (void)user;
    asked++;
    return DFAL_OK;
}

static void alone(void **state)
{
    struct df_device *device = *state;
    const struct df_backend *backend = device->backend;
    const int32_t queue = device->queue_count - 1;
    struct df_link_desc desc = {.rank = 0, .size = 1, .check = check};
    struct df_link *link;
    struct df_span data;
    unsigned char *made = malloc(COUNT), *found = malloc(COUNT);
    char text[DF_LINK_TEXT] = "";
    for (int i = 0; i < COUNT; i++)
        made[i] = (unsigned char)(i * 7);
    assert_non_null(backend->link_text);
    test_ok(backend->link_text(device, text));
    assert_true(strncmp(text, "NCCL 2.", 7) == 0);
    test_ok(backend->link_id(device, desc.id));
    test_ok(backend->link_open(device, &link, &desc));
    test_ok(df_buffer_new(device, &data, DF_TYPE_U8, COUNT));
    test_ok(df_write(device, queue, data, made, COUNT));
    test_ok(backend->link_broadcast(device, queue, link, df_at(data, AT), COUNT - AT, 0));
    test_ok(df_read(device, queue, found, data, COUNT));
    assert_memory_equal(found, made, COUNT);
    test_error(backend->link_broadcast(device, queue, link, df_at(data, AT), COUNT, 0), DFAL_E_INTERNAL,
               "do not lie in a buffer of");
    assert_true(asked > 0);
    backend->link_close(device, link);
    df_buffer_drop(device, &data);
    free(made);
    free(found);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(alone)};
    return test_on_backends(argc, argv, "cuda", tests, sizeof tests / sizeof *tests);
}
