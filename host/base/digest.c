/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <sha2.h>
#include <string.h>

_Static_assert(sizeof(SHA2_CTX) <= sizeof(struct df_digest), "libmd's state fits");
_Static_assert(_Alignof(SHA2_CTX) <= _Alignof(struct df_digest), "libmd's state is aligned");

static SHA2_CTX *state(struct df_digest *digest)
{
    return (SHA2_CTX *)(void *)digest->state;
}

void df_digest_begin(struct df_digest *digest)
{
    SHA256Init(state(digest));
}

void df_digest_add(struct df_digest *digest, const void *bytes, size_t size)
{
    if (size)
        SHA256Update(state(digest), bytes, size);
}

void df_digest_add_i64(struct df_digest *digest, int64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)value >> (8 * i));
    df_digest_add(digest, bytes, sizeof bytes);
}

void df_digest_add_f64(struct df_digest *digest, double value)
{
    int64_t image;
    memcpy(&image, &value, sizeof image);
    df_digest_add_i64(digest, image);
}

void df_digest_add_text(struct df_digest *digest, const char *text)
{
    size_t length = strlen(text);
    df_digest_add_i64(digest, (int64_t)length);
    df_digest_add(digest, text, length);
}

void df_digest_end(struct df_digest *digest, char text[DF_DIGEST_TEXT])
{
    uint8_t bytes[SHA256_DIGEST_LENGTH];
    SHA256Final(bytes, state(digest));
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[2 * SHA256_DIGEST_LENGTH] = 0;
}

void df_digest_key(uint64_t key[2], const char *text)
{
    struct df_digest digest;
    uint8_t bytes[SHA256_DIGEST_LENGTH];
    df_digest_begin(&digest);
    df_digest_add(&digest, text, strlen(text));
    SHA256Final(bytes, state(&digest));
    memcpy(key, bytes, 16);
}
