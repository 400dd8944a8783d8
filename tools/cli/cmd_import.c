/* SPDX-License-Identifier: Apache-2.0 */
/* dfal import: other people's files to pools. */
#include <string.h>

#include "commands.h"
#include "import.h"

static dfal_status import_idx(dfal_context *context, struct import_args *args, const char *const *operands,
                              int32_t count)
{
    return dfal_import_idx(context, args->out, operands[0], count > 1 ? operands[1] : NULL);
}

static dfal_status import_npy(dfal_context *context, struct import_args *args, const char *const *operands,
                              int32_t count)
{
    return dfal_import_npy(context, args->out, operands[0], count > 1 ? operands[1] : NULL, &args->pool);
}

static dfal_status import_npz(dfal_context *context, struct import_args *args, const char *const *operands,
                              int32_t count)
{
    (void)count;
    return dfal_import_npz(context, args->out, operands[0], &args->pool);
}

static dfal_status import_cifar10(dfal_context *context, struct import_args *args,
                                  const char *const *operands, int32_t count)
{
    return dfal_import_cifar10(context, args->out, operands, count, args->split);
}

static dfal_status import_classes(dfal_context *context, struct import_args *args,
                                  const char *const *operands, int32_t count)
{
    return dfal_import_classes(context, args->out, args->source, operands, count, args->split, &args->pool);
}

static dfal_status import_onnx(dfal_context *context, struct import_args *args, const char *const *operands,
                               int32_t count)
{
    (void)count;
    return dfal_import_onnx(context, args->out, operands[0], args->images.class_names);
}

/* A word behind `import`: operands are counted without it. */
static const struct {
    const char *name, *operands;
    int32_t least, most;
    import_fn *run;
} sources[] = {
    {"idx", "IMAGES [LABELS]", 1, 2, import_idx},
    {"npy", "SAMPLES.npy [LABELS.npy]", 1, 2, import_npy},
    {"npz", "FILE.npz", 1, 1, import_npz},
    {"cifar10", "DIR|BATCH...", 1, INT32_MAX - 1, import_cifar10},
    {"quickdraw", "CLASS.npy CLASS.npy...", 2, INT32_MAX - 1, import_classes},
    {"shoebag", "CLASS.hdf5 CLASS.hdf5...", 2, INT32_MAX - 1, import_classes},
    {"images", "DIR|LIST.csv", 1, 1, import_images},
    {"onnx", "M.onnx", 1, 1, import_onnx},
};

static void init(void *user)
{
    struct import_args *args = user;
    dfal_image_options_init(&args->images);
    dfal_pool_options_init(&args->pool);
}

