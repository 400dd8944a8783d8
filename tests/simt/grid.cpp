// SPDX-License-Identifier: Apache-2.0
// Blocks, threads and barriers. A thread that never waits needs no fibre of its own: a fibre whose thread has
// ended takes the next one, so that a kernel without barriers is a plain loop.
#include "grid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "fibre.h"
#include "watch.h"

enum { LANES = 32 };

enum state { UNBORN, READY, WAITING, ENDED };

// A barrier as it is called: all who wait at it must have called it alike.
struct barrier {
    enum simt_wait wait;
    unsigned mask; // of the lanes; 0: the block
    const char *file;
    int line;

    bool operator==(const struct barrier &other) const
    {
        return wait == other.wait && mask == other.mask && line == other.line &&
               (file == other.file || strcmp(file, other.file) == 0);
    }
};

struct thread {
    enum state state;
    struct simt_fibre *fibre;
    uint3 index;
    struct barrier at;       // WAITING
    uint64_t value, outcome; // given to the barrier, taken from it
    unsigned source;         // lane whose value a shuffle wants
};

// A warp barrier that some lanes have reached.
struct gathering {
    struct barrier at;
    unsigned come;
};
struct warp {
    unsigned lanes; // that exist
    std::vector<gathering> open;
};

struct simt_here simt_here;

static const struct simt_grid *grid;
static std::vector<thread> threads;
static std::vector<warp> warps;
static std::vector<unsigned> order; // of threads, between two barriers
static size_t position;             // in order
static unsigned ended, in_block_barrier;
thread_local int simt_current = -1;
static struct simt_fibre scheduler;
static std::vector<simt_fibre *> idle;

// What the loader makes of the section that __shared__ names.
extern "C" char __start_simt_shared[] __attribute__((weak, visibility("hidden"), aligned(8)));
extern "C" char __stop_simt_shared[] __attribute__((weak, visibility("hidden")));

// ---- Saying what is wrong ---------------------------------------------------------------------------------

void simt_die(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "simt: %s\n", text);
    fflush(NULL);
    abort();
}

static uint3 index_of(unsigned linear, const dim3 &extent)
{
    return {linear % extent.x, linear / extent.x % extent.y, linear / extent.x / extent.y};
}

struct simt_words simt_say_thread(unsigned t)
{
    const uint3 i = index_of(t, grid->threads);
    struct simt_words w;
    snprintf(w.text, sizeof w.text, "thread (%u,%u,%u)", i.x, i.y, i.z);
    return w;
}

static struct simt_words say_barrier(const struct barrier &at)
{
    static const char *const names[] = {"__syncthreads",           "__syncthreads_count", "__syncthreads_and",
                                        "__syncthreads_or",        "__syncwarp",          "a shuffle",
                                        "__ballot_sync",           "__any_sync",          "__all_sync",
                                        "an instruction of a warp"};
    const char *slash = strrchr(at.file, '/');
    char mask[32] = "";
    struct simt_words w;
    if (at.mask != 0)
        snprintf(mask, sizeof mask, " with mask 0x%08x", at.mask);
    snprintf(w.text, sizeof w.text, "%s%s, %s:%d", names[at.wait], mask, slash ? slash + 1 : at.file,
             at.line);
    return w;
}

struct simt_words simt_say_block()
{
    const uint3 i = simt_here.block;
    struct simt_words w;
    snprintf(w.text, sizeof w.text, "kernel %.160s, block (%u,%u,%u)", grid->name, i.x, i.y, i.z);
    return w;
}

[[noreturn]] static void die_in_block(const struct simt_words &a, const char *what,
                                      const struct simt_words &b, const char *rest)
{
    simt_die("%s: %s %s %s%s", simt_say_block().text, a.text, what, b.text, rest);
}

