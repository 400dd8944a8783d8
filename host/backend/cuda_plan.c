/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of cuDNN's graph interface, of engines that cuda_graph.c calls strict.
 *
 * Order    a preferred engine, chosen by the shape alone from what was measured once (below), then what the
 *          heuristics list first; they know the shape and the GPU's properties and nothing else, so the same
 *          plan comes out each time on one model of GPU with one version of cuDNN. Strict engines may stand
 *          behind the end of those lists, so last comes every engine there is, by its number.
 * Turned   an input gradient without stride is the forward of a convolution over turned weights, and the
 *          forward's large tile has no like among the gradient's engines.
 * Position a stream-K engine cuts sums by where an output stands: the same row would have other bits at
 *          another place of the batch. Its knob must be 0.
 * Half     the backward of a half_backward layer: sums cut into slices are passed over as well. */
#include <stdio.h>
#include <string.h>

#include "backend/cuda_plan.h"
#include "base/memory.h"

typedef cudnnBackendDescriptor_t descriptor;

/* Configurations asked of one heuristic. */
enum { MAX_CONFIGS = 64 };

/* ---- The choice ------------------------------------------------------------------------------ */

/* Append the knobs to text; *suits becomes false where one makes bits depend on the place of a row, and with
 * half where one cuts sums into slices. */
