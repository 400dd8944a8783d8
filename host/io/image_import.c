/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_import_images: what is asked for, and the two steps. */
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"
#include "io/image_job.h"
#include "store/classes.h"

/* ---- beginning ----------------------------------------------------------------------------------------- */

static dfal_status check_options(struct df_image_job *job)
{
    const struct dfal_image_options *o = job->options;
    int32_t bicubic, ignore_exif, skip;
    DF_TRY(df_word(&bicubic, "interpolation", o->interpolation, DFAL_INTERPOLATIONS));
    DF_TRY(df_word(&skip, "answer to errors", o->on_error, DFAL_ON_ERRORS));
    DF_TRY(df_word(&ignore_exif, "answer to EXIF", o->exif, DFAL_EXIFS));
    job->skip = skip == 1;
    if (o->resize < 0 || o->crop < 0 || o->resize_height < 0 || o->resize_width < 0)
        DF_FAIL(DFAL_E_USAGE,
                "resize %d or %d x %d and crop %d, expected a positive number of pixels or 0 for none",
                o->resize, o->resize_height, o->resize_width, o->crop);
    if ((o->resize_height > 0) != (o->resize_width > 0) || (o->resize > 0 && o->resize_height > 0))
        DF_FAIL(DFAL_E_USAGE, "resize %d and %d x %d, expected the shorter side, or height and width",
                o->resize, o->resize_height, o->resize_width);
    if (o->channels != 1 && o->channels != 3)
        DF_FAIL(DFAL_E_USAGE, "%d channels, expected 3 or 1", o->channels);
    if ((int64_t)o->resize_height * o->resize_width > DF_SAMPLE_MOST / o->channels)
        DF_FAIL(DFAL_E_USAGE, "%d x %d with %d channels, expected at most %d bytes a sample",
                o->resize_height, o->resize_width, o->channels, DF_SAMPLE_MOST);
    if ((int64_t)o->crop * o->crop * o->channels > DF_SAMPLE_MOST)
        DF_FAIL(DFAL_E_USAGE, "crop %d with %d channels, expected at most %d bytes a sample", o->crop,
                o->channels, DF_SAMPLE_MOST);
    for (int which = 0; which < 2; which++) {
        const int32_t count = which ? o->std_count : o->mean_count;
        if (count < 0 || (count > 1 && count != o->channels))
            DF_FAIL(DFAL_E_USAGE, "%d values of %s for %d channels, expected one, or one a channel", count,
                    which ? "std" : "mean", o->channels);
    }
    for (int32_t i = 0; i < o->std_count; i++)
        if (!(o->std[i] > 0))
            DF_FAIL(DFAL_E_USAGE, "std is %g, expected positive numbers", o->std[i]);
    job->fit = (struct df_image_fit){
        .resize = o->resize,
        .crop = o->crop,
        .interpolation = bicubic ? DF_BICUBIC : DF_BILINEAR,
        .channels = o->channels,
        .height = o->resize_height,
        .width = o->resize_width,
        .ignore_exif = ignore_exif,
    };
    return DFAL_OK;
}

/* Somebody's values for pixels of 0 to 255, which other tools want. */
static void warn_of_bytes(const struct df_image_job *job, const char *name, const double *values,
                          int32_t count)
{
    struct df_text given = {0}, scaled = {0};
    bool beyond = false;
    for (int32_t i = 0; i < count; i++) {
        beyond = beyond || values[i] > 1.0;
        df_text_add(&given, "%s%.9g", i > 0 ? "," : "", values[i]);
        df_text_add(&scaled, "%s%.6g", i > 0 ? "," : "", values[i] / 255.0);
    }
    if (beyond && given.bytes && scaled.bytes)
        df_say(
            job->context, DFAL_WARNING, "import.bytes",
            DF_FIELDS(DF_TEXT("option", name), DF_TEXT("given", given.bytes),
                      DF_TEXT("scaled", scaled.bytes)),
            "--%s %s is taken as it stands, but pixels are scaled to 0 to 1 before: of pixels of 0 to 255 it "
            "would be --%s %s",
            name, given.bytes, name, scaled.bytes);
    df_text_clear(&given);
    df_text_clear(&scaled);
}

