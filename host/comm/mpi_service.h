/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks of MPI tell each other beside their collective calls: one thread a rank answers claims (rank 0),
 * tells every second that this rank is alive, at once that it was asked to stop, and passes on that a rank
 * has given up or has not been heard from. All goes by way of rank 0. A second thread of rank 0 takes what
 * ranks tell: its listener may wait for a disk as long as it likes, and rank 0 stays alive for the others. */
#ifndef DF_COMM_MPI_SERVICE_H
#define DF_COMM_MPI_SERVICE_H

#include <mpi.h>
#include <stdatomic.h>

#include "comm/comm.h"
#include "comm/counters.h"

enum { DF_MPI_SENTENCE = 1000 };
struct df_mpi_news {
    int32_t status, rank;
    bool died; /* it was not heard from; else it gave up itself */
    char sentence[DF_MPI_SENTENCE];
};

struct df_mpi_service {
    struct df_comm_watch watch;
    MPI_Comm control, answers; /* both the service's own */
    int32_t rank, size;
    char (*hosts)[DF_COMM_HOST]; /* [size] */
    struct df_thread thread, listening_thread;
    struct df_counters counters; /* rank 0 */
    atomic_bool ended;
    atomic_bool broken; /* some rank has given up or died: news says which */
    struct df_lock lock;
    struct df_mpi_news news;  /* under the lock; the first that came */
    struct df_lock asking;    /* held while this rank waits for an answer */
    struct df_lock listening; /* rank 0: of the listener, and while it takes a message */
    df_comm_listen_fn *listen;
    void *listener;
    /* the listening thread's */
    char *message; /* that a rank tells, on its way; NULL: none */
    int message_size, teller;
    MPI_Request message_come;
    /* the thread's */
    double *heard, told; /* heard [size] */
    bool relayed, stop_told;
    int32_t signal;              /* that is told */
    MPI_Request *beats, *passes; /* [size] */
    struct df_mpi_news outgoing; /* while passes are under way */
};
/* hosts: taken over. Errors   E_MEMORY */
dfal_status df_mpi_service_start(struct df_mpi_service *service, const struct df_comm_watch *watch,
                                 MPI_Comm control, MPI_Comm answers, char (*hosts)[DF_COMM_HOST]);
void df_mpi_service_end(struct df_mpi_service *service);
dfal_status df_mpi_service_claim(struct df_mpi_service *service, int32_t counter, int64_t *value);
dfal_status df_mpi_service_tell(struct df_mpi_service *service, const void *bytes, int64_t size);
void df_mpi_service_listen(struct df_mpi_service *service, df_comm_listen_fn *listen, void *user);
void df_mpi_service_give_up(struct df_mpi_service *service, dfal_status status, const char *sentence);
/* The error of a call that will not end because a rank is gone; DFAL_OK: none is. */
dfal_status df_mpi_service_broken(struct df_mpi_service *service);
/* Wait for a request, in any thread. Errors   those of df_mpi_service_broken */
dfal_status df_mpi_service_wait(struct df_mpi_service *service, MPI_Request *request);
dfal_status df_mpi_check(int error, const char *what);
void df_mpi_nap(double seconds);

#endif
