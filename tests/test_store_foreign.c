/* SPDX-License-Identifier: Apache-2.0 */
/* Files of strangers: store_foreign.py writes them with h5py, good ones are read, bad ones refused with a
 * sentence; and h5py reads what dfal writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "scores_file.h"
#include "store/table.h"
#include "support.h"

enum { N = 12, C = 3, H = 4, W = 5, D = C * H * W };

static char folder[TEST_PATH];

static int value(int n, int c, int h, int w)
{
    return (n * 60 + c * 20 + h * 5 + w) % 251;
}

/* $DFAL_TEST_PYTHON, else the one that the build found. */
static const char *interpreter(void)
{
    const char *name = getenv("DFAL_TEST_PYTHON");
    return name != NULL && *name != '\0' ? name : TEST_PYTHON;
}

static int python(const char *verb)
{
    char command[4 * TEST_PATH], script[TEST_PATH];
    test_source(script, "tests/store_foreign.py");
    snprintf(command, sizeof command, "%s %s %s %s", interpreter(), script, verb, folder);
    return system(command);
}

static struct df_pool *open_pool(const char *name, const struct dfal_pool_options *options)
{
    char path[TEST_PATH];
    struct df_pool *pool;
    test_join(path, folder, name);
    test_ok(df_pool_open(&pool, NULL, path, options));
    return pool;
}

