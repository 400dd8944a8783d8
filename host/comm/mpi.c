/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks by MPI, as mpirun or srun --mpi=pmix start them. The whole of libdfal_mpi.so with mpi_service.c.
 *
 * No call blocks inside MPI: a collective call is begun and then asked for, so that a rank that waits sleeps,
 * and learns that another one is gone. What MPI reads and writes meanwhile is memory of this file, which is
 * left to MPI where a call never ends. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/member.h"
#include "comm/mpi_service.h"

/* Seconds that a rank stays for the others to keep their work, when one has died. */
static const double linger = 10.0;

/* Copies of MPI's world, so that calls of one kind do not meet those of another. */
enum { WORK, CONTROL, ANSWERS, LEAVE, COMMS };

struct mpi {
    struct df_comm comm;
    struct df_mpi_service *service; /* the job's */
    MPI_Comm comms[COMMS];          /* of what was split off WORK alone */
    bool began;                     /* MPI was initialised here */
    struct mpi *split;              /* off this one; NULL: no more */
};

static struct mpi *of(struct df_comm *comm)
{
    return (struct mpi *)comm;
}

static dfal_status mpi_barrier(struct df_comm *comm)
{
    struct mpi *mpi = of(comm);
    MPI_Request request;
    DF_TRY(df_mpi_service_broken(mpi->service));
    DF_TRY(df_mpi_check(MPI_Ibarrier(mpi->comms[WORK], &request), "a barrier"));
    return df_mpi_service_wait(mpi->service, &request);
}

struct gather {
    int *counts, *places; /* [size] */
    char *in, *out;
};

static void free_gather(struct gather *gather)
{
    df_free(gather->counts);
    df_free(gather->places);
    df_free(gather->in);
    df_free(gather->out);
}

static dfal_status prepare_gather(struct gather *gather, const struct df_comm *comm, const int64_t *bytes,
                                  const void *in)
{
    int64_t total = 0;
    DF_TRY(df_alloc(&gather->counts, comm->size, sizeof(int)));
    DF_TRY(df_alloc(&gather->places, comm->size, sizeof(int)));
    for (int32_t r = 0; r < comm->size; r++) {
        if (bytes[r] > INT_MAX || total + bytes[r] > INT_MAX)
            DF_FAIL(DFAL_E_INTERNAL, "ranks were asked to gather more than %d bytes", INT_MAX);
        gather->counts[r] = (int)bytes[r];
        gather->places[r] = (int)total;
        total += bytes[r];
    }
    DF_TRY(df_alloc(&gather->in, bytes[comm->rank], 1));
    DF_TRY(df_alloc(&gather->out, total, 1));
    memcpy(gather->in, in, (size_t)bytes[comm->rank]);
    return DFAL_OK;
}

static dfal_status mpi_allgatherv(struct df_comm *comm, void *out, const int64_t *bytes, const void *in)
{
    struct mpi *mpi = of(comm);
    struct gather gather = {0};
    MPI_Request request;
    dfal_status status;
    DF_TRY(df_mpi_service_broken(mpi->service));
    DF_TRY_TO(done, status, prepare_gather(&gather, comm, bytes, in));
    DF_TRY_TO(
        done, status,
        df_mpi_check(MPI_Iallgatherv(gather.in, gather.counts[comm->rank], MPI_BYTE, gather.out,
                                     gather.counts, gather.places, MPI_BYTE, mpi->comms[WORK], &request),
                     "gathering"));
    DF_TRY(df_mpi_service_wait(mpi->service, &request)); /* else the memory is MPI's for good */
    const int32_t last = comm->size - 1;
    memcpy(out, gather.out, (size_t)gather.places[last] + (size_t)gather.counts[last]);
done:
    free_gather(&gather);
    return status;
}

