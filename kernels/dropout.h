/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: df_dropout_at(io, i) computes row i of [rows, cols].
 *
 * Class   E: the keep test compares integers.
 * Work    a block a row on a GPU: a batch has few rows, and a warp alone would draw a wide row's words one
 *         after the other. */
#ifndef DF_KERNELS_DROPOUT_H
#define DF_KERNELS_DROPOUT_H

#include "batch.h"
#include "call.h"
#include "philox.h"
#include "team.h"

/* DF_STREAM_DROPOUT of base/rng.h, which kernels cannot include: backend/ref_body.h asserts that they
 * agree. */
enum { DF_PHILOX_DROPOUT = 2 };

/* dropout   y [rows, cols] = kept ? x / (1 - rate) : 0; applied to dy it is its own backward
 * Element e = (first_row + row) * cols + col (shared: e = col) draws word e % 4 of Philox at index e / 4,
 * salt step (its low 32 bits), stream DROPOUT | node << 8; it is kept when word >= floor(rate * 2^32).
 * With p.dropout.plane P above 1 a whole plane of P values, a filter's map, is kept or not: it draws as one
 * element of a row of cols / P.
 * With a clock (batch.h) its step is added to p's. rows I32 [rows] or NULL: row i is rows[i], taken for
 * unsigned, in place of first_row + i. A rate of 1 or more keeps nothing. */
DF_FN void df_dropout_planes(const struct df_io *io, int64_t i, uint64_t first, uint32_t stream,
                             uint32_t salt, uint32_t least, df_real scale)
{
    const int64_t plane = io->p.dropout.plane;
    df_real *y = (df_real *)io->out[0] + i * io->cols;
    const df_real *x = (const df_real *)io->in[0] + i * io->cols;
    DF_EACH(c, io->cols / plane) {
        const uint64_t element = first + (uint64_t)c;
        uint32_t words[4];
        df_philox(words, io->p.dropout.seed, stream, salt, element / 4);
        const int kept = io->p.dropout.rate < 1 && words[element % 4] >= least;
        for (int64_t j = c * plane; j < (c + 1) * plane; j++)
            y[j] = kept ? x[j] * scale : 0;
    }
}

DF_FN void df_dropout_at(const struct df_io *io, int64_t i)
{
    const double rate = io->p.dropout.rate;
    const uint32_t least = rate < 1 ? (uint32_t)(rate * 4294967296.0) : 0;
    const df_real scale = rate < 1 ? (df_real)(1 / (1 - rate)) : 0;
    const uint32_t stream = (uint32_t)DF_PHILOX_DROPOUT | (uint32_t)io->p.dropout.node << 8;
    const int32_t *clock = (const int32_t *)io->in[1];
    const uint32_t salt =
        (uint32_t)(uint64_t)(io->p.dropout.step + (clock != NULL ? clock[DF_CLOCK_STEP] : 0));
    const uint32_t *rows = (const uint32_t *)io->in[2];
    const int64_t row = rows != NULL ? (int64_t)rows[i] : io->p.dropout.first_row + i;
    const int64_t drawn = io->p.dropout.plane > 1 ? io->cols / io->p.dropout.plane : io->cols;
    const int64_t first = io->p.dropout.shared ? 0 : row * drawn;
    if (drawn < io->cols) {
        df_dropout_planes(io, i, (uint64_t)first, stream, salt, least, scale);
        return;
    }
    df_real *y = (df_real *)io->out[0] + i * io->cols;
    const df_real *x = (const df_real *)io->in[0] + i * io->cols;
    /* The row's words in blocks of DF_PHILOX_WORDS; of the first block the words before element `first` are
     * not used. */
    const int64_t lead = first % 4, blocks = (lead + io->cols + DF_PHILOX_WORDS - 1) / DF_PHILOX_WORDS;
    DF_EACH(block, blocks) {
        uint32_t words[DF_PHILOX_WORDS];
        df_real kept[DF_PHILOX_WORDS]; /* y may be x: a copy lets the loop become vectors all the same */
        const int64_t from = block == 0 ? lead : 0, done = block * DF_PHILOX_WORDS + from - lead,
                      left = io->cols - done;
        const int64_t count = left < DF_PHILOX_WORDS - from ? left : DF_PHILOX_WORDS - from;
        df_philox_many(words, io->p.dropout.seed, stream, salt, (uint64_t)(first + done) / 4,
                       (from + count + 3) / 4);
        for (int64_t j = 0; j < count; j++) {
            const df_real scaled = x[done + j] * scale;
            /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): as many were drawn */
            kept[j] = rate < 1 && words[from + j] >= least ? scaled : 0;
        }
        for (int64_t j = 0; j < count; j++)
            y[done + j] = kept[j];
    }
}

#endif
