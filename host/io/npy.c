/* SPDX-License-Identifier: Apache-2.0 */
#include "io/npy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/kind.h"
#include "base/memory.h"

enum { HEADER_MOST = 1 << 20, BLOCK = 1 << 16 };
static const int64_t exact_most = (int64_t)1 << 24; /* every whole number up to here is an f32 */

/* ---- The header: a Python dictionary of exactly three keys --------------------------------------------- */

struct header {
    const char *name; /* of the source */
    const char *at;
    bool have_descr, have_order, have_shape;
};

static dfal_status damaged(const struct header *header, const char *expected)
{
    char near[24];
    snprintf(near, sizeof near, "%.20s", header->at);
    for (char *c = near; *c; c++)
        if (*c < 32 || *c > 126)
            *c = '?';
    DF_FAIL(DFAL_E_DATA, "%s: its npy header is damaged before '%s', expected %s", header->name, near,
            expected);
}

static void skip_blanks(struct header *header)
{
    while (*header->at == ' ' || *header->at == '\n' || *header->at == '\t')
        header->at++;
}

static bool take(struct header *header, const char *word)
{
    skip_blanks(header);
    size_t length = strlen(word);
    if (strncmp(header->at, word, length) != 0)
        return false;
    header->at += length;
    return true;
}

/* A text between ' or " without escapes; cut to size - 1. */
static bool take_text(struct header *header, char *text, size_t size)
{
    skip_blanks(header);
    char quote = *header->at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *begin = header->at + 1, *end = begin;
    while (*end && *end != quote && *end != '\\' && *end != '\n')
        end++;
    if (*end != quote)
        return false;
    size_t length = (size_t)(end - begin) < size - 1 ? (size_t)(end - begin) : size - 1;
    memcpy(text, begin, length);
    text[length] = '\0';
    header->at = end + 1;
    return true;
}

static dfal_status refuse_type(const struct header *header, const char *descr)
{
    char letter = descr[0] && strchr("<>|=", descr[0]) ? descr[1] : descr[0];
    const char *what = letter == 'O'                    ? "Python objects, which only Python can read"
                       : letter == 'V'                  ? "structures"
                       : letter == 'S' || letter == 'U' ? "texts"
                       : letter == 'M' || letter == 'm' ? "dates or spans of time"
                       : letter == 'c'                  ? "complex numbers"
                                                        : "a type that is not known";
    DF_FAIL(DFAL_E_DATA,
            "%s holds %s (descr '%s'), expected u1, f4, f8 or whole numbers (i1 to i8, u1 to u8)",
            header->name, what, descr);
}

static dfal_status take_descr(struct header *header, struct df_npy *npy)
{
    char descr[sizeof npy->descr];
    skip_blanks(header);
    if (*header->at == '[' || *header->at == '(')
        DF_FAIL(
            DFAL_E_DATA,
            "%s holds structures (descr '%.40s...'), expected one number an element: u1, f4, f8, i1 to i8",
            header->name, header->at);
    if (!take_text(header, descr, sizeof descr))
        return damaged(header, "the element type as text");
    const char *type = descr;
    char order = *type && strchr("<>|=", *type) ? *type++ : '=';
    bool known = strchr("iufb", type[0]) && type[0] && type[1] && strchr("1248", type[1]) && !type[2];
    npy->width = known ? type[1] - '0' : 0;
    npy->kind = type[0] == 'f' ? DF_NPY_REAL : type[0] == 'i' ? DF_NPY_INTEGER : DF_NPY_UNSIGNED;
    if (!known || (type[0] == 'f' && npy->width == 1) || (type[0] == 'b' && npy->width != 1) ||
        (order == '|' && npy->width != 1))
        return refuse_type(header, descr);
    npy->swap = order == '>' && npy->width > 1;
    memcpy(npy->descr, descr, sizeof descr);
    header->have_descr = true;
    return DFAL_OK;
}

