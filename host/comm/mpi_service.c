/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/mpi_service.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

enum { TAG_BEAT, TAG_CLAIM, TAG_TELL, TAG_NEWS };
static const double beat_seconds = 1.0, shortest_nap = 2e-5, longest_nap = 1e-3;

void df_mpi_nap(double seconds)
{
    const struct timespec time = {.tv_sec = 0, .tv_nsec = (long)(1e9 * seconds)};
    nanosleep(&time, NULL);
}

/* The next nap of one who waits. */
static double longer(double nap)
{
    return nap * 2 < longest_nap ? nap * 2 : longest_nap;
}

dfal_status df_mpi_check(int error, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (error == MPI_SUCCESS)
        return DFAL_OK;
    MPI_Error_string(error, text, &length);
    DF_FAIL(DFAL_E_UNAVAILABLE, "MPI failed in %s: %s", what, text);
}

/* ---- What has gone wrong ---------------------------------------------------------------------- */

/* The first news counts: what follows follows from it. */
static void note(struct df_mpi_service *service, const struct df_mpi_news *news)
{
    bool first = false;
    df_lock_take(&service->lock);
    if (!atomic_load(&service->broken)) {
        service->news = *news;
        atomic_store(&service->broken, true);
        first = true;
    }
    df_lock_release(&service->lock);
    if (first && news->rank != service->rank)
        service->watch.stop(service->watch.user, 0, news->status, news->sentence);
}

void df_mpi_service_give_up(struct df_mpi_service *service, dfal_status status, const char *sentence)
{
    struct df_mpi_news news = {.status = status, .rank = service->rank};
    snprintf(news.sentence, sizeof news.sentence, "rank %d on %s gave up: %.800s", service->rank,
             service->hosts[service->rank], sentence);
    note(service, &news);
}

/* The sentence is written once, before anybody sees `broken`. */
dfal_status df_mpi_service_broken(struct df_mpi_service *service)
{
    if (atomic_load(&service->broken))
        DF_FAIL(DFAL_E_STOPPED, "%s", service->news.sentence);
    return DFAL_OK;
}

dfal_status df_mpi_service_wait(struct df_mpi_service *service, MPI_Request *request)
{
    double nap = shortest_nap;
    for (;;) {
        int done = 0;
        DF_TRY(df_mpi_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), "waiting for the other ranks"));
        if (done)
            return DFAL_OK;
        DF_TRY(df_mpi_service_broken(service));
        df_mpi_nap(nap);
        nap = longer(nap);
    }
}

/* ---- Questions to rank 0 ------------------------------------------------------------------------ */

/* One question of this rank at a time: answers do not tell whose they are. Where rank 0 is gone its memory is
 * MPI's for good. */
struct question {
    MPI_Request come, gone;
    char bytes[]; /* the answer's, then the question's */
};

static dfal_status exchange(struct df_mpi_service *service, struct question *question, int answer_size,
                            int size, int tag)
{
    DF_TRY(df_mpi_check(
        MPI_Irecv(question->bytes, answer_size, MPI_BYTE, 0, 0, service->answers, &question->come),
        "asking"));
    DF_TRY(df_mpi_check(
        MPI_Isend(question->bytes + answer_size, size, MPI_BYTE, 0, tag, service->control, &question->gone),
        "asking"));
    DF_TRY(df_mpi_service_wait(service, &question->come));
    return df_mpi_service_wait(service, &question->gone);
}

static dfal_status ask(struct df_mpi_service *service, const void *bytes, int size, int tag, void *answer,
                       int answer_size)
{
    struct question *question;
    DF_TRY(df_alloc(&question, 1, sizeof *question + (size_t)answer_size + (size_t)size));
    memcpy(question->bytes + answer_size, bytes, (size_t)size);
    df_lock_take(&service->asking);
    const dfal_status status = exchange(service, question, answer_size, size, tag);
    df_lock_release(&service->asking);
    DF_TRY(status);
    memcpy(answer, question->bytes, (size_t)answer_size);
    df_free(question);
    return DFAL_OK;
}

dfal_status df_mpi_service_claim(struct df_mpi_service *service, int32_t counter, int64_t *value)
{
    DF_TRY(df_mpi_service_broken(service));
    if (service->rank > 0)
        return ask(service, &counter, sizeof counter, TAG_CLAIM, value, sizeof *value);
    *value = df_counters_claim(&service->counters, counter);
    return DFAL_OK;
}

static void answer_claim(struct df_mpi_service *service, int32_t rank)
{
    int32_t counter;
    MPI_Recv(&counter, sizeof counter, MPI_BYTE, rank, TAG_CLAIM, service->control, MPI_STATUS_IGNORE);
    const int64_t value = df_counters_claim(&service->counters, counter);
    MPI_Send(&value, sizeof value, MPI_BYTE, rank, 0, service->answers);
}

