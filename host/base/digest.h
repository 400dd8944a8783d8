/* SPDX-License-Identifier: Apache-2.0 */
/* sha256 through libmd. */
#ifndef DF_BASE_DIGEST_H
#define DF_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DF_DIGEST_TEXT = 65 };
struct df_digest {
    _Alignas(16) unsigned char state[256];
};
void df_digest_begin(struct df_digest *digest);
void df_digest_add(struct df_digest *digest, const void *bytes, size_t size);
void df_digest_add_i64(struct df_digest *digest, int64_t value); /* little-endian */
void df_digest_add_f64(struct df_digest *digest, double value);
void df_digest_add_text(struct df_digest *digest, const char *text);     /* with its length */
void df_digest_end(struct df_digest *digest, char text[DF_DIGEST_TEXT]); /* lower-case hex */
/* The first 128 bits of a text's sha256. */
void df_digest_key(uint64_t key[2], const char *text);

#endif
