/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips of every file kind, label files, the order of scores, heads, and streams of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "scores_file.h"
#include "store/labels.h"
#include "store/stream.h"
#include "store/table.h"
#include "support.h"

static char folder[TEST_PATH];

static const char *at(const char *name)
{
    static char path[4][TEST_PATH];
    static int next;
    next = (next + 1) % 4;
    test_join(path[next], folder, name);
    return path[next];
}

/* ---- Pools ---------------------------------------------------------------------------------- */

/* A pool of whole numbers: pixel k of row i is (7 i + k) mod 256. */
static void make_pool(const char *name, int64_t count, struct df_shape shape, enum df_raw_type raw, bool ids)
{
    int64_t d = df_shape_size(shape);
    struct df_pool_spec spec = {
        .count = count, .shape = shape, .raw = raw, .class_count = 3, .has_labels = true};
    struct df_pool_writer *writer;
    char **names = NULL;
    void *row;
    test_ok(df_alloc(&row, d, sizeof(float)));
    if (ids) {
        test_ok(df_alloc(&names, count, sizeof *names));
        for (int64_t i = 0; i < count; i++)
            test_ok(df_format(&names[i], "r%lld", (long long)i));
        spec.ids = (const char *const *)names;
    }
    test_ok(df_pool_create(&writer, at(name), &spec, true));
    for (int64_t i = 0; i < count; i++) {
        int32_t label = (int32_t)(i % 4) - 1;
        for (int64_t k = 0; k < d; k++)
            if (raw == DF_RAW_U8)
                ((uint8_t *)row)[k] = (uint8_t)(7 * i + k);
            else
                ((float *)row)[k] = (float)((7 * i + k) % 256);
        test_ok(df_pool_append(writer, row, &label, 1));
    }
    test_ok(df_pool_finish(writer));
    for (int64_t i = 0; names && i < count; i++)
        df_free(names[i]);
    df_free(names);
    df_free(row);
}

static void test_pool_round_trip(void **state)
{
    (void)state;
    const enum df_raw_type raws[2] = {DF_RAW_U8, DF_RAW_F32};
    for (int which = 0; which < 2; which++) {
        int64_t live = df_alloc_live();
        struct df_pool *pool;
        make_pool("trip.h5", 5000, (struct df_shape){2, 9, 7}, raws[which], false);
        test_ok(df_pool_open(&pool, NULL, at("trip.h5"), NULL));
        assert_int_equal(pool->count, 5000);
        assert_int_equal(pool->raw, raws[which]);
        assert_int_equal(pool->class_count, 3);
        assert_true(pool->scale[0] == (which ? 1.0 : 1.0 / 255.0) && pool->offset[0] == 0.0);
        static float x[5000 * 126];
        static float decoded[5000 * 126];
        test_ok(df_pool_read(pool, x, 0, 5000));
        df_pool_decode(pool, decoded, x, 5000);
        for (int i = 0; i < 5000 * 126; i++) {
            int value = (7 * (i / 126) + i % 126) % 256;
            assert_true(decoded[i] == (which ? (float)value : (float)(value * (1.0 / 255.0))));
        }
        for (int i = 0; i < 5000; i++)
            assert_int_equal(pool->labels[i], i % 4 - 1);
        test_error(df_pool_read(pool, x, 4999, 5001), DFAL_E_INTERNAL, "5001");
        df_pool_close(pool);
        assert_int_equal(df_alloc_live(), live);
    }
}

/* Two writers in other appends give the same datasets; the whole files differ in nothing but `created`. */
static void test_pool_same_bytes(void **state)
{
    (void)state;
    struct df_pool *a, *b, *c;
    make_pool("one.h5", 500, (struct df_shape){1, 8, 8}, DF_RAW_U8, true);
    make_pool("two.h5", 500, (struct df_shape){1, 8, 8}, DF_RAW_U8, true);
    make_pool("three.h5", 500, (struct df_shape){1, 4, 16}, DF_RAW_U8, true);
    char *x, *y;
    size_t n, m, differ = 0;
    test_ok(df_file_read(&x, &n, at("one.h5"), 1 << 24));
    test_ok(df_file_read(&y, &m, at("two.h5"), 1 << 24));
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        differ += x[i] != y[i];
    assert_true(differ <= 20); /* the digits of a time */
    df_free(x);
    df_free(y);
    test_ok(df_pool_open(&a, NULL, at("one.h5"), NULL));
    test_ok(df_pool_open(&b, NULL, at("two.h5"), NULL));
    test_ok(df_pool_open(&c, NULL, at("three.h5"), NULL));
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_string_not_equal(a->fingerprint, c->fingerprint);
    df_pool_close(a);
    df_pool_close(b);
    df_pool_close(c);
}

