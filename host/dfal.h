/* SPDX-License-Identifier: Apache-2.0 */
/* dfal: which samples to label next. The only public header.
 *
 * A job reads files and writes one: dfal_score gives the DeepFool margin of every sample of a pool,
 * dfal_select the next queries, dfal_run a whole experiment of active learning. Pools, networks and scores
 * are HDF5 files (docs/FORMATS.md); a network may be an ONNX file as well. The shortest program:
 *
 *     dfal_context *context;
 *     struct dfal_score_result result;
 *     dfal_score_result_init(&result);
 *     if (dfal_context_create(&context, NULL) != DFAL_OK ||
 *         dfal_score(context, &result, "scores.h5", "net.onnx", "pool.h5", NULL) != DFAL_OK)
 *         fprintf(stderr, "%s\n", dfal_last_error());
 *     else
 *         printf("%lld samples\n", (long long)result.samples);
 *     dfal_context_destroy(context);
 *
 * Errors      Every job returns a dfal_status; dfal_last_error() then holds one whole sentence for people.
 *             Outputs appear whole or not at all.
 * Arguments   A job takes a context, then its results, then its inputs, then its options. All are borrowed
 *             until it returns; texts that a callback gets are borrowed for that call.
 * Structs     Those of options and results begin with their size and are filled by their init macro first: an
 *             option left alone has the default that stands beside it. Options NULL: all defaults. Result
 *             NULL: not wanted. Later versions only append fields: a program and a library of two versions
 *             do what both know.
 * Threads     A context runs one job at a time; several contexts may work side by side, each on a thread of
 *             its own (reading and writing HDF5 files, they wait for each other). Only dfal_context_stop,
 *             dfal_context_stop_by and dfal_context_kept_work may be called on a context whose job runs.
 *             Events and callbacks come from threads of the library, one call at a time, and must not call
 *             the library with the same context.
 * Stopping    A stopped job returns E_STOPPED. Its context stays stopped: create another, and the same call
 *             continues from the work that was kept.
 * Process     The library never prints, never exits and never reads the environment. No output of its is open
 *             under the descriptors 0, 1 and 2, even where the program has closed them, and its numbers have
 *             a point in any locale. */
#ifndef DFAL_H
#define DFAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DFAL_VERSION_MAJOR 0
#define DFAL_VERSION_MINOR 2
#define DFAL_VERSION_PATCH 0
#define DFAL_VERSION       "0.2.0"

#if defined(__GNUC__)
#define DFAL_API          __attribute__((visibility("default")))
#define DFAL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define DFAL_API
#define DFAL_PRINTF(f, a)
#endif

/* The version of the library that runs: "0.2.0". DFAL_VERSION is that of the header. */
DFAL_API const char *dfal_version(void);
/* Zero a result struct of so many bytes and note its size: what the init macros of results call. */
DFAL_API void dfal_result_init(void *result, size_t size);

/* ---- Status -------------------------------------------------------------------------------- */

/* X(name, value, exit code of the command, meaning) */
#define DFAL_STATUS_LIST(X)                                                                                  \
    X(OK, 0, 0, "ok")                                                                                        \
    X(E_USAGE, -1, 64, "unknown command, option or value (the nearest is named), or an output that is read") \
    X(E_DATA, -2, 65, "bad data: unreadable, truncated, foreign, wrong type or range, no sample, one class") \
    X(E_SHAPE, -3, 65, "shapes that do not fit")                                                             \
    X(E_NOINPUT, -4, 66, "input missing")                                                                    \
    X(E_UNAVAILABLE, -5, 69, "back end, device, library, CPU feature or function not available")             \
    X(E_MEMORY, -6, 69, "out of memory")                                                                     \
    X(E_INTERNAL, -7, 70, "internal error")                                                                  \
    X(E_EXISTS, -8, 73, "cannot create, or exists and is finished (--force replaces it)")                    \
    X(E_IO, -9, 74, "read or write error, disk full")                                                        \
    X(E_STOPPED, -10, 75, "stopped by a signal or a device error with work kept: run the same line again")   \
    X(E_CONFIG, -11, 78, "bad configuration file, or an unfinished output of another configuration")

typedef enum dfal_status {
#define X(name, value, exit_code, text) DFAL_##name = value,
    DFAL_STATUS_LIST(X)
#undef X
} dfal_status;

/* Name a status: "E_DATA". */
DFAL_API const char *dfal_status_name(dfal_status status);
/* Give the exit code of the dfal command for a status (sysexits.h). */
DFAL_API int dfal_status_exit_code(dfal_status status);
/* Give the calling thread's last error as one sentence; "" before the first. */
DFAL_API const char *dfal_last_error(void);
/* Make a text that comes from a file or a user fit for a terminal, in place: every control character, mark
 * that turns the direction of writing, separator of lines and broken sequence of UTF-8 becomes a question
 * mark. dfal_last_error and the texts of events are clean; facts, ids and the fields of events are as they
 * stand in the file. */
DFAL_API void dfal_text_clean(char *text);

/* ---- Facts and events ------------------------------------------------------------------------ */

/* One named value; text is borrowed for the call that passes it. A LIST has `integer` texts, in `text` one
 * behind the other, each ended by a zero byte. Kinds are appended: a program passes over unknown ones. */
typedef enum dfal_field_kind {
    DFAL_FIELD_INT,
    DFAL_FIELD_REAL,
    DFAL_FIELD_TEXT,
    DFAL_FIELD_LIST
} dfal_field_kind;
struct dfal_field {
    const char *key;
    dfal_field_kind kind;
    int64_t integer;
    double real;
    const char *text;
};

/* Receive one fact; called in display order. */
typedef void dfal_fact_fn(void *user, const struct dfal_field *fact);
typedef enum dfal_level { DFAL_DEBUG, DFAL_PROGRESS, DFAL_INFO, DFAL_WARNING } dfal_level;
/* Something happened. Names and fields are listed in docs/FORMATS.md. */
struct dfal_event {
    dfal_level level;
    const char *name; /* stable, e.g. "score.begin" */
    const char *text; /* one line for people, no newline */
    const struct dfal_field *fields;
    int32_t field_count;
};
/* Receive an event. Called from any thread of the library, one call at a time. */
typedef void dfal_event_fn(void *user, const struct dfal_event *event);

