// SPDX-License-Identifier: Apache-2.0
// CUDA's runtime for made-up GPUs of 3 multiprocessors and 2 GiB each.
//
// Devices   DF_SIMT_DEVICES of them, 1 unless it says otherwise, all of one model but for DF_SIMT_OTHER, the
//           number of one of another model. DF_SIMT_LOST=DEVICE:LAUNCHES is a device that fails with that
//           launch and in every call from then on. What is launched, copied or recorded for one device in a
//           stream, an event or memory of another one fails: CUDA lets some of it pass, dfal means none.
// Streams   what is queued runs at once where DF_SIMT_ORDER is ascending. Otherwise it runs as late as it
// may: when somebody
//           waits for it. A synchronisation that is missing then shows as old contents.
// Memory    an allocation of its own each, so that AddressSanitizer sees what lies beyond it, filled with
// NaN. Copies are
//           checked against it. Leaks are found where AddressSanitizer looks for them.
// Copies    as CUDA has it, one between the device and memory that is not pinned has taken the source, or has
//           filled the target, when the call returns.
// Graphs    a stream that is captured keeps what is queued instead, with its arguments; a launch queues all
// of it as one
//           piece. What CUDA forbids during a capture fails, and makes the thread's captures invalid. So do
// events on
//           a captured stream, which CUDA has and dfal does not use.
// Libraries what a made-up library has for a stream (queue_step.h) may wait for another process: it is asked
// again until
//           it is done, and nothing behind it runs before.
// Everything is under one lock; host threads take turns.
#include <stdio.h>
#include <stdlib.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "grid.h"
#include "queue_step.h"

enum { MULTIPROCESSORS = 3, SHARED = 48 * 1024, SHARED_OPTIN = 227 * 1024, CAPABILITY_MAJOR = 9 };
enum { MOST_DEVICES = 8 };
static const size_t device_memory = (size_t)2 << 30;

typedef std::vector<std::function<void()>> pieces;

struct CUgraph_st {
    std::shared_ptr<const pieces> work;
};

struct CUgraphExec_st {
    std::shared_ptr<const pieces>
        work; // what is queued has a share of its own: a graph may be destroyed meanwhile
};

struct capture {
    std::thread::id thread; // that began it
    pieces work;
    bool valid;
};

struct CUstream_st {
    simt_queue_step_fn *queue_step; // first, for libraries
    unsigned flags;
    int device;
    std::deque<std::function<bool()>> pending; // done, or to be asked again
    uint64_t queued, done;                     // pieces of work
    std::unique_ptr<capture> captured;
};

struct CUevent_st {
    int device;
    cudaStream_t stream;
    uint64_t ticket; // done when the stream has done as many
};

static std::recursive_mutex lock;
// Addresses are kept inverted, so that the leak check does not take this list for a use of the memory.
struct block {
    size_t size;
    int device; // that has it; of pinned memory none
};
typedef std::map<uintptr_t, struct block> block_map;
static block_map device_blocks, pinned_blocks;
static size_t device_used[MOST_DEVICES];
static uint64_t launches[MOST_DEVICES];
static thread_local int current; // device
static std::set<CUstream_st *> streams;
static std::map<const void *, int> shared_limit; // of kernels that asked for more
static thread_local cudaError_t last_error;

typedef std::lock_guard<std::recursive_mutex> guard;

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

// What must not be during a capture of this thread. cudaSuccess: there is none.
static cudaError_t forbidden_here()
{
    cudaError_t error = cudaSuccess;
    for (CUstream_st *stream : streams)
        if (stream->captured && stream->captured->thread == std::this_thread::get_id()) {
            stream->captured->valid = false;
            error = cudaErrorStreamCaptureUnsupported;
        }
    return error == cudaSuccess ? error : fail(error);
}

