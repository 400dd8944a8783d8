/* SPDX-License-Identifier: Apache-2.0 */
/* What published DeepFool codes do, as data, and the options laid over it (docs/NUMERICS.md). */
#include "score/preset.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"
#include "graph/json_text.h"
#include "score/score.h"
#include "store/pool.h"

/* lts4      Python code of LTS4/DeepFool: ten classes, the test inside the loop on x0 + 1.02 r.
 * paper     MATLAB code of the same: gradients at x0 + r, no floor.
 * dfal2018  Ducoffe and Precioso: all classes, ten steps, no overshoot, failures are not near anything.
 * foolbox   LinfDeepFool/L2DeepFool: r grows unclipped, x = clip(x0 + 1.02 r), distance ||x - x0||.
 * deepal    deep-active-learning: all classes, no overshoot, squared norm. Its stale value_l is not
 * reproduced.
 * sdf       SuperDeepFool, SDF(inf, 1): lts4's walk again and again, from where x0 is projected to. */
static const struct df_deepfool presets[] = {
    {.preset = "lts4", .p = 2, .overshoot = 0.02, .floor = 1e-4, .max_iter = 50, .classes = 10},
    {.preset = "paper", .p = 2, .overshoot = 0.02, .max_iter = 50, .classes = 10, .linearise_plain = true},
    {.preset = "dfal2018", .p = 2, .max_iter = 10, .fail_inf = true},
    {.preset = "foolbox",
     .p = 2,
     .overshoot = 0.02,
     .floor = 1e-4,
     .max_iter = 50,
     .classes = 10,
     .clip = true},
    {.preset = "deepal", .p = 2, .max_iter = 50, .squared = true},
    {.preset = "sdf", .p = 2, .overshoot = 0.02, .floor = 1e-4, .max_iter = 50, .classes = 10, .rounds = 50},
};
/* The column of the iterations holds 16 bits. */
enum { PRESETS = sizeof presets / sizeof *presets, LARGEST_ITERATIONS = 65535 };

dfal_status df_deepfool_preset(struct df_deepfool *out, const char *name)
{
    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].preset, name) == 0) {
            *out = presets[i];
            return DFAL_OK;
        }
    }
    return df_word(NULL, "DeepFool preset", name, DFAL_DEEPFOOL_PRESETS);
}

static dfal_status check(const struct df_deepfool *d)
{
    if (!(d->p >= 1))
        DF_FAIL(DFAL_E_USAGE, "the norm is %g, expected a number of at least 1 or infinity", d->p);
    const int32_t walks = d->rounds > 0 ? d->rounds : 1, most = LARGEST_ITERATIONS / walks;
    if (d->rounds > 0 && d->p != 2)
        DF_FAIL(DFAL_E_USAGE, "the norm is %g, expected l2: preset '%s' projects in that norm alone", d->p,
                d->preset);
    if (d->max_iter < 0 || d->max_iter > most)
        DF_FAIL(DFAL_E_USAGE, "max-iter is %d, expected 0 to %d%s", d->max_iter, most,
                walks > 1 ? " steps a round" : "");
    if (!(d->overshoot >= 0) || !isfinite(d->overshoot))
        DF_FAIL(DFAL_E_USAGE, "the overshoot is %g, expected a finite number of at least 0", d->overshoot);
    if (!(d->floor >= 0) || !isfinite(d->floor))
        DF_FAIL(DFAL_E_USAGE, "the floor is %g, expected a finite number of at least 0", d->floor);
    if (d->classes < 0 || d->classes == 1)
        DF_FAIL(DFAL_E_USAGE, "classes is %d, expected 'all' or at least 2: the own class and one other",
                d->classes);
    return DFAL_OK;
}

dfal_status df_deepfool_from_options(struct df_deepfool *out, const struct dfal_score_options *options)
{
    DF_TRY(df_deepfool_preset(out, options->preset ? options->preset : "lts4"));
    out->p = options->norm;
    if (options->max_iter != -1)
        out->max_iter = options->max_iter;
    if (!isnan(options->overshoot))
        out->overshoot = options->overshoot;
    if (options->classes != -1)
        out->classes = options->classes;
    out->refine = options->refine;
    out->units_raw = options->units_raw;
    return check(out);
}

