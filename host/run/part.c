/* SPDX-License-Identifier: Apache-2.0 */
#include "run/part.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "run/directory.h"

dfal_status df_run_set_of_part(struct df_run_set *set, const struct df_run_config *config,
                               struct df_run_part part)
{
    const int32_t step = part.count ? part.count : 1;
    *set = (struct df_run_set){0};
    if (part.number < 0 || part.number >= step)
        DF_FAIL(DFAL_E_USAGE, "part %lld of %d is asked for, expected one from 1 to %d",
                (long long)part.number + 1, part.count, step);
    if (step > config->trials)
        DF_FAIL(DFAL_E_USAGE,
                "the experiment is cut into %d parts, but it has %d trial%s, expected at most a part a trial",
                step, config->trials, config->trials > 1 ? "s" : "");
    const int64_t trials = (config->trials - part.number + step - 1) / step;
    DF_TRY(df_alloc(&set->members, trials * config->strategy_count, sizeof *set->members));
    for (int64_t trial = 1 + part.number; trial <= config->trials; trial += step)
        for (int32_t s = 0; s < config->strategy_count; s++)
            set->members[set->count++] = (struct df_run_member){.trial = (int32_t)trial, .strategy = s};
    return DFAL_OK;
}

void df_run_set_clear(struct df_run_set *set)
{
    df_free(set->members);
    *set = (struct df_run_set){0};
}

int32_t df_run_set_trials(const struct df_run_set *set, int32_t strategy)
{
    int32_t trials = 0;
    for (int64_t i = 0; i < set->count; i++)
        trials += set->members[i].strategy == strategy;
    return trials;
}

void df_run_part_add(struct df_identity *identity, struct df_run_part part)
{
    if (part.count)
        df_identity_add(identity, DF_RUN_PART_KEY, "%d/%d", part.number + 1, part.count);
}

/* "2/4"; where there is no such key it is the whole. */
static dfal_status parse(struct df_run_part *part, const char *text, const char *dir)
{
    char number[16] = "";
    int64_t k = 0, n = 0;
    const char *slash = text ? strchr(text, '/') : NULL;
    *part = (struct df_run_part){0};
    if (!text)
        return DFAL_OK;
    if (slash && slash - text < (ptrdiff_t)sizeof number)
        snprintf(number, sizeof number, "%.*s", (int)(slash - text), text);
    if (!slash || !df_parse_whole(&k, number) || !df_parse_whole(&n, slash + 1) || k < 1 || n < k ||
        n > INT32_MAX)
        DF_FAIL(DFAL_E_DATA, "%s/state/identity says part '%.40s', expected K/N with 1 <= K <= N", dir, text);
    *part = (struct df_run_part){(int32_t)k - 1, (int32_t)n};
    return DFAL_OK;
}

dfal_status df_run_part_read(struct df_run_part *part, const char *dir)
{
    struct df_identity identity = {0};
    dfal_status status;
    *part = (struct df_run_part){0};
    DF_TRY_TO(done, status, df_run_directory_identity(&identity, dir));
    status = parse(part, df_identity_value(&identity, DF_RUN_PART_KEY), dir);
done:
    df_identity_clear(&identity);
    return status;
}