static void nothing_left(int64_t live)
{
    assert_int_equal(df_alloc_live(), live);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static void test_good_pool(void **state)
{
    (void)state;
    int64_t live = df_alloc_live(), row;
    struct df_pool *pool = open_pool("good_pool.h5", NULL);
    assert_int_equal(pool->count, N);
    assert_int_equal(pool->raw, DF_RAW_U8);
    assert_int_equal(pool->class_count, 3);
    assert_string_equal(pool->classes[1], "dög");
    assert_int_equal(pool->affine_count, 3);
    uint8_t raw[2 * D];
    float x[2 * D];
    test_ok(df_pool_read(pool, raw, 7, 9));
    df_pool_decode(pool, x, raw, 2);
    const double scale[3] = {1.0, 0.5, 0.25};
    for (int i = 0; i < 2 * D; i++) {
        int n = 7 + i / D, c = i / 20 % 3;
        assert_int_equal(raw[i], value(n, c, i / 5 % 4, i % 5));
        assert_true(x[i] == (float)(raw[i] * scale[c] + 2.0));
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(pool->labels[i], i % 3);
    char *id;
    test_ok(df_pool_id(pool, &id, 5));
    assert_string_equal(id, "id-5");
    df_free(id);
    test_ok(df_pool_find(pool, &row, "id-11"));
    assert_int_equal(row, 11);
    test_ok(df_pool_find(pool, &row, "id-12"));
    assert_int_equal(row, -1);
    df_pool_close(pool);
    nothing_left(live);
}

static void test_good_fixed(void **state)
{
    (void)state;
    struct df_pool *pool = open_pool("good_fixed.h5", NULL);
    int64_t row;
    assert_string_equal(pool->classes[2], "c");
    test_ok(df_pool_find(pool, &row, "row11"));
    assert_int_equal(row, 11);
    for (int i = 0; i < N; i++)
        assert_int_equal(pool->labels[i], i % 3);
    df_pool_close(pool);
}

static void test_good_nhwc(void **state)
{
    (void)state;
    struct dfal_pool_options options = {.size = sizeof(struct dfal_pool_options),
                                        .samples_name = "images",
                                        .labels_name = "y",
                                        .layout = "NHWC"};
    struct df_pool *pool = open_pool("good_nhwc.h5", &options), *plain = open_pool("good_pool.h5", NULL);
    uint8_t turned[N * D], straight[N * D];
    assert_int_equal(pool->class_count, 4);
    assert_int_equal(pool->shape.c, C);
    test_ok(df_pool_read(pool, turned, 0, N));
    test_ok(df_pool_read(plain, straight, 0, N));
    assert_memory_equal(turned, straight, sizeof turned);
    const int64_t rows[6] = {11, 0, 5, 6, 5, 2};
    test_ok(df_pool_gather(pool, turned, rows, 6));
    for (int i = 0; i < 6; i++)
        assert_memory_equal(turned + i * D, straight + rows[i] * D, D);
    df_pool_close(pool);
    df_pool_close(plain);
}

static void test_good_reals(void **state)
{
    (void)state;
    float raw[20], x[20];
    struct df_pool *pool = open_pool("good_nhw.h5", NULL);
    assert_int_equal(pool->raw, DF_RAW_F32);
    assert_int_equal(pool->shape.c, 1);
    assert_int_equal(pool->class_count, 2);
    test_ok(df_pool_read(pool, raw, 3, 4));
    df_pool_decode(pool, x, raw, 1);
    for (int i = 0; i < 20; i++)
        assert_true(raw[i] == (float)value(3, 0, i / 5, i % 5) / 8 && x[i] == raw[i]);
    df_pool_close(pool);
    pool = open_pool("good_nd.h5", NULL);
    assert_int_equal(pool->shape.c, 20);
    assert_int_equal(pool->class_count, 0);
    assert_null(pool->labels);
    test_ok(df_pool_read(pool, raw, 3, 4));
    for (int i = 0; i < 20; i++)
        assert_true(raw[i] == (float)(value(3, 0, i / 5, i % 5) - 100));
    df_pool_close(pool);
}

/* Where only labels tell the number of classes, each label file may raise it, in any order. */
static void test_counted_classes(void **state)
{
    (void)state;
    char text[128], low[TEST_PATH], high[TEST_PATH];
    test_join(low, folder, "low.csv");
    test_join(high, folder, "high.csv");
    struct df_pool *pool = open_pool("good_nd.h5", NULL);
    snprintf(text, sizeof text, "id,label\n%.8s:3,1\n", pool->fingerprint);
    test_ok(df_file_write(low, text, strlen(text)));
    snprintf(text, sizeof text, "id,label\n%.8s:4,6\n", pool->fingerprint);
    test_ok(df_file_write(high, text, strlen(text)));
    df_pool_close(pool);
    for (int turn = 0; turn < 2; turn++) {
        const char *const files[2] = {turn ? high : low, turn ? low : high};
        struct dfal_pool_options options = {
            .size = sizeof(struct dfal_pool_options), .label_files = files, .label_file_count = 2};
        pool = open_pool("good_nd.h5", &options);
        assert_int_equal(pool->class_count, 7);
        assert_int_equal(pool->labels[3], 1);
        assert_int_equal(pool->labels[4], 6);
        df_pool_close(pool);
    }
}

/* The newer format: checksums, other indices of chunks, attributes in a heap; ids are packed. */
static void test_good_latest(void **state)
{
    (void)state;
    struct df_pool *pool = open_pool("good_latest.h5", NULL), *plain = open_pool("good_pool.h5", NULL);
    uint8_t read[N * D], straight[N * D];
    char *id;
    test_ok(df_pool_read(pool, read, 0, N));
    test_ok(df_pool_read(plain, straight, 0, N));
    assert_memory_equal(read, straight, sizeof read);
    for (int i = 0; i < N; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "id-%d", i);
        test_ok(df_pool_id(pool, &id, i));
        assert_string_equal(id, expected);
        df_free(id);
    }
    df_pool_close(pool);
    df_pool_close(plain);
    df_pool_close(open_pool("good_dense.h5", NULL));
    static const char *const indices[] = {"fixed", "growing", "tree", "single", "implicit"};
    for (int i = 0; i < 10; i++) {
        char name[64];
        snprintf(name, sizeof name, "index_%s%s.h5", indices[i / 2], i % 2 ? "_packed" : "");
        pool = open_pool(name, NULL);
        memset(read, 0, sizeof read);
        test_ok(df_pool_read(pool, read, 0, N));
        assert_memory_equal(read, straight, sizeof read);
        df_pool_close(pool);
    }
}

/* Opening reads rows, and packed ones take a while: a stop ends it. */
static void test_stopped(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    dfal_context *context;
    struct df_pool *pool;
    char path[TEST_PATH];
    test_join(path, folder, "good_pool.h5");
    test_ok(dfal_context_create(&context, NULL));
    test_ok(df_pool_open(&pool, context, path, NULL));
    df_pool_close(pool);
    dfal_context_stop(context);
    test_error(df_pool_open(&pool, context, path, NULL), DFAL_E_STOPPED, "stopped on request");
    dfal_context_destroy(context);
    nothing_left(live);
}

/* A string that says it is longer than it is, beside good ones: reading it is refused, and nothing is
 * lost. */
static void test_rotten_id(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    struct df_pool *pool = open_pool("rotten_id.h5", NULL);
    char *id;
    test_error(df_pool_id(pool, &id, 0), DFAL_E_DATA, "of 4000 bytes");
    test_ok(df_pool_id(pool, &id, 1));
    assert_string_equal(id, "id-1");
    df_free(id);
    df_pool_close(pool);
    nothing_left(live);
}

static void test_made_up_ids(void **state)
{
    (void)state;
    struct df_pool *pool = open_pool("good_nd.h5", NULL);
    char *id, expected[32];
    int64_t row;
    snprintf(expected, sizeof expected, "%.8s:7", pool->fingerprint);
    test_ok(df_pool_id(pool, &id, 7));
    assert_string_equal(id, expected);
    test_ok(df_pool_find(pool, &row, id));
    assert_int_equal(row, 7);
    df_free(id);
    const char *const strange[] = {"", "7", ":7", "xxxxxxxx:7"};
    for (int i = 0; i < 4; i++) {
        test_ok(df_pool_find(pool, &row, strange[i]));
        assert_int_equal(row, -1);
    }
    const char *const tails[] = {":07", ":12", ":-1", ":1 ", ":99999999999999999999"};
    for (int i = 0; i < 5; i++) {
        char made[64];
        snprintf(made, sizeof made, "%.8s%s", pool->fingerprint, tails[i]);
        test_ok(df_pool_find(pool, &row, made));
        assert_int_equal(row, -1);
    }
    df_pool_close(pool);
}

struct refusal {
    const char *file;
    dfal_status status;
    const char *words;
};

static const struct refusal pools[] = {
    {"absent.h5", DFAL_E_NOINPUT, "absent.h5"},
    {".", DFAL_E_DATA, "folder"},
    {"empty.h5", DFAL_E_DATA, "is empty"},
    {"text.h5", DFAL_E_DATA, "is a text file"},
    {"truncated.h5", DFAL_E_DATA, "truncated"},
    {"head.h5", DFAL_E_DATA, "truncated"},
    {"chunk_missing.h5", DFAL_E_DATA, "chunk of dataset 'samples' at [4, 0, 0, 0] was never written"},
    {"never_written.h5", DFAL_E_DATA, "does not hold"},
    {"huge_chunked.h5", DFAL_E_DATA, "at [0, 0, 0, 0] was never written"},
    {"huge_contiguous.h5", DFAL_E_DATA, "does not hold"},
    {"huge_overflow.h5", DFAL_E_DATA, "more elements than can be counted"},
    {"huge_ids.h5", DFAL_E_DATA, "never written"},
    {"external_storage.h5", DFAL_E_DATA, "external storage"},
    {"external_labels.h5", DFAL_E_DATA, "external storage"},
    {"external_link.h5", DFAL_E_DATA, "external link"},
    {"external_group.h5", DFAL_E_DATA, "external link"},
    {"virtual.h5", DFAL_E_DATA, "virtual"},
    {"plugin.h5", DFAL_E_DATA, "filter plugin 32000 (lzf)"},
    {"checksum.h5", DFAL_E_DATA, "cannot be read"},
    {"loop.h5", DFAL_E_DATA, "samples"},
    {"rotten_deflate.h5", DFAL_E_DATA, "at [0, 0, 0, 0] unpacks to 3 bytes, expected 240"},
    {"rotten_long.h5", DFAL_E_DATA, "does not unpack to 240 bytes"},
    {"rotten_mask.h5", DFAL_E_DATA, "unpacks to 3 bytes"},
    {"rotten_stream.h5", DFAL_E_DATA, "does not unpack to 240 bytes"},
    {"rotten_sum.h5", DFAL_E_DATA, "unpacks to 0 bytes"},
    {"scaleoffset.h5", DFAL_E_DATA, "whose unpacked size HDF5 does not check"},
    {"packed_large.h5", DFAL_E_DATA,
     "5000000 rows, 300 MB unpacked, expected at most 268 MB; h5repack -l samples:CHUNK=12x3x4x5"},
    {"rotten_chunk.h5", DFAL_E_DATA, "hold 487 bytes together, expected 3 of 240"},
    {"rotten_tree.h5", DFAL_E_DATA, "does not fit the one above it"},
    {"rotten_heap.h5", DFAL_E_DATA, "the global heap at 2048"},
    {"rotten_heap_size.h5", DFAL_E_DATA, "beyond the file's end"},
    {"rotten_dense.h5", DFAL_E_DATA, "attribute 'format' cannot be read: object"},
    {"rotten_large.h5", DFAL_E_DATA, "the heap at"},
    {"rotten_message.h5", DFAL_E_DATA, "an attribute's name has no end"},
    {"rotten_record.h5", DFAL_E_DATA, "the heap at"},
    {"rotten_root.h5", DFAL_E_DATA, "the tree at"},
    {"rotten_entry.h5", DFAL_E_DATA, "an index whose entries are shorter"},
    {"rotten_offset.h5", DFAL_E_DATA, "the heap at"},
    {"rotten_table.h5", DFAL_E_DATA, "the heap at"},
    {"rotten_bits.h5", DFAL_E_DATA, "the array at"},
    {"rotten_order.h5", DFAL_E_DATA, "a datatype is damaged"},
    {"rotten_filters.h5", DFAL_E_DATA, "filter 2 (shuffle)"},
    {"rotten_twice.h5", DFAL_E_DATA, "two tree nodes lead to the one at"},
    {"rotten_hidden.h5", DFAL_E_DATA, "the tree node at"},
    {"rotten_array.h5", DFAL_E_DATA, "the array at"},
    {"rotten_block.h5", DFAL_E_DATA, "a block is cut off"},
    {"rotten_end.h5", DFAL_E_DATA, "beyond the file's end"},
    {"rotten_driver.h5", DFAL_E_DATA, "one of several files of a split HDF5 file"},
    {"rotten_free.h5", DFAL_E_DATA, "the local heap at"},
    {"rotten_names.h5", DFAL_E_DATA, "declares 60000 names"},
    {"rotten_circle.h5", DFAL_E_DATA, "goes round in a circle"},
    {"rotten_fill.h5", DFAL_E_DATA, "of 5000000 bytes"},
    {"rotten_attribute.h5", DFAL_E_DATA, "declares more than it holds"},
    {"no_samples.h5", DFAL_E_DATA, "no dataset 'samples' (it holds: labels, pixels)"},
    {"rank5.h5", DFAL_E_SHAPE, "[1, 12, 3, 4, 5]"},
    {"rank1.h5", DFAL_E_SHAPE, "[5]"},
    {"strings.h5", DFAL_E_DATA, "neither integers nor reals"},
    {"compound.h5", DFAL_E_DATA, "neither integers nor reals"},
    {"group.h5", DFAL_E_DATA, "cannot be opened as a dataset"},
    {"zero_samples.h5", DFAL_E_DATA, "at least one sample"},
    {"zero_pixels.h5", DFAL_E_SHAPE, "[4, 1, 0, 4]"},
    {"labels_short.h5", DFAL_E_SHAPE, "'labels' is [11], expected [12]"},
    {"labels_two.h5", DFAL_E_SHAPE, "[12, 2]"},
    {"labels_high.h5", DFAL_E_DATA, "label 3 in row 3"},
    {"labels_low.h5", DFAL_E_DATA, "label -2 in row 3"},
    {"labels_wide.h5", DFAL_E_DATA, "label 8589934592 in row 2"},
    {"labels_fraction.h5", DFAL_E_DATA, "1.5 in row 2"},
    {"labels_nan.h5", DFAL_E_DATA, "nan in row 2"},
    {"labels_text.h5", DFAL_E_DATA, "expected integers"},
    {"one_class.h5", DFAL_E_DATA, "one class"},
    {"class_count_one.h5", DFAL_E_DATA, "'class_count' is 1"},
    {"class_count_text.h5", DFAL_E_DATA, "'class_count' is no number"},
    {"class_count_fraction.h5", DFAL_E_DATA, "2.5"},
    {"class_names_short.h5", DFAL_E_DATA, "no list of 3 names"},
    {"version.h5", DFAL_E_DATA, "version 2"},
    {"format_number.h5", DFAL_E_DATA, "is a dfal film, expected a dfal pool"},
    {"scale_nan.h5", DFAL_E_DATA, "scale nan"},
    {"scale_zero.h5", DFAL_E_DATA, "scale 0"},
    {"scale_two.h5", DFAL_E_DATA, "'scale' has 2 values, expected 1 or one a channel (3)"},
    {"scale_text.h5", DFAL_E_DATA, "'scale' is no number"},
    {"ids_short.h5", DFAL_E_SHAPE, "[2], expected [12] strings"},
    {"ids_numbers.h5", DFAL_E_SHAPE, "expected [12] strings"},
    {"good_network.h5", DFAL_E_DATA, "is a dfal network, expected a dfal pool"},
};

static void test_bad_pools(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        char path[TEST_PATH];
        struct df_pool *pool = (struct df_pool *)&pool;
        test_join(path, folder, pools[i].file);
        dfal_status status = df_pool_open(&pool, NULL, path, NULL);
        if (status != pools[i].status || !strstr(dfal_last_error(), pools[i].words) ||
            !strstr(dfal_last_error(), path))
            test_fail("%s: status %s, '%s'; expected %s with '%s'", pools[i].file, dfal_status_name(status),
                      status ? dfal_last_error() : "", dfal_status_name(pools[i].status), pools[i].words);
        assert_null(pool);
        nothing_left(live);
    }
}

