/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are built and installed with this code. */
#ifndef DF_BASE_BESIDE_H
#define DF_BASE_BESIDE_H

#include "base/status.h"

/* The path of a file from the folder of this library, or of the program that it is linked into, if it is
 * there; else NULL. df_free gives it back. */
dfal_status df_beside(char **path, const char *relative);

#endif
