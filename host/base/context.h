/* SPDX-License-Identifier: Apache-2.0 */
/* What every job needs: limits, the event sink, the stop flag and, once opened, the device. */
#ifndef DF_BASE_CONTEXT_H
#define DF_BASE_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/status.h"

enum { DF_STOP_TEXT = 1200 };

struct df_comm;
struct df_device;

struct dfal_context {
    struct dfal_context_options options; /* strings are the context's own copies */
    int32_t threads;                     /* resolved */
    int64_t memory;                      /* resolved */
    /* number of the signal that asked for it, 0: none. Set by a signal handler or another thread; lock-free
     * on x86-64 */
    atomic_int stop;
    atomic_bool kept_work; /* a host program may ask from a thread other than the job's */
    /* Of work that runs beside other work of the same job; NULL: the job's own. Events go to the parent, and
     * whoever stops that stops this. */
    struct dfal_context *parent;
    pthread_mutex_t event_lock;
    dfal_event_fn *tee; /* second sink (df_log_tee), NULL: none */
    void *tee_user;
    struct df_device *device; /* NULL until df_context_device (backend/backend.h) */
    void (*device_close)(struct df_device *device);
    void (*prefix)(void *user, char *text, int32_t size); /* df_log_prefix, NULL: none */
    void *prefix_user;
    atomic_bool joining;  /* it waits for the other ranks of its job to begin */
    struct df_comm *comm; /* NULL until df_context_comm (comm/comm.h) */
    void (*comm_close)(struct df_comm *comm);
    int32_t rank;                 /* of several; 0 is the one that speaks */
    int32_t local_rank;           /* among the ranks of this rank's host, which share its GPUs */
    char host[64];                /* of a rank behind 0: it stands in front of what it warns of */
    dfal_status stop_status;      /* of a stop because another rank cannot go on; DFAL_OK: it was a request */
    char stop_text[DF_STOP_TEXT]; /* who it is, and why */
};

/* Another rank cannot go on: stop, and say so. The first one counts. From any thread. */
void df_context_stop_for(struct dfal_context *context, dfal_status status, const char *sentence);
/* E_STOPPED once dfal_context_stop was called, with a message; that of df_context_stop_for where another rank
 * is why. Its status is no error of this process, and nobody here takes it for one of a device or a file
 * (df_context_stop_cause). */
dfal_status df_context_check_stop(const struct dfal_context *context);
/* The status of the rank that cannot go on; DFAL_OK: none is why. text, DF_STOP_TEXT bytes: what it said. */
dfal_status df_context_stop_cause(struct dfal_context *context, char *text);
/* The number of the signal that asked for it, 0: none. */
int df_context_stop_signal(const struct dfal_context *context);
/* A context for a part of the parent's job, with a device and threads of its own. It is destroyed before its
 * parent. */
dfal_status df_context_part(struct dfal_context **out, struct dfal_context *parent, const char *backend,
                            int32_t threads);
/* The job's context. */
static inline struct dfal_context *df_context_job(struct dfal_context *context)
{
    while (context->parent)
        context = context->parent;
    return context;
}
/* Whether bytes more fit into the limit beside what this process holds: before work whose result would not.
 * what: "12 twins"; instead: what the caller could do, "ask for fewer". Errors   E_MEMORY */
dfal_status df_context_check_memory(const struct dfal_context *context, double bytes, const char *what,
                                    const char *instead);
/* CPUs this process may use: affinity mask and cgroup quota. */
int32_t df_cpu_count(void);

#endif