static void test_bad_options(void **state)
{
    (void)state;
    char path[TEST_PATH];
    struct df_pool *pool;
    struct dfal_pool_options options = {.size = sizeof(struct dfal_pool_options), .hdf5_plugins = true};
    test_join(path, folder, "plugin.h5");
    test_error(df_pool_open(&pool, NULL, path, &options), DFAL_E_UNAVAILABLE, "filter 32000");
    options = (struct dfal_pool_options){.size = sizeof options, .layout = "CHWN"};
    test_error(df_pool_open(&pool, NULL, path, &options), DFAL_E_USAGE, "CHWN");
    options = (struct dfal_pool_options){.size = sizeof options, .labels_name = "targets"};
    test_join(path, folder, "good_pool.h5");
    test_error(df_pool_open(&pool, NULL, path, &options), DFAL_E_DATA, "no dataset 'targets'");
    pool = open_pool("ids_doubled.h5", NULL);
    int64_t row;
    test_error(df_pool_find(pool, &row, "a"), DFAL_E_DATA, "'c' stands in row 2 and in row 11");
    df_pool_close(pool);
}

static void test_good_networks(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    char path[TEST_PATH];
    struct df_network *network;
    test_join(path, folder, "good_network.h5");
    test_ok(df_network_load(&network, path));
    int32_t fc = df_network_find(network, "fc");
    assert_int_equal(network->class_count, 3);
    for (int i = 0; i < 12; i++)
        assert_true(network->nodes[fc].parameter[DF_WEIGHT].data[i] == (float)i);
    for (int i = 0; i < 3; i++)
        assert_true(network->nodes[fc].parameter[DF_BIAS].data[i] == (float)(i + 1));
    df_network_destroy(network);
    test_join(path, folder, "good_nobias.h5");
    test_ok(df_network_load(&network, path));
    assert_true(network->scale[0] == 0.5 && network->offset[0] == 0.25);
    df_network_destroy(network);
    nothing_left(live);
}

