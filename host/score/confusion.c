/* SPDX-License-Identifier: Apache-2.0 */
#include "score/confusion.h"

#include <inttypes.h>
#include <stdlib.h>

static int by_label(const void *a, const void *b)
{
    const struct df_class_pair *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->prediction > y->prediction) - (x->prediction < y->prediction);
}

void df_confusion_text(struct df_text *text, struct df_class_pair *pairs, int64_t count, char *const *names)
{
    qsort(pairs, (size_t)count, sizeof *pairs, by_label);
    df_text_add(text, "label,prediction,count%s\n", names ? ",label_name,prediction_name" : "");
    for (int64_t begin = 0, end; begin < count; begin = end) {
        const struct df_class_pair *pair = &pairs[begin];
        for (end = begin + 1; end < count && by_label(pair, &pairs[end]) == 0; end++)
            ;
        df_text_add(text, "%d,%d,%" PRId64, pair->label, pair->prediction, end - begin);
        if (names) {
            df_text_add(text, ",");
            df_text_csv(text, names[pair->label]);
            df_text_add(text, ",");
            df_text_csv(text, names[pair->prediction]);
        }
        df_text_add(text, "\n");
    }
}
