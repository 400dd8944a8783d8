/* SPDX-License-Identifier: Apache-2.0 */
#include "io/zip.h"

#include <string.h>
#include <unistd.h>

#include "base/kind.h"
#include "base/memory.h"

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_MOST = 65535,
    DIRECTORY_MOST = 64 << 20,
    DEFLATE_MOST = 1032, /* bytes that one packed byte can become */
};
static const uint32_t sign_end = 0x06054b50, sign_end64 = 0x06064b50, sign_locator = 0x07064b50,
                      sign_entry = 0x02014b50, sign_local = 0x04034b50;

static uint32_t u16(const unsigned char *bytes)
{
    return (uint32_t)df_little_endian(bytes, 2);
}

static uint32_t u32(const unsigned char *bytes)
{
    return (uint32_t)df_little_endian(bytes, 4);
}

/* Sizes and offsets beyond 2^62 are none. */
static int64_t i64(const unsigned char *bytes)
{
    uint64_t value = df_little_endian(bytes, 8);
    return value >> 62 ? -1 : (int64_t)value;
}

struct end {
    int64_t at; /* where the directory has to end */
    int64_t count, size, directory;
};

/* The record of a large archive stands before the end record, its place in a locator between the two. Python
 * writes it from 2 GiB on, where the end record's own fields still hold: where there is a locator, its record
 * counts. */
static dfal_status read_end64(const struct df_zip *zip, struct end *end, bool needed)
{
    unsigned char locator[LOCATOR_BYTES], record[END64_BYTES];
    int64_t at = end->at - LOCATOR_BYTES, place = -1;
    if (at >= 0)
        DF_TRY(df_read_at(zip->fd, zip->path, at, locator, sizeof locator));
    if (at < 0 || u32(locator) != sign_locator) {
        if (needed)
            DF_FAIL(DFAL_E_DATA, "%s is no whole zip archive: the record of its large directory is missing",
                    zip->path);
        return DFAL_OK;
    }
    place = i64(locator + 8);
    if (place < 0 || place > at - END64_BYTES)
        DF_FAIL(DFAL_E_DATA, "%s: the place of its large directory's record is damaged", zip->path);
    DF_TRY(df_read_at(zip->fd, zip->path, place, record, sizeof record));
    if (u32(record) != sign_end64 || u32(record + 16) || u32(record + 20) ||
        i64(record + 24) != i64(record + 32))
        DF_FAIL(DFAL_E_DATA, "%s: the record of its large directory is damaged, or of several parts",
                zip->path);
    *end = (struct end){
        .at = place, .count = i64(record + 32), .size = i64(record + 40), .directory = i64(record + 48)};
    return DFAL_OK;
}

/* The end record: the last one whose comment reaches exactly to the end of the file. */
static dfal_status find_end(const struct df_zip *zip, int64_t size, struct end *end)
{
    unsigned char *tail, *found = NULL;
    int64_t span = size < END_BYTES + COMMENT_MOST ? size : END_BYTES + COMMENT_MOST;
    DF_TRY(df_alloc(&tail, span, 1));
    dfal_status status = df_read_at(zip->fd, zip->path, size - span, tail, span);
    for (int64_t i = span - END_BYTES; status == DFAL_OK && i >= 0 && !found; i--)
        if (u32(tail + i) == sign_end && u16(tail + i + 20) == span - END_BYTES - i)
            found = tail + i;
    if (status == DFAL_OK && !found)
        status = df_refuse_kind(zip->path, "a zip archive, such as an archive of numpy (.npz)");
    if (status == DFAL_OK && !found)
        status = df_fail(DFAL_E_DATA, "%s is no zip archive, or a truncated one: its directory is missing",
                         zip->path);
    if (status == DFAL_OK) {
        *end = (struct end){.at = size - span + (found - tail),
                            .count = u16(found + 10),
                            .size = u32(found + 12),
                            .directory = u32(found + 16)};
        bool large = end->count == UINT16_MAX || end->size == UINT32_MAX || end->directory == UINT32_MAX;
        if (u16(found + 4) != u16(found + 6) || u16(found + 8) != u16(found + 10))
            status =
                df_fail(DFAL_E_DATA, "%s is one part of several, expected a whole zip archive", zip->path);
        else
            status = read_end64(zip, end, large);
    }
    df_free(tail);
    return status;
}

/* Sizes that do not fit 32 bits stand in the extra field 1, those needed only, in this order. */
static bool read_large(struct df_zip_member *member, const unsigned char *extra, int64_t left)
{
    int64_t *const fields[3] = {&member->size, &member->stored, &member->at};
    bool wanted = false;
    for (int i = 0; i < 3; i++)
        wanted = wanted || *fields[i] == UINT32_MAX;
    while (wanted && left >= 4) {
        int64_t length = u16(extra + 2), used = 0;
        if (length > left - 4)
            return false;
        if (u16(extra) == 1) {
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX)
                    continue;
                if (used + 8 > length)
                    return false;
                *fields[i] = i64(extra + 4 + used);
                used += 8;
                if (*fields[i] < 0)
                    return false;
            }
            return true;
        }
        extra += 4 + length;
        left -= 4 + length;
    }
    return !wanted;
}

