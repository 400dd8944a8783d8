/* SPDX-License-Identifier: Apache-2.0 */
#include "net/training.h"

#include <math.h>

#include "base/memory.h"

dfal_status df_training_state_create(struct df_training_state *state, int32_t restarts, int64_t size)
{
    *state = (struct df_training_state){.size = size, .best = -1};
    DF_TRY(df_alloc(&state->restarts, restarts, sizeof *state->restarts));
    state->count = restarts;
    for (int32_t r = 0; r < restarts; r++)
        state->restarts[r] = (struct df_restart_state){
            .lowest = (double)INFINITY, .loss = (double)NAN, .validation_loss = (double)NAN};
    return DFAL_OK;
}

dfal_status df_restart_state_hold(struct df_restart_state *restart, int64_t size)
{
    if (restart->parameters)
        return DFAL_OK;
    dfal_status status = df_alloc(&restart->m, size, sizeof(float));
    DF_KEEP_FIRST(status, df_alloc(&restart->v, size, sizeof(float)));
    DF_KEEP_FIRST(status, df_alloc(&restart->parameters, size, sizeof(float)));
    if (status != DFAL_OK)
        df_restart_state_drop(restart);
    return status;
}

void df_restart_state_drop(struct df_restart_state *restart)
{
    df_free(restart->parameters);
    df_free(restart->m);
    df_free(restart->v);
    restart->parameters = restart->m = restart->v = NULL;
}

int32_t df_training_restart(const struct df_training_state *state)
{
    int32_t r = 0;
    while (r < state->count - 1 && state->restarts[r].ended)
        r++;
    return r;
}

void df_training_state_clear(struct df_training_state *state)
{
    for (int32_t r = 0; r < state->count; r++)
        df_restart_state_drop(&state->restarts[r]);
    df_free(state->restarts);
    df_free(state->best_parameters);
    *state = (struct df_training_state){0};
}
