/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backend_name.h"

#include <inttypes.h>
#include <string.h>

#include "base/word.h"

enum spec { SPEC_NONE, SPEC_MAY, SPEC_MUST };

static const struct {
    const char *name;
    enum spec spec;
    const char *form;
} known[] = {
#define X(name, spec, form) {#name, SPEC_##spec, form},
    DF_BACKEND_NAMES(X)
#undef X
};
enum { KNOWN = sizeof known / sizeof *known };

static dfal_status fail_unknown(const char *text)
{
    const char *names[KNOWN];
    for (int i = 0; i < KNOWN; i++)
        names[i] = known[i].name;
    return df_fail_unknown(DFAL_E_USAGE, "back end", text, "auto, cpu, cuda[:LIST], ref or check:A:B", names,
                           KNOWN);
}

/* The digits that a text begins with, as a device's number. *end: behind them; NULL: there are none, or too
 * many. */
static int32_t read_index(const char *text, const char **end)
{
    const size_t length = strspn(text, "0123456789");
    int32_t index = 0;
    *end = length > 0 && length <= 4 ? text + length : NULL;
    for (size_t i = 0; *end != NULL && i < length; i++)
        index = 10 * index + (text[i] - '0');
    return index;
}

static dfal_status add_device(struct df_backend_name *out, int32_t index, const char *text)
{
    for (int32_t i = 0; i < out->device_count; i++)
        if (out->device[i] == index)
            DF_FAIL(DFAL_E_USAGE, "back end '%s' names device %" PRId32 " twice, expected each once", text,
                    index);
    if (out->device_count == DF_BACKEND_DEVICES)
        DF_FAIL(DFAL_E_USAGE, "back end '%.40s...' names more than %d devices, expected at most so many",
                text, (int)DF_BACKEND_DEVICES);
    out->device[out->device_count++] = index;
    return DFAL_OK;
}

/* "2", "0,1,2" or "all". */
static dfal_status read_devices(struct df_backend_name *out, const char *text)
{
    const char *at = out->spec;
    out->all = strcmp(at, "all") == 0;
    for (bool more = !out->all; more; at++) {
        const int32_t index = read_index(at, &at);
        if (at == NULL || (*at != ',' && *at != '\0'))
            DF_FAIL(DFAL_E_USAGE, "a device of back end '%s' is not a number: expected %s", text,
                    known[out->kind].form);
        DF_TRY(add_device(out, index, text));
        more = *at == ',';
    }
    return DFAL_OK;
}

bool df_backend_name_is_group(const struct df_backend_name *name)
{
    return name->all || name->device_count > 1;
}

/* Where A of A:B ends: A may be cuda:N or dlopen:PATH. NULL: there is no B. */
static const char *end_of_first(const char *pair)
{
    const char *begin = pair;
    if (strncmp(pair, "dlopen:", 7) == 0)
        begin += 7;
    else if (strncmp(pair, "cuda:", 5) == 0 && pair[5] >= '0' && pair[5] <= '9')
        begin += 5;
    const char *end = strchr(begin, ':');
    return end == NULL || end == pair || end[1] == '\0' ? NULL : end;
}

static dfal_status read_pair(struct df_backend_name *out, const char *text)
{
    const char *end = end_of_first(out->spec);
    struct df_backend_name side;
    if (end == NULL)
        DF_FAIL(DFAL_E_USAGE, "back end '%s' does not name two back ends: expected %s", text,
                known[out->kind].form);
    const size_t length = (size_t)(end - out->spec);
    if (length >= sizeof out->first)
        DF_FAIL(DFAL_E_USAGE, "bad back end '%s': the first name is longer than %zu characters", text,
                sizeof out->first - 1);
    memcpy(out->first, out->spec, length);
    out->first[length] = '\0';
    out->second = end + 1;
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? out->first : out->second;
        DF_TRY(df_backend_name_read(&side, name));
        if (df_backend_name_is_group(&side))
            DF_FAIL(DFAL_E_USAGE, "back end '%s' compares several devices, '%s', expected %s", text, name,
                    known[out->kind].form);
    }
    return DFAL_OK;
}

dfal_status df_backend_name_read(struct df_backend_name *out, const char *text)
{
    const char *colon = strchr(text, ':');
    const size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    int kind = 0;
    while (kind < KNOWN &&
           (strlen(known[kind].name) != length || memcmp(known[kind].name, text, length) != 0))
        kind++;
    if (kind == KNOWN)
        return fail_unknown(text);
    const enum spec spec = known[kind].spec;
    *out =
        (struct df_backend_name){.kind = (enum df_backend_kind)kind, .spec = colon != NULL ? colon + 1 : ""};
    if ((spec == SPEC_NONE && colon != NULL) || (spec == SPEC_MUST && *out->spec == '\0'))
        DF_FAIL(DFAL_E_USAGE, "bad back end '%s': expected %s", text, known[kind].form);
    if (kind == DF_BACKEND_cuda && colon != NULL)
        DF_TRY(read_devices(out, text));
    return kind == DF_BACKEND_check ? read_pair(out, text) : DFAL_OK;
}
