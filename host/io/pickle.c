/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pickle.h"

#include <string.h>

#include "base/memory.h"
#include "io/source.h"

enum { VALUE_LIMIT = 1 << 20, NAME_LIMIT = 128, RANK_LIMIT = 4 };

/* The only names: what a numpy array of bytes is rebuilt with. */
enum known_name { NAME_RECONSTRUCT, NAME_NDARRAY, NAME_DTYPE };
static const struct {
    const char *text;
    enum known_name name;
} known_names[] = {
    {"numpy.core.multiarray _reconstruct", NAME_RECONSTRUCT},
    {"numpy._core.multiarray _reconstruct", NAME_RECONSTRUCT},
    {"numpy ndarray", NAME_NDARRAY},
    {"numpy dtype", NAME_DTYPE},
};

enum { MARK = -1 }; /* on the stack: not a value */

struct machine {
    struct df_pickle *pickle;
    const unsigned char *bytes;
    int64_t size, at, begin; /* begin: of the instruction that runs */
    int32_t *stack, *memo;
    int32_t depth;
    int64_t stack_capacity, memo_capacity;
};

static dfal_status damaged(const struct machine *machine, const char *what)
{
    DF_FAIL(DFAL_E_DATA, "%s: byte %lld of the pickle: %s", machine->pickle->path, (long long)machine->begin,
            what);
}

static dfal_status refuse(const struct machine *machine)
{
    unsigned op = machine->bytes[machine->begin];
    static const struct {
        unsigned char code;
        const char *name;
    } names[] = {
        {'i', "INST"},
        {'o', "OBJ"},
        {0x81, "NEWOBJ"},
        {0x92, "NEWOBJ_EX"},
        {'P', "PERSID"},
        {'Q', "BINPERSID"},
        {0x82, "EXT1"},
        {0x83, "EXT2"},
        {0x84, "EXT4"},
        {0x93, "STACK_GLOBAL"},
        {0x94, "MEMOIZE"},
        {0x95, "FRAME"},
        {'G', "BINFLOAT"},
        {'F', "FLOAT"},
        {'I', "INT"},
        {'L', "LONG"},
        {'S', "STRING"},
        {'V', "UNICODE"},
        {'p', "PUT"},
        {'g', "GET"},
        {'d', "DICT"},
        {'l', "LIST"},
        {0x8b, "LONG4"},
        {'0', "POP"},
        {'1', "POP_MARK"},
        {'2', "DUP"},
        {0x8f, "EMPTY_SET"},
        {0x90, "ADDITEMS"},
        {0x91, "FROZENSET"},
        {0x8c, "SHORT_BINUNICODE"},
        {0x8d, "BINUNICODE8"},
        {0x8e, "BINBYTES8"},
        {0x96, "BYTEARRAY8"},
        {0x97, "NEXT_BUFFER"},
        {0x98, "READONLY_BUFFER"},
    };
    const char *name = "unknown";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == op)
            name = names[i].name;
    DF_FAIL(DFAL_E_DATA,
            "%s: byte %lld of the pickle is instruction 0x%02x (%s), which no published CIFAR batch "
            "(protocol 2) has: "
            "it is not read",
            machine->pickle->path, (long long)machine->begin, op, name);
}

/* ---- Values and the stack ------------------------------------------------------------------------------ */

/* Room for one more element. */
static dfal_status grow(void *array, int64_t *capacity, int64_t count, size_t size)
{
    return df_grow(array, capacity, count + 1, size, 16);
}

static struct df_pickle_value *value_of(const struct machine *machine, int32_t index)
{
    return &machine->pickle->values[index];
}

static dfal_status push_index(struct machine *machine, int32_t index)
{
    if (machine->depth >= VALUE_LIMIT)
        return damaged(machine, "more than 2^20 values on its stack");
    DF_TRY(grow(&machine->stack, &machine->stack_capacity, machine->depth, sizeof *machine->stack));
    machine->stack[machine->depth++] = index;
    return DFAL_OK;
}