static dfal_status mpi_broadcast(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    struct mpi *mpi = of(comm);
    MPI_Request request;
    char *buffer;
    dfal_status status;
    if (bytes > INT_MAX)
        DF_FAIL(DFAL_E_INTERNAL, "ranks were asked to send %lld bytes at once, expected at most %d",
                (long long)bytes, INT_MAX);
    DF_TRY(df_mpi_service_broken(mpi->service));
    DF_TRY(df_alloc(&buffer, bytes, 1));
    memcpy(buffer, data, (size_t)bytes);
    DF_TRY_TO(done, status,
              df_mpi_check(MPI_Ibcast(buffer, (int)bytes, MPI_BYTE, root, mpi->comms[WORK], &request),
                           "a broadcast"));
    DF_TRY(df_mpi_service_wait(mpi->service, &request));
    memcpy(data, buffer, (size_t)bytes);
done:
    df_free(buffer);
    return status;
}

static dfal_status mpi_claim(struct df_comm *comm, int32_t counter, int64_t *value)
{
    return df_mpi_service_claim(of(comm)->service, counter, value);
}

static dfal_status mpi_tell(struct df_comm *comm, const void *bytes, int64_t size)
{
    return df_mpi_service_tell(of(comm)->service, bytes, size);
}

static void mpi_listen(struct df_comm *comm, df_comm_listen_fn *listen, void *user)
{
    df_mpi_service_listen(of(comm)->service, listen, user);
}

static void mpi_give_up(struct df_comm *comm, dfal_status status, const char *sentence)
{
    df_mpi_service_give_up(of(comm)->service, status, sentence);
}

/* Wait until every rank is about to leave. Where one has given up the others keep their work first, for which
 * it waits, a minute at most; one that died is not waited for. A signal ends this no earlier: all of them are
 * ending already, and mpirun would kill those that still write. */
static bool leave_together(struct mpi *mpi)
{
    struct df_mpi_service *service = mpi->service;
    MPI_Request request;
    double since = 0;
    if (MPI_Ibarrier(mpi->comms[LEAVE], &request) != MPI_SUCCESS)
        return false;
    for (;;) {
        int done = 0;
        if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return false;
        if (done)
            return true;
        if (df_mpi_service_broken(service) != DFAL_OK) {
            const double now = df_clock(), limit = service->news.died ? linger : service->watch.patience;
            since = since > 0 ? since : now;
            if (now - since > limit)
                return false;
        }
        df_mpi_nap(1e-3);
    }
}

static void close_split(struct mpi *mpi, bool together)
{
    while (mpi->split) {
        struct mpi *part = mpi->split;
        mpi->split = part->split;
        if (together)
            MPI_Comm_free(&part->comms[WORK]);
        df_free(part);
    }
}

static void mpi_close(struct df_comm *comm)
{
    struct mpi *mpi = of(comm);
    const bool together = leave_together(mpi);
    df_mpi_service_end(mpi->service);
    df_free(mpi->service);
    close_split(mpi, together);
    if (together) {
        for (int i = 0; i < COMMS; i++)
            MPI_Comm_free(&mpi->comms[i]);
        if (mpi->began)
            MPI_Finalize();
    } /* else MPI would wait for a rank that is gone: the process ends without */
    df_free(mpi);
}

/* ---- Opening ---------------------------------------------------------------------------------- */

/* The MPI that was found when this process began may be of another make than that of the build. */
static dfal_status check_library(void)
{
#ifdef OPEN_MPI
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length;
    MPI_Get_library_version(version, &length);
    if (strncmp(version, "Open MPI", 8) != 0)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "the MPI that runs is '%.*s', expected the Open MPI that dfal was built with",
                (int)strcspn(version, ",\n"), version);
#endif
    return DFAL_OK;
}

static dfal_status begin(struct mpi *mpi)
{
    int began, ended, level;
    DF_TRY(check_library());
    MPI_Finalized(&ended);
    MPI_Initialized(&began);
    if (ended)
        DF_FAIL(DFAL_E_UNAVAILABLE, "MPI has ended in this process and cannot begin anew");
    if (began) {
        MPI_Query_thread(&level);
    } else {
        MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
        mpi->began = true;
    }
    if (level < MPI_THREAD_MULTIPLE)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "this MPI does not allow calls of several threads, expected MPI_THREAD_MULTIPLE");
    for (int i = 0; i < COMMS; i++) {
        DF_TRY(df_mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &mpi->comms[i]), "the beginning"));
        MPI_Comm_set_errhandler(mpi->comms[i], MPI_ERRORS_RETURN);
    }
    return DFAL_OK;
}

