/* SPDX-License-Identifier: Apache-2.0 */
/* The natural logarithm of a fraction in double, from + - * / and bits alone: the same bits on every back
 * end.
 *
 * Math     v = 2^e m with m in [1/sqrt 2, sqrt 2), f = m - 1, s = f / (2 + f):
 *          log m = f - f^2/2 + s (f^2/2 + R), R an even polynomial of s; ln 2 in two parts
 * Error    at most 1 ulp
 * Source   method and polynomial are those of fdlibm's log (Sun Microsystems 1993) */
#ifndef DF_KERNELS_LOGARITHM_H
#define DF_KERNELS_LOGARITHM_H

#include <string.h>

#include "call.h"

/* log v for 2^-1022 <= v <= 1. */
DF_FN double df_log_fraction(double v)
{
    const double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    int32_t e = (int32_t)(bits >> 52) - 1023;
    const uint64_t fraction = bits & 0xfffffffffffffULL, above = fraction > 0x6a09e667f3bccULL;
    e += (int32_t)above; /* m above sqrt 2 is halved */
    bits = fraction | (above ? 0x3feULL : 0x3ffULL) << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double f = m - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    const double even = z * z *
                        (3.999999999940941908e-01 +
                         z * z * (2.222219843214978396e-01 + z * z * 1.531383769920937332e-01)),
                 odd = z * (6.666666666666735130e-01 +
                            z * z *
                                (2.857142874366239149e-01 +
                                 z * z * (1.818357216161805012e-01 + z * z * 1.479819860511658591e-01)));
    const double rest = even + odd;
    return e * high - ((half - (s * (half + rest) + e * low)) - f);
}

#endif
