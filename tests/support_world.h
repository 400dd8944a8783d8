/* SPDX-License-Identifier: Apache-2.0 */
/* A small world for tests of selection and experiments: pools of bars and blobs, a small network,
 * contexts. */
#ifndef DFAL_TESTS_SUPPORT_WORLD_H
#define DFAL_TESTS_SUPPORT_WORLD_H

#include "dfal.h"
#include "graph/network.h"
#include "support.h"

enum { WORLD_SIZE = 10, WORLD_CLASSES = 3, WORLD_ROWS = 60 };

/* What a test program works on: a folder and three files in it. */
struct world {
    char folder[TEST_PATH], train[TEST_PATH], test[TEST_PATH], net[TEST_PATH];
};
extern struct world world;
/* Fixtures of cmocka_run_group_tests. train: WORLD_ROWS rows with labels, ids and class names that want
 * escaping; test: 30 rows; net: untrained. */
int world_setup(void **state);
int world_teardown(void **state);

enum world_pool {
    POOL_U8 = 0,
    POOL_F32 = 1,
    POOL_NO_LABELS = 2,
    POOL_NAN = 4,
    POOL_IDS = 8,
    POOL_TWICE = 16
};
/* first: number of the first sample, so that two pools differ. POOL_NAN: row 5 holds a NAN; POOL_TWICE: row 7
 * is row 3. */
void world_pool(const char *path, int64_t count, int64_t first, int flags);
/* Initialised by the seed; not trained. */
void world_network(const char *path, uint64_t seed);

dfal_context *world_context(const char *backend, int32_t threads, dfal_event_fn *event, void *user);
/* A pool of WORLD_ROWS rows and a network, opened for the rooms below the public header. */
struct world_opened {
    dfal_context *context;
    struct df_pool *pool;
    struct df_network *network;
    struct df_device *device;
    int64_t rows[WORLD_ROWS]; /* 0, 1, 2, ... */
};
void world_open(struct world_opened *opened, const char *backend, int32_t threads, const char *net,
                const char *pool);
void world_close(struct world_opened *opened);
/* The file's text, NULL-terminated; free. */
char *world_read(const char *folder, const char *name);
/* curve.csv without the columns that are seconds, in place. */
void world_strip_seconds(char *curve);
bool world_exists(const char *folder, const char *name);

#endif
