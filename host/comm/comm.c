/* SPDX-License-Identifier: Apache-2.0 */
/* What all members share, made of their few functions. */
#include "comm/comm.h"

#include <string.h>

#include "base/memory.h"

int32_t df_comm_counter(struct df_comm *comm)
{
    return comm->counters++;
}

dfal_status df_comm_gather(struct df_comm *comm, void **out, int64_t *bytes, const void *in, int64_t own)
{
    int64_t total = 0;
    *out = NULL;
    DF_TRY(df_comm_allgather(comm, bytes, &own, sizeof own));
    for (int32_t r = 0; r < comm->size; r++)
        total += bytes[r];
    DF_TRY(df_alloc(out, total, 1));
    const dfal_status status = comm->allgatherv(comm, *out, bytes, in);
    if (status != DFAL_OK) {
        df_free(*out);
        *out = NULL;
    }
    return status;
}

dfal_status df_comm_allgather(struct df_comm *comm, void *out, const void *in, int64_t bytes)
{
    int64_t *of;
    DF_TRY(df_alloc(&of, comm->size, sizeof *of));
    for (int32_t r = 0; r < comm->size; r++)
        of[r] = bytes;
    const dfal_status status = comm->allgatherv(comm, out, of, in);
    df_free(of);
    return status;
}

dfal_status df_comm_split_hosts(struct df_comm *comm, struct df_comm **out)
{
    char(*hosts)[DF_COMM_HOST];
    int32_t first = 0;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&hosts, comm->size, sizeof *hosts));
    DF_TRY_TO(done, status, df_comm_allgather(comm, hosts, comm->host, sizeof *hosts));
    while (strcmp(hosts[first], comm->host) != 0)
        first++;
    status = comm->split(comm, out, first);
done:
    df_free(hosts);
    return status;
}

dfal_status df_comm_broadcast(struct df_comm *comm, void *data, int64_t bytes, int32_t root)
{
    const int64_t most = 1 << 28;
    char *from = data;
    for (int64_t at = 0; at < bytes; at += most)
        DF_TRY(comm->broadcast(comm, from + at, bytes - at < most ? bytes - at : most, root));
    return DFAL_OK;
}

struct df_comm_share df_comm_share(const struct df_comm *comm, int32_t rank, int64_t count)
{
    const int64_t begin = count * rank / comm->size;
    return (struct df_comm_share){begin, count * (rank + 1) / comm->size - begin};
}

dfal_status df_comm_exchange(struct df_comm *comm, void *values, int64_t count, size_t row_bytes)
{
    char *rows = values;
    for (int32_t r = 0; r < comm->size; r++) {
        const struct df_comm_share share = df_comm_share(comm, r, count);
        DF_TRY(df_comm_broadcast(comm, rows + (size_t)share.begin * row_bytes,
                                 share.count * (int64_t)row_bytes, r));
    }
    return DFAL_OK;
}

dfal_status df_comm_gather_texts(struct df_comm *comm, char **texts, const char *text)
{
    int64_t *bytes;
    void *all;
    DF_TRY(df_alloc(&bytes, comm->size, sizeof *bytes));
    const dfal_status status = df_comm_gather(comm, &all, bytes, text, (int64_t)strlen(text) + 1);
    char *at = all;
    for (int32_t r = 0; r < comm->size && status == DFAL_OK; r++) {
        texts[r] = at;
        at += bytes[r];
    }
    df_free(bytes);
    return status;
}

dfal_status df_comm_sum(struct df_comm *comm, double *values, int64_t count)
{
    double *all;
    DF_TRY(df_alloc(&all, comm->size * count, sizeof *all));
    const dfal_status status = df_comm_allgather(comm, all, values, count * (int64_t)sizeof *values);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        values[i] = all[i];
        for (int32_t r = 1; r < comm->size; r++)
            values[i] += all[r * count + i];
    }
    df_free(all);
    return status;
}

/* The first difference of rank r's lines from those of rank 0. */
static dfal_status compare(char **texts, char **hosts, int32_t r, bool allow_mixed)
{
    struct df_identity first = {0}, other = {0};
    struct df_identity_difference difference = {0};
    char a[DF_SHOWN_TEXT], b[DF_SHOWN_TEXT];
    dfal_status status;
    DF_TRY_TO(done, status, df_identity_read(&first, texts[0], hosts[0]));
    DF_TRY_TO(done, status, df_identity_read(&other, texts[r], hosts[r]));
    while (status == DFAL_OK && df_identity_next(&difference, &first, &other))
        if (!difference.arithmetic || !allow_mixed)
            status =
                df_fail(DFAL_E_CONFIG,
                        "rank %d on %s has %s '%s', rank 0 on %s has '%s': expected the same on all ranks%s",
                        r, hosts[r], difference.name, df_shown(a, difference.theirs ? difference.theirs : ""),
                        hosts[0], df_shown(b, difference.ours ? difference.ours : ""),
                        difference.arithmetic ? " (`allow_mixed` takes it all the same)" : "");
done:
    df_identity_clear(&first);
    df_identity_clear(&other);
    return status;
}

dfal_status df_comm_same(struct df_comm *comm, const struct df_identity *identity, bool allow_mixed)
{
    struct df_text text = {0};
    char **texts = NULL, **hosts = NULL;
    dfal_status status = DFAL_OK;
    if (comm->size == 1)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&texts, comm->size, sizeof *texts));
    DF_TRY_TO(done, status, df_alloc(&hosts, comm->size, sizeof *hosts));
    DF_TRY_TO(done, status, df_identity_write(&text, identity));
    DF_TRY_TO(done, status, df_comm_gather_texts(comm, texts, text.bytes));
    DF_TRY_TO(done, status, df_comm_gather_texts(comm, hosts, comm->host));
    for (int32_t r = 1; r < comm->size && status == DFAL_OK; r++)
        status = compare(texts, hosts, r, allow_mixed);
done:
    if (texts)
        df_free(texts[0]);
    if (hosts)
        df_free(hosts[0]);
    df_free(texts);
    df_free(hosts);
    df_text_clear(&text);
    return status;
}
