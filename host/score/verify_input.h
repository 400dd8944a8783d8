/* SPDX-License-Identifier: Apache-2.0 */
/* Network inputs as dfal decodes them held against those another framework used: a wrong normalisation is
 * found as the affine map of a channel, channels in another order by their nearest partner. */
#ifndef DF_SCORE_VERIFY_INPUT_H
#define DF_SCORE_VERIFY_INPUT_H

#include <math.h>

#include "tensor/tensor.h"

/* The largest difference of all values seen, and where it is. */
struct df_largest_difference {
    double largest, magnitude; /* difference; of the other framework's values */
    int64_t sample, element;
    double ours, theirs; /* at that element */
};
/* A value of the other framework, which is there in one of two types; none: NAN. */
static inline double df_reference_value(const double *wide, const float *narrow, int64_t i)
{
    if (wide)
        return wide[i];
    return narrow ? (double)narrow[i] : (double)NAN;
}
/* Samples [begin, begin + rows) of `size` values each; a difference that is no number is infinite. */
void df_largest_difference_add(struct df_largest_difference *d, const float *ours, const double *wide,
                               const float *narrow, int64_t begin, int64_t rows, int64_t size);
/* Of the largest magnitude. */
double df_largest_difference_relative(const struct df_largest_difference *d);

struct df_input_check {
    struct df_shape shape;
    int64_t samples;
    struct df_largest_difference of;
    double *sums; /* [C][C][..]: ours of one channel, theirs of another */
};
dfal_status df_input_check_open(struct df_input_check *check, struct df_shape shape);
void df_input_check_close(struct df_input_check *check);
/* Samples [begin, begin + rows), [rows, C, H, W] each. */
void df_input_check_add(struct df_input_check *check, const float *ours, const float *theirs, int64_t begin,
                        int64_t rows);
/* The sentence, always E_DATA. */
dfal_status df_input_check_fail(const struct df_input_check *check, const char *pool, const char *reference,
                                double tolerance);

#endif