static dfal_status take_order(struct header *header, bool *fortran)
{
    *fortran = take(header, "True");
    if (!*fortran && !take(header, "False"))
        return damaged(header, "True or False");
    header->have_order = true;
    return DFAL_OK;
}

static dfal_status take_shape(struct header *header, struct df_npy *npy)
{
    if (!take(header, "("))
        return damaged(header, "the shape as a tuple");
    while (!take(header, ")")) {
        if (npy->rank && !take(header, ","))
            return damaged(header, "a comma in the shape");
        if (take(header, ")"))
            break;
        skip_blanks(header);
        if (*header->at < '0' || *header->at > '9')
            return damaged(header, "a size of the shape");
        if (npy->rank == DF_NPY_RANK)
            DF_FAIL(DFAL_E_SHAPE, "%s has more than %d axes, expected at most 4", header->name, DF_NPY_RANK);
        int64_t size = 0;
        for (; *header->at >= '0' && *header->at <= '9'; header->at++) {
            size = size * 10 + (*header->at - '0');
            if (size > (int64_t)1 << 48)
                return damaged(header, "a size of at most 2^48");
        }
        if (*header->at == 'L') /* a Python 2 long */
            header->at++;
        npy->dims[npy->rank++] = size;
    }
    header->have_shape = true;
    return DFAL_OK;
}

static dfal_status parse(struct header *header, struct df_npy *npy, bool *fortran)
{
    char key[32];
    if (!take(header, "{"))
        return damaged(header, "a dictionary");
    for (bool first = true; !take(header, "}"); first = false) {
        if (!first && !take(header, ","))
            return damaged(header, "a comma or }");
        if (take(header, "}"))
            break;
        if (!take_text(header, key, sizeof key) || !take(header, ":"))
            return damaged(header, "a key and :");
        if (strcmp(key, "descr") == 0 && !header->have_descr)
            DF_TRY(take_descr(header, npy));
        else if (strcmp(key, "fortran_order") == 0 && !header->have_order)
            DF_TRY(take_order(header, fortran));
        else if (strcmp(key, "shape") == 0 && !header->have_shape)
            DF_TRY(take_shape(header, npy));
        else
            return damaged(header, "each of descr, fortran_order and shape once");
    }
    skip_blanks(header);
    if (*header->at || !header->have_descr || !header->have_order || !header->have_shape)
        return damaged(header, "descr, fortran_order and shape, and no more");
    return DFAL_OK;
}

const char *df_npy_shape(char text[DF_NPY_SHAPE_TEXT], const struct df_npy *npy)
{
    int used = snprintf(text, DF_NPY_SHAPE_TEXT, "[");
    for (int32_t i = 0; i < npy->rank; i++)
        used += snprintf(text + used, (size_t)(DF_NPY_SHAPE_TEXT - used), "%s%lld", i ? ", " : "",
                         (long long)npy->dims[i]);
    snprintf(text + used, (size_t)(DF_NPY_SHAPE_TEXT - used), "]");
    return text;
}

static dfal_status read_header(struct df_npy *npy, char **text)
{
    unsigned char head[12];
    struct df_source *source = &npy->source;
    if (source->size < 10)
        DF_FAIL(DFAL_E_DATA, "%s has %lld bytes, expected an npy file", source->name,
                (long long)source->size);
    DF_TRY(df_source_read(source, head, 8, "header"));
    if (memcmp(head, "\x93NUMPY", 6) != 0) {
        DF_TRY(df_refuse_kind(source->name, "an npy file"));
        DF_FAIL(DFAL_E_DATA, "%s does not begin as an npy file (\\x93NUMPY)", source->name);
    }
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        DF_FAIL(DFAL_E_DATA, "%s is of npy format %d.%d, expected 1.0, 2.0 or 3.0", source->name, head[6],
                head[7]);
    int width = head[6] == 1 ? 2 : 4;
    DF_TRY(df_source_read(source, head, width, "header"));
    int64_t length = (int64_t)df_little_endian(head, width);
    if (length > HEADER_MOST || length > source->size - source->done)
        DF_FAIL(DFAL_E_DATA, "%s declares a header of %lld bytes, more than it holds (or than 1 MiB)",
                source->name, (long long)length);
    DF_TRY(df_alloc(text, length + 1, 1));
    DF_TRY(df_source_read(source, *text, length, "header"));
    if (memchr(*text, '\0', (size_t)length))
        DF_FAIL(DFAL_E_DATA, "%s: a zero byte in its npy header", source->name);
    return DFAL_OK;
}

