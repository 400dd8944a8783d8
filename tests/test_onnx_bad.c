/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files that are no classifier of images, or no ONNX: each is refused with a sentence that names what is
 * wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "onnx_fixture.h"

static struct model m;

static Onnx__NodeProto *node(const char *op, const char *inputs, const char *outputs)
{
    return model_node(&m, op, inputs, outputs);
}

static void begin(const char *dims)
{
    onnx_begin(&m, 13, dims);
}

static void refuse(const char *words)
{
    onnx_refuse(&m, DFAL_E_DATA, words);
}

static void refuse_shape(const char *words)
{
    onnx_refuse(&m, DFAL_E_SHAPE, words);
}

/* A small network of every kind of thing. */
static void make_whole(void)
{
    begin("N 2 4 4");
    model_floats(&m, "w", "3 2 3 3", "0.5 -0.25 1");
    model_floats(&m, "b", "3", "1 2 3");
    model_ints(&m, node("Conv", "x w b", "c"), "pads", "1 1 1 1");
    node("Relu", "c", "r");
    model_ints(&m, node("MaxPool", "r", "p"), "kernel_shape", "2 2");
    node("Shape", "p", "s");
    model_longs(&m, "zero", "", "0");
    model_longs(&m, "axes", "1", "0");
    model_longs(&m, "rest", "1", "-1");
    node("Gather", "s zero", "n");
    node("Unsqueeze", "n axes", "n1");
    model_int(&m, node("Concat", "n1 rest", "shape"), "axis", 0);
    node("Reshape", "p shape", "f");
    model_floats(&m, "g", "4 27", "1 -1 0.5");
    model_int(&m, node("Gemm", "f g", "h"), "transB", 1);
    model_floats(&m, "k", "4", "0.5");
    node("Mul", "h k", "y");
    model_metadata(&m, "dfal.scale", "0.5");
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    char path[TEST_PATH];
    (void)state;
    test_join(path, onnx_folder, "none.onnx");
    onnx_refuse_file(path, DFAL_E_NOINPUT, "No such file");
    test_join(path, onnx_folder, "empty.onnx");
    test_ok(df_file_write(path, "", 0));
    onnx_refuse_file(path, DFAL_E_DATA, "empty");
    test_join(path, onnx_folder, "text.onnx");
    test_ok(df_file_write(path, "not ONNX at all\n", 16));
    onnx_refuse_file(path, DFAL_E_DATA, "ONNX");
    test_join(path, onnx_folder, "folder.onnx");
    test_ok(df_folder_create(path));
    onnx_refuse_file(path, DFAL_E_DATA, "directory");
    test_join(path, onnx_folder, "huge.onnx");
    FILE *file = fopen(path, "wb");
    assert_int_equal(ftruncate(fileno(file), INT64_C(3) << 30), 0);
    fclose(file);
    onnx_refuse_file(path, DFAL_E_DATA, "2 GiB");
    assert_int_equal(unlink(path), 0);
}

/* Cut anywhere, and with any byte turned: refused or read, never more. */
static void test_broken(void **state)
{
    char whole[TEST_PATH], path[TEST_PATH], *bytes;
    size_t size;
    int refused = 0;
    struct df_network *network;
    (void)state;
    make_whole();
    test_join(whole, onnx_folder, "whole.onnx");
    test_join(path, onnx_folder, "broken.onnx");
    model_write(&m, whole);
    model_clear(&m);
    test_ok(df_onnx_load(&network, NULL, whole));
    df_network_destroy(network);
    test_ok(df_file_read(&bytes, &size, whole, 1 << 20));
    const int64_t live = df_alloc_live();
    for (int turned = 0; turned < 2; turned++)
        for (size_t i = 0; i < size; i += turned ? 3 : 7) {
            FILE *file = fopen(path, "wb");
            bytes[i] = (char)(turned ? bytes[i] ^ (1 << i % 8) : bytes[i]);
            assert_int_equal(fwrite(bytes, 1, turned ? size : i, file), turned ? size : i);
            fclose(file);
            bytes[i] = (char)(turned ? bytes[i] ^ (1 << i % 8) : bytes[i]);
            const dfal_status status = df_onnx_load(&network, NULL, path);
            if (status != DFAL_OK && !strstr(dfal_last_error(), "broken.onnx"))
                test_fail("byte %zu: the file is not named in: %s", i, dfal_last_error());
            refused += status != DFAL_OK;
            df_network_destroy(network);
        }
    assert_int_equal(df_alloc_live(), live);
    assert_true(refused > (int)size / 7);
    df_free(bytes);
}

