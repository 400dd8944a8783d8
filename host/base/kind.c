/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kind.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

enum {
    HEAD = 4096,
    TAIL = 65536,
    LARGEST_HEADER = 100 << 20,
    ONNX_OLDEST = 3,
    ONNX_NEWEST = 63 /* versions of its IR */
};

#define EXPORT   "export the model with torch.onnx.export, as examples/export_torch.py does"
#define CONVERT  "convert it to ONNX: python -m tf2onnx.convert, with --inputs-as-nchw for its input"
#define PICTURES "dfal import images makes a pool of a folder of pictures"
#define UNPACK   "unpack it first"

/* ---- By their first bytes --------------------------------------------------------------------- */

static const struct magic {
    int32_t offset, length;
    const char *bytes;
    struct df_kind kind;
} magics[] = {
    {0, 6, "\x93NUMPY", {"an array of numpy (.npy)", "dfal import npy makes a pool of it"}},
    {0,
     42,
     "version https://git-lfs.github.com/spec/v1",
     {"a pointer of Git LFS, not the file itself", "git lfs pull fetches that"}},
    {0, 15, "/annex/objects/", {"a pointer of git-annex, not the file itself", "git annex get fetches that"}},
    {0,
     14,
     "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
     {"a checkpoint of an old PyTorch (a pickle)", EXPORT}},
    {0, 2, "\x1f\x8b", {"a file packed by gzip", "unpack it first (dfal import idx reads .gz itself)"}},
    {0, 4, "\x28\xb5\x2f\xfd", {"a file packed by zstd", UNPACK}},
    {0,
     6,
     "\xfd"
     "7zXZ\0",
     {"a file packed by xz", UNPACK}},
    {0, 3, "BZh", {"a file packed by bzip2", UNPACK}},
    {0, 6, "7z\xbc\xaf\x27\x1c", {"a 7-zip archive", UNPACK}},
    {0, 4, "Rar!", {"a RAR archive", UNPACK}},
    {257, 5, "ustar", {"a tar archive", UNPACK}},
    {0, 8, "\x89PNG\r\n\x1a\n", {"a picture (PNG)", PICTURES}},
    {0, 3, "\xff\xd8\xff", {"a picture (JPEG)", PICTURES}},
    {0, 4, "GIF8", {"a picture (GIF)", PICTURES}},
    {8, 4, "WEBP", {"a picture (WebP)", PICTURES}},
    {0, 4, "II*\0", {"a picture (TIFF)", PICTURES}},
    {0, 4, "MM\0*", {"a picture (TIFF)", PICTURES}},
    {4, 4, "TFL3", {"a model of TensorFlow Lite", CONVERT " and --tflite"}},
    {0, 3, "\x08\x01\x12", {"the graph of a TensorFlow SavedModel", CONVERT " and --saved-model FOLDER"}},
    {0, 3, "\0\0\x08", {"an IDX file", "dfal import idx makes a pool of it"}},
    {0, 5, "%PDF-", {"a PDF document", ""}},
    {0, 4, "PAR1", {"a Parquet table", ""}},
    {0, 6, "ARROW1", {"an Arrow file", ""}},
    {0, 15, "SQLite format 3", {"an SQLite database", ""}},
    {0, 10, "MATLAB 5.0", {"a MATLAB file (.mat)", "numpy.save the array, then dfal import npy"}},
    {0,
     4,
     "\x7f"
     "ELF",
     {"a program or library", ""}},
};

/* ---- Zip archives, by the names in them ------------------------------------------------------- */

/* All the words between blanks stand in the archive's first and last bytes. */
static const struct archive {
    const char *words;
    struct df_kind kind;
} archives[] = {
    {"constants.pkl /code/", {"a TorchScript program of PyTorch", EXPORT}},
    {"serialized_exported_program", {"a program of torch.export (.pt2)", EXPORT}},
    {"archive_format models/", {"a program of torch.export (.pt2)", EXPORT}},
    {"data.pkl",
     {"a checkpoint of PyTorch (weights, not the network)", "load it into its model; then " EXPORT}},
    {"config.json model.weights.h5", {"a model of Keras (.keras)", CONVERT}},
    {".npy", {"an archive of numpy (.npz)", "dfal import npz makes a pool of it"}},
    {"", {"a zip archive", "unpack it first (dfal import npz reads those of numpy)"}},
};

