// SPDX-License-Identifier: Apache-2.0
#include "fibre.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "grid.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#error "the switch below is x86-64's"
#endif

// A kernel's frame is small, but a report of AddressSanitizer is written on the stack that it is about.
enum { STACK_SIZE = 512 * 1024 };

// Registers that a call keeps go onto the old stack and come from the new one. swapcontext would make a
// system call each time, for the signal mask. Floating-point modes are never changed.
asm(R"(
    .text
    .p2align 4
    .globl simt_switch
    .hidden simt_switch
    .type simt_switch, @function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size simt_switch, .-simt_switch
)");
extern "C" void simt_switch(void **save, void *load);

static struct simt_fibre *left; // whom the last switch left

static void arrive(struct simt_fibre *here)
{
    (void)here;
#ifdef __SANITIZE_ADDRESS__
    // The stack of the fibre that was left is known to it alone where it is the program's own.
    __sanitizer_finish_switch_fiber(here->fake_stack, &left->stack, &left->stack_size);
#endif
}

static struct simt_fibre *entered; // whom it went to

static void enter()
{
    arrive(entered);
    entered->body();
    simt_die("a fibre's body returned");
}

struct simt_fibre *simt_fibre_create(void (*body)())
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = (char *)mmap(NULL, STACK_SIZE + page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0)
        simt_die("no memory for a fibre's stack");
    // Its own record lies at the stack's far end: no leak check asks who owns it.
    struct simt_fibre *fibre = new (memory + page) simt_fibre();
    fibre->stack = memory + page;
    fibre->stack_size = STACK_SIZE;
    // What simt_switch pops: six registers, the address to return to, and where that would return to:
    // nowhere. Stacks begin at different lines of a page: all in the same few sets of a cache, they would
    // push each other out.
    static size_t count;
    void **top = (void **)(memory + page + STACK_SIZE - count++ % 32 * 448) - 8;
    for (int i = 0; i < 8; i++)
        top[i] = NULL;
    top[6] = (void *)enter;
    fibre->top = top;
    fibre->body = body;
    return fibre;
}

void simt_fibre_switch(struct simt_fibre *from, struct simt_fibre *to)
{
    left = from;
    entered = to;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_size);
#endif
    simt_switch(&from->top, to->top);
    arrive(from);
}
