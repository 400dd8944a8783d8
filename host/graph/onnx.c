/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files: read, check what the network is, lower it node by node. */
#include "graph/onnx.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/kind.h"
#include "base/memory.h"
#include "base/number.h"
#include "graph/onnx_model.h"

enum { OLDEST_IR = 3, OLDEST_OPSET = 9 };
#define LARGEST_FILE INT64_C(0x7fffffff) /* protobuf's own limit */

/* ---- The file -------------------------------------------------------------------------------- */

/* Messages of a few bytes become structures of a hundred: a file may not take more than this multiple of its
 * size. */
struct budget {
    int64_t left;
    bool refused, failed;
};
static const int64_t budget_least = INT64_C(64) << 20, budget_factor = 16, budget_block = 128;

static void *take(void *user, size_t size)
{
    struct budget *budget = user;
    void *block = NULL;
    budget->left -= (int64_t)size + budget_block;
    if (budget->left < 0)
        budget->refused = true;
    else if (df_alloc(&block, (int64_t)size, 1) != DFAL_OK)
        budget->failed = true;
    return block;
}

static void give(void *user, void *block)
{
    (void)user;
    df_free(block);
}

static dfal_status unpack(Onnx__ModelProto **model, const char *path, int64_t *allowance)
{
    struct stat facts;
    char *bytes;
    size_t size;
    if (stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > LARGEST_FILE)
        DF_FAIL(DFAL_E_DATA,
                "%s: the file has %lld bytes, and ONNX files end at 2 GiB: larger models keep their weights "
                "in files beside it",
                path, (long long)facts.st_size);
    DF_TRY(df_file_read(&bytes, &size, path, (size_t)LARGEST_FILE));
    struct budget budget = {.left = budget_least + budget_factor * (int64_t)size};
    ProtobufCAllocator allocator = {take, give, &budget};
    *model = size > 0 ? onnx__model_proto__unpack(&allocator, size, (const uint8_t *)bytes) : NULL;
    df_free(bytes);
    *allowance = (INT64_C(256) << 20) + DF_ONNX_ALLOWANCE * (int64_t)size;
    if (budget.failed)
        DF_FAIL(DFAL_E_MEMORY, "%s: no memory for the file's %zu bytes", path, size);
    if (budget.refused)
        DF_FAIL(DFAL_E_DATA, "%s: the file has %zu bytes but wants more than %lld in memory", path, size,
                (long long)(budget_least + budget_factor * (int64_t)size));
    if (!*model)
        DF_TRY(df_refuse_kind(path, "an ONNX model"));
    if (!*model)
        DF_FAIL(DFAL_E_DATA, "%s: %s, expected an ONNX model", path,
                size == 0 ? "the file is empty" : "the file cannot be parsed: it is truncated or none");
    return DFAL_OK;
}

/* Control characters of a stranger's names do not reach the terminal. */
static void clean(char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void clean_all(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        clean(texts[i]);
}

static void clean_node(Onnx__NodeProto *node)
{
    clean(node->name);
    clean(node->op_type);
    clean(node->domain);
    clean_all(node->input, node->n_input);
    clean_all(node->output, node->n_output);
    for (size_t i = 0; i < node->n_attribute; i++)
        clean(node->attribute[i]->name);
}

static void clean_model(Onnx__ModelProto *model)
{
    Onnx__GraphProto *graph = model->graph;
    clean(model->producer_name);
    clean(model->producer_version);
    for (size_t i = 0; i < graph->n_node; i++)
        clean_node(graph->node[i]);
    for (size_t i = 0; i < graph->n_initializer; i++)
        clean(graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_input; i++)
        clean(graph->input[i]->name);
    for (size_t i = 0; i < graph->n_output; i++)
        clean(graph->output[i]->name);
}

static dfal_status check_model(struct df_onnx *onnx)
{
    Onnx__ModelProto *model = onnx->model;
    if (!model->graph || (!model->has_ir_version && model->n_opset_import == 0)) {
        DF_TRY(df_refuse_kind(onnx->path, "an ONNX model"));
        DF_FAIL(DFAL_E_DATA, "%s: the file holds no graph, expected an ONNX model", onnx->path);
    }
    clean_model(model);
    if (model->ir_version < OLDEST_IR)
        DF_FAIL(DFAL_E_DATA, "%s: the file is of ONNX's IR version %lld, expected %d or newer", onnx->path,
                (long long)model->ir_version, OLDEST_IR);
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *domain = model->opset_import[i]->domain;
        if (!domain || !*domain || strcmp(domain, "ai.onnx") == 0)
            onnx->opset = model->opset_import[i]->version;
    }
    if (onnx->opset < OLDEST_OPSET)
        DF_FAIL(DFAL_E_DATA, "%s: the model is of opset %lld, expected %d or newer", onnx->path,
                (long long)onnx->opset, OLDEST_OPSET);
    onnx->graph = model->graph;
    onnx->nodes = model->graph->node;
    if (model->graph->n_node > DF_ONNX_MAX_NODES)
        DF_FAIL(DFAL_E_DATA, "%s: the graph has %zu nodes, expected at most %d", onnx->path,
                model->graph->n_node, DF_ONNX_MAX_NODES);
    onnx->node_count = (int32_t)model->graph->n_node;
    for (int32_t i = 0; i < onnx->node_count; i++)
        if (!onnx->nodes[i]->op_type || !*onnx->nodes[i]->op_type)
            DF_FAIL(DFAL_E_DATA, "%s: node %d of the graph has no op_type", onnx->path, i);
    return DFAL_OK;
}

