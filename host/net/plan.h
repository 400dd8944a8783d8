/* SPDX-License-Identifier: Apache-2.0 */
/* A network compiled for a device (plan, shared by all queues) and one queue's memory for it (tape). */
#ifndef DF_NET_PLAN_H
#define DF_NET_PLAN_H

#include "backend/backend.h"
#include "graph/network.h"

/* FUSED: the whole network in one call where the back end has such an engine for it, else node by node.
 * DRAWN: forwards that draw dropout; no node's value is kept for df_tape_node.
 * ROW_GRADIENT: gradients by parameters, of each row by itself and of the network as it is evaluated: dropout
 * is off, and batch-norm the affine map of its running statistics, whose weight and bias are parameters like
 * others (row_gradients.h). Alone; TRAIN has the gradients of a batch that trains.
 * HALF: input gradients with operands rounded to binary16, in layers that are not narrow; a fused network's
 * and all else stay as they are. SPLIT: forwards and input gradients with operands in two binary16 each, in
 * layers that can (df_layer_can_split). */
enum df_plan_use {
    DF_PLAN_FORWARD = 1,
    DF_PLAN_INPUT_GRADIENT = 2,
    DF_PLAN_TRAIN = 4,
    DF_PLAN_FUSED = 8,
    DF_PLAN_HALF = 16,
    DF_PLAN_DRAWN = 32,
    DF_PLAN_ROW_GRADIENT = 64,
    DF_PLAN_SPLIT = 128
};

struct df_plan;
/* Compile and upload. fold applies df_network_fold first (not with TRAIN or ROW_GRADIENT). The network is
 * copied. Without any use nothing is run: the plan tells where parameters stand.
 * Errors   E_UNAVAILABLE HALF or SPLIT on a device without */
dfal_status df_plan_create(struct df_plan **out, struct df_device *device, const struct df_network *network,
                           int uses, bool fold);
/* A forward of the network as it is given, in one call that gives a node's values besides (df_tape_node).
 * *out NULL: the back end has no such engine for this network and node. */
dfal_status df_plan_create_tapped(struct df_plan **out, struct df_device *device,
                                  const struct df_network *network, const char *node);
void df_plan_destroy(struct df_plan *plan);
/* Rows of a library call: 64, halved while one call's largest activation passes 32 MiB, at least 8; on a wide
 * device 1,024 and 256 MiB. For training 8, the rows of a sub-batch; on a wide device 32. From the network
 * and the back end alone, so that results do not depend on the machine. */
int32_t df_plan_block_rows(const struct df_plan *plan);
bool df_plan_is_fused(const struct df_plan *plan);
/* A warning, once a device, where a layer is not run by what is fastest there (struct df_layer). */
void df_plan_tell_fallback(struct dfal_context *context, const struct df_plan *plan);
int64_t df_plan_input_size(const struct df_plan *plan); /* D */
int32_t df_plan_class_count(const struct df_plan *plan);
/* Bytes: what --memory is divided by. */
struct df_plan_memory {
    /* The plan's own, taken when it was created: the network, its parameters flat and packed. */
    int64_t shared;
    /* Of a queue, from its first run on: at most this (docs/INTERNALS.md, "Memory"); for calls of
     * df_plan_block_rows rows where it grows with them. */
    int64_t scratch;
    /* Of a tape, a row of its chunk: max(rows, cotangent rows), at most df_plan_block_rows; without that
     * limit where a network is run as a whole: on a wide device, and for training. */
    int64_t chunk_row;
    int64_t row, cotangent; /* of a tape, a forward row, a cotangent row */
};
void df_plan_memory(const struct df_plan *plan, struct df_plan_memory *memory);
/* The same scratch for calls of up to so many rows and cotangent rows, as a wide device gets them. */
int64_t df_plan_scratch(const struct df_plan *plan, int64_t rows, int64_t cotangent_rows);
/* All trainable parameters and their gradients, one flat span each, in graph order (TRAIN). */
int64_t df_plan_parameter_size(const struct df_plan *plan);
struct df_span df_plan_parameters(const struct df_plan *plan);
/* Repack layers after this queue wrote to df_plan_parameters. No tape of another queue may be running, and
 * none runs before this queue was synchronized. */
dfal_status df_plan_rebind(struct df_plan *plan, int32_t queue);

struct df_tape;
/* rows: samples a forward may have; cotangent_rows: rows an input gradient may have (0: none). */
dfal_status df_tape_create(struct df_tape **out, struct df_plan *plan, int32_t queue, int64_t rows,
                           int64_t cotangent_rows);
void df_tape_destroy(struct df_tape *tape);
struct df_span df_tape_input(struct df_tape *tape);  /* [rows, D], written by the caller */
struct df_span df_tape_logits(struct df_tape *tape); /* [rows, K] */
/* Activations of a node by name, [rows, size]; features for strategies. Errors   E_USAGE unknown or folded
 * away */
dfal_status df_tape_node(struct df_tape *tape, const char *name, struct df_span *out, struct df_shape *shape);
/* Run input -> logits on the first n rows; keeps what gradients need. */
dfal_status df_tape_forward(struct df_tape *tape, int64_t n);
/* The same with dropout drawn: mask of (seed, step, first_row + row), or of (seed, step, rows[row]); shared:
 * one mask for all rows. */
struct df_dropout {
    uint64_t seed;
    int64_t step, first_row;
    bool shared;
    bool filters;         /* whole maps of a filter are kept or not, instead of single values */
    double ratio;         /* of every Dropout; 0: each has its own */
    struct df_span clock; /* I32 (kernels/batch.h): its step is added; may be absent */
    struct df_span rows;  /* I32 [n]: whose mask each row gets, unsigned; may be absent */
};
dfal_status df_tape_forward_dropout(struct df_tape *tape, int64_t n, const struct df_dropout *dropout);
/* Vector-Jacobian products: dinput[i] = J(sample owner[i])^T dlogits[i] for n <= cotangent_rows rows.
 * df_tape_cotangents [cotangent_rows, K] and df_tape_owners [cotangent_rows] I32 are written by the caller
 * first. Rows [i each, (i + 1) each) have one owner, and n is a multiple of each: 1 where owners are in no
 * order; no bit depends on it. */
struct df_span df_tape_cotangents(struct df_tape *tape);
struct df_span df_tape_owners(struct df_tape *tape);
dfal_status df_tape_input_gradient(struct df_tape *tape, int64_t n, int64_t each, struct df_span *dinput);
/* Gradients of all parameters for n rows after a forward, given dlogits [n, K]; written (not added) to
 * gradient [parameter_size]. */
dfal_status df_tape_parameter_gradient(struct df_tape *tape, int64_t n, struct df_span dlogits,
                                       struct df_span gradient);

#endif
