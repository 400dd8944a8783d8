/* SPDX-License-Identifier: Apache-2.0 */
/* The comparisons that an experiment was made for: "dfal against margin, dfal against random". */
#include <stdio.h>
#include <string.h>

#include "run/config.h"

static const char middle[] = " against ";

static bool take_name(char name[DF_STRATEGY_NAME], const char *begin, const char *end)
{
    while (begin < end && *begin == ' ')
        begin++;
    while (end > begin && end[-1] == ' ')
        end--;
    if (begin == end || end - begin >= DF_STRATEGY_NAME)
        return false;
    snprintf(name, DF_STRATEGY_NAME, "%.*s", (int)(end - begin), begin);
    return true;
}

/* One comparison, [begin, end). */
static bool take_pair(struct df_run_pair *pair, const char *begin, const char *end)
{
    const char *against = strstr(begin, middle);
    return against && against < end && take_name(pair->ours, begin, against) &&
           take_name(pair->theirs, against + strlen(middle), end) && !strchr(pair->theirs, ' ') &&
           !strchr(pair->ours, ' ');
}

dfal_status df_run_primary(const struct df_run_config *config, struct df_run_pair pairs[DF_MAX_PAIRS],
                           int32_t *count)
{
    const char *at = config->primary;
    *count = 0;
    while (*at) {
        const char *end = at + strcspn(at, ",");
        if (*count == DF_MAX_PAIRS)
            DF_FAIL(DFAL_E_CONFIG, "report.primary is '%s', expected at most %d comparisons", config->primary,
                    DF_MAX_PAIRS);
        if (!take_pair(&pairs[(*count)++], at, end))
            DF_FAIL(DFAL_E_CONFIG,
                    "report.primary is '%s', expected comparisons such as dfal against margin, dfal against "
                    "random",
                    config->primary);
        at = *end ? end + 1 : end;
    }
    return DFAL_OK;
}
