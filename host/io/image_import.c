/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_import_images: pictures are decoded part by part on all threads while the part before is written; the finished
 * parts then become the pool. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/claim.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/team.h"
#include "base/text.h"
#include "io/image_list.h"
#include "io/image_parts.h"
#include "io/image_take.h"
#include "store/pool.h"

/* A part being decoded or written. */
struct block {
    int64_t part; /* -1: empty */
    int64_t begin, end;
    uint8_t *samples;       /* [end - begin, shape] */
    char **reason;          /* [end - begin] NULL: decoded */
    uint8_t *marks;         /* [end - begin] of ROTATED, GREY */
    struct df_row_sum look; /* of the files, before they were read */
};
enum { ROTATED = 1, GREY = 2 };

struct job {
    struct dfal_context *context;
    const struct dfal_image_options *options;
    bool skip;
    struct df_image_fit fit;
    struct df_image_list list;
    struct df_shape shape;
    struct df_image_parts parts;
    struct df_claim claim;
    bool replace_table;
    struct df_team *team;
    struct df_image_taker *takers; /* [thread_count] */
    int32_t thread_count;
    struct block blocks[2], *filling, *writing;
    struct df_progress progress;
    char *identity, *bad_path;
    int64_t good, bad, rotated, grey;
    struct df_text bad_table;
};

/* ---- one picture -------------------------------------------------------------------------------------------- */

static dfal_status take_picture(struct job *job, struct df_image_taker *taker, int64_t row,
                                struct df_shape *shape, uint8_t *sample)
{
    char *path;
    DF_TRY(df_image_list_path(&path, &job->list, row));
    dfal_status status = df_image_take(taker, path, shape, sample);
    df_free(path);
    return status;
}

static dfal_status fail_bad(const struct job *job, int64_t row, const char *reason)
{
    char *path;
    DF_TRY(df_image_list_path(&path, &job->list, row));
    (void)df_fail(DFAL_E_DATA, "%s: %s; --on-error skip leaves such files out", path, reason);
    df_free(path);
    return DFAL_E_DATA;
}

/* ---- parts -------------------------------------------------------------------------------------------------- */

/* Close the gaps that broken pictures leave, and write. */
static dfal_status write_block(struct job *job, struct block *block)
{
    const int64_t count = block->end - block->begin, size = df_shape_size(job->shape);
    struct df_image_part part = {
        .begin = block->begin, .end = block->end, .samples = block->samples, .look = block->look};
    struct df_text reasons = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&part.index, count, sizeof *part.index));
    DF_TRY_TO(done, status, df_alloc(&part.bad_index, count, sizeof *part.bad_index));
    for (int64_t i = 0; i < count; i++) {
        if (block->reason[i]) {
            df_text_append(&reasons, block->reason[i], (int64_t)strlen(block->reason[i]) + 1);
            part.bad_index[part.bad++] = block->begin + i;
            continue;
        }
        if (part.good < i)
            memcpy(block->samples + part.good * size, block->samples + i * size, (size_t)size);
        part.index[part.good++] = block->begin + i;
        part.rotated += (block->marks[i] & ROTATED) != 0;
        part.grey += (block->marks[i] & GREY) != 0;
    }
    part.reason_bytes = reasons.size;
    DF_TRY_TO(done, status, df_text_take(&reasons, &part.reasons));
    status = df_image_part_write(&job->parts, block->part, &part);
done:
    df_text_clear(&reasons);
    df_free(part.index);
    df_free(part.bad_index);
    df_free(part.reasons);
    return status;
}

static void clear_reasons(struct block *block)
{
    for (int64_t i = 0; block->reason && i < block->end - block->begin; i++) {
        df_free(block->reason[i]);
        block->reason[i] = NULL;
    }
    block->part = -1;
}

static bool is_grey(const uint8_t *sample, struct df_shape shape)
{
    const size_t plane = (size_t)(shape.h * shape.w);
    return shape.c == 3 && memcmp(sample, sample + plane, plane) == 0 &&
           memcmp(sample, sample + 2 * plane, plane) == 0;
}