static dfal_status hear(struct df_mpi_service *service, const char *bytes, int64_t size)
{
    dfal_status status = df_mpi_service_broken(service);
    df_lock_take(&service->listening);
    if (status == DFAL_OK && service->listen != NULL)
        status = service->listen(service->listener, bytes, size);
    else if (status == DFAL_OK)
        status = df_fail(DFAL_E_STOPPED, "nobody listens to what ranks tell");
    df_lock_release(&service->listening);
    return status;
}

/* What the listener answered. */
struct heard {
    int32_t status;
    char sentence[DF_MPI_SENTENCE];
};

dfal_status df_mpi_service_tell(struct df_mpi_service *service, const void *bytes, int64_t size)
{
    struct heard heard = {0};
    DF_TRY(df_mpi_service_broken(service));
    if (service->rank == 0)
        return hear(service, bytes, size);
    if (size > INT_MAX)
        DF_FAIL(DFAL_E_INTERNAL, "a rank was asked to tell %lld bytes at once, expected at most %d",
                (long long)size, INT_MAX);
    DF_TRY(ask(service, bytes, (int)size, TAG_TELL, &heard, sizeof heard));
    if (heard.status != DFAL_OK)
        DF_FAIL(heard.status, "%s", heard.sentence);
    return DFAL_OK;
}

/* A long message comes bit by bit while others are served; one that never comes whole is left to MPI. */
static void begin_message(struct df_mpi_service *service)
{
    int there = 0, size = 0;
    MPI_Status probed;
    if (service->message != NULL ||
        MPI_Iprobe(MPI_ANY_SOURCE, TAG_TELL, service->control, &there, &probed) != MPI_SUCCESS || !there)
        return;
    MPI_Get_count(&probed, MPI_BYTE, &size);
    if (df_alloc(&service->message, size, 1) != DFAL_OK)
        return; /* later, when there is memory; the rank waits */
    service->message_size = size;
    service->teller = probed.MPI_SOURCE;
    MPI_Irecv(service->message, size, MPI_BYTE, service->teller, TAG_TELL, service->control,
              &service->message_come);
}

static bool take_message(struct df_mpi_service *service)
{
    struct heard heard = {0};
    int done = 0;
    begin_message(service);
    if (service->message == NULL ||
        MPI_Test(&service->message_come, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
        return false;
    heard.status = hear(service, service->message, service->message_size);
    if (heard.status != DFAL_OK) {
        char sentence[DF_MESSAGE_SIZE];
        df_message_get(sentence);
        snprintf(heard.sentence, sizeof heard.sentence, "%.900s", sentence);
    }
    df_free(service->message);
    service->message = NULL;
    MPI_Send(&heard, sizeof heard, MPI_BYTE, service->teller, 0, service->answers);
    return true;
}

void df_mpi_service_listen(struct df_mpi_service *service, df_comm_listen_fn *listen, void *user)
{
    df_lock_take(&service->listening);
    service->listen = listen;
    service->listener = user;
    df_lock_release(&service->listening);
}

/* ---- The thread ------------------------------------------------------------------------------- */

static void hear_beat(struct df_mpi_service *service, int32_t rank)
{
    int32_t signal;
    MPI_Recv(&signal, 1, MPI_INT32_T, rank, TAG_BEAT, service->control, MPI_STATUS_IGNORE);
    service->heard[rank] = df_clock();
    if (signal != 0 && !service->stop_told && service->watch.stopped(service->watch.user) == 0) {
        service->stop_told = true;
        service->watch.stop(service->watch.user, signal, DFAL_OK, "");
    }
}

static void hear_news(struct df_mpi_service *service, int32_t rank)
{
    struct df_mpi_news news;
    MPI_Recv(&news, sizeof news, MPI_BYTE, rank, TAG_NEWS, service->control, MPI_STATUS_IGNORE);
    news.sentence[sizeof news.sentence - 1] = 0;
    service->heard[rank] = df_clock();
    note(service, &news);
}

/* Take the first message of a kind that is short, and so has come whole. */
static bool take(struct df_mpi_service *service, int tag, void (*how)(struct df_mpi_service *, int32_t))
{
    int there = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, tag, service->control, &there, &status) != MPI_SUCCESS || !there)
        return false;
    how(service, status.MPI_SOURCE);
    return true;
}

/* Take what has come. Returns whether there was anything. */
static bool listen(struct df_mpi_service *service)
{
    bool any = false;
    while (take(service, TAG_NEWS, hear_news) || take(service, TAG_BEAT, hear_beat) ||
           take(service, TAG_CLAIM, answer_claim))
        any = true;
    return any;
}

/* Whom this rank talks to. */
static bool is_peer(const struct df_mpi_service *service, int32_t rank)
{
    return rank != service->rank && (service->rank == 0 || rank == 0);
}

