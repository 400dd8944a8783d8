/* SPDX-License-Identifier: Apache-2.0 */
/* Datatypes and dataspaces as they stand in an object header: every size fits what holds it. */
#include <string.h>

#include "store/hdf5_header.h"

enum { FIXED, REAL, TIME, TEXT, BITS, OPAQUE, COMPOUND, REFERENCE, ENUM, VARIABLE, ARRAY, CLASSES };
enum { MOST_DEPTH = 8, MOST_RANK = 32, MOST_NUMBER = 16, VARIABLE_BYTES = 16, VAX_ORDER = 0x40 };

static bool damaged(struct df_h5_source *source)
{
    return df_h5_refuse(source, "a datatype is damaged");
}

/* A name ended by a zero; before version 3 filled up to eights. */
static bool skip_name(struct df_h5_cursor *c, uint32_t version)
{
    const uint8_t *end = memchr(c->at, 0, df_h5_left(c));
    if (!end)
        return false;
    uint64_t length = (uint64_t)(end - c->at) + 1;
    df_h5_skip(c, version < 3 ? (length + 7) / 8 * 8 : length);
    return !c->past;
}

static int bytes_for(uint64_t value)
{
    int bytes = 1;
    while (value >>= 8)
        bytes++;
    return bytes;
}

static bool check_number(struct df_h5_cursor *c, uint32_t class, uint64_t flags, uint64_t size)
{
    uint64_t offset = df_h5_take(c, 2), precision = df_h5_take(c, 2), bits = 8 * size;
    if (precision == 0 || offset + precision > bits || (class != BITS && size > MOST_NUMBER))
        return false;
    if (class != REAL)
        return true;
    uint64_t exponent_at = df_h5_take(c, 1), exponent = df_h5_take(c, 1), mantissa_at = df_h5_take(c, 1),
             mantissa = df_h5_take(c, 1);
    df_h5_skip(c, 4);
    if (flags & VAX_ORDER)
        return false; /* HDF5 swaps bytes beside numbers of other sizes than VAX had */
    return (flags >> 8 & 0xff) < bits && exponent > 0 && mantissa > 0 && exponent_at + exponent <= bits &&
           mantissa_at + mantissa <= bits && exponent <= 32;
}

static bool check_member(struct df_h5_source *source, struct df_h5_cursor *c, uint32_t version, int depth,
                         struct df_h5_type *whole)
{
    const uint64_t size = whole->size;
    struct df_h5_type member;
    if (!skip_name(c, version))
        return damaged(source);
    uint64_t offset = df_h5_take(c, version < 3 ? 4 : bytes_for(size)), repeat = 1;
    if (version == 1) {
        uint64_t rank = df_h5_take(c, 1);
        df_h5_skip(c, 11);
        for (uint64_t i = 0; i < 4; i++) {
            uint64_t side = df_h5_take(c, 4);
            repeat = df_h5_times(repeat, i < rank ? side : 1);
        }
        if (rank > 4)
            return damaged(source);
    }
    if (!df_h5_check_type(source, c, depth + 1, &member))
        return false;
    whole->variable = whole->variable || member.variable;
    uint64_t bytes = df_h5_times(member.size, repeat);
    return (bytes > 0 && bytes <= size && offset <= size - bytes) || damaged(source);
}

static bool check_compound(struct df_h5_source *source, struct df_h5_cursor *c, uint32_t version, int depth,
                           uint64_t members, struct df_h5_type *whole)
{
    if (members == 0)
        return damaged(source);
    for (uint64_t i = 0; i < members; i++)
        if (!check_member(source, c, version, depth, whole))
            return false;
    return true;
}