static const struct refusal networks[] = {
    {"absent.h5", DFAL_E_NOINPUT, "absent.h5"},
    {"text.h5", DFAL_E_DATA, "is a text file"},
    {"truncated.h5", DFAL_E_DATA, "truncated"},
    {"good_pool.h5", DFAL_E_DATA, "is a dfal pool, expected a dfal network"},
    {"good_nd.h5", DFAL_E_DATA, "no attribute 'format'"},
    {"net_no_weight.h5", DFAL_E_DATA, "no dataset 'parameters/fc/weight', which node 'fc' needs"},
    {"net_weight_rank.h5", DFAL_E_SHAPE, "[12], expected rank 2"},
    {"net_weight_shape.h5", DFAL_E_SHAPE, "fc"},
    {"net_weight_text.h5", DFAL_E_DATA, "holds no numbers"},
    {"net_weight_empty.h5", DFAL_E_SHAPE, "is empty"},
    {"net_bias_shape.h5", DFAL_E_SHAPE, "fc"},
    {"net_stray.h5", DFAL_E_DATA, "'parameters/fc/bais' belongs to no node"},
    {"net_json.h5", DFAL_E_DATA, "net_json.h5"},
    {"net_no_graph.h5", DFAL_E_DATA, "no dataset 'graph'"},
    {"net_graph_number.h5", DFAL_E_DATA, "scalar string"},
    {"net_op.h5", DFAL_E_DATA, "Gem"},
    {"net_input_two.h5", DFAL_E_DATA, "'input' has 2 values"},
    {"net_input_zero.h5", DFAL_E_DATA, "'input'"},
    {"net_classes.h5", DFAL_E_SHAPE, "net_classes.h5"},
    {"net_no_classes.h5", DFAL_E_DATA, "'class_count'"},
    {"net_version.h5", DFAL_E_DATA, "version 9"},
    {"net_scale_two.h5", DFAL_E_DATA, "'scale' has 2 values"},
    {"net_external.h5", DFAL_E_DATA, "external storage"},
    {"net_huge.h5", DFAL_E_DATA, "never written"},
    {"net_circle.h5", DFAL_E_DATA, "groups 32 deep"},
};

