/* SPDX-License-Identifier: Apache-2.0 */
#include "report/sheet.h"

#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "report/report.h"

enum kind { OTHER, HTML, PNG };

static enum kind kind_of(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
    if (dot && (df_same_but_case(dot, ".html") || df_same_but_case(dot, ".htm")))
        return HTML;
    return dot && df_same_but_case(dot, ".png") ? PNG : OTHER;
}

dfal_status df_sheet_check(const char *path)
{
    if (kind_of(path) == OTHER)
        DF_FAIL(DFAL_E_USAGE, "the contact sheet is to be %s, expected a name that ends in .html or .png",
                path);
    return DFAL_OK;
}

static dfal_status put_image(struct df_text *page, const unsigned char *planes, const struct df_tiles *tiles,
                             const char *what, const char *id)
{
    df_text_add(page, "<img width=\"%d\" height=\"%d\" alt=\"%s ", DF_SHEET_SIDE, DF_SHEET_SIDE, what);
    df_text_html(page, id);
    df_text_add(page, "\" src=\"");
    DF_TRY(df_picture_uri(page, planes, tiles->channels, tiles->height, tiles->width));
    df_text_add(page, "\">");
    return DFAL_OK;
}

static void put_caption(struct df_text *page, const struct df_sheet *sheet, int64_t i,
                        const struct df_tile *tile)
{
    const struct df_selection *selection = sheet->selection;
    df_text_add(page, "<figcaption><b>%lld</b> &#183; ", (long long)i + 1);
    df_page_class(page, &sheet->classes, selection->predicted[i]);
    df_text_add(page, " (%.3g)", selection->confidence[i]);
    if (selection->adversarial_class[i] >= 0) {
        df_text_add(page, " &#8594; ");
        df_page_class(page, &sheet->classes, selection->adversarial_class[i]);
    }
    if (sheet->label[i] >= 0) {
        df_text_add(page, " &#183; label ");
        df_page_class(page, &sheet->classes, sheet->label[i]);
    }
    df_text_add(page, "<br>");
    if (selection->score[i] == selection->score[i])
        df_text_add(page, "score %.6g", selection->score[i]);
    if (tile->twin)
        df_text_add(page, "%sdifference &#215;%g",
                    selection->score[i] == selection->score[i] ? " &#183; " : "", tile->factor);
    else if (i < selection->twin_count)
        df_text_add(page, " &#183; no twin");
    df_text_add(page, "<br><span class=\"id\">");
    df_text_html(page, sheet->ids[i]);
    df_text_add(page, "</span></figcaption></figure>\n");
}

static void put_lead(struct df_text *page, const struct df_sheet *sheet, const struct df_tiles *tiles,
                     int64_t shown)
{
    const struct df_selection *selection = sheet->selection;
    df_text_add(page, "%lld queries of %lld candidates of <b>", (long long)selection->count,
                (long long)sheet->candidates);
    df_text_html(page, sheet->pool->path);
    df_text_add(page, "</b>, strategy <b>");
    df_text_html(page, sheet->strategy);
    df_text_add(page, "</b>, network <b>");
    df_text_html(page, sheet->network);
    df_text_add(page, "</b>.");
    if (shown < selection->count)
        df_text_add(page, " The first %lld are shown.", (long long)shown);
    if (selection->twin_count)
        df_text_add(page,
                    " Left the sample, in the middle its adversarial twin, the nearest image the network "
                    "takes for another class, right what was changed: grey is nothing, and the factor says "
                    "how many times as strong the change is drawn.");
    df_text_add(page,
                " Below: rank, what the network says (and how surely), what it takes the twin for, the "
                "score and the id. %s",
                df_tiles_range_text(tiles));
    if (sheet->pool->shape.c != 3 && sheet->pool->shape.c != 1)
        df_text_add(page, ", the first of %lld channels", (long long)sheet->pool->shape.c);
    df_text_add(page, ".");
}

dfal_status df_sheet_html(struct df_text *page, const struct df_sheet *sheet, struct df_tiles *tiles,
                          int64_t shown)
{
    df_page_begin(page, "dfal: the next queries", "The next queries");
    put_lead(page, sheet, tiles, shown);
    df_text_add(page, "</p>\n</header>\n<div class=\"gallery %s\">\n",
                sheet->selection->twin_count ? "sheet" : "sheet single");
    for (int64_t i = 0; i < shown; i++) {
        struct df_tile tile;
        DF_TRY(df_tile_take(tiles, i, &tile));
        df_text_add(page, "<figure><div class=\"triple\">");
        DF_TRY(put_image(page, tile.sample, tiles, "Query", sheet->ids[i]));
        if (tile.twin) {
            DF_TRY(put_image(page, tile.twin, tiles, "Twin of", sheet->ids[i]));
            DF_TRY(put_image(page, tile.difference, tiles, "Difference of", sheet->ids[i]));
        }
        df_text_add(page, "</div>");
        put_caption(page, sheet, i, &tile);
    }
    df_text_add(page, "</div>\n");
    df_page_end(page, false);
    return page->status;
}

dfal_status df_sheet_write(const char *path, const struct df_sheet *sheet, bool replace)
{
    int64_t count = sheet->selection->count, shown = count < DF_SHEET_MOST ? count : DF_SHEET_MOST;
    struct df_tiles tiles = {0};
    struct df_text bytes = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_sheet_check(path));
    DF_TRY_TO(done, status, df_tiles_open(&tiles, sheet->pool, sheet->selection, shown, DF_SHEET_SIDE));
    if (kind_of(path) == HTML)
        DF_TRY_TO(done, status, df_sheet_html(&bytes, sheet, &tiles, shown));
    else
        DF_TRY_TO(done, status, df_sheet_png(&bytes, sheet, &tiles, shown));
    DF_TRY_TO(done, status, bytes.status);
    status = df_file_write_output(path, bytes.bytes, (size_t)bytes.size, replace);
done:
    df_tiles_close(&tiles);
    df_text_clear(&bytes);
    return status;
}
