/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation and file operation of a job fails once: nothing leaks, no half file is left, and the same line
 * afterwards ends with the same bytes. */
#ifndef DF_TESTS_SUPPORT_TORTURE_H
#define DF_TESTS_SUPPORT_TORTURE_H

#include "base/fault.h"
#include "dfal.h"

struct test_torture {
    const char *name, *folder, *out, *parts; /* parts: OUT.parts, where finished work is kept */
    dfal_status (*job)(struct dfal_context *context, const char *to);
    void (*same)(
        const char *what); /* fails unless out holds what is expected; NULL: the job writes nothing */
};

/* Run the job in a context of its own; fails when it leaves memory behind. */
dfal_status test_torture_run(const struct test_torture *torture, const char *to);
void test_torture(const struct test_torture *torture, enum df_fault kind);
void test_torture_all(const struct test_torture *torture);

#endif
