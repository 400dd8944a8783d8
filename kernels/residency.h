/* SPDX-License-Identifier: Apache-2.0 */
/* Slots kept by the device: who is finished, who goes on, who comes next. A driver that keeps its samples on
 * the device (host/score/deepfool_loop.c) learns three totals an iteration and nothing else.
 *
 * Shapes  S slots, of which 0..occupied-1 hold samples; G = df_slot_groups(p) groups of DF_GROUP_SLOTS slots;
 *         counts, offsets [G, DF_COUNTS] i32; lists of slots [S] i32; record [S, DF_RECORD_NUMBERS] f64;
 *         state, number: deepfool.h.
 * Work    a slot is free when it is not occupied or its sample is finished; else it is kept. count counts in
 *         every group, offsets is the prefix sum over groups, settle walks each group once more and knows
 *         where to write. A team takes as many slots at a time as it has lanes.
 * Order   lists ascend. The free list therefore begins with the finished slots, in their order, and so do the
 *         records. pair: the lowest holes get the last kept slots. Nothing depends on timing. */
#ifndef DF_KERNELS_RESIDENCY_H
#define DF_KERNELS_RESIDENCY_H

#include "deepfool.h"

enum { DF_GROUP_SLOTS = 256 };
/* Columns of counts and offsets, and the first totals: slots that want a step; free slots; slots that want a
 * projection. */
enum { DF_COUNT_ACTIVE, DF_COUNT_FREE, DF_COUNT_CROSSED, DF_COUNTS };
/* totals: the sums over all groups, and behind them the sums of DF_LANES runs of groups. */
enum { DF_TOTALS = DF_COUNTS + DF_LANES * DF_COUNTS };
/* Columns of a record, one finished sample: deepfool.h's columns of the same names. */
enum {
    DF_RECORD_ROW,
    DF_RECORD_MARGIN,
    DF_RECORD_FIRST,
    DF_RECORD_GAP,
    DF_RECORD_STATUS,
    DF_RECORD_LABEL,
    DF_RECORD_ADVERSARIAL,
    DF_RECORD_ITERATIONS,
    DF_RECORD_NUMBERS
};

DF_FN int64_t df_slot_groups(const struct df_deepfool_params *p)
{
    return (p->slots + DF_GROUP_SLOTS - 1) / DF_GROUP_SLOTS;
}

DF_FN int32_t df_slot_group_end(const struct df_deepfool_params *p, int32_t first)
{
    return first + DF_GROUP_SLOTS < p->slots ? first + DF_GROUP_SLOTS : p->slots;
}

/* The slot's status as far as lists go: EMPTY where it is not occupied. */
DF_FN int32_t df_slot_status(const struct df_deepfool_params *p, const void *state, int32_t slot)
{
    return slot < p->occupied ? ((const int32_t *)state)[(int64_t)slot * DF_SLOT_INTS + DF_SLOT_STATUS]
                              : (int32_t)DF_SLOT_EMPTY;
}

DF_FN int32_t df_status_is_free(int32_t status)
{
    return status < DF_SLOT_REFINING || status == DF_SLOT_EMPTY;
}

/* deepfool_count: items are groups.   out counts   in state */
DF_FN void df_deepfool_count_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int32_t first = (int32_t)i * DF_GROUP_SLOTS, end = df_slot_group_end(p, first);
    int32_t active = 0, empty = 0, crossed = 0, count;
    for (int32_t begin = first; begin < end; begin += DF_TEAM) {
        const int32_t slot = begin + DF_LANE, status = df_slot_status(p, io->in[0], slot);
        df_team_rank(status == DF_SLOT_ACTIVE, &count);
        active += count;
        df_team_rank(status == DF_SLOT_CROSSED, &count);
        crossed += count;
        df_team_rank(slot < end && df_status_is_free(status), &count);
        empty += count;
    }
    int32_t *counts = (int32_t *)io->out[0] + i * DF_COUNTS;
    if (DF_ONE) {
        counts[DF_COUNT_ACTIVE] = active;
        counts[DF_COUNT_FREE] = empty;
        counts[DF_COUNT_CROSSED] = crossed;
    }
}

/* deepfool_offsets: one item, a warp's work; offsets[g] are the sums of counts[0..g-1].
 *   out offsets, totals [DF_TOTALS] i32   in counts */
DF_FN void df_deepfool_offsets_at(const struct df_io *io, int64_t i)
{
    const int64_t groups = df_slot_groups(&io->p.deepfool), run = (groups + DF_LANES - 1) / DF_LANES;
    const int32_t *counts = (const int32_t *)io->in[0];
    int32_t *offsets = (int32_t *)io->out[0], *totals = (int32_t *)io->out[1], *runs = totals + DF_COUNTS;
    (void)i;
    DF_EACH(l, DF_LANES) {
        const int64_t first = l * run, end = first + run < groups ? first + run : groups;
        int32_t sum[DF_COUNTS] = {0};
        for (int64_t g = first; g < end; g++)
            for (int32_t c = 0; c < DF_COUNTS; c++)
                sum[c] += counts[g * DF_COUNTS + c];
        for (int32_t c = 0; c < DF_COUNTS; c++)
            runs[l * DF_COUNTS + c] = sum[c];
    }
    DF_SYNC();
    DF_EACH(l, DF_LANES) {
        const int64_t first = l * run, end = first + run < groups ? first + run : groups;
        int32_t sum[DF_COUNTS] = {0};
        for (int32_t before = 0; before < l; before++)
            for (int32_t c = 0; c < DF_COUNTS; c++)
                sum[c] += runs[before * DF_COUNTS + c];
        for (int64_t g = first; g < end; g++)
            for (int32_t c = 0; c < DF_COUNTS; c++) {
                offsets[g * DF_COUNTS + c] = sum[c];
                sum[c] += counts[g * DF_COUNTS + c];
            }
        for (int32_t c = 0; l == DF_LANES - 1 && c < DF_COUNTS; c++)
            totals[c] = sum[c];
    }
}