/* ---- Input and output ------------------------------------------------------------------------ */

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *info)
{
    return info->type && info->type->tensor_type ? info->type->tensor_type->shape : NULL;
}

static int32_t type_of(const Onnx__ValueInfoProto *info)
{
    return info->type && info->type->tensor_type ? info->type->tensor_type->elem_type : 0;
}

/* "'x' (float [N, 3, height, 32])" */
static int describe(const Onnx__ValueInfoProto *info, char *text, size_t size)
{
    const Onnx__TensorShapeProto *shape = shape_of(info);
    size_t at = (size_t)snprintf(text, size, "'%.60s' (%s%s", info->name ? info->name : "",
                                 df_onnx_type_name(type_of(info)), shape ? " [" : ", no shape");
    for (size_t d = 0; shape && d < shape->n_dim && at + 60 < size; d++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[d];
        clean(dim->dim_param);
        if (dim->has_dim_value)
            at += (size_t)snprintf(text + at, size - at, "%s%lld", d ? ", " : "", (long long)dim->dim_value);
        else
            at += (size_t)snprintf(text + at, size - at, "%s%.30s", d ? ", " : "",
                                   dim->dim_param && *dim->dim_param ? dim->dim_param : "?");
    }
    at += at + 3 < size ? (size_t)snprintf(text + at, size - at, "%s)", shape ? "]" : "") : 0;
    return (int)at;
}

/* Names of inputs or outputs with commas between. */
static void list(Onnx__ValueInfoProto **infos, size_t count, char text[600])
{
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && at < 400; i++) {
        at += (size_t)snprintf(text + at, 600 - at, "%s", i ? ", " : "");
        at += (size_t)describe(infos[i], text + at, 600 - at);
    }
}

/* The inputs that are no initializers: they are moved to the front, so that messages can list them. */
static size_t real_inputs(const struct df_onnx *onnx)
{
    size_t count = 0;
    for (size_t i = 0; i < onnx->graph->n_input; i++) {
        Onnx__ValueInfoProto *info = onnx->graph->input[i];
        const struct df_onnx_value *value = info->name ? df_onnx_find(onnx, info->name) : NULL;
        if (value && !value->initializer) {
            onnx->graph->input[i] = onnx->graph->input[count];
            onnx->graph->input[count++] = info;
        }
    }
    return count;
}

