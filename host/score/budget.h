/* SPDX-License-Identifier: Apache-2.0 */
/* How much work fits the memory: workers, slots and chunks. What is chosen changes the speed and no
 * result. */
#ifndef DF_SCORE_BUDGET_H
#define DF_SCORE_BUDGET_H

#include "base/context.h"
#include "net/plan.h"
#include "store/pool.h"

/* What a worker needs beside its plan's share. */
struct df_budget_need {
    struct df_device *device; /* one; those of its group that stand behind it are not looked at */
    int32_t devices;          /* that share what the host's limit leaves, each with as much as this one */
    const struct df_plan *plan;
    const struct df_pool *pool;
    int64_t per_slot;   /* bytes beside the tape's row */
    int64_t per_worker; /* bytes whatever its slots */
    int64_t wanted;     /* slots of a worker */
    bool gradients;     /* as many cotangent rows as the chunk has */
    int32_t most_workers;
    bool fixed;         /* the caller has chosen workers and slots: these or none */
    int64_t cotangents; /* on a wide device: rows of a backward wanted */
    int64_t beside;     /* bytes of results that wait to be written */
};
struct df_budget {
    int32_t workers;
    int64_t slots, chunk; /* of a worker; chunk: rows of a library call, and of cotangents */
    int64_t bytes;        /* of the whole process then, at most; of a device with memory of its own, there */
};
/* Choose: the most slots up to `wanted` in as many workers as keep their library calls full; where not even
 * one worker does, smaller chunks. On a wide device all workers are taken, with slots and cotangents halved
 * until they fit; where it has memory of its own, --memory is the limit there.
 * Errors   E_MEMORY names the least --memory that works */
dfal_status df_budget_choose(struct df_budget *budget, const struct dfal_context *context,
                             const struct df_budget_need *need);
/* Refuse a network whose file alone is larger than what memory is left, before it is read.
 * Errors   E_MEMORY names what reading and a plan take */
dfal_status df_budget_for_file(const struct dfal_context *context, const char *path);
/* Refuse a network before a plan is made: a plan holds the parameters in a network of its own, flat, and
 * packed for forward and gradients; on a device with memory of its own only the first stands here. Each
 * device of a group has one.
 * Errors   E_MEMORY names the least --memory that the plan takes */
dfal_status df_budget_for_plan(const struct dfal_context *context, struct df_device *device,
                               const struct df_network *network, bool gradients);

#endif
