/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/device_link.h"

#include <stdio.h>
#include <string.h>

#include "backend/link.h"
#include "base/clock.h"
#include "base/memory.h"

struct df_comm_link {
    struct dfal_context *context;
    struct df_device *device;
    struct df_link *link;
    double patience, since; /* seconds; when the call in hand began */
};

/* While this rank waits for the others: they may be gone, or the job be stopped. */
static dfal_status check(void *user)
{
    const struct df_comm_link *link = user;
    DF_TRY(df_context_check_stop(link->context));
    if (df_clock() - link->since > link->patience)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "rank %d on %s has waited for the other ranks' GPUs for %.0f s, and none has given up: see "
                "NCCL_DEBUG=WARN and docs/CLUSTER.md",
                link->context->rank, link->context->host, link->patience);
    return DFAL_OK;
}

/* Collective. Every rank's outcome becomes that of all. */
static dfal_status agree(struct df_comm *comm, const struct dfal_context *context, dfal_status status)
{
    char sentence[DF_MESSAGE_SIZE + DF_COMM_HOST + 32] = "", message[DF_MESSAGE_SIZE];
    char **sentences;
    dfal_status all;
    if (status != DFAL_OK) {
        df_message_get(message);
        snprintf(sentence, sizeof sentence, "rank %d on %s: %s", context->rank, comm->host, message);
    }
    DF_TRY(df_alloc(&sentences, comm->size, sizeof *sentences));
    DF_TRY_TO(done, all, df_comm_gather_texts(comm, sentences, sentence));
    for (int32_t r = 0; r < comm->size && all == DFAL_OK; r++)
        if (*sentences[r] != '\0')
            all = df_fail(DFAL_E_UNAVAILABLE, "%s", sentences[r]);
    df_free(sentences[0]);
done:
    df_free(sentences);
    return all;
}

/* Has this rank's device a library that joins, the same as rank 0's? */
static dfal_status find_library(struct df_comm *comm, const struct dfal_context *context,
                                struct df_device *device, char *text)
{
    char first[DF_LINK_TEXT] = "";
    dfal_status status = DFAL_OK;
    *text = '\0';
    if (device->backend->link_text == NULL)
        status = df_fail(DFAL_E_UNAVAILABLE, "%s devices are not joined by NCCL, expected GPUs of CUDA",
                         device->info.backend);
    else
        status = device->backend->link_text(device, text);
    memcpy(first, text, sizeof first);
    DF_TRY(comm->broadcast(comm, first, sizeof first, 0));
    if (status == DFAL_OK && strcmp(first, text) != 0 && *first != '\0')
        status = df_fail(DFAL_E_UNAVAILABLE, "%s is here, rank 0 has %s", text, first);
    return agree(comm, context, status);
}

static dfal_status join(struct df_comm *comm, struct df_comm_link *link)
{
    const struct df_backend *backend = link->device->backend;
    struct df_link_desc desc = {.rank = comm->rank, .size = comm->size, .check = check, .user = link};
    DF_TRY(agree(comm, link->context, comm->rank == 0 ? backend->link_id(link->device, desc.id) : DFAL_OK));
    DF_TRY(comm->broadcast(comm, desc.id, sizeof desc.id, 0));
    link->since = df_clock();
    return backend->link_open(link->device, &link->link, &desc);
}

dfal_status df_comm_link(struct df_comm *comm, struct dfal_context *context, struct df_device *device,
                         double patience, char *text)
{
    dfal_status status;
    DF_TRY(find_library(comm, context, device, text));
    if (comm->size == 1)
        return DFAL_OK;
    DF_TRY(df_alloc(&comm->link, 1, sizeof *comm->link));
    *comm->link = (struct df_comm_link){.context = context, .device = device, .patience = patience};
    status = join(comm, comm->link);
    if (status != DFAL_OK)
        df_comm_unlink(comm);
    return status;
}

void df_comm_unlink(struct df_comm *comm)
{
    struct df_comm_link *link = comm->link;
    comm->link = NULL;
    if (link && link->link) {
        link->since = df_clock();
        link->device->backend->link_close(link->device, link->link);
    }
    df_free(link);
}

dfal_status df_comm_link_broadcast(struct df_comm *comm, int32_t queue, struct df_span data, int64_t count,
                                   int32_t root)
{
    struct df_comm_link *link = comm->link;
    link->since = df_clock();
    return link->device->backend->link_broadcast(link->device, queue, link->link, data, count, root);
}