static dfal_status read_knobs(descriptor config, bool half, char *text, size_t size, bool *suits)
{
    descriptor choices[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t count = 0, one = 0;
    dfal_status status = DFAL_OK;
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        DF_TRY_TO(done, status, df_cudnn_create(&choices[i], CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_get(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           CUDNN_KNOB_TYPE_COUNTS, &count, choices, "reading an engine's knobs"));
    for (int64_t i = 0; i < count && i < CUDNN_KNOB_TYPE_COUNTS; i++) {
        cudnnBackendKnobType_t type;
        int64_t value = 0;
        DF_TRY_TO(done, status,
                  df_cudnn_get(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one,
                               &type, "reading a knob"));
        DF_TRY_TO(done, status,
                  df_cudnn_get(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one,
                               &value, "reading a knob"));
        if ((type == CUDNN_KNOB_TYPE_STREAM_K && value != 0) ||
            (half && type == CUDNN_KNOB_TYPE_SPLIT_K_SLC && value > 1))
            *suits = false;
        const size_t used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%d=%lld", i == 0 ? ", knobs " : " ", (int)type,
                       (long long)value);
    }
done:
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        df_cudnn_drop(choices[i]);
    return status;
}

int64_t df_cudnn_workspace_limit(const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows)
{
    const int64_t partial_sums = 4 << 20;
    const int64_t values =
        rows * (df_shape_size(desc->in) + df_shape_size(desc->out)) + df_layer_weight_count(desc);
    return values * (int64_t)(df_cudnn_is_half(desc, kind) ? sizeof(uint16_t) : sizeof(float)) + partial_sums;
}

static dfal_status finalize_plan(struct df_cudnn_plan *out, descriptor properties, descriptor config,
                                 const struct df_cudnn_problem *problem)
{
    int64_t workspace = 0, one = 0;
    DF_TRY(df_cudnn_create(&out->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
    DF_TRY(df_cudnn_set_descriptor(out->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
    DF_TRY(df_cudnn_set_descriptor(out->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties));
    DF_TRY(df_cudnn_status(cudnnBackendFinalize(out->plan), "making a plan"));
    DF_TRY(df_cudnn_get(out->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                        &workspace, "reading a plan's workspace"));
    if (workspace > problem->workspace)
        DF_FAIL(DFAL_E_UNAVAILABLE, "cuDNN: a plan wants %lld bytes of workspace, the limit is %lld",
                (long long)workspace, (long long)problem->workspace);
    out->workspace = (size_t)workspace;
    return DFAL_OK;
}

/* Errors   E_UNAVAILABLE the configuration does not suit or does not work */
static dfal_status try_config(struct df_cudnn_plan *out, descriptor properties, descriptor config,
                              const struct df_cudnn_problem *problem)
{
    descriptor engine = NULL;
    int64_t count = 0;
    const bool half = df_cudnn_is_half(problem->desc, problem->kind);
    bool strict = false, suits = true;
    dfal_status status;
    DF_TRY(df_cudnn_create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                           &engine, "reading an engine"));
    DF_TRY_TO(done, status,
              df_cudnn_get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &out->engine,
                           "reading an engine's number"));
    (void)snprintf(out->text, sizeof out->text, "engine %lld", (long long)out->engine);
    DF_TRY_TO(done, status, df_cudnn_is_strict(engine, half, &strict));
    DF_TRY_TO(done, status, read_knobs(config, half, out->text, sizeof out->text, &suits));
    if (strict && suits)
        status = finalize_plan(out, properties, config, problem);
    else
        status = df_fail(DFAL_E_UNAVAILABLE, "cuDNN: %s is not exact enough", out->text);
    if (status == DFAL_OK) {
        const size_t used = strlen(out->text);
        (void)snprintf(out->text + used, sizeof out->text - used, ", %zu bytes", out->workspace);
    }
done:
    df_cudnn_drop(engine);
    if (status != DFAL_OK)
        df_cudnn_plan_clear(out);
    return status;
}

/* The first configuration of one heuristic that works. Errors   E_UNAVAILABLE none does */
static dfal_status try_mode(struct df_cudnn_plan *out, descriptor properties, descriptor graph,
                            cudnnBackendHeurMode_t mode, const struct df_cudnn_problem *problem)
{
    descriptor heuristic = NULL, configs[MAX_CONFIGS] = {NULL};
    int64_t count = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_cudnn_create(&heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
    DF_TRY_TO(done, status, df_cudnn_set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
    DF_TRY_TO(done, status,
              df_cudnn_set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    DF_TRY_TO(done, status, df_cudnn_set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties));
    DF_TRY_TO(done, status, df_cudnn_status(cudnnBackendFinalize(heuristic), "asking for engines"));
    for (int i = 0; i < MAX_CONFIGS; i++)
        DF_TRY_TO(done, status, df_cudnn_create(&configs[i], CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    DF_TRY_TO(done, status,
              df_cudnn_get(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           MAX_CONFIGS, &count, configs, "reading the engines"));
    status = DFAL_E_UNAVAILABLE;
    for (int64_t i = 0; i < count && i < MAX_CONFIGS && status == DFAL_E_UNAVAILABLE; i++)
        status = try_config(out, properties, configs[i], problem);
done:
    for (int i = 0; i < MAX_CONFIGS; i++)
        df_cudnn_drop(configs[i]);
    df_cudnn_drop(heuristic);
    return status;
}

/* ---- The preference -------------------------------------------------------------------------- */

/* A tile of the result that one block of a plain float32 engine computes, and microseconds that one took on a
 * multiprocessor of an H200 with sums of 4,608 terms: alone on it, and a tile's share where others ran beside
 * it. The sides follow from these times (docs/PERFORMANCE.md); the knob's value is cuDNN's name for it. */
static const struct tile {
    int64_t knob, positions, channels, alone, shared;
} tiles[] = {{4, 256, 64, 500, 460}, {2, 64, 64, 207, 165}, {12, 32, 64, 125, 100}};

/* An H200's. A constant, so that the choice follows from the shape alone. */
enum { MULTIPROCESSORS = 132, TILES = sizeof tiles / sizeof *tiles };

static int64_t parts(int64_t size, int64_t part)
{
    return (size + part - 1) / part;
}

/* What the busiest multiprocessor takes. */
static int64_t tile_time(const struct tile *tile, int64_t positions, int64_t channels)
{
    const int64_t count = parts(positions, tile->positions) * parts(channels, tile->channels);
    return count <= MULTIPROCESSORS ? tile->alone : parts(count, MULTIPROCESSORS) * tile->shared;
}

/* For a result of so many positions in all rows; of equal ones the largest. */
static const struct tile *best_tile(int64_t positions, int64_t channels)
{
    const struct tile *best = &tiles[0];
    for (int i = 1; i < TILES; i++)
        if (tile_time(&tiles[i], positions, channels) < tile_time(best, positions, channels))
            best = &tiles[i];
    return best;
}

/* The engines' numbers are those of cuDNN 9.19; another version may know other engines under them, which are
 * taken where they know the knobs and are as strict by their own notes, or pass over to the heuristics.
 * Engines that lay x out first (36 with bias, 2 without) are up to 4 % faster on planes of 3x3, but want 162
 * MiB for 1,024 rows of 512 channels, four times x and y together: rows that are scored at a time are worth
 * more. */
enum { FORWARD = 44, PLAIN_FORWARD = 70, GRADIENT = 74 };

/* Engine -1: none is preferred. Groups and weight gradients were not measured, nor were gradients of another
 * kind than those that are turned: there the heuristics are asked. Of the gradient's own engines only the
 * smallest tile is a match for the forward's. */
static struct df_cudnn_choice preference_of(const struct df_cudnn_problem *p)
{
    const struct df_layer_desc *desc = p->desc;
    const bool forward = p->kind == DF_LAYER_FORWARD;
    const struct df_shape result = forward ? desc->out : desc->in;
    const struct tile *tile = best_tile(p->rows * result.h * result.w, result.c);
    struct df_cudnn_choice preference = {
        -1, 2, {{CUDNN_KNOB_TYPE_TILE_SIZE, tile->knob}, {CUDNN_KNOB_TYPE_IDX_MODE, 0}}};
    if (desc->group > 1 || df_cudnn_is_half(desc, p->kind))
        return preference;
    if (forward)
        preference.engine = p->bias ? FORWARD : PLAIN_FORWARD;
    else if (p->kind == DF_LAYER_BACKWARD && tile == &tiles[TILES - 1] && df_cudnn_can_turn(desc))
        preference.engine = GRADIENT;
    return preference;
}

/* An engine that is configured without knobs does not tell how they stand. Chosen are those that may make
 * bits depend on the place of a row, and, with half, cut sums. */
static dfal_status calm_knobs(struct df_cudnn_choice *choice, descriptor engine, bool half)
{
    struct df_cudnn_knob knobs[CUDNN_KNOB_TYPE_COUNTS];
    int count;
    DF_TRY(df_cudnn_knobs(knobs, &count, engine));
    for (int i = 0; i < count; i++) {
        const cudnnBackendKnobType_t type = knobs[i].type;
        if (type != CUDNN_KNOB_TYPE_STREAM_K && !(half && type == CUDNN_KNOB_TYPE_SPLIT_K_SLC))
            continue;
        choice->knobs[choice->knob_count].type = type;
        choice->knobs[choice->knob_count++].value = knobs[i].min;
    }
    return DFAL_OK;
}

static dfal_status make_engine(descriptor engine, descriptor properties, descriptor graph, int64_t number)
{
    DF_TRY(df_cudnn_set_descriptor(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph));
    DF_TRY(df_cudnn_set(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &number));
    DF_TRY(df_cudnn_set_descriptor(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, properties));
    return df_cudnn_status(cudnnBackendFinalize(engine), "making an engine");
}

static dfal_status configure(descriptor config, descriptor engine, descriptor *knobs,
                             const struct df_cudnn_choice *choice)
{
    DF_TRY(df_cudnn_set_descriptor(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine));
    for (int i = 0; i < choice->knob_count; i++) {
        DF_TRY(df_cudnn_create(&knobs[i], CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
        DF_TRY(df_cudnn_set(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                            &choice->knobs[i].type));
        DF_TRY(df_cudnn_set(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                            &choice->knobs[i].value));
        DF_TRY(df_cudnn_status(cudnnBackendFinalize(knobs[i]), "choosing a knob"));
    }
    if (choice->knob_count > 0)
        DF_TRY(df_cudnn_set(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                            choice->knob_count, knobs));
    return df_cudnn_status(cudnnBackendFinalize(config), "configuring an engine");
}

/* Errors   E_UNAVAILABLE this cuDNN has no such engine for the graph, or it does not suit */
static dfal_status try_choice(struct df_cudnn_plan *out, descriptor properties, descriptor graph,
                              const struct df_cudnn_choice *choice, const struct df_cudnn_problem *problem)
{
    descriptor config = NULL, engine = NULL, knobs[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    struct df_cudnn_choice own = *choice;
    dfal_status status;
    DF_TRY_TO(done, status, df_cudnn_create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    DF_TRY_TO(done, status, df_cudnn_create(&config, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    status = make_engine(engine, properties, graph, choice->engine);
    if (status == DFAL_OK && own.knob_count == 0)
        status = calm_knobs(&own, engine, df_cudnn_is_half(problem->desc, problem->kind));
    if (status == DFAL_OK)
        status = configure(config, engine, knobs, &own);
    if (status == DFAL_OK)
        status = try_config(out, properties, config, problem);
    /* A number or a value of a knob that this version does not know is called a bad parameter. */
    if (status == DFAL_E_INTERNAL)
        status = DFAL_E_UNAVAILABLE;
done:
    for (int i = 0; i < own.knob_count; i++)
        df_cudnn_drop(knobs[i]);
    df_cudnn_drop(config);
    df_cudnn_drop(engine);
    return status;
}

/* ---- Every engine ------------------------------------------------------------------------------ */

/* The first one that works, in the order of their numbers. Errors   E_UNAVAILABLE none does */
static dfal_status try_numbers(struct df_cudnn_plan *out, descriptor properties, descriptor graph,
                               const struct df_cudnn_problem *problem)
{
    struct df_cudnn_choice choice = {0};
    int64_t numbers = 0, one = 0;
    dfal_status status = DFAL_E_UNAVAILABLE;
    if (df_cudnn_get(graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, 1, &one,
                     &numbers, "counting engines") != DFAL_OK)
        return status;
    for (; choice.engine < numbers && status == DFAL_E_UNAVAILABLE; choice.engine++)
        status = try_choice(out, properties, graph, &choice, problem);
    return status;
}

/* ---- A plan ---------------------------------------------------------------------------------- */

bool df_cudnn_can_turn(const struct df_layer_desc *desc)
{
    const struct df_window *w = &desc->window;
    bool can = desc->group <= 1 && w->kernel[0] * w->kernel[1] > 1; /* 1x1 was not measured */
    for (int a = 0; a < 2; a++)
        can = can && w->stride[a] == 1 && w->dilation[a] == 1 && w->pad[a] < w->kernel[a] &&
              w->pad[a + 2] < w->kernel[a];
    return can;
}

struct df_layer_desc df_cudnn_turned(const struct df_layer_desc *desc)
{
    struct df_layer_desc turned = *desc;
    turned.in = desc->out;
    turned.out = desc->in;
    for (int side = 0; side < 4; side++)
        turned.window.pad[side] = desc->window.kernel[side % 2] - 1 - desc->window.pad[side];
    return turned;
}

static struct df_cudnn_problem problem_of(const struct df_layer_desc *desc, enum df_layer_kind kind,
                                          int64_t rows, bool bias)
{
    return (struct df_cudnn_problem){desc, kind, bias, rows, df_cudnn_workspace_limit(desc, kind, rows)};
}

/* The engine that is chosen (NULL, or number -1: none is), else one from these places (enum df_cudnn_place).
 * Errors   E_UNAVAILABLE there is none; without a sentence */
static dfal_status create_plan(struct df_cudnn_plan *out, descriptor properties,
                               const struct df_cudnn_problem *problem, const struct df_cudnn_choice *choice,
                               int places)
{
    struct df_cudnn_graph graph = {0};
    dfal_status status;
    memset(out, 0, sizeof *out);
    DF_TRY_TO(done, status, df_cudnn_graph_describe(&graph, problem));
    status = DFAL_E_UNAVAILABLE;
    if (choice != NULL && choice->engine >= 0)
        status = try_choice(out, properties, graph.graph, choice, problem);
    if (status == DFAL_E_UNAVAILABLE && places & DF_CUDNN_LISTS)
        status = try_mode(out, properties, graph.graph, CUDNN_HEUR_MODE_A, problem);
    if (status == DFAL_E_UNAVAILABLE && places & DF_CUDNN_LISTS)
        status = try_mode(out, properties, graph.graph, CUDNN_HEUR_MODE_FALLBACK, problem);
    if (status == DFAL_E_UNAVAILABLE && places & DF_CUDNN_NUMBERS)
        status = try_numbers(out, properties, graph.graph, problem);
done:
    df_cudnn_graph_clear(&graph);
    return status;
}

dfal_status df_cudnn_plan_choose(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_cudnn_problem *problem, const struct df_cudnn_choice *choice)
{
    return create_plan(out, properties, problem, choice, 0);
}

dfal_status df_cudnn_plan_search(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_cudnn_problem *problem, int places)
{
    return create_plan(out, properties, problem, NULL, places);
}

/* A gradient that is worth turning. Errors   E_UNAVAILABLE it is not, or there is no such forward */
static dfal_status create_turned(struct df_cudnn_plan *out, descriptor properties,
                                 const struct df_cudnn_problem *p)
{
    if (p->kind != DF_LAYER_BACKWARD || df_cudnn_is_half(p->desc, p->kind) || !df_cudnn_can_turn(p->desc) ||
        preference_of(p).engine >= 0)
        return DFAL_E_UNAVAILABLE;
    const struct df_layer_desc desc = df_cudnn_turned(p->desc);
    const struct df_cudnn_problem turned = problem_of(&desc, DF_LAYER_FORWARD, p->rows, false);
    const struct df_cudnn_choice preference = preference_of(&turned);
    DF_TRY(create_plan(out, properties, &turned, &preference, 0));
    const size_t used = strlen(out->text);
    (void)snprintf(out->text + used, sizeof out->text - used, ", as a forward");
    out->turned = true;
    return DFAL_OK;
}

dfal_status df_cudnn_plan_create(struct df_cudnn_plan *out, cudnnBackendDescriptor_t properties,
                                 const struct df_layer_desc *desc, enum df_layer_kind kind, int64_t rows)
{
    static const char *const names[] = {"forward", "input gradient", "weight gradient"};
    const struct df_cudnn_problem problem = problem_of(desc, kind, rows, kind == DF_LAYER_FORWARD);
    const struct df_cudnn_choice preference = preference_of(&problem);
    dfal_status status = create_turned(out, properties, &problem);
    if (status == DFAL_E_UNAVAILABLE)
        status = create_plan(out, properties, &problem, &preference, DF_CUDNN_LISTS | DF_CUDNN_NUMBERS);
    if (status == DFAL_E_UNAVAILABLE)
        DF_FAIL(status,
                "cuDNN %zu has no %s in %s of a %dx%d convolution from %lldx%lldx%lld to %lldx%lldx%lld",
                cudnnGetVersion(), names[kind], df_cudnn_is_half(desc, kind) ? "binary16" : "plain float32",
                (int)desc->window.kernel[0], (int)desc->window.kernel[1], (long long)desc->in.c,
                (long long)desc->in.h, (long long)desc->in.w, (long long)desc->out.c, (long long)desc->out.h,
                (long long)desc->out.w);
    return status;
}

static dfal_status name_tensors(descriptor pack, const void *const *tensors, int64_t count, void *workspace)
{
    DF_TRY(df_cudnn_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, df_cudnn_uids));
    DF_TRY(df_cudnn_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, tensors));
    DF_TRY(df_cudnn_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    return df_cudnn_status(cudnnBackendFinalize(pack), "naming tensors");
}

dfal_status df_cudnn_plan_run(const struct df_cudnn_plan *plan, cudnnHandle_t handle,
                              const void *const *tensors, int64_t count, void *workspace)
{
    descriptor pack = NULL;
    dfal_status status;
    DF_TRY(df_cudnn_create(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
    DF_TRY_TO(done, status, name_tensors(pack, tensors, count, workspace));
    status = df_cudnn_status(cudnnBackendExecute(handle, plan->plan, pack), "running a convolution");
done:
    df_cudnn_drop(pack);
    return status;
}

void df_cudnn_plan_clear(struct df_cudnn_plan *plan)
{
    df_cudnn_drop(plan->plan);
    plan->plan = NULL;
}