struct look {
    unsigned char head[HEAD + 1], tail[TAIL];
    size_t head_size, tail_size;
    int64_t size;
};

static bool holds(const struct look *look, const char *word, size_t length)
{
    return memmem(look->head, look->head_size, word, length) ||
           memmem(look->tail, look->tail_size, word, length);
}

static bool holds_all(const struct look *look, const char *words)
{
    for (size_t length; *words; words += length + (words[length] == ' ')) {
        length = strcspn(words, " ");
        if (!holds(look, words, length))
            return false;
    }
    return true;
}

/* ---- Text ------------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *text)
{
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    return text + strspn(text, " \t\r\n");
}

static bool is_text(const struct look *look)
{
    static const unsigned char breaks[] = {'\t', '\r', '\n', '\f', 0x1b};
    for (size_t i = 0; i < look->head_size; i++)
        if (look->head[i] < ' ' && !memchr(breaks, look->head[i], sizeof breaks))
            return false;
    if (look->head_size < HEAD)
        return df_text_is_utf8((const char *)look->head);
    /* The last character may be cut in two. */
    char whole[HEAD + 1];
    size_t size = look->head_size;
    memcpy(whole, look->head, size);
    while (size > 0 && look->head_size - size < 4 && (whole[size - 1] & 0x80))
        size--;
    whole[size] = 0;
    return df_text_is_utf8(whole);
}

/* begin in small letters */
static bool begins_like(const char *text, const char *begin)
{
    while (*begin && df_lower(*text) == *begin)
        text++, begin++;
    return !*begin;
}

static enum df_file_type name_text(struct df_kind *kind, const char *text)
{
    static const struct {
        const char *begin;
        struct df_kind kind;
    } kinds[] = {
        {"<!doctype html", {"a web page (HTML)", "the download was answered by a page instead of the file"}},
        {"<html", {"a web page (HTML)", "the download was answered by a page instead of the file"}},
        {"<", {"an XML document", ""}},
        {"{", {"a JSON document", ""}},
        {"[", {"a JSON document", ""}},
    };
    text = skip_blanks(text);
    const size_t line = strcspn(text, "\r\n"), cell = strcspn(text, ",;\t\r\n");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins_like(text, kinds[i].begin)) {
            *kind = kinds[i].kind;
            return DF_FILE_OTHER;
        }
    *kind = (struct df_kind){cell < line ? "a text file with columns (CSV)" : "a text file", ""};
    return cell < line ? DF_FILE_CSV : DF_FILE_OTHER;
}

/* ---- Together --------------------------------------------------------------------------------- */

/* Eight bytes of a length, then JSON. */
static bool is_safetensors(const struct look *look)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | look->head[i];
    return look->head_size > 10 && look->head[8] == '{' && (look->head[9] == '"' || look->head[9] == '}') &&
           length <= LARGEST_HEADER && (int64_t)length <= look->size - 8;
}

/* Protocol 2 or later, and the instruction that ends every pickle. */
static bool is_pickle(const struct look *look)
{
    return look->head_size > 2 && look->head[0] == 0x80 && look->head[1] >= 2 && look->head[1] <= 5 &&
           look->tail_size > 0 && look->tail[look->tail_size - 1] == '.';
}

static bool is_zero(const struct look *look)
{
    for (size_t i = 0; i < look->head_size; i++)
        if (look->head[i])
            return false;
    return true;
}

static bool is_hdf5(const struct look *look)
{
    return look->head_size >= 8 && memcmp(look->head, "\x89HDF\r\n\x1a\n", 8) == 0;
}

/* A model's first field is the version of the IR, a small number; then comes the key of one of fields 2 to 8,
 * whichever its writer fills first. */
static bool is_onnx(const struct look *look)
{
    static const unsigned char keys[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42};
    return look->head_size > 2 && look->head[0] == 0x08 && look->head[1] >= ONNX_OLDEST &&
           look->head[1] <= ONNX_NEWEST && memchr(keys, look->head[2], sizeof keys);
}