/* The size of every sample: the crop's, the one asked for, or that of the first picture that can be
 * decoded. */
static dfal_status find_shape(struct df_image_job *job)
{
    char first[DF_MESSAGE_SIZE] = "";
    job->shape = (struct df_shape){job->fit.channels, job->fit.crop, job->fit.crop};
    if (job->fit.crop == 0 && job->fit.height > 0)
        job->shape = (struct df_shape){job->fit.channels, job->fit.height, job->fit.width};
    for (int64_t row = 0; row < job->list.count && job->shape.h == 0; row++) {
        DF_TRY(df_context_check_stop(job->context));
        dfal_status status = df_image_job_take(job, &job->takers[0], row, &job->shape, NULL);
        if (status == DFAL_E_DATA) {
            char reason[DF_MESSAGE_SIZE];
            df_message_get(reason);
            if (!job->skip)
                return df_image_job_fail(job, row, reason);
            if (!first[0])
                memcpy(first, reason, sizeof first);
        } else {
            DF_TRY(status);
        }
    }
    if (job->shape.h == 0)
        DF_FAIL(DFAL_E_DATA, "none of the %lld pictures can be decoded, the first because: %s",
                (long long)job->list.count, first);
    return DFAL_OK;
}

static dfal_status add_values(struct df_identity *identity, const char *name, const double *values,
                              int32_t count)
{
    struct df_text text = {0};
    char *value = NULL;
    for (int32_t i = 0; i < count; i++)
        df_text_add(&text, "%s%.17g", i > 0 ? " " : "", values[i]);
    DF_TRY(df_text_take(&text, &value));
    df_identity_add(identity, name, "%s", value);
    df_free(value);
    return identity->status;
}

/* What the bytes of a pool depend on, and with it what an unfinished import may be continued with. on_error
 * is not here: who meets a broken file may go on without it. */
static dfal_status make_identity(struct df_image_job *job)
{
    const struct dfal_image_options *o = job->options;
    struct df_identity *identity = &job->identity;
    char digest[DF_DIGEST_TEXT], classes[DF_DIGEST_TEXT], libraries[DF_IMAGE_LIBRARIES];
    df_image_list_digest(&job->list, digest);
    df_image_list_classes_digest(&job->list, classes);
    df_image_libraries(libraries);
    df_identity_add(identity, "pictures", "%lld", (long long)job->list.count);
    df_identity_add(identity, "resize", "%d", o->resize);
    df_identity_add(identity, "resize_to", "%d x %d", o->resize_height, o->resize_width);
    df_identity_add(identity, "exif", "%s", o->exif);
    df_identity_add(identity, "crop", "%d", o->crop);
    df_identity_add(identity, "interpolation", "%s", o->interpolation);
    df_identity_add(identity, "channels", "%d", o->channels);
    DF_TRY(add_values(identity, "mean", o->mean, o->mean_count));
    DF_TRY(add_values(identity, "std", o->std, o->std_count));
    df_identity_add(identity, "folders_are_classes", "%s", o->folders_are_classes ? "yes" : "no");
    df_identity_add(identity, "classes_sha256", "%s", classes);
    df_identity_add(identity, "list_sha256", "%s", digest);
    df_identity_add(identity, "size", "%lld x %lld", (long long)job->shape.w, (long long)job->shape.h);
    df_identity_add(identity, "version", "%s", DFAL_VERSION);
    df_identity_add(identity, "libraries", "%s", libraries);
    return identity->status;
}

static dfal_status make_team(struct df_image_job *job)
{
    /* One more than there are CPUs to use: whoever writes waits for the disk most of the time. */
    job->thread_count = job->context->threads + 1;
    DF_TRY(df_thread_pool_create(&job->threads, job->thread_count));
    DF_TRY(df_alloc(&job->takers, job->thread_count, sizeof *job->takers));
    for (int32_t i = 0; i < job->thread_count; i++)
        df_fitter_init(&job->takers[i].fitter, &job->fit);
    return DFAL_OK;
}