DF_FN void df_record_write(double *record, const int32_t *state, const double *number)
{
    record[DF_RECORD_ROW] = number[DF_SLOT_ROW];
    record[DF_RECORD_MARGIN] = number[DF_SLOT_MARGIN];
    record[DF_RECORD_FIRST] = number[DF_SLOT_FIRST];
    record[DF_RECORD_GAP] = number[DF_SLOT_GAP];
    record[DF_RECORD_STATUS] = state[DF_SLOT_STATUS];
    record[DF_RECORD_LABEL] = state[DF_SLOT_LABEL];
    record[DF_RECORD_ADVERSARIAL] = state[DF_SLOT_ADVERSARIAL];
    record[DF_RECORD_ITERATIONS] = state[DF_SLOT_ITERATIONS];
}

/* deepfool_settle: items are groups; lists the slots and writes the record of every finished sample.
 *   out active+ kept+ free+ [S] i32, record+, crossed+ [S] (sdf, or absent)   in state, number, offsets
 * Entries behind a list's end, and behind the last record, stay as they were. */
DF_FN void df_deepfool_settle_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int32_t *offsets = (const int32_t *)io->in[2] + i * DF_COUNTS;
    const int32_t first = (int32_t)i * DF_GROUP_SLOTS, end = df_slot_group_end(p, first);
    int32_t active = offsets[DF_COUNT_ACTIVE], empty = offsets[DF_COUNT_FREE], kept = first - empty, count;
    int32_t crossed = offsets[DF_COUNT_CROSSED];
    for (int32_t begin = first; begin < end; begin += DF_TEAM) {
        const int32_t slot = begin + DF_LANE, status = df_slot_status(p, io->in[0], slot);
        const int32_t is_free = slot < end && df_status_is_free(status), is_kept = slot < end && !is_free;
        const int32_t active_at = active + df_team_rank(status == DF_SLOT_ACTIVE, &count);
        active += count;
        const int32_t crossed_at = crossed + df_team_rank(status == DF_SLOT_CROSSED, &count);
        crossed += count;
        const int32_t kept_at = kept + df_team_rank(is_kept, &count);
        kept += count;
        const int32_t free_at = empty + df_team_rank(is_free, &count);
        empty += count;
        if (status == DF_SLOT_ACTIVE)
            ((int32_t *)io->out[0])[active_at] = slot;
        if (status == DF_SLOT_CROSSED && io->out[4])
            ((int32_t *)io->out[4])[crossed_at] = slot;
        if (is_kept)
            ((int32_t *)io->out[1])[kept_at] = slot;
        if (is_free)
            ((int32_t *)io->out[2])[free_at] = slot;
        if (is_free && status != DF_SLOT_EMPTY)
            df_record_write((double *)io->out[3] + (int64_t)free_at * DF_RECORD_NUMBERS,
                            (const int32_t *)io->in[0] + (int64_t)slot * DF_SLOT_INTS,
                            (const double *)io->in[1] + (int64_t)slot * DF_SLOT_NUMBERS);
    }
}

/* deepfool_refill: items are new samples; row i of raw, of a whole pool row index[i], moves into slot
 * slots[i], which becomes FRESH.
 *   out x0+ r+ state+ number+   in raw [rows, D], index [rows] f64 (rows in the pool), slots [rows] i32,
 *   table [channels, 256]: raw is u8, x = table[channel, raw]; absent: raw is real, x = raw
 * cols = H*W, so that channels = D / cols. */
DF_FN void df_deepfool_refill_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t slot = ((const int32_t *)io->in[2])[i], n = p->size;
    const double index = ((const double *)io->in[1])[i];
    const int64_t row = p->whole ? (int64_t)index : i;
    const df_real *table = (const df_real *)io->in[3];
    df_real *x0 = (df_real *)io->out[0] + slot * n, *r = (df_real *)io->out[1] + slot * n;
    double *number = (double *)io->out[3] + slot * DF_SLOT_NUMBERS;
    if (table) {
        const uint8_t *raw = (const uint8_t *)io->in[0] + row * n;
        for (int64_t begin = 0; begin < n; begin += io->cols, table += 256)
            DF_EACH(j, io->cols)
                x0[begin + j] = table[raw[begin + j]];
    } else {
        const df_real *raw = (const df_real *)io->in[0] + row * n;
        DF_EACH(j, n)
            x0[j] = raw[j];
    }
    DF_EACH(j, n)
        r[j] = 0;
    if (DF_ONE) {
        df_slot_begin((int32_t *)io->out[2] + slot * DF_SLOT_INTS, number);
        number[DF_SLOT_ROW] = index;
    }
}

/* deepfool_pair: columns are free slots in ascending order that no new sample takes. Those below `occupied`,
 * which is what the slots will be closed up to, are paired with the last kept slots, the others with
 * themselves.
 *   out pairs [cols, 2] (from, to)   in free, kept [p.kept] */
DF_FN void df_deepfool_pair_at(const struct df_io *io, int64_t row, int64_t col)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int32_t to = ((const int32_t *)io->in[0])[col];
    int32_t from = to;
    (void)row;
    if (to < p->occupied)
        from = ((const int32_t *)io->in[1])[p->kept - 1 - col];
    ((int32_t *)io->out[0])[2 * col] = from;
    ((int32_t *)io->out[0])[2 * col + 1] = to;
}

#endif
