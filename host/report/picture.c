/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures inside the page, and the figures of queries beside their twins. */
#include <math.h>
#include <png.h>
#include <string.h>

#include "base/memory.h"
#include "report/report.h"
#include "run/rounds.h"
#include "run/state.h"

enum { SHOWN = 20 };

static void put_base64(struct df_text *page, const unsigned char *bytes, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t word = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {letters[word >> 18], letters[word >> 12 & 63],
                        left > 1 ? letters[word >> 6 & 63] : '=', left > 2 ? letters[word & 63] : '='};
        df_text_append(page, four, 4);
    }
}

dfal_status df_picture_uri(struct df_text *page, const unsigned char *planes, int64_t c, int64_t h, int64_t w)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)w,
                       .height = (png_uint_32)h,
                       .format = c == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    unsigned char *pixels = NULL, *bytes = NULL;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&pixels, c * h * w, 1));
    DF_TRY_TO(done, status, df_alloc(&bytes, (int64_t)size, 1));
    for (int64_t k = 0; k < c; k++)
        for (int64_t i = 0; i < h * w; i++)
            pixels[i * c + k] = planes[k * h * w + i];
    if (!png_image_write_to_memory(&image, bytes, &size, 0, pixels, 0, NULL)) {
        /* nothing else can go wrong with bytes in memory */
        status = df_fail(DFAL_E_MEMORY, "no memory to compress a picture of %lldx%lld (libpng: %s)",
                         (long long)w, (long long)h, image.message);
        goto done;
    }
    df_text_add(page, "data:image/png;base64,");
    put_base64(page, bytes, size);
done:
    df_free(pixels);
    df_free(bytes);
    return status;
}

static unsigned char to_byte(double value)
{
    return (unsigned char)(value <= 0 ? 0 : value >= 1 ? 255 : lrint(255 * value));
}

/* Source, twin and difference as bytes. Both pictures share one scale, that of the source; the difference is
 * grey where nothing changed and uses the whole range. *largest: its largest absolute value. */
static void develop(unsigned char *out[3], const float *x, const float *twin, int64_t n, double *largest)
{
    double low = INFINITY, high = -INFINITY;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
        *largest = fmax(*largest, fabs((double)twin[i] - x[i]));
    }
    double span = high > low ? high - low : 1, peak = *largest > 0 ? *largest : 1;
    for (int64_t i = 0; i < n; i++) {
        out[0][i] = to_byte((x[i] - low) / span);
        out[1][i] = to_byte((twin[i] - low) / span);
        out[2][i] = to_byte(0.5 + 0.5 * ((double)twin[i] - x[i]) / peak);
    }
}

void df_page_class(struct df_text *page, const struct df_classes *classes, int32_t class)
{
    char number[DF_CLASS_NUMBER];
    df_text_html(page, df_classes_text(number, classes, class));
}

static dfal_status put_image(struct df_text *page, const unsigned char *bytes, const struct df_pool *pool,
                             const char *what, const char *id)
{
    df_text_add(page, "<img width=\"84\" height=\"84\" alt=\"%s of ", what);
    df_text_html(page, id);
    df_text_add(page, "\" src=\"");
    DF_TRY(df_picture_uri(page, bytes, pool->shape.c == 3 ? 3 : 1, pool->shape.h, pool->shape.w));
    df_text_add(page, "\">");
    return DFAL_OK;
}

static dfal_status put_figure(struct df_text *page, const struct df_pool *pool,
                              const struct df_query_row *query, const float *x, const float *twin)
{
    int64_t n = pool->shape.h * pool->shape.w * (pool->shape.c == 3 ? 3 : 1);
    const struct df_classes classes = {pool->path, pool->classes, pool->class_count};
    unsigned char *bytes = NULL;
    double largest;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&bytes, 3 * n, 1));
    develop((unsigned char *[]){bytes, bytes + n, bytes + 2 * n}, x, twin, n, &largest);
    df_text_add(page, "<figure><div class=\"triple\">");
    DF_TRY_TO(done, status, put_image(page, bytes, pool, "Query", query->id));
    DF_TRY_TO(done, status, put_image(page, bytes + n, pool, "Twin", query->id));
    DF_TRY_TO(done, status, put_image(page, bytes + 2 * n, pool, "Difference", query->id));
    df_text_add(page, "</div><figcaption><b>");
    df_page_class(page, &classes, query->label);
    df_text_add(page, "</b> &#183; network said ");
    df_page_class(page, &classes, query->predicted);
    df_text_add(page, ", twin ");
    df_page_class(page, &classes, query->adversarial_class);
    df_text_add(page, "<br>distance %.3g &#183; round %d<br><span class=\"id\">", query->score, query->round);
    df_text_html(page, query->id);
    df_text_add(page, "</span></figcaption></figure>\n");
