/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL for the made-up GPUs of processes on one host: a libnccl.so.2 over shared memory.
 *
 * Calls     communicators that do not block alone. A call is in progress until its state was asked; only then
 *           is it in its stream, so that an event recorded too early is not of it.
 * Streams   work that has to wait for other ranks says "not yet" and is asked again (simt.h).
 * Errors    all ranks make the same call: the bytes and root of each are compared. After an error
 *           the work never ends, as a kernel of NCCL's does not, until the communicator is aborted.
 * Faults    DF_NCCL_FAULT=KIND:RANK:CALL: in its CALL-th collective call, counted from 0, this rank is late
 *           (half a second), hangs, has a remote error, or dies; `refused:RANK:0` joins nobody.
 *           DF_NCCL_VERSION=N is another version. */
#include <fcntl.h>
#include <nccl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "queue_step.h"

enum { MOST_RANKS = 8, MOST_BYTES = 8 << 20 };

struct member {
    _Atomic uint64_t posted, finished; /* calls */
    size_t bytes;                      /* of the call in hand */
    int root;
};

struct shared {
    _Atomic int size, joined;
    struct member member[MOST_RANKS];
    char data[MOST_RANKS][MOST_BYTES];
};

struct ncclComm {
    struct shared *shared;
    int rank, size;
    bool aborted;
    ncclResult_t error;
    uint64_t calls;
    struct call *waiting; /* to be queued when the state is asked */
};

struct call {
    struct ncclComm *comm;
    cudaStream_t stream;
    uint64_t number;
    const void *in;
    void *out;
    size_t bytes;
    int root;
    bool posted;
    struct timespec begin;
};

static char last_error[256];

/* ---- Faults ------------------------------------------------------------------------------------ */

static bool has_fault(const char *kind, int rank, uint64_t call)
{
    const char *fault = getenv("DF_NCCL_FAULT");
    char expected[64];
    snprintf(expected, sizeof expected, "%s:%d:%llu", kind, rank, (unsigned long long)call);
    return fault && strcmp(fault, expected) == 0;
}

static double seconds_since(struct timespec begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9;
}

static ncclResult_t fail(struct ncclComm *comm, ncclResult_t result, const char *sentence)
{
    snprintf(last_error, sizeof last_error, "%s", sentence);
    if (comm)
        comm->error = result;
    return result;
}

/* ---- Collective calls -------------------------------------------------------------------------- */

static bool all_have(const struct ncclComm *comm, bool posted, uint64_t count)
{
    for (int r = 0; r < comm->size; r++) {
        const struct member *member = &comm->shared->member[r];
        if (atomic_load(posted ? &member->posted : &member->finished) < count)
            return false;
    }
    return true;
}

/* The data of the call before have been taken by all: this rank's may be laid there. */
static bool post(struct call *call)
{
    struct ncclComm *comm = call->comm;
    struct member *own = &comm->shared->member[comm->rank];
    if (has_fault("dies", comm->rank, call->number))
        raise(SIGKILL);
    if (has_fault("hangs", comm->rank, call->number) || !all_have(comm, false, call->number) ||
        (has_fault("late", comm->rank, call->number) && seconds_since(call->begin) < 0.5))
        return false;
    if (has_fault("remote", comm->rank, call->number)) {
        fail(comm, ncclRemoteError, "a made-up error of the network");
        return false;
    }
    own->bytes = call->bytes;
    own->root = call->root;
    if (call->root == comm->rank)
        memcpy(comm->shared->data[comm->rank], call->in, call->bytes);
    atomic_store(&own->posted, call->number + 1);
    return true;
}

static bool agree(const struct call *call)
{
    for (int r = 0; r < call->comm->size; r++) {
        const struct member *member = &call->comm->shared->member[r];
        if (member->bytes != call->bytes || member->root != call->root)
            return false;
    }
    return true;
}

static void take(const struct call *call)
{
    memcpy(call->out, call->comm->shared->data[call->root], call->bytes);
}

/* In the stream's order, until it says that it is done. */
static int step(void *user)
{
    struct call *call = user;
    struct ncclComm *comm = call->comm;
    if (comm->aborted) {
        free(call);
        return 1;
    }
    if (comm->error != ncclSuccess)
        return 0;
    call->posted = call->posted || post(call);
    if (!call->posted || !all_have(comm, true, call->number + 1))
        return 0;
    if (!agree(call)) {
        fail(comm, ncclInvalidUsage, "ranks have made different calls");
        return 0;
    }
    take(call);
    atomic_store(&comm->shared->member[comm->rank].finished, call->number + 1);
    free(call);
    return 1;
}

static ncclResult_t queue(struct ncclComm *comm, cudaStream_t stream, struct call call)
{
    if (comm->error != ncclSuccess)
        return comm->error;
    if (comm->waiting)
        return fail(comm, ncclInvalidUsage, "a call was made while the one before is in progress");
    if (call.bytes > MOST_BYTES)
        return fail(comm, ncclInvalidArgument, "more bytes than a made-up NCCL sends at once");
    call.comm = comm;
    call.stream = stream;
    call.number = comm->calls++;
    clock_gettime(CLOCK_MONOTONIC, &call.begin);
    comm->waiting = malloc(sizeof call);
    *comm->waiting = call;
    return ncclInProgress;
}

ncclResult_t ncclBroadcast(const void *in, void *out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    (void)type;
    return queue(comm, stream, (struct call){.in = in, .out = out, .bytes = count, .root = root});
}

/* ---- Communicators ----------------------------------------------------------------------------- */

ncclResult_t ncclGetVersion(int *version)
{
    const char *other = getenv("DF_NCCL_VERSION");
    *version = other ? atoi(other) : 22809;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static _Atomic int made;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/dfal-made-up-nccl-%ld-%d", (long)getpid(), made++);
    const int file = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct shared)) != 0)
        return fail(NULL, ncclSystemError, "no shared memory");
    close(file);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    struct ncclComm *comm;
    *out = NULL;
    if (config->size < sizeof *config || config->magic != 0xcafebeef || config->blocking != 0)
        return fail(NULL, ncclInvalidArgument, "a communicator that blocks");
    if (has_fault("refused", rank, 0))
        return fail(NULL, ncclInvalidUsage,
                    "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 0");
    const int file = shm_open(id.internal, O_RDWR, 0);
    if (file < 0 || size > MOST_RANKS || rank < 0 || rank >= size)
        return fail(NULL, ncclInvalidArgument, "no such id, or too many ranks");
    comm = calloc(1, sizeof *comm);
    comm->shared = mmap(NULL, sizeof *comm->shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    comm->rank = rank;
    comm->size = size;
    /* The name is not needed any more once all have the memory. */
    if (atomic_fetch_add(&comm->shared->joined, 1) == size - 1)
        shm_unlink(id.internal);
    *out = comm;
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    if (atomic_load(&comm->shared->joined) < comm->size) {
        *state = ncclInProgress;
        return ncclSuccess;
    }
    if (comm->waiting) {
        struct call *call = comm->waiting;
        comm->waiting = NULL;
        simt_queue_step(call->stream, step, call);
    }
    *state = comm->error;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    return comm->error;
}

static void leave(struct ncclComm *comm)
{
    munmap(comm->shared, sizeof *comm->shared);
    comm->shared = NULL;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    leave(comm);
    free(comm);
    return ncclSuccess;
}

/* What is in streams still looks at the communicator: its memory stays. */
ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    comm->aborted = true;
    free(comm->waiting);
    comm->waiting = NULL;
    leave(comm);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error"};
    return (unsigned)result < sizeof texts / sizeof *texts ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return last_error;
}