static dfal_status check_size(struct df_npy *npy, bool fortran)
{
    char shape[DF_NPY_SHAPE_TEXT];
    int32_t wide = 0;
    npy->count = 1;
    for (int32_t i = 0; i < npy->rank; i++) {
        if (npy->dims[i] && npy->count > ((int64_t)1 << 56) / npy->dims[i])
            DF_FAIL(DFAL_E_DATA, "%s declares the shape %s, more than any file holds", npy->source.name,
                    df_npy_shape(shape, npy));
        npy->count *= npy->dims[i];
        wide += npy->dims[i] > 1;
    }
    int64_t body = npy->source.size - npy->source.done;
    if (npy->count * npy->width != body)
        DF_FAIL(DFAL_E_DATA, "%s holds %lld bytes behind its header, expected %lld for %s of %s%s",
                npy->source.name, (long long)body, (long long)(npy->count * npy->width),
                df_npy_shape(shape, npy), npy->descr,
                body < npy->count * npy->width ? " (truncated)" : " (trailing bytes)");
    if (fortran && wide > 1)
        DF_FAIL(DFAL_E_DATA,
                "%s is stored in Fortran order, expected C order: save numpy.ascontiguousarray(x)",
                npy->source.name);
    return DFAL_OK;
}

dfal_status df_npy_open(struct df_npy *npy, struct df_source *source)
{
    char *text = NULL;
    bool fortran = false;
    *npy = (struct df_npy){.source = *source};
    *source = DF_SOURCE_NONE;
    dfal_status status = read_header(npy, &text);
    if (status == DFAL_OK) {
        struct header header = {.name = npy->source.name, .at = text};
        status = parse(&header, npy, &fortran);
    }
    df_free(text);
    if (status == DFAL_OK)
        status = check_size(npy, fortran);
    if (status == DFAL_OK)
        status = df_alloc(&npy->raw, BLOCK, (size_t)npy->width);
    if (status != DFAL_OK)
        df_npy_close(npy);
    return status;
}

void df_npy_close(struct df_npy *npy)
{
    df_source_close(&npy->source);
    df_free(npy->raw);
    *npy = DF_NPY_NONE;
}

/* ---- The elements -------------------------------------------------------------------------------------- */

bool df_npy_is_bytes(const struct df_npy *npy)
{
    return npy->kind == DF_NPY_UNSIGNED && npy->width == 1 && !strchr(npy->descr, 'b');
}

dfal_status df_npy_bytes(struct df_npy *npy, uint8_t *out, int64_t count)
{
    npy->taken += count;
    return df_source_read(&npy->source, out, count, "elements");
}

/* The bits of element i of the block, in the machine's order. */
static uint64_t bits_of(const struct df_npy *npy, int64_t i)
{
    const unsigned char *at = (const unsigned char *)npy->raw + i * npy->width;
    if (!npy->swap)
        return df_little_endian(at, npy->width);
    uint64_t bits = 0;
    for (int32_t k = 0; k < npy->width; k++)
        bits = bits << 8 | at[k];
    return bits;
}

static double half_value(uint64_t bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023), value;
    if (exponent == 31)
        value = fraction != 0 ? NAN : INFINITY;
    else
        value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 & 1 ? -value : value;
}