static dfal_status push(struct machine *machine, struct df_pickle_value value)
{
    struct df_pickle *pickle = machine->pickle;
    if (pickle->count >= VALUE_LIMIT)
        return damaged(machine, "more than 2^20 values");
    DF_TRY(grow(&pickle->values, &pickle->capacity, pickle->count, sizeof *pickle->values));
    pickle->values[pickle->count] = value;
    return push_index(machine, pickle->count++);
}

static dfal_status push_int(struct machine *machine, int64_t integer)
{
    return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_INT, .integer = integer});
}

/* The top value, which stays. */
static dfal_status top(const struct machine *machine, int32_t below, int32_t *index)
{
    if (machine->depth <= below || machine->stack[machine->depth - 1 - below] == MARK)
        return damaged(machine, "its stack is empty");
    *index = machine->stack[machine->depth - 1 - below];
    return DFAL_OK;
}

/* First stack place above the last mark. */
static dfal_status find_mark(const struct machine *machine, int32_t *first)
{
    int32_t at = machine->depth;
    while (at > 0 && machine->stack[at - 1] != MARK)
        at--;
    if (at == 0)
        return damaged(machine, "there is no mark on its stack");
    *first = at;
    return DFAL_OK;
}

static dfal_status add_items(struct machine *machine, int32_t list, int32_t first)
{
    struct df_pickle_value *value = value_of(machine, list);
    for (int32_t i = first; i < machine->depth; i++) {
        if (machine->stack[i] == MARK)
            return damaged(machine, "its stack is empty");
        if (value->count >= VALUE_LIMIT)
            return damaged(machine, "a list of more than 2^20 items");
        DF_TRY(grow(&value->items, &value->capacity, value->count, sizeof *value->items));
        value->items[value->count++] = machine->stack[i];
    }
    return DFAL_OK;
}

/* ---- Instructions -------------------------------------------------------------------------------------- */

static dfal_status argument(struct machine *machine, int bytes, uint64_t *value)
{
    if (machine->size - machine->at < bytes)
        return damaged(machine, "it is truncated");
    *value = df_little_endian(machine->bytes + machine->at, bytes);
    machine->at += bytes;
    return DFAL_OK;
}

static dfal_status push_bytes(struct machine *machine, int length_bytes)
{
    uint64_t length;
    DF_TRY(argument(machine, length_bytes, &length));
    if (length > (uint64_t)(machine->size - machine->at))
        return damaged(machine, "a text reaches behind its end");
    const char *bytes = (const char *)machine->bytes + machine->at;
    machine->at += (int64_t)length;
    return push(machine,
                (struct df_pickle_value){.kind = DF_PICKLE_BYTES, .bytes = bytes, .size = (int64_t)length});
}

static dfal_status push_long(struct machine *machine)
{
    uint64_t length, bits;
    DF_TRY(argument(machine, 1, &length));
    if (length > 8)
        return damaged(machine, "a number of more than 64 bits");
    DF_TRY(argument(machine, (int)length, &bits));
    if (length > 0 && length < 8 && bits >> (8 * length - 1) & 1)
        bits |= UINT64_MAX << (8 * length);
    int64_t value;
    memcpy(&value, &bits, sizeof value);
    return push_int(machine, value);
}

static dfal_status put(struct machine *machine, int bytes)
{
    uint64_t place;
    int32_t index;
    DF_TRY(argument(machine, bytes, &place));
    DF_TRY(top(machine, 0, &index));
    if (place >= VALUE_LIMIT)
        return damaged(machine, "a memo place beyond 2^20");
    DF_TRY(grow(&machine->memo, &machine->memo_capacity, (int64_t)place, sizeof *machine->memo));
    machine->memo[place] = index + 1; /* 0: nothing there */
    return DFAL_OK;
}

static dfal_status get(struct machine *machine, int bytes)
{
    uint64_t place;
    DF_TRY(argument(machine, bytes, &place));
    if (place >= (uint64_t)machine->memo_capacity || !machine->memo[place])
        return damaged(machine, "a memo place that was never filled");
    return push_index(machine, machine->memo[place] - 1);
}

