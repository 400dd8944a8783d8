/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: CUDA graphs, captured from a queue's stream; and the queue's workspace, which they hold.
 *
 * A capture is one thread's affair (mode ThreadLocal): other threads compute, allocate and record on queues
 * of their own meanwhile. What CUDA forbids during a capture would make the capture invalid in passing; it is
 * refused before CUDA hears of it, and whatever fails between begin and end is the end of the recording.
 * Traps    a graph holds addresses: of buffers, of a layer's parameters, of the queue's workspace. The last
 *          is kept for as long as a recording has it, even if the queue has grown a larger one. */
#include "backend/cuda.h"
#include "base/memory.h"

struct df_recording {
    struct df_cuda_queue *queue;
    struct df_recording *next; /* of the queue */
    cudaGraphExec_t graph;
    void *workspace; /* the queue's at that time */
    enum df_op last; /* recorded last */
};

/* What this thread records; queue NULL: nothing. */
static _Thread_local struct {
    struct df_cuda_queue *queue;
    enum df_op last; /* the queue's before */
    bool failed;
} here;

dfal_status df_cuda_recorded(dfal_status status)
{
    here.failed = here.failed || status != DFAL_OK;
    return status;
}

dfal_status df_cuda_not_recording(const char *what)
{
    if (here.queue == NULL)
        return DFAL_OK;
    here.failed = true;
    DF_FAIL(DFAL_E_INTERNAL, "a recording was begun: nothing can %s before record_end", what);
}

static bool in_use(const struct df_cuda_queue *queue, const void *workspace)
{
    for (const struct df_recording *r = queue->recordings; r != NULL; r = r->next)
        if (r->workspace == workspace)
            return true;
    return queue->workspace == workspace;
}

dfal_status df_cuda_drop_workspace(struct df_cuda_queue *queue)
{
    void *workspace = queue->workspace;
    queue->workspace = NULL;
    queue->workspace_bytes = 0;
    return df_cuda_status(in_use(queue, workspace) ? cudaSuccess : cudaFree(workspace),
                          "giving a workspace back");
}

dfal_status df_cuda_workspace(struct df_cuda_queue *queue, size_t bytes)
{
    if (bytes <= queue->workspace_bytes)
        return DFAL_OK;
    DF_TRY(df_cuda_not_recording("take memory"));
    DF_TRY(df_cuda_drop_workspace(queue));
    DF_TRY(df_cuda_memory(&queue->workspace, (int64_t)bytes));
    queue->workspace_bytes = bytes;
    /* Rows that pad a block are read before anybody writes them, which initcheck would call an error. */
    return df_cuda_status(cudaMemsetAsync(queue->workspace, 0, bytes, queue->stream), "clearing memory");
}

dfal_status df_cuda_record_begin(struct df_device *head, int32_t index)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_not_recording("record"));
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    DF_CUDA(cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeThreadLocal), "beginning a recording");
    here.queue = queue;
    here.last = queue->last;
    here.failed = false;
    return DFAL_OK;
}

/* The uploaded graph is on the device: the first run is as quick as the others. */
static dfal_status prepare(struct df_recording *recording, cudaGraph_t graph)
{
    DF_CUDA(cudaGraphInstantiate(&recording->graph, graph, 0), "preparing a recording");
    return df_cuda_status(cudaGraphUpload(recording->graph, recording->queue->stream),
                          "preparing a recording");
}

static dfal_status keep(struct df_recording **out, struct df_cuda_queue *queue, cudaGraph_t graph,
                        enum df_op last)
{
    struct df_recording *recording = NULL;
    DF_TRY(df_alloc(&recording, 1, sizeof *recording));
    recording->queue = queue;
    recording->workspace = queue->workspace;
    recording->last = last;
    const dfal_status status = prepare(recording, graph);
    if (status != DFAL_OK) {
        if (recording->graph != NULL)
            (void)cudaGraphExecDestroy(recording->graph);
        df_free(recording);
        return status;
    }
    recording->next = queue->recordings;
    queue->recordings = recording;
    *out = recording;
    return DFAL_OK;
}

dfal_status df_cuda_record_end(struct df_device *head, int32_t index, struct df_recording **out)
{
    struct df_cuda_queue *queue = NULL;
    cudaGraph_t graph = NULL;
    *out = NULL;
    /* An error of an earlier call may show here: the recording has ended all the same. */
    dfal_status status = df_cuda_queue_of(&queue, head, index);
    if (here.queue == NULL || here.queue != queue) {
        DF_TRY(status);
        DF_FAIL(DFAL_E_INTERNAL, "record_end: this thread has begun no recording on queue %d", index);
    }
    const enum df_op last = queue->last;
    queue->last = here.last;
    here.queue = NULL;
    const cudaError_t error = cudaStreamEndCapture(queue->stream, &graph);
    if (here.failed || status != DFAL_OK)
        (void)cudaGetLastError(); /* what failed has said why */
    else
        status = df_cuda_status(error, "ending a recording");
    if (status == DFAL_OK && !here.failed)
        status = keep(out, queue, graph, last);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return status;
}

dfal_status df_cuda_record_run(struct df_device *head, int32_t index, struct df_recording *recording)
{
    struct df_cuda_queue *queue = NULL;
    DF_TRY(df_cuda_not_recording("run a recording"));
    DF_TRY(df_cuda_queue_of(&queue, head, index));
    if (recording->queue != queue)
        DF_FAIL(DFAL_E_INTERNAL, "a recording of another queue was run on queue %d", index);
    queue->last = recording->last;
    return df_cuda_status(cudaGraphLaunch(recording->graph, queue->stream), "running a recording");
}

void df_cuda_record_destroy(struct df_device *head, struct df_recording *recording)
{
    if (recording == NULL)
        return;
    struct df_cuda_queue *queue = recording->queue;
    struct df_recording **at = &queue->recordings;
    while (*at != recording)
        at = &(*at)->next;
    *at = recording->next;
    (void)cudaSetDevice(((const struct df_cuda_device *)head)->index);
    (void)cudaStreamSynchronize(queue->stream); /* it may still run */
    (void)cudaGraphExecDestroy(recording->graph);
    if (!in_use(queue, recording->workspace))
        (void)cudaFree(recording->workspace);
    (void)cudaGetLastError();
    df_free(recording);
}
