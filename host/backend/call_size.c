/* SPDX-License-Identifier: Apache-2.0 */
/* How many elements of each operand a call touches, from the sizes that stand in ops.def; and whether its
 * operands are what its op needs. */
#include <inttypes.h>
#include <stdio.h>

#include "backend/op_call.h"
#include "batch.h"
#include "choice.h"
#include "deepfool.h"
#include "join.h"
#include "pad.h"
#include "residency.h"

/* Elements up to the last one of a block of columns. */
static int64_t block_end(const struct df_call *call, int64_t stride, int64_t begin)
{
    return call->rows > 0 && call->cols > 0 ? (call->rows - 1) * stride + begin + call->cols : 0;
}

/* n / d of a call that says so: nonsense where d is not above 0, which the check of the operand then
 * names. */
static int64_t share(int64_t n, int64_t d)
{
    return d > 0 ? n / d : DF_SIZE_TO_END - 1;
}

/* ---- the letters of ops.def ---------------------------------------------------------------------------- */

#define ROWS     call->rows
#define COLS     call->cols
#define CELLS    (ROWS * COLS)
#define CHANNELS call->p.channel.channels

#define X       df_shape_size(layer->in)
#define Y       df_shape_size(layer->out)
#define WEIGHTS df_layer_weight_count(layer)
#define BIASES  df_layer_bias_count(layer)

#define JOIN          call->p.join
#define JOIN_CHANNELS JOIN.extent[0]
#define JOIN_ROWS     share(ROWS, JOIN_CHANNELS)
#define JOIN_PLANE    (JOIN.extent[1] * JOIN.extent[2])
#define JOIN_A        JOIN.a_size
#define JOIN_B        JOIN.b_size
#define JOIN_OWN      (JOIN.towards == 0 ? JOIN_A : JOIN_B)
#define JOIN_SAMPLES  share(ROWS, df_join_items(&JOIN, JOIN.towards))

#define UNPADDED     ((int64_t)call->p.pad.in_h * call->p.pad.in_w)
#define PADDED       (df_padded_h(&call->p) * df_padded_w(&call->p))
#define UNPOOLED     ((int64_t)call->p.pool.in_h * call->p.pool.in_w)
#define POOLED       ((int64_t)call->p.pool.out_h * call->p.pool.out_w)
#define POOL_SAMPLES share(ROWS, call->p.pool.channels)
#define X_BLOCK_END  block_end(call, call->p.cols.x_stride, call->p.cols.x_begin)
#define Y_BLOCK_END  block_end(call, call->p.cols.y_stride, call->p.cols.y_begin)

#define NORM_PLANE    call->p.bn.plane
#define SLOPES        call->p.prelu.slopes
#define PRELU_SAMPLES share(ROWS, call->p.prelu.channels)
#define PRELU_VALUES  (call->p.prelu.channels * call->p.prelu.plane)
#define CLASSES       call->p.loss.classes

#define S        (int64_t) call->p.deepfool.slots
#define D        call->p.deepfool.size
#define TABLE    (share(D, COLS) * 256)
#define K        (int64_t) call->p.deepfool.classes
#define J        (int64_t) call->p.deepfool.candidates
#define COUNT    call->p.deepfool.count
#define KEPT     call->p.deepfool.kept
#define GROUPS   df_slot_groups(&call->p.deepfool)
#define STEPPING share(ROWS + COUNT - 1, COUNT) /* slots whose cotangents these rows are */

#define CHOICE_ROWS   call->p.choice.rows
#define CHOICE_GROUPS df_choice_groups(CHOICE_ROWS)
#define CENTRE_SIZE   call->p.centre.size
#define CENTRE_COUNT  call->p.centre.count
#define BADGE_CLASSES call->p.badge.classes
#define BADGE_SIZE    call->p.badge.size

#define ALL(n)          ((struct df_operand_size){(n), (n)})
#define PICKED(n)       ((struct df_operand_size){DF_SIZE_TO_END, (n)})
#define OWNED(n)        (call->in[DF_SPAN_AT(own_ins, owner)].buffer != NULL ? PICKED(n) : ALL(n))
#define RAW_ROWS        (call->p.deepfool.whole ? PICKED(ROWS * D) : ALL(ROWS * D))
#define SLOTS(count, n) ((struct df_operand_size){S * (n), (count) * (n)})

/* ---- sizes --------------------------------------------------------------------------------------------- */