/* Job 0 writes the part before; the others decode a picture each. */
static dfal_status do_one(void *user, int64_t number, int32_t thread)
{
    struct job *job = user;
    if (number == 0)
        return job->writing->part >= 0 ? write_block(job, job->writing) : DFAL_OK;
    struct block *block = job->filling;
    const int64_t i = number - 1;
    struct df_shape shape = job->shape;
    char reason[DF_MESSAGE_SIZE];
    DF_TRY(df_context_check_stop(job->context));
    uint8_t *sample = block->samples + i * df_shape_size(shape);
    dfal_status status = take_picture(job, &job->takers[thread], block->begin + i, &shape, sample);
    if (status == DFAL_OK)
        block->marks[i] = (uint8_t)((job->takers[thread].fitter.rotated ? ROTATED : 0) |
                                    (is_grey(sample, shape) ? GREY : 0));
    if (status == DFAL_E_DATA) {
        df_message_get(reason);
        status = df_strdup(&block->reason[i], reason);
    }
    df_progress_add(&job->progress, 1, NULL);
    return status;
}

static dfal_status decode_part(struct job *job, int64_t part)
{
    struct block *block = job->filling;
    df_image_part_bounds(&job->parts, part, &block->begin, &block->end);
    block->part = part;
    DF_TRY(df_image_list_look(&job->list, block->begin, block->end, &block->look));
    DF_TRY(df_team_run(job->team, do_one, job, 1 + block->end - block->begin));
    clear_reasons(job->writing);
    for (int64_t i = 0; !job->skip && i < block->end - block->begin; i++)
        if (block->reason[i])
            return fail_bad(job, block->begin + i, block->reason[i]);
    job->filling = job->writing;
    job->writing = block;
    return DFAL_OK;
}

static dfal_status decode_missing(struct job *job)
{
    struct df_image_parts *parts = &job->parts;
    const int64_t rows = parts->rows < parts->pictures ? parts->rows : parts->pictures;
    for (int b = 0; b < 2; b++) {
        job->blocks[b].part = -1;
        DF_TRY(df_alloc(&job->blocks[b].samples, rows * df_shape_size(job->shape), 1));
        DF_TRY(df_alloc(&job->blocks[b].reason, rows, sizeof *job->blocks[b].reason));
        DF_TRY(df_alloc(&job->blocks[b].marks, rows, 1));
    }
    job->filling = &job->blocks[0];
    job->writing = &job->blocks[1];
    if (parts->finished_pictures > 0)
        df_say(job->context, DFAL_INFO, "import.resume",
               DF_FIELDS(DF_INT("pictures", parts->finished_pictures)),
               "%lld of %lld pictures are finished, the rest is continued",
               (long long)parts->finished_pictures, (long long)parts->pictures);
    df_progress_begin(&job->progress, job->context, "import.progress", "pictures", parts->pictures,
                      parts->finished_pictures);
    dfal_status status = DFAL_OK;
    for (int64_t part = 0; part < parts->count && status == DFAL_OK; part++)
        if (!parts->finished[part])
            status = decode_part(job, part);
    if (status == DFAL_OK && job->writing->part >= 0)
        status = write_block(job, job->writing);
    df_progress_end(&job->progress);
    return status;
}

/* ---- beginning ---------------------------------------------------------------------------------------------- */

