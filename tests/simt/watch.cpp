// SPDX-License-Identifier: Apache-2.0
// Who has accessed which bytes (watch.h). An access is remembered as (block, barriers, thread, clock): the
// serial number of its block, how many barriers of the block came before, its thread, and how many barriers
// of the warp that thread had passed. known[] of a thread is, of each lane of its warp, the newest clock that
// a __syncwarp has told it of: what the lane did up to then came before.
#include "watch.h"

#include <dlfcn.h>
#include <stdio.h>

#include <unordered_map>
#include <vector>

enum { LANES = 32, PAGE = 4096 };

enum kind { READ, WRITE, ATOMIC };

struct access {
    uint32_t block; // 0: nobody
    uint32_t barriers;
    uint32_t thread;
    uint32_t clock;
};

// A word, or a part of one: the last write, and the last two threads that have read it or changed it by an
// atomic.
struct cell {
    struct access write, atomics[2], reads[2];
};

struct lane_clock {
    uint32_t known[LANES]; // of each lane of the warp; its own: its count
};

static uint32_t serial, first_serial; // of the block; of the kernel's first one
static uint32_t barriers;             // of the block
static std::vector<uint3> blocks;     // of the kernel, as they were run
static std::vector<lane_clock> clocks;
static size_t shared_bytes;
// The cells of memory that kernels have accessed, by page.
struct pages {
    unsigned step; // bytes of a cell
    std::unordered_map<uintptr_t, std::vector<cell>> all;
    uintptr_t number; // of the page that was looked at last
    struct cell *last;

    struct cell &at(uintptr_t address)
    {
        if (last == NULL || number != address / PAGE) {
            std::vector<cell> &page = all[address / PAGE];
            if (page.empty())
                page.resize(PAGE / step);
            number = address / PAGE;
            last = page.data();
        }
        return last[address % PAGE / step];
    }
    void forget()
    {
        all.clear();
        last = NULL;
    }
};
static struct pages words = {4, {}, 0, NULL}, parts = {1, {}, 0, NULL};

// The linker names where a section begins and ends: that of __shared__ (grid.cpp), and .bss, where gcc 12
// leaves the static variables of a template, whatever section they ask for. A kernel writes to no other
// variable there.
extern "C" char __start_simt_shared[] __attribute__((weak, visibility("hidden"), aligned(8)));
extern "C" char __stop_simt_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __bss_start[] __attribute__((visibility("hidden")));
extern "C" char _end[] __attribute__((visibility("hidden")));

// ---- What orders -----------------------------------------------------------------------------------------

void simt_watch_grid(unsigned threads, size_t shared)
{
    clocks.resize(threads);
    first_serial = serial + 1;
    blocks.clear();
    shared_bytes = shared;
    if (words.all.size() + parts.all.size() > 1024) { // earlier kernels' are of no use
        words.forget();
        parts.forget();
    }
}

void simt_watch_block()
{
    serial++;
    blocks.push_back(simt_here.block);
    barriers = 0;
    for (size_t t = 0; t < clocks.size(); t++) {
        clocks[t] = {};
        clocks[t].known[t % LANES] = 1;
    }
}

void simt_watch_barrier()
{
    barriers++;
}

void simt_watch_warp(unsigned first, unsigned lanes)
{
    struct lane_clock all = {};
    for (unsigned l = 0; l < LANES; l++)
        for (unsigned other = 0; (lanes >> l & 1) != 0 && other < LANES; other++)
            if (clocks[first + l].known[other] > all.known[other])
                all.known[other] = clocks[first + l].known[other];
    for (unsigned l = 0; l < LANES; l++) {
        if ((lanes >> l & 1) == 0)
            continue;
        clocks[first + l] = all;
        clocks[first + l].known[l]++;
    }
}

static bool is_shared(uintptr_t at)
{
    return at - (uintptr_t)simt_here.shared < shared_bytes ||
           at - (uintptr_t)__start_simt_shared < (uintptr_t)(__stop_simt_shared - __start_simt_shared) ||
           at - (uintptr_t)__bss_start < (uintptr_t)(_end - __bss_start);
}

// Has the access happened before what the running thread does now?
static bool is_before(const struct access &a, uintptr_t at)
{
    const unsigned t = (unsigned)simt_current;
    if (a.block < first_serial)
        return true;
    if (a.block != serial)
        return is_shared(at); // another block's own
    return a.thread == t || a.barriers != barriers ||
           (a.thread / LANES == t / LANES && clocks[t].known[a.thread % LANES] >= a.clock);
}

