/* SPDX-License-Identifier: Apache-2.0 */
/* The first instructions of the command, compiled for any x86-64: everything behind them needs x86-64-v3, and
 * a CPU without it deserves a sentence instead of an illegal instruction. */
#include <stdio.h>
#include <unistd.h>

#include "command.h"

int main(int argc, char **argv)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2")) {
        fputs("dfal: this CPU lacks AVX2, FMA or BMI2, expected an x86-64-v3 CPU (2013 or later)\n", stderr);
        return 69;
    }
    const int code = dfal_main(argc, argv);
#ifndef __SANITIZE_ADDRESS__ /* it looks for leaks at exit */
    /* What libraries do at exit is not needed, since nothing is open any more; HDF5 1.10 complains there on
     * stderr of files that it could not close. */
    fflush(NULL);
    _exit(code);
#endif
    return code;
}
