/* SPDX-License-Identifier: Apache-2.0 */
/* Which build this is: what the linker has made of all that the library is built from. */
#ifndef DF_BASE_BUILD_ID_H
#define DF_BASE_BUILD_ID_H

enum { DF_BUILD_ID_MOST = 32, DF_BUILD_ID_TEXT = 2 * DF_BUILD_ID_MOST + 1 };
/* The GNU build id of libdfal, or of the program that this code is linked into, in lower-case hex; "none"
 * where the linker has given none of 1 to DF_BUILD_ID_MOST bytes. Copies of a file have the same, stripped or
 * not. */
void df_build_id(char text[DF_BUILD_ID_TEXT]);

#endif