/* The fingerprint as FORMATS.md defines it, written out by hand. */
static void test_fingerprint(void **state)
{
    (void)state;
    struct df_pool *pool;
    struct df_digest digest;
    char expected[DF_DIGEST_TEXT];
    make_pool("print.h5", 3000, (struct df_shape){1, 2, 3}, DF_RAW_U8, false);
    test_ok(df_pool_open(&pool, NULL, at("print.h5"), NULL));
    const int64_t dims[5] = {3000, 1, 2, 3, 1};
    df_digest_begin(&digest);
    df_digest_add_text(&digest, "dfal-pool");
    df_digest_add_text(&digest, "u8");
    for (int i = 0; i < 5; i++)
        df_digest_add_i64(&digest, dims[i]);
    df_digest_add_f64(&digest, 1.0 / 255.0);
    df_digest_add_f64(&digest, 0.0);
    for (int i = 0; i < 3000; i += 2)
        for (int k = 0; k < 6; k++) {
            uint8_t value = (uint8_t)(7 * i + k);
            df_digest_add(&digest, &value, 1);
        }
    df_digest_end(&digest, expected);
    assert_string_equal(pool->fingerprint, expected);
    df_pool_close(pool);
}

static void test_pool_refusals(void **state)
{
    (void)state;
    struct df_pool_writer *writer;
    struct df_pool_spec spec = {
        .count = 4, .shape = {1, 2, 2}, .raw = DF_RAW_U8, .class_count = 1, .has_labels = true};
    test_error(df_pool_create(&writer, at("no.h5"), &spec, false), DFAL_E_DATA, "1 class,");
    spec.class_count = 2;
    spec.count = 0;
    test_error(df_pool_create(&writer, at("no.h5"), &spec, false), DFAL_E_DATA, "0 samples");
    spec.count = 4;
    test_error(df_pool_create(&writer, at("none/no.h5"), &spec, false), DFAL_E_EXISTS, "none");
    test_ok(df_pool_create(&writer, at("no.h5"), &spec, false));
    const uint8_t raw[20] = {0};
    const int32_t labels[5] = {0, 1, -1, 2, 0};
    test_error(df_pool_append(writer, raw, labels, 4), DFAL_E_DATA, "label 2 in row 3");
    test_error(df_pool_append(writer, raw, labels, 5), DFAL_E_INTERNAL, "5 rows");
    test_ok(df_pool_append(writer, raw, labels, 3));
    test_error(df_pool_finish(writer), DFAL_E_INTERNAL, "3 of 4");
    assert_false(df_file_exists(at("no.h5")));
    make_pool("there.h5", 4, spec.shape, DF_RAW_U8, false);
    test_error(df_pool_create(&writer, at("there.h5"), &spec, false), DFAL_E_EXISTS, "there.h5");
    assert_null(writer);
}

/* ---- Labels --------------------------------------------------------------------------------- */

static dfal_status overlay(struct df_pool **pool, const char *text)
{
    static const char *file[1];
    struct dfal_pool_options options = {
        .size = sizeof(struct dfal_pool_options), .label_files = file, .label_file_count = 1};
    test_ok(df_file_write(at("labels.csv"), text, strlen(text)));
    file[0] = at("labels.csv");
    return df_pool_open(pool, NULL, at("labelled.h5"), &options);
}

