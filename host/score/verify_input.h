/* SPDX-License-Identifier: Apache-2.0 */
/* Network inputs as dfal decodes them held against those another framework used: a wrong normalisation is
 * found as the affine map of a channel, channels in another order by their nearest partner. */
#ifndef DF_SCORE_VERIFY_INPUT_H
#define DF_SCORE_VERIFY_INPUT_H

#include "tensor/tensor.h"

struct df_input_check {
    struct df_shape shape;
    int64_t samples;
    double largest, magnitude; /* difference; of the other framework's values */
    int64_t sample, element;
    double ours, theirs; /* at that element */
    double *sums;        /* [C][C][..]: ours of one channel, theirs of another */
};
dfal_status df_input_check_open(struct df_input_check *check, struct df_shape shape);
void df_input_check_close(struct df_input_check *check);
/* Samples [begin, begin + rows), [rows, C, H, W] each. */
void df_input_check_add(struct df_input_check *check, const float *ours, const float *theirs, int64_t begin,
                        int64_t rows);
/* Largest difference over the largest magnitude. */
double df_input_check_relative(const struct df_input_check *check);
/* The sentence, always E_DATA. */
dfal_status df_input_check_fail(const struct df_input_check *check, const char *pool, const char *reference,
                                double tolerance);

#endif
