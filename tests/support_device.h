/* SPDX-License-Identifier: Apache-2.0 */
/* Call one op with its operands between guard zones. Needs df_backend. */
#ifndef DFAL_TESTS_SUPPORT_DEVICE_H
#define DFAL_TESTS_SUPPORT_DEVICE_H

#include "backend/backend.h"
#include "support.h"

enum { TEST_GUARD = 32 }; /* elements before and behind every operand */

struct test_operand {
    struct df_span span; /* the operand, past its front guard; buffer NULL: absent */
    enum df_type type;
    int64_t count;
    void *first; /* what it held before the call */
};
/* One call under test. rig_begin, rig_in/rig_out, call.rows, cols, p, then rig_run, rig_get, rig_end. */
struct test_rig {
    struct df_device *device;
    struct df_call call;
    struct test_operand out[DF_MAX_OUT], in[DF_MAX_IN];
};
void rig_begin(struct test_rig *rig, struct df_device *device, enum df_op op, int64_t rows, int64_t cols);
void rig_in(struct test_rig *rig, int k, enum df_type type, const void *values, int64_t count);
/* values NULL: filled with a value the op has to overwrite. */
void rig_out(struct test_rig *rig, int k, enum df_type type, const void *values, int64_t count);
/* Run twice from the same start: the bits must agree, inputs and guard zones stay as they were. */
void rig_run(struct test_rig *rig);
/* Read output k: count elements of its host type. */
void rig_get(struct test_rig *rig, int k, void *out);
void rig_get_f64(struct test_rig *rig, int k, double *out);
void rig_end(struct test_rig *rig);

/* Open a back end for a test; NULL when it is not available, which is said, and fatal when DFAL_REQUIRE names
 * it. */
struct df_device *test_device_open(const char *name, int32_t queues);

/* Run cmocka tests on every back end of test_backends; *state is its struct df_device. Returns main's exit
 * code: 77 when every back end was skipped. */
struct CMUnitTest;
int test_on_backends(int argc, char **argv, const char *defaults, const struct CMUnitTest *tests,
                     size_t count);
/* The name of the back end that test_on_backends is at. */
const char *test_backend(void);

#endif
