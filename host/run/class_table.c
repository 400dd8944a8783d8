/* SPDX-License-Identifier: Apache-2.0 */
#include "run/class_table.h"

void df_class_lines(struct df_text *text, const struct df_class_round *round)
{
    const struct dfal_eval_result *eval = round->eval;
    const int32_t k = eval->class_count;
    for (int32_t i = 0; eval->confusion && i < round->class_count; i++) {
        const int32_t own = df_network_from_pool(round->network, i);
        const char *name = df_classes_name(round->names, i);
        int64_t samples = 0, right = 0;
        for (int32_t j = 0; own >= 0 && j < k; j++)
            samples += eval->confusion[(int64_t)own * k + j];
        if (own >= 0)
            right = eval->confusion[(int64_t)own * k + own];
        df_text_csv(text, round->strategy);
        df_text_add(text, ",%d,%d,%d,", round->trial, round->round, i);
        if (samples) /* a class without test samples has no accuracy */
            df_text_number(text, (double)right / (double)samples);
        df_text_add(text, ",%lld,%lld,", (long long)samples, (long long)round->queried[i]);
        df_text_csv(text, name ? name : "");
        df_text_add(text, "\n");
    }
}
