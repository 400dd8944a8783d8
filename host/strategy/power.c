/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/power.h"

#include <math.h>

#include "base/rng.h"
#include "strategy/view.h"

struct df_power df_power_of(const struct df_view *view)
{
    const char *given = df_view_own_text(view, "power");
    return (struct df_power){given[0] ? df_view_real(view, "power") : 0, df_view_seed(view)};
}

double df_power_key(const struct df_power *power, double score, enum df_rank_first first, int64_t row)
{
    const double sign = first == DF_LARGEST_FIRST ? -1 : 1;
    if (power->beta == 0)
        return sign * score;
    const double u = df_random_uniform(power->seed, DF_STREAM_POWER, (uint64_t)row);
    return sign * log(score) + log(-log1p(-u)) / power->beta;
}
