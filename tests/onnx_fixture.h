/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the ONNX reader share: a model through the reference back end, and what it says when it
 * refuses one. */
#ifndef DFAL_TESTS_ONNX_FIXTURE_H
#define DFAL_TESTS_ONNX_FIXTURE_H

#include "graph/onnx.h"
#include "onnx_builder.h"
#include "support.h"

/* A folder for one test program's files. */
extern char onnx_folder[TEST_PATH];
int onnx_setup(void **state);
int onnx_teardown(void **state);

/* A model of one input x of these dims and one output y. */
void onnx_begin(struct model *model, int opset, const char *dims);
/* Write the model, read it, run the rows of x (words) and compare all logits (words) within 1e-6 of the
 * largest; the network is given back for a closer look and freed by the caller where `keep` is not NULL.
 * Clears the model. */
void onnx_expect(struct model *model, const char *x, const char *logits, struct df_network **keep);
/* The reader refuses the model with this status, naming the file and all the words between '|'. Clears the
 * model. */
void onnx_refuse(struct model *model, int status, const char *words);
void onnx_refuse_file(const char *path, int status, const char *words);

#endif
