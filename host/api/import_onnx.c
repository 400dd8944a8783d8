/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_import_onnx: an ONNX file as a network file that says where it came from. */
#include <jansson.h>
#include <stdlib.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "graph/json_text.h"
#include "graph/onnx.h"
#include "io/image_list.h"
#include "store/network_file.h"

static dfal_status describe(char **text, const struct df_onnx_facts *facts, const char *source)
{
    char *dumped = NULL;
    dfal_status status =
        df_json_packed(&dumped, "what this network was made from", JSON_COMPACT | JSON_SORT_KEYS,
                       "{s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:s, s:s, s:b}", "format", "onnx", "source",
                       source, "producer", facts->producer, "ir_version", (json_int_t)facts->ir_version,
                       "opset", (json_int_t)facts->opset, "nodes", (int)facts->node_count, "ops", facts->ops,
                       "input", facts->input, "output", facts->output, "softmax_cut", facts->softmax_cut);
    if (status == DFAL_OK)
        status = df_strdup(text, dumped);
    else if (status == DFAL_E_DATA) /* a name that is no UTF-8 */
        status = df_format(text, "{\"format\":\"onnx\",\"opset\":%lld}", (long long)facts->opset);
    free(dumped);
    return status;
}

/* By the same reader that `import images` names a pool with. */
static dfal_status name_classes(struct df_network *network, const char *model_path, const char *class_names)
{
    struct df_image_list list = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_image_list_name(&list, class_names));
    if (list.class_count == network->class_count)
        status = df_network_name_classes(network, list.classes);
    else
        status = df_fail(DFAL_E_DATA, "%s: %d class names, expected the %d classes that %s tells apart",
                         class_names, list.class_count, network->class_count, model_path);
done:
    df_image_list_clear(&list);
    return status;
}

dfal_status dfal_import_onnx(dfal_context *context, const char *out_path, const char *model_path,
                             const char *class_names)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_network *network = NULL;
    struct df_onnx_facts facts = {0};
    char *configuration = NULL;
    dfal_status status;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_claim_job(&claim, out_path, model_path, NULL, NULL, context->options.force));
    DF_TRY_TO(done, status, df_onnx_load(&network, &facts, model_path));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)network->files, network->file_count));
    DF_TRY_TO(done, status, df_claim_input(&claim, class_names));
    if (class_names)
        DF_TRY_TO(done, status, name_classes(network, model_path, class_names));
    DF_TRY_TO(done, status, df_context_check_stop(context));
    DF_TRY_TO(done, status, describe(&configuration, &facts, model_path));
    const struct df_provenance provenance = {
        .command_line = context->options.command_line ? context->options.command_line : "",
        .configuration = configuration,
        .backend = "",
        .engine = "",
        .isa = "",
        .device = "",
        .seed = context->options.seed,
    };
    DF_TRY_TO(done, status, df_network_save(network, out_path, context->options.force, &provenance));
    df_say(context, DFAL_INFO, "import.end",
           DF_FIELDS(DF_INT("nodes", network->node_count), DF_INT("classes", network->class_count),
                     DF_INT("parameters", df_network_parameter_count(network)), DF_TEXT("output", out_path)),
           "%s: %d nodes made of %d, %lld parameters, %d classes%s", out_path, network->node_count,
           facts.node_count, (long long)df_network_parameter_count(network), network->class_count,
           facts.softmax_cut ? ", the final softmax cut" : "");
done:
    df_free(configuration);
    df_onnx_facts_clear(&facts);
    df_network_destroy(network);
    df_claim_end(&claim);
    return status;
}