static void say_begin(const struct df_image_job *job, const char *out_path, const char *source)
{
    const struct df_image_list *list = &job->list;
    df_say(job->context, DFAL_INFO, "import.begin",
           DF_FIELDS(DF_TEXT("source", source), DF_INT("pictures", list->count),
                     DF_INT("other_files", list->other_files), DF_INT("hidden", list->hidden),
                     DF_INT("classes", list->class_count), DF_INT("threads", job->context->threads),
                     DF_TEXT("output", out_path)),
           "%s: %lld pictures (%lld other files, %lld hidden names), %d classes, %d threads, output %s",
           source, (long long)list->count, (long long)list->other_files, (long long)list->hidden,
           list->class_count, job->context->threads, out_path);
    if (list->loops > 0)
        df_say(job->context, DFAL_WARNING, "import.loops", DF_FIELDS(DF_INT("links", list->loops)),
               "%s: %lld links lead back to a folder above them and were not followed", source,
               (long long)list->loops);
    if (list->labelled && list->unlabelled > 0)
        df_say(job->context, DFAL_WARNING, "import.unlabelled",
               DF_FIELDS(DF_INT("pictures", list->unlabelled), DF_INT("blanks", list->blanks)),
               "%s: %lld pictures have no label (%lld are nan, others empty or -1)", source,
               (long long)list->unlabelled, (long long)list->blanks);
}

static void say_end(const struct df_image_job *job, const struct dfal_image_result *result,
                    const char *out_path)
{
    char rotated[64] = "", alpha[64] = "";
    if (job->rotated > 0)
        snprintf(rotated, sizeof rotated, ", %lld %s", (long long)job->rotated,
                 job->fit.ignore_exif ? "not rotated as their EXIF asks" : "rotated as their EXIF asks");
    if (job->alpha > 0)
        snprintf(alpha, sizeof alpha, ", %lld whose transparency is left out", (long long)job->alpha);
    df_say(job->context, DFAL_INFO, "import.end",
           DF_FIELDS(DF_INT("samples", job->good), DF_INT("classes", job->list.class_count),
                     DF_TEXT("output", out_path), DF_INT("skipped", job->bad),
                     DF_REAL("seconds", result->seconds), DF_INT("rotated", job->rotated),
                     DF_INT("alpha", job->alpha), DF_INT("other_files", job->list.other_files),
                     DF_INT("hidden", job->list.hidden)),
           "%lld pictures of %lld x %lld in %.1f s%s%s, %lld broken ones skipped, %lld other files and %lld "
           "hidden names "
           "passed over: %s",
           (long long)job->good, (long long)job->shape.w, (long long)job->shape.h, result->seconds, rotated,
           alpha, (long long)job->bad, (long long)job->list.other_files, (long long)job->list.hidden,
           out_path);
    if (job->grey == job->good)
        df_say(job->context, DFAL_WARNING, "import.grey", DF_FIELDS(DF_INT("samples", job->grey)),
               "%s: every picture is grey, its three channels are equal: `channels` 1 makes a pool a third "
               "as large for "
               "networks of one channel",
               out_path);
}

/* ---- the outputs --------------------------------------------------------------------------------------- */

/* POOL.bad.csv for POOL.h5: written, or with --force removed. The list of an earlier import's is no list for
 * a new one of the same name. Among the pictures an output can only be where there is a file already. */