static double real_value(uint64_t bits, int32_t width)
{
    if (width == 2)
        return half_value(bits);
    if (width == 4) {
        uint32_t low = (uint32_t)bits;
        float value;
        memcpy(&value, &low, sizeof value);
        return value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Whole numbers, sign extended. Errors   an unsigned one beyond int64 */
static dfal_status integer_value(const struct df_npy *npy, int64_t i, int64_t row, int64_t *value)
{
    uint64_t bits = bits_of(npy, i);
    int shift = 64 - 8 * npy->width;
    if (npy->kind == DF_NPY_UNSIGNED) {
        if (bits > INT64_MAX)
            DF_FAIL(DFAL_E_DATA, "%s has %llu in row %lld, expected less than 2^63", npy->source.name,
                    (unsigned long long)bits, (long long)row);
        *value = (int64_t)bits;
        return DFAL_OK;
    }
    bits <<= shift;
    memcpy(value, &bits, sizeof bits);
    *value >>= shift; /* arithmetic on every compiler that builds dfal */
    return DFAL_OK;
}

static dfal_status real_element(const struct df_npy *npy, int64_t i, int64_t row, float *out)
{
    if (npy->kind == DF_NPY_REAL) {
        double value = real_value(bits_of(npy, i), npy->width);
        *out = (float)value;
        if (isfinite(value) && !isfinite(*out))
            DF_FAIL(DFAL_E_DATA, "%s has %g in row %lld, expected what f32 can hold", npy->source.name, value,
                    (long long)row);
        return DFAL_OK;
    }
    int64_t value;
    DF_TRY(integer_value(npy, i, row, &value));
    if (value > exact_most || value < -exact_most)
        DF_FAIL(DFAL_E_DATA, "%s has %lld in row %lld, expected -2^24 to 2^24, which f32 holds exactly",
                npy->source.name, (long long)value, (long long)row);
    *out = (float)value;
    return DFAL_OK;
}

static dfal_status integer_element(const struct df_npy *npy, int64_t i, int64_t row, int64_t *out)
{
    if (npy->kind != DF_NPY_REAL)
        return integer_value(npy, i, row, out);
    double value = real_value(bits_of(npy, i), npy->width);
    if (!(fabs(value) <= 9007199254740992.0) || value != floor(value))
        DF_FAIL(DFAL_E_DATA, "%s has %.17g in row %lld, expected a whole number", npy->source.name, value,
                (long long)row);
    *out = (int64_t)value;
    return DFAL_OK;
}

/* One block after the other through raw. */
static dfal_status read_block(struct df_npy *npy, int64_t left, int64_t *n)
{
    *n = left < BLOCK ? left : BLOCK;
    return df_source_read(&npy->source, npy->raw, *n * npy->width, "elements");
}

dfal_status df_npy_reals(struct df_npy *npy, float *out, int64_t count, int64_t row_elements)
{
    if (npy->kind == DF_NPY_REAL && npy->width == 4 && !npy->swap) {
        npy->taken += count;
        return df_source_read(&npy->source, out, count * (int64_t)sizeof(float), "elements");
    }
    for (int64_t done = 0, n; done < count; done += n, npy->taken += n) {
        DF_TRY(read_block(npy, count - done, &n));
        for (int64_t i = 0; i < n; i++)
            DF_TRY(real_element(npy, i, (npy->taken + i) / row_elements, &out[done + i]));
    }
    return DFAL_OK;
}

dfal_status df_npy_integers(struct df_npy *npy, int64_t *out, int64_t count, int64_t row_elements)
{
    for (int64_t done = 0, n; done < count; done += n, npy->taken += n) {
        DF_TRY(read_block(npy, count - done, &n));
        for (int64_t i = 0; i < n; i++)
            DF_TRY(integer_element(npy, i, (npy->taken + i) / row_elements, &out[done + i]));
    }
    return DFAL_OK;
}

dfal_status df_npy_skip(struct df_npy *npy, int64_t count)
{
    for (int64_t done = 0, n; done < count; done += n, npy->taken += n)
        DF_TRY(read_block(npy, count - done, &n));
    return DFAL_OK;
}