/* Every allocation and every read may fail: nothing is left behind and the file is named. */
static void test_torture(void **state)
{
    static const enum df_fault faults[] = {DF_FAULT_ALLOC, DF_FAULT_OPEN, DF_FAULT_READ};
    char path[TEST_PATH];
    (void)state;
    make_whole();
    test_join(path, onnx_folder, "whole.onnx");
    model_write(&m, path);
    model_clear(&m);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++)
        for (int64_t n = 1;; n++) {
            struct df_network *network;
            struct df_onnx_facts facts;
            const int64_t live = df_alloc_live();
            df_fault_arm(faults[f], n);
            const dfal_status status = df_onnx_load(&network, &facts, path);
            const bool passed = df_fault_seen(faults[f]) < n;
            df_fault_arm(faults[f], 0);
            if (status == DFAL_OK) {
                df_network_destroy(network);
                df_onnx_facts_clear(&facts);
            }
            if (df_alloc_live() != live || (status == DFAL_OK) != passed)
                test_fail("fault %zu, number %lld: status %d, %lld blocks left", f, (long long)n, (int)status,
                          (long long)(df_alloc_live() - live));
            if (passed) {
                assert_true(n > 1);
                break;
            }
        }
}

/* ---- What the model is ----------------------------------------------------------------------- */

static void test_versions(void **state)
{
    (void)state;
    make_whole();
    m.proto.graph = NULL;
    refuse("no graph");
    make_whole();
    m.opset.version = 8;
    refuse("opset 8|9 or newer");
    make_whole();
    m.proto.ir_version = 2;
    refuse("IR version 2");
}

static void test_inputs(void **state)
{
    (void)state;
    begin("N 2 4 4");
    model_input(&m, "mask", 1, "N 16");
    node("Add", "x mask", "y");
    refuse("2 inputs|'x' (float [N, 2, 4, 4])|'mask' (float [N, 16])");
    model_begin(&m, 13);
    model_input(&m, "input_ids", 7, "batch 128");
    model_output(&m, "y");
    node("Relu", "input_ids", "y");
    refuse("'input_ids' (int64 [batch, 128])|tokens");
    begin("N 784");
    node("Relu", "x", "y");
    refuse("'x' (float [N, 784])|[N, C, H, W]");
    begin("N 3 height 32");
    node("Relu", "x", "y");
    refuse("'x' (float [N, 3, height, 32])|axis 2|fixed");
    begin("N 3 32 ?");
    node("Relu", "x", "y");
    refuse("axis 3");
    begin("");
    node("Relu", "x", "y");
    refuse("no shape");
    begin("N 3 4611686018427387904 9");
    node("Relu", "x", "y");
    onnx_refuse(&m, DFAL_E_DATA, "2^62");
    model_begin(&m, 13);
    model_output(&m, "y");
    model_floats(&m, "w", "1 2", "1");
    node("Relu", "w", "y");
    refuse("0 inputs");
}