// What must not be done to a stream that is captured, whoever does it.
static cudaError_t forbidden_on(cudaStream_t stream)
{
    if (stream == NULL || !stream->captured)
        return cudaSuccess;
    stream->captured->valid = false;
    return fail(cudaErrorStreamCaptureUnsupported);
}

#define UNLESS_FORBIDDEN(error)                                                                              \
    do {                                                                                                     \
        const cudaError_t error_ = (error);                                                                  \
        if (error_ != cudaSuccess)                                                                           \
            return error_;                                                                                   \
    } while (0)

// ---- The devices ------------------------------------------------------------------------------------------

// A whole number from 0 on that an environment variable says; `otherwise` where it is not set.
static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    char more;
    int value = otherwise;
    if (text != NULL && (sscanf(text, "%d%c", &value, &more) != 1 || value < 0))
        simt_die("%s is '%s', expected a number of at least 0", name, text);
    return value;
}

static int device_count()
{
    const int count = setting("DF_SIMT_DEVICES", 1);
    if (count < 1 || count > MOST_DEVICES)
        simt_die("DF_SIMT_DEVICES is %d, expected 1 to %d", count, MOST_DEVICES);
    return count;
}

static bool is_lost(int device)
{
    const char *text = getenv("DF_SIMT_LOST");
    int which;
    unsigned long long left;
    char more;
    if (text == NULL)
        return false;
    if (sscanf(text, "%d:%llu%c", &which, &left, &more) != 2)
        simt_die("DF_SIMT_LOST is '%s', expected DEVICE:LAUNCHES", text);
    return device == which && launches[device] >= left;
}

static cudaError_t lost_here()
{
    return is_lost(current) ? fail(cudaErrorUnknown) : cudaSuccess;
}

// ---- Memory -----------------------------------------------------------------------------------------------

// Does [at, at + size) lie in one of these blocks? -1: it begins in none, 0: it sticks out, 1: yes.
static int lies_in(const block_map &blocks, const void *at, size_t size)
{
    // Inverted addresses descend: the first key that is not below ~at begins at or before it.
    const auto block = blocks.lower_bound(~(uintptr_t)at);
    if (block == blocks.end())
        return -1;
    const uintptr_t offset = (uintptr_t)at - ~block->first;
    if (offset >= block->second.size && !(offset == 0 && size == 0))
        return -1;
    return size <= block->second.size - offset;
}

static cudaError_t take(block_map &blocks, void **pointer, size_t size)
{
    *pointer = NULL;
    if (size == 0)
        return cudaSuccess;
    if (posix_memalign(pointer, 256, size) != 0)
        return fail(cudaErrorMemoryAllocation);
    memset(*pointer, 0xff, size);
    blocks[~(uintptr_t)*pointer] = {size, current};
    return cudaSuccess;
}

static cudaError_t give(block_map &blocks, void *pointer, struct block *given)
{
    *given = {0, 0};
    if (pointer == NULL)
        return cudaSuccess;
    const auto block = blocks.find(~(uintptr_t)pointer);
    if (block == blocks.end())
        return fail(cudaErrorInvalidValue);
    *given = block->second;
    blocks.erase(block);
    free(pointer);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **pointer, size_t size)
{
    guard held(lock);
    *pointer = NULL;
    UNLESS_FORBIDDEN(forbidden_here());
    UNLESS_FORBIDDEN(lost_here());
    if (size > device_memory - device_used[current])
        return fail(cudaErrorMemoryAllocation);
    const cudaError_t error = take(device_blocks, pointer, size);
    if (error == cudaSuccess)
        device_used[current] += size;
    return error;
}

cudaError_t cudaMallocHost(void **pointer, size_t size)
{
    guard held(lock);
    UNLESS_FORBIDDEN(forbidden_here());
    return take(pinned_blocks, pointer, size);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    guard held(lock);
    *free_bytes = device_memory - device_used[current];
    *total = device_memory;
    return cudaSuccess;
}

// ---- Streams ----------------------------------------------------------------------------------------------

