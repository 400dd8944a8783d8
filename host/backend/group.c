/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are opened as one: a list of heads, what they are called, and whether they compute the same
 * bits. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/log.h"

void df_device_close(struct df_device *device)
{
    while (device != NULL) {
        struct df_device *next = device->next;
        device->backend->device_close(device);
        device = next;
    }
}

int32_t df_group_count(const struct df_device *device)
{
    int32_t count = 0;
    for (; device != NULL; device = device->next)
        count++;
    return count;
}

int32_t df_group_workers(const struct df_device *device)
{
    int32_t workers = 0;
    for (; device != NULL; device = device->next)
        workers += df_device_workers(device);
    return workers;
}

/* ---- Models -------------------------------------------------------------------------------------------- */

static void isa_of_one(char *text, size_t size, const struct df_device *device)
{
    const struct df_device_info *info = &device->info;
    if (device->wide)
        (void)snprintf(text, size, "%s (%s)", info->isa, info->device);
    else
        (void)snprintf(text, size, "%s", info->isa);
}

static bool is_alike(const struct df_device *a, const struct df_device *b)
{
    char ours[DF_ISA_TEXT], theirs[DF_ISA_TEXT];
    isa_of_one(ours, sizeof ours, a);
    isa_of_one(theirs, sizeof theirs, b);
    return strcmp(ours, theirs) == 0 && strcmp(a->info.backend, b->info.backend) == 0 &&
           strcmp(a->info.library, b->info.library) == 0;
}

/* The first that differs from the group's first; NULL: none does. */
static const struct df_device *find_other(const struct df_device *device)
{
    const struct df_device *other = device->next;
    while (other != NULL && is_alike(device, other))
        other = other->next;
    return other;
}

bool df_group_is_mixed(const struct df_device *device)
{
    return find_other(device) != NULL;
}

dfal_status df_group_check(const struct df_device *device, bool allow_mixed)
{
    const struct df_device *other = allow_mixed ? NULL : find_other(device);
    char ours[DF_ISA_TEXT], theirs[DF_ISA_TEXT];
    if (other == NULL)
        return DFAL_OK;
    isa_of_one(ours, sizeof ours, device);
    isa_of_one(theirs, sizeof theirs, other);
    DF_FAIL(
        DFAL_E_UNAVAILABLE,
        "%s is %s with %s and %s is %s with %s, whose results differ in their last bits: expected devices of "
        "one model (`allow_mixed` takes them all the same)",
        device->name, ours, device->info.library, other->name, theirs, other->info.library);
}

/* Is a member of the same kind in front of it? */
static bool is_repeated(const struct df_device *first, const struct df_device *device)
{
    while (first != device && !is_alike(first, device))
        first = first->next;
    return first != device;
}

void df_device_isa(char text[DF_ISA_TEXT], const struct df_device *device)
{
    isa_of_one(text, DF_ISA_TEXT, device);
    for (const struct df_device *d = device->next; d != NULL; d = d->next) {
        const size_t used = strlen(text), left = DF_ISA_TEXT - used;
        if (is_repeated(device, d) || left < 3)
            continue;
        memcpy(text + used, ", ", 3);
        isa_of_one(text + used + 2, left - 2, d);
    }
}

void df_group_text(char text[DF_GROUP_TEXT], const struct df_device *device)
{
    const int32_t count = df_group_count(device);
    size_t used = 0;
    if (count > 1 && !df_group_is_mixed(device)) {
        (void)snprintf(text, DF_GROUP_TEXT, "%" PRId32 " x %.80s", count, device->info.device);
        return;
    }
    for (; device != NULL; device = device->next) {
        (void)snprintf(text + used, DF_GROUP_TEXT - used, "%s%s", used > 0 ? ", " : "", device->info.device);
        used = strlen(text);
    }
}

/* ---- What is said -------------------------------------------------------------------------------------- */

dfal_status df_group_blame(const struct df_device *device, dfal_status status)
{
    const bool own = status == DFAL_E_UNAVAILABLE || status == DFAL_E_MEMORY;
    return own && device->name[0] != '\0' ? df_fail_prefix(status, "%s: ", device->name) : status;
}

void df_group_say_first(struct dfal_context *context, const struct df_device *device, const char *what)
{
    const int32_t count = df_group_count(device);
    if (count > 1)
        df_say(context, DFAL_DEBUG, "backend.first",
               DF_FIELDS(DF_TEXT("work", what), DF_TEXT("device", device->name), DF_INT("devices", count)),
               "%s runs on %s, the first of %" PRId32 " devices", what, device->name, count);
}
