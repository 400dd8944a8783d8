/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pieces.h"

#include <stdlib.h>

#include "base/text.h"

enum { MOST_NAMED = 8 };

static int by_number(const void *a_, const void *b_)
{
    const struct df_piece *a = a_, *b = b_;
    return (a->number > b->number) - (a->number < b->number);
}

static dfal_status check_cut(const struct df_piece *pieces, int32_t count, const char *what)
{
    const struct df_piece *first = &pieces[0];
    for (int32_t i = 1; i < count; i++)
        if (pieces[i].count == 0)
            DF_FAIL(DFAL_E_DATA, "%s is no %s, but %s is %s %d of %d: expected %ss of one cut",
                    pieces[i].path, what, first->path, what, first->number + 1, first->count, what);
        else if (pieces[i].count != first->count)
            DF_FAIL(DFAL_E_DATA, "%s is %s %d of %d, but %s is %s %d of %d: expected %ss of one cut",
                    pieces[i].path, what, pieces[i].number + 1, pieces[i].count, first->path, what,
                    first->number + 1, first->count, what);
    return DFAL_OK;
}

/* Thousands may be missing: some have their numbers, the others are counted. */
static dfal_status fail_missing(const struct df_piece *pieces, int32_t count, const char *what)
{
    const int32_t total = pieces[0].count, missing = total - count;
    struct df_text text = {0};
    int32_t named = 0, at = 0;
    for (int32_t k = 0; named < missing && named < MOST_NAMED; k++) {
        if (at < count && pieces[at].number == k) {
            at++;
            continue;
        }
        const bool last = named + 1 == missing && named > 0;
        df_text_add(&text, "%s%d", last ? " and " : named ? ", " : "", k + 1);
        named++;
    }
    if (missing > named)
        df_text_add(&text, " and %d more", missing - named);
    const dfal_status status = text.status != DFAL_OK ? text.status
                                                      : df_fail(DFAL_E_DATA, "%s%s %s of %d %s missing", what,
                                                                missing > 1 ? "s" : "", text.bytes, total,
                                                                missing > 1 ? "are" : "is");
    df_text_clear(&text);
    return status;
}

dfal_status df_pieces_check(struct df_piece *pieces, int32_t count, const char *what)
{
    const int32_t total = pieces[0].count;
    if (count == 1 && total > 1)
        DF_FAIL(DFAL_E_DATA, "%s is %s %d of %d, the others are missing", pieces[0].path, what,
                pieces[0].number + 1, total);
    DF_TRY(check_cut(pieces, count, what));
    qsort(pieces, (size_t)count, sizeof *pieces, by_number);
    for (int32_t i = 1; i < count; i++)
        if (pieces[i].number == pieces[i - 1].number)
            DF_FAIL(DFAL_E_DATA, "%s %d of %d is there twice: %s and %s", what, pieces[i].number + 1, total,
                    pieces[i - 1].path, pieces[i].path);
    return count == total ? DFAL_OK : fail_missing(pieces, count, what);
}
