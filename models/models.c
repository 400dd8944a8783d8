/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"

#include <string.h>

#include "base/word.h"
#include "models/model.h"

static const struct df_model *const models[] = {&df_model_lenet5, &df_model_vgg8};
const char *const df_model_names[] = {"lenet5", "vgg8", NULL};
enum { MODEL_COUNT = sizeof models / sizeof *models };

static const struct df_model *find(const char *name)
{
    for (int i = 0; i < MODEL_COUNT; i++)
        if (strcmp(models[i]->name, name) == 0)
            return models[i];
    return NULL;
}

bool df_model_exists(const char *name)
{
    return find(name) != NULL;
}

dfal_status df_model_check(const char *name)
{
    if (find(name) || strpbrk(name, "/."))
        return DFAL_OK;
    return df_fail_unknown(DFAL_E_USAGE, "network", name, "lenet5, vgg8 or the path of a network file",
                           df_model_names, MODEL_COUNT);
}

static dfal_status add_layer(struct df_network *network, const struct df_model_layer *layer)
{
    int32_t index, input = network->node_count - 1; /* DF_INPUT for the first */
    DF_TRY(df_network_add(network, &index, layer->name, layer->op, &input, 1));
    struct df_node *node = &network->nodes[index];
    node->parameter[DF_WEIGHT].dims[0] =
        layer->features == DF_CLASSES ? network->class_count : layer->features;
    if (layer->op == DF_NODE_DROPOUT)
        node->ratio = layer->ratio;
    if (layer->kernel > 0)
        node->window = (struct df_window){.kernel = {layer->kernel, layer->kernel},
                                          .stride = {layer->stride, layer->stride},
                                          .pad = {layer->pad, layer->pad, layer->pad, layer->pad},
                                          .dilation = {1, 1}};
    return DFAL_OK;
}

dfal_status df_model_create(struct df_network **out, const char *name, struct df_shape input,
                            int32_t class_count)
{
    *out = NULL;
    const struct df_model *model = find(name);
    if (!model) {
        DF_TRY(df_model_check(name));
        DF_FAIL(DFAL_E_INTERNAL, "'%s' is the name of a file, expected a built-in network's", name);
    }
    if (input.h < model->smallest || input.w < model->smallest)
        DF_FAIL(DFAL_E_SHAPE, "%s gets inputs of %lldx%lld pixels, expected at least %dx%d", name,
                (long long)input.h, (long long)input.w, model->smallest, model->smallest);
    struct df_network *network = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_network_create(&network, input, class_count));
    for (int32_t i = 0; i < model->layer_count; i++)
        DF_TRY_TO(done, status, add_layer(network, &model->layers[i]));
    DF_TRY_TO(done, status, df_network_infer(network));
    *out = network;
    network = NULL;
done:
    df_network_destroy(network);
    return status;
}
