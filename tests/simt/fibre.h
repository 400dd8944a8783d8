/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks to switch between, without a system call; AddressSanitizer is told. */
#ifndef DFAL_TESTS_SIMT_FIBRE_H
#define DFAL_TESTS_SIMT_FIBRE_H

#include <stddef.h>

struct simt_fibre {
    void *top; /* saved stack pointer */
    const void *stack;
    size_t stack_size;
    void *fake_stack; /* AddressSanitizer's */
    void (*body)();
};

/* A fibre that will run body, which never returns, when it is first switched to. */
struct simt_fibre *simt_fibre_create(void (*body)());

/* Leave `from` and go on where `to` was left. */
void simt_fibre_switch(struct simt_fibre *from, struct simt_fibre *to);

#endif
