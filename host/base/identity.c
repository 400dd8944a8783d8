/* SPDX-License-Identifier: Apache-2.0 */
#include "base/identity.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"

void df_identity_clear(struct df_identity *identity)
{
    for (int32_t i = 0; i < identity->count; i++) {
        df_free(identity->keys[i].name);
        df_free(identity->keys[i].value);
    }
    df_free(identity->keys);
    *identity = (struct df_identity){0};
}

bool df_identity_is_arithmetic(const char *name)
{
    static const char *const names[] = {"version",   "dfal_version", "build",     "backend",
                                        "engine",    "isa",          "precision", "library",
                                        "libraries", "solver",       "training",  "transfer_training"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static dfal_status add(struct df_identity *identity, const char *name, const char *value, size_t length)
{
    DF_TRY(df_grow(&identity->keys, &identity->capacity, (int64_t)identity->count + 1, sizeof *identity->keys,
                   16));
    struct df_identity_key *key = &identity->keys[identity->count];
    *key = (struct df_identity_key){.arithmetic = df_identity_is_arithmetic(name)};
    DF_TRY(df_strdup(&key->name, name));
    const dfal_status status = df_format(&key->value, "%.*s", (int)length, value);
    if (status == DFAL_OK)
        identity->count++;
    else
        df_free(key->name);
    return status;
}

void df_identity_add(struct df_identity *identity, const char *name, const char *format, ...)
{
    struct df_text text = {0};
    char *value = NULL;
    va_list arguments;
    if (identity->status != DFAL_OK)
        return;
    va_start(arguments, format);
    df_text_add_list(&text, format, arguments);
    va_end(arguments);
    identity->status = df_text_take(&text, &value);
    if (identity->status == DFAL_OK)
        identity->status = add(identity, name, value, strlen(value));
    df_free(value);
}

static struct df_identity_key *find(const struct df_identity *identity, const char *name)
{
    for (int32_t i = 0; i < identity->count; i++)
        if (strcmp(identity->keys[i].name, name) == 0)
            return &identity->keys[i];
    return NULL;
}

void df_identity_recent(struct df_identity *identity, const char *name)
{
    struct df_identity_key *key = find(identity, name);
    if (key)
        key->recent = true;
}

void df_identity_remove(struct df_identity *identity, const char *name)
{
    struct df_identity_key *key = find(identity, name), *end = identity->keys + identity->count;
    if (!key)
        return;
    df_free(key->name);
    df_free(key->value);
    memmove(key, key + 1, (size_t)(end - key - 1) * sizeof *key);
    identity->count--;
}

const char *df_identity_value(const struct df_identity *identity, const char *name)
{
    const struct df_identity_key *key = find(identity, name);
    return key ? key->value : NULL;
}

/* ---- As lines --------------------------------------------------------------------------------- */

dfal_status df_identity_write(struct df_text *text, const struct df_identity *identity)
{
    DF_TRY(identity->status);
    for (int32_t i = 0; i < identity->count; i++) {
        const struct df_identity_key *key = &identity->keys[i];
        df_text_add(text, "%s:%s%s\n", key->name, key->value[0] ? " " : "", key->value);
    }
    return text->status;
}

static dfal_status read_line(struct df_identity *identity, const char *line, size_t length)
{
    char *name = NULL;
    const char *colon = memchr(line, ':', length), *end = line + length;
    if (!colon || colon == line || (colon + 1 < end && colon[1] != ' '))
        return DFAL_E_DATA;
    const char *value = colon + 1 < end ? colon + 2 : end;
    DF_TRY(df_format(&name, "%.*s", (int)(colon - line), line));
    const dfal_status status = add(identity, name, value, (size_t)(end - value));
    df_free(name);
    return status;
}

dfal_status df_identity_read(struct df_identity *identity, const char *text, const char *path)
{
    char shown[DF_SHOWN_TEXT];
    for (int64_t number = 1; *text; number++) {
        const size_t length = strcspn(text, "\n");
        const dfal_status status =
            text[length] == '\n' ? read_line(identity, text, length) : DFAL_E_DATA; /* cut short */
        if (status == DFAL_E_DATA)
            return df_fail(status, "%s: line %lld is '%s', expected 'name: value' and a line end", path,
                           (long long)number, df_shown(shown, text));
        DF_TRY(status);
        text += length + 1;
    }
    return DFAL_OK;
}

/* ---- Comparing -------------------------------------------------------------------------------- */

bool df_identity_next(struct df_identity_difference *difference, const struct df_identity *ours,
                      const struct df_identity *theirs)
{
    while (difference->at < ours->count + theirs->count) {
        const int32_t at = difference->at++;
        const struct df_identity_key *key =
            at < ours->count ? &ours->keys[at] : &theirs->keys[at - ours->count];
        const struct df_identity_key *other = find(at < ours->count ? theirs : ours, key->name);
        const bool told = other && (at >= ours->count || strcmp(key->value, other->value) == 0);
        if (told || (!other && key->recent && at < ours->count))
            continue;
        difference->name = key->name;
        difference->arithmetic = key->arithmetic;
        difference->ours = at < ours->count ? key->value : NULL;
        difference->theirs = at < ours->count ? (other ? other->value : NULL) : key->value;
        return true;
    }
    return false;
}

/* Where to begin to show two values: shortly before they differ when one of them is too long to be shown
 * whole. */
static size_t shown_from(const char *a, const char *b)
{
    enum { WHOLE = DF_SHOWN_TEXT - 4, BEFORE = 20 };
    size_t at = 0;
    if (strlen(a) <= WHOLE && strlen(b) <= WHOLE)
        return 0;
    while (a[at] && a[at] == b[at])
        at++;
    if (at < WHOLE / 2)
        return 0;
    at -= BEFORE;
    while (at > 0 && ((unsigned char)a[at] & 0xc0) == 0x80) /* not inside a character */
        at--;
    return at;
}

static const char *told(const char *value)
{
    return !value ? "(none)" : value[0] ? value : "(empty)";
}

/* A person tells digests apart by their first digits. */
enum { DIGEST = 64, DIGEST_SHOWN = 12 };

static bool is_digest(const char *value)
{
    return strlen(value) == DIGEST && strspn(value, "0123456789abcdef") == DIGEST;
}

static const char *shown_value(char text[DF_SHOWN_TEXT], const char *value, const char *other, size_t from)
{
    if (!is_digest(value) || strncmp(value, other, DIGEST_SHOWN) == 0)
        return df_shown(text, value + from);
    snprintf(text, DF_SHOWN_TEXT, "%.*s...", DIGEST_SHOWN, value);
    return text;
}

static dfal_status refuse(const struct df_identity_difference *difference, dfal_status status,
                          const char *path, const char *hint)
{
    const char *theirs = told(difference->theirs), *ours = told(difference->ours);
    const size_t from = shown_from(theirs, ours);
    char a[DF_SHOWN_TEXT], b[DF_SHOWN_TEXT];
    DF_FAIL(status, "%s was made with %s %s%s, expected %s%s%s%s", path, difference->name, from ? "..." : "",
            shown_value(a, theirs, ours, from), from ? "..." : "", shown_value(b, ours, theirs, from), hint,
            difference->arithmetic ? " (`allow_mixed` takes it all the same)" : "");
}

dfal_status df_identity_check(const struct df_identity *ours, const struct df_identity *theirs,
                              bool allow_mixed, dfal_status status, const char *path, const char *hint)
{
    struct df_identity_difference difference = {0};
    DF_TRY(ours->status);
    DF_TRY(theirs->status);
    while (df_identity_next(&difference, ours, theirs))
        if (!difference.arithmetic || !allow_mixed)
            return refuse(&difference, status, path, hint);
    return DFAL_OK;
}
