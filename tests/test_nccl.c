/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's own library, up to the ids that ranks exchange: none of that needs a GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda.h"
#include "backend/link.h"
#include "support.h"

/* cuda_nccl.c asks before it queues anything, which is not reached here. */
dfal_status df_cuda_not_recording(const char *what)
{
    return df_fail(DFAL_E_INTERNAL, "nothing is queued, so nothing could %s", what);
}

static void version(void **state)
{
    char text[DF_LINK_TEXT];
    int major = 0, minor = 0, patch = -1;
    (void)state;
    test_ok(df_cuda_link_text(NULL, text));
    assert_int_equal(sscanf(text, "NCCL %d.%d.%d", &major, &minor, &patch), 3);
    assert_true(major == 2 && minor >= 18 && patch >= 0);
}

static void ids(void **state)
{
    unsigned char first[DF_LINK_ID] = {0}, second[DF_LINK_ID] = {0}, none[DF_LINK_ID] = {0};
    (void)state;
    test_ok(df_cuda_link_id(NULL, first));
    test_ok(df_cuda_link_id(NULL, second));
    assert_memory_not_equal(first, none, DF_LINK_ID);
    assert_memory_not_equal(first, second, DF_LINK_ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(version), cmocka_unit_test(ids)};
    char text[DF_LINK_TEXT];
    if (df_cuda_link_text(NULL, text) != DFAL_OK && strstr(dfal_last_error(), "cannot open shared object")) {
        fprintf(stderr, "skipped: %s\n", dfal_last_error());
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