// As far as nothing waits for another process.
static void advance(cudaStream_t stream, uint64_t ticket)
{
    while (stream->done < ticket) {
        std::function<bool()> work = std::move(stream->pending.front());
        stream->pending.pop_front();
        if (!work()) {
            stream->pending.push_front(std::move(work));
            return;
        }
        stream->done++;
    }
}

static void drain(cudaStream_t stream, uint64_t ticket)
{
    for (advance(stream, ticket); stream->done < ticket; advance(stream, ticket))
        std::this_thread::sleep_for(std::chrono::microseconds(50));
}

static void drain_all(int device, bool blocking_only)
{
    for (CUstream_st *stream : streams)
        if (stream->device == device && (!blocking_only || (stream->flags & cudaStreamNonBlocking) == 0))
            drain(stream, stream->queued);
}

static int device_of(cudaStream_t stream)
{
    return stream != NULL ? stream->device : current;
}

static void queue_piece(cudaStream_t stream, std::function<bool()> work)
{
    stream->pending.push_back(std::move(work));
    stream->queued++;
    if (simt_order_now() == SIMT_ASCENDING)
        advance(stream, stream->queued);
}

// The default stream waits for the streams that did not ask for being left alone, and its own work is done at
// once.
static cudaError_t queue(cudaStream_t stream, std::function<void()> work)
{
    if (stream == NULL) {
        UNLESS_FORBIDDEN(forbidden_here());
        drain_all(current, true);
        work();
        return cudaSuccess;
    }
    if (stream->captured) {
        if (!stream->captured->valid)
            return fail(cudaErrorStreamCaptureInvalidated);
        stream->captured->work.push_back(std::move(work));
        return cudaSuccess;
    }
    queue_piece(stream, [=] {
        work();
        return true;
    });
    return cudaSuccess;
}

static void queue_step(cudaStream_t stream, simt_step *step, void *user)
{
    guard held(lock);
    queue_piece(stream, [=] { return step(user) != 0; });
}

