/* SPDX-License-Identifier: Apache-2.0 */
/* Several ranks, each a process of this program under mpirun: test_ranks CASE. Where all find what they
 * expect rank 0 says "CASE: N ranks agree". */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "comm/member.h"
#include "expect_ranks.h"

static struct df_comm *comm;

#define EXPECT(condition) EXPECT_ON(comm, condition)

/* What the member told this process. */
static atomic_int asked_by, told_signal, told_status;
static char told_text[2000];

static int stopped(void *user)
{
    (void)user;
    return atomic_load(&asked_by);
}

static void stop(void *user, int number, dfal_status status, const char *sentence)
{
    (void)user;
    snprintf(told_text, sizeof told_text, "%s", sentence);
    if (status == DFAL_OK)
        atomic_store(&asked_by, number); /* as a context is */
    atomic_store(&told_signal, number);
    atomic_store(&told_status, status);
}

/* Until something is told, or for ten seconds. */
static void wait_for(const atomic_int *what)
{
    for (int i = 0; i < 1000 && atomic_load(what) == 0; i++)
        usleep(10000);
}

/* ---- Cases ------------------------------------------------------------------------------------ */

static void gather(void)
{
    enum { MOST = 64 };
    int64_t bytes[MOST] = {0}, total = 0;
    char in[MOST], out[MOST * MOST];
    for (int32_t r = 0; r < comm->size; r++)
        total += bytes[r] = r % 3; /* also none at all */
    memset(in, 'a' + comm->rank, sizeof in);
    EXPECT(comm->allgatherv(comm, out, bytes, in) == DFAL_OK);
    for (int64_t i = 0, r = 0, k = 0; i < total; i++, k++) {
        while (k == bytes[r])
            r++, k = 0;
        EXPECT(out[i] == 'a' + r);
    }
    char *texts[MOST];
    snprintf(in, sizeof in, "%.*s", comm->rank, "abcdefghijklmnop");
    EXPECT(df_comm_gather_texts(comm, texts, in) == DFAL_OK);
    for (int32_t r = 0; r < comm->size; r++)
        EXPECT((int32_t)strlen(texts[r]) == r && strncmp(texts[r], "abcdefghijklmnop", (size_t)r) == 0);
    df_free(texts[0]);
}

static void broadcast(void)
{
    const int32_t root = comm->size - 1;
    int64_t data[3] = {comm->rank, 7, -comm->rank};
    EXPECT(comm->broadcast(comm, data, sizeof data, root) == DFAL_OK);
    EXPECT(data[0] == root && data[1] == 7 && data[2] == -root);
    EXPECT(comm->barrier(comm) == DFAL_OK);
}

/* Rows of three numbers: also fewer than ranks, and none. */
static void exchange(void)
{
    for (int64_t count = 0; count < 8; count++) {
        int32_t rows[8][3] = {{0}};
        const struct df_comm_share share = df_comm_share(comm, comm->rank, count);
        double sum = (double)share.count;
        for (int64_t i = share.begin; i < share.begin + share.count; i++)
            for (int32_t k = 0; k < 3; k++)
                rows[i][k] = (int32_t)(10 * i + k);
        EXPECT(df_comm_exchange(comm, rows, count, sizeof *rows) == DFAL_OK);
        for (int32_t i = 0; i < 8; i++)
            for (int32_t k = 0; k < 3; k++)
                EXPECT(rows[i][k] == (i < count ? 10 * i + k : 0));
        EXPECT(df_comm_sum(comm, &sum, 1) == DFAL_OK && sum == (double)count);
    }
}

/* 1 and the halves of the last bit on every other rank: in another order the sum would be larger. */
static void sum(void)
{
    double value[2] = {comm->rank == 0 ? 1.0 : 0x1p-53, comm->rank + 1};
    EXPECT(df_comm_sum(comm, value, 2) == DFAL_OK);
    EXPECT(value[0] == 1.0);
    EXPECT(value[1] == comm->size * (comm->size + 1) / 2);
}

/* Each number is claimed by one rank, and none is left out. */
static void claims(void)
{
    enum { CLAIMS = 200 };
    const int32_t counter = df_comm_counter(comm), other = df_comm_counter(comm);
    double taken[CLAIMS] = {0}, first = 0;
    int64_t value;
    EXPECT(counter != other);
    for (;;) {
        EXPECT(comm->claim(comm, counter, &value) == DFAL_OK);
        if (value >= CLAIMS)
            break;
        taken[value]++;
        usleep(comm->rank == 0 ? 500 : 50);
    }
    EXPECT(df_comm_sum(comm, taken, CLAIMS) == DFAL_OK);
    for (int i = 0; i < CLAIMS; i++)
        EXPECT(taken[i] == 1);
    EXPECT(comm->claim(comm, other, &value) == DFAL_OK);
    first = value == 0;
    EXPECT(df_comm_sum(comm, &first, 1) == DFAL_OK);
    EXPECT(first == 1);
}

