/* SPDX-License-Identifier: Apache-2.0 */
/* What a table in CSV and a reference of another framework hold, and what they are for. */
#include <string.h>

#include "facts.h"
#include "store/csv_rows.h"
#include "store/reference.h"
#include "store/table.h"

/* ---- CSV --------------------------------------------------------------------------------------- */

enum { RANK, ID, LABEL, TRIAL, ROUND, PATH, ACCURACY, CLASS, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"rank",  "id",   "label",    "trial",
                                                       "round", "path", "accuracy", "class"};
#define BIT(column) (1U << (column))

/* Known by columns that are all there; the first that fits. */
static const struct table_kind {
    unsigned columns;
    const char *kind, *next;
} table_kinds[] = {
    {BIT(RANK) | BIT(TRIAL) | BIT(ROUND), "queries of a run",
     "dfal report DIR -o report.html draws them with the run's folder DIR"},
    {BIT(RANK) | BIT(ID), "queries of a selection",
     "fill in its column label; then dfal train, eval and select take it as --labels"},
    {BIT(TRIAL) | BIT(ROUND) | BIT(CLASS), "accuracy of a run, class by class",
     "dfal report DIR -o report.html draws the run with its folder DIR"},
    {BIT(TRIAL) | BIT(ROUND) | BIT(ACCURACY), "accuracy of a run, round by round",
     "dfal report DIR -o report.html draws it with the run's folder DIR"},
    {BIT(ID) | BIT(LABEL), "labels", "dfal train, eval and select take it as --labels"},
    {BIT(PATH), "a list of pictures", "dfal import images makes a pool of it"},
    {0, "a table of another kind",
     "labels have the columns id and label, a list of pictures has the column path"},
};

static dfal_status count_row(struct df_csv *csv)
{
    ++*(int64_t *)csv->user;
    return DFAL_OK;
}

dfal_status df_tell_csv(const struct df_teller *teller, const char *path)
{
    int64_t rows = 0;
    unsigned columns = 0;
    struct df_csv csv = {.path = path,
                         .columns = column_names,
                         .count = COLUMN_COUNT,
                         .header = "a line with the columns' names",
                         .record = count_row,
                         .user = &rows};
    DF_TRY(df_csv_read(&csv));
    for (int i = 0; i < COLUMN_COUNT; i++)
        columns |= csv.position[i] >= 0 ? BIT(i) : 0;
    const struct table_kind *kind = table_kinds;
    while ((kind->columns & columns) != kind->columns)
        kind++;
    df_tell_text(teller, "kind", "%s", kind->kind);
    df_tell_int(teller, "rows", rows);
    DF_TRY(df_tell_words(teller, "columns", csv.found));
    df_tell_text(teller, "next", "%s", kind->next);
    return DFAL_OK;
}

/* ---- a reference ------------------------------------------------------------------------------- */

struct names {
    bool logits, samples;
};

static void look(void *user, const char *name, const char *what)
{
    struct names *names = user;
    (void)what;
    names->logits = names->logits || strcmp(name, "logits") == 0;
    names->samples = names->samples || strcmp(name, "samples") == 0;
}

bool df_looks_like_reference(const char *format, const char *path)
{
    struct names names = {0};
    if (format[0])
        return strcmp(format, "dfal-reference") == 0;
    return df_table_list(path, look, &names) == DFAL_OK && names.logits && !names.samples;
}

static dfal_status tell_reference(const struct df_teller *teller, const struct df_reference *reference)
{
    const struct df_shape input = reference->input;
    struct df_list nodes = {0};
    df_tell_text(teller, "kind", "a reference: what another framework computed");
    df_tell_int(teller, "samples", reference->count);
    df_tell_int(teller, "class_count", reference->class_count);
    df_tell_text(teller, "rows", "%s", reference->has_index ? "in /index" : "the pool's first");
    if (input.c)
        df_tell_text(teller, "inputs", "%lld x %lld x %lld", (long long)input.c, (long long)input.h,
                     (long long)input.w);
    else
        df_tell_text(teller, "inputs", "none");
    for (int32_t i = 0; i < reference->node_count; i++)
        df_list_add(&nodes, "%s", reference->nodes[i].node);
    DF_TRY(df_tell_list(teller, "activations", &nodes));
    df_tell_text(teller, "next", "dfal verify NET %s --against %s", input.c ? "[POOL]" : "POOL",
                 reference->path);
    return DFAL_OK;
}

dfal_status df_tell_reference(const struct df_teller *teller, const char *path)
{
    struct df_reference *reference;
    DF_TRY(df_reference_open(&reference, path));
    const dfal_status status = tell_reference(teller, reference);
    df_reference_close(reference);
    return status;
}