/* ---- Words ------------------------------------------------------------------------------------ */

/* Options that are a word of a list. The first is the default. Back ends, built-in networks, strategies and
 * presets of runs are not here: dfal_doctor, dfal_strategies and dfal_presets tell them. */
#define DFAL_ISAS             "auto|avx2|avx512"
#define DFAL_COMMS            "self|mpi"
#define DFAL_FEEDS            "own|nccl"
#define DFAL_LAYOUTS          "NCHW|NHWC"
#define DFAL_SPLITS           "train|test"
#define DFAL_DATA_SETS        "quickdraw|shoebag"
#define DFAL_INTERPOLATIONS   "bilinear|bicubic"
#define DFAL_ON_ERRORS        "stop|skip"
#define DFAL_EXIFS            "apply|ignore"
#define DFAL_OPTIMIZERS       "adam|sgd"
#define DFAL_DEEPFOOL_PRESETS "lts4|paper|dfal2018|foolbox|deepal|sdf"
#define DFAL_UNCONVERGEDS     "last|keep|exclude"
#define DFAL_PRECISIONS       "strict|fast|split"
#define DFAL_ENGINES          "auto|layers|fused"

/* Write what is said of a word that is none of a list: "unknown engine 'fusde': expected auto, layers or
 * fused; nearest is 'fused'". What has no room in text [size] is cut; `what` is the choice, "engine";
 * `expected` is said instead of the names (NULL: they are), among which the nearest is looked for, if any. */
DFAL_API void dfal_unknown_word(char *text, size_t size, const char *what, const char *word,
                                const char *expected, const char *const *names, int32_t count);

/* ---- Context ------------------------------------------------------------------------------- */

struct dfal_context_options {
    size_t size;
    const char *backend; /* "auto" | "cpu" | "cuda[:0,1,...|all]" | "ref" | "check:A:B" */
    const char *isa;     /* of DFAL_ISAS */
    int32_t threads;     /* 0: affinity mask, SLURM_CPUS_PER_TASK by the tool, cgroup quota */
    int64_t memory;      /* bytes this process may hold in all; 0: what it holds and half of what is free */
    uint64_t seed;       /* 1 */
    bool seed_given;     /* by the caller: then it beats the seed of a run's configuration even if it is 1 */
    bool force;          /* replace finished outputs */
    bool allow_mixed;    /* continue or merge under another arithmetic identity */
    const char *command_line; /* recorded in outputs; NULL: "" */
    dfal_event_fn *event;     /* NULL: silent */
    void *event_user;
    const char *comm; /* of DFAL_COMMS: one process, or a rank of many (score, logits, select, run) */
};

typedef struct dfal_context dfal_context;
DFAL_API void dfal_context_options_init(struct dfal_context_options *options, size_t size);
#define dfal_context_options_init(options) dfal_context_options_init((options), sizeof *(options))
/* Create a context; no device is opened before a job needs one. Options NULL: all defaults.
 * Errors   E_USAGE unknown back end or ISA name (the nearest is named); E_MEMORY */
DFAL_API dfal_status dfal_context_create(dfal_context **out, const struct dfal_context_options *options);
/* Close the device and free the context; NULL is none. No job may be running. */
DFAL_API void dfal_context_destroy(dfal_context *context);
/* CPUs this process may use: the least of the affinity mask and the cgroup's quota. */
DFAL_API int32_t dfal_cpu_count(void);
/* Tell which rank of its job the context is, once the job has begun; results are those of rank 0. */
DFAL_API int32_t dfal_context_rank(const dfal_context *context);
/* Tell whether the job waits for its other ranks to begin, which no stop can end: nothing is claimed or
 * written yet, so a program that was asked to stop may end at once. Async-signal-safe. */
DFAL_API bool dfal_context_is_joining(const dfal_context *context);
/* Ask the running job to finish its step, keep its work and return E_STOPPED. Async-signal-safe. */
DFAL_API void dfal_context_stop(dfal_context *context);
/* The same because of a signal: a command that the job runs gets it, too, and SIGTERM of the plain stop. */
DFAL_API void dfal_context_stop_by(dfal_context *context, int signal);
/* Tell whether finished work was kept by the last job that returned E_STOPPED. From any thread; while the job
 * still runs the answer is what is kept so far: true stays true, false may become true before it returns. */
DFAL_API bool dfal_context_kept_work(const dfal_context *context);

/* ---- Data ---------------------------------------------------------------------------------- */

struct dfal_synth_options {
    size_t size;
    int64_t count;       /* samples, at least 1 */
    int32_t class_count; /* 10, at most 10 */
    int32_t side;        /* 28 pixels */
    const char *split;   /* of DFAL_SPLITS: another Philox stream each */
};
DFAL_API void dfal_synth_options_init(struct dfal_synth_options *options, size_t size);
#define dfal_synth_options_init(options) dfal_synth_options_init((options), sizeof *(options))
/* Write a pool of procedurally drawn digits, labelled, reproducible from the seed. */
DFAL_API dfal_status dfal_synth(dfal_context *context, const char *out_path,
                                const struct dfal_synth_options *options);

/* Convert IDX images (and labels, or NULL), plain or gzip, to a pool.
 * Errors   E_NOINPUT; E_DATA no IDX file, truncated, another number of labels; E_EXISTS; E_IO */
DFAL_API dfal_status dfal_import_idx(dfal_context *context, const char *out_path, const char *images_path,
                                     const char *labels_path);

struct dfal_pool_options; /* below */
/* Convert an array of numpy.save (and an array of labels, or NULL) to a pool, streaming. Samples [N,C,H,W]
 * (or NHWC), [N,H,W] or [N,D]; u1 is kept as u8, other numbers and bools become f32. Labels [N] or [N,1],
 * whole numbers, -1 unknown.
 *   options  only the layout is read; NULL: NCHW
 * Errors   E_DATA no npy file, truncated, objects, structures, Fortran order, a label out of range; E_SHAPE
 *          (also one-hot labels) */