static dfal_status global(struct machine *machine)
{
    char text[NAME_LIMIT + 1];
    int64_t n = 0, lines = 0, left = machine->size - machine->at;
    const unsigned char *from = machine->bytes + machine->at;
    for (; n < left && n < NAME_LIMIT && lines < 2; n++) {
        lines += from[n] == '\n';
        text[n] = from[n] == '\n' ? ' ' : from[n] < 33 || from[n] > 126 ? '?' : (char)from[n];
    }
    if (lines < 2)
        return damaged(machine, "a name without an end");
    text[n - 1] = '\0';
    machine->at += n;
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (strcmp(known_names[i].text, text) == 0)
            return push(machine,
                        (struct df_pickle_value){.kind = DF_PICKLE_GLOBAL, .integer = known_names[i].name});
    DF_FAIL(DFAL_E_DATA,
            "%s: byte %lld of the pickle asks for '%s', expected only numpy's _reconstruct, ndarray and "
            "dtype: it is "
            "not read, and nothing of it was executed",
            machine->pickle->path, (long long)machine->begin, text);
}

static dfal_status make_list(struct machine *machine, enum df_pickle_kind kind, int32_t first, int32_t drop)
{
    struct df_pickle_value value = {.kind = kind};
    dfal_status status = DFAL_OK;
    int32_t count = machine->depth - first;
    if (count > 0)
        DF_TRY(df_alloc(&value.items, count, sizeof *value.items));
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        value.items[i] = machine->stack[first + i];
        if (value.items[i] == MARK)
            status = damaged(machine, "its stack is empty");
    }
    value.count = value.capacity = count > 0 ? count : 0;
    machine->depth = first - drop;
    if (status == DFAL_OK)
        status = push(machine, value);
    if (status != DFAL_OK)
        df_free(value.items);
    return status;
}

static dfal_status tuple(struct machine *machine, int32_t count)
{
    if (machine->depth < count)
        return damaged(machine, "its stack is empty");
    return make_list(machine, DF_PICKLE_TUPLE, machine->depth - count, 0);
}

static dfal_status append(struct machine *machine, int32_t first, int32_t drop, enum df_pickle_kind kind)
{
    int32_t at = first - drop - 1;
    if (at < 0 || machine->stack[at] == MARK)
        return damaged(machine, "its stack is empty");
    if (value_of(machine, machine->stack[at])->kind != kind ||
        (kind == DF_PICKLE_DICT && (machine->depth - first) % 2 != 0))
        return damaged(machine, "items for what is no list or dictionary");
    DF_TRY(add_items(machine, machine->stack[at], first));
    machine->depth = at + 1;
    return DFAL_OK;
}

/* Item i of a tuple when it is of a kind, else NULL. */
static const struct df_pickle_value *item_of(const struct machine *machine,
                                             const struct df_pickle_value *list, int32_t i,
                                             enum df_pickle_kind kind)
{
    if (i >= list->count)
        return NULL;
    const struct df_pickle_value *value = value_of(machine, list->items[i]);
    return value->kind == kind ? value : NULL;
}

static bool is_text(const struct df_pickle_value *value, const char *text)
{
    return value && value->kind == DF_PICKLE_BYTES && value->size == (int64_t)strlen(text) &&
           memcmp(value->bytes, text, strlen(text)) == 0;
}

/* _reconstruct(ndarray, (0,), 'b') and dtype('u1', 0, 1): nothing else is called. */
static dfal_status reduce(struct machine *machine)
{
    int32_t called, given;
    DF_TRY(top(machine, 1, &called));
    DF_TRY(top(machine, 0, &given));
    const struct df_pickle_value *name = value_of(machine, called), *tuple = value_of(machine, given);
    struct df_pickle_value made = {.kind = DF_PICKLE_NONE};
    if (name->kind == DF_PICKLE_GLOBAL && tuple->kind == DF_PICKLE_TUPLE) {
        const struct df_pickle_value *type = item_of(machine, tuple, 0, DF_PICKLE_GLOBAL),
                                     *descr = item_of(machine, tuple, 0, DF_PICKLE_BYTES);
        if (name->integer == NAME_RECONSTRUCT && type && type->integer == NAME_NDARRAY)
            made.kind = DF_PICKLE_ARRAY;
        if (name->integer == NAME_DTYPE && descr)
            made =
                (struct df_pickle_value){.kind = DF_PICKLE_DTYPE, .bytes = descr->bytes, .size = descr->size};
    }
    if (made.kind == DF_PICKLE_NONE)
        return damaged(machine, "a call of something else than numpy's _reconstruct and dtype");
    machine->depth -= 2;
    return push(machine, made);
}