done:
    df_free(bytes);
    return status;
}

static const struct df_query_row *find_query(const struct df_query_table *table, const char *strategy,
                                             int64_t row)
{
    for (int64_t i = 0; i < table->count; i++)
        if (table->rows[i].trial == 1 && table->rows[i].index == row &&
            !strcmp(table->rows[i].strategy, strategy))
            return &table->rows[i];
    return NULL;
}

/* Twins spread evenly over the rounds of the first trial. */
static dfal_status put_figures(struct df_text *page, struct df_pool *pool, const struct df_query_table *table,
                               const char *strategy, const int64_t *twin_of, const float *twins,
                               int64_t count)
{
    int64_t size = df_shape_size(pool->shape), shown = count < SHOWN ? count : SHOWN;
    void *raw = NULL;
    float *x = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&raw, 1, df_pool_row_bytes(pool)));
    DF_TRY_TO(done, status, df_alloc(&x, size, sizeof *x));
    df_text_add(page, "<div class=\"gallery\">\n");
    for (int64_t i = 0; i < shown; i++) {
        int64_t t = shown > 1 ? i * (count - 1) / (shown - 1) : 0;
        const struct df_query_row *query = find_query(table, strategy, twin_of[t]);
        if (!query || twin_of[t] < 0 || twin_of[t] >= pool->count)
            continue;
        DF_TRY_TO(done, status, df_pool_gather(pool, raw, &twin_of[t], 1));
        df_pool_decode(pool, x, raw, 1);
        DF_TRY_TO(done, status, put_figure(page, pool, query, x, twins + t * size));
    }
    df_text_add(page, "</div>\n");
done:
    df_free(raw);
    df_free(x);
    return status;
}

dfal_status df_report_queries(struct df_text *page, const struct df_report_run *run)
{
    struct df_query_table table = {0};
    struct df_pool *pool = NULL;
    int64_t *twin_of = NULL, count = 0, size = 0;
    float *twins = NULL;
    char *path = NULL;
    const char *strategy = NULL;
    dfal_status status = DFAL_OK;
    for (int32_t s = 0; s < run->config.strategy_count && !strategy; s++)
        strategy = df_run_strategy_options(&run->config, s).twins ? run->config.strategy[s].name : NULL;
    if (!strategy)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_run_state_path(&path, run->dir, strategy, 1));
    DF_TRY_TO(done, status, df_run_state_twins(path, &twin_of, &twins, &count, &size));
    DF_TRY_TO(done, status, df_query_table_read(&table, run->dir));
    DF_TRY_TO(done, status, df_pool_open(&pool, NULL, run->config.train, NULL));
    if (!count || size != df_shape_size(pool->shape))
        goto done;
    df_text_add(page,
                "<h3>Queries and their twins</h3>\n<p>%lld of the %lld queries of <b>%s</b> in the first "
                "trial, spread "
                "over its rounds. Left the sample that was asked about, in the middle its adversarial twin, "
                "the nearest "
                "image the network takes for another class, right what was changed (grey: nothing; the "
                "strongest change "
                "uses the full range). Both were learnt with the label in bold, for the price of one "
                "annotation.</p>\n",
                (long long)(count < SHOWN ? count : SHOWN), (long long)count, strategy);
    status = put_figures(page, pool, &table, strategy, twin_of, twins, count);
done:
    df_free(path);
    df_free(twin_of);
    df_free(twins);
    df_query_table_clear(&table);
    df_pool_close(pool);
    return status;
}
