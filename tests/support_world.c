/* SPDX-License-Identifier: Apache-2.0 */
#include "support_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "base/rng.h"
#include "score/pool_network.h"
#include "store/network_file.h"
#include "store/pool.h"

enum { PIXELS = WORLD_SIZE * WORLD_SIZE };

struct world world;

/* Class 0: a horizontal bar, 1: a vertical bar, 2: a block; position and noise by the sample's number. */
static int32_t draw(unsigned char *image, int64_t number)
{
    int32_t label = (int32_t)(df_random_bits(42, DF_STREAM_SYNTH_TRAIN, (uint64_t)number) % WORLD_CLASSES);
    int at = 2 + (int)(df_random_bits(43, DF_STREAM_SYNTH_TRAIN, (uint64_t)number) % 6);
    for (int i = 0; i < PIXELS; i++) {
        int y = i / WORLD_SIZE, x = i % WORLD_SIZE;
        bool on = label == 0 ? y == at : label == 1 ? x == at : abs(x - at) < 2 && abs(y - at) < 2;
        image[i] =
            (unsigned char)((on ? 150 : 20) +
                            df_random_bits(44, DF_STREAM_SYNTH_TRAIN, (uint64_t)(number * PIXELS + i)) % 80);
    }
    return label;
}

void world_pool(const char *path, int64_t count, int64_t first, int flags)
{
    unsigned char *images = calloc((size_t)count, PIXELS);
    float *reals = calloc((size_t)count * PIXELS, sizeof *reals);
    int32_t *labels = calloc((size_t)count, sizeof *labels);
    char(*names)[48] = calloc((size_t)count, sizeof *names);
    const char **ids = calloc((size_t)count, sizeof *ids);
    static const char *const classes[WORLD_CLASSES] = {"<b>bar</b>", "=2+3", "blob & co"};
    for (int64_t i = 0; i < count; i++) {
        int64_t number = (flags & POOL_TWICE) && i == 7 ? first + 3 : first + i;
        labels[i] = draw(images + i * PIXELS, number);
        for (int k = 0; k < PIXELS; k++)
            reals[i * PIXELS + k] = (float)images[i * PIXELS + k] / 255;
        snprintf(names[i], sizeof names[i], i % 2 ? "=row,%lld" : "<script>\"%lld\"</script>", (long long)i);
        ids[i] = names[i];
    }
    if (flags & POOL_NAN)
        reals[5 * PIXELS + 17] = NAN;
    struct df_pool_spec spec = {
        .count = count,
        .shape = {1, WORLD_SIZE, WORLD_SIZE},
        .raw = flags & POOL_F32 ? DF_RAW_F32 : DF_RAW_U8,
        .class_count = WORLD_CLASSES,
        .has_labels = !(flags & POOL_NO_LABELS),
        .ids = flags & POOL_IDS ? ids : NULL,
        .classes = classes,
    };
    struct df_pool_writer *writer = NULL;
    test_ok(df_pool_create(&writer, path, &spec, true));
    test_ok(df_pool_append(writer, flags & POOL_F32 ? (void *)reals : (void *)images,
                           flags & POOL_NO_LABELS ? NULL : labels, count));
    test_ok(df_pool_finish(writer));
    free(images);
    free(reals);
    free(labels);
    free(names);
    free(ids);
}

