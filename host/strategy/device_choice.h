/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing one row after the other where rows and priorities stay on a device (kernels/choice.h). Rows lie
 * there in the order in which ties are broken: of equal ones the first wins. */
#ifndef DF_STRATEGY_DEVICE_CHOICE_H
#define DF_STRATEGY_DEVICE_CHOICE_H

#include "backend/backend.h"
#include "base/log.h"
#include "strategy/strategy.h"
#include "strategy/view.h"

/* Where a row is on the device. */
struct df_device_place {
    uint64_t tie;
    int64_t candidate;
};
struct df_device_choice {
    struct dfal_context *context;
    struct df_device *device;
    int64_t count;                      /* rows */
    struct df_device_place *place;      /* [count] */
    struct df_span priority;            /* [count] f64 */
    struct df_span best, choice, value; /* of the ops, the latter two a number a step */
    struct df_progress progress;
};
/* Can a device of the view do that better than the threads of the host? */
bool df_device_choice_pays(const struct df_view *view, int64_t count);
/* Sort the rows [count] of the pool by df_tie(seed, row), make room, and begin the progress
 * "select.distances" of so many distances. What was not opened may be closed. Errors   E_MEMORY */
dfal_status df_device_choice_open(struct df_device_choice *choice, struct dfal_context *context,
                                  struct df_device *device, uint64_t seed, const int64_t *rows, int64_t count,
                                  int64_t distances);
void df_device_choice_close(struct df_device_choice *choice);
/* Send values [count, size] of the rows as columns [size, count] into a new buffer. */
dfal_status df_device_choice_columns(struct df_device_choice *choice, struct df_span *out,
                                     const float *values, int64_t size);
/* Send numbers [count], one a row, into a buffer, a new one where it has none; get them back. */
dfal_status df_device_choice_send(struct df_device_choice *choice, struct df_span *to, const double *numbers);
dfal_status df_device_choice_fetch(struct df_device_choice *choice, double *numbers, struct df_span from);
/* Choose q rows, a choice's score its priority when it was chosen.
 *   meet   called behind each choice, the number of which is `step`: all rows meet it. chosen [1] i32 is its
 *          place on the device, below 0: nobody is left
 * Errors   E_STOPPED, meet's */
typedef dfal_status df_device_meet_fn(void *user, int64_t step, struct df_span chosen);
dfal_status df_device_choice_run(struct df_device_choice *choice, df_device_meet_fn *meet, void *user,
                                 int64_t q, struct df_choices *choices);
/* Where the host looks at every choice: take the best row, which is not to be chosen again then, and its
 * place, of which a meet is told with df_at(choice->choice, 0); its candidate is -1 where nobody is left. The
 * one that was taken last may be given back. */
dfal_status df_device_choice_take(struct df_device_choice *choice, struct df_choice *taken, int32_t *place);
dfal_status df_device_choice_give_back(struct df_device_choice *choice, const struct df_choice *taken,
                                       int32_t place);

#endif