#define OUT(name, type, size)        sizes->out[DF_SPAN_AT(own_outs, name)] = size;
#define OPT_OUT(name, type, size)    OUT(name, type, size)
#define UPDATE(name, type, size)     OUT(name, type, size)
#define OPT_UPDATE(name, type, size) OUT(name, type, size)
#define IN(name, type, size)         sizes->in[DF_SPAN_AT(own_ins, name)] = size;
#define OPT_IN(name, type, size)     IN(name, type, size)
#define DF_OP(name, walk, class_, params, outs, ins)                                                         \
    static void sizes_of_##name(struct df_call_sizes *sizes, const struct df_call *call,                     \
                                const struct df_layer_desc *layer)                                           \
    {                                                                                                        \
        typedef struct df_outs_##name own_outs;                                                              \
        typedef struct df_ins_##name own_ins;                                                                \
        (void)sizeof(own_outs), (void)sizeof(own_ins), (void)layer;                                          \
        outs ins                                                                                             \
    }
#include "ops.def"

void df_call_sizes(struct df_call_sizes *sizes, const struct df_call *call)
{
    typedef void sizes_fn(struct df_call_sizes *, const struct df_call *, const struct df_layer_desc *);
    static sizes_fn *const sizes_of[DF_OP_COUNT] = {
#define DF_OP(name, ...) [DF_OP_##name] = sizes_of_##name,
#include "ops.def"
    };
    *sizes = (struct df_call_sizes){0};
    sizes_of[call->op](sizes, call, call->layer != NULL ? &call->layer->desc : NULL);
}

/* ---- checks -------------------------------------------------------------------------------------------- */

static dfal_status check_operand(const char *op, const struct df_operand *operand, struct df_span span,
                                 int64_t size)
{
    static const char *const types[] = {
        [DF_TYPE_REAL] = "REAL", [DF_TYPE_I32] = "I32", [DF_TYPE_U8] = "U8", [DF_TYPE_F64] = "F64"};
    char what[64];
    if (span.buffer == NULL) {
        if (operand->optional)
            return DFAL_OK;
        DF_FAIL(DFAL_E_INTERNAL, "%s was called without its operand %s", op, operand->name);
    }
    const enum df_type type = span.buffer->type;
    const bool raw = operand->type == DF_OPERAND_RAW && (type == DF_TYPE_U8 || type == DF_TYPE_REAL);
    if ((int)type != operand->type && !raw)
        DF_FAIL(DFAL_E_INTERNAL, "%s was called with %s in a buffer of %s, expected %s", op, operand->name,
                types[type], operand->type == DF_OPERAND_RAW ? "U8 or REAL" : types[operand->type]);
    snprintf(what, sizeof what, "%s, operand %s", op, operand->name);
    return df_span_check(span, df_span_count(span, size), what);
}

/* Bytes come with the table that decodes them, reals without. */
static dfal_status check_raw(const struct df_call *call)
{
    const bool bytes = DF_IN(call, deepfool_refill, raw).buffer->type == DF_TYPE_U8;
    if (bytes != (DF_IN(call, deepfool_refill, table).buffer != NULL))
        DF_FAIL(DFAL_E_INTERNAL, "deepfool_refill was called with raw in a buffer of %s and %s table",
                bytes ? "U8" : "REAL", bytes ? "no" : "a");
    return DFAL_OK;
}

dfal_status df_call_check(const struct df_call *call)
{
    if ((unsigned)call->op >= DF_OP_COUNT)
        DF_FAIL(DFAL_E_INTERNAL, "op %d was called, expected 0 to %d", (int)call->op, (int)DF_OP_COUNT - 1);
    const struct df_op_info *info = &df_op_info[call->op];
    struct df_call_sizes sizes;
    if (info->walk == DF_WALK_LAYER && call->layer == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "%s was called without a layer", info->name);
    df_call_sizes(&sizes, call);
    for (int k = 0; k < DF_MAX_OUT && info->out[k].name != NULL; k++)
        DF_TRY(check_operand(info->name, &info->out[k], call->out[k], sizes.out[k].extent));
    for (int k = 0; k < DF_MAX_IN && info->in[k].name != NULL; k++)
        DF_TRY(check_operand(info->name, &info->in[k], call->in[k], sizes.in[k].extent));
    return call->op == DF_OP_deepfool_refill ? check_raw(call) : DFAL_OK;
}
