/* SPDX-License-Identifier: Apache-2.0 */
/* A chain in training forwards: layer by layer, with dropout, and what the way back reads. */
#ifndef DF_BACKEND_CPU_CHAIN_FORWARD_H
#define DF_BACKEND_CPU_CHAIN_FORWARD_H

#include "backend/cpu_chain.h"
#include "backend/cpu_stack_forward.h"

/* Factors stand in the order that they are drawn in, [channel][y][x]. */
static void drop_units(const struct df_chain_layer *l)
{
    for (int32_t o = 0; o < l->stack.outputs; o++)
        for (int32_t w = 0; w < l->stack.windows; w++) {
            const vec factor = vec_load(l->lane_kept + ((int64_t)o * l->stack.windows + w) * LANES);
            const int32_t y = w / l->stack.out_w, x = w % l->stack.out_w;
            float *value =
                l->stack.out + ((int64_t)y * l->stack.out_line + (int64_t)x * l->stack.outputs + o) * LANES;
            vec_store(value, vec_mul(vec_load(value), factor));
            code_drop(l->stack.lane_windows + ((int64_t)w * l->stack.window_row + o) * LANES, factor);
            if (l->stack.conv)
                code_drop(l->stack.lane_units + ((int64_t)o * l->stack.unit_row + w) * LANES, factor);
        }
}

/* What the way back reads of a layer, as rows. */
static void keep_codes(const struct df_chain_layer *l, int64_t first)
{
    const int64_t units = (int64_t)l->stack.outputs * l->stack.unit_row,
                  windows = (int64_t)l->stack.windows * l->stack.window_row;
    if (l->stack.conv)
        bytes_to_rows(l->units + first * units, units, l->stack.lane_units, units, LANES);
    bytes_to_rows(l->window_codes + first * windows, windows, l->stack.lane_windows, windows, LANES);
}

static void chain_forward(struct df_chain *chain, int64_t first, int64_t rows, bool training,
                          int64_t batch_row)
{
    const struct df_chain_layer *l = chain->layer;
    const int64_t row = l->stack.conv ? first : batch_row + first,
                  classes = chain->layer[chain->count - 1].stack.outputs;
    rows_to_lanes(l->stack.lanes, l->rows + row * l->stride, l->stride, l->stack.in, rows);
    for (int32_t i = 0; i < chain->count; i++, l++) {
        (l->stack.conv ? forward_conv : forward_dense)(&l->stack);
        if (training && l->drop.rate > 0) {
            const int64_t units = (int64_t)l->stack.outputs * l->stack.windows;
            rows_to_lanes(l->lane_kept, l->kept + first * units, units, units, rows);
            drop_units(l);
        }
        if (training)
            keep_codes(l, first);
        if (training && i + 1 < chain->count) {
            const struct df_chain_layer *next = l + 1;
            lanes_to_rows(next->rows + (next->stack.conv ? first : batch_row + first) * next->stride,
                          next->stack.lanes, next->stride, next->stack.in, rows);
        }
    }
    lanes_to_rows(chain->logits + first * classes, chain->lane_logits, classes, classes, rows);
}

#endif