static void test_outputs(void **state)
{
    (void)state;
    begin("N 2 1 1");
    model_output(&m, "aux");
    node("Relu", "x", "y");
    node("Sigmoid", "x", "aux");
    refuse("2 outputs|'y'|'aux'");
    begin("N 2 1 1");
    node("Relu", "x", "z");
    refuse("'y'|nothing");
    begin("N 2 4 4");
    node("Relu", "x", "y");
    refuse("'y' has the shape [N, 2, 4, 4]|[N, K]");
    begin("N 1 1 1");
    node("Flatten", "x", "f");
    node("Relu", "f", "y");
    refuse("[N, 1]|2 or more");
    begin("N 2 1 1");
    node("Sigmoid", "x", "s");
    node("Flatten", "s", "y");
    refuse("sigmoid|probabilities|logits");
    begin("N 2 1 1");
    node("Flatten", "x", "y");
    refuse("input itself");
    begin("N 2 1 1");
    model_floats(&m, "w", "1 2", "1");
    node("Identity", "w", "y");
    refuse("does not depend");
    begin("N 2 1 1");
    node("Flatten", "x", "f");
    node("Softmax", "f", "s");
    node("Relu", "s", "y");
    refuse("softmax|at the output only");
    begin("N 2 2 2");
    model_int(&m, node("Softmax", "x", "s"), "axis", 1);
    node("Flatten", "s", "y");
    refuse("softmax along axis 1");
}

static void test_graphs(void **state)
{
    (void)state;
    begin("N 2 1 1");
    node("Relu", "lost", "y");
    refuse("'y' (Relu)|'lost'|nothing");
    begin("N 2 1 1");
    node("Add", "x c", "a");
    node("Relu", "a", "b");
    node("Relu", "b", "c");
    node("Relu", "c", "y");
    refuse("cycle");
    begin("N 2 1 1");
    node("Relu", "x", "y");
    node("Sigmoid", "x", "y");
    refuse("two values|'y'|Relu|Sigmoid");
    begin("N 2 1 1");
    node("Relu", "x", "x");
    node("Relu", "x", "y");
    refuse("two values|'x'");
    begin("N 2 1 1");
    node("", "x", "y");
    refuse("no op_type");
    begin("N 2 1 1");
    node("Cos", "x", "a");
    node("Cos", "a", "b");
    node("LayerNormalization", "b", "c");
    node("FusedConv", "c", "d")->domain = (char *)"com.microsoft";
    node("Relu", "d", "y");
    refuse("3 ops are not supported: Cos (2), LayerNormalization (1), com.microsoft.FusedConv (1)");
    begin("N 2 1 1");
    model_int(&m, node("Relu", "x", "y"), "strange", 1);
    refuse("'y' (Relu)|'strange'");
    onnx_begin(&m, 20, "N 2 1 1");
    model_text(&m, node("Gelu", "x", "y"), "approximate", "cubic");
    refuse("'y' (Gelu)|cubic");
    begin("N 2 1 1");
    model_floats(&m, "low", "", "inf");
    node("Clip", "x low", "y");
    refuse("'y' (Clip)|clips to [inf, inf]|min below infinity");
    begin("N 2 1 1");
    model_floats(&m, "high", "", "-inf");
    node("Clip", "x - high", "y");
    refuse("'y' (Clip)|clips to [-inf, -inf]|max above -infinity");
    begin("N 2 1 1");
    model_real(&m, node("Elu", "x", "y"), "alpha", NAN);
    refuse("'y' (Elu)|alpha");
    begin("N 2 4 4");
    model_floats(&m, "slopes", "4", "1 2 3 4"); /* of the last dimension, as NumPy broadcasts */
    node("PRelu", "x slopes", "y");
    refuse_shape("'y' (PRelu)|slope of shape");
    begin("N 2 4 4");
    model_ints(&m, node("MaxPool", "x", "p indices"), "kernel_shape", "2 2");
    node("Cast", "indices", "i");
    model_int(&m, m.nodes[1], "to", 1);
    node("Add", "p i", "y");
    refuse("MaxPool|'indices'|first output");
    begin("N 2 1 1");
    node("Relu", "x", "y");
    m.nodes[0]->n_output = 0;
    refuse("'y'|nothing");
    begin("N 2 1 1");
    node("Relu", "-", "y");
    refuse("no input 0");
}