DFAL_API dfal_status dfal_import_npy(dfal_context *context, const char *out_path, const char *samples_path,
                                     const char *labels_path, const struct dfal_pool_options *options);
/* The same from an archive of numpy.savez or savez_compressed: the arrays that options name ("samples", and
 * "labels" where there is one). Errors   E_DATA as above, no archive, no such array (named), damaged */
DFAL_API dfal_status dfal_import_npz(dfal_context *context, const char *out_path, const char *path,
                                     const struct dfal_pool_options *options);
/* Convert CIFAR-10 batches, binary or Python's (read, never executed), to a pool with ids `data_batch_1:0`
 * and, where batches.meta stands beside them, class names.
 *   paths  batches in order; or one folder: then split "train" (NULL) or "test" chooses
 * Errors   E_NOINPUT; E_DATA no CIFAR-10 batch: size, label, or an unknown instruction of the pickle */
DFAL_API dfal_status dfal_import_cifar10(dfal_context *context, const char *out_path,
                                         const char *const *paths, int32_t path_count, const char *split);

/* Convert a data set that has a file a class to a pool of one split: class by class in the order of the
 * files, labelled, each class named after its file.
 *   data_set  of DFAL_DATA_SETS: "quickdraw", arrays of numpy [N, 784] of bytes, drawings of 28 x 28, the
 *             first floor(0.8 N) of a class train; "shoebag", HDF5 files of which one dataset is [N, 64, 64,
 *             3] of bytes, the last 2,000 of a class test
 *   paths     two files or more, as they are published
 *   split     of DFAL_SPLITS; NULL: "train"
 *   options   of shoebag the name of the dataset (NULL: "imgs") and hdf5_plugins are read; NULL: the defaults
 * Errors   E_USAGE fewer than two files; E_NOINPUT; E_DATA no file of that kind, no such dataset (those there
 *          are named), too few images for both splits, two files of one class; E_SHAPE */
DFAL_API dfal_status dfal_import_classes(dfal_context *context, const char *out_path, const char *data_set,
                                         const char *const *paths, int32_t path_count, const char *split,
                                         const struct dfal_pool_options *options);

struct dfal_image_options {
    size_t size;
    int32_t resize; /* 0: none; else pixels of the shorter side, the longer one int(resize * long / short) */
    int32_t crop;   /* 0: none; else the middle crop x crop pixels, zeros where a picture is smaller */
    const char *interpolation;     /* of DFAL_INTERPOLATIONS, both antialiased */
    int32_t channels;              /* 3: red, green, blue; 1: grey */
    double mean[3], std[3];        /* the network sees (value / 255 - mean) / std */
    int32_t mean_count, std_count; /* 0: none; 1: the same for all channels; or one a channel */
    bool folders_are_classes;      /* the first folder of a path is its class, in bytewise order */
    const char *class_names;       /* NULL: none; a file with a class name a line, in the network's order */
    const char *on_error;          /* of DFAL_ON_ERRORS: a skipped file stands in POOL.bad.csv */
    int32_t resize_height, resize_width; /* 0: none; else the size in pixels, without resize */
    const char *exif; /* of DFAL_EXIFS: what becomes of the rotation that a file's EXIF asks for */
};
struct dfal_image_result {
    size_t size;
    int64_t samples, skipped;
    int64_t other_files; /* below the folder, by their names no pictures */
    int32_t channels, height, width;
    int32_t class_count; /* 0: unknown */
    double seconds;
    int64_t rotated; /* samples whose EXIF asks for a rotation, followed unless options said "ignore" */
    int64_t grey;    /* samples whose three channels are equal; 0 with one channel */
    int64_t hidden;  /* below the folder, names that begin with a dot */
};
#define dfal_image_result_init(result) dfal_result_init((result), sizeof *(result))
DFAL_API void dfal_image_options_init(struct dfal_image_options *options, size_t size);
#define dfal_image_options_init(options) dfal_image_options_init((options), sizeof *(options))
/* Convert JPEG, PNG, WebP, BMP and TIFF files to a pool of bytes [N, C, H, W]: those below a folder (.jpg,
 * .jpeg, .jpe, .jfif, .png, .webp, .bmp, .tif, .tiff; what a file is, its bytes say), or those of a CSV list
 * with the header path[,id][,label], paths relative to the list. Ids are the relative paths; rows are in
 * bytewise order of the ids. Finished parts are kept in OUT.parts/: the same call continues after a kill.
 * Errors   E_DATA a broken file (named, unless on_error is "skip"), no picture, a doubled id; E_SHAPE without
 *          resize and crop, the first picture of another size; E_NOINPUT; E_EXISTS finished; E_CONFIG
 *          unfinished with other options or other pictures; E_STOPPED; E_IO
 * Order    results do not depend on threads or kills
 * Source   Pillow's Image.resize (two passes of fixed-point sums) and torchvision's Resize and CenterCrop */
DFAL_API dfal_status dfal_import_images(dfal_context *context, struct dfal_image_result *result,
                                        const char *out_path, const char *source,
                                        const struct dfal_image_options *options);

/* Convert an ONNX model of images to a network file: constants folded, a final softmax cut. Wherever a
 * network file is expected an ONNX file may stand; this one loads faster and needs no files beside it.
 *   class_names  a file with the name of a class a line, in the network's order; NULL: the model's, if any
 * Errors   E_NOINPUT, E_DATA (all ops that are not supported are named, with counts), E_SHAPE, E_EXISTS */
DFAL_API dfal_status dfal_import_onnx(dfal_context *context, const char *out_path, const char *model_path,
                                      const char *class_names);

/* Tell what a pool, network, scores file, ONNX file or run directory holds. */
DFAL_API dfal_status dfal_info(dfal_context *context, const char *path, dfal_fact_fn *fact, void *user);
/* The same of a pool whose data has other names or layout, or with label files laid over it. */
DFAL_API dfal_status dfal_info_pool(dfal_context *context, const char *path,
                                    const struct dfal_pool_options *options, dfal_fact_fn *fact, void *user);