/* Rank 0 hears what all tell, itself too, and what it answers comes back. */
struct heard {
    int64_t messages, bytes;
};

static dfal_status hear(void *user, const char *bytes, int64_t size)
{
    struct heard *heard = user;
    if (size > 0 && bytes[0] == '!')
        DF_FAIL(DFAL_E_DATA, "not to be heard: %.*s", (int)size, bytes);
    heard->messages++;
    heard->bytes += size;
    return DFAL_OK;
}

static void tell(void)
{
    struct heard heard = {0};
    static char bytes[100000];
    double told = 0;
    EXPECT(comm->rank > 0 || comm->tell(comm, "early", 5) == DFAL_E_STOPPED);
    if (comm->rank == 0)
        comm->listen(comm, hear, &heard);
    EXPECT(comm->barrier(comm) == DFAL_OK);
    for (int i = 0; i < 3; i++) {
        const int64_t size = i * (int64_t)sizeof bytes / 2 - (comm->rank && i ? comm->rank : 0);
        EXPECT(comm->tell(comm, bytes, size) == DFAL_OK);
        told += (double)size;
    }
    EXPECT(comm->tell(comm, "! no", 4) == DFAL_E_DATA);
    EXPECT(strcmp(dfal_last_error(), "not to be heard: ! no") == 0);
    EXPECT(df_comm_sum(comm, &told, 1) == DFAL_OK);
    if (comm->rank == 0)
        comm->listen(comm, NULL, NULL);
    EXPECT(comm->rank > 0 || (heard.messages == 3 * comm->size && heard.bytes == (int64_t)told));
    EXPECT(comm->barrier(comm) == DFAL_OK);
}

/* The first difference is named, on every rank alike. */
static void same(void)
{
    struct df_identity identity = {0};
    char expected[128];
    df_identity_add(&identity, "preset", "lts4");
    EXPECT(df_comm_same(comm, &identity, false) == DFAL_OK);
    df_identity_add(&identity, "isa", comm->rank == comm->size - 1 ? "avx2" : "avx512");
    const bool alone = comm->size == 1;
    EXPECT(df_comm_same(comm, &identity, true) == DFAL_OK);
    EXPECT(df_comm_same(comm, &identity, false) == (alone ? DFAL_OK : DFAL_E_CONFIG));
    snprintf(expected, sizeof expected, "rank %d on %s has isa 'avx2', rank 0 on", comm->size - 1,
             comm->host);
    EXPECT(alone || strncmp(dfal_last_error(), expected, strlen(expected)) == 0);
    EXPECT(alone || strstr(dfal_last_error(), "has 'avx512': expected the same on all ranks") != NULL);
    df_identity_clear(&identity);
}

/* Neighbours, two by two: each pair is a comm of its own, with calls of its own. */
static void split(void)
{
    struct df_comm *pair;
    const int32_t number = comm->rank / 2, first = 2 * number, size = comm->size - first < 2 ? 1 : 2;
    int32_t ranks[2] = {-1, -1};
    double sum = comm->rank;
    EXPECT(comm->split(comm, &pair, number) == DFAL_OK);
    EXPECT(pair->size == size && pair->rank == comm->rank - first);
    EXPECT(df_comm_allgather(pair, ranks, &comm->rank, sizeof comm->rank) == DFAL_OK);
    EXPECT(ranks[0] == first && ranks[1] == (size == 2 ? first + 1 : -1));
    for (int i = 0; i < 3 * (number + 1); i++) /* one pair makes more calls than another */
        EXPECT(df_comm_sum(pair, &sum, 1) == DFAL_OK);
    EXPECT(sum == (size == 2 ? (2 * first + 1) * (1 << (3 * number + 2)) : first));
    EXPECT(pair->broadcast(pair, &sum, sizeof sum, size - 1) == DFAL_OK);
    EXPECT(pair->barrier(pair) == DFAL_OK);
    EXPECT(comm->barrier(comm) == DFAL_OK);
}

/* By hosts, as though every second rank were on another one. */
static void split_hosts(void)
{
    struct df_comm *here;
    char host[DF_COMM_HOST];
    int32_t ranks[64];
    EXPECT(df_comm_split_hosts(comm, &here) == DFAL_OK);
    EXPECT(here->size == comm->size && here->rank == comm->rank);
    memcpy(host, comm->host, sizeof host);
    snprintf(comm->host, sizeof comm->host, "n%d", comm->rank % 2);
    EXPECT(df_comm_split_hosts(comm, &here) == DFAL_OK);
    memcpy(comm->host, host, sizeof host);
    EXPECT(here->size == (comm->size + 1 - comm->rank % 2) / 2 && here->rank == comm->rank / 2);
    EXPECT(df_comm_allgather(here, ranks, &comm->rank, sizeof comm->rank) == DFAL_OK);
    for (int32_t r = 0; r < here->size; r++)
        EXPECT(ranks[r] == 2 * r + comm->rank % 2);
}

