/* SPDX-License-Identifier: Apache-2.0 */
/* An augmentation as one word, "shift=2,rotate=10": the keys below training.augment, with their bounds. */
#include <string.h>

#include "base/memory.h"
#include "run/config_reader.h"
#include "run/config_yaml.h"

#define GROUP "training.augment."

dfal_status df_run_augment_parse(struct df_augment *augment, const char *text)
{
    struct df_run_config *config;
    char *assignment = NULL;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&config, 1, sizeof *config));
    config->training.augment = *augment;
    for (const char *at = text, *end = text; status == DFAL_OK && at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, ",");
        DF_TRY_TO(done, status, df_format(&assignment, "%.*s", (int)(end - at), at));
        status = df_config_lay(config, "augment", GROUP, assignment, "KEY=VALUE,KEY=VALUE");
        df_free(assignment);
        assignment = NULL;
    }
    *augment = config->training.augment;
done:
    df_free(config);
    return status;
}

dfal_status df_run_augment_text(char **text, const struct df_augment *augment)
{
    struct df_run_config *config;
    struct df_text out = {0};
    *text = NULL;
    DF_TRY(df_alloc(&config, 1, sizeof *config));
    config->training.augment = *augment;
    for (int32_t k = 0; k < df_run_key_count; k++) {
        const struct df_key *key = &df_run_keys[k];
        if (strncmp(key->path, GROUP, sizeof GROUP - 1) != 0)
            continue;
        df_text_add(&out, "%s%s=", out.size ? "," : "", key->path + sizeof GROUP - 1);
        if (key->kind == DF_KEY_CHOICE) /* no quotes, as people write it */
            df_text_add(&out, "%s", (const char *)df_key_field(key, config));
        else
            df_config_put_value(&out, key, config);
    }
    df_free(config);
    return df_text_take(&out, text);
}