// Nobody can go on. Who is waited for that has ended or waits elsewhere?
[[noreturn]] static void die_of_absence(unsigned waiting, unsigned absent)
{
    char rest[600];
    if (threads[absent].state == ENDED)
        snprintf(rest, sizeof rest, ", but %s has ended", simt_say_thread(absent).text);
    else
        snprintf(rest, sizeof rest, ", but %s waits at %s", simt_say_thread(absent).text,
                 say_barrier(threads[absent].at).text);
    die_in_block(simt_say_thread(waiting), "waits at", say_barrier(threads[waiting].at), rest);
}

[[noreturn]] static void die_stuck()
{
    const unsigned count = (unsigned)threads.size();
    for (unsigned t = 0; t < count; t++) { // the smaller barrier is the nearer cause
        if (threads[t].state != WAITING || threads[t].at.mask == 0)
            continue;
        for (unsigned other = t - t % LANES; other < count && other < t - t % LANES + LANES; other++)
            if ((threads[t].at.mask >> other % LANES & 1) != 0 &&
                (threads[other].state == ENDED || !(threads[other].at == threads[t].at)))
                die_of_absence(t, other);
    }
    for (unsigned t = 0; t < count; t++)
        for (unsigned other = 0; threads[t].state == WAITING && other < count; other++)
            if (threads[other].state == ENDED || !(threads[other].at == threads[t].at))
                die_of_absence(t, other);
    simt_die("kernel %s cannot go on and the shim does not know why", grid->name);
}

// ---- Order ------------------------------------------------------------------------------------------------

static struct {
    char text[64];
    enum simt_order order;
    uint64_t state;
} chosen = {"ascending", SIMT_ASCENDING, 0};

enum simt_order simt_order_now()
{
    const char *text = getenv("DF_SIMT_ORDER");
    if (text == NULL || *text == '\0')
        text = "ascending";
    if (strcmp(text, chosen.text) == 0)
        return chosen.order;
    unsigned long long seed = 0;
    char more;
    if (strcmp(text, "ascending") == 0)
        chosen.order = SIMT_ASCENDING;
    else if (strcmp(text, "descending") == 0)
        chosen.order = SIMT_DESCENDING;
    else if (strlen(text) < sizeof chosen.text && sscanf(text, "random:%llu%c", &seed, &more) == 1)
        chosen.order = SIMT_RANDOM;
    else if (simt_watches && strlen(text) < sizeof chosen.text &&
             sscanf(text, "switching:%llu%c", &seed, &more) == 1)
        chosen.order = SIMT_SWITCHING;
    else
        simt_die("DF_SIMT_ORDER is '%s', expected ascending, descending%s", text,
                 simt_watches ? ", random:SEED or switching:SEED" : " or random:SEED");
    strcpy(chosen.text, text);
    chosen.state = seed;
    return chosen.order;
}

