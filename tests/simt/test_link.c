/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of several ranks that are joined: test_link BACKEND CASE, under mpirun, with the made-up NCCL of
 * this folder (nccl.c). */
#include <stdlib.h>
#include <string.h>

#include "../expect_ranks.h"
#include "../support.h"
#include "backend/link.h"
#include "base/context.h"
#include "base/memory.h"
#include "comm/device_link.h"
#include "comm/spans.h"

enum { COUNT = 1000, AT = 3 };
static const double little = 2.0; /* seconds of patience */

static struct dfal_context *context;
static struct df_comm *comm;
static struct df_device *device;
static char library[DF_LINK_TEXT];

#define EXPECT(condition) EXPECT_ON(comm, condition)
#define EXPECT_ERROR(call, expected, words)                                                                  \
    do {                                                                                                     \
        EXPECT((call) == (expected));                                                                        \
        EXPECT(strstr(dfal_last_error(), words) != NULL);                                                    \
    } while (0)

static dfal_status join(double patience)
{
    return df_comm_link(comm, context, device, patience, library);
}

static struct df_span reals(int64_t count)
{
    struct df_span span;
    EXPECT(df_buffer_new(device, &span, DF_TYPE_REAL, count) == DFAL_OK);
    return span;
}

/* ---- Calls that succeed ------------------------------------------------------------------------ */

/* What is sent is what earlier calls of the queue have made, and lies where it was asked for, alone. */
static void broadcast(int32_t queue, int32_t root)
{
    struct df_span data;
    unsigned char own[COUNT], found[COUNT];
    memset(own, 'a' + comm->rank, sizeof own);
    EXPECT(df_buffer_new(device, &data, DF_TYPE_U8, COUNT) == DFAL_OK);
    EXPECT(df_write(device, queue, data, own, COUNT) == DFAL_OK);
    EXPECT(df_comm_span_broadcast(comm, device, queue, df_at(data, AT), COUNT - 2 * AT, root) == DFAL_OK);
    EXPECT(df_read(device, queue, found, data, COUNT) == DFAL_OK);
    for (int i = 0; i < COUNT; i++)
        EXPECT(found[i] == 'a' + (i < AT || i >= COUNT - AT ? comm->rank : root));
    df_buffer_drop(device, &data);
}

static void all_calls(void)
{
    for (int32_t queue = 0; queue < 2; queue++)
        for (int32_t root = 0; root < comm->size; root++)
            broadcast(queue, root);
}

/* Joined or not, the same bytes; also joined anew. */
static void meet(void)
{
    all_calls();
    for (int time = 0; time < 2; time++) {
        EXPECT(join(little) == DFAL_OK);
        EXPECT(comm->link != NULL);
        EXPECT(strcmp(library, "NCCL 2.28.9") == 0);
        all_calls();
        df_comm_unlink(comm);
        EXPECT(comm->link == NULL);
    }
}

static void late(void)
{
    EXPECT(join(little) == DFAL_OK);
    all_calls();
    df_comm_unlink(comm);
}

/* ---- Calls that fail --------------------------------------------------------------------------- */

static dfal_status broadcasts(int times)
{
    struct df_span data = reals(COUNT);
    dfal_status status = DFAL_OK;
    for (int i = 0; i < times && status == DFAL_OK; i++)
        status = df_comm_span_broadcast(comm, device, 1, data, COUNT, 0);
    return status;
}

/* A link that failed stays cut, and is closed as any other. */
static void is_cut(void)
{
    struct df_span data = reals(COUNT);
    EXPECT_ERROR(df_comm_span_broadcast(comm, device, 0, data, COUNT, 0), DFAL_E_UNAVAILABLE, "was cut");
    df_comm_unlink(comm);
}

static void differs(void)
{
    struct df_span data = reals(COUNT);
    EXPECT(join(little) == DFAL_OK);
    EXPECT_ERROR(df_comm_span_broadcast(comm, device, 0, data, COUNT - comm->rank, 0), DFAL_E_UNAVAILABLE,
                 "NCCL failed in a broadcast: invalid usage: ranks have made different calls");
    is_cut();
}

/* The others wait for a rank that has an error until it is told of, or for as long as they have patience. */
static void remote(void)
{
    EXPECT(join(little) == DFAL_OK);
    if (comm->rank == 2)
        EXPECT_ERROR(broadcasts(3), DFAL_E_UNAVAILABLE,
                     "remote process exited or there was a network error: a");
    else
        EXPECT_ERROR(broadcasts(3), DFAL_E_UNAVAILABLE, "has waited for the other ranks' GPUs for 2 s");
    is_cut();
}

static void hangs(void)
{
    char expected[128];
    snprintf(expected, sizeof expected, "rank %d on %s has waited", comm->rank, comm->host);
    EXPECT(join(little) == DFAL_OK);
    EXPECT_ERROR(broadcasts(3), DFAL_E_UNAVAILABLE, expected);
    is_cut();
}

/* A rank that gives up stops the wait of the others, who learn who it was. */
static void gives_up(void)
{
    char expected[128];
    snprintf(expected, sizeof expected, "rank 1 on %s gave up: out of paper", comm->host);
    EXPECT(join(60.0) == DFAL_OK);
    if (comm->rank == 1)
        comm->give_up(comm, DFAL_E_IO, "out of paper");
    else
        EXPECT_ERROR(broadcasts(1), DFAL_E_STOPPED, expected);
    df_comm_unlink(comm);
}

/* A rank that cannot join gives up, and the others wait no longer. */
static void refused(void)
{
    const char *const words = "NCCL failed in joining GPUs: invalid usage: Duplicate GPU detected";
    if (comm->rank == 1) {
        EXPECT_ERROR(join(60.0), DFAL_E_UNAVAILABLE, words);
        comm->give_up(comm, DFAL_E_UNAVAILABLE, dfal_last_error());
    } else {
        EXPECT_ERROR(join(60.0), DFAL_E_STOPPED, words);
    }
    EXPECT(comm->link == NULL);
}

static void old(void)
{
    EXPECT_ERROR(join(little), DFAL_E_UNAVAILABLE, "libnccl.so.2 is NCCL 2.14.5, 2.18 or later is needed");
    EXPECT(comm->link == NULL);
    all_calls();
}

/* ------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"meet", meet},   {"late", late},         {"differs", differs}, {"remote", remote},
                 {"hangs", hangs}, {"gives_up", gives_up}, {"refused", refused}, {"old", old}};
    const char *name = argc > 2 ? argv[2] : "";
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.backend = argc > 1 ? argv[1] : "";
    options.comm = "mpi";
    if (dfal_context_create(&context, &options) != DFAL_OK || df_context_comm(context, &comm) != DFAL_OK) {
        fprintf(stderr, "no ranks: %s\n", dfal_last_error());
        return 1;
    }
    EXPECT(df_context_device(context, &device) == DFAL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0) {
            cases[i].run();
            dfal_context_destroy(context);
            return 0;
        }
    fprintf(stderr, "unknown case '%s'\n", name);
    return 1;
}