/* The state of an array: (1, shape, dtype, is it Fortran order, bytes). */
static dfal_status build_array(struct machine *machine, int32_t index, const struct df_pickle_value *state)
{
    const struct df_pickle_value *shape = item_of(machine, state, 1, DF_PICKLE_TUPLE),
                                 *type = item_of(machine, state, 2, DF_PICKLE_DTYPE),
                                 *bytes = item_of(machine, state, 4, DF_PICKLE_BYTES);
    const struct df_pickle_value *order = state->count == 5 ? value_of(machine, state->items[3]) : NULL;
    int64_t total = 1;
    if (!shape || !type || !bytes || !order || shape->count > RANK_LIMIT)
        return damaged(machine, "an array whose state is not (version, shape, dtype, order, bytes)");
    if (type->size != 2 || memcmp(type->bytes, "u1", 2) != 0)
        DF_FAIL(DFAL_E_DATA, "%s: byte %lld of the pickle: an array of '%.*s', expected bytes (u1)",
                machine->pickle->path, (long long)machine->begin, (int)(type->size < 16 ? type->size : 16),
                type->bytes);
    if ((order->kind != DF_PICKLE_BOOL && order->kind != DF_PICKLE_INT) || order->integer)
        return damaged(machine, "an array in Fortran order, expected C order");
    for (int32_t i = 0; i < shape->count; i++) {
        const struct df_pickle_value *size = item_of(machine, shape, i, DF_PICKLE_INT);
        if (!size || size->integer < 0 || (size->integer && total > bytes->size / size->integer))
            return damaged(machine, "an array's shape that does not fit its bytes");
        total *= size->integer;
    }
    if (total != bytes->size)
        return damaged(machine, "an array's shape that does not fit its bytes");
    struct df_pickle_value *array = value_of(machine, index);
    if (array->bytes)
        return damaged(machine, "an array whose state is set twice");
    DF_TRY(df_alloc(&array->items, shape->count, sizeof *array->items));
    for (int32_t i = 0; i < shape->count; i++)
        array->items[i] = shape->items[i];
    array->count = array->capacity = shape->count;
    array->bytes = bytes->bytes;
    array->size = bytes->size;
    return DFAL_OK;
}

static dfal_status build(struct machine *machine)
{
    int32_t object, given;
    DF_TRY(top(machine, 1, &object));
    DF_TRY(top(machine, 0, &given));
    const struct df_pickle_value *state = value_of(machine, given);
    const enum df_pickle_kind kind = value_of(machine, object)->kind;
    if (state->kind != DF_PICKLE_TUPLE || (kind != DF_PICKLE_ARRAY && kind != DF_PICKLE_DTYPE))
        return damaged(machine, "a state for what is neither an array nor a dtype");
    if (kind == DF_PICKLE_ARRAY)
        DF_TRY(build_array(machine, object, state));
    else if (state->count < 2 || !(is_text(value_of(machine, state->items[1]), "|") ||
                                   is_text(value_of(machine, state->items[1]), "<")))
        return damaged(machine, "a dtype of another byte order");
    machine->depth--;
    return DFAL_OK;
}

