/* SPDX-License-Identifier: Apache-2.0 */
/* k-means on several threads against plain loops that look at every distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "strategy/kmeans.h"
#include "strategy/row_distance.h"
#include "support_world.h"

enum { ROWS = 1400, SIZE = 19, MOST = 60, SEED = 11 };

static float values[ROWS][SIZE];
static const float *rows[ROWS];

/* Clouds around `clouds` places, in 32nds: sums of squares are exact, so that no order of them matters. */
static void fill(int clouds)
{
    for (int i = 0; i < ROWS; i++) {
        rows[i] = values[i];
        for (int k = 0; k < SIZE; k++) {
            const uint64_t cell = (uint64_t)(i * SIZE + k), place = (uint64_t)(i % clouds * SIZE + k);
            const double far = df_random_uniform(1, DF_STREAM_SPLIT, place),
                         near = df_random_uniform(2, DF_STREAM_SPLIT, cell);
            values[i][k] = (float)(floor(256 * far + 128 * near) / 32);
        }
    }
}

struct plain {
    float centres[MOST][SIZE];
    int64_t clusters, nearest[ROWS];
};

static double square_of(struct plain *plain, int64_t i)
{
    double least = INFINITY;
    for (int64_t c = 0; c < plain->clusters; c++) {
        const double square = df_square_distance(values[i], plain->centres[c], SIZE);
        if (square < least) {
            least = square;
            plain->nearest[i] = c;
        }
    }
    return least;
}

static int64_t draw(struct plain *plain)
{
    double total = 0, before = 0;
    for (int64_t i = 0; i < ROWS; i++)
        total += square_of(plain, i);
    const double share = df_random_uniform(SEED, DF_STREAM_KMEANS, (uint64_t)plain->clusters) * total;
    for (int64_t i = 0; i < ROWS; i++)
        if ((before += square_of(plain, i)) > share)
            return i;
    return -1;
}

static bool move(struct plain *plain, int64_t c)
{
    double sum[SIZE] = {0};
    float mean[SIZE];
    int64_t count = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        count += plain->nearest[i] == c;
        for (int k = 0; k < SIZE; k++)
            sum[k] += plain->nearest[i] == c ? (double)values[i][k] : 0;
    }
    for (int k = 0; k < SIZE; k++)
        mean[k] = count ? (float)(sum[k] / (double)count) : plain->centres[c][k];
    const bool moved = memcmp(mean, plain->centres[c], sizeof mean);
    memcpy(plain->centres[c], mean, sizeof mean);
    return moved;
}

static void plain_kmeans(struct plain *plain, int64_t clusters)
{
    int64_t row = (int64_t)(df_random_uniform(SEED, DF_STREAM_KMEANS, 0) * ROWS);
    for (plain->clusters = 0; plain->clusters < clusters && row >= 0; row = draw(plain))
        memcpy(plain->centres[plain->clusters++], values[row], sizeof values[row]);
    bool moved = true;
    for (int iteration = 0; iteration < 100 && moved; iteration++) {
        for (int64_t i = 0; i < ROWS; i++)
            square_of(plain, i);
        moved = false;
        for (int64_t c = 0; c < plain->clusters; c++)
            moved |= move(plain, c);
    }
}

static void check(struct dfal_context *context, struct plain *plain, int64_t clusters)
{
    const struct df_kmeans_ask ask = {rows, ROWS, SIZE, clusters, SEED};
    struct df_kmeans found;
    test_ok(df_kmeans(&found, context, &ask));
    assert_int_equal(found.clusters, plain->clusters);
    assert_int_equal(found.begin[0], 0);
    assert_int_equal(found.begin[found.clusters], ROWS);
    for (int64_t c = 0; c < found.clusters; c++)
        for (int64_t i = found.begin[c]; i < found.begin[c + 1]; i++) {
            assert_int_equal(plain->nearest[found.members[i]], c);
            assert_true(i == found.begin[c] || found.members[i] > found.members[i - 1]);
        }
    df_kmeans_clear(&found);
}

static void test_every_distance(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 7, MOST};
    struct plain *plain = calloc(1, sizeof *plain);
    for (int clouds = 1; clouds <= 9; clouds += 8)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            fill(clouds);
            plain_kmeans(plain, counts[i]);
            for (int32_t threads = 1; threads <= 3; threads++) {
                dfal_context *context = world_context("ref", threads, NULL, NULL);
                check(context, plain, counts[i]);
                dfal_context_destroy(context);
            }
        }
    free(plain);
}

/* Three rows that differ are three clusters, and none is asked of nothing. */
static void test_few(void **state)
{
    (void)state;
    struct df_kmeans found;
    dfal_context *context = world_context("ref", 2, NULL, NULL);
    struct df_kmeans_ask ask = {rows, ROWS, SIZE, MOST, SEED};
    memset(values, 0, sizeof values);
    for (int i = 0; i < ROWS; i++) {
        rows[i] = values[i];
        values[i][3] = (float)(i % 3);
    }
    test_ok(df_kmeans(&found, context, &ask));
    assert_int_equal(found.clusters, 3);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t i = found.begin[c]; i < found.begin[c + 1]; i++)
            assert_int_equal(found.members[i] % 3, found.members[found.begin[c]] % 3);
    df_kmeans_clear(&found);
    ask.count = 0;
    test_ok(df_kmeans(&found, context, &ask));
    assert_int_equal(found.clusters, 0);
    df_kmeans_clear(&found);
    ask.count = ROWS;
    dfal_context_stop(context);
    test_error(df_kmeans(&found, context, &ask), DFAL_E_STOPPED, "");
    df_kmeans_clear(&found);
    dfal_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_distance),
        cmocka_unit_test(test_few),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