static void test_bad_networks(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        char path[TEST_PATH];
        struct df_network *network = NULL;
        test_join(path, folder, networks[i].file);
        dfal_status status = df_network_load(&network, path);
        if (status != networks[i].status || !strstr(dfal_last_error(), networks[i].words) ||
            !strstr(dfal_last_error(), path))
            test_fail("%s: status %s, '%s'; expected %s with '%s'", networks[i].file,
                      dfal_status_name(status), status ? dfal_last_error() : "",
                      dfal_status_name(networks[i].status), networks[i].words);
        assert_null(network);
        nothing_left(live);
    }
}

/* A network or a pool where scores or a table are expected. */
static void test_swapped(void **state)
{
    (void)state;
    char path[TEST_PATH], format[32];
    struct df_rows_head head;
    struct df_scores scores;
    struct df_column column = {.name = "x", .type = DF_COLUMN_F32, .rank = 1};
    test_join(path, folder, "good_network.h5");
    test_error(test_scores_read(path, &head, &scores), DFAL_E_DATA,
               "is a dfal network, expected a dfal scores");
    test_error(df_table_read(path, "dfal-logits", NULL, &column, 1), DFAL_E_DATA, "expected a dfal logits");
    test_ok(df_file_format(format, path));
    assert_string_equal(format, "dfal-network");
    test_join(path, folder, "good_nd.h5");
    test_ok(df_file_format(format, path));
    assert_string_equal(format, "");
}

