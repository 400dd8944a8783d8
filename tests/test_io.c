/* SPDX-License-Identifier: Apache-2.0 */
/* IDX files, plain and gzip, good and bad; and the drawn digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/pool.h"
#include "support.h"

enum { N = 300, SIDE = 4, IMAGE_BYTES = 16 + N * SIDE * SIDE, LABEL_BYTES = 8 + N };

static char folder[TEST_PATH];
static uint8_t images[IMAGE_BYTES + 1], labels[LABEL_BYTES + 1];

static const char *at(const char *name)
{
    static char path[4][TEST_PATH];
    static int next;
    next = (next + 1) % 4;
    test_join(path[next], folder, name);
    return path[next];
}

static void put_header(uint8_t *bytes, int magic, int rank, const int *dims)
{
    const int words[4] = {magic, dims[0], rank > 1 ? dims[1] : 0, rank > 1 ? dims[2] : 0};
    for (int i = 0; i <= rank; i++)
        for (int k = 0; k < 4; k++)
            bytes[4 * i + k] = (uint8_t)(words[i] >> (24 - 8 * k));
}

static void fill(void)
{
    const int dims[3] = {N, SIDE, SIDE};
    put_header(images, 0x803, 3, dims);
    put_header(labels, 0x801, 1, dims);
    for (int i = 0; i < N * SIDE * SIDE; i++)
        images[16 + i] = (uint8_t)(i * 7);
    for (int i = 0; i < N; i++)
        labels[8 + i] = (uint8_t)(i % 5);
}

static void write_file(const char *name, const uint8_t *bytes, size_t size, bool packed)
{
    if (!packed) {
        test_ok(df_file_write(at(name), bytes, size));
        return;
    }
    gzFile file = gzopen(at(name), "wb");
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static dfal_context *make_context(uint64_t seed, bool force)
{
    struct dfal_context_options options;
    dfal_context *context;
    dfal_context_options_init(&options);
    options.seed = seed;
    options.force = force;
    test_ok(dfal_context_create(&context, &options));
    return context;
}

static dfal_status import(const char *image_name, const char *label_name)
{
    dfal_context *context = make_context(1, true);
    dfal_status status =
        dfal_import_idx(context, at("pool.h5"), at(image_name), label_name ? at(label_name) : NULL);
    dfal_context_destroy(context);
    return status;
}

static void test_idx(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    fill();
    for (int packed = 0; packed < 2; packed++)
        for (int with = 0; with < 2; with++) {
            struct df_pool *pool;
            uint8_t raw[N * SIDE * SIDE];
            write_file("images", images, IMAGE_BYTES, packed);
            write_file("labels", labels, LABEL_BYTES, packed);
            test_ok(import("images", with ? "labels" : NULL));
            test_ok(df_pool_open(&pool, NULL, at("pool.h5"), NULL));
            assert_int_equal(pool->count, N);
            assert_int_equal(pool->shape.h, SIDE);
            assert_int_equal(pool->raw, DF_RAW_U8);
            assert_true(pool->scale[0] == 1.0 / 255.0);
            test_ok(df_pool_read(pool, raw, 0, N));
            assert_memory_equal(raw, images + 16, sizeof raw);
            assert_int_equal(pool->class_count, with ? 5 : 0);
            for (int i = 0; with && i < N; i++)
                assert_int_equal(pool->labels[i], i % 5);
            df_pool_close(pool);
        }
    dfal_context *context = make_context(1, false);
    test_error(dfal_import_idx(context, at("pool.h5"), at("images"), NULL), DFAL_E_EXISTS, "pool.h5");
    dfal_context_destroy(context);
    assert_int_equal(df_alloc_live(), live);
}

/* One byte changed, cut or added: refused, and no pool appears. */
static void refuse(bool packed, dfal_status status, const char *words)
{
    int64_t live = df_alloc_live();
    unlink(at("pool.h5"));
    write_file("labels", labels, LABEL_BYTES, packed);
    test_error(import("images", "labels"), status, words);
    assert_false(df_file_exists(at("pool.h5")));
    assert_int_equal(df_alloc_live(), live);
}

