/* SPDX-License-Identifier: Apache-2.0 */
/* dfal eval: accuracy, loss and confusion on the labelled rows. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "print.h"

struct eval_args {
    struct pool_args pool;
    const char *confusion;
};

static json_t *confusion_json(const struct dfal_eval_result *result)
{
    if (result->confusion == NULL)
        return json_null();
    json_t *rows = json_array();
    for (int32_t truth = 0; truth < result->class_count; truth++) {
        json_t *row = json_array();
        for (int32_t class = 0; class < result->class_count; class ++)
            json_array_append_new(row, json_integer(result->confusion[truth * result->class_count + class]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *classes_json(const struct dfal_eval_result *result)
{
    if (result->classes == NULL)
        return json_null();
    json_t *names = json_array();
    for (int32_t class = 0; class < result->class_count; class ++)
        json_array_append_new(names, text_or_null(result->classes[class]));
    return names;
}

/* The first letters of a class name, or its number, right-aligned in `width`. */
static void print_class(const struct dfal_eval_result *result, int32_t class, int width)
{
    char line[ONE_LINE];
    int letters = 0, bytes = 0;
    if (result->classes == NULL)
        snprintf(line, sizeof line, "%d", class);
    else
        one_line(line, result->classes[class]);
    for (; line[bytes] != '\0'; bytes++) {
        const bool first = ((unsigned char)line[bytes] & 0xc0) != 0x80;
        if (first && letters == width)
            break;
        letters += first;
    }
    printf("%*s%.*s", width - letters, "", bytes, line);
}

static void print_text(const struct dfal_eval_result *result)
{
    enum { WIDEST = 20, NAME = 16 };
    printf("%-20s %" PRId64 "\n%-20s %" PRId64 "\n", "samples", result->samples, "unlabelled",
           result->unlabelled);
    if (result->nonfinite > 0)
        printf("%-20s %" PRId64 "\n", "nonfinite", result->nonfinite);
    printf("%-20s %.6f\n%-20s %.6f\n", "accuracy", result->accuracy, "loss", result->loss);
    if (result->class_count > WIDEST)
        return;
    const int first = result->classes != NULL ? NAME : 6;
    printf("confusion (rows: label, columns: prediction)\n%*s", first, "");
    for (int32_t class = 0; class < result->class_count; class ++) {
        putchar(' ');
        print_class(result, class, 7);
    }
    putchar('\n');
    for (int32_t truth = 0; truth < result->class_count; truth++) {
        print_class(result, truth, first);
        for (int32_t class = 0; class < result->class_count; class ++)
            printf(" %7" PRId64, result->confusion[truth * result->class_count + class]);
        putchar('\n');
    }
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct eval_args *args = user;
    struct dfal_eval_result result;
    dfal_eval_result_init(&result);
    (void)count;
    dfal_status status = dfal_eval_confusion(session->context, &result, args->confusion, operands[0],
                                             operands[1], pool_args_options(&args->pool));
    if (status != DFAL_OK)
        return status;
    if (session->json)
        status = print_json(OBJECT(MEMBER(&result, samples), MEMBER(&result, unlabelled),
                                   MEMBER(&result, accuracy), MEMBER(&result, loss), "confusion",
                                   confusion_json(&result), "classes", classes_json(&result),
                                   MEMBER(&result, nonfinite)));
    else
        print_text(&result);
    dfal_eval_result_clear(&result);
    return status;
}

#define S struct eval_args
static const struct option options[] = {
    OPT(S, "confusion", 0, VALUE_TEXT, confusion, "FILE.csv",
        "also write the confusion matrix: label,prediction,count, a line for each pair that occurred"),
    POOL_OPTIONS(S, pool),
};

const struct command command_eval = {
    .name = "eval",
    .operands = "NET POOL",
    .summary = "Tell accuracy (a fraction), mean loss and the confusion matrix on the labelled rows",
    .text =
        "Rows labelled -1 are left out and counted, and so are rows whose input or logits are not finite.\n"
        "With --json: {samples, unlabelled, accuracy, loss, confusion, classes, nonfinite}; classes: the "
        "names of\n"
        "the confusion's classes, in the order of the network, or null. A pool that has the names in "
        "another\n"
        "order is matched by name. Above 1,000 classes confusion is null: --confusion writes it.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 2,
    .most = 2,
    .size = sizeof(S),
    .run = run,
};
