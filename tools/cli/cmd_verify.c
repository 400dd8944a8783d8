/* SPDX-License-Identifier: Apache-2.0 */
/* dfal verify: a scores file recomputed in float64, or a network held against another framework. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "commands.h"
#include "print.h"

struct verify_args {
    struct dfal_verify_network_options network;
    struct pool_args pool;
    int64_t samples;
    const char *against;
};

static void init(void *user)
{
    struct verify_args *args = user;
    dfal_verify_network_options_init(&args->network);
}

/* ---- a network ----------------------------------------------------------------------------------------- */

static void add_node(void *user, const struct dfal_verify_node *node)
{
    json_array_append_new(user, OBJECT(MEMBER(node, node), MEMBER(node, op), MEMBER(node, values),
                                       MEMBER(node, largest_difference), MEMBER(node, largest_value),
                                       MEMBER(node, relative_difference), MEMBER(node, sample), "ok",
                                       JSON(node->passed)));
}

static void print_node(void *user, const struct dfal_verify_node *node)
{
    bool *headed = user;
    char name[ONE_LINE];
    if (!*headed)
        printf("%-40s %-18s %9s %12s %12s %9s %7s\n", "node", "op", "values", "difference", "of largest",
               "relative", "sample");
    *headed = true;
    printf("%-40s %-18s %9" PRId64 " %12.4g %12.4g %9.2g %7" PRId64 "%s\n", one_line(name, node->node),
           node->op, node->values, node->largest_difference, node->largest_value, node->relative_difference,
           node->sample, node->passed ? "" : "  differs");
}

static dfal_status print_network_json(const struct dfal_verify_network_result *result, json_t *nodes, bool ok)
{
    const char *first = result->first_difference[0] != '\0' ? result->first_difference : NULL;
    return print_json(OBJECT(MEMBER(result, samples), MEMBER(result, largest_difference),
                             MEMBER(result, largest_relative_difference), MEMBER(result, sample),
                             MEMBER(result, argmax_agreement), MEMBER(result, input_difference),
                             MEMBER(result, tolerance), MEMBER(result, nodes_left_out), "first_difference",
                             JSON(first), "nodes", nodes, "ok", JSON(ok)));
}

static dfal_status run_network(struct session *session, struct verify_args *args, const char *const *operands,
                               int32_t count)
{
    struct dfal_verify_network_result result;
    bool headed = false;
    dfal_verify_network_result_init(&result);
    if (count > 2)
        return usage_error(DFAL_E_USAGE, "verify --against REF.h5 needs NET, or NET POOL");
    if (args->samples != 0)
        return usage_error(
            DFAL_E_USAGE,
            "--samples is for scores files: with --against all samples of the reference are compared");
    json_t *nodes = session->json ? json_array() : NULL;
    dfal_status status = dfal_verify_network(
        session->context, &result, operands[0], count > 1 ? operands[1] : NULL, args->against, &args->network,
        session->json ? add_node : print_node, session->json ? (void *)nodes : (void *)&headed);
    if (result.samples == 0) {
        json_decref(nodes);
        return status;
    }
    if (session->json) {
        dfal_status printed = print_network_json(&result, nodes, status == DFAL_OK);
        return status != DFAL_OK ? status : printed;
    }
    printf("%-28s %" PRId64 "\n%-28s %.4g at sample %" PRId64 "\n%-28s %.3g\n%-28s %.3g\n%-28s %" PRId64
           " of %" PRId64 "\n",
           "samples", result.samples, "largest logit difference", result.largest_difference, result.sample,
           "of the largest logit", result.largest_relative_difference, "tolerance", result.tolerance,
           "arg-max agreement", result.argmax_agreement, result.samples);
    if (isfinite(result.input_difference))
        printf("%-28s %.4g\n", "largest input difference", result.input_difference);
    return status;
}

/* ---- a scores file ------------------------------------------------------------------------------------- */

static dfal_status run_scores(struct session *session, struct verify_args *args, const char *const *operands,
                              int32_t count)
{
    struct dfal_verify_result result;
    dfal_verify_result_init(&result);
    if (count == 2)
        return usage_error(DFAL_E_USAGE,
                           "verify needs SCORES.h5, or SCORES.h5 NET POOL, or NET [POOL] --against REF.h5");
    if (is_given(session, "tolerance"))
        return usage_error(DFAL_E_USAGE, "--tolerance needs --against: the tolerance of scores is fixed");
    dfal_status status = dfal_verify_scores(session->context, &result, operands[0],
                                            count > 1 ? operands[1] : NULL, count > 1 ? operands[2] : NULL,
                                            args->samples != 0 ? args->samples : 64, args->network.pool);
    if (result.samples == 0)
        return status;
    if (session->json) {
        dfal_status printed = print_json(OBJECT(
            MEMBER(&result, samples), MEMBER(&result, largest_relative_error), MEMBER(&result, disagreements),
            MEMBER(&result, excused), MEMBER(&result, tolerance), "ok", JSON((bool)(status == DFAL_OK))));
        return status != DFAL_OK ? status : printed;
    }
    printf("%-24s %" PRId64 "\n%-24s %.3g\n%-24s %.3g\n%-24s %" PRId64 "\n%-24s %" PRId64 "\n", "samples",
           result.samples, "largest relative error", result.largest_relative_error, "tolerance",
           result.tolerance, "disagreements", result.disagreements, "passed over", result.excused);
    return status;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct verify_args *args = user;
    args->network.pool = pool_args_options(&args->pool);
    if (args->against != NULL)
        return run_network(session, args, operands, count);
    return run_scores(session, args, operands, count);
}

#define S struct verify_args
static const struct option options[] = {
    OPT(S, "samples", 0, VALUE_NUMBER, samples, "N",
        "samples of a scores file to recompute, drawn by --seed (default 64)", NUMBER(I64, 1, NO_LIMIT)),
    OPT(S, "against", 0, VALUE_TEXT, against, "REF.h5",
        "logits, and inputs and activations, of another framework", .reads = true),
    OPT(S, "tolerance", 0, VALUE_NUMBER, network.tolerance, "T",
        "with --against: largest difference over a node's largest magnitude (default 1e-3)",
        NUMBER(REAL, 0, 1e6)),
    POOL_OPTIONS(S, pool),
};

const struct command command_verify = {
    .name = "verify",
    .operands = "SCORES.h5 [NET POOL] | NET [POOL] --against REF.h5",
    .summary = "Check a scores file in float64, or a network against another framework; over tolerance is "
               "exit code 65",
    .text =
        "SCORES.h5: samples are recomputed; without NET and POOL those recorded in the file are read. One "
        "that\n"
        "disagrees is passed over where the file's own arithmetic gives its bits again (\"excused\"): one, "
        "and "
        "two in a\n"
        "hundred at most; the other figures are those of the others.\n"
        "NET: runs on the rows of POOL (without POOL on the inputs in REF.h5) and is held against the logits "
        "and\n"
        "activations in REF.h5 (docs/FORMATS.md, \"Reference\"; examples/export_torch.py writes one). What "
        "differs\n"
        "first, the inputs, a node in graph order or the logits, is named.\n"
        "With --json: {samples, largest_relative_error, disagreements, excused, tolerance, ok}, and for NET "
        "{samples,\n"
        "largest_difference, largest_relative_difference, sample, argmax_agreement, input_difference, "
        "tolerance,\n"
        "nodes_left_out, first_difference, nodes: [{node, op, values, largest_difference, largest_value,\n"
        "relative_difference, sample, ok}], ok}.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 3,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
