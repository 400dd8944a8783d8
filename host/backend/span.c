/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "backend/backend.h"

int64_t df_span_count(struct df_span span, int64_t extent)
{
    return extent == DF_SIZE_TO_END ? span.buffer->count - span.offset : extent;
}

dfal_status df_span_check(struct df_span span, int64_t count, const char *what)
{
    const int64_t held = span.buffer == NULL ? 0 : span.buffer->count;
    if (span.offset < 0 || span.offset > held || count < 0 || count > held - span.offset)
        DF_FAIL(DFAL_E_INTERNAL,
                "%s: elements %" PRId64 " to %" PRId64 " do not lie in a buffer of %" PRId64 " elements",
                what, span.offset, span.offset + count, held);
    return DFAL_OK;
}