/* Tell versions, devices, CPU features, libraries, file locking and limits.
 * Errors   E_UNAVAILABLE the context's back end does not open here; everything was told */
DFAL_API dfal_status dfal_doctor(dfal_context *context, dfal_fact_fn *fact, void *user);
/* Tell how far a score, train or run is; path is its output. */
DFAL_API dfal_status dfal_progress(dfal_context *context, const char *path, dfal_fact_fn *fact, void *user);

/* Names under which a pool's data may be found, and label files laid over it. */
struct dfal_pool_options {
    size_t size;
    const char *samples_name; /* NULL: "samples" */
    const char *labels_name;  /* NULL: "labels" */
    const char *layout;       /* of DFAL_LAYOUTS; NULL: "NCHW" */
    bool hdf5_plugins;        /* false: only built-in filters */
    int32_t label_file_count;
    const char *const *label_files; /* CSV files laid over the pool's labels: the last line of an id wins */
};
DFAL_API void dfal_pool_options_init(struct dfal_pool_options *options, size_t size);
#define dfal_pool_options_init(options) dfal_pool_options_init((options), sizeof *(options))

/* ---- Networks ------------------------------------------------------------------------------ */

struct dfal_train_options {
    size_t size;
    const struct dfal_pool_options *pool; /* NULL: the defaults */
    const char *init;                     /* NULL: Glorot; or a network file whose parameters are the start */
    int32_t epochs;                       /* 12; 0: the initial parameters are saved */
    int32_t batch;                        /* 32 samples of a step */
    const char *optimizer;                /* of DFAL_OPTIMIZERS */
    double learning_rate;                 /* 1e-3 */
    int64_t subset;                       /* 0: every labelled row; else that many, drawn by the seed */
    int32_t restarts;                     /* 1; of more, the one of the lowest (validation) loss is kept */
    int32_t patience;                     /* 0: no early stop; else epochs without a lower validation loss */
    double validation;                    /* 0: none; fraction of the labelled rows that are held back */
    const char *augment; /* NULL: none; "shift=2,rotate=10": keys of a run below training.augment */
};
struct dfal_train_result {
    size_t size;
    int32_t epochs; /* run by the restart that was kept */
    double loss;    /* last epoch's mean training loss */
    double validation_loss;
    double seconds;          /* all of it */
    double training_seconds; /* without reading the rows and opening the device */
    int64_t peak_memory_bytes;
};
#define dfal_train_result_init(result) dfal_result_init((result), sizeof *(result))
DFAL_API void dfal_train_options_init(struct dfal_train_options *options, size_t size);
#define dfal_train_options_init(options) dfal_train_options_init((options), sizeof *(options))
/* Train a network on the labelled rows of a pool with softmax cross-entropy, and save it.
 *   out_path   the network file to write; the same call continues from a checkpoint beside it
 *   network    a built-in name ("lenet5", "vgg8"), or a network or ONNX file whose graph is taken
 *   pool_path  rows without a label are left out
 * Errors   E_USAGE an option out of range; E_DATA no labelled row, or the graph cannot be trained; E_SHAPE
 *          the network is for other samples, or they may be shifted out of sight; E_NOINPUT; E_EXISTS
 *          finished; E_CONFIG an unfinished training of other options, network, pool or arithmetic; E_MEMORY
 *          more than is allowed; E_STOPPED; E_IO
 * Order    the same bits whatever the threads, kills and stops; the context's seed draws all that is drawn
 * Source   Adam: Kingma and Ba, arXiv:1412.6980; initial weights: Glorot and Bengio 2010, uniform */
DFAL_API dfal_status dfal_train(dfal_context *context, struct dfal_train_result *result, const char *out_path,
                                const char *network, const char *pool_path,
                                const struct dfal_train_options *options);

#define DFAL_CONFUSION_CLASSES 1000 /* with more, dfal_eval gives no matrix; dfal_eval_confusion writes it */
struct dfal_eval_result {
    size_t size;
    int64_t samples;    /* labelled rows whose input and logits are finite */
    int64_t unlabelled; /* rows left out */
    double accuracy;    /* fraction */
    double loss;        /* mean cross-entropy */
    int32_t class_count;
    /* [class_count, class_count] truth by prediction; dfal_eval_result_clear frees. NULL: too many classes */
    int64_t *confusion;
    char **classes;    /* [class_count] names in the order of the network; NULL: nobody has told them */
    int64_t nonfinite; /* labelled rows left out: an input or a logit is not finite */
};
#define dfal_eval_result_init(result) dfal_result_init((result), sizeof *(result))
/* Count how many labelled rows of a pool a network classifies rightly. Where both have names of classes in
 * another order, the pool's are mapped to the network's.
 *   result  to be cleared with dfal_eval_result_clear, also after an error
 * Errors   E_DATA no labelled row, or classes of other names; E_SHAPE; E_NOINPUT; E_STOPPED; E_IO */
DFAL_API dfal_status dfal_eval(dfal_context *context, struct dfal_eval_result *result, const char *network,
                               const char *pool_path, const struct dfal_pool_options *pool);
/* The same, and write the confusion matrix to a CSV file: label,prediction,count of each pair that occurred,
 * then known names of the classes. out_path NULL: no file. Errors   as dfal_eval; E_EXISTS, E_IO of it */
DFAL_API dfal_status dfal_eval_confusion(dfal_context *context, struct dfal_eval_result *result,
                                         const char *out_path, const char *network, const char *pool_path,
                                         const struct dfal_pool_options *pool);
/* Free what dfal_eval has put into its result. */
DFAL_API void dfal_eval_result_clear(struct dfal_eval_result *result);