void world_network(const char *path, uint64_t seed)
{
    struct df_network *net = NULL;
    int32_t conv, relu, pool, drop, flat, dense;
    test_ok(df_network_create(&net, (struct df_shape){1, WORLD_SIZE, WORLD_SIZE}, WORLD_CLASSES));
    test_ok(df_network_add(net, &conv, "conv", DF_NODE_CONV, (int32_t[]){DF_INPUT}, 1));
    net->nodes[conv].parameter[DF_WEIGHT].rank = 4;
    memcpy(net->nodes[conv].parameter[DF_WEIGHT].dims, (int64_t[]){6, 1, 3, 3}, 4 * sizeof(int64_t));
    net->nodes[conv].window.kernel[0] = net->nodes[conv].window.kernel[1] = 3;
    test_ok(df_network_add(net, &relu, "relu", DF_NODE_RELU, &conv, 1));
    test_ok(df_network_add(net, &pool, "pool", DF_NODE_MAX_POOL, &relu, 1));
    for (int i = 0; i < 2; i++)
        net->nodes[pool].window.kernel[i] = net->nodes[pool].window.stride[i] = 2;
    test_ok(df_network_add(net, &drop, "drop", DF_NODE_DROPOUT, &pool, 1));
    net->nodes[drop].ratio = 0.25;
    test_ok(df_network_add(net, &flat, "flat", DF_NODE_FLATTEN, &drop, 1));
    test_ok(df_network_add(net, &dense, "dense", DF_NODE_GEMM, &flat, 1));
    net->nodes[dense].parameter[DF_WEIGHT].rank = 2;
    memcpy(net->nodes[dense].parameter[DF_WEIGHT].dims, (int64_t[]){WORLD_CLASSES, 96}, 2 * sizeof(int64_t));
    net->output = dense;
    test_ok(df_network_infer(net));
    test_ok(df_network_initialise(net, seed));
    df_free(net->scale);
    df_free(net->offset);
    net->affine_count = 1;
    test_ok(df_alloc(&net->scale, 1, sizeof(double)));
    test_ok(df_alloc(&net->offset, 1, sizeof(double)));
    net->scale[0] = 1.0 / 255;
    struct df_provenance provenance = {"", "", "ref", "layers", "", "", seed, NULL};
    test_ok(df_network_save(net, path, true, &provenance));
    df_network_destroy(net);
}

int world_setup(void **state)
{
    (void)state;
    test_folder_create(world.folder);
    test_join(world.train, world.folder, "train.h5");
    test_join(world.test, world.folder, "test.h5");
    test_join(world.net, world.folder, "net.h5");
    world_pool(world.train, WORLD_ROWS, 0, POOL_IDS);
    world_pool(world.test, 30, 1000, POOL_U8);
    world_network(world.net, 5);
    return 0;
}

int world_teardown(void **state)
{
    (void)state;
    test_folder_remove(world.folder);
    return 0;
}

dfal_context *world_context(const char *backend, int32_t threads, dfal_event_fn *event, void *user)
{
    struct dfal_context_options options;
    dfal_context *context = NULL;
    dfal_context_options_init(&options);
    options.backend = backend;
    options.threads = threads;
    options.event = event;
    options.event_user = user;
    test_ok(dfal_context_create(&context, &options));
    return context;
}

void world_open(struct world_opened *opened, const char *backend, int32_t threads, const char *net,
                const char *pool)
{
    opened->context = world_context(backend, threads, NULL, NULL);
    test_ok(df_pool_open(&opened->pool, NULL, pool, NULL));
    test_ok(df_network_for_pool(&opened->network, opened->context, net, opened->pool));
    test_ok(df_context_device(opened->context, &opened->device));
    for (int i = 0; i < WORLD_ROWS; i++)
        opened->rows[i] = i;
}

void world_close(struct world_opened *opened)
{
    df_network_destroy(opened->network);
    df_pool_close(opened->pool);
    dfal_context_destroy(opened->context);
}

char *world_read(const char *folder, const char *name)
{
    char path[TEST_PATH];
    test_join(path, folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        test_fail("%s cannot be read", path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    if (fread(text, 1, (size_t)size, file) != (size_t)size)
        test_fail("%s cannot be read", path);
    fclose(file);
    return text;
}

void world_strip_seconds(char *curve)
{
    bool left_out[32] = {false};
    char *to = curve, *from = curve;
    for (int line = 0; *from; line++) {
        bool first = true;
        for (int column = 0;; column++) {
            const size_t length = strcspn(from, ",\n");
            if (!line)
                left_out[column] = length > 8 && !strncmp(from + length - 8, "_seconds", 8);
            if (!left_out[column]) {
                if (!first)
                    *to++ = ',';
                memmove(to, from, length);
                to += length;
                first = false;
            }
            from += length + 1;
            if (from[-1] == '\n')
                break;
        }
        *to++ = '\n';
    }
    *to = 0;
}

bool world_exists(const char *folder, const char *name)
{
    char path[TEST_PATH];
    struct stat info;
    test_join(path, folder, name);
    return !stat(path, &info);
}