static dfal_status take_input(struct df_onnx *onnx)
{
    char text[600];
    const size_t count = real_inputs(onnx);
    Onnx__ValueInfoProto **infos = onnx->graph->input;
    list(infos, count, text);
    if (count != 1)
        DF_FAIL(DFAL_E_DATA, "%s: the model has %zu inputs%s%s, expected one: images [N, C, H, W]",
                onnx->path, count, count ? ": " : "", text);
    const Onnx__TensorShapeProto *shape = shape_of(infos[0]);
    if (!df_onnx_is_real(type_of(infos[0])))
        DF_FAIL(DFAL_E_DATA, "%s: the model's input is %s, expected float images [N, C, H, W], no %s",
                onnx->path, text,
                type_of(infos[0]) == DF_ONNX_INT64 || type_of(infos[0]) == DF_ONNX_INT32 ? "tokens"
                                                                                         : "other type");
    if (!shape || shape->n_dim != 4)
        DF_FAIL(DFAL_E_DATA, "%s: the model's input is %s, expected images [N, C, H, W]", onnx->path, text);
    int64_t dims[4];
    for (size_t d = 0; d < 4; d++) {
        dims[d] = shape->dim[d]->has_dim_value ? shape->dim[d]->dim_value : 0;
        if (d > 0 && dims[d] < 1)
            DF_FAIL(DFAL_E_DATA,
                    "%s: the model's input is %s: axis %zu has no fixed size; export it with fixed channels, "
                    "height and "
                    "width (only the batch may vary)",
                    onnx->path, text, d);
    }
    onnx->batch = dims[0] > 0 ? dims[0] : -2;
    onnx->input = df_onnx_find(onnx, infos[0]->name);
    dfal_status status = df_network_create(&onnx->network, (struct df_shape){dims[1], dims[2], dims[3]}, 1);
    if (status != DFAL_OK)
        return df_fail_prefix(status, "%s: ", onnx->path);
    df_onnx_whole(onnx->input, DF_INPUT, 4, dims);
    return DFAL_OK;
}

static dfal_status take_output(struct df_onnx *onnx)
{
    char text[600];
    Onnx__GraphProto *graph = onnx->graph;
    list(graph->output, graph->n_output, text);
    if (graph->n_output != 1)
        DF_FAIL(DFAL_E_DATA, "%s: the model has %zu outputs%s%s, expected one: the logits [N, K]", onnx->path,
                graph->n_output, graph->n_output ? ": " : "", text);
    onnx->output = graph->output[0]->name ? df_onnx_find(onnx, graph->output[0]->name) : NULL;
    if (!onnx->output)
        DF_FAIL(DFAL_E_DATA, "%s: the model's output %s is computed by nothing in the graph", onnx->path,
                text);
    return DFAL_OK;
}

/* ---- Lowering -------------------------------------------------------------------------------- */

static dfal_status check_attributes(const struct df_onnx *onnx, const Onnx__NodeProto *proto,
                                    const struct df_onnx_op *op)
{
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = proto->attribute[i];
        char word[64];
        snprintf(word, sizeof word, " %.60s ", attribute->name ? attribute->name : "");
        if (strlen(word) < 3 || strchr(word + 1, ' ') != word + strlen(word) - 1 ||
            !strstr(op->attributes, word))
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has the attribute '%.60s', which is not known",
                         attribute->name ? attribute->name : "");
        if (attribute->ref_attr_name && *attribute->ref_attr_name)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                         "takes its attribute '%.60s' from a function that nothing calls", attribute->name);
    }
    return DFAL_OK;
}

static dfal_status lower(struct df_onnx *onnx)
{
    for (int32_t i = 0; i < onnx->order_count; i++) {
        const Onnx__NodeProto *proto = onnx->nodes[onnx->order[i]];
        const struct df_onnx_op *op = df_onnx_op_find(proto->domain, proto->op_type);
        if (!df_onnx_out(onnx, proto, 0))
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "has no first output");
        for (size_t k = 1; k < proto->n_output; k++) {
            const struct df_onnx_value *more = df_onnx_out(onnx, proto, k);
            if (more && more->uses > 0)
                DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA,
                             "has its output %zu, '%.80s', used: only the first output is supported", k + 1,
                             more->name);
        }
        DF_TRY(check_attributes(onnx, proto, op));
        DF_TRY(op->lower(onnx, proto));
    }
    return DFAL_OK;
}