static dfal_status step(struct machine *machine, unsigned op)
{
    uint64_t bits;
    int32_t first = 0;
    switch (op) {
    case '(':
        return push_index(machine, MARK);
    case '}':
        return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_DICT});
    case ']':
        return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_LIST});
    case ')':
        return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_TUPLE});
    case 'N':
        return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_NONE});
    case 0x88: /* NEWTRUE, NEWFALSE */
    case 0x89:
        return push(machine, (struct df_pickle_value){.kind = DF_PICKLE_BOOL, .integer = op == 0x88});
    case 'K': /* BININT1, BININT2, BININT, LONG1 */
        DF_TRY(argument(machine, 1, &bits));
        return push_int(machine, (int64_t)bits);
    case 'M':
        DF_TRY(argument(machine, 2, &bits));
        return push_int(machine, (int64_t)bits);
    case 'J':
        DF_TRY(argument(machine, 4, &bits));
        return push_int(machine,
                        bits < (uint64_t)1 << 31 ? (int64_t)bits : (int64_t)bits - ((int64_t)1 << 32));
    case 0x8a:
        return push_long(machine);
    case 'U': /* SHORT_BINSTRING, SHORT_BINBYTES */
    case 'C':
        return push_bytes(machine, 1);
    case 'T': /* BINSTRING, BINBYTES, BINUNICODE */
    case 'B':
    case 'X':
        return push_bytes(machine, 4);
    case 'q': /* BINPUT, LONG_BINPUT */
        return put(machine, 1);
    case 'r':
        return put(machine, 4);
    case 'h': /* BINGET, LONG_BINGET */
        return get(machine, 1);
    case 'j':
        return get(machine, 4);
    case 'a': /* APPEND, APPENDS, SETITEM, SETITEMS */
        return append(machine, machine->depth - 1, 0, DF_PICKLE_LIST);
    case 'e':
        DF_TRY(find_mark(machine, &first));
        return append(machine, first, 1, DF_PICKLE_LIST);
    case 's':
        return append(machine, machine->depth - 2, 0, DF_PICKLE_DICT);
    case 'u':
        DF_TRY(find_mark(machine, &first));
        return append(machine, first, 1, DF_PICKLE_DICT);
    case 't': /* TUPLE, TUPLE1, TUPLE2, TUPLE3 */
        DF_TRY(find_mark(machine, &first));
        return make_list(machine, DF_PICKLE_TUPLE, first, 1);
    case 0x85:
    case 0x86:
    case 0x87:
        return tuple(machine, (int32_t)(op - 0x84));
    case 'c':
        return global(machine);
    case 'R':
        return reduce(machine);
    case 'b':
        return build(machine);
    default:
        return refuse(machine);
    }
}

static dfal_status run(struct machine *machine)
{
    if (machine->size < 2 || machine->bytes[0] != 0x80 || machine->bytes[1] < 2)
        return damaged(machine, "it does not begin as a pickle of protocol 2 or later");
    if (machine->bytes[1] > 3)
        DF_FAIL(DFAL_E_DATA, "%s is a pickle of protocol %d, expected 2 as the published CIFAR batches have",
                machine->pickle->path, machine->bytes[1]);
    for (machine->at = 2;;) {
        machine->begin = machine->at;
        if (machine->at >= machine->size)
            return damaged(machine, "it is truncated");
        unsigned op = machine->bytes[machine->at++];
        if (op == '.')
            break;
        DF_TRY(step(machine, op));
    }
    if (machine->depth != 1 || machine->stack[0] == MARK)
        return damaged(machine, "it leaves other than one value");
    if (machine->at != machine->size)
        return damaged(machine, "bytes behind its end");
    machine->pickle->root = machine->stack[0];
    return DFAL_OK;
}

dfal_status df_pickle_parse(struct df_pickle *pickle, const char *bytes, int64_t size, const char *path)
{
    struct machine machine = {.pickle = pickle, .bytes = (const unsigned char *)bytes, .size = size};
    *pickle = (struct df_pickle){.path = path};
    dfal_status status = run(&machine);
    df_free(machine.stack);
    df_free(machine.memo);
    if (status != DFAL_OK)
        df_pickle_clear(pickle);
    return status;
}

void df_pickle_clear(struct df_pickle *pickle)
{
    for (int32_t i = 0; i < pickle->count; i++)
        df_free(pickle->values[i].items);
    df_free(pickle->values);
    *pickle = (struct df_pickle){.path = pickle->path};
}

const struct df_pickle_value *df_pickle_get(const struct df_pickle *pickle, const char *key)
{
    const struct df_pickle_value *root = &pickle->values[pickle->root];
    for (int32_t i = root->kind == DF_PICKLE_DICT ? root->count - 2 : -1; i >= 0; i -= 2)
        if (is_text(&pickle->values[root->items[i]], key))
            return &pickle->values[root->items[i + 1]];
    return NULL;
}

const struct df_pickle_value *df_pickle_item(const struct df_pickle *pickle,
                                             const struct df_pickle_value *list, int32_t i)
{
    return &pickle->values[list->items[i]];
}
