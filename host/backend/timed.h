/* SPDX-License-Identifier: Apache-2.0 */
/* Times every op of a device: jobs run on it unchanged, and what their calls cost is told afterwards. */
#ifndef DF_BACKEND_TIMED_H
#define DF_BACKEND_TIMED_H

#include "backend/backend.h"

/* All calls of one op on one shape. */
struct df_timed_row {
    enum df_op op;
    char shape[48]; /* "6>16 5x5 12x12", "256>84", "6x24x24 2x2"; values a row; of deepfool_*: a sample */
    int64_t calls, rows;
    double seconds;
    double bytes;      /* each operand once, parameters too; "+" operands twice */
    double operations; /* of convolutions and products: two a multiply-add; else 0 */
    char
        engine[224]; /* what runs a convolution or product; "" where the back end has one way only, or none */
};

struct df_timed;

/* Stand in front of the device's functions (wrapper.h) until df_timed_close, which comes before the device's.
 * Meanwhile it has one queue, and neither fused networks nor recordings. */
dfal_status df_timed_open(struct df_timed **out, struct df_device *device);
void df_timed_close(struct df_timed *timed);
/* Forget what was counted; count from now on or not. */
void df_timed_reset(struct df_timed *timed, bool counting);
/* What was counted, in the order of first calls; borrowed until the next call on the device. */
const struct df_timed_row *df_timed_rows(const struct df_timed *timed, int32_t *count);

/* What this device reaches, through the same calls and the same clock. */
struct df_timed_roofs {
    double copy;    /* bytes read and written a second by the fastest of the plain ops */
    double product; /* operations a second of the fastest of some large products */
    double call;    /* seconds of the smallest call */
};
dfal_status df_timed_roofs(struct df_timed_roofs *out, struct df_timed *timed);

#endif