static enum df_file_type name_bytes(struct df_kind *kind, const struct look *look, const char *path)
{
    const size_t length = strlen(path);
    if (look->head_size == 0)
        return DF_FILE_OTHER;
    if (is_hdf5(look)) {
        *kind = (struct df_kind){"an HDF5 file", ""};
        return DF_FILE_HDF5;
    }
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if ((size_t)(magics[i].offset + magics[i].length) <= look->head_size &&
            memcmp(look->head + magics[i].offset, magics[i].bytes, (size_t)magics[i].length) == 0) {
            *kind = magics[i].kind;
            return DF_FILE_OTHER;
        }
    if (look->head_size > 4 && memcmp(look->head, "PK\3\4", 4) == 0) {
        size_t i = 0;
        while (!holds_all(look, archives[i].words))
            i++;
        *kind = archives[i].kind;
        return DF_FILE_OTHER;
    }
    if (is_onnx(look)) {
        *kind = (struct df_kind){"an ONNX model", "it stands where a network is expected"};
        return DF_FILE_ONNX;
    }
    if (is_zero(look))
        *kind = (struct df_kind){"a file that begins with nothing but zeros",
                                 "a copy or a download that was cut short looks so"};
    else if (is_safetensors(look))
        *kind = (struct df_kind){"weights in safetensors, not the network",
                                 "load them into their model; then " EXPORT};
    else if (is_pickle(look))
        *kind = (struct df_kind){"a pickle of Python, which is a program and not read",
                                 "of a PyTorch model: " EXPORT "; of CIFAR-10: dfal import cifar10"};
    else if (is_text(look))
        return name_text(kind, (const char *)look->head);
    else if (length > 3 && strcmp(path + length - 3, ".pb") == 0)
        *kind = (struct df_kind){"a graph of TensorFlow", CONVERT};
    return DF_FILE_OTHER;
}

static dfal_status name_folder(struct df_kind *kind, const char *path)
{
    static const struct {
        const char *file;
        struct df_kind kind;
    } kinds[] = {
        {"saved_model.pb", {"a TensorFlow SavedModel", CONVERT " and --saved-model"}},
        {"model.safetensors", {"a folder of Hugging Face", "load the model from it; then " EXPORT}},
        {"pytorch_model.bin", {"a folder of Hugging Face", "load the model from it; then " EXPORT}},
        {"config.yaml",
         {"a folder, perhaps a run directory", "networks of a run lie in its folder networks"}},
    };
    *kind = (struct df_kind){"a folder", PICTURES};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *file;
        DF_TRY(df_format(&file, "%s/%s", path, kinds[i].file));
        const bool found = df_file_exists(file);
        df_free(file);
        if (found) {
            *kind = kinds[i].kind;
            break;
        }
    }
    return DFAL_OK;
}

static size_t read_part(int fd, void *bytes, size_t size, int64_t from)
{
    ssize_t got = pread(fd, bytes, size, from);
    return got > 0 ? (size_t)got : 0;
}

dfal_status df_file_kind(struct df_kind *kind, enum df_file_type *type, const char *path)
{
    struct stat facts;
    struct look *look;
    *kind = (struct df_kind){NULL, ""};
    *type = DF_FILE_NONE;
    if (df_folder_exists(path))
        return name_folder(kind, path);
    const bool plain = stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
    const int fd = plain ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return DFAL_OK;
    dfal_status status = df_alloc(&look, 1, sizeof *look);
    if (status == DFAL_OK) {
        look->size = facts.st_size;
        look->head_size = read_part(fd, look->head, HEAD, 0);
        look->tail_size = read_part(fd, look->tail, TAIL, facts.st_size > TAIL ? facts.st_size - TAIL : 0);
        *type = name_bytes(kind, look, path);
        df_free(look);
    }
    close(fd);
    return status;
}

dfal_status df_refuse_kind(const char *path, const char *expected)
{
    struct df_kind kind;
    enum df_file_type type;
    DF_TRY(df_file_kind(&kind, &type, path));
    if (kind.what && !strstr(expected, kind.what))
        DF_FAIL(DFAL_E_DATA, "%s is %s, expected %s%s%s", path, kind.what, expected, *kind.advice ? "; " : "",
                kind.advice);
    return DFAL_OK;
}