// splitmix64
static uint64_t draw()
{
    uint64_t z = chosen.state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void shuffle(std::vector<unsigned> &list)
{
    for (size_t i = list.size(); i > 1; i--)
        std::swap(list[i - 1], list[draw() % i]);
}

static void fill_order(std::vector<unsigned> &list, size_t count, enum simt_order how)
{
    list.resize(count);
    std::iota(list.begin(), list.end(), 0U);
    if (how == SIMT_DESCENDING)
        std::reverse(list.begin(), list.end());
    else if (how != SIMT_ASCENDING)
        shuffle(list);
}

// ---- Running ----------------------------------------------------------------------------------------------

// simt_current is of the host's thread, which is the same for all fibres: its address may be kept over a
// switch.
static void stand_at(unsigned t)
{
    simt_current = (int)t;
    simt_here.thread = threads[t].index;
    simt_here.lane = t % LANES;
}

static void run_thread(unsigned t)
{
    stand_at(t);
    threads[t].state = READY;
    grid->thread();
    if (simt_copies_left(t))
        simt_die("%s: %s ends before its copies have", simt_say_block().text, simt_say_thread(t).text);
    threads[t].state = ENDED;
    ended++;
}

// The next thread of this pass that can run; false at the pass's end.
static bool find_next(unsigned *t)
{
    for (; position < order.size(); position++) {
        *t = order[position];
        if (threads[*t].state == UNBORN || threads[*t].state == READY)
            return true;
    }
    return false;
}

static struct simt_fibre *running;

static void fibre_body()
{
    for (;;) {
        struct simt_fibre *const self = running;
        unsigned t = (unsigned)simt_current;
        threads[t].fibre = self;
        run_thread(t);
        while (find_next(&t) && threads[t].state == UNBORN) {
            position++;
            threads[t].fibre = self;
            run_thread(t);
        }
        idle.push_back(self);
        simt_fibre_switch(self, &scheduler);
    }
}

static void resume(struct simt_fibre *from, unsigned t)
{
    if (threads[t].state == UNBORN && idle.empty())
        idle.push_back(simt_fibre_create(fibre_body));
    if (threads[t].state == UNBORN) {
        running = idle.back();
        idle.pop_back();
    } else {
        running = threads[t].fibre;
    }
    stand_at(t);
    simt_fibre_switch(from, running);
}

static void run_block(bool random)
{
    unsigned t;
    const unsigned count = (unsigned)threads.size();
    ended = in_block_barrier = 0;
    for (unsigned i = 0; i < count; i++)
        threads[i].state = UNBORN;
    while (ended < count) {
        bool ran = false;
        for (position = 0; find_next(&t);) {
            position++;
            resume(&scheduler, t);
            ran = true;
        }
        if (!ran)
            die_stuck();
        if (random && ended < count)
            shuffle(order);
    }
}

// Not through memset: the section's red zones are AddressSanitizer's, which would object.
__attribute__((no_sanitize("address"))) static void fill_static_shared()
{
    volatile char *at = __start_simt_shared;
    const volatile char *const end = __stop_simt_shared;
    for (; at != NULL && end - at >= 8; at += 8)
        *(volatile uint64_t *)at = ~UINT64_C(0);
    for (; at < end; at++)
        *at = (char)0xff;
}

void simt_run_grid(const struct simt_grid &given)
{
    const enum simt_order how = simt_order_now();
    const dim3 &blocks = given.blocks, &size = given.threads;
    const unsigned count = size.x * size.y * size.z;
    std::vector<unsigned> turn;
    grid = &given;
    threads.assign(count, {});
    for (unsigned t = 0; t < count; t++)
        threads[t].index = index_of(t, size);
    warps.resize((count + LANES - 1) / LANES);
    for (size_t w = 0; w < warps.size(); w++)
        warps[w].lanes = count - w * LANES >= LANES ? 0xffffffffU : (1U << (count - w * LANES)) - 1;
    fill_order(order, count, how);
    fill_order(turn, (size_t)blocks.x * blocks.y * blocks.z, how);
    fill_static_shared();
    if (given.shared > 0 && posix_memalign(&simt_here.shared, 256, given.shared) != 0)
        simt_die("no memory for %zu bytes of shared memory", given.shared);
    simt_here.block_dim = size;
    simt_here.grid_dim = blocks;
    simt_watch_grid(count, given.shared);
    for (const unsigned b : turn) {
        if (given.shared > 0)
            memset(simt_here.shared, 0xff, given.shared);
        simt_here.block = index_of(b, blocks);
        simt_watch_block();
        simt_begin_block(count);
        run_block(how == SIMT_RANDOM || how == SIMT_SWITCHING);
    }
    if (given.shared > 0)
        free(simt_here.shared);
    simt_here.shared = NULL;
    simt_current = -1;
    grid = NULL;
}

// ---- Barriers ---------------------------------------------------------------------------------------------

// Let others run until this thread's turn comes again. The next of this pass goes on at once: a way over the
// scheduler would be two switches, each to a stack that is in no near cache.
static void step_aside()
{
    const unsigned t = (unsigned)simt_current;
    unsigned next;
    if (find_next(&next)) {
        position++;
        resume(threads[t].fibre, next);
    } else {
        simt_fibre_switch(threads[t].fibre, &scheduler);
    }
}

// Wait until another thread makes this one READY.
static uint64_t wait_here()
{
    const unsigned t = (unsigned)simt_current;
    if (threads[t].state == WAITING)
        step_aside();
    return threads[t].outcome;
}

bool simt_is_own_stack(const void *address)
{
    const struct simt_fibre *fibre = threads[(size_t)simt_current].fibre;
    return (uintptr_t)address - (uintptr_t)fibre->stack < fibre->stack_size;
}

void simt_may_switch()
{
    enum { ONE_IN = 8 };
    if (chosen.order == SIMT_SWITCHING && draw() % ONE_IN == 0)
        step_aside();
}

static struct thread &arrive(enum simt_wait wait, unsigned mask, uint64_t value, const char *file, int line)
{
    if (simt_current < 0)
        simt_die("a barrier was called outside of a kernel, %s:%d", file, line);
    struct thread &me = threads[(size_t)simt_current];
    me.state = WAITING;
    me.at = {wait, mask, file, line};
    me.value = value;
    return me;
}

uint64_t simt_wait_block(enum simt_wait wait, uint64_t value, const char *file, int line)
{
    const struct thread &me = arrive(wait, 0, value, file, line);
    if (++in_block_barrier < threads.size())
        return wait_here();
    uint64_t count = 0;
    for (size_t t = 0; t < threads.size(); t++) {
        if (!(threads[t].at == me.at))
            die_of_absence((unsigned)simt_current, (unsigned)t);
        count += threads[t].value;
    }
    in_block_barrier = 0;
    simt_watch_barrier();
    if (wait == SIMT_SYNCTHREADS_AND)
        count = count == threads.size();
    else if (wait == SIMT_SYNCTHREADS_OR)
        count = count > 0;
    for (struct thread &thread : threads) {
        thread.outcome = count;
        thread.state = READY;
    }
    return wait_here();
}

// What each lane of a complete warp barrier takes with it.
static void complete(const struct gathering &all, struct thread *lanes, unsigned first)
{
    unsigned votes = 0;
    for (unsigned l = 0; l < LANES; l++)
        if ((all.come >> l & 1) != 0 && lanes[l].value != 0)
            votes |= 1U << l;
    for (unsigned l = 0; l < LANES; l++) {
        if ((all.come >> l & 1) == 0)
            continue;
        struct thread &lane = lanes[l];
        lane.state = READY;
        switch (all.at.wait) {
        case SIMT_SHUFFLE:
            if (lane.source >= LANES || (all.come >> lane.source & 1) == 0) {
                char rest[64];
                snprintf(rest, sizeof rest, ", reads lane %u, which takes no part", lane.source);
                die_in_block(simt_say_thread(first + l), "waits at", say_barrier(all.at), rest);
            }
            lane.outcome = lanes[lane.source].value;
            break;
        case SIMT_ANY:
            lane.outcome = votes != 0;
            break;
        case SIMT_ALL:
            lane.outcome = votes == all.come;
            break;
        default:
            lane.outcome = votes;
            break;
        }
    }
}

uint64_t simt_wait_warp(enum simt_wait wait, unsigned mask, uint64_t value, unsigned source, const char *file,
                        int line)
{
    struct thread &me = arrive(wait, mask, value, file, line);
    const unsigned t = (unsigned)simt_current, lane = t % LANES;
    struct warp &warp = warps[t / LANES];
    if ((mask >> lane & 1) == 0)
        die_in_block(simt_say_thread(t), "calls", say_barrier(me.at), ", which does not name it");
    me.source = source;
    size_t g = 0;
    while (g < warp.open.size() && !(warp.open[g].at == me.at))
        g++;
    if (g == warp.open.size())
        warp.open.push_back({me.at, 0});
    warp.open[g].come |= 1U << lane;
    if (warp.open[g].come == (mask & warp.lanes)) {
        complete(warp.open[g], &threads[t - lane], t - lane);
        if (wait == SIMT_SYNCWARP) // a shuffle or a vote orders nothing in memory
            simt_watch_warp(t - lane, warp.open[g].come);
        warp.open.erase(warp.open.begin() + (ptrdiff_t)g);
    }
    return wait_here();
}