struct dfal_logits_options {
    size_t size;
    const struct dfal_pool_options *pool; /* NULL: the defaults */
    const char *node;                     /* NULL: the logits; else this node's activations */
    int64_t range_begin, range_end;       /* rows; end -1: the pool's */
    int32_t shard, shard_count;           /* 0-based; count 0: none */
};
DFAL_API void dfal_logits_options_init(struct dfal_logits_options *options, size_t size);
#define dfal_logits_options_init(options) dfal_logits_options_init((options), sizeof *(options))
/* Write the logits, or a named node's activations, of every row, to an HDF5 file (docs/FORMATS.md, "Logits").
 * Finished parts stand in OUT.parts/, from which the same call continues after a kill; files of shards are
 * joined by dfal_merge.
 * Errors   E_USAGE no such node (the nearest is named), a range outside the pool; E_DATA, E_SHAPE, E_NOINPUT
 *          the inputs; E_EXISTS; E_CONFIG unfinished parts of other inputs, node or arithmetic; E_MEMORY;
 *          E_STOPPED; E_IO
 * Order    each row's bits depend on network, row and arithmetic alone */
DFAL_API dfal_status dfal_logits(dfal_context *context, const char *out_path, const char *network,
                                 const char *pool_path, const struct dfal_logits_options *options);

/* ---- Scores -------------------------------------------------------------------------------- */

/* X(name, value, rank group): how a sample's DeepFool run ended */
#define DFAL_SCORE_STATUS_LIST(X)                                                                            \
    X(OK, 0, 0)                                                                                              \
    X(TIE, 1, 0)                                                                                             \
    X(MAX_ITER, 2, 1)                                                                                        \
    X(ZERO_GRAD, 3, 2)                                                                                       \
    X(NONFINITE, 4, 3)                                                                                       \
    X(PRUNED, 5, 4)                                                                                          \
    X(UNSCORED, 6, 5)

enum dfal_score_status {
#define X(name, value, group) DFAL_SCORE_##name = value,
    DFAL_SCORE_STATUS_LIST(X)
#undef X
        DFAL_SCORE_STATUS_COUNT = 7,
    DFAL_SCORE_STATUS_ROOM = 16 /* of arrays that later versions may put more into */
};

struct dfal_score_options {
    size_t size;
    const struct dfal_pool_options *pool; /* NULL: the defaults */
    const char *preset;                   /* of DFAL_DEEPFOOL_PRESETS */
    double norm;                          /* 2; INFINITY for linf; >= 1; of sdf 2 alone */
    int32_t max_iter;                     /* -1: the preset's */
    double overshoot;                     /* NAN: the preset's */
    int32_t classes;                /* -1: the preset's; 0: all; else candidate classes incl. the own one */
    const char *unconverged;        /* of DFAL_UNCONVERGEDS: how MAX_ITER is ranked */
    const char *precision;          /* of DFAL_PRECISIONS (docs/NUMERICS.md, "Precision") */
    const char *engine;             /* of DFAL_ENGINES: layer by layer, or small networks in one kernel */
    bool refine;                    /* bisect on the last segment */
    bool units_raw;                 /* margins in the pool's raw units */
    int64_t batch;                  /* samples in flight, rounded up to as many a worker; 0: from memory */
    int64_t range_begin, range_end; /* rows; end -1: the pool's */
    int32_t shard, shard_count;     /* 0-based; count 0: none */
    int64_t adversarial;            /* 0; else that many closest samples' adversarial images are written */
    bool cascade;                   /* with closest, or of a selection: an audit in place of the proof */
    int64_t closest; /* 0; else DeepFool runs on what may be among so many closest rows: others are PRUNED */
};
struct dfal_score_result {
    size_t size;
    int64_t samples;
    double seconds;         /* all of it, which is: */
    double start_seconds;   /* until the first row: opening pool, network, device and engine */
    double scoring_seconds; /* from the first row to the last */
    double writing_seconds; /* behind the last row: most is written while others are scored */
    int64_t iterations;     /* DeepFool steps over all samples */
    int64_t status[DFAL_SCORE_STATUS_ROOM]; /* rows that ended so */
    int64_t peak_memory_bytes;
    double margin_quantile[5]; /* of OK and TIE: 0, 25, 50, 75, 100 % */
    double accuracy;           /* NAN where no labels exist */
    char engine[16], isa[16], backend[32];
    double scoring_cpu_seconds;   /* of all threads, while scoring_seconds passed */
    int64_t deepfool_samples;     /* rows that DeepFool ran on */
    double closest_margin;        /* of the last of the closest rows; NAN: none were asked for */
    int64_t audited, audit_found; /* of a cascade: rows of its audit, and of these nearer than the Q-th */
    double recall;                /* the share of the closest that was found, as the audit tells; NAN: none */
};
#define dfal_score_result_init(result) dfal_result_init((result), sizeof *(result))
DFAL_API void dfal_score_options_init(struct dfal_score_options *options, size_t size);
#define dfal_score_options_init(options) dfal_score_options_init((options), sizeof *(options))
/* Run DeepFool on every row of a pool: the distance to the network's decision boundary, in the network's
 * input units, and how each row ended.
 *   result     what was done; margin_quantile[i] of the rows that are OK or TIE
 *   out_path   the scores file (docs/FORMATS.md, "Scores"); finished parts stand in OUT.parts/, from which
 *              the same call continues after a kill
 *   network    a network or ONNX file whose output is logits (a final softmax is cut)
 *   pool_path  a pool, or a foreign HDF5 file of images
 * Errors   E_USAGE an option; E_DATA a damaged or changing input, classes of other names; E_SHAPE the network
 *          is for other samples; E_NOINPUT; E_EXISTS finished; E_CONFIG unfinished parts of other options,
 *          network, pool or arithmetic; E_UNAVAILABLE back end or fused engine; E_MEMORY; E_STOPPED; E_IO
 * Order    each row's bits depend on network, row, options and arithmetic alone, not on threads or kills
 * Memory   13 bytes a row beyond a constant, 60 with closest; samples in flight fit context options' memory
 * Source   Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv:1511.04599, algorithm 2; docs/NUMERICS.md */
DFAL_API dfal_status dfal_score(dfal_context *context, struct dfal_score_result *result, const char *out_path,
                                const char *network, const char *pool_path,
                                const struct dfal_score_options *options);
