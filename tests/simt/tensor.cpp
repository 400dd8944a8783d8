// SPDX-License-Identifier: Apache-2.0
// What the lanes of a warp give each other in an instruction of theirs, and copies under way (simt.h).
#include <array>
#include <deque>
#include <vector>

#include "grid.h"

enum { LANES = 32 };

// ---- Instructions of a warp -------------------------------------------------------------------------------

// Each lane's in its last two instructions: none begins the next but one before all have met in the next.
static std::vector<std::array<simt_deposit, 2>> given;
static std::vector<unsigned> turns;

const simt_deposit &simt_deposits::operator[](unsigned lane) const
{
    return given[first + lane][turn];
}

struct simt_deposits simt_meet(const simt_deposit &own, const char *file, int line)
{
    const unsigned t = (unsigned)simt_current, lane = t % LANES;
    if (simt_current >= 0) {
        const unsigned turn = turns[t]++ % 2;
        given[t][turn] = own;
        simt_wait_warp(SIMT_TENSOR, 0xffffffffU, 0, 0, file, line);
        return {t - lane, turn};
    }
    simt_die("an instruction of a warp was called outside of a kernel, %s:%d", file, line);
}

// ---- Copies -----------------------------------------------------------------------------------------------

static std::vector<std::deque<std::vector<simt_copy>>> groups; // of each thread; the last one still grows

void simt_copy_remember(const simt_copy &copy)
{
    groups[(size_t)simt_current].back().push_back(copy);
}

void simt_copy_group()
{
    groups[(size_t)simt_current].emplace_back();
}

bool simt_copy_take(unsigned left, simt_copy *copy)
{
    auto &own = groups[(size_t)simt_current];
    while (own.size() > (size_t)left + 1 && own.front().empty())
        own.pop_front();
    if (own.size() <= (size_t)left + 1)
        return false;
    *copy = own.front().back();
    own.front().pop_back();
    return true;
}

bool simt_copies_left(unsigned thread)
{
    for (const std::vector<simt_copy> &group : groups[thread])
        if (!group.empty())
            return true;
    return false;
}

void simt_begin_block(unsigned threads)
{
    given.resize(threads);
    turns.assign(threads, 0);
    groups.assign(threads, {});
    for (auto &own : groups)
        own.emplace_back();
}
