#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Score a pool through libdfal by ctypes: score_pool.py LIBDFAL.so NET POOL SCORES.h5"""
import ctypes
import sys


class ScoreResult(ctypes.Structure):  # struct dfal_score_result of dfal.h, its first fields
    _fields_ = [("samples", ctypes.c_int64), ("seconds", ctypes.c_double), ("iterations", ctypes.c_int64),
                ("status", ctypes.c_int64 * 6), ("rest", ctypes.c_char * 1024)]


def main():
    library, network, pool, out = sys.argv[1:]
    dfal = ctypes.CDLL(library)
    dfal.dfal_last_error.restype = ctypes.c_char_p

    def call(function, *arguments):
        status = function(*arguments)
        if status != 0:
            print(dfal.dfal_last_error().decode(), file=sys.stderr)
            sys.exit(dfal.dfal_status_exit_code(status))

    # The library fills its own options: room for them is all that is needed to keep the defaults.
    context, context_options, score_options = ctypes.c_void_p(), (ctypes.c_char * 4096)(), (ctypes.c_char * 4096)()
    dfal.dfal_context_options_init(context_options)
    dfal.dfal_score_options_init(score_options)
    call(dfal.dfal_context_create, ctypes.byref(context), context_options)
    result = ScoreResult()
    call(dfal.dfal_score, context, ctypes.byref(result), out.encode(), network.encode(), pool.encode(), score_options)
    dfal.dfal_context_destroy(context)
    print(f"{result.samples} samples in {result.seconds:.1f} s, {result.status[0]} OK")


if __name__ == "__main__":
    main()