struct dfal_estimate_result {
    size_t size;
    int64_t samples; /* that the job has */
    int64_t timed_samples;
    double timed_seconds, iterations_per_sample;
    double seconds, samples_per_second; /* of the whole job, from these */
    int64_t output_bytes;
    int64_t batch, memory_bytes; /* samples in flight; what the process holds with them, at most */
    int64_t peak_memory_bytes;   /* so far */
};
#define dfal_estimate_result_init(result) dfal_result_init((result), sizeof *(result))
/* Time 256 samples spread over the rows of a score (all where there are fewer; on a GPU more, up to 32,768,
 * until they take 0.3 s) and tell what the whole would take. Nothing is written. */
DFAL_API dfal_status dfal_score_estimate(dfal_context *context, struct dfal_estimate_result *result,
                                         const char *network, const char *pool_path,
                                         const struct dfal_score_options *options);
/* Join the scores, or the logits, of all shards of a pool to one file, or the run directories of all parts of
 * an experiment to one.
 * Errors   E_DATA shards or parts that are missing, doubled, torn, unfinished or of another cut (named), or
 *          folders and files mixed; E_CONFIG of another job; E_NOINPUT; E_EXISTS; E_IO */
DFAL_API dfal_status dfal_merge(dfal_context *context, const char *out_path, const char *const *shard_paths,
                                int32_t shard_count);
struct dfal_verify_result {
    size_t size;
    int64_t samples;
    double largest_relative_error; /* of the margins */
    int64_t disagreements;         /* status or class differs */
    int64_t excused; /* over tolerance, in neither: the file's arithmetic gives them again; 1 + 2 % at most */
    double tolerance; /* 1e-3; 5e-2 for a file of precision fast */
};
#define dfal_verify_result_init(result) dfal_result_init((result), sizeof *(result))
/* Recompute samples of a scores file in float64 without folding; network or pool_path NULL: those recorded in
 * the file. Errors   E_DATA over tolerance (the result is filled all the same) */
DFAL_API dfal_status dfal_verify_scores(dfal_context *context, struct dfal_verify_result *result,
                                        const char *scores_path, const char *network, const char *pool_path,
                                        int64_t samples, const struct dfal_pool_options *pool);
struct dfal_verify_network_options {
    size_t size;
    const struct dfal_pool_options *pool; /* NULL: the defaults */
    double tolerance; /* 1e-3: largest difference over the largest magnitude of a node, over all samples */
};
struct dfal_verify_network_result {
    size_t size;
    int64_t samples;
    double largest_difference; /* of the logits */
    double largest_relative_difference;
    int64_t sample; /* of the reference, where it is */
    int64_t argmax_agreement;
    double input_difference;       /* NAN: the reference has no inputs, or no pool was given */
    int32_t nodes, nodes_left_out; /* activations compared; those of nodes that the network does not have */
    double tolerance;
    char first_difference[256]; /* "input", a node's name, "logits"; "": none */
};
#define dfal_verify_network_result_init(result) dfal_result_init((result), sizeof *(result))
/* One compared node, in graph order; the last is "logits". Texts are borrowed for the call. */
struct dfal_verify_node {
    const char *node, *op;
    int64_t values; /* of a sample */
    double largest_difference, largest_value, relative_difference;
    int64_t sample; /* where the difference is largest */
    bool passed;
};
typedef void dfal_verify_node_fn(void *user, const struct dfal_verify_node *node);
DFAL_API void dfal_verify_network_options_init(struct dfal_verify_network_options *options, size_t size);
#define dfal_verify_network_options_init(options)                                                            \
    dfal_verify_network_options_init((options), sizeof *(options))
/* Hold a network against logits, and inputs and activations where there are some, that another framework
 * wrote to an HDF5 file (docs/FORMATS.md, "Reference"). pool_path NULL: the samples are the file's own
 * inputs. node may be NULL.
 * Errors   E_DATA over tolerance: what differs first is named (result is filled, node was called);
 *          probabilities; E_SHAPE */
DFAL_API dfal_status dfal_verify_network(dfal_context *context, struct dfal_verify_network_result *result,
                                         const char *network, const char *pool_path,
                                         const char *reference_path,
                                         const struct dfal_verify_network_options *options,
                                         dfal_verify_node_fn *node, void *user);

/* ---- Selection and experiments ----------------------------------------------------------------- */

struct dfal_select_options {
    size_t size;
    const struct dfal_score_options *score; /* of margins, and the pool's; NULL: the defaults */
    const char *strategy;    /* required, but with strategy_command: a name of dfal_strategies */
    int64_t count;           /* required: queries, at least 1 */
    const char *scores_path; /* NULL: score on the way */
    const char *logits_path; /* NULL: forward on the way; or what dfal_logits wrote */
    int64_t subsample;       /* 0: the whole pool; else so many candidates, drawn by seed and labelled rows */
    bool trust_rows;         /* do not read the pool again to see that scores and logits are of its rows */
    const char *twins_path;  /* NULL: none; allowed with every strategy */
    const char *sheet_path;  /* NULL: none; a contact sheet, .html or .png */
    const char *const *strategy_options; /* "key=value"; dfal_run_keys tells which, as options.NAME.KEY */
    size_t strategy_option_count;
    const char *pseudo_labels_path; /* NULL: none; a label file of the rows that the strategy labels itself */
    /* NULL: dfal chooses; else a command does ("Strategy command"), and strategy is NULL or "command" */
    const char *strategy_command;
    const char *solver; /* NULL: from these; else the option `solver`: auto, cbc, none or a command */
};
struct dfal_query {
    int64_t rank; /* 1-based */
    const char *id;
    int64_t index;
    double score; /* NAN: the strategy has none */
    const char *strategy;
    int32_t predicted;
    double confidence;
    int32_t label; /* -1 unknown */
    int32_t adversarial_class;
    const char *predicted_name, *label_name, *adversarial_name; /* NULL: no class, or it has no name */
    /* [fact_count] what the strategy knows of all the chosen together: of coreset those of select.coreset */
    const struct dfal_field *facts;
    size_t fact_count;
};
typedef void dfal_query_fn(void *user, const struct dfal_query *query);
DFAL_API void dfal_select_options_init(struct dfal_select_options *options, size_t size);
#define dfal_select_options_init(options) dfal_select_options_init((options), sizeof *(options))
/* Choose the next queries and write QUERIES.csv, and twins and a contact sheet where asked for; query (may be
 * NULL) hears each in rank order. Labelled, skipped and non-finite samples are left out. QUERIES.csv appears
 * last: killed before that, the same call takes the other files for its own and writes all anew.
 * Errors   E_USAGE an option, or a file that does not hold what the strategy needs; E_DATA a scores or logits
 *          file of another network, pool or rows, or without a candidate's row; E_EXISTS; E_CONFIG scores of
 *          another DeepFool, an unfinished selection of other options; of a command E_UNAVAILABLE it cannot
 *          be started or fails, E_DATA what it names, E_STOPPED it ended with exit code 75: with
 *          dfal_context_kept_work its folder OUT.command is kept, and the same call goes on */