static bool is_stream(cudaStream_t stream)
{
    return stream == NULL || streams.count(stream) != 0;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    guard held(lock);
    *stream = new CUstream_st();
    (*stream)->queue_step = queue_step;
    (*stream)->flags = flags;
    (*stream)->device = current;
    streams.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    guard held(lock);
    if (stream == NULL || !is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    UNLESS_FORBIDDEN(forbidden_on(stream));
    drain(stream, stream->queued);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    guard held(lock);
    if (!is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    UNLESS_FORBIDDEN(forbidden_on(stream));
    if (stream != NULL)
        drain(stream, stream->queued);
    return is_lost(device_of(stream)) ? fail(cudaErrorUnknown) : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    guard held(lock);
    for (CUstream_st *stream : streams)
        UNLESS_FORBIDDEN(forbidden_on(stream));
    drain_all(current, false);
    return lost_here();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st();
    (*event)->device = current;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    guard held(lock);
    if (event == NULL)
        return fail(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    guard held(lock);
    if (event == NULL || !is_stream(stream) || event->device != device_of(stream))
        return fail(cudaErrorInvalidResourceHandle);
    UNLESS_FORBIDDEN(forbidden_on(stream));
    event->stream = stream; // the default stream's work is done at once
    event->ticket = stream != NULL ? stream->queued : 0;
    return cudaSuccess;
}

// An event that was never recorded is done, and so is one whose stream is gone.
static void drain_event(cudaStream_t stream, uint64_t ticket)
{
    if (stream != NULL && streams.count(stream) != 0)
        drain(stream, ticket);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    guard held(lock);
    if (event == NULL)
        return fail(cudaErrorInvalidResourceHandle);
    drain_event(event->stream, event->ticket);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    guard held(lock);
    if (event == NULL)
        return fail(cudaErrorInvalidResourceHandle);
    if (event->stream == NULL || streams.count(event->stream) == 0 || event->stream->done >= event->ticket)
        return cudaSuccess;
    advance(event->stream, event->stream->done + 1);
    return cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    guard held(lock);
    if (event == NULL || !is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    UNLESS_FORBIDDEN(forbidden_on(stream));
    const cudaStream_t other = event->stream;
    const uint64_t ticket = event->ticket;
    return other == stream ? cudaSuccess : queue(stream, [=] { drain_event(other, ticket); });
}

// ---- Freeing, copying -------------------------------------------------------------------------------------

cudaError_t cudaFree(void *pointer)
{
    guard held(lock);
    UNLESS_FORBIDDEN(forbidden_here());
    const auto found = device_blocks.find(~(uintptr_t)pointer);
    drain_all(found != device_blocks.end() ? found->second.device : current, false);
    struct block given;
    const cudaError_t error = give(device_blocks, pointer, &given);
    device_used[given.device] -= given.size;
    return error;
}

cudaError_t cudaFreeHost(void *pointer)
{
    guard held(lock);
    struct block given;
    UNLESS_FORBIDDEN(forbidden_here());
    for (int device = 0; device < MOST_DEVICES; device++)
        drain_all(device, false);
    return give(pinned_blocks, pointer, &given);
}

// Is `at` where a copy of this kind on this device expects its target or source?
static bool fits(const void *at, size_t size, bool on_device, int device)
{
    const int on = lies_in(device_blocks, at, size);
    return on_device ? on == 1 && device_blocks.lower_bound(~(uintptr_t)at)->second.device == device
                     : on == -1;
}

static cudaError_t copy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                        cudaStream_t stream)
{
    if (!is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    if (size == 0)
        return cudaSuccess;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = lies_in(device_blocks, to, size) != -1;
        from_device = lies_in(device_blocks, from, size) != -1;
    }
    if (!fits(to, size, to_device, device_of(stream)) || !fits(from, size, from_device, device_of(stream)))
        return fail(cudaErrorInvalidValue);
    if (is_lost(device_of(stream)))
        return fail(cudaErrorUnknown);
    const bool taken_now = !from_device && lies_in(pinned_blocks, from, size) != 1;
    const bool filled_now = !to_device && lies_in(pinned_blocks, to, size) != 1;
    if (taken_now || filled_now)
        UNLESS_FORBIDDEN(forbidden_on(stream));
    if (taken_now) {
        const std::vector<char> taken((const char *)from, (const char *)from + size);
        return queue(stream, [=] { memcpy(to, taken.data(), size); });
    }
    UNLESS_FORBIDDEN(queue(stream, [=] { memmove(to, from, size); }));
    if (filled_now && stream != NULL)
        drain(stream, stream->queued);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    guard held(lock);
    return copy(to, from, size, kind, stream);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind)
{
    guard held(lock);
    return copy(to, from, size, kind, NULL);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t stream)
{
    guard held(lock);
    if (!is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    if (size == 0)
        return cudaSuccess;
    if (!fits(to, size, true, device_of(stream)))
        return fail(cudaErrorInvalidValue);
    return queue(stream, [=] { memset(to, value, size); });
}

cudaError_t cudaMemset(void *to, int value, size_t size)
{
    return cudaMemsetAsync(to, value, size, NULL);
}

// ---- Graphs -----------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    guard held(lock);
    if (stream == NULL || !is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    if (stream->captured || mode != cudaStreamCaptureModeThreadLocal)
        return fail(cudaErrorInvalidValue);
    stream->captured.reset(new capture{std::this_thread::get_id(), {}, true});
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    guard held(lock);
    *graph = NULL;
    if (stream == NULL || !is_stream(stream))
        return fail(cudaErrorInvalidResourceHandle);
    if (!stream->captured)
        return fail(cudaErrorStreamCaptureUnmatched);
    if (stream->captured->thread != std::this_thread::get_id()) {
        stream->captured->valid = false;
        return fail(cudaErrorStreamCaptureWrongThread);
    }
    const std::unique_ptr<capture> captured = std::move(stream->captured);
    if (!captured->valid)
        return fail(cudaErrorStreamCaptureInvalidated);
    *graph = new CUgraph_st{std::make_shared<const pieces>(std::move(captured->work))};
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    *exec = NULL;
    if (graph == NULL || flags != 0)
        return fail(cudaErrorInvalidValue);
    *exec = new CUgraphExec_st{graph->work};
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    guard held(lock);
    if (exec == NULL || !is_stream(stream))
        return fail(cudaErrorInvalidValue);
    return forbidden_on(stream);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    guard held(lock);
    if (exec == NULL || !is_stream(stream) || device_of(stream) != current)
        return fail(cudaErrorInvalidValue);
    launches[current]++;
    UNLESS_FORBIDDEN(lost_here());
    const std::shared_ptr<const pieces> work = exec->work;
    return queue(stream, [=] {
        for (const std::function<void()> &piece : *work)
            piece();
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (graph == NULL)
        return fail(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    if (exec == NULL)
        return fail(cudaErrorInvalidValue);
    delete exec;
    return cudaSuccess;
}

// ---- Launches ---------------------------------------------------------------------------------------------

void simt_queue_grid(const struct simt_grid &grid, const void *kernel, cudaStream_t stream)
{
    guard held(lock);
    const dim3 &b = grid.blocks, &t = grid.threads;
    const auto limit = shared_limit.find(kernel);
    launches[current]++;
    if (!is_stream(stream) || device_of(stream) != current) {
        fail(cudaErrorInvalidResourceHandle);
    } else if (is_lost(current)) {
        fail(cudaErrorUnknown);
    } else if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > INT32_MAX || b.y > 65535 || b.z > 65535 ||
               t.x == 0 || t.y == 0 || t.z == 0 || t.z > 64 || (uint64_t)t.x * t.y * t.z > 1024) {
        fail(cudaErrorInvalidConfiguration);
    } else if (grid.shared > (limit == shared_limit.end() ? (size_t)SHARED : (size_t)limit->second)) {
        fail(cudaErrorInvalidValue);
    } else {
        (void)queue(stream, [=] { simt_run_grid(grid); });
    }
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attr, int value)
{
    guard held(lock);
    if (attr == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || value > SHARED_OPTIN)
            return fail(cudaErrorInvalidValue);
        shared_limit[function] = value;
    }
    return cudaSuccess;
}

// ---- What is asked of devices -----------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = device_count();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= device_count())
        return fail(cudaErrorInvalidDevice);
    current = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    if (device < 0 || device >= device_count())
        return fail(cudaErrorInvalidDevice);
    memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "%s",
             device == setting("DF_SIMT_OTHER", MOST_DEVICES) ? "another SIMT shim" : "SIMT shim");
    prop->totalGlobalMem = device_memory;
    prop->sharedMemPerBlock = SHARED;
    prop->sharedMemPerBlockOptin = SHARED_OPTIN;
    prop->sharedMemPerMultiprocessor = SHARED_OPTIN + 1024;
    prop->regsPerBlock = 65536;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = 1024;
    prop->maxThreadsPerMultiProcessor = 2048;
    prop->maxGridSize[0] = INT32_MAX;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->major = CAPABILITY_MAJOR;
    prop->multiProcessorCount = MULTIPROCESSORS;
    prop->l2CacheSize = 1 << 20;
    prop->memoryBusWidth = 256;
    prop->unifiedAddressing = prop->asyncEngineCount = prop->concurrentKernels = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

// ---- Errors -----------------------------------------------------------------------------------------------

cudaError_t cudaGetLastError()
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError()
{
    return last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnmatched:
        return "capture was not initiated in this stream";
    case cudaErrorStreamCaptureWrongThread:
        return "attempt to terminate a thread-local capture sequence from another thread";
    case cudaErrorNotReady:
        return "device not ready";
    default:
        return "unknown error";
    }
}
