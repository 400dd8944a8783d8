/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DF_REPORT_GLYPHS_H
#define DF_REPORT_GLYPHS_H

#include <stdbool.h>

enum { DF_GLYPH_WIDTH = 5, DF_GLYPH_HEIGHT = 8, DF_GLYPH_STEP = 6 };

/* Whether a dot of a letter is set; row 0 to DF_GLYPH_HEIGHT - 1, column 0 to DF_GLYPH_STEP - 1 (the last is
 * the gap). */
bool df_glyph_dot(char letter, int row, int column);

#endif