static bool check_enum(struct df_h5_source *source, struct df_h5_cursor *c, uint32_t version, int depth,
                       uint64_t members, uint64_t size)
{
    struct df_h5_type base;
    if (!df_h5_check_type(source, c, depth + 1, &base))
        return false;
    if (base.size != size || base.class != FIXED)
        return damaged(source);
    for (uint64_t i = 0; i < members; i++)
        if (!skip_name(c, version))
            return damaged(source);
    df_h5_skip(c, df_h5_times(members, size));
    return !c->past || damaged(source);
}

static bool check_array(struct df_h5_source *source, struct df_h5_cursor *c, uint32_t version, int depth,
                        struct df_h5_type *whole)
{
    struct df_h5_type base;
    uint64_t rank = df_h5_take(c, 1), count = 1;
    if (version < 3)
        df_h5_skip(c, 3);
    if (rank < 1 || rank > MOST_RANK)
        return damaged(source);
    for (uint64_t i = 0; i < rank; i++)
        count = df_h5_times(count, df_h5_take(c, 4));
    if (version < 3)
        df_h5_skip(c, 4 * rank);
    if (!df_h5_check_type(source, c, depth + 1, &base))
        return false;
    whole->variable = base.variable;
    return (count > 0 && df_h5_times(count, base.size) == whole->size) || damaged(source);
}

bool df_h5_check_type(struct df_h5_source *source, struct df_h5_cursor *c, int depth, struct df_h5_type *type)
{
    struct df_h5_type base;
    uint64_t head = df_h5_take(c, 1), flags = df_h5_take(c, 3);
    uint32_t class = head & 15, version = (uint32_t)head >> 4;
    *type = (struct df_h5_type){.class = class, .size = df_h5_take(c, 4)};
    if (c->past || version < 1 || version > 3 || class >= CLASSES || type->size == 0 || depth > MOST_DEPTH)
        return damaged(source);
    switch (class) {
    case FIXED:
    case REAL:
    case BITS:
        return check_number(c, class, flags, type->size) || damaged(source);
    case TIME:
        df_h5_skip(c, 2);
        break;
    case OPAQUE:
        df_h5_skip(c, ((flags & 0xff) + 7) / 8 * 8);
        break;
    case COMPOUND:
        return check_compound(source, c, version, depth, flags & 0xffff, type);
    case ENUM:
        return check_enum(source, c, version, depth, flags & 0xffff, type->size);
    case ARRAY:
        return version > 1 ? check_array(source, c, version, depth, type) : damaged(source);
    case VARIABLE:
        if (!df_h5_check_type(source, c, depth + 1, &base))
            return false;
        type->texts = (flags & 15) == 1;
        type->variable = true;
        if (type->size != VARIABLE_BYTES || (flags & 15) > 1 || (type->texts && base.size != 1))
            return damaged(source);
        break;
    default:
        break;
    }
    return !c->past || damaged(source);
}

bool df_h5_check_space(struct df_h5_source *source, struct df_h5_cursor *c, uint32_t *rank, uint64_t *points)
{
    uint64_t version = df_h5_take(c, 1), dimensions = df_h5_take(c, 1), flags = df_h5_take(c, 1);
    uint64_t kind = df_h5_take(c, 1), sides[MOST_RANK];
    if (version == 1)
        df_h5_skip(c, 4);
    if (c->past || version < 1 || version > 2 || dimensions > MOST_RANK || flags > 1 ||
        (version == 2 && (kind > 2 || (kind != 1 && dimensions > 0))))
        return df_h5_refuse(source, "a dataspace is damaged");
    *rank = (uint32_t)dimensions;
    *points = version == 2 && kind == 2 ? 0 : 1;
    for (uint64_t i = 0; i < dimensions; i++) {
        sides[i] = df_h5_take(c, 8);
        *points = df_h5_times(*points, sides[i]);
    }
    for (uint64_t i = 0; flags && i < dimensions; i++)
        if (df_h5_take(c, 8) < sides[i] && !c->past)
            return df_h5_refuse(source, "a dataspace is larger than it may become");
    return !c->past || df_h5_refuse(source, "a dataspace is cut off");
}