static dfal_status read_entry(struct df_zip *zip, const unsigned char *entry, int64_t left, int64_t *length)
{
    struct df_zip_member *member = &zip->members[zip->count];
    if (left < ENTRY_BYTES || u32(entry) != sign_entry)
        DF_FAIL(DFAL_E_DATA, "%s: entry %lld of its directory is damaged", zip->path, (long long)zip->count);
    int64_t name = u16(entry + 28), extra = u16(entry + 30);
    *length = ENTRY_BYTES + name + extra + u16(entry + 32);
    if (*length > left || memchr(entry + ENTRY_BYTES, '\0', (size_t)name))
        DF_FAIL(DFAL_E_DATA, "%s: entry %lld of its directory is damaged", zip->path, (long long)zip->count);
    *member = (struct df_zip_member){.method = (int32_t)u16(entry + 10),
                                     .encrypted = u16(entry + 8) & 1,
                                     .sum = u32(entry + 16),
                                     .stored = u32(entry + 20),
                                     .size = u32(entry + 24),
                                     .at = u32(entry + 42)};
    if (!read_large(member, entry + ENTRY_BYTES + name, extra))
        DF_FAIL(DFAL_E_DATA, "%s: the sizes in entry %lld of its directory are damaged", zip->path,
                (long long)zip->count);
    DF_TRY(df_alloc(&member->name, name + 1, 1));
    memcpy(member->name, entry + ENTRY_BYTES, (size_t)name);
    zip->count++;
    return DFAL_OK;
}

static dfal_status read_directory(struct df_zip *zip, int64_t size)
{
    struct end end;
    unsigned char *directory;
    DF_TRY(find_end(zip, size, &end));
    if (end.size < 0 || end.size > DIRECTORY_MOST || end.directory < 0 || end.count < 0 ||
        end.count > end.size / ENTRY_BYTES || end.directory != end.at - end.size)
        DF_FAIL(DFAL_E_DATA,
                "%s: its directory is said to have %lld entries in %lld bytes at byte %lld, expected it to "
                "end at "
                "byte %lld and to be at most 64 MiB",
                zip->path, (long long)end.count, (long long)end.size, (long long)end.directory,
                (long long)end.at);
    zip->directory = end.directory;
    DF_TRY(df_alloc(&zip->members, end.count, sizeof *zip->members));
    DF_TRY(df_alloc(&directory, end.size, 1));
    dfal_status status = df_read_at(zip->fd, zip->path, end.directory, directory, end.size);
    int64_t at = 0;
    while (status == DFAL_OK && zip->count < end.count) {
        int64_t length = 0;
        status = read_entry(zip, directory + at, end.size - at, &length);
        at += length;
    }
    if (status == DFAL_OK && at != end.size) /* a member that is not listed would be one that is not there */
        status =
            df_fail(DFAL_E_DATA, "%s: its directory has %lld bytes behind its %lld entries, expected none",
                    zip->path, (long long)(end.size - at), (long long)end.count);
    df_free(directory);
    return status;
}

dfal_status df_zip_open(struct df_zip *zip, const char *path)
{
    int64_t size;
    *zip = DF_ZIP_NONE;
    DF_TRY(df_open_plain(&zip->fd, &size, path));
    dfal_status status = df_strdup(&zip->path, path);
    if (status == DFAL_OK && size < END_BYTES)
        status = df_fail(DFAL_E_DATA, "%s has %lld bytes, expected a zip archive", path, (long long)size);
    if (status == DFAL_OK)
        status = read_directory(zip, size);
    if (status != DFAL_OK)
        df_zip_close(zip);
    return status;
}

void df_zip_close(struct df_zip *zip)
{
    for (int64_t i = 0; i < zip->count; i++)
        df_free(zip->members[i].name);
    df_free(zip->members);
    df_free(zip->path);
    if (zip->fd >= 0)
        close(zip->fd);
    *zip = DF_ZIP_NONE;
}

dfal_status df_zip_find(const struct df_zip *zip, int64_t *index, const char *name)
{
    *index = -1;
    for (int64_t i = 0; i < zip->count; i++) {
        if (strcmp(zip->members[i].name, name) != 0)
            continue;
        if (*index >= 0)
            DF_FAIL(DFAL_E_DATA, "%s holds two members named %s, expected one", zip->path, name);
        *index = i;
    }
    return DFAL_OK;
}

dfal_status df_zip_read(const struct df_zip *zip, int64_t index, struct df_source *source)
{
    const struct df_zip_member *member = &zip->members[index];
    unsigned char local[LOCAL_BYTES];
    char *name;
    *source = DF_SOURCE_NONE;
    DF_TRY(df_format(&name, "%s: %s", zip->path, member->name));
    dfal_status status = DFAL_OK;
    bool packed = member->method == 8;
    int64_t begin = member->at + LOCAL_BYTES;
    if (member->encrypted)
        status = df_fail(DFAL_E_DATA, "%s is encrypted, expected a plain member", name);
    else if (member->method != 0 && !packed)
        status = df_fail(DFAL_E_DATA, "%s is packed by method %d, expected it stored or deflated", name,
                         member->method);
    else if (packed ? member->size / DEFLATE_MOST > member->stored : member->size != member->stored)
        status = df_fail(DFAL_E_DATA, "%s declares %lld bytes, not what its %lld stored bytes can hold", name,
                         (long long)member->size, (long long)member->stored);
    else if (begin > zip->directory)
        status = df_fail(DFAL_E_DATA, "%s begins behind the archive's directory", name);
    if (status == DFAL_OK)
        status = df_read_at(zip->fd, zip->path, member->at, local, sizeof local);
    if (status == DFAL_OK) {
        begin += u16(local + 26) + u16(local + 28);
        if (u32(local) != sign_local || (int32_t)u16(local + 8) != member->method || u16(local + 6) & 1)
            status = df_fail(DFAL_E_DATA, "%s: its local header is damaged", name);
        else if (member->stored > zip->directory - begin)
            status = df_fail(DFAL_E_DATA, "%s: its %lld bytes reach into the archive's directory", name,
                             (long long)member->stored);
    }
    if (status == DFAL_OK)
        status = df_source_open_member(source, zip->fd, name, begin, member->stored, member->size,
                                       member->sum, packed);
    df_free(name);
    return status;
}