/* ---- What dfal writes, read by h5py ----------------------------------------------------------- */

static void write_pool(const char *path)
{
    const double scale[3] = {1.0, 0.5, 0.25}, offset[3] = {0.0, 2.0, -1.0};
    const char *const classes[3] = {"cat", "dög", "7"};
    char names[N][16];
    const char *ids[N];
    uint8_t raw[N * D];
    int32_t labels[N];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "id-%d", i);
        ids[i] = names[i];
        labels[i] = i % 4 - 1;
        for (int k = 0; k < D; k++)
            raw[i * D + k] = (uint8_t)value(i, k / 20, k / 5 % 4, k % 5);
    }
    struct df_pool_spec spec = {N, {C, H, W}, DF_RAW_U8, 3, scale, offset, 3, true, ids, classes};
    struct df_pool_writer *writer;
    test_ok(df_pool_create(&writer, path, &spec, false));
    test_ok(df_pool_append(writer, raw, labels, 5));
    test_ok(df_pool_append(writer, raw + 5 * D, labels + 5, N - 5));
    test_ok(df_pool_finish(writer));
}

static void write_network(const char *path, const char *from)
{
    struct df_network *network;
    char *configuration;
    test_ok(df_network_load(&network, from));
    test_ok(df_alloc(&configuration, 200001, 1));
    memset(configuration, 'x', 200000);
    struct df_provenance provenance = {"dfal train", configuration, "ref",      "layers",
                                       "avx2",       "cpu",         UINT64_MAX, NULL};
    test_ok(df_network_save(network, path, false, &provenance));
    df_network_destroy(network);
    df_free(configuration);
}

