/* SPDX-License-Identifier: Apache-2.0 */
#include "cudnn_engines.h"

#include "base/memory.h"

typedef cudnnBackendDescriptor_t descriptor;

enum { MANY_VALUES = 64 }; /* of a knob: more are not all tried */

/* *runs: there is an engine of this number for the graph. */
static dfal_status read_engine(struct engine *out, bool *runs, descriptor properties, descriptor graph,
                               int64_t number)
{
    descriptor engine = NULL;
    dfal_status status;
    *out = (struct engine){.number = number};
    DF_TRY(df_cudnn_create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    DF_TRY_TO(done, status, df_cudnn_set_descriptor(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph));
    DF_TRY_TO(done, status,
              df_cudnn_set(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &number));
    DF_TRY_TO(done, status, df_cudnn_set_descriptor(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, properties));
    *runs = cudnnBackendFinalize(engine) == CUDNN_STATUS_SUCCESS;
    if (*runs) {
        DF_TRY_TO(done, status, df_cudnn_is_strict(engine, false, &out->strict));
        status = df_cudnn_knobs(out->knobs, &out->knob_count, engine);
    }
done:
    df_cudnn_drop(engine);
    return status;
}

dfal_status engines_read(struct engine **out, int64_t *count, descriptor properties,
                         const struct df_cudnn_problem *problem)
{
    struct df_cudnn_graph graph = {0};
    int64_t numbers = 0, one;
    bool runs = false;
    dfal_status status;
    *out = NULL;
    *count = 0;
    DF_TRY_TO(done, status, df_cudnn_graph_describe(&graph, problem));
    DF_TRY_TO(done, status,
              df_cudnn_get(graph.graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, 1,
                           &one, &numbers, "counting engines"));
    DF_TRY_TO(done, status, df_alloc(out, numbers, sizeof **out));
    for (int64_t i = 0; i < numbers; i++) {
        DF_TRY_TO(done, status, read_engine(&(*out)[*count], &runs, properties, graph.graph, i));
        *count += runs;
    }
done:
    df_cudnn_graph_clear(&graph);
    return status;
}

struct df_cudnn_choice engine_first(const struct engine *engine)
{
    struct df_cudnn_choice choice = {.engine = engine->number, .knob_count = engine->knob_count};
    for (int i = 0; i < engine->knob_count; i++) {
        choice.knobs[i].type = engine->knobs[i].type;
        choice.knobs[i].value = engine->knobs[i].min;
    }
    return choice;
}

static int64_t next_value(const struct df_cudnn_knob *range, int64_t value)
{
    if ((range->max - range->min) / range->stride < MANY_VALUES)
        return value + range->stride;
    return value > 0 ? 2 * value : 1;
}

bool engine_next(const struct engine *engine, struct df_cudnn_choice *choice)
{
    for (int i = 0; i < engine->knob_count; i++) {
        choice->knobs[i].value = next_value(&engine->knobs[i], choice->knobs[i].value);
        if (choice->knobs[i].value <= engine->knobs[i].max)
            return true;
        choice->knobs[i].value = engine->knobs[i].min;
    }
    return false;
}
