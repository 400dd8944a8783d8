/* SPDX-License-Identifier: Apache-2.0 */
/* Links of GPUs by NCCL, which is loaded when the first is asked for: most jobs need none.
 *
 * No call blocks in NCCL, nor waits for a stream in the runtime: a peer that is gone would be waited for
 * without end. A communicator that does not block is asked how it is, and an event of the queue whether the
 * work is done. A communicator that has failed, or is waited for no longer, is aborted, which ends its
 * kernels (NCCL's user guide, "Fault tolerance"). */
#include <dlfcn.h>
#include <nccl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/cuda.h"
#include "backend/link.h"
#include "base/memory.h"

_Static_assert((int)DF_LINK_ID == (int)NCCL_UNIQUE_ID_BYTES, "an id of a link is one of NCCL's");

enum { LEAST_VERSION = 21800 }; /* whose communicators end without blocking */

struct nccl {
    ncclResult_t (*version)(int *version);
    ncclResult_t (*id)(ncclUniqueId *id);
    ncclResult_t (*open)(ncclComm_t *comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config);
    ncclResult_t (*state)(ncclComm_t comm, ncclResult_t *state);
    ncclResult_t (*finalize)(ncclComm_t comm);
    ncclResult_t (*destroy)(ncclComm_t comm);
    ncclResult_t (*abort)(ncclComm_t comm);
    ncclResult_t (*broadcast)(const void *in, void *out, size_t count, ncclDataType_t type, int root,
                              ncclComm_t comm, cudaStream_t stream);
    const char *(*text)(ncclResult_t result);
    const char *(*last_error)(ncclComm_t comm);
};

struct df_link {
    struct nccl nccl;
    struct df_link_desc desc;
    ncclComm_t comm;  /* NULL: cut */
    cudaEvent_t done; /* of the call in hand */
};

/* ---- The library ------------------------------------------------------------------------------- */

static dfal_status load(struct nccl *nccl)
{
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {
        {"ncclGetVersion", offsetof(struct nccl, version)},
        {"ncclGetUniqueId", offsetof(struct nccl, id)},
        {"ncclCommInitRankConfig", offsetof(struct nccl, open)},
        {"ncclCommGetAsyncError", offsetof(struct nccl, state)},
        {"ncclCommFinalize", offsetof(struct nccl, finalize)},
        {"ncclCommDestroy", offsetof(struct nccl, destroy)},
        {"ncclCommAbort", offsetof(struct nccl, abort)},
        {"ncclBroadcast", offsetof(struct nccl, broadcast)},
        {"ncclGetErrorString", offsetof(struct nccl, text)},
        {"ncclGetLastError", offsetof(struct nccl, last_error)},
    };
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL); /* for good: it has threads of its own */
    if (library == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "NCCL is not available: %s", dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (symbol == NULL)
            DF_FAIL(DFAL_E_UNAVAILABLE, "NCCL is not available: libnccl.so.2 has no %s", functions[i].name);
        memcpy((char *)nccl + functions[i].at, &symbol, sizeof symbol);
    }
    return DFAL_OK;
}

static dfal_status failed(const struct nccl *nccl, ncclComm_t comm, ncclResult_t result, const char *what)
{
    const char *more = nccl->last_error(comm);
    DF_FAIL(DFAL_E_UNAVAILABLE, "NCCL failed in %s: %s%s%s", what, nccl->text(result),
            more && *more ? ": " : "", more ? more : "");
}