static dfal_status claim(struct df_image_job *job, const char *out_path, const char *source)
{
    struct df_claim *claim = &job->claim;
    const size_t length = strlen(out_path);
    const bool h5 = length > 3 && strcmp(out_path + length - 3, ".h5") == 0,
               force = job->context->options.force;
    DF_TRY(df_format(&job->bad_path, "%.*s.bad.csv", (int)(h5 ? length - 3 : length), out_path));
    DF_TRY(df_claim_output(claim, out_path, "pool"));
    if (job->skip || force)
        DF_TRY(df_claim_output(claim, job->bad_path, "table of skipped files"));
    DF_TRY(df_claim_input(claim, job->options->class_names));
    DF_TRY(df_claim_input(claim, source));
    DF_TRY(df_file_check_target(out_path, true)); /* before a long list is read */
    DF_TRY(
        df_image_list_read(&job->list, source, job->options->folders_are_classes, job->options->class_names));
    for (int64_t i = 0; i < job->list.count && df_claim_may_clash(claim); i++) {
        char *path;
        DF_TRY(df_image_list_path(&path, &job->list, i));
        const dfal_status status = df_claim_input(claim, path);
        df_free(path);
        DF_TRY(status);
    }
    DF_TRY(df_claim_take(claim, out_path, force));
    /* Whether it may be replaced is known when the parts are. */
    return job->skip ? df_claim_take(claim, job->bad_path, true) : DFAL_OK;
}

/* ---- the job ------------------------------------------------------------------------------------------- */

static void job_clear(struct df_image_job *job)
{
    for (int32_t i = 0; job->takers && i < job->thread_count; i++)
        df_image_taker_clear(&job->takers[i]);
    df_free(job->takers);
    df_thread_pool_destroy(job->threads);
    for (int b = 0; b < 2; b++)
        df_rows_clear(&job->blocks[b].rows);
    df_free(job->marks);
    df_text_clear(&job->bad_table);
    df_identity_clear(&job->identity);
    df_image_list_clear(&job->list);
    df_claim_end(&job->claim);
    df_free(job->bad_path);
}

void(dfal_image_options_init)(struct dfal_image_options *options, size_t size)
{
    const struct dfal_image_options defaults = {
        .interpolation = "bilinear", .channels = 3, .on_error = "stop", .exif = "apply"};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

dfal_status dfal_import_images(dfal_context *context, struct dfal_image_result *result, const char *out_path,
                               const char *source, const struct dfal_image_options *given)
{
    struct dfal_image_options own, *options = &own;
    struct dfal_image_result told;
    struct df_image_job job = {.context = context, .options = options};
    const double begin = df_clock();
    dfal_status status;
    dfal_image_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, given, "dfal_image_options"));
    DF_TRY(df_sized_check(result, "dfal_image_result"));
    context->kept_work = false;
    DF_TRY_TO(done, status, check_options(&job));
    DF_TRY_TO(done, status, claim(&job, out_path, source));
    say_begin(&job, out_path, source);
    if (job.list.labelled && !job.list.classes)
        DF_TRY_TO(done, status,
                  df_classes_warn_unused(context, source, &job.list.entries->label, sizeof *job.list.entries,
                                         job.list.count, job.list.class_count));
    warn_of_bytes(&job, "mean", options->mean, options->mean_count);
    warn_of_bytes(&job, "std", options->std, options->std_count);
    DF_TRY_TO(done, status, make_team(&job));
    DF_TRY_TO(done, status, find_shape(&job));
    DF_TRY_TO(done, status, make_identity(&job));
    DF_TRY_TO(done, status,
              df_image_parts_open(&job.parts, out_path, &job.identity, &job.list, job.shape,
                                  context->options.allow_mixed, context->options.force));
    DF_TRY_TO(done, status, df_image_job_check_table(&job));
    DF_TRY_TO(done, status, df_image_job_decode(&job));
    DF_TRY_TO(done, status, df_image_job_pool(&job, out_path));
    told = (struct dfal_image_result){
        .samples = job.good,
        .skipped = job.bad,
        .other_files = job.list.other_files,
        .channels = (int32_t)job.shape.c,
        .height = (int32_t)job.shape.h,
        .width = (int32_t)job.shape.w,
        .class_count = job.list.class_count,
        .seconds = df_clock() - begin,
        .rotated = job.rotated,
        .grey = job.grey,
        .hidden = job.list.hidden,
    };
    say_end(&job, &told, out_path);
    df_sized_give(result, &told, sizeof told);
done:
    df_image_parts_close(&job.parts, status != DFAL_OK);
    df_parts_tell_kept(context, status, out_path); /* once those of changed files are gone */
    job_clear(&job);
    return status;
}