static void collective(void)
{
    EXPECT(comm->local_size == comm->size && comm->local_rank == comm->rank);
    gather();
    broadcast();
    exchange();
    sum();
    claims();
    tell();
    same();
    split();
    split(); /* a second time beside the first */
    split_hosts();
}

/* A signal that one rank was sent reaches all, and nobody's calls fail. */
static void signalled(void)
{
    if (comm->rank == comm->size - 1)
        atomic_store(&asked_by, SIGUSR1);
    else
        wait_for(&told_signal);
    EXPECT(comm->rank == comm->size - 1 || told_signal == SIGUSR1);
    EXPECT(told_status == DFAL_OK);
    EXPECT(comm->barrier(comm) == DFAL_OK);
}

/* One rank gives up: the others, waiting or working, learn who and why, also those that were split off with
 * others than it. */
static void given_up(void)
{
    char expected[128];
    int64_t value;
    struct df_comm *part;
    EXPECT(comm->split(comm, &part, comm->rank == 1) == DFAL_OK);
    snprintf(expected, sizeof expected, "rank 1 on %s gave up: the disk is full", comm->host);
    if (comm->rank == 1) {
        comm->give_up(comm, DFAL_E_IO, "the disk is full");
        return;
    }
    if (comm->rank == 0)
        EXPECT(comm->barrier(comm) == DFAL_E_STOPPED && strcmp(dfal_last_error(), expected) == 0);
    wait_for(&told_status);
    EXPECT(told_status == DFAL_E_IO && strcmp(told_text, expected) == 0);
    EXPECT(comm->claim(comm, df_comm_counter(comm), &value) == DFAL_E_STOPPED);
    EXPECT(part->barrier(part) == DFAL_E_STOPPED && strcmp(dfal_last_error(), expected) == 0);
}

/* One rank is silent: the others do not wait for it. */
static void wait_without(int32_t rank, const char *name)
{
    char expected[128];
    int64_t value;
    snprintf(expected, sizeof expected, "rank %d on %s has not been heard from for 2 s", rank, comm->host);
    if (comm->rank == rank) {
        raise(SIGSTOP);
        _exit(1); /* woken by mpirun to be ended */
    }
    EXPECT(comm->barrier(comm) == DFAL_E_STOPPED);
    EXPECT(told_status == DFAL_E_UNAVAILABLE);
    EXPECT(strcmp(dfal_last_error(), expected) == 0);
    EXPECT(comm->claim(comm, df_comm_counter(comm), &value) == DFAL_E_STOPPED);
    printf("%s: rank %d does not wait\n", name, comm->rank);
    fflush(stdout);
}

static void silent(void)
{
    wait_without(1, "silent");
}

/* Rank 0, by way of which all others hear of each other. */
static void leaderless(void)
{
    wait_without(0, "leaderless");
}

/* Rank 0 takes longer over what it is told than a rank may be silent, and is alive all the while. */
static dfal_status hear_slowly(void *user, const char *bytes, int64_t size)
{
    (void)user, (void)bytes, (void)size;
    usleep(3500000);
    return DFAL_OK;
}

static void slow(void)
{
    int64_t value;
    const int32_t counter = df_comm_counter(comm);
    if (comm->rank == 0)
        comm->listen(comm, hear_slowly, NULL);
    EXPECT(comm->barrier(comm) == DFAL_OK);
    if (comm->rank == 1)
        EXPECT(comm->tell(comm, "long", 4) == DFAL_OK);
    if (comm->rank == 2)
        EXPECT(comm->claim(comm, counter, &value) == DFAL_OK && value == 0);
    EXPECT(comm->barrier(comm) == DFAL_OK && told_status == DFAL_OK);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"collective", collective}, {"signalled", signalled},   {"given_up", given_up},
                 {"silent", silent},         {"leaderless", leaderless}, {"slow", slow}};
    const struct df_comm_object *object;
    const char *name = argc == 2 ? argv[1] : "";
    const struct df_comm_watch watch = {NULL, stopped, stop,
                                        strstr("silent leaderless slow", name) ? 2.0 : 60.0};
    if (df_comm_object_load(&object, "mpi") != DFAL_OK || object->open(&comm, &watch) != DFAL_OK) {
        fprintf(stderr, "%s\n", dfal_last_error());
        return 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, name) != 0)
            continue;
        const int32_t rank = comm->rank, size = comm->size;
        cases[i].run();
        comm->close(comm);
        if (rank == 0)
            printf("%s: %d ranks agree\n", name, size);
        return 0;
    }
    fprintf(stderr, "there is no case '%s'\n", name);
    return 64;
}