static void write_scores(const char *path)
{
    struct df_rows_head head = {.version = DFAL_VERSION,
                                .configuration = "{\"norm\":2,\"preset\":\"lts4\"}",
                                .command_line = "dfal score",
                                .pool_count = 5,
                                .range_end = 5,
                                .seed = 1};
    struct df_scores scores;
    struct df_rows_writer *writer;
    test_ok(df_scores_alloc(&scores, 5));
    test_ok(df_alloc(&scores.id, 5, sizeof *scores.id));
    for (int i = 0; i < 5; i++) {
        scores.index[i] = i;
        scores.margin[i] = 0.5F * (float)i;
        test_ok(df_format(&scores.id[i], "id-%d", i));
    }
    const float images[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int64_t index[2] = {3, 1};
    test_ok(df_rows_create(&writer, path, &df_scores_kind, &head, 5, true, false));
    test_ok(df_rows_append(writer, &scores.rows));
    test_ok(df_scores_put_images(writer, images, index, 2, (struct df_shape){1, 2, 2}));
    test_ok(df_rows_finish(writer));
    df_scores_clear(&scores);
}

static void test_read_by_h5py(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    char path[TEST_PATH], from[TEST_PATH];
    test_join(path, folder, "out_pool.h5");
    write_pool(path);
    test_join(path, folder, "out_network.h5");
    test_join(from, folder, "good_network.h5");
    write_network(path, from);
    test_join(path, folder, "out_scores.h5");
    write_scores(path);
    assert_int_equal(python("read"), 0);
    nothing_left(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_pool),       cmocka_unit_test(test_good_fixed),
        cmocka_unit_test(test_good_nhwc),       cmocka_unit_test(test_good_reals),
        cmocka_unit_test(test_counted_classes), cmocka_unit_test(test_made_up_ids),
        cmocka_unit_test(test_bad_pools),       cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_good_networks),   cmocka_unit_test(test_bad_networks),
        cmocka_unit_test(test_good_latest),     cmocka_unit_test(test_rotten_id),
        cmocka_unit_test(test_stopped),         cmocka_unit_test(test_swapped),
        cmocka_unit_test(test_read_by_h5py),
    };
    char command[2 * TEST_PATH];
    snprintf(command, sizeof command, "%s -c 'import h5py' 2>/dev/null", interpreter());
    if (system(command) != 0) {
        printf("skipped: %s has no h5py (Debian: python3-h5py)\n", interpreter());
        return test_required("h5py") ? 1 : 77;
    }
    test_folder_create(folder);
    int failed = python("make") != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
