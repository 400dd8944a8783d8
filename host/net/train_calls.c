/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a step that both ways of running one make. */
#include <math.h>

#include "net/train_inside.h"

double df_adam_rate(const struct df_training_options *training, int64_t step)
{
    const double t = (double)(step + 1);
    return training->learning_rate * sqrt(1.0 - pow(training->beta2, t)) / (1.0 - pow(training->beta1, t));
}

dfal_status df_optimise(const struct df_trainer *trainer, const struct df_training_options *training,
                        int32_t queue, struct df_span gradient, int64_t at, int64_t size)
{
    const struct df_span w = df_at(df_plan_parameters(trainer->plan), at), m = df_at(trainer->m, at);
    struct df_call call;
    if (training->sgd)
        call = DF_CALL(sgd_step, .rows = 1, .cols = size, .w = w, .momentum = m, .g = gradient,
                       .p.sgd = {.rate = training->learning_rate, .momentum = training->momentum});
    else
        call = DF_CALL(
            adam_step, .rows = 1, .cols = size, .w = w, .m = m, .v = df_at(trainer->v, at), .g = gradient,
            .rate = trainer->rate,
            .p.adam = {.beta1 = training->beta1, .beta2 = training->beta2, .epsilon = training->epsilon});
    return df_run(trainer->device, queue, &call);
}

dfal_status df_batch_loss(const struct df_trainer *trainer, struct df_tape *tape, int32_t queue, int64_t rows,
                          int64_t n, struct df_span loss, struct df_span dlogits, struct df_span label,
                          struct df_span weight)
{
    const int32_t classes = df_plan_class_count(trainer->plan);
    const struct df_call call =
        DF_CALL(softmax_loss, .rows = rows, .cols = classes, .loss = loss, .dlogits = dlogits,
                .logits = df_tape_logits(tape), .label = label, .weight = weight,
                .p.loss = {.classes = classes, .scale = 1.0 / (double)n});
    return df_run(trainer->device, queue, &call);
}