/* Nodes that turned out to lead nowhere: what only a Shape asked for. */
static dfal_status prune(struct df_network *network)
{
    int32_t *place, kept = 0;
    DF_TRY(df_alloc(&place, network->node_count, sizeof *place));
    place[network->output] = 1;
    for (int32_t i = network->output; i >= 0; i--)
        for (int32_t j = 0; place[i] && j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] != DF_INPUT)
                place[network->nodes[i].inputs[j]] = 1;
    for (int32_t i = 0; i < network->node_count; i++) {
        struct df_node *node = &network->nodes[i];
        if (!place[i]) {
            df_free(node->name);
            df_free(node->inputs);
            for (int k = 0; k < DF_PARAMETER_KINDS; k++)
                df_free(node->parameter[k].data);
            continue;
        }
        for (int32_t j = 0; j < node->input_count; j++)
            if (node->inputs[j] != DF_INPUT)
                node->inputs[j] = place[node->inputs[j]];
        place[i] = kept;
        network->nodes[kept++] = *node;
    }
    network->output = place[network->output];
    network->node_count = kept;
    df_free(place);
    return DFAL_OK;
}

static dfal_status finish(struct df_onnx *onnx)
{
    struct df_onnx_value *y = onnx->output;
    char dims[128];
    if (y->kind != DF_ONNX_ACTIVATION)
        DF_FAIL(DFAL_E_DATA, "%s: the output '%.80s' does not depend on the input '%.80s'", onnx->path,
                y->name, onnx->input->name);
    const int64_t classes = y->rank > 1 ? y->dims[1] : 1;
    if (y->rank < 2 || df_onnx_size(y) != classes || classes < 2)
        DF_FAIL(DFAL_E_DATA,
                "%s: the output '%.80s' has the shape %s, expected [N, K]: one logit for each of 2 or more "
                "classes",
                onnx->path, y->name, df_onnx_dims_text(dims, y->rank, y->dims));
    int32_t node;
    Onnx__NodeProto *last = y->producer >= 0 ? onnx->nodes[y->producer] : NULL;
    if (!last || y->node == DF_INPUT)
        DF_FAIL(DFAL_E_DATA, "%s: the output '%.80s' is the input itself", onnx->path, y->name);
    DF_TRY(df_onnx_materialise(onnx, last, y, (struct df_shape){classes, 1, 1}, &node));
    enum df_node_op op = onnx->network->nodes[node].op;
    for (int32_t i = node; op == DF_NODE_FLATTEN || op == DF_NODE_RESHAPE; op = onnx->network->nodes[i].op)
        if ((i = onnx->network->nodes[i].inputs[0]) == DF_INPUT)
            break;
    if (op == DF_NODE_SIGMOID || op == DF_NODE_HARD_SIGMOID)
        DF_FAIL(DFAL_E_DATA,
                "%s: the output '%.80s' is a sigmoid, so probabilities; expected logits: export the model "
                "without its last op",
                onnx->path, y->name);
    if (classes > INT32_MAX)
        DF_FAIL(DFAL_E_SHAPE, "%s: the output has %lld classes", onnx->path, (long long)classes);
    onnx->network->output = node;
    onnx->network->class_count = (int32_t)classes;
    onnx->network->softmax_cut = y->softmax;
    DF_TRY(prune(onnx->network));
    dfal_status status = df_network_infer(onnx->network);
    if (status != DFAL_OK)
        return df_fail_prefix(status, "%s: ", onnx->path);
    return df_network_check_finite(onnx->network, onnx->path);
}

/* ---- What the file says of itself ------------------------------------------------------------ */

/* "0.1, 0.2, 0.3": 1 or C finite numbers. */
static dfal_status read_numbers(const struct df_onnx *onnx, const char *key, const char *text, double **out,
                                int32_t *count)
{
    const int64_t channels = onnx->network->input.c;
    double *values;
    *count = 0;
    DF_TRY(df_alloc(&values, channels, sizeof *values));
    bool fits = true;
    for (const char *at = text; fits;) {
        char *end;
        double value = df_parse_real(at, &end);
        end += strspn(end, " ");
        fits = end != at && isfinite(value) && *count < channels && (*end == ',' || *end == 0);
        if (!fits)
            break;
        values[(*count)++] = value;
        if (*end == 0)
            break;
        at = end + 1;
    }
    if (!fits || (*count != 1 && *count != channels)) {
        df_free(values);
        DF_FAIL(DFAL_E_DATA,
                "%s: the metadata '%s' is '%.100s', expected 1 or %lld finite numbers with commas between",
                onnx->path, key, text, (long long)channels);
    }
    df_free(*out);
    *out = values;
    return DFAL_OK;
}

