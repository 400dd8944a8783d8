/* SPDX-License-Identifier: Apache-2.0 */
/* Words that stand for a choice, as in DFAL_ENGINES: "auto|layers|fused". */
#ifndef DF_BASE_WORD_H
#define DF_BASE_WORD_H

#include "base/status.h"

/* Find a word of a list; index (may be NULL) is its place.
 *   what  the choice, for the message
 * Errors   E_USAGE "unknown engine 'fusde': expected auto, layers or fused; nearest is 'fused'" */
dfal_status df_word(int32_t *index, const char *what, const char *word, const char *words);

/* Is it a word of a list? */
bool df_word_is_one(const char *word, const char *words);

/* "one of auto, layers, fused": what a choice expects. */
void df_word_expectation(char *text, size_t size, const char *words);

/* "adam, sgd or rmsprop"; "none" where there is no name. What has no room is "...". Returns text. */
const char *df_names_text(char *text, size_t size, const char *const *names, size_t count);

/* Record the error of a word that is none of a list: the sentence of dfal_unknown_word. Returns status. */
dfal_status df_fail_unknown(dfal_status status, const char *what, const char *word, const char *expected,
                            const char *const *names, size_t count);

#endif
