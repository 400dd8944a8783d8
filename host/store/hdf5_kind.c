/* SPDX-License-Identifier: Apache-2.0 */
/* HDF5 files of other programs that people take for a pool or a network. */
#include "store/hdf5_file.h"

#define CONVERT "convert it to ONNX: python -m tf2onnx.convert, with --inputs-as-nchw for its input"

const char *df_h5_foreign(const struct df_h5 *h5)
{
    static const struct {
        const char *attribute, *link, *what;
    } kinds[] = {
        {"model_config", NULL, "it is a model of Keras; " CONVERT},
        {"keras_version", NULL, "it is a file of Keras; " CONVERT},
        {"layer_names", NULL,
         "it holds weights of Keras, not the network; load them into their model and " CONVERT},
        {NULL, "_layer_checkpoint_dependencies",
         "it holds weights of Keras, not the network; load them into their model and " CONVERT},
        {NULL, "#refs#", "it is a MATLAB file; `samples_name` names an array of it"},
        {"_NCProperties", NULL, "it is a netCDF file; `samples_name` names an array of it"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((kinds[i].attribute && H5Aexists(h5->file, kinds[i].attribute) > 0) ||
            (kinds[i].link && H5Lexists(h5->file, kinds[i].link, H5P_DEFAULT) > 0))
            return kinds[i].what;
    return NULL;
}
