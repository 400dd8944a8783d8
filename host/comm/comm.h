/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks: processes that work on one job, each with a device of its own. The simplest member, `self`, is one
 * process; `mpi` comes with a shared object of its own (member.h).
 *
 * Collective: every rank makes the same call, in the same order. A collective call waits for all ranks; it
 * fails with E_STOPPED on each of them once one has given up or died, so no rank waits for one that will not
 * come. Sums are
 * added in rank order on every rank: the same bits everywhere. */
#ifndef DF_COMM_COMM_H
#define DF_COMM_COMM_H

#include "base/context.h"
#include "base/identity.h"

enum { DF_COMM_HOST = 64 };

typedef dfal_status df_comm_listen_fn(void *user, const char *bytes, int64_t size);

struct df_comm {
    const char *name;
    int32_t rank, size;
    int32_t local_rank, local_size; /* among the ranks of this rank's host */
    char host[DF_COMM_HOST];        /* this rank's */
    int32_t counters;               /* that df_comm_counter has given */
    struct df_comm_link *link;      /* of the ranks' devices (device_link.h); NULL: they are not joined */

    /* ---- Collective */
    dfal_status (*barrier)(struct df_comm *comm);
    /* out: everybody's bytes in rank order, bytes[r] of rank r. */
    dfal_status (*allgatherv)(struct df_comm *comm, void *out, const int64_t *bytes, const void *in);
    /* data [bytes]: the root's on every rank. */
    dfal_status (*broadcast)(struct df_comm *comm, void *data, int64_t bytes, int32_t root);
    /* *out: the ranks that give the same number, 0 or more, in their order. They have the three calls above,
     * which fail as those of the job do, and none of those below. It is closed with `comm`. */
    dfal_status (*split)(struct df_comm *comm, struct df_comm **out, int32_t number);

    /* ---- One rank alone, in any of its threads */
    /* *value: how often this counter was asked before, by all ranks together: 0, 1, ... each once. */
    dfal_status (*claim)(struct df_comm *comm, int32_t counter, int64_t *value);
    /* Give bytes to rank 0, on which its listener takes them, one message at a time in a thread of the
     * member's; wait for that. Errors   those of the listener; E_STOPPED nobody listens (any more) */
    dfal_status (*tell)(struct df_comm *comm, const void *bytes, int64_t size);
    /* On rank 0: who takes what ranks tell, until another is set; listen NULL: nobody. */
    void (*listen)(struct df_comm *comm, df_comm_listen_fn *listen, void *user);
    /* This rank cannot go on: the others' jobs stop, with "rank 2 on n1 gave up: SENTENCE". */
    void (*give_up)(struct df_comm *comm, dfal_status status, const char *sentence);

    /* Waits for the others, but not for ranks that are gone. */
    void (*close)(struct df_comm *comm);
};

/* What a member tells the process that it works for. Called from a thread of the member's. */
struct df_comm_watch {
    void *user;
    /* The number of the signal that this process was asked to stop by; 0: it was not. */
    int (*stopped)(void *user);
    /* Another rank was asked to stop by a signal, or, status not DFAL_OK, has given up or died. */
    void (*stop)(void *user, int signal, dfal_status status, const char *sentence);
    double patience; /* seconds without a word after which a rank counts as dead */
};

dfal_status df_comm_open_self(struct df_comm **out);
/* The ranks of a context's job, opened on first use: options.comm says which member.
 * Errors   E_UNAVAILABLE no such member here; E_CONFIG on every rank alike: they are of different builds */
dfal_status df_context_comm(struct dfal_context *context, struct df_comm **out);

/* A counter for df_comm.claim: the same on every rank where all ask for theirs in the same order. */
int32_t df_comm_counter(struct df_comm *comm);
/* Collective. df_comm.split into the ranks of each host. */
dfal_status df_comm_split_hosts(struct df_comm *comm, struct df_comm **out);
/* Collective. out [size * bytes]: everybody's bytes in rank order. */
dfal_status df_comm_allgather(struct df_comm *comm, void *out, const void *in, int64_t bytes);
/* Collective. *out: everybody's bytes behind one another in rank order (df_free), bytes [size] of each. */
dfal_status df_comm_gather(struct df_comm *comm, void **out, int64_t *bytes, const void *in, int64_t own);
/* Collective. df_comm.broadcast of any number of bytes, in pieces that a member takes at once. */
dfal_status df_comm_broadcast(struct df_comm *comm, void *data, int64_t bytes, int32_t root);
/* Which of `count` rows are a rank's where they are cut into runs: as many as of any other, or one less. */
struct df_comm_share {
    int64_t begin, count;
};
struct df_comm_share df_comm_share(const struct df_comm *comm, int32_t rank, int64_t count);
/* Collective. Each rank has made its share of values [count * row_bytes]: now all have all of it. */
dfal_status df_comm_exchange(struct df_comm *comm, void *values, int64_t count, size_t row_bytes);
/* Collective. texts [size], each of all ranks' texts; free with df_free, all in one: texts[0]. */
dfal_status df_comm_gather_texts(struct df_comm *comm, char **texts, const char *text);
/* Collective. Each value becomes the sum of everybody's. */
dfal_status df_comm_sum(struct df_comm *comm, double *values, int64_t count);
/* Collective. Whether all ranks are about to do the same: the first difference from rank 0 is named with the
 * rank and its host. Differences of the arithmetic are passed over with allow_mixed.
 * Errors   E_CONFIG on every rank alike */
dfal_status df_comm_same(struct df_comm *comm, const struct df_identity *identity, bool allow_mixed);

#endif