#define S struct import_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "POOL.h5", "the file to write", .required = true),
    OPT(S, "resize", 0, VALUE_TEXT, resize, "PIXELS|H,W",
        "images: the shorter side becomes PIXELS, or both become H and W, antialiased (default: as it is)",
        .only = "images"),
    OPT(S, "crop", 0, VALUE_NUMBER, images.crop, "PIXELS",
        "images: the middle PIXELS x PIXELS; what is smaller gets a black border", NUMBER(I32, 1, 65536),
        .only = "images"),
    OPT(S, "interpolation", 0, VALUE_CHOICE, images.interpolation, DFAL_INTERPOLATIONS,
        "images: how to resize (default bilinear)", .only = "images"),
    OPT(S, "exif", 0, VALUE_CHOICE, images.exif, DFAL_EXIFS,
        "images: the rotation that EXIF asks for; torchvision's ImageFolder ignores it (default apply)",
        .only = "images"),
    OPT(S, "channels", 0, VALUE_NUMBER, images.channels, "3|1", "images: colour or grey (default 3)",
        NUMBER(I32, 1, 3), .only = "images"),
    OPT(S, "mean", 0, VALUE_TEXT, mean, "R,G,B",
        "images: the network sees (value / 255 - mean) / std (default 0)", .only = "images"),
    OPT(S, "std", 0, VALUE_TEXT, std, "R,G,B", "images: see --mean (default 1)", .only = "images"),
    OPT(S, "folders-are-classes", 0, VALUE_FLAG, images.folders_are_classes, NULL,
        "images: the first folder of a path is the class", .only = "images"),
    OPT(S, "class-names", 0, VALUE_TEXT, images.class_names, "FILE",
        "images, onnx: class names, one a line, in the network's order", .only = "images, onnx",
        .reads = true),
    OPT(S, "on-error", 0, VALUE_CHOICE, images.on_error, DFAL_ON_ERRORS,
        "images: what a broken file does; skip lists it in POOL.bad.csv (default stop)", .only = "images"),
    OPT(S, "samples-name", 0, VALUE_TEXT, pool.samples_name, "NAME",
        "npz, shoebag: the array of the samples (default samples; of shoebag imgs)", .only = "npz, shoebag"),
    OPT(S, "labels-name", 0, VALUE_TEXT, pool.labels_name, "NAME",
        "npz: the array of the labels (default labels, where there is one)", .only = "npz"),
    OPT(S, "layout", 0, VALUE_CHOICE, pool.layout, DFAL_LAYOUTS,
        "npy, npz: order of the samples' axes (default NCHW)", .only = "npy, npz"),
    OPT(S, "split", 0, VALUE_CHOICE, split, DFAL_SPLITS,
        "cifar10: which batches of a folder; quickdraw, shoebag: which images of each class (default train)",
        .only = "cifar10, quickdraw, shoebag"),
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct import_args *args = user;
    const char *names[COUNT_OF(sources)], *source = operands[0];
    int32_t at = 0;
    for (int32_t i = 0; i < COUNT_OF(sources); i++)
        names[i] = sources[i].name;
    while (at < COUNT_OF(sources) && strcmp(source, names[at]) != 0)
        at++;
    if (at == COUNT_OF(sources))
        return usage_unknown("", "source", source, NULL, names, COUNT_OF(sources));
    if (count - 1 < sources[at].least)
        return usage_error(DFAL_E_USAGE, "import %s needs %s", source, sources[at].operands);
    if (count - 1 > sources[at].most)
        return usage_error(DFAL_E_USAGE, "import %s takes %s, so '%s' is one argument too many", source,
                           sources[at].operands, operands[sources[at].most + 1]);
    dfal_status status = check_belongs(session, options, COUNT_OF(options), "import ", source);
    if (status != DFAL_OK)
        return status;
    args->source = source;
    args->result = OBJECT("output", JSON(args->out));
    status = sources[at].run(session->context, args, operands + 1, count - 1);
    if (status == DFAL_OK && session->json)
        return print_json(args->result);
    json_decref(args->result);
    return status;
}

const struct command command_import = {
    .name = "import",
    .operands = "SOURCE FILE...",
    .summary = "Convert other people's files to a pool or a network",
    .text = "SOURCE and its files:\n"
            "  idx IMAGES [LABELS]   IDX files, plain or .gz\n"
            "  npy SAMPLES.npy [LABELS.npy]   arrays of numpy.save: samples [N,C,H,W], [N,H,W] or [N,D], "
            "labels [N]\n"
            "  npz FILE.npz          the same in an archive of numpy.savez\n"
            "  cifar10 DIR|BATCH...  CIFAR-10 batches, binary or Python's (read, never executed)\n"
            "  quickdraw CLASS.npy... Quick, Draw!'s numpy bitmaps [N,784] of bytes, a file a class;\n"
            "                        the first 80 % of each class are train, the others test\n"
            "  shoebag CLASS.hdf5... iGAN's photographs [N,64,64,3] of bytes, shoes_64.hdf5 and\n"
            "                        handbag_64.hdf5; the last 2,000 of each class are test\n"
            "  images DIR|LIST.csv   JPEG, PNG, WebP, BMP and TIFF files below a folder, or of a list with "
            "the header "
            "path[,label].\n"
            "                        Finished parts are kept in POOL.h5.parts/: the same line continues "
            "after a kill.\n"
            "  onnx M.onnx           a model as a network file; an .onnx may also stand wherever NET is "
            "expected",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .init = init,
    .run = run,
    .first_word = true,
};
