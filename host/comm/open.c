/* SPDX-License-Identifier: Apache-2.0 */
/* Members by name, and the ranks of a context. */
#include <stdio.h>
#include <string.h>

#include "base/beside.h"
#include "base/build_id.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/member.h"

/* A rank on a machine that swaps, or reads a disk that does not answer, may be silent for long. */
static const double patience = 60.0;

dfal_status df_comm_object_load(const struct df_comm_object **object, const char *name)
{
    char *path = NULL, *file = NULL, what[64];
    const void *table = NULL;
    dfal_status status;
    *object = NULL;
    snprintf(what, sizeof what, "the way of ranks '%s'", name);
    DF_TRY_TO(done, status, df_format(&file, "libdfal_%s.so", name));
    DF_TRY_TO(done, status, df_beside(&path, file));
    status = df_object_load(&table, path ? path : file, what, DF_COMM_ENTRY, DF_COMM_ABI);
    *object = table;
done:
    df_free(file);
    df_free(path);
    return status;
}

static int stopped(void *user)
{
    return df_context_stop_signal(user);
}

static void stop(void *user, int signal, dfal_status status, const char *sentence)
{
    if (status != DFAL_OK)
        df_context_stop_for(user, status, sentence);
    else
        dfal_context_stop_by(user, signal);
}

static void close_comm(struct df_comm *comm)
{
    comm->close(comm);
}

/* MPI waits for all ranks, for as long as it takes, and nothing ends that but the end of the process
 * (dfal_context_is_joining). Who was asked to stop before has not begun; the same line does, later. */
static dfal_status join(struct df_comm **out, struct dfal_context *context,
                        const struct df_comm_object *object)
{
    atomic_store(&context->joining, true);
    dfal_status status = df_context_check_stop(context);
    if (status == DFAL_OK)
        status = object->open(out, &(struct df_comm_watch){context, stopped, stop, patience});
    else
        context->kept_work = true;
    atomic_store(&context->joining, false);
    return status;
}

static dfal_status open_member(struct df_comm **out, struct dfal_context *context)
{
    const struct df_comm_object *object;
    if (strcmp(context->options.comm, "self") == 0)
        return df_comm_open_self(out);
    DF_TRY(df_comm_object_load(&object, context->options.comm));
    return join(out, context, object);
}

/* Builds of one version may round differently, and tell each other other things. */
static dfal_status agree_on_build(struct df_comm *comm, bool allow_mixed)
{
    struct df_identity identity = {0};
    char id[DF_BUILD_ID_TEXT];
    if (comm->size == 1)
        return DFAL_OK;
    df_build_id(id);
    df_identity_add(&identity, "build", "%s", id);
    const dfal_status status = df_comm_same(comm, &identity, allow_mixed);
    df_identity_clear(&identity);
    return status;
}

dfal_status df_context_comm(struct dfal_context *context, struct df_comm **out)
{
    struct df_comm *comm = context->comm;
    *out = NULL;
    if (comm == NULL) {
        DF_TRY(open_member(&comm, context));
        context->comm = comm;
        context->comm_close = close_comm;
        context->rank = comm->rank;
        context->local_rank = comm->local_rank;
        snprintf(context->host, sizeof context->host, "%s", comm->host);
        if (context->options.memory == 0) /* the ranks of a host share what it has */
            context->memory /= comm->local_size;
        DF_TRY(agree_on_build(comm, context->options.allow_mixed));
        if (comm->size > 1)
            df_say(context, DFAL_INFO, "comm.begin",
                   DF_FIELDS(DF_INT("ranks", comm->size), DF_INT("ranks_here", comm->local_size),
                             DF_TEXT("comm", comm->name)),
                   "%d ranks by %s, %d of them on %s", comm->size, comm->name, comm->local_size, comm->host);
    }
    *out = comm;
    return DFAL_OK;
}
