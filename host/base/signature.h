/* SPDX-License-Identifier: Apache-2.0 */
/* Is a folder on one host that of the same name on another? The process that holds it signs it, the others
 * look for the signature, and then it goes. */
#ifndef DF_BASE_SIGNATURE_H
#define DF_BASE_SIGNATURE_H

#include "base/status.h"

enum { DF_SIGNATURE = 33 }; /* a text of 32 hexadecimal digits */
#define DF_SIGNATURE_NAME "ranks"

/* folder: its descriptor; path: what messages call it. */
dfal_status df_folder_sign(int folder, const char *path, char signature[DF_SIGNATURE]);
void df_folder_unsign(int folder);
/* Open the folder, without a lock. Errors   E_IO none with this signature comes into sight in some seconds */
dfal_status df_folder_find(int *folder, const char *path, const char signature[DF_SIGNATURE]);

#endif
