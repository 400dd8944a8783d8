/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that frame a plane with a constant: df_<op>_at(io, i) computes plane i; io->rows counts planes.
 *
 * Shapes   x [planes, H, W], y [planes, pad[0] + H + pad[2], pad[1] + W + pad[3]]; p.pad. A pad below 0 cuts
 *          off; the result has at least one row and one column.
 * Order    none: every element stands alone (class E). */
#ifndef DF_KERNELS_PAD_H
#define DF_KERNELS_PAD_H

#include "call.h"
#include "team.h"

DF_FN int64_t df_padded_h(const union df_params *p)
{
    return (int64_t)p->pad.in_h + p->pad.pad[0] + p->pad.pad[2];
}

DF_FN int64_t df_padded_w(const union df_params *p)
{
    return (int64_t)p->pad.in_w + p->pad.pad[1] + p->pad.pad[3];
}

/* to [to_h, to_w] = from [from_h, from_w] moved by (down, right), `around` where from has nothing. */
DF_FN void df_plane_moved(df_real *to, int64_t to_h, int64_t to_w, const df_real *from, int64_t from_h,
                          int64_t from_w, int64_t down, int64_t right, df_real around)
{
    if (DF_TEAM > 1) {
        DF_EACH_CELL(h, w, to_h, to_w) {
            const int64_t source = h - down, column = w - right;
            const int inside = source >= 0 && source < from_h && column >= 0 && column < from_w;
            to[h * to_w + w] = inside ? from[source * from_w + column] : around;
        }
        return;
    }
    const int64_t begin = right > 0 ? right < to_w ? right : to_w : 0;
    const int64_t reach = right + from_w < to_w ? right + from_w : to_w, end = reach > begin ? reach : begin;
    for (int64_t h = 0; h < to_h; h++) {
        df_real *row = to + h * to_w;
        const int64_t source = h - down;
        const int inside = source >= 0 && source < from_h;
        const int64_t first = inside ? begin : to_w, last = inside ? end : to_w;
        for (int64_t w = 0; w < first; w++)
            row[w] = around;
        for (int64_t w = first; w < last; w++)
            row[w] = from[source * from_w + w - right];
        for (int64_t w = last; w < to_w; w++)
            row[w] = around;
    }
}

/* pad_fwd   y = x with p.pad.value around it */
DF_FN void df_pad_fwd_at(const struct df_io *io, int64_t i)
{
    const int64_t in_h = io->p.pad.in_h, in_w = io->p.pad.in_w;
    const int64_t out_h = df_padded_h(&io->p), out_w = df_padded_w(&io->p);
    df_plane_moved((df_real *)io->out[0] + i * out_h * out_w, out_h, out_w,
                   (const df_real *)io->in[0] + i * in_h * in_w, in_h, in_w, io->p.pad.pad[0],
                   io->p.pad.pad[1], (df_real)io->p.pad.value);
}

/* pad_bwd   dx [planes, H, W] = dy where x went into y, 0 where it was cut off */
DF_FN void df_pad_bwd_at(const struct df_io *io, int64_t i)
{
    const int64_t in_h = io->p.pad.in_h, in_w = io->p.pad.in_w;
    const int64_t out_h = df_padded_h(&io->p), out_w = df_padded_w(&io->p);
    df_plane_moved((df_real *)io->out[0] + i * in_h * in_w, in_h, in_w,
                   (const df_real *)io->in[0] + i * out_h * out_w, out_h, out_w, -(int64_t)io->p.pad.pad[0],
                   -(int64_t)io->p.pad.pad[1], 0);
}

#endif