static dfal_status read_scaling(struct df_onnx *onnx)
{
    static const char *const keys[2] = {"dfal.scale", "dfal.offset"};
    struct df_network *network = onnx->network;
    double *values[2] = {NULL, NULL};
    int32_t counts[2] = {0, 0};
    dfal_status status = DFAL_OK;
    for (size_t i = 0; status == DFAL_OK && i < onnx->model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = onnx->model->metadata_props[i];
        for (int k = 0; k < 2 && status == DFAL_OK; k++)
            if (entry->key && entry->value && strcmp(entry->key, keys[k]) == 0) {
                clean(entry->value);
                status = read_numbers(onnx, keys[k], entry->value, &values[k], &counts[k]);
            }
    }
    const int32_t count = counts[0] > counts[1] ? counts[0] : counts[1];
    double **into[2] = {&network->scale, &network->offset};
    network->affine_count = 0;
    for (int k = 0; k < 2 && status == DFAL_OK && count > 0; k++) {
        status = df_resize(into[k], 0, count, sizeof(double));
        for (int32_t c = 0; status == DFAL_OK && c < count; c++)
            (*into[k])[c] = counts[k] == 0 ? (k == 0 ? 1.0 : 0.0) : values[k][counts[k] > 1 ? c : 0];
    }
    if (status == DFAL_OK)
        network->affine_count = count;
    df_free(values[0]);
    df_free(values[1]);
    return status;
}

static dfal_status tell(const struct df_onnx *onnx, struct df_onnx_facts *facts)
{
    const Onnx__ModelProto *model = onnx->model;
    int32_t kinds;
    const char *name = model->producer_name ? model->producer_name : "";
    const char *version = model->producer_version ? model->producer_version : "";
    DF_TRY(df_format(&facts->producer, "%.100s%s%.100s", name, *version ? " " : "", version));
    DF_TRY(df_strdup(&facts->input, onnx->input->name));
    DF_TRY(df_strdup(&facts->output, onnx->output->name));
    facts->ir_version = model->ir_version;
    facts->opset = onnx->opset;
    facts->node_count = onnx->node_count;
    facts->softmax_cut = onnx->output->softmax;
    return df_onnx_count_ops(onnx, false, &facts->ops, &kinds);
}

void df_onnx_facts_clear(struct df_onnx_facts *facts)
{
    df_free(facts->producer);
    df_free(facts->ops);
    df_free(facts->input);
    df_free(facts->output);
    memset(facts, 0, sizeof *facts);
}

dfal_status df_onnx_load(struct df_network **out, struct df_onnx_facts *facts, const char *path)
{
    int64_t allowance = 0;
    struct df_onnx_files files = {0};
    struct df_onnx onnx = {.path = path, .allowance = &allowance, .files = &files};
    ProtobufCAllocator allocator = {take, give, NULL};
    dfal_status status;
    *out = NULL;
    if (facts)
        memset(facts, 0, sizeof *facts);
    DF_TRY_TO(done, status, unpack(&onnx.model, path, &allowance));
    DF_TRY_TO(done, status, check_model(&onnx));
    DF_TRY_TO(done, status, df_onnx_index(&onnx));
    DF_TRY_TO(done, status, take_input(&onnx));
    DF_TRY_TO(done, status, take_output(&onnx));
    DF_TRY_TO(done, status, df_onnx_arrange(&onnx));
    DF_TRY_TO(done, status, lower(&onnx));
    DF_TRY_TO(done, status, finish(&onnx));
    DF_TRY_TO(done, status, read_scaling(&onnx));
    DF_TRY_TO(done, status, df_onnx_take_classes(&onnx));
    if (facts)
        DF_TRY_TO(done, status, tell(&onnx, facts));
    onnx.network->files = files.path;
    onnx.network->file_count = files.count;
    files = (struct df_onnx_files){0};
    *out = onnx.network;
    onnx.network = NULL;
done:
    for (int32_t i = 0; i < files.count; i++)
        df_free(files.path[i]);
    df_free(files.path);
    df_network_destroy(onnx.network);
    df_onnx_index_clear(&onnx);
    if (onnx.model)
        onnx__model_proto__free_unpacked(onnx.model, &allocator);
    if (status != DFAL_OK && facts)
        df_onnx_facts_clear(facts);
    return status;
}