static dfal_status place(struct mpi *mpi)
{
    MPI_Comm here;
    int rank, size, local_rank, local_size;
    MPI_Comm_rank(mpi->comms[WORK], &rank);
    MPI_Comm_size(mpi->comms[WORK], &size);
    DF_TRY(
        df_mpi_check(MPI_Comm_split_type(mpi->comms[WORK], MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &here),
                     "finding the ranks of this host"));
    MPI_Comm_rank(here, &local_rank);
    MPI_Comm_size(here, &local_size);
    MPI_Comm_free(&here);
    mpi->comm.rank = rank;
    mpi->comm.size = size;
    mpi->comm.local_rank = local_rank;
    mpi->comm.local_size = local_size;
    char name[MPI_MAX_PROCESSOR_NAME] = "";
    int length;
    MPI_Get_processor_name(name, &length);
    snprintf(mpi->comm.host, sizeof mpi->comm.host, "%.*s", DF_COMM_HOST - 1, name);
    return DFAL_OK;
}

/* MPI has no splitting that can be asked for; all ranks are here before it blocks. */
static dfal_status split(struct mpi *mpi, struct mpi *part, int32_t number)
{
    DF_TRY(mpi_barrier(&mpi->comm));
    DF_TRY(df_mpi_check(MPI_Comm_split(mpi->comms[WORK], number, mpi->comm.rank, &part->comms[WORK]),
                        "splitting the ranks"));
    MPI_Comm_set_errhandler(part->comms[WORK], MPI_ERRORS_RETURN);
    return place(part);
}

static dfal_status mpi_split(struct df_comm *comm, struct df_comm **out, int32_t number)
{
    struct mpi *mpi = of(comm), *part;
    *out = NULL;
    DF_TRY(df_alloc(&part, 1, sizeof *part));
    part->comm = (struct df_comm){
        .name = "mpi", .barrier = mpi_barrier, .allgatherv = mpi_allgatherv, .broadcast = mpi_broadcast};
    part->service = mpi->service;
    const dfal_status status = split(mpi, part, number);
    if (status != DFAL_OK) {
        df_free(part);
        return status;
    }
    part->split = mpi->split;
    mpi->split = part;
    *out = &part->comm;
    return DFAL_OK;
}

static dfal_status start_service(struct mpi *mpi, const struct df_comm_watch *watch)
{
    char(*hosts)[DF_COMM_HOST];
    DF_TRY(df_alloc(&hosts, mpi->comm.size, sizeof *hosts));
    const dfal_status status = df_mpi_check(MPI_Allgather(mpi->comm.host, DF_COMM_HOST, MPI_CHAR, hosts,
                                                          DF_COMM_HOST, MPI_CHAR, mpi->comms[WORK]),
                                            "telling the hosts");
    if (status != DFAL_OK) {
        df_free(hosts);
        return status;
    }
    return df_mpi_service_start(mpi->service, watch, mpi->comms[CONTROL], mpi->comms[ANSWERS], hosts);
}

static dfal_status open_mpi(struct df_comm **out, const struct df_comm_watch *watch)
{
    struct mpi *mpi;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&mpi, 1, sizeof *mpi));
    DF_TRY_TO(failed, status, df_alloc(&mpi->service, 1, sizeof *mpi->service));
    mpi->comm = (struct df_comm){
        .name = "mpi",
        .barrier = mpi_barrier,
        .allgatherv = mpi_allgatherv,
        .broadcast = mpi_broadcast,
        .split = mpi_split,
        .claim = mpi_claim,
        .tell = mpi_tell,
        .listen = mpi_listen,
        .give_up = mpi_give_up,
        .close = mpi_close,
    };
    DF_TRY_TO(failed, status, begin(mpi));
    DF_TRY_TO(failed, status, place(mpi));
    DF_TRY_TO(failed, status, start_service(mpi, watch));
    *out = &mpi->comm;
    return DFAL_OK;
failed:
    df_free(mpi->service);
    df_free(mpi);
    return status;
}

DFAL_API df_object_entry dfal_comm_entry;

const void *dfal_comm_entry(const struct df_host *host)
{
    static const struct df_comm_object object = {DF_COMM_ABI, open_mpi};
    df_object_take_host(host);
    return &object;
}