/* Messages are sent from memory that stays; one to a rank that does not take it is left where it is. */
static void send(struct df_mpi_service *service, MPI_Request *requests, const void *bytes, int count, int tag)
{
    for (int32_t r = 0; r < service->size; r++) {
        int done = 1;
        if (!is_peer(service, r))
            continue;
        if (requests[r] != MPI_REQUEST_NULL)
            MPI_Test(&requests[r], &done, MPI_STATUS_IGNORE);
        if (done)
            MPI_Isend(bytes, count, MPI_BYTE, r, tag, service->control, &requests[r]);
    }
}

/* A request to stop does not wait for the next second; it is the same memory that the sends before it may
 * still read, and then they tell of it. */
static bool is_time_to_beat(const struct df_mpi_service *service, double now)
{
    return now - service->told >= beat_seconds ||
           service->watch.stopped(service->watch.user) != service->signal;
}

static void beat(struct df_mpi_service *service)
{
    service->signal = service->watch.stopped(service->watch.user);
    send(service, service->beats, &service->signal, sizeof service->signal, TAG_BEAT);
}

static void look_for_dead(struct df_mpi_service *service, double now)
{
    for (int32_t r = 0; r < service->size; r++) {
        if (!is_peer(service, r) || now - service->heard[r] < service->watch.patience)
            continue;
        struct df_mpi_news news = {.status = DFAL_E_UNAVAILABLE, .rank = r, .died = true};
        snprintf(news.sentence, sizeof news.sentence, "rank %d on %s has not been heard from for %d s", r,
                 service->hosts[r], (int)service->watch.patience);
        note(service, &news);
    }
}

static void pass_news_on(struct df_mpi_service *service)
{
    if (service->relayed || !atomic_load(&service->broken))
        return;
    service->relayed = true;
    service->outgoing = service->news;
    send(service, service->passes, &service->outgoing, sizeof service->outgoing, TAG_NEWS);
}

static void *serve(void *user)
{
    struct df_mpi_service *service = user;
    double nap = shortest_nap;
    while (!atomic_load(&service->ended)) {
        nap = listen(service) ? shortest_nap : longer(nap);
        const double now = df_clock();
        if (is_time_to_beat(service, now)) {
            service->told = now;
            beat(service);
            look_for_dead(service, now);
        }
        pass_news_on(service);
        df_mpi_nap(nap);
    }
    return NULL;
}

static void *take_messages(void *user)
{
    struct df_mpi_service *service = user;
    double nap = shortest_nap;
    while (!atomic_load(&service->ended)) {
        nap = take_message(service) ? shortest_nap : longer(nap);
        df_mpi_nap(nap);
    }
    return NULL;
}

/* ---- Begin and end ---------------------------------------------------------------------------- */

dfal_status df_mpi_service_start(struct df_mpi_service *service, const struct df_comm_watch *watch,
                                 MPI_Comm control, MPI_Comm answers, char (*hosts)[DF_COMM_HOST])
{
    int rank, size;
    MPI_Comm_rank(control, &rank);
    MPI_Comm_size(control, &size);
    *service = (struct df_mpi_service){.watch = *watch,
                                       .control = control,
                                       .answers = answers,
                                       .hosts = hosts,
                                       .rank = rank,
                                       .size = size,
                                       .told = df_clock()};
    df_lock_begin(&service->lock);
    df_lock_begin(&service->asking);
    df_lock_begin(&service->listening);
    df_counters_begin(&service->counters);
    dfal_status status = df_alloc(&service->heard, size, sizeof *service->heard);
    DF_KEEP_FIRST(status, df_alloc(&service->beats, size, sizeof(MPI_Request)));
    DF_KEEP_FIRST(status, df_alloc(&service->passes, size, sizeof(MPI_Request)));
    for (int r = 0; r < size && status == DFAL_OK; r++) {
        service->heard[r] = service->told;
        service->beats[r] = service->passes[r] = MPI_REQUEST_NULL;
    }
    if (status == DFAL_OK)
        status = df_thread_start(&service->thread, serve, service);
    if (status == DFAL_OK && rank == 0)
        status = df_thread_start(&service->listening_thread, take_messages, service);
    if (status != DFAL_OK)
        df_mpi_service_end(service);
    return status;
}

void df_mpi_service_end(struct df_mpi_service *service)
{
    atomic_store(&service->ended, true);
    df_thread_join(&service->thread);
    df_thread_join(&service->listening_thread);
    df_counters_end(&service->counters);
    df_lock_end(&service->lock);
    df_lock_end(&service->asking);
    df_lock_end(&service->listening);
    df_free(service->heard);
    df_free(service->beats);
    df_free(service->passes);
    df_free(service->hosts);
}