DFAL_API dfal_status dfal_select(dfal_context *context, const char *out_path, const char *network,
                                 const char *pool_path, const struct dfal_select_options *options,
                                 dfal_query_fn *query, void *user);
/* Visit the names of the strategies of this build. */
DFAL_API void dfal_strategies(dfal_fact_fn *fact, void *user);

struct dfal_run_options {
    size_t size;
    const char *config_path;            /* NULL: none */
    const char *preset;                 /* NULL: none; a name of dfal_presets */
    const char *train_path, *test_path; /* NULL: from the configuration */
    const char *const *set;             /* "key.path=value" */
    int32_t set_count;
    bool resume;        /* demand that there is something to resume */
    bool allow_command; /* a configuration file may name commands: the trainer, strategies, solvers */
    /* Of these, NULL: from the configuration. A command that trains (docs/FORMATS.md, "Trainer"); one that is
     * the strategy `command`, one more where it is not listed; the option `solver` of all that have one. */
    const char *trainer, *strategy_command, *solver;
    /* part_count 0: all trials; else trials 1 + part, 1 + part + part_count, ... (part from 0), each with the
     * bits that it has among all. dfal_merge joins the directories of all parts. */
    int32_t part, part_count;
    const char *feed; /* of DFAL_FEEDS: who reads the rows that stay on the ranks' GPUs; NULL: own */
};
/* Receive one line of the final table: mean and standard error over trials at the last round. */
struct dfal_run_row {
    const char *strategy;
    int64_t annotations, labelled;
    int32_t trials;
    double accuracy_mean, accuracy_stderr, best_mean;
    double difference; /* to `random`, paired by trial; NAN for random itself or without it */
    double difference_stderr;
    bool significant; /* p_corrected is below 5 % */
    double p_value;   /* two-sided paired t test; NAN for want of a second trial, of variance or of random */
    double p_corrected; /* Holm's correction over all strategies that were tested; NAN likewise */
    double steps_mean;  /* optimiser steps of the last round; NAN: a trainer does not tell */
    /* The mean accuracy on the way: the area under the curve over annotations, by trapezoids, divided by its
     * span. It is held against random as the accuracy is, with a Holm's correction of its own. */
    double area_mean, area_stderr, area_difference, area_difference_stderr, area_p_value, area_p_corrected;
};
typedef void dfal_run_row_fn(void *user, const struct dfal_run_row *row);
DFAL_API void dfal_run_options_init(struct dfal_run_options *options, size_t size);
#define dfal_run_options_init(options) dfal_run_options_init((options), sizeof *(options))
/* Run an experiment of active learning: rounds of training, choosing queries, asking the oracle, for each
 * strategy and trial from the same initial sets.
 *   out_dir  a folder that is made (docs/FORMATS.md, "Run directory"); the same call continues after a kill
 *   row      may be NULL; hears each line of the final table
 * Errors   E_USAGE, E_CONFIG an option or a key of the configuration (its line named); E_DATA pools that do
 *          not fit each other, no labels to simulate from; E_NOINPUT; E_EXISTS finished, or somebody else's
 *          folder, or another process works in it; E_UNAVAILABLE, E_MEMORY; E_STOPPED; E_IO
 * Order    the same bits whatever the threads, kills and stops
 * Source   Ducoffe and Precioso 2018, arXiv:1802.09841; its settings are the presets */
DFAL_API dfal_status dfal_run(dfal_context *context, const char *out_dir,
                              const struct dfal_run_options *options, dfal_run_row_fn *row, void *user);
struct dfal_run_estimate_row {
    const char *strategy;
    int32_t trials;
    int64_t rounds, labelled;                           /* of a trial; rows that its last round trains on */
    double train_seconds, select_seconds, test_seconds; /* of all its trials, one after another */
    const char *missing; /* what it takes besides, and what cannot be told: in words; "": nothing */
};
typedef void dfal_run_estimate_row_fn(void *user, const struct dfal_run_estimate_row *row);
struct dfal_run_estimate_result {
    size_t size;
    int64_t branches, beside;       /* strategies by trials; of these so many at once */
    double seconds, device_seconds; /* by the clock; of a GPU, or of all threads together */
    bool upper_bound;               /* trainings may end early, with patience */
    double timed_seconds;           /* what was measured for it */
    int64_t memory_bytes;           /* of the process, at most */
};
#define dfal_run_estimate_result_init(result) dfal_result_init((result), sizeof *(result))
/* Tell what the experiment, or the part of it that options name, would take, from trainings and choices that
 * are timed on samples. Nothing is written. row (may be NULL) hears each strategy.
 * Errors   those of dfal_run; E_USAGE a trainer, whose time nobody knows */
DFAL_API dfal_status dfal_run_estimate(dfal_context *context, struct dfal_run_estimate_result *result,
                                       const struct dfal_run_options *options, dfal_run_estimate_row_fn *row,
                                       void *user);
/* The table again from a run directory; of an unfinished run as far as it is. Errors   E_NOINPUT nothing is
 * there, no round is finished; E_DATA not a run directory */