dfal_status df_cuda_link_text(struct df_device *head, char *text)
{
    struct nccl nccl;
    int version = 0;
    (void)head;
    DF_TRY(load(&nccl));
    const ncclResult_t result = nccl.version(&version);
    if (result != ncclSuccess)
        return failed(&nccl, NULL, result, "telling its version");
    (void)snprintf(text, DF_LINK_TEXT, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    if (version < LEAST_VERSION)
        DF_FAIL(DFAL_E_UNAVAILABLE, "NCCL is not available: libnccl.so.2 is %s, %d.%d or later is needed",
                text, LEAST_VERSION / 10000, LEAST_VERSION / 100 % 100);
    return DFAL_OK;
}

dfal_status df_cuda_link_id(struct df_device *head, unsigned char *id)
{
    struct nccl nccl;
    ncclUniqueId own;
    (void)head;
    DF_TRY(load(&nccl));
    const ncclResult_t result = nccl.id(&own);
    if (result != ncclSuccess)
        return failed(&nccl, NULL, result, "making an id");
    memcpy(id, &own, DF_LINK_ID);
    return DFAL_OK;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

static void cut(struct df_link *link)
{
    if (link->comm != NULL)
        (void)link->nccl.abort(link->comm);
    link->comm = NULL;
}

/* Between two questions: little beside what a transfer takes. */
static dfal_status nap(const struct df_link *link)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    return link->desc.check(link->desc.user);
}

/* Until NCCL has taken a call that gave `result`. */
static dfal_status taken(struct df_link *link, ncclResult_t result, const char *what)
{
    while (result == ncclInProgress) {
        DF_TRY(nap(link));
        const ncclResult_t asked = link->nccl.state(link->comm, &result);
        if (asked != ncclSuccess)
            result = asked;
    }
    return result == ncclSuccess ? DFAL_OK : failed(&link->nccl, link->comm, result, what);
}

/* Until the queue has done what was queued before. */
static dfal_status done(struct df_link *link, cudaStream_t stream, const char *what)
{
    DF_CUDA(cudaEventRecord(link->done, stream), what);
    for (;;) {
        ncclResult_t state = ncclSuccess;
        const cudaError_t error = cudaEventQuery(link->done);
        if (error != cudaErrorNotReady)
            return df_cuda_status(error, what);
        (void)cudaGetLastError();
        DF_TRY(nap(link));
        const ncclResult_t asked = link->nccl.state(link->comm, &state);
        if (asked != ncclSuccess)
            state = asked;
        if (state != ncclSuccess && state != ncclInProgress)
            return failed(&link->nccl, link->comm, state, what);
    }
}

static dfal_status finish(struct df_link *link, struct df_cuda_queue *queue, ncclResult_t result,
                          const char *what)
{
    dfal_status status = taken(link, result, what);
    if (status == DFAL_OK)
        status = done(link, queue->stream, what);
    if (status != DFAL_OK)
        cut(link);
    return status;
}

/* ---- Links ------------------------------------------------------------------------------------- */

dfal_status df_cuda_link_open(struct df_device *head, struct df_link **out, const struct df_link_desc *desc)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    struct df_link *link;
    dfal_status status;
    *out = NULL;
    config.blocking = 0;
    memcpy(&id, desc->id, sizeof id);
    DF_TRY(df_alloc(&link, 1, sizeof *link));
    link->desc = *desc;
    DF_TRY_TO(done, status, load(&link->nccl));
    DF_TRY_TO(done, status, df_cuda_use((const struct df_cuda_device *)head));
    DF_TRY_TO(
        done, status,
        df_cuda_status(cudaEventCreateWithFlags(&link->done, cudaEventDisableTiming), "making an event"));
    status = taken(link, link->nccl.open(&link->comm, desc->size, id, desc->rank, &config), "joining GPUs");
done:
    if (status == DFAL_OK)
        *out = link;
    else
        df_cuda_link_close(head, link);
    return status;
}

void df_cuda_link_close(struct df_device *head, struct df_link *link)
{
    if (link == NULL)
        return;
    (void)cudaSetDevice(((const struct df_cuda_device *)head)->index);
    if (link->comm != NULL && taken(link, link->nccl.finalize(link->comm), "parting GPUs") == DFAL_OK) {
        (void)link->nccl.destroy(link->comm);
        link->comm = NULL;
    }
    cut(link);
    if (link->done != NULL)
        (void)cudaEventDestroy(link->done);
    (void)cudaGetLastError();
    df_free(link);
}

static dfal_status begin(struct df_cuda_queue **queue, struct df_device *head, int32_t index,
                         const struct df_link *link)
{
    if (link->comm == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "this link of GPUs was cut after an error");
    DF_TRY(df_cuda_not_recording("meet other ranks' GPUs"));
    return df_cuda_queue_of(queue, head, index);
}

dfal_status df_cuda_link_broadcast(struct df_device *head, int32_t index, struct df_link *link,
                                   struct df_span data, int64_t count, int32_t root)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_span_check(data, count, "broadcast"));
    DF_TRY(begin(&queue, head, index, link));
    const size_t bytes = (size_t)count * df_type_size(data.buffer->type);
    void *at = df_cuda_data(data);
    return finish(link, queue,
                  link->nccl.broadcast(at, at, bytes, ncclUint8, root, link->comm, queue->stream),
                  "a broadcast");
}
