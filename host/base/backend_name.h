/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller may call a back end: "auto", "cpu", "cuda", "cuda:1", "cuda:0,1", "cuda:all", "ref", "ref64",
 * "check:A:B", "dlopen:PATH". */
#ifndef DF_BASE_BACKEND_NAME_H
#define DF_BASE_BACKEND_NAME_H

#include "base/status.h"

/* Name, what follows it behind a colon, how a message writes it. */
#define DF_BACKEND_NAMES(X)                                                                                  \
    X(auto, NONE, "auto")                                                                                    \
    X(cpu, NONE, "cpu")                                                                                      \
    X(cuda, MAY, "cuda, cuda:N or cuda:N,N,... with N from 0 to 9999, or cuda:all")                          \
    X(ref, NONE, "ref")                                                                                      \
    X(ref64, NONE, "ref64")                                                                                  \
    X(check, MUST, "check:A:B with A and B of cpu, cuda[:N], ref")                                           \
    X(dlopen, MUST, "dlopen:PATH")

enum df_backend_kind {
#define X(name, spec, form) DF_BACKEND_##name,
    DF_BACKEND_NAMES(X)
#undef X
};

enum { DF_BACKEND_NAME_SIZE = 1024, DF_BACKEND_DEVICES = 64 /* in a list, at most */ };
struct df_backend_name {
    enum df_backend_kind kind;
    const char *spec; /* behind the colon, "" where there is none: part of the text that was read */
    char first[DF_BACKEND_NAME_SIZE];   /* A of check:A:B */
    const char *second;                 /* B: part of the text that was read */
    int32_t device[DF_BACKEND_DEVICES]; /* N,N,... of cuda:N,N,... as they stand there, each once */
    int32_t device_count;               /* 0: none is named */
    bool all;                           /* cuda:all */
};

/* Read a name; A and B of check:A:B are names themselves, of one device each, A none with a colon but cuda:N
 * and dlopen:PATH.
 * Errors   E_USAGE, with the nearest name */
dfal_status df_backend_name_read(struct df_backend_name *out, const char *text);
/* Does it name more devices than one? */
bool df_backend_name_is_group(const struct df_backend_name *name);

#endif