static void test_idx_bad(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        fill();
        write_file("images", images, IMAGE_BYTES - 1, packed);
        refuse(packed, DFAL_E_DATA, "truncated");
        write_file("images", images, IMAGE_BYTES + 1, packed);
        refuse(packed, DFAL_E_DATA, "trailing bytes");
        write_file("images", images, 10, packed);
        refuse(packed, DFAL_E_DATA, "truncated");
        write_file("images", labels, LABEL_BYTES, packed);
        refuse(packed, DFAL_E_DATA, "0x00000801 (IDX labels of bytes), expected 0x00000803");
        images[2] = 0x0d;
        write_file("images", images, IMAGE_BYTES, packed);
        refuse(packed, DFAL_E_DATA, "0x00000d03");
        fill();
        images[4] = 0x7f;
        write_file("images", images, IMAGE_BYTES, packed);
        refuse(packed, DFAL_E_DATA, packed ? "more than a gzip file" : "truncated");
        fill();
        images[8] = 0x7f;
        write_file("images", images, IMAGE_BYTES, packed);
        refuse(packed, DFAL_E_DATA, "sides of 1 to");
        fill();
        memset(images + 4, 0, 4);
        write_file("images", images, IMAGE_BYTES, packed);
        refuse(packed, DFAL_E_DATA, "0 items");
        fill();
        write_file("images", images, IMAGE_BYTES, packed);
        labels[7]--;
        refuse(packed, DFAL_E_DATA, packed ? "labels, expected 300" : "trailing bytes");
        fill();
        memset(labels + 8, 0, N);
        refuse(packed, DFAL_E_DATA, "one class");
    }
    fill();
    write_file("images", images, 0, false);
    refuse(false, DFAL_E_DATA, "is empty");
    unlink(at("images"));
    refuse(false, DFAL_E_NOINPUT, "images");
    write_file("images", images, IMAGE_BYTES, true);
    char *bytes;
    size_t size;
    test_ok(df_file_read(&bytes, &size, at("images"), 1 << 20));
    test_ok(df_file_write(at("images"), bytes, size - 6));
    refuse(true, DFAL_E_DATA, "truncated");
    bytes[size - 6] ^= 1; /* of the check sum */
    test_ok(df_file_write(at("images"), bytes, size));
    refuse(true, DFAL_E_DATA, "damaged");
    df_free(bytes);
}

static void test_mnist(void **state)
{
    (void)state;
    char image_path[TEST_PATH], label_path[TEST_PATH];
    if (!test_data(image_path, "mnist/t10k-images-idx3-ubyte.gz") ||
        !test_data(label_path, "mnist/t10k-labels-idx1-ubyte.gz"))
        skip();
    struct df_pool *pool;
    int counts[10] = {0};
    dfal_context *context = make_context(1, true);
    test_ok(dfal_import_idx(context, at("mnist.h5"), image_path, label_path));
    dfal_context_destroy(context);
    test_ok(df_pool_open(&pool, NULL, at("mnist.h5"), NULL));
    assert_int_equal(pool->count, 10000);
    assert_int_equal(pool->class_count, 10);
    for (int i = 0; i < 10000; i++)
        counts[pool->labels[i]]++;
    const int expected[10] = {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009};
    assert_memory_equal(counts, expected, sizeof counts);
    df_pool_close(pool);
}

/* ---- Drawn digits --------------------------------------------------------------------------- */

static struct df_pool *draw(uint64_t seed, int64_t count, const char *split, int32_t classes, int32_t size)
{
    struct dfal_synth_options options;
    struct df_pool *pool;
    dfal_context *context = make_context(seed, true);
    char name[64]; /* one each: a pool that is open is not replaced */
    snprintf(name, sizeof name, "synth-%d-%d-%s-%d-%d.h5", (int)seed, (int)count, split, classes, size);
    dfal_synth_options_init(&options);
    options.count = count;
    options.split = split;
    options.class_count = classes;
    options.side = size;
    test_ok(dfal_synth(context, at(name), &options));
    dfal_context_destroy(context);
    test_ok(df_pool_open(&pool, NULL, at(name), NULL));
    return pool;
}

static uint8_t *pixels_of(struct df_pool *pool)
{
    uint8_t *raw;
    test_ok(df_alloc(&raw, pool->count, df_pool_row_bytes(pool)));
    test_ok(df_pool_read(pool, raw, 0, pool->count));
    return raw;
}

static void test_synth(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    struct df_pool *a = draw(1, 2000, "train", 10, 28);
    uint8_t *x = pixels_of(a);
    struct df_pool *b = draw(1, 700, "train", 10, 28), *c = draw(1, 700, "test", 10, 28),
                   *d = draw(2, 700, "train", 10, 28);
    uint8_t *z = pixels_of(d);
    /* A smaller pool is the head of a larger one; other splits and seeds are other pictures. */
    uint8_t *y = pixels_of(c);
    uint8_t *w = pixels_of(b);
    assert_memory_equal(w, x, 700 * 784);
    assert_memory_equal(b->labels, a->labels, 700 * sizeof(int32_t));
    int same_test = 0, same_seed = 0, counts[10] = {0};
    for (int i = 0; i < 700; i++) {
        same_test += memcmp(x + i * 784, y + i * 784, 784) == 0;
        same_seed += memcmp(x + i * 784, z + i * 784, 784) == 0;
    }
    assert_int_equal(same_test + same_seed, 0);
    for (int i = 0; i < 2000; i++) {
        counts[a->labels[i]]++;
        int64_t ink = 0;
        for (int k = 0; k < 784; k++)
            ink += x[i * 784 + k] > 100;
        if (ink < 10 || ink > 400)
            test_fail("sample %d of class %d has %lld dark pixels", i, a->labels[i], (long long)ink);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], 140, 260);
    df_free(x);
    df_free(y);
    df_free(z);
    df_free(w);
    df_pool_close(a);
    df_pool_close(b);
    df_pool_close(c);
    df_pool_close(d);
    a = draw(1, 50, "train", 3, 64);
    assert_int_equal(a->class_count, 3);
    assert_int_equal(a->shape.w, 64);
    for (int i = 0; i < 50; i++)
        assert_in_range(a->labels[i], 0, 2);
    df_pool_close(a);
    assert_int_equal(df_alloc_live(), live);
}

