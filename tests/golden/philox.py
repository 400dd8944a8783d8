# SPDX-License-Identifier: Apache-2.0
"""dfal's random numbers (host/base/rng.h), written from the paper: Philox of (seed, stream, index)."""
import numpy as np

# Streams.
DROPOUT, TIES, PASSES, BADGE, POWER, KMEANS, REFIT = 2, 8, 17, 20, 21, 22, 24


def philox(seed, stream, salt, index):
    """Philox4x32-10 (Salmon et al. 2011): four words of each index."""
    index = np.asarray(index, np.uint64)
    low = np.uint64(0xffffffff)
    c = [index & low, index >> np.uint64(32), np.full_like(index, salt), np.full_like(index, stream)]
    key = [seed & 0xffffffff, seed >> 32]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [second >> np.uint64(32) ^ c[1] ^ np.uint64(key[0]), second & low,
             first >> np.uint64(32) ^ c[3] ^ np.uint64(key[1]), first & low]
        key = [(key[0] + 0x9E3779B9) & 0xffffffff, (key[1] + 0xBB67AE85) & 0xffffffff]
    return np.stack(c, -1)


def random_bits(seed, stream, index):
    words = philox(seed, stream, 0, index)
    return words[..., 1] << np.uint64(32) | words[..., 0]


def uniform(seed, stream, index):
    return (random_bits(seed, stream, index) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53


def ties(seed, count):
    """Of rows with equal scores the one with the lowest of these comes first."""
    return random_bits(seed, TIES, np.arange(count))