static void test_shapes(void **state)
{
    (void)state;
    begin("N 2 4 4");
    model_floats(&m, "w", "3 3 3 3", "1");
    node("Conv", "x w", "y");
    refuse_shape("Conv|[3, 3, 3, 3]|2 channels");
    begin("N 2 4 4");
    model_floats(&m, "w", "3 2 3 3", "1");
    model_floats(&m, "b", "1 3", "1");
    node("Conv", "x w b", "y");
    refuse_shape("Conv|bias|[1, 3]|[3]");
    begin("N 2 4 4");
    model_floats(&m, "w", "3 2 5 5", "1");
    node("Conv", "x w", "y");
    refuse_shape("does not fit");
    begin("N 2 4 4");
    model_floats(&m, "w", "3 2 3 3", "1");
    model_ints(&m, node("Conv", "x w", "y"), "pads", "1 1");
    refuse("2 pads");
    begin("N 2 4 4");
    model_floats(&m, "w", "3 2 3 3", "1");
    model_ints(&m, node("Conv", "x w", "y"), "strides", "0 1");
    refuse("strides");
    begin("N 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "3 4", "1");
    node("Gemm", "f w", "y");
    refuse_shape("Gemm|[3, 4]|2 values");
    begin("N 2 1 1");
    node("Flatten", "x", "f");
    model_floats(&m, "w", "2 4", "1");
    model_int(&m, node("Gemm", "f w", "y"), "transA", 1);
    refuse("transA");
    begin("N 2 2 1");
    model_longs(&m, "shape", "2", "-1 2");
    node("Reshape", "x shape", "y");
    refuse_shape("Reshape|[N, 2, 2, 1]|[-1, 2]|mixed");
    begin("N 2 2 1");
    model_longs(&m, "shape", "3", "0 4611686018427387904 4");
    node("Reshape", "x shape", "y");
    refuse_shape("64 bits");
    begin("N 2 2 1");
    model_longs(&m, "a", "1", "4611686018427387904");
    node("Mul", "a a", "shape");
    node("Reshape", "x shape", "y");
    refuse("64 bits");
    begin("N 2 2 1");
    node("Shape", "x", "s");
    node("Mul", "s s", "shape");
    node("Reshape", "x shape", "y");
    refuse("number of samples");
    /* The batch where it is no shape's first number, in every type: the sentence says whose it is. */
    static const struct {
        const char *op, *operand, *words;
        int type;
    } grown[] = {{"Mul", "two", "number 1 of its shape|samples", 7},
                 {"Add", "two", "number 1 of its shape|samples", 6},
                 {"Div", "two", "number 1 of its shape|samples", 7},
                 {"Div", "two", "number 1 of its shape|samples", 1},
                 {"Mul", "n", "number 1 of its shape|samples", 6}};
    for (size_t i = 0; i < sizeof grown / sizeof *grown; i++) {
        begin("N 2 2 1");
        node("Shape", "x", "s");
        model_longs(&m, "zero", "1", "0");
        model_longs(&m, "one", "1", "1");
        model_longs(&m, "whole", "1", "2");
        node("Slice", "s zero one zero", "whole_n");
        model_int(&m, node("Cast", "whole", "two"), "to", grown[i].type);
        model_int(&m, node("Cast", "whole_n", "n"), "to", grown[i].type);
        char words[32];
        snprintf(words, sizeof words, "n %s", grown[i].operand);
        node(grown[i].op, words, "z");
        model_int(&m, node("Cast", "z", "first"), "to", 7);
        model_longs(&m, "rest", "1", "-1");
        model_int(&m, node("Concat", "first rest", "shape"), "axis", 0);
        node("Reshape", "x shape", "y");
        refuse(grown[i].words);
    }
    begin("N 2 2 1"); /* an average over the batch */
    node("Shape", "x", "s");
    model_longs(&m, "i", "", "0");
    node("Gather", "s i", "n");
    model_int(&m, node("Cast", "n", "f"), "to", 1);
    node("Div", "x f", "y");
    refuse("Div|operand 'f'|number of samples");
    begin("N 2 2 1");
    node("Shape", "x", "s");
    node("ConstantOfShape", "s", "c");
    node("Add", "x c", "y");
    refuse("ConstantOfShape|number of samples");
    begin("N 2 2 1"); /* the reader's own mark is no number of a file */
    model_longs(&m, "shape", "2", "-9223372036854763463 4");
    node("Reshape", "x shape", "y");
    refuse_shape("batch first");
    begin("N 2 2 1");
    node("Relu", "x", "r");
    node("Floor", "r", "y");
    refuse("Floor|depends on the image");
    begin("N 2 2 1");
    model_longs(&m, "i", "", "9");
    node("Shape", "x", "s");
    node("Gather", "s i", "shape");
    node("Reshape", "x shape", "y");
    refuse("element 9");
    begin("N 2 2 1");
    model_ints(&m, node("Transpose", "x", "t"), "perm", "1 0 2 3");
    node("Relu", "t", "y");
    refuse("batch");
    begin("N 2 2 3");
    model_ints(&m, node("Transpose", "x", "t"), "perm", "0 3 1 2");
    model_ints(&m, node("MaxPool", "t", "y"), "kernel_shape", "2 2");
    refuse("MaxPool|'t'|transposed");
    begin("N 2 2 3");
    model_floats(&m, "c", "5", "1");
    node("Add", "x c", "y");
    refuse_shape("[N, 2, 2, 3]|[5]");
    begin("N 2 2 3");
    model_ints(&m, node("ReduceMean", "x", "y"), "axes", "0 1");
    refuse("samples");
    begin("N 2 2 3");
    model_ints(&m, node("Concat", "x x", "y"), "axis", "2");
    model_int(&m, m.nodes[0], "axis", 2);
    m.nodes[0]->attribute[0] = m.nodes[0]->attribute[1];
    m.nodes[0]->n_attribute = 1;
    refuse("axis 2|channels");
    begin("N 2 2 3");
    model_text(&m, node("Pad", "x", "y"), "mode", "reflect");
    refuse("reflect|constant");
    begin("N 2 2 3");
    model_ints(&m, node("Pad", "x", "y"), "pads", "1 0 0 0 0 0 0 0");
    refuse("batch");
    begin("N 2 2 3");
    model_longs(&m, "shape", "3", "100000 100000 100000");
    node("ConstantOfShape", "shape", "c");
    node("Add", "x c", "y");
    refuse("[100000, 100000, 100000]|more than such a file");
}

static void test_tensors(void **state)
{
    (void)state;
    make_whole();
    ((float *)(void *)m.tensors[0]->raw_data.data)[5] = NAN;
    refuse("element 5|c/weight|nan");
    make_whole();
    m.tensors[0]->raw_data.len -= 4;
    refuse("'w'|[3, 2, 3, 3]|212 bytes|216");
    make_whole();
    m.tensors[0]->dims[0] = -3;
    refuse("'w'|-3");
    make_whole();
    m.tensors[0]->dims[0] = m.tensors[0]->dims[1] = INT64_C(1) << 40;
    refuse("'w'|too large");
    make_whole();
    m.tensors[0]->data_type = 8;
    refuse("'w'|string");
    make_whole();
    m.tensors[0]->n_dims = 9;
    m.tensors[0]->dims = (int64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1};
    refuse("'w'|9 dimensions");
    make_whole();
    m.tensors[3]->n_int64_data = 0;
    refuse("'axes'|holds 0");
    begin("N 2 1 1");
    model_floats(&m, "s", "2", "1");
    model_floats(&m, "v", "2", "1 -1");
    node("BatchNormalization", "x s s s v", "y");
    refuse("variance|-1");
    begin("N 2 1 1");
    model_floats(&m, "s", "2", "1");
    model_int(&m, node("BatchNormalization", "x s s s s", "y"), "training_mode", 1);
    refuse("training_mode=1|eval()");
    /* Until opset 13 the number of outputs says it, read or not. */
    for (int opset = 9; opset < 14; opset += 2)
        for (int read = 0; read < 2; read++) {
            onnx_begin(&m, opset, "N 2 1 1");
            model_floats(&m, "s", "2", "1");
            node("BatchNormalization", "x s s s s", read ? "v mean variance old older" : "v mean variance");
            node("Identity", "v", "y");
            refuse(read ? "5 outputs|training|eval()" : "3 outputs|training|eval()");
        }
    begin("N 2 1 1");
    model_floats(&m, "ratio", "", "0.5");
    model_longs(&m, "training", "", "1");
    model_int(&m, node("Cast", "training", "flag"), "to", 9);
    node("Dropout", "x ratio flag", "y");
    refuse("Dropout|training_mode|eval()");
    begin("N 2 1 1");
    model_floats(&m, "c", "", "0");
    node("Div", "x c", "y");
    refuse("y/weight|inf");
    make_whole();
    m.metadata[0]->value = (char *)"0.5, 0.1, 0.2";
    refuse("dfal.scale|0.5, 0.1, 0.2");
}

/* ---- External data --------------------------------------------------------------------------- */

static void put_outside(const char *location, const char *offset, const char *length)
{
    static Onnx__StringStringEntryProto entries[3], *list[3] = {&entries[0], &entries[1], &entries[2]};
    const char *pairs[3][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    Onnx__TensorProto *w;
    begin("N 2 1 1");
    w = model_floats(&m, "w", "2", "0");
    node("Mul", "x wide", "y");
    model_longs(&m, "a", "2", "1 2");
    node("Unsqueeze", "w a", "wide");
    w->has_raw_data = false;
    w->has_data_location = true;
    w->data_location = 1;
    w->external_data = list;
    for (int i = 0; i < 3; i++) {
        onnx__string_string_entry_proto__init(&entries[i]);
        entries[i].key = (char *)pairs[i][0];
        entries[i].value = (char *)pairs[i][1];
        w->n_external_data += pairs[i][1] != NULL;
    }
}

static void test_external(void **state)
{
    const float values[5] = {9.0f, 9.0f, 9.0f, 2.0f, 3.0f};
    char path[TEST_PATH], outside[TEST_PATH], link[TEST_PATH];
    (void)state;
    test_join(path, onnx_folder, "data.bin");
    test_ok(df_file_write(path, values, sizeof values));
    test_folder_create(outside);
    test_join(path, outside, "secret.bin");
    test_ok(df_file_write(path, values, sizeof values));
    test_join(link, onnx_folder, "link.bin");
    assert_int_equal(symlink(path, link), 0);
    test_join(link, onnx_folder, "below");
    test_ok(df_folder_create(link));
    test_join(link, onnx_folder, "below/data.bin");
    test_ok(df_file_write(link, values, sizeof values));

    put_outside("data.bin", "12", "8");
    onnx_expect(&m, "1 1", "2 3", NULL);
    put_outside("below/data.bin", "12", NULL);
    onnx_expect(&m, "1 1", "2 3", NULL);
    put_outside(path, "12", "8");
    refuse("'w'|own folder");
    put_outside("../secret.bin", "0", NULL);
    refuse("'w'|'../secret.bin'|own folder");
    put_outside("below/../../secret.bin", "0", NULL);
    refuse("own folder");
    put_outside("link.bin", "0", NULL);
    refuse("'link.bin'|leads out");
    put_outside("none.bin", "0", NULL);
    onnx_refuse(&m, DFAL_E_NOINPUT, "none.bin");
    put_outside("data.bin", "16", "8");
    refuse("8 bytes from byte 16|20");
    put_outside("data.bin", "9223372036854775807", NULL);
    refuse("from byte 9223372036854775807");
    put_outside("data.bin", "0", "12");
    refuse("12 bytes, expected 8");
    put_outside("data.bin", "-1", NULL);
    refuse("offset '-1'");
    put_outside("data.bin", "9999999999999999999", NULL);
    refuse("offset");
    put_outside("below", "0", NULL);
    refuse("no plain file");
    put_outside("data.bin", "0", NULL);
    m.tensors[0]->n_external_data = 0;
    refuse("no location");
    test_folder_remove(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),    cmocka_unit_test(test_broken), cmocka_unit_test(test_torture),
        cmocka_unit_test(test_versions), cmocka_unit_test(test_inputs), cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_graphs),   cmocka_unit_test(test_shapes), cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_external),
    };
    return cmocka_run_group_tests(tests, onnx_setup, onnx_teardown);
}