static dfal_status check_options(struct job *job)
{
    const struct dfal_image_options *o = job->options;
    const bool bicubic = strcmp(o->interpolation, "bicubic") == 0;
    job->skip = strcmp(o->on_error, "skip") == 0;
    if (!bicubic && strcmp(o->interpolation, "bilinear") != 0)
        DF_FAIL(DFAL_E_USAGE, "unknown interpolation '%s', expected bilinear or bicubic", o->interpolation);
    if (!job->skip && strcmp(o->on_error, "stop") != 0)
        DF_FAIL(DFAL_E_USAGE, "unknown answer to errors '%s', expected stop or skip", o->on_error);
    const bool ignore_exif = strcmp(o->exif, "ignore") == 0;
    if (!ignore_exif && strcmp(o->exif, "apply") != 0)
        DF_FAIL(DFAL_E_USAGE, "unknown answer to EXIF '%s', expected apply or ignore", o->exif);
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
static void warn_of_bytes(const struct job *job, const char *name, const double *values, int32_t count)
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

/* The size of every sample: the crop's, the one asked for, or that of the first picture that can be decoded. */
static dfal_status find_shape(struct job *job)
{
    char first[DF_MESSAGE_SIZE] = "";
    job->shape = (struct df_shape){job->fit.channels, job->fit.crop, job->fit.crop};
    if (job->fit.crop == 0 && job->fit.height > 0)
        job->shape = (struct df_shape){job->fit.channels, job->fit.height, job->fit.width};
    for (int64_t row = 0; row < job->list.count && job->shape.h == 0; row++) {
        DF_TRY(df_context_check_stop(job->context));
        dfal_status status = take_picture(job, &job->takers[0], row, &job->shape, NULL);
        if (status == DFAL_E_DATA) {
            char reason[DF_MESSAGE_SIZE];
            df_message_get(reason);
            if (!job->skip)
                return fail_bad(job, row, reason);
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

/* What the bytes of a pool depend on, and with it what an unfinished import may be continued with. on_error is not
 * here: who meets a broken file may go on without it. */
static dfal_status make_identity(struct job *job)
{
    const struct dfal_image_options *o = job->options;
    char digest[DF_DIGEST_TEXT], classes[DF_DIGEST_TEXT], libraries[DF_IMAGE_LIBRARIES];
    struct df_text text = {0};
    df_image_list_digest(&job->list, digest);
    df_image_list_classes_digest(&job->list, classes);
    df_image_libraries(libraries);
    df_text_add(&text, "pictures: %lld\nresize: %d\n", (long long)job->list.count, o->resize);
    df_text_add(&text, "resize_to: %d x %d\nexif: %s\n", o->resize_height, o->resize_width, o->exif);
    df_text_add(&text, "crop: %d\ninterpolation: %s\nchannels: %d\n", o->crop, o->interpolation, o->channels);
    for (int which = 0; which < 2; which++) {
        const int32_t count = which ? o->std_count : o->mean_count;
        df_text_add(&text, which ? "std:" : "mean:");
        for (int32_t i = 0; i < count; i++)
            df_text_add(&text, " %.17g", which ? o->std[i] : o->mean[i]);
        df_text_add(&text, "\n");
    }
    df_text_add(&text,
                "folders_are_classes: %s\nclasses_sha256: %s\nlist_sha256: %s\nsize: %lld x %lld\nversion: "
                "%s\nlibraries: %s\n",
                o->folders_are_classes ? "yes" : "no", classes, digest, (long long)job->shape.w,
                (long long)job->shape.h, DFAL_VERSION, libraries);
    return df_text_take(&text, &job->identity);
}

static dfal_status make_team(struct job *job)
{
    /* One more than there are CPUs to use: whoever writes waits for the disk most of the time. */
    job->thread_count = job->context->threads + 1;
    DF_TRY(df_team_create(&job->team, job->thread_count));
    DF_TRY(df_alloc(&job->takers, job->thread_count, sizeof *job->takers));
    for (int32_t i = 0; i < job->thread_count; i++)
        df_fitter_init(&job->takers[i].fitter, &job->fit);
    return DFAL_OK;
}

static void say_begin(const struct job *job, const char *out_path, const char *source)
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

static void say_end(const struct job *job, const struct dfal_image_result *result, const char *out_path)
{
    char rotated[64] = "";
    if (job->rotated > 0)
        snprintf(rotated, sizeof rotated, ", %lld %s", (long long)job->rotated,
                 job->fit.ignore_exif ? "not rotated as their EXIF asks" : "rotated as their EXIF asks");
    df_say(job->context, DFAL_INFO, "import.end",
           DF_FIELDS(DF_INT("samples", job->good), DF_INT("classes", job->list.class_count),
                     DF_TEXT("output", out_path), DF_INT("skipped", job->bad),
                     DF_REAL("seconds", result->seconds), DF_INT("rotated", job->rotated),
                     DF_INT("other_files", job->list.other_files), DF_INT("hidden", job->list.hidden)),
           "%lld pictures of %lld x %lld in %.1f s%s, %lld broken ones skipped, %lld other files and %lld "
           "hidden names "
           "passed over: %s",
           (long long)job->good, (long long)job->shape.w, (long long)job->shape.h, result->seconds, rotated,
           (long long)job->bad, (long long)job->list.other_files, (long long)job->list.hidden, out_path);
    if (job->grey == job->good)
        df_say(job->context, DFAL_WARNING, "import.grey", DF_FIELDS(DF_INT("samples", job->grey)),
               "%s: every picture is grey, its three channels are equal: --channels 1 makes a pool a third "
               "as large for "
               "networks of one channel",
               out_path);
}

/* ---- the pool ----------------------------------------------------------------------------------------------- */

/* Count what the parts hold, and list what they could not take. */
static dfal_status count_parts(struct job *job)
{
    df_text_add(&job->bad_table, "path,reason\n");
    for (int64_t i = 0; i < job->parts.count; i++) {
        struct df_image_part part;
        DF_TRY(df_image_part_read(&job->parts, i, &part, false));
        const char *reason = part.reasons;
        dfal_status status = DFAL_OK;
        for (int64_t b = 0; b < part.bad; b++, reason += strlen(reason) + 1) {
            df_text_csv(&job->bad_table, job->list.entries[part.bad_index[b]].id);
            df_text_add(&job->bad_table, ",");
            df_text_csv(&job->bad_table, reason);
            df_text_add(&job->bad_table, "\n");
        }
        if (part.bad > 0 && !job->skip)
            status = fail_bad(job, part.bad_index[0], part.reasons);
        job->good += part.good;
        job->bad += part.bad;
        job->rotated += part.rotated;
        job->grey += part.grey;
        df_image_part_clear(&part);
        DF_TRY(status);
    }
    if (job->good == 0) {
        job->parts.finished_pictures = 0; /* nothing in them is worth keeping */
        DF_FAIL(DFAL_E_DATA, "none of the %lld pictures can be decoded", (long long)job->list.count);
    }
    return DFAL_OK;
}

static dfal_status append_part(struct job *job, struct df_pool_writer *writer, int64_t i)
{
    struct df_image_part part;
    int32_t *labels = NULL;
    DF_TRY(df_context_check_stop(job->context));
    DF_TRY(df_image_part_read(&job->parts, i, &part, true));
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&labels, part.good, sizeof *labels));
    for (int64_t k = 0; k < part.good; k++)
        labels[k] = job->list.entries[part.index[k]].label;
    status = df_pool_append(writer, part.samples, labels, part.good);
done:
    df_free(labels);
    df_image_part_clear(&part);
    return status;
}

/* The ids of the pictures that were taken, borrowed from the list. */
static dfal_status gather_ids(const struct job *job, const char **ids)
{
    int64_t n = 0;
    for (int64_t i = 0; i < job->parts.count; i++) {
        struct df_image_part part;
        DF_TRY(df_image_part_read(&job->parts, i, &part, false));
        for (int64_t k = 0; k < part.good; k++)
            ids[n++] = job->list.entries[part.index[k]].id;
        df_image_part_clear(&part);
    }
    return DFAL_OK;
}

/* A bad table that is there is somebody's, unless this import's own parts are. */
static dfal_status check_table(struct job *job)
{
    job->replace_table = job->context->options.force || job->parts.finished_pictures > 0;
    return job->skip ? df_file_check_target(job->bad_path, job->replace_table) : DFAL_OK;
}

/* The table of skipped files stands before the pool does, so that no finished pool lacks it. */
static dfal_status finish(struct job *job, struct df_pool_writer *writer, const char *out_path)
{
    char *table = NULL, message[DF_MESSAGE_SIZE];
    const char *bad_path = job->bad_path;
    dfal_status status;
    const int64_t size = job->bad_table.size;
    DF_TRY_TO(done, status, df_text_take(&job->bad_table, &table));
    if (job->skip)
        DF_TRY_TO(done, status, df_file_write_output(bad_path, table, (size_t)size, job->replace_table));
    df_parts_publish(&job->parts.folder);
    status = df_pool_finish(writer);
    writer = NULL;
    if (status != DFAL_OK && job->skip && !df_file_exists(out_path)) {
        df_message_get(message);
        (void)unlink(bad_path);
        df_message_set(message);
    } else if (status == DFAL_OK && !job->skip && job->context->options.force) {
        (void)unlink(bad_path); /* of the pool that this one replaces */
    }
    if (status == DFAL_OK && job->bad > 0)
        df_say(job->context, DFAL_WARNING, "import.skipped",
               DF_FIELDS(DF_INT("files", job->bad), DF_TEXT("table", bad_path)),
               "%lld files were skipped; %s says why", (long long)job->bad, bad_path);
done:
    df_pool_abandon(writer);
    df_free(table);
    return status;
}

static dfal_status write_pool(struct job *job, const char *out_path)
{
    const struct dfal_image_options *o = job->options;
    const bool scaled = o->mean_count > 0 || o->std_count > 0;
    struct df_pool_writer *writer = NULL;
    const char **ids = NULL;
    double scale[3], offset[3];
    dfal_status status;
    DF_TRY(count_parts(job));
    for (int32_t c = 0; c < o->channels; c++) {
        const double mean = o->mean_count ? o->mean[o->mean_count > 1 ? c : 0] : 0;
        const double deviation = o->std_count ? o->std[o->std_count > 1 ? c : 0] : 1;
        scale[c] = 1 / (255 * deviation);
        offset[c] = -mean / deviation;
    }
    DF_TRY_TO(done, status, df_alloc(&ids, job->good, sizeof *ids));
    DF_TRY_TO(done, status, gather_ids(job, ids));
    const struct df_pool_spec spec = {
        .count = job->good,
        .shape = job->shape,
        .raw = DF_RAW_U8,
        .class_count = job->list.class_count,
        .scale = scaled ? scale : NULL,
        .offset = scaled ? offset : NULL,
        .affine_count = scaled ? o->channels : 1,
        .has_labels = job->list.labelled,
        .ids = ids,
        .classes = (const char *const *)job->list.classes,
    };
    DF_TRY_TO(done, status, df_pool_create(&writer, out_path, &spec, job->context->options.force));
    for (int64_t i = 0; i < job->parts.count; i++)
        DF_TRY_TO(done, status, append_part(job, writer, i));
    status = finish(job, writer, out_path);
    writer = NULL;
done:
    df_pool_abandon(writer);
    df_free(ids);
    return status;
}

/* ---- the outputs -------------------------------------------------------------------------------------------- */

/* POOL.bad.csv for POOL.h5: written, or with --force removed. The list of an earlier import's is no list for a new one of
 * the same name. Among the pictures an output can only be where there is a file already. */
static dfal_status claim(struct job *job, const char *out_path, const char *source)
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

/* ---- the job ------------------------------------------------------------------------------------------------ */

static void job_clear(struct job *job)
{
    for (int32_t i = 0; job->takers && i < job->thread_count; i++)
        df_image_taker_clear(&job->takers[i]);
    df_free(job->takers);
    df_team_destroy(job->team);
    for (int b = 0; b < 2; b++) {
        clear_reasons(&job->blocks[b]);
        df_free(job->blocks[b].samples);
        df_free(job->blocks[b].reason);
        df_free(job->blocks[b].marks);
    }
    df_text_clear(&job->bad_table);
    df_free(job->identity);
    df_image_list_clear(&job->list);
    df_claim_end(&job->claim);
    df_free(job->bad_path);
}

void dfal_image_options_init(struct dfal_image_options *options)
{
    *options = (struct dfal_image_options){
        .interpolation = "bilinear", .channels = 3, .on_error = "stop", .exif = "apply"};
}

dfal_status dfal_import_images(dfal_context *context, struct dfal_image_result *result, const char *out_path,
                               const char *source, const struct dfal_image_options *options)
{
    struct job job = {.context = context, .options = options, .parts.folder = DF_PARTS_NONE};
    const double begin = df_clock();
    dfal_status status;
    *result = (struct dfal_image_result){0};
    DF_TRY_TO(done, status, check_options(&job));
    DF_TRY_TO(done, status, claim(&job, out_path, source));
    say_begin(&job, out_path, source);
    warn_of_bytes(&job, "mean", options->mean, options->mean_count);
    warn_of_bytes(&job, "std", options->std, options->std_count);
    DF_TRY_TO(done, status, make_team(&job));
    DF_TRY_TO(done, status, find_shape(&job));
    DF_TRY_TO(done, status, make_identity(&job));
    DF_TRY_TO(done, status,
              df_image_parts_open(&job.parts, out_path, job.identity, &job.list, job.shape,
                                  context->options.allow_mixed, context->options.force));
    DF_TRY_TO(done, status, check_table(&job));
    DF_TRY_TO(done, status, decode_missing(&job));
    DF_TRY_TO(done, status, write_pool(&job, out_path));
    *result = (struct dfal_image_result){
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
    say_end(&job, result, out_path);
done:
    if (status == DFAL_E_STOPPED)
        context->kept_work = job.parts.finished_pictures > 0;
    df_image_parts_close(&job.parts, status != DFAL_OK);
    job_clear(&job);
    return status;
}