/* What a nearest neighbour makes of the embedded data set bounds its difficulty from both sides. */
static void test_synth_is_learnable(void **state)
{
    (void)state;
    enum { TRAIN = 3000, TEST = 300 };
    struct df_pool *pool = draw(1, TRAIN, "train", 10, 28);
    uint8_t *x = pixels_of(pool);
    int32_t *truth = pool->labels;
    pool->labels = NULL;
    df_pool_close(pool);
    pool = draw(1, TEST, "test", 10, 28);
    uint8_t *y = pixels_of(pool);
    int right[2] = {0};
    for (int t = 0; t < TEST; t++) {
        int64_t best = INT64_MAX;
        int32_t nearest = -1;
        for (int i = 0; i < TRAIN; i++) {
            int64_t sum = 0;
            for (int k = 0; k < 784; k++) {
                int difference = x[i * 784 + k] - y[t * 784 + k];
                sum += difference * difference;
            }
            if (sum < best) {
                best = sum;
                nearest = truth[i];
            }
            if (i + 1 == TRAIN / 10)
                right[0] += nearest == pool->labels[t];
        }
        right[1] += nearest == pool->labels[t];
    }
    /* The nearest neighbour among 300 is far from the one among 3,000, and neither is perfect. */
    assert_in_range(right[0], TEST * 45 / 100, TEST * 75 / 100);
    assert_in_range(right[1], TEST * 75 / 100, TEST * 95 / 100);
    df_free(x);
    df_free(y);
    df_free(truth);
    df_pool_close(pool);
}

static void test_synth_refusals(void **state)
{
    (void)state;
    struct dfal_synth_options options;
    dfal_context *context = make_context(1, false);
    const char *out = at("refused.h5");
    dfal_synth_options_init(&options);
    test_error(dfal_synth(context, out, &options), DFAL_E_USAGE, "0 samples");
    options.count = 10;
    options.class_count = 1;
    test_error(dfal_synth(context, out, &options), DFAL_E_USAGE, "1 classes");
    options.class_count = 11;
    test_error(dfal_synth(context, out, &options), DFAL_E_USAGE, "11 classes");
    options.class_count = 10;
    options.side = 5;
    test_error(dfal_synth(context, out, &options), DFAL_E_USAGE, "5 pixels");
    options.side = 28;
    options.split = "validation";
    test_error(dfal_synth(context, out, &options), DFAL_E_USAGE, "validation");
    options.split = "train";
    dfal_context_stop(context);
    test_error(dfal_synth(context, out, &options), DFAL_E_STOPPED, "");
    assert_false(dfal_context_kept_work(context));
    assert_false(df_file_exists(out));
    dfal_context_destroy(context);
}

/* Every n-th failure of an import. */
static void test_faults(void **state)
{
    (void)state;
    fill();
    write_file("images", images, IMAGE_BYTES, true);
    write_file("labels", labels, LABEL_BYTES, false);
    for (int fault = 0; fault < DF_FAULT_COUNT; fault++)
        for (int64_t n = 1;; n++) {
            int64_t live = df_alloc_live();
            dfal_context *context = make_context(1, false);
            unlink(at("faults.h5"));
            df_fault_arm((enum df_fault)fault, n);
            dfal_status status = dfal_import_idx(context, at("faults.h5"), at("images"), at("labels"));
            bool hit = df_fault_seen((enum df_fault)fault) >= n;
            df_fault_arm((enum df_fault)fault, 0);
            dfal_context_destroy(context);
            assert_int_equal(df_alloc_live(), live);
            if (!hit) {
                assert_int_equal(status, DFAL_OK);
                break;
            }
            if (fault != DF_FAULT_ALLOC && (status == DFAL_OK) != (fault >= DF_FAULT_LACKS))
                test_fail("fault %d number %lld: status %s", fault, (long long)n, dfal_status_name(status));
            assert_true(df_file_exists(at("faults.h5")) == (status == DFAL_OK));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_bad),
        cmocka_unit_test(test_mnist),
        cmocka_unit_test(test_synth),
        cmocka_unit_test(test_synth_is_learnable),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_synth_refusals),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
