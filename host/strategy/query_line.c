/* SPDX-License-Identifier: Apache-2.0 */
/* The query table, a line a query. */
#include "strategy/selection.h"

struct dfal_query df_selection_query(const struct df_selection *selection, int64_t i, const char *id,
                                     const char *strategy, int32_t label)
{
    return (struct dfal_query){
        .rank = i + 1,
        .id = id,
        .index = selection->index[i],
        .score = selection->score[i],
        .strategy = strategy,
        .predicted = selection->predicted[i],
        .confidence = selection->confidence[i],
        .label = label,
        .adversarial_class = selection->adversarial_class[i],
        .facts = selection->facts.field,
        .fact_count = (size_t)selection->facts.count,
    };
}

void df_query_line(struct df_text *text, const struct dfal_query *query)
{
    df_text_add(text, "%lld,", (long long)query->rank);
    df_text_csv(text, query->id);
    df_text_add(text, ",%lld,", (long long)query->index);
    df_text_number(text, query->score);
    if (query->strategy) {
        df_text_add(text, ",");
        df_text_csv(text, query->strategy);
    }
    df_text_add(text, ",%d,", query->predicted);
    df_text_number(text, query->confidence);
    df_text_add(text, ",%d,%d", query->label, query->adversarial_class);
    const char *const names[] = {query->predicted_name, query->label_name, query->adversarial_name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        df_text_add(text, ",");
        df_text_csv(text, names[i] ? names[i] : "");
    }
    df_text_add(text, "\n");
}

void df_query_name(struct dfal_query *query, const struct df_classes *classes)
{
    query->predicted_name = df_classes_name(classes, query->predicted);
    query->label_name = df_classes_name(classes, query->label);
    query->adversarial_name = df_classes_name(classes, query->adversarial_class);
}
