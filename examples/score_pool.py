#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Score a pool through libdfal by ctypes: score_pool.py LIBDFAL.so NET POOL SCORES.h5"""
import ctypes
import sys


class ScoreResult(ctypes.Structure):
    """struct dfal_score_result of dfal.h, as far as it is wanted: the library fills what it is told that there is."""
    _fields_ = [("size", ctypes.c_size_t), ("samples", ctypes.c_int64), ("seconds", ctypes.c_double),
                ("start_seconds", ctypes.c_double), ("scoring_seconds", ctypes.c_double),
                ("writing_seconds", ctypes.c_double), ("iterations", ctypes.c_int64), ("status", ctypes.c_int64 * 16)]


def main():
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
    library, network, pool, out = sys.argv[1:]
    dfal = ctypes.CDLL(library)
    dfal.dfal_last_error.restype = ctypes.c_char_p

    def call(function, *arguments):
        status = function(*arguments)
        if status != 0:
            print(dfal.dfal_last_error().decode(), file=sys.stderr)
            sys.exit(dfal.dfal_status_exit_code(status))

    context, result = ctypes.c_void_p(), ScoreResult()
    dfal.dfal_result_init(ctypes.byref(result), ctypes.c_size_t(ctypes.sizeof(result)))
    call(dfal.dfal_context_create, ctypes.byref(context), None)  # None: the defaults
    call(dfal.dfal_score, context, ctypes.byref(result), out.encode(), network.encode(), pool.encode(), None)
    dfal.dfal_context_destroy(context)
    print(f"{result.samples} samples in {result.seconds:.1f} s, {result.status[0]} OK")


if __name__ == "__main__":
    main()
