/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers without state: Philox4x32-10 (Salmon et al. 2011) by (seed, stream, index).
 * The same bits on any device, thread and rank. The kernel side is kernels/philox.h. */
#ifndef DF_BASE_RNG_H
#define DF_BASE_RNG_H

#include "base/status.h"

/* One stream a purpose. Append only: a number, once published, keeps its meaning. */
enum df_stream {
    DF_STREAM_WEIGHTS = 1,    /* index: parameter element, counted over the network in graph order */
    DF_STREAM_DROPOUT = 2,    /* index: (step, sample of the batch, element) */
    DF_STREAM_SHUFFLE = 3,    /* index: (epoch, position): order of the training rows */
    DF_STREAM_SPLIT = 4,      /* validation split */
    DF_STREAM_SUBSET = 5,     /* train --subset */
    DF_STREAM_INITIAL = 6,    /* initial labelled set of a trial */
    DF_STREAM_CANDIDATES = 7, /* candidate subsample of a round */
    DF_STREAM_TIES = 8,       /* order among equal scores */
    DF_STREAM_RANDOM = 9,     /* the random strategy */
    DF_STREAM_SYNTH_TRAIN = 10,
    DF_STREAM_SYNTH_TEST = 11,
    DF_STREAM_RESTART = 12,  /* seed of restart i */
    DF_STREAM_TRIAL = 13,    /* seed of trial i */
    DF_STREAM_ROUND = 14,    /* seed of round i */
    DF_STREAM_VERIFY = 15,   /* rows that verify recomputes */
    DF_STREAM_LABELLED = 16, /* seed of the candidates' draw for a labelled state */
    DF_STREAM_PASSES = 17,   /* seed of a selection's stochastic passes */
    DF_STREAM_BADGE = 20,    /* seed of choice i of badge; of that seed, index: row of the pool */
    DF_STREAM_POWER = 21,    /* noise on a score; index: row of the pool */
    DF_STREAM_KMEANS = 22,   /* centres of k-means++; index: the centre */
    DF_STREAM_REFIT = 24,    /* qbdc's refit; salt 0: validation split, 1 + epoch + 1000 member: its rows */
    DF_STREAM_AUGMENT = 25,  /* seed of epoch i; of that seed, index: (row of the training set, draw) */
    DF_STREAM_AUDIT = 26,    /* rows that a cascade audits; index: row of the pool */
    DF_STREAM_JOINT = 23,    /* answers of batchbald's configurations; index: (query, configuration) */
};

/* 64 random bits. */
uint64_t df_random_bits(uint64_t seed, enum df_stream stream, uint64_t index);
/* Uniform in [0, 1), 53 bits. */
double df_random_uniform(uint64_t seed, enum df_stream stream, uint64_t index);
/* A seed for a child (trial, round, restart) of this seed. */
uint64_t df_random_child(uint64_t seed, enum df_stream stream, uint64_t index);
/* Fill order [n] with a seeded permutation of 0..n-1: sorted by (random bits, index), so that it is the same
 * whatever the machine. salt tells permutations of one stream apart (the epoch, say). */
dfal_status df_random_permutation(int64_t *order, int64_t n, uint64_t seed, enum df_stream stream,
                                  uint64_t salt);

/* Draw `limit` of many indices without replacement: those with the least random bits, which for the indices
 * 0..n-1 are the first of their permutation with salt 0. No more memory is taken than for those drawn. */
struct df_draw {
    uint64_t seed;
    enum df_stream stream;
    int64_t limit, count; /* count: of those drawn so far */
    struct df_card *cards;
};
dfal_status df_draw_open(struct df_draw *draw, int64_t limit, uint64_t seed, enum df_stream stream);
void df_draw_add(struct df_draw *draw, int64_t index); /* each index once */
/* What was drawn, by random bits: order [draw->count]. The draw has ended; its memory is given back. */
void df_draw_take(struct df_draw *draw, int64_t *order);
void df_draw_close(struct df_draw *draw); /* one that was not taken, or was: either is fine */

#endif