DFAL_API dfal_status dfal_run_table(dfal_context *context, const char *dir, dfal_run_row_fn *row, void *user);
/* Give the effective configuration as YAML; free with dfal_string_free. */
DFAL_API dfal_status dfal_run_print_config(dfal_context *context, char **yaml,
                                           const struct dfal_run_options *options);
/* Visit the names of the presets of runs, each with what it is. */
DFAL_API void dfal_presets(dfal_fact_fn *fact, void *user);
/* Visit the keys of a run's configuration in the order in which it is written. */
struct dfal_run_key {
    const char *path;     /* "training.epochs"; * stands for a strategy's name */
    const char *expected; /* "a whole number from 0 to 1000000" */
    const char *standard; /* its default as it is written; "": none */
    const char *help;     /* a line without a full stop */
};
typedef void dfal_run_key_fn(void *user, const struct dfal_run_key *key);
DFAL_API void dfal_run_keys(dfal_run_key_fn *key, void *user);
/* Draw accuracy over annotations of a run directory for a terminal of `width` columns (at least 40), a line a
 * row; free with dfal_string_free. ascii: only ASCII characters, else Unicode. Errors   E_NOINPUT nothing is
 * there; E_DATA not a run directory */
DFAL_API dfal_status dfal_run_curve(dfal_context *context, char **text, const char *dir, int32_t width,
                                    bool ascii);
/* Draw one HTML page, which needs nothing beside it, from run directories: curves, the final table, tests,
 * queries.
 * Errors   E_NOINPUT nothing is there, or no round is finished; E_DATA not a run directory; E_EXISTS; E_IO */
DFAL_API dfal_status dfal_report(dfal_context *context, const char *out_path, const char *const *run_dirs,
                                 int32_t run_dir_count);
/* Write the tables of that page as LaTeX, a table environment each. Errors   those of dfal_report */
DFAL_API dfal_status dfal_report_latex(dfal_context *context, const char *out_path,
                                       const char *const *run_dirs, int32_t run_dir_count);
/* Free a text that a function gave; NULL is none. */
DFAL_API void dfal_string_free(char *string);

/* ---- Benchmarks ---------------------------------------------------------------------------- */

struct dfal_bench_ops_options {
    size_t size;
    int32_t repeat;  /* passes, of which each op's fastest counts; 3 */
    int64_t samples; /* in the pool that is scored; 0: 64, on a GPU 16384 */
};
/* What the back end reaches through the same calls in the same run. */
struct dfal_bench_roofs {
    size_t size;
    char backend[64], isa[16], device[96], library[96];
    double copy_bytes_per_second;         /* read and written by the fastest of some plain ops */
    double product_operations_per_second; /* of the fastest of some large products */
    double call_seconds;                  /* of a call that has next to nothing to do */
};
#define dfal_bench_roofs_init(result) dfal_result_init((result), sizeof *(result))
/* All calls of one op on one shape in one job. */
struct dfal_op_time {
    const char *job, *op, *shape;      /* "score" or "train"; borrowed for the duration of the call */
    const char *engine;                /* what runs a convolution or product, else ""; borrowed alike */
    int64_t calls, rows;               /* of one pass */
    double seconds, bytes, operations; /* operations: of convolutions and products, else 0 */
};
typedef void dfal_op_time_fn(void *user, const struct dfal_op_time *time);
DFAL_API void dfal_bench_ops_options_init(struct dfal_bench_ops_options *options, size_t size);
#define dfal_bench_ops_options_init(options) dfal_bench_ops_options_init((options), sizeof *(options))
/* Time every op of DeepFool over a pool of random pictures and of training steps, each call waited for, on
 * one queue of the context's back end. network: a built-in name (28x28, 10 classes, initial weights) or a
 * file; a pool, ops.h5, is written to folder, where none may be yet, and removed. op (may be NULL) hears each
 * op, a job's in the order of their first calls. */
DFAL_API dfal_status dfal_bench_ops(dfal_context *context, struct dfal_bench_roofs *roofs,
                                    const char *network, const char *folder,
                                    const struct dfal_bench_ops_options *options, dfal_op_time_fn *op,
                                    void *user);

struct dfal_bench_select_options {
    size_t size;
    const struct dfal_select_options *select; /* required: strategy, its options, count, score; no files */
    int64_t labelled;                         /* 100 rows */
    int64_t candidates;                       /* 800 other rows, or as many as there are; 0: all others */
    int32_t repeat;                           /* 3 passes at most */
    double seconds;                           /* 60: no further pass begins when they took as long as this */
};
/* What the passes of one selection took; the queries of all are the same. */
struct dfal_bench_select_result {
    size_t size;
    char backend[64], isa[16], device[96];
    int64_t labelled, candidates, queries;
    int64_t passes;
    double seconds, fastest, slowest; /* of a pass: the median, and both ends */
    double cpu_seconds;               /* the median of this process and of a solver's, all threads together */
    /* the largest distance of a candidate to its nearest labelled or chosen row by the features that the
     * strategy takes, or else coreset, without as many as its option outliers says. NAN: no features */
    double radius;
};
#define dfal_bench_select_result_init(result) dfal_result_init((result), sizeof *(result))
DFAL_API void dfal_bench_select_options_init(struct dfal_bench_select_options *options, size_t size);
#define dfal_bench_select_options_init(options) dfal_bench_select_options_init((options), sizeof *(options))
/* Time one strategy: choose the same queries again and again. A pass begins where network, pool and device
 * are open, and takes all else: the plan, forwards, distances, and twins where the strategy makes them.
 * Labelled rows are those of train --subset with the same seed on a pool whose rows are all labelled; those
 * of fewer are among those of more, and the same holds for candidates.
 *   fact  may be NULL; hears what the strategy knows of its choice (dfal_query.facts), of the last pass
 * Errors   those of dfal_select; E_DATA fewer rows than labelled and one candidate, or a labelled row has
 *          no label; E_MEMORY */
DFAL_API dfal_status dfal_bench_select(dfal_context *context, struct dfal_bench_select_result *result,
                                       const char *network, const char *pool_path,
                                       const struct dfal_bench_select_options *options, dfal_fact_fn *fact,
                                       void *user);

#ifdef __cplusplus
}
#endif
#endif
