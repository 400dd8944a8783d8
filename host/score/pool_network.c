/* SPDX-License-Identifier: Apache-2.0 */
#include "score/pool_network.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "models/models.h"
#include "score/budget.h"
#include "store/network_file.h"

dfal_status df_network_check_shape(const struct df_network *network, const struct df_pool *pool,
                                   const char *name)
{
    const struct df_shape a = network->input, b = pool->shape;
    if (a.c != b.c || a.h != b.h || a.w != b.w)
        DF_FAIL(DFAL_E_SHAPE,
                "%s: samples are [%" PRId64 ",%" PRId64 ",%" PRId64 "], %s expects [%" PRId64 ",%" PRId64
                ",%" PRId64 "]",
                pool->path, b.c, b.h, b.w, name, a.c, a.h, a.w);
    return DFAL_OK;
}

/* "0.00392157" or "0.1, 0.2, 0.3". */
static void list_text(char text[128], const double *values, int32_t count)
{
    int at = 0;
    text[0] = 0;
    for (int32_t i = 0; i < count && at < 100; i++)
        at += df_print(text + at, (size_t)(128 - at), "%s%.9g", i ? ", " : "", values[i]);
}

static bool same_affine(const double *a, int32_t a_count, const double *b, int32_t b_count)
{
    const int32_t count = a_count > b_count ? a_count : b_count;
    for (int32_t i = 0; i < count; i++)
        if (a[a_count == 1 ? 0 : i] != b[b_count == 1 ? 0 : i])
            return false;
    return true;
}

static void warn_about(struct dfal_context *context, const char *name, const struct df_network *network,
                       const struct df_pool *pool)
{
    /* A network that does not say how its samples were scaled, as from ONNX, is taken at its user's word. */
    const bool known = network->affine_count > 0;
    if (known && (!same_affine(network->scale, network->affine_count, pool->scale, pool->affine_count) ||
                  !same_affine(network->offset, network->affine_count, pool->offset, pool->affine_count))) {
        char ours[2][128], theirs[2][128];
        list_text(ours[0], network->scale, network->affine_count);
        list_text(ours[1], network->offset, network->affine_count);
        list_text(theirs[0], pool->scale, pool->affine_count);
        list_text(theirs[1], pool->offset, pool->affine_count);
        df_say(context, DFAL_WARNING, "network.scale",
               DF_FIELDS(DF_TEXT("network", name), DF_TEXT("pool", pool->path)),
               "%s was trained on inputs with scale %s and offset %s, but %s has scale %s and offset %s",
               name, ours[0], ours[1], pool->path, theirs[0], theirs[1]);
    }
    if (pool->class_count > 0 && network->class_count != pool->class_count)
        df_say(context, DFAL_WARNING, "network.classes",
               DF_FIELDS(DF_INT("network", network->class_count), DF_INT("pool", pool->class_count)),
               "%s tells %d classes apart, %s has %d", name, network->class_count, pool->path,
               pool->class_count);
}

void df_say_softmax(struct dfal_context *context, const char *name, const struct df_network *network)
{
    if (network->softmax_cut)
        df_say(context, DFAL_INFO, "network.softmax", DF_FIELDS(DF_TEXT("network", name)),
               "%s: the softmax at its end is cut off, its outputs are logits", name);
}

void df_warn_trained_on(struct dfal_context *context, const char *name, const struct df_network *network,
                        const struct df_pool *pool, bool selects, const char *consequence)
{
    if (strcmp(network->trained_on, pool->fingerprint) == 0)
        df_say(context, DFAL_WARNING, selects ? "select.trained_on" : "eval.trained_on",
               DF_FIELDS(DF_TEXT("network", name), DF_TEXT("pool", pool->path)),
               "%s was trained on rows of %s: %s", name, pool->path, consequence);
}

/* The pool's numbers of the network's classes, by their names. */
static dfal_status match_classes(struct df_network *network, struct dfal_context *context, const char *name,
                                 const struct df_pool *pool)
{
    const struct df_classes ours = {name, network->classes, network->class_count},
                            theirs = {pool->path, pool->classes, pool->class_count};
    DF_TRY(df_classes_match(&network->to_pool, &ours, &theirs));
    if (!network->to_pool)
        return DFAL_OK;
    DF_TRY(df_alloc(&network->from_pool, network->class_count, sizeof *network->from_pool));
    for (int32_t k = 0; k < network->class_count; k++)
        network->from_pool[network->to_pool[k]] = k;
    df_classes_say(context, &ours, &theirs);
    return DFAL_OK;
}

dfal_status df_network_for_pool(struct df_network **out, struct dfal_context *context, const char *name,
                                const struct df_pool *pool)
{
    *out = NULL;
    DF_TRY(df_network_shape_for_pool(out, context, name, pool));
    df_say_softmax(context, name, *out);
    dfal_status status = match_classes(*out, context, name, pool);
    if (status != DFAL_OK) {
        df_network_destroy(*out);
        *out = NULL;
    }
    return status;
}

dfal_status df_network_shape_for_pool(struct df_network **out, struct dfal_context *context, const char *name,
                                      const struct df_pool *pool)
{
    *out = NULL;
    if (df_model_exists(name) && !df_file_exists(name))
        DF_FAIL(DFAL_E_USAGE, "%s has no weights; train it first: dfal train --net %s POOL.h5 -o NET.h5",
                name, name);
    struct df_network *network = NULL;
    if (!df_file_exists(name))
        DF_TRY(df_model_check(name));
    DF_TRY(df_budget_for_file(context, name));
    DF_TRY(df_network_load(&network, name));
    dfal_status status = df_network_check_shape(network, pool, name);
    if (status != DFAL_OK) {
        df_network_destroy(network);
        return status;
    }
    warn_about(context, name, network, pool);
    *out = network;
    return DFAL_OK;
}

static struct df_classes own_classes(const struct df_network *network)
{
    return (struct df_classes){"the network", network->classes, network->class_count};
}

struct df_classes df_classes_of_pool(const struct df_network *network, const struct df_pool *pool)
{
    const struct df_classes classes = {pool->path, pool->classes, pool->class_count};
    return classes.names ? classes : own_classes(network);
}

struct df_classes df_classes_of_network(const struct df_network *network, const struct df_pool *pool)
{
    const struct df_classes classes = own_classes(network);
    return classes.names || pool->class_count != network->class_count ? classes
                                                                      : df_classes_of_pool(network, pool);
}