static void test_labels(void **state)
{
    (void)state;
    struct df_pool *pool;
    int64_t live = df_alloc_live();
    const char *const classes[3] = {"cat", "1", "a \"dog\", big"};
    const char *const ids[6] = {"a", "b,c", "d\ne", "f", "g", "=h"};
    const int32_t none[6] = {-1, -1, -1, -1, -1, 2};
    struct df_pool_spec spec = {
        .count = 6, .shape = {1, 2, 2}, .class_count = 3, .has_labels = true, .ids = ids, .classes = classes};
    struct df_pool_writer *writer;
    uint8_t raw[24] = {0};
    test_ok(df_pool_create(&writer, at("labelled.h5"), &spec, true));
    test_ok(df_pool_append(writer, raw, none, 6));
    test_ok(df_pool_finish(writer));
    test_ok(overlay(&pool, "\xef\xbb\xbfid,seconds,label,status\r\n"
                           "a,1.5,cat,label\r\n"
                           "\"b,c\",,\"a \"\"dog\"\", big\",\r\n"
                           "\"d\ne\",2,2,label\r\n"
                           "f,,,skip\r\n"
                           "g,,0,unsure\n"
                           "a,,1,label"));
    const int32_t expected[6] = {1, 2, 2, -1, -1, 2};
    test_same_ints("labels", pool->labels, expected, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pool->skipped[i], i == 3);
    df_pool_close(pool);
    test_ok(overlay(&pool, "label,id\n-1,=h\n"));
    assert_int_equal(pool->labels[5], -1);
    df_pool_close(pool);
    test_ok(overlay(&pool, "id,label\n'=h,1\n")); /* as QUERIES.csv writes it */
    assert_int_equal(pool->labels[5], 1);
    df_pool_close(pool);
    const struct {
        const char *text, *words;
    } bad[] = {
        {"", "labels.csv is empty"},
        {"id,label\n'a,0\n", "labels.csv:2: id ''a' is not in"},
        {"id:label\na:0\n", "labels.csv:1: the header has no column 'id'"},
        {"id,annotator\na,0\n", "no column 'label'"},
        {"id,label,id\n", "'id' stands twice"},
        {"id,label\na,0\nz,1\n", "labels.csv:3: id 'z' is not in"},
        {"id,label\na,0\n\"d\ne\",9\n", "labels.csv:3: unknown class '9'"},
        {"id,label\na,dog\n", "labels.csv:2: unknown class 'dog'"},
        {"id,label\na,-2\n", "unknown class '-2'"},
        {"id,label\na,01\n", "unknown class '01'"},
        {"id,label\na, 0\n", "unknown class ' 0'"},
        {"id,label,status\na,,label\n", "labels.csv:2: the label is empty"},
        {"id,label\na\n", "labels.csv:2: 1 fields"},
        {"id,label\na,0,b\n", "labels.csv:2: 3 fields, expected at most the 2 of the header"},
        {"id,label,status\na,0,maybe\n", "labels.csv:2: status 'maybe'"},
        {"id,label\na,\"0\n", "labels.csv:2: broken quoting"},
        {"id,label\na,0\"1\n", "labels.csv:2: broken quoting"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_error(overlay(&pool, bad[i].text), DFAL_E_DATA, bad[i].words);
        assert_null(pool);
    }
    const char *const missing[1] = {"/no/such/labels.csv"};
    struct dfal_pool_options options = {
        .size = sizeof(struct dfal_pool_options), .label_files = missing, .label_file_count = 1};
    test_error(df_pool_open(&pool, NULL, at("labelled.h5"), &options), DFAL_E_NOINPUT, "/no/such/labels.csv");
    assert_int_equal(df_alloc_live(), live);
}

/* ---- Scores --------------------------------------------------------------------------------- */

static void fill_scores(struct df_scores *scores, int64_t count, int64_t first, bool ids)
{
    test_ok(df_scores_alloc(scores, count));
    if (ids)
        test_ok(df_alloc(&scores->id, count, sizeof *scores->id));
    for (int64_t i = 0; i < count; i++) {
        int64_t row = first + i;
        scores->index[i] = row;
        scores->margin[i] = row % 5 == 4 ? INFINITY : (float)(row % 97) / 8;
        scores->first_margin[i] = (float)(row % 89);
        scores->logit_gap[i] = (float)(row % 83);
        scores->status[i] = (uint8_t)(row % 6);
        scores->label[i] = (int32_t)(row % 10);
        scores->adversarial_class[i] = (int32_t)(row % 11) - 1;
        scores->iterations[i] = (uint16_t)(row % 50);
        if (ids)
            test_ok(df_format(&scores->id[i], "image %lld", (long long)row));
    }
}

static void assert_scores(const struct df_scores *scores, const struct df_scores *expected)
{
    assert_int_equal(scores->count, expected->count);
    size_t n = (size_t)scores->count;
    assert_memory_equal(scores->index, expected->index, n * sizeof *scores->index);
    assert_memory_equal(scores->margin, expected->margin, n * sizeof *scores->margin);
    assert_memory_equal(scores->first_margin, expected->first_margin, n * sizeof *scores->margin);
    assert_memory_equal(scores->logit_gap, expected->logit_gap, n * sizeof *scores->margin);
    assert_memory_equal(scores->status, expected->status, n);
    assert_memory_equal(scores->label, expected->label, n * sizeof *scores->label);
    assert_memory_equal(scores->adversarial_class, expected->adversarial_class, n * sizeof *scores->label);
    assert_memory_equal(scores->iterations, expected->iterations, n * sizeof *scores->iterations);
    for (size_t i = 0; expected->id && i < n; i++)
        assert_string_equal(scores->id[i], expected->id[i]);
}

static struct df_rows_head make_head(void)
{
    return (struct df_rows_head){.network_sha256 = "aa",
                                 .pool_fingerprint = "bb",
                                 .version = DFAL_VERSION,
                                 .backend = "cpu",
                                 .engine = "layers",
                                 .isa = "avx2",
                                 .precision = "strict",
                                 .library = "oneDNN 2.6.3",
                                 .device = "some CPU",
                                 .configuration = "{\"norm\":2,\"preset\":\"lts4\"}",
                                 .command_line = "dfal score",
                                 .seed = UINT64_MAX,
                                 .pool_count = 100000,
                                 .range_begin = 0,
                                 .range_end = 70000,
                                 .shard = 1,
                                 .shard_count = 3,
                                 .units = "raw"};
}

/* The columns that were asked for and the status; the others are not there, also when rows are left out. */
static void read_some_columns(const struct df_scores *part)
{
    const int64_t kept[] = {part->index[1], part->index[2], part->index[7]};
    struct df_rows_head read;
    struct df_scores found;
    test_ok(df_scores_read_columns(at("shard.h5"), &read, 1U << DF_SCORES_label, &found));
    assert_null(found.margin);
    assert_null(found.adversarial_class);
    assert_null(found.iterations);
    assert_null(found.first_margin);
    assert_null(found.logit_gap);
    assert_int_equal(found.count, part->count);
    assert_memory_equal(found.index, part->index, (size_t)part->count * sizeof *part->index);
    assert_memory_equal(found.status, part->status, (size_t)part->count);
    assert_memory_equal(found.label, part->label, (size_t)part->count * sizeof *part->label);
    test_ok(df_scores_keep(&found, kept, 3));
    assert_int_equal(found.count, 3);
    assert_int_equal(found.label[0], part->label[1]);
    assert_int_equal(found.label[2], part->label[7]);
    assert_int_equal(found.status[2], part->status[7]);
    df_scores_clear(&found);
    df_rows_head_clear(&read);
}

static void test_scores_round_trip(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    struct df_rows_head head = make_head(), read;
    struct df_scores all, part, found;
    struct df_rows_writer *writer;
    fill_scores(&all, 70000, 0, true);
    test_ok(df_rows_create(&writer, at("scores.h5"), &df_scores_kind, &head, 70000, true, false));
    for (int64_t begin = 0; begin < 70000; begin += DF_SHARD_ROWS) {
        fill_scores(&part, 70000 - begin < DF_SHARD_ROWS ? 70000 - begin : DF_SHARD_ROWS, begin, true);
        test_ok(df_rows_append(writer, &part.rows));
        df_scores_clear(&part);
    }
    test_ok(df_rows_finish(writer));
    test_ok(test_scores_read(at("scores.h5"), &read, &found));
    assert_scores(&found, &all);
    df_scores_clear(&found);
    test_ok(df_rows_head_compare(&head, &read, false, "scores.h5", ""));
    assert_string_equal(read.command_line, "dfal score");
    assert_string_equal(read.device, "some CPU");
    assert_int_equal(read.shard, 1);
    assert_int_equal(read.shard_count, 3);
    assert_int_equal(read.range_end, 70000);
    assert_null(read.network_path);
    assert_true(strcmp(read.units, "raw") == 0 && read.seed == UINT64_MAX);
    df_rows_head_clear(&read);
    df_scores_clear(&all);

    fill_scores(&part, 10, 16384, false);
    head.range_begin = 16384;
    head.range_end = 16394;
    test_ok(test_scores_write(at("shard.h5"), &head, &part));
    test_ok(test_scores_write(at("shard.h5"), &head, &part));
    test_ok(test_scores_read(at("shard.h5"), &read, &found));
    assert_scores(&found, &part);
    assert_null(found.id);
    df_scores_clear(&found);
    df_rows_head_clear(&read);
    test_ok(test_scores_read(at("shard.h5"), &read, NULL));
    df_rows_head_clear(&read);
    read_some_columns(&part);
    test_ok(df_rows_create(&writer, at("part.h5"), &df_scores_kind, &head, 20, false, false));
    test_ok(df_rows_append(writer, &part.rows));
    test_error(df_rows_finish(writer), DFAL_E_INTERNAL, "10 of 20");
    part.status[4] = DFAL_SCORE_STATUS_COUNT;
    test_ok(test_scores_write(at("shard.h5"), &head, &part));
    test_error(test_scores_read(at("shard.h5"), &read, &found), DFAL_E_DATA, "status 7 in row 4");
    part.status[4] = 0;
    part.index[5] = 100000;
    test_ok(test_scores_write(at("shard.h5"), &head, &part));
    test_error(test_scores_read(at("shard.h5"), &read, &found), DFAL_E_DATA, "index 100000 in row 5");
    df_scores_clear(&part);
    assert_int_equal(df_alloc_live(), live);
}

static void test_head_compare(void **state)
{
    (void)state;
    struct df_rows_head ours = make_head(), theirs = make_head();
    theirs.configuration = "{\"preset\": \"lts4\", \"norm\": 2}";
    test_ok(df_rows_head_compare(&ours, &theirs, false, "x.h5", ""));
    theirs.configuration = "{\"preset\":\"paper\",\"norm\":2}";
    test_error(df_rows_head_compare(&ours, &theirs, false, "x.h5", ""), DFAL_E_CONFIG,
               "x.h5 was made with preset paper, expected lts4");
    theirs.configuration = "{\"preset\":\"lts4\",\"norm\":2,\"max_iter\":3}";
    test_error(df_rows_head_compare(&ours, &theirs, true, "x.h5", ""), DFAL_E_CONFIG,
               "max_iter 3, expected (none)");
    theirs = make_head();
    strcpy(theirs.isa, "avx512");
    test_error(df_rows_head_compare(&ours, &theirs, false, "x.h5", ""), DFAL_E_CONFIG,
               "isa avx512, expected avx2");
    test_ok(df_rows_head_compare(&ours, &theirs, true, "x.h5", ""));
    strcpy(theirs.pool_fingerprint, "cc");
    test_error(df_rows_head_compare(&ours, &theirs, true, "x.h5", ""), DFAL_E_CONFIG,
               "pool_fingerprint cc, expected bb");
    theirs = make_head();
    strcpy(theirs.units, "network");
    test_error(df_rows_head_compare(&ours, &theirs, false, "x.h5", ""), DFAL_E_CONFIG,
               "units network, expected raw");
    theirs = make_head();
    theirs.seed = 2;
    test_error(df_rows_head_compare(&ours, &theirs, false, "x.h5", ""), DFAL_E_CONFIG, "seed 2");
}

/* What was continued or joined under --allow-mixed says so, and is taken on only by the same word. */
static void test_mixed(void **state)
{
    (void)state;
    struct df_rows_head ours = make_head(), theirs = make_head();
    df_rows_head_mix(&ours, &theirs);
    assert_string_equal(ours.mixed, "");
    strcpy(ours.isa, "avx2");
    strcpy(theirs.isa, "avx512");
    df_rows_head_mix(&ours, &theirs);
    assert_string_equal(ours.mixed, "isa: avx512, avx2");
    struct df_rows_head next = make_head();
    df_rows_head_mix(&next, &ours);
    assert_string_equal(next.mixed, "isa: avx512, avx2");
    test_error(df_rows_head_compare(&next, &next, false, "x.h5", ""), DFAL_E_CONFIG, "isa: avx512, avx2");
    test_ok(df_rows_head_compare(&next, &next, true, "x.h5", ""));
}

/* ---- Networks and tables ---------------------------------------------------------------------- */

static struct df_network *make_network(void)
{
    struct df_network *network;
    int32_t input = DF_INPUT, node;
    test_ok(df_network_create(&network, (struct df_shape){1, 6, 6}, 3));
    test_ok(df_network_add(network, &node, "block.conv", DF_NODE_CONV, &input, 1));
    struct df_parameter *weight = &network->nodes[node].parameter[DF_WEIGHT];
    *weight = (struct df_parameter){.rank = 4, .dims = {2, 1, 3, 3}};
    network->nodes[node].window.kernel[0] = network->nodes[node].window.kernel[1] = 3;
    test_ok(df_network_add(network, &node, "norm", DF_NODE_BATCH_NORM, &node, 1));
    test_ok(df_network_add(network, &node, "flat", DF_NODE_FLATTEN, &node, 1));
    test_ok(df_network_add(network, &node, "fc", DF_NODE_GEMM, &node, 1));
    network->nodes[node].parameter[DF_WEIGHT] = (struct df_parameter){.rank = 2, .dims = {3, 32}};
    network->output = node;
    test_ok(df_network_infer(network));
    test_ok(df_network_initialise(network, 1));
    network->scale[0] = 1.0 / 255.0;
    return network;
}

static void test_network_round_trip(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    struct df_network *network = make_network(), *read;
    struct df_provenance provenance = {"dfal train", "{}", "ref", "layers", "avx2", "cpu", 7, NULL};
    char a[65], b[65];
    test_ok(df_network_save(network, at("net.h5"), false, &provenance));
    test_error(df_network_save(network, at("net.h5"), false, &provenance), DFAL_E_EXISTS, "net.h5");
    test_ok(df_network_save(network, at("net.h5"), true, NULL));
    test_ok(df_network_load(&read, at("net.h5")));
    df_network_digest(a, network);
    df_network_digest(b, read);
    assert_string_equal(a, b);
    assert_true(read->scale[0] == 1.0 / 255.0 && read->class_count == 3);
    /* Names stand beside the network, not in its sha256. */
    char *names[3] = {"ant", "", "d\xc3\xb6g"};
    assert_null(read->classes);
    df_network_destroy(read);
    test_ok(df_network_name_classes(network, names));
    test_ok(df_network_save(network, at("net.h5"), true, NULL));
    test_ok(df_network_load(&read, at("net.h5")));
    df_network_digest(b, read);
    assert_string_equal(a, b);
    for (int i = 0; i < 3; i++)
        assert_string_equal(read->classes[i], names[i]);
    df_network_destroy(read);
    df_free(network->nodes[0].name);
    test_ok(df_strdup(&network->nodes[0].name, "a/b"));
    test_error(df_network_save(network, at("dot.h5"), false, NULL), DFAL_E_DATA, "a/b");
    assert_false(df_file_exists(at("dot.h5")));
    df_network_destroy(network);
    assert_int_equal(df_alloc_live(), live);
}

static void test_tables(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    float reals[6] = {1, 2, 3, 4, 5, INFINITY};
    int64_t integers[2] = {INT64_MIN, INT64_MAX};
    uint8_t bytes[3] = {0, 128, 255};
    double scalar = 0.1;
    struct df_column columns[4] = {{"group/reals", DF_COLUMN_F32, 2, {3, 2}, reals},
                                   {"integers", DF_COLUMN_I64, 1, {2}, integers},
                                   {"bytes", DF_COLUMN_U8, 1, {3}, bytes},
                                   {"scalar", DF_COLUMN_F64, 0, {0}, &scalar}};
    test_ok(df_table_write(at("table.h5"), "dfal-state", "{\"a\":1}", columns, 4, false));
    struct df_column read[4] = {{"group/reals", DF_COLUMN_F32, 2, {0}, NULL},
                                {"integers", DF_COLUMN_I64, 1, {0}, NULL},
                                {"bytes", DF_COLUMN_U8, 1, {0}, NULL},
                                {"scalar", DF_COLUMN_F64, 0, {0}, NULL}};
    char *configuration, format[32];
    test_ok(df_table_read(at("table.h5"), "dfal-state", &configuration, read, 4));
    assert_string_equal(configuration, "{\"a\":1}");
    assert_memory_equal(read[0].data, reals, sizeof reals);
    assert_int_equal(read[0].dims[0], 3);
    assert_memory_equal(read[1].data, integers, sizeof integers);
    assert_memory_equal(read[2].data, bytes, sizeof bytes);
    assert_memory_equal(read[3].data, &scalar, sizeof scalar);
    for (int i = 0; i < 4; i++)
        df_free(read[i].data);
    df_free(configuration);
    test_ok(df_file_format(format, at("table.h5")));
    assert_string_equal(format, "dfal-state");
    test_error(df_table_read(at("table.h5"), "dfal-logits", NULL, read, 4), DFAL_E_DATA,
               "expected a dfal logits");
    read[1].type = DF_COLUMN_I32;
    test_error(df_table_read(at("table.h5"), "dfal-state", NULL, read, 4), DFAL_E_DATA, "'integers'");
    assert_null(read[0].data);
    read[1].type = DF_COLUMN_I64;
    read[2].rank = 2;
    test_error(df_table_read(at("table.h5"), "dfal-state", NULL, read, 4), DFAL_E_SHAPE, "'bytes' is [3]");
    read[2].name = "byte";
    test_error(df_table_read(at("table.h5"), "dfal-state", NULL, read, 4), DFAL_E_DATA, "no dataset 'byte'");

    static float logits[1000 * 10];
    for (int i = 0; i < 10000; i++)
        logits[i] = (float)i;
    static int64_t index[1000];
    static const struct df_rows_kind kind = {
        .format = "dfal-logits",
        .name = "logits file",
        .column_count = 1,
        .columns = {{.name = "logits", .type = DF_COLUMN_F32, .rank = 1, .dims = {10}}}};
    struct df_column column = {"logits", DF_COLUMN_F32, 2, {1000, 10}, NULL};
    const struct df_rows_head head = {.configuration = (char *)"{}", .pool_count = 1000, .range_end = 1000};
    struct df_rows_writer *writer;
    struct df_rows rows = {.kind = &kind, .count = 700, .index = index, .column = {logits + 3000}};
    test_ok(df_rows_create(&writer, at("logits.h5"), &kind, &head, 1000, false, false));
    test_ok(df_rows_put(writer, 300, &rows));
    rows.count = 300;
    rows.column[0] = logits;
    test_ok(df_rows_put(writer, 0, &rows));
    rows.count = 2;
    test_error(df_rows_put(writer, 999, &rows), DFAL_E_INTERNAL, "999");
    test_ok(df_rows_finish(writer));
    test_ok(df_table_read(at("logits.h5"), "dfal-logits", NULL, &column, 1));
    assert_memory_equal(column.data, logits, sizeof logits);
    df_free(column.data);
    assert_int_equal(df_alloc_live(), live);
}

/* ---- Streams -------------------------------------------------------------------------------- */

/* Every row of the stream against the row itself, taken in bites. */
static void drain(struct df_pool *pool, struct df_chunk_source *source, const int64_t *rows, int64_t count,
                  int64_t bite)
{
    size_t bytes = df_pool_row_bytes(pool);
    struct df_row_stream *stream;
    char *raw, *one;
    int64_t *index, done = 0, n;
    test_ok(df_alloc(&raw, bite, bytes));
    test_ok(df_alloc(&one, 1, bytes));
    test_ok(df_alloc(&index, bite, sizeof *index));
    test_ok(df_stream_open(&stream, pool, source));
    for (;;) {
        test_ok(df_stream_take(stream, bite, raw, index, &n));
        if (!n)
            break;
        for (int64_t i = 0; i < n; i++) {
            int64_t row = rows ? rows[done + i] : done + i;
            assert_int_equal(index[i], row);
            test_ok(df_pool_read(pool, one, row, row + 1));
            assert_memory_equal(raw + (size_t)i * bytes, one, bytes);
        }
        done += n;
    }
    assert_int_equal(done, count);
    test_ok(df_stream_take(stream, bite, raw, index, &n));
    assert_int_equal(n, 0);
    df_stream_close(stream);
    df_free(raw);
    df_free(one);
    df_free(index);
}

static void test_streams(void **state)
{
    (void)state;
    int64_t live = df_alloc_live();
    const struct df_shape shapes[2] = {{1, 28, 28}, {3, 150, 150}};
    const enum df_raw_type raws[2] = {DF_RAW_U8, DF_RAW_F32};
    const int64_t counts[2] = {12000, 150}, bites[4] = {1, 63, 64, 20000};
    for (int which = 0; which < 2; which++) {
        make_pool("stream.h5", counts[which], shapes[which], raws[which], false);
        struct df_pool *pool;
        test_ok(df_pool_open(&pool, NULL, at("stream.h5"), NULL));
        for (int bite = which; bite < 4; bite++) {
            struct df_range_source range;
            df_range_source_init(&range, 0, counts[which], bite % 2 ? 1000000 : 37);
            drain(pool, &range.source, NULL, counts[which], bites[bite]);
        }
        int64_t *rows;
        test_ok(df_alloc(&rows, counts[which], sizeof *rows));
        test_ok(df_random_permutation(rows, counts[which], 1, DF_STREAM_SHUFFLE, 0));
        rows[5] = rows[4]; /* a row may come twice */
        struct df_list_source list;
        df_list_source_init(&list, rows, counts[which]);
        drain(pool, &list.source, rows, counts[which], 100);
        df_list_source_init(&list, rows, 0);
        drain(pool, &list.source, rows, 0, 100);
        df_free(rows);
        df_pool_close(pool);
    }
    assert_int_equal(df_alloc_live(), live);
}

static dfal_status failing_next(struct df_chunk_source *self, int64_t *begin, int64_t *end)
{
    struct df_range_source *range = (struct df_range_source *)self;
    *begin = range->next;
    *end = range->next += 100;
    if (*end > 8000)
        return df_fail(DFAL_E_INTERNAL, "the source ends at row %d", 8000);
    return DFAL_OK;
}

static void test_stream_ends(void **state)
{
    (void)state;
    int64_t live = df_alloc_live(), index[64], n, total = 0;
    static uint8_t raw[64 * 784];
    struct df_pool *pool;
    struct df_row_stream *stream;
    struct df_range_source range;
    make_pool("ends.h5", 12000, (struct df_shape){1, 28, 28}, DF_RAW_U8, false);
    test_ok(df_pool_open(&pool, NULL, at("ends.h5"), NULL));
    for (int taken = 0; taken < 3; taken++) { /* closed early */
        df_range_source_init(&range, 0, 12000, 50);
        test_ok(df_stream_open(&stream, pool, &range.source));
        for (int i = 0; i < taken; i++)
            test_ok(df_stream_take(stream, 64, raw, index, &n));
        df_stream_close(stream);
    }
    range = (struct df_range_source){.source = {failing_next}};
    test_ok(df_stream_open(&stream, pool, &range.source));
    dfal_status status;
    while ((status = df_stream_take(stream, 64, raw, index, &n)) == DFAL_OK && n)
        total += n;
    assert_int_equal(status, DFAL_E_INTERNAL);
    assert_string_equal(dfal_last_error(), "the source ends at row 8000");
    test_error(df_stream_take(stream, 64, raw, index, &n), DFAL_E_INTERNAL, "8000");
    df_stream_close(stream);
    for (int at_read = 1; at_read <= 2; at_read++) { /* the reader's error reaches the taker */
        df_range_source_init(&range, 0, 12000, 50);
        df_fault_arm(DF_FAULT_READ, at_read);
        test_ok(df_stream_open(&stream, pool, &range.source));
        while ((status = df_stream_take(stream, 64, raw, index, &n)) == DFAL_OK && n)
            total += n;
        assert_int_equal(status, DFAL_E_IO);
        assert_non_null(strstr(dfal_last_error(), "ends.h5"));
        df_stream_close(stream);
        df_fault_arm(DF_FAULT_READ, 0);
    }
    df_pool_close(pool);
    assert_int_equal(df_alloc_live(), live);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

/* Several takers whose bites are larger than a block: each row goes to exactly one, and none waits for
 * ever. */
enum { TAKERS = 4, TAKEN_ROWS = 400, BITE = 90 };
struct taker {
    struct df_row_stream *stream;
    size_t bytes;
    int64_t seen[TAKEN_ROWS], wrong;
    dfal_status status;
};

static void *take_rows(void *user)
{
    struct taker *taker = user;
    char *raw = malloc(BITE * taker->bytes);
    int64_t index[BITE], n = 1;
    while (n && (taker->status = df_stream_take(taker->stream, BITE, raw, index, &n)) == DFAL_OK)
        for (int64_t i = 0; i < n; i++) {
            taker->seen[index[i]]++;
            taker->wrong += (unsigned char)raw[(size_t)i * taker->bytes] != (unsigned char)index[i];
        }
    free(raw);
    return NULL;
}

static void test_stream_takers(void **state)
{
    (void)state;
    const struct df_shape shape = {1, 300, 300}; /* a block holds 64 such rows */
    static unsigned char raw[300 * 300];
    static struct taker takers[TAKERS];
    struct df_pool_spec spec = {.count = TAKEN_ROWS, .shape = shape, .raw = DF_RAW_U8};
    struct df_pool_writer *writer;
    struct df_pool *pool;
    test_ok(df_pool_create(&writer, at("takers.h5"), &spec, true));
    for (int i = 0; i < TAKEN_ROWS; i++) {
        raw[0] = (unsigned char)i;
        test_ok(df_pool_append(writer, raw, NULL, 1));
    }
    test_ok(df_pool_finish(writer));
    test_ok(df_pool_open(&pool, NULL, at("takers.h5"), NULL));
    for (int round = 0; round < 5; round++) {
        struct df_range_source range;
        struct df_row_stream *stream;
        struct df_thread threads[TAKERS];
        df_range_source_init(&range, 0, TAKEN_ROWS, 7);
        test_ok(df_stream_open(&stream, pool, &range.source));
        for (int t = 0; t < TAKERS; t++) {
            takers[t] = (struct taker){.stream = stream, .bytes = df_pool_row_bytes(pool)};
            test_ok(df_thread_start(&threads[t], take_rows, &takers[t]));
        }
        for (int t = 0; t < TAKERS; t++) {
            df_thread_join(&threads[t]);
            test_ok(takers[t].status);
            assert_int_equal(takers[t].wrong, 0);
        }
        for (int i = 0; i < TAKEN_ROWS; i++)
            assert_int_equal(takers[0].seen[i] + takers[1].seen[i] + takers[2].seen[i] + takers[3].seen[i],
                             1);
        df_stream_close(stream);
    }
    df_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_round_trip),
        cmocka_unit_test(test_pool_same_bytes),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_pool_refusals),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_scores_round_trip),
        cmocka_unit_test(test_head_compare),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_network_round_trip),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_stream_ends),
        cmocka_unit_test(test_stream_takers),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