static json_t *object_of(const struct df_deepfool *d, const char *unconverged)
{
    json_t *root = json_pack("{s:s, s:f, s:f, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:s, s:s}", "preset",
                             d->preset, "overshoot", d->overshoot, "floor", d->floor, "max_iter", d->max_iter,
                             "classes", d->classes, "linearise_plain", d->linearise_plain, "fail_inf",
                             d->fail_inf, "squared", d->squared, "clip", d->clip, "refine", d->refine,
                             "units", d->units_raw ? "raw" : "network", "unconverged", unconverged);
    /* JSON has no infinity: the norm is a word there */
    int failed =
        !root || json_object_set_new(root, "norm", isinf(d->p) ? json_string("linf") : json_real(d->p));
    /* of sdf alone: configurations that were written before it stay what they were */
    if (!failed && d->rounds > 0)
        failed = json_object_set_new(root, "rounds", json_integer(d->rounds));
    if (!failed)
        return root;
    json_decref(root);
    return NULL;
}

/* Gives the object back. NULL: there was no memory for it. */
static dfal_status take_text(char **json, json_t *root)
{
    *json = NULL;
    char *text = root ? df_json_text(root, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text)
        DF_FAIL(DFAL_E_MEMORY, "no memory for the DeepFool configuration");
    dfal_status status = df_strdup(json, text);
    free(text);
    return status;
}

dfal_status df_deepfool_to_json(char **json, const struct df_deepfool *d, const char *unconverged)
{
    return take_text(json, object_of(d, unconverged));
}

dfal_status df_score_configuration(char **json, const struct df_deepfool *d,
                                   const struct dfal_score_options *options)
{
    json_t *root = object_of(d, options->unconverged);
    /* Files of all rows stay what they were. */
    if (root && options->closest > 0 &&
        (json_object_set_new(root, "closest", json_integer(options->closest)) ||
         json_object_set_new(root, "cascade", json_boolean(options->cascade)))) {
        json_decref(root);
        root = NULL;
    }
    return take_text(json, root);
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

dfal_status df_deepfool_from_json(struct df_deepfool *out, const char *json)
{
    memset(out, 0, sizeof *out);
    json_error_t error;
    json_t *root = df_json_parse(json, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        DF_FAIL(DFAL_E_DATA, "the DeepFool configuration is not JSON: %s at column %d", error.text,
                error.column);
    const char *preset = NULL, *units = NULL, *unconverged = NULL;
    int plain, fail_inf, squared, clip, refine;
    json_t *norm = NULL;
    int failed = json_unpack_ex(
        root, &error, 0, "{s:s, s:F, s:F, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:s, s:s, s:o, s?i}", "preset",
        &preset, "overshoot", &out->overshoot, "floor", &out->floor, "max_iter", &out->max_iter, "classes",
        &out->classes, "linearise_plain", &plain, "fail_inf", &fail_inf, "squared", &squared, "clip", &clip,
        "refine", &refine, "units", &units, "unconverged", &unconverged, "norm", &norm, "rounds",
        &out->rounds);
    dfal_status status = DFAL_OK;
    if (failed) {
        status = df_fail(DFAL_E_DATA, "the DeepFool configuration is not one of dfal's: %s", error.text);
    } else {
        snprintf(out->preset, sizeof out->preset, "%.15s", preset);
        out->linearise_plain = plain;
        out->fail_inf = fail_inf;
        out->squared = squared;
        out->clip = clip;
        out->refine = refine;
        out->units_raw = strcmp(units, "raw") == 0;
        out->p = json_is_number(norm) ? json_number_value(norm) : (double)INFINITY;
        if (!out->units_raw && strcmp(units, "network") != 0)
            status = df_fail(DFAL_E_DATA, "a DeepFool configuration: units are '%s', expected raw or network",
                             units);
        else if (!json_is_number(norm) && !is_text(norm, "linf"))
            status = df_fail(DFAL_E_DATA,
                             "a DeepFool configuration: the norm is no number, expected one or \"linf\"");
        else if (check(out) != DFAL_OK)
            status = df_fail_prefix(DFAL_E_DATA, "a DeepFool configuration: ");
    }
    json_decref(root);
    return status;
}

void(dfal_score_options_init)(struct dfal_score_options *options, size_t size)
{
    const struct dfal_score_options defaults = {
        .preset = "lts4",
        .norm = 2,
        .max_iter = -1,
        .overshoot = NAN,
        .classes = -1,
        .unconverged = "last",
        .precision = "strict",
        .engine = "auto",
        .range_end = -1,
    };
    df_sized_init(options, size, &defaults, sizeof defaults);
}

dfal_status df_score_options_take(struct df_score_options *own, const struct dfal_score_options *given)
{
    dfal_score_options_init(&own->score);
    DF_TRY(df_sized_take(&own->score, sizeof own->score, given, "dfal_score_options"));
    DF_TRY(df_pool_options_take(&own->pool, own->score.pool));
    own->score.pool = &own->pool;
    return DFAL_OK;
}