// ---- Looking ---------------------------------------------------------------------------------------------

[[noreturn]] static void die_of_race(const struct access &before, enum kind did, enum kind does, uintptr_t at,
                                     size_t size, const void *place)
{
    static const char *const past[] = {"has read", "has written", "has changed by an atomic"},
                             *const now[] = {"reads", "writes", "changes by an atomic"};
    Dl_info object = {};
    char other[64] = "";
    if (before.block != serial) {
        const uint3 &b = blocks[before.block - first_serial];
        snprintf(other, sizeof other, " of block (%u,%u,%u)", b.x, b.y, b.z);
    }
    (void)dladdr(place, &object);
    simt_die("%s: %s %s %zu bytes of %s memory, at %p, that %s%s %s: nothing orders the two (%s+0x%zx)",
             simt_say_block().text, simt_say_thread((unsigned)simt_current).text, now[does], size,
             is_shared(at) ? "shared" : "global", (void *)at, simt_say_thread(before.thread).text, other,
             past[did], object.dli_fname != NULL ? object.dli_fname : "?",
             (size_t)((uintptr_t)place - (uintptr_t)object.dli_fbase));
}

// Put it before what this thread did last, or before what another did.
static void remember(struct access (&last)[2], const struct access &me)
{
    if (last[0].thread != me.thread || last[0].block != me.block)
        last[1] = last[0];
    last[0] = me;
}

static void look_at(struct cell &cell, enum kind kind, uintptr_t at, size_t size, const void *place)
{
    const unsigned t = (unsigned)simt_current;
    const struct access me = {serial, barriers, t, clocks[t].known[t % LANES]};
    if (!is_before(cell.write, at))
        die_of_race(cell.write, WRITE, kind, at, size, place);
    for (int i = 0; i < 2; i++) {
        if (kind != ATOMIC && !is_before(cell.atomics[i], at))
            die_of_race(cell.atomics[i], ATOMIC, kind, at, size, place);
        if (kind != READ && !is_before(cell.reads[i], at))
            die_of_race(cell.reads[i], READ, kind, at, size, place);
    }
    if (kind == WRITE)
        cell.write = me;
    else
        remember(kind == ATOMIC ? cell.atomics : cell.reads, me);
}

static void look(const void *address, size_t size, enum kind kind, const void *place)
{
    const uintptr_t at = (uintptr_t)address;
    if (simt_current < 0 || simt_is_own_stack(address))
        return;
    if (size < 4)
        for (size_t i = 0; i < size; i++)
            look_at(parts.at(at + i), kind, at + i, size, place);
    else
        for (size_t i = 0; i < size; i += 4)
            look_at(words.at(at + i), kind, at + i, size, place);
    if (kind != ATOMIC)
        simt_may_switch();
}

void simt_watch_atomic(const void *address, size_t size, const void *place)
{
    look(address, size, ATOMIC, place);
}

// ---- What the compiler calls -----------------------------------------------------------------------------

#define ACCESS(name, kind, size)                                                                             \
    extern "C" void __tsan_##name(const void *address)                                                       \
    {                                                                                                        \
        look(address, size, kind, __builtin_return_address(0));                                              \
    }
ACCESS(read1, READ, 1)
ACCESS(read2, READ, 2)
ACCESS(read4, READ, 4)
ACCESS(read8, READ, 8)
ACCESS(read16, READ, 16)
ACCESS(write1, WRITE, 1)
ACCESS(write2, WRITE, 2)
ACCESS(write4, WRITE, 4)
ACCESS(write8, WRITE, 8)
ACCESS(write16, WRITE, 16)
ACCESS(unaligned_read2, READ, 2)
ACCESS(unaligned_read4, READ, 4)
ACCESS(unaligned_read8, READ, 8)
ACCESS(unaligned_read16, READ, 16)
ACCESS(unaligned_write2, WRITE, 2)
ACCESS(unaligned_write4, WRITE, 4)
ACCESS(unaligned_write8, WRITE, 8)
ACCESS(unaligned_write16, WRITE, 16)

extern "C" void __tsan_read_range(const void *address, size_t size)
{
    look(address, size, READ, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(const void *address, size_t size)
{
    look(address, size, WRITE, __builtin_return_address(0));
}
extern "C" void __tsan_vptr_update(void **, void *)
{
}
extern "C" void __tsan_vptr_read(void **)
{
}
extern "C" void __tsan_func_entry(void *)
{
}
extern "C" void __tsan_func_exit()
{
}
extern "C" void __tsan_init()
{
}
