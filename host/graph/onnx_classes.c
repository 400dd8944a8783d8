/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the classes that a model's metadata tell. */
#include <jansson.h>
#include <string.h>

#include "base/memory.h"
#include "graph/json_text.h"
#include "graph/onnx_model.h"

/* A list of as many strings as there are classes; NULL: it is something else. */
static json_t *class_list(const struct df_onnx *onnx, const char *text)
{
    json_t *list = df_json_parse(text, 0, NULL);
    bool fits = json_is_array(list) && json_array_size(list) == (size_t)onnx->network->class_count;
    for (size_t i = 0; fits && i < json_array_size(list); i++)
        fits = json_is_string(json_array_get(list, i));
    if (!fits)
        json_decref(list);
    return fits ? list : NULL;
}

/* What other programs put under "classes" or "names" counts where it is plainly a list of names. */
dfal_status df_onnx_take_classes(struct df_onnx *onnx)
{
    static const char *const keys[] = {"dfal.classes", "classes", "names"};
    char shown[DF_SHOWN_TEXT], **names = NULL;
    json_t *list = NULL;
    dfal_status status = DFAL_OK;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (size_t i = 0; i < onnx->model->n_metadata_props && !list; i++) {
            const Onnx__StringStringEntryProto *entry = onnx->model->metadata_props[i];
            if (!entry->key || !entry->value || strcmp(entry->key, keys[k]) != 0)
                continue;
            list = class_list(onnx, entry->value);
            if (!list && k == 0)
                DF_FAIL(DFAL_E_DATA, "%s: the metadata '%s' is '%s', expected a JSON list of %d strings",
                        onnx->path, keys[k], df_shown(shown, entry->value), onnx->network->class_count);
        }
    if (!list)
        return DFAL_OK;
    const size_t count = json_array_size(list);
    DF_TRY_TO(done, status, df_alloc(&names, (int64_t)count, sizeof *names));
    for (size_t i = 0; i < count; i++)
        names[i] = (char *)json_string_value(json_array_get(list, i));
    status = df_network_name_classes(onnx->network, names);
done:
    df_free(names);
    json_decref(list);
    return status;
}
