// SPDX-License-Identifier: MIT
//
// The Open Inference protocol: requests, their elements, answers, and what a model's signature says
// to them.

#include "unit.h"

#include "base/base64.h"
#include "model_runtime/oip_answer.h"
#include "model_runtime/oip_request.h"
#include "model_runtime/signature.h"

#include <math.h>

static const struct oip_identity identity = {"m", "v", "p"};

// Parses both steps. The error, or 0.
static int parse(const char *text, struct oip_request *request, struct error *err)
{
    *err = (struct error){0};
    struct unit_guard guard = unit_guard_new(text, strlen(text));
    int r = oip_request_parse(str_of_data(guard.data, strlen(text)), request, err);
    unit_guard_free(&guard); // the text may go away
    if (r == 0) {
        r = oip_request_read_values(request, err);
        if (r < 0)
            oip_request_done(request);
    }
    return r;
}

static void assert_refused(const char *text, const char *part)
{
    struct oip_request request;
    struct error err;
    int r = parse(text, &request, &err);
    if (r == 0 || strstr(err.text, part) == NULL)
        fail_msg("%s: result %d, text '%s', wanted '%s'", text, r, err.text, part);
    assert_int_equal(r, -EINVAL);
}

// ---- requests

static void a_whole_request(void **state)
{
    struct oip_request request;
    struct error err;
    int r = parse(
        "{\"id\":\"7\",\"extra\":1,\"parameters\":{},\"inputs\":["
        "{\"name\":\"x\",\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[[0.5,1],[2,\"NaN\"]]},"
        "{\"name\":\"s\",\"shape\":[],\"datatype\":\"INT64\",\"data\":[16000.0]}],"
        "\"outputs\":[{\"name\":\"y\"},{\"name\":\"z\",\"parameters\":{\"binary_data_base64\":true}"
        "}]}",
        &request, &err);
    assert_int_equal(r, 0);
    assert_false(request.asks_metadata || request.is_binary);
    assert_str_equal(request.id, "7");
    assert_int_equal(request.input_count, 2);
    const struct tensor *x = &request.inputs[0], *s = &request.inputs[1];
    assert_str_equal(x->name, "x");
    assert_int_equal(x->datatype, DATATYPE_FP32);
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->count, 4);
    assert_int_equal(x->size, 16);
    const float *values = x->data;
    assert_true(values[0] == 0.5f && values[1] == 1 && values[2] == 2 && isnan(values[3]));
    assert_int_equal(s->rank, 0);
    assert_int_equal(s->count, 1);
    assert_int_equal(((const int64_t *) s->data)[0], 16000);
    assert_int_equal(request.output_count, 2);
    assert_str_equal(request.outputs[1].name, "z");
    assert_true(!request.outputs[0].is_binary && request.outputs[1].is_binary);
    oip_request_done(&request);
}

static void nothing_asks_for_metadata(void **state)
{
    static const char *const texts[] = {"{}", "", "  ", " { } \n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct oip_request request;
        struct error err;
        assert_int_equal(parse(texts[i], &request, &err), 0);
        assert_true(request.asks_metadata);
        oip_request_done(&request);
    }
}

#define X(rest) "{\"inputs\":[{\"name\":\"x\"," rest "}]}"

static void bad_requests_are_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"nonsense", "not JSON"},
        {"{\"inputs\":[", "not JSON"},
        {"[]", "must be a JSON object"},
        {"null", "must be a JSON object"},
        {"7", "must be a JSON object"},
        {"{\"a\":1}", "must have \"inputs\""},
        {"{\"inputs\":{}}", "must have \"inputs\""},
        {"{\"inputs\":[]}", "must have \"inputs\""},
        {"{\"inputs\":[1]}", "input 0 must be an object with a string \"name\""},
        {"{\"inputs\":[{\"name\":5}]}", "input 0 must be"},
        {"{\"id\":7,\"inputs\":[]}", "\"id\" must be a string"},
        {"{\"parameters\":[],\"inputs\":[]}", "\"parameters\" must be an object"},
        {"{\"parameters\":{\"binary_data_base64\":1},\"inputs\":[]}", "must be true or false"},
        {X("\"shape\":[1],\"data\":[1]"), "input 'x': datatype must be a string"},
        {X("\"datatype\":\"fp32\",\"shape\":[1],\"data\":[1]"), "there is no datatype 'fp32'"},
        {X("\"datatype\":\"NONE\",\"shape\":[1],\"data\":[1]"), "there is no datatype 'NONE'"},
        {X("\"datatype\":\"FP32\",\"data\":[1]"), "shape must be an array"},
        {X("\"datatype\":\"FP32\",\"shape\":1,\"data\":[1]"), "shape must be an array"},
        {X("\"datatype\":\"FP32\",\"shape\":[-1],\"data\":[1]"), "dimension 0"},
        {X("\"datatype\":\"FP32\",\"shape\":[1,2.0],\"data\":[1]"), "dimension 1"},
        {X("\"datatype\":\"FP32\",\"shape\":[2147483648],\"data\":[1]"), "dimension 0"},
        {X("\"datatype\":\"FP32\",\"shape\":[2147483647,2147483647,2147483647],\"data\":[1]"),
         "too many elements"},
        {X("\"datatype\":\"FP32\",\"shape\":[0,2147483647,2147483647,2147483647],\"data\":[]"),
         "too many elements"},
        {X("\"datatype\":\"FP32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data\":[1]"),
         "17 dimensions"},
        {X("\"datatype\":\"FP32\",\"shape\":[1]"), "data must be an array"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"data\":1"), "data must be an array"},
        {X("\"datatype\":\"FP32\",\"shape\":[2],\"data\":[1]"),
         "data has 1 elements, its shape [2] holds 2"},
        {X("\"datatype\":\"FP32\",\"shape\":[1000000000],\"data\":[1]"),
         "its shape [1000000000] holds 1000000000"},
        {X("\"datatype\":\"FP32\",\"shape\":[],\"data\":[]"), "its shape [] holds 1"},
        {X("\"datatype\":\"FP32\",\"shape\":[2,2],\"data\":[[1,2],[3]]"),
         "data has 1 elements on level 1"},
        {X("\"datatype\":\"FP32\",\"shape\":[2,2],\"data\":[[1,2]]"),
         "data has 1 elements on level 0"},
        {X("\"datatype\":\"FP32\",\"shape\":[2,2],\"data\":[[1,2],3]"), "not 2 levels deep"},
        {X("\"datatype\":\"FP32\",\"shape\":[1,1,1],\"data\":[[1]]"), "not 3 levels deep"},
        {X("\"datatype\":\"FP32\",\"shape\":[1,1],\"data\":[[[1]]]"),
         "element 0 is array, not a value of FP32"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"data\":[[1]]"), "element 0 is array"},
        {X("\"datatype\":\"FP32\",\"shape\":[2],\"data\":[1,null]"),
         "element 1 is null, not a value of FP32"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"data\":[\"1\"]"), "element 0 is string"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1e39]"), "outside the range of FP32"},
        {X("\"datatype\":\"UINT8\",\"shape\":[2],\"data\":[0,256]"),
         "element 1 is 256, outside the range of UINT8"},
        {X("\"datatype\":\"UINT8\",\"shape\":[1],\"data\":[-1]"),
         "element 0 is -1, outside the range of UINT8"},
        {X("\"datatype\":\"INT8\",\"shape\":[1],\"data\":[128]"), "outside the range of INT8"},
        {X("\"datatype\":\"INT8\",\"shape\":[1],\"data\":[-129]"), "outside the range of INT8"},
        {X("\"datatype\":\"INT32\",\"shape\":[1],\"data\":[2147483648]"),
         "outside the range of INT32"},
        {X("\"datatype\":\"INT64\",\"shape\":[1],\"data\":[9223372036854775808]"),
         "outside the range of INT64"},
        {X("\"datatype\":\"UINT64\",\"shape\":[1],\"data\":[-1]"), "outside the range of UINT64"},
        {X("\"datatype\":\"INT64\",\"shape\":[1],\"data\":[0.5]"),
         "element 0 is 0.5, not a value of INT64"},
        {X("\"datatype\":\"INT64\",\"shape\":[1],\"data\":[1e17]"), "not a value of INT64"},
        {X("\"datatype\":\"INT16\",\"shape\":[1],\"data\":[true]"),
         "element 0 is true, not a value of INT16"},
        {X("\"datatype\":\"BOOL\",\"shape\":[1],\"data\":[2]"),
         "element 0 is 2, not a value of BOOL"},
        {X("\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[1]"),
         "element 0 is 1, not a value of BYTES"},
        {X("\"datatype\":\"FP16\",\"shape\":[1],\"data\":[1]"), "FP16 has no form in JSON"},
        {X("\"datatype\":\"BF16\",\"shape\":[1],\"data\":[1]"), "BF16 has no form in JSON"},
        {X("\"datatype\":\"INT4\",\"shape\":[1],\"data\":[1]"), "INT4 has no form in JSON"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}"),
         "binary_data_size needs"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":true}"),
         "must be a string"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1],\"parameters\":{\"binary_data_"
           "base64\":\"AAAAAA==\"}"),
         "both data and"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":\"AAAA\"}"),
         "holds 3 bytes, FP32 [1] takes 4"},
        {X("\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":\"AAAA*A=="
           "\"}"),
         "not base64"},
        {X("\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":\"\"}"),
         "takes 4"},
        {X("\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":"
           "\"BQAAAGFi\"}"),
         "ends inside element 0"},
        {X("\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_base64\":"
           "\"AQAAAGFi\"}"),
         "1 bytes after its last element"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}],"
         "\"outputs\":{}}",
         "\"outputs\" must be an array"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}],"
         "\"outputs\":[\"y\"]}",
         "output 0 must be"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}],"
         "\"outputs\":[{\"name\":\"y\",\"parameters\":{\"binary_data_base64\":\"yes\"}}]}",
         "output 'y': the parameter"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_refused(rows[i].text, rows[i].part);
}

static void every_prefix_is_refused(void **state)
{
    static const char text[] =
        "{\"id\":\"a\",\"inputs\":[{\"name\":\"x\",\"shape\":[2,1],\"datatype\":\"FP32\","
        "\"data\":[[0.5],[1e3]]}],\"outputs\":[{\"name\":\"y\"}]}";
    struct oip_request request;
    struct error err;
    for (size_t size = 1; size < sizeof text - 1; size++) {
        char *prefix = strndup(text, size);
        assert_int_equal(parse(prefix, &request, &err), -EINVAL);
        free(prefix);
    }
    assert_int_equal(parse(text, &request, &err), 0);
    oip_request_done(&request);
}

// ---- elements of every datatype, there and back

// What is read from `data` is answered as `expected` (or as `data`).
static void assert_round_trip(const char *datatype, const char *shape, const char *data,
                              const char *expected)
{
    char text[1000];
    struct oip_request request;
    struct error err = {0};
    AUTO_BUF struct buf out = BUF_INIT(1 << 16);
    (void) snprintf(text, sizeof text,
                    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"%s\",\"shape\":%s,\"data\":%s}]}",
                    datatype, shape, data);
    assert_int_equal(parse(text, &request, &err), 0);
    assert_int_equal(
        oip_answer_infer(&out, &identity, request.id, request.inputs, (bool[]){false}, 1, &err), 0);
    (void) snprintf(text, sizeof text,
                    "{\"model_name\":\"m\",\"model_version\":\"v\",\"outputs\":[{\"name\":\"x\","
                    "\"datatype\":\"%s\","
                    "\"shape\":%s,\"data\":%s}]}",
                    datatype, shape, expected ? expected : data);
    assert_string_equal(out.data, text);
    oip_request_done(&request);
}

static void every_json_datatype_round_trips(void **state)
{
    assert_round_trip("BOOL", "[4]", "[true,false,1,0]", "[true,false,true,false]");
    assert_round_trip("UINT8", "[2]", "[0,255]", NULL);
    assert_round_trip("UINT16", "[2]", "[0,65535]", NULL);
    assert_round_trip("UINT32", "[2]", "[0,4294967295]", NULL);
    assert_round_trip("UINT64", "[2]", "[0,18446744073709551615]", NULL);
    assert_round_trip("INT8", "[2]", "[-128,127]", NULL);
    assert_round_trip("INT16", "[2]", "[-32768,32767]", NULL);
    assert_round_trip("INT32", "[2]", "[-2147483648,2147483647]", NULL);
    assert_round_trip("INT64", "[3]", "[-9223372036854775808,9223372036854775807,-0]",
                      "[-9223372036854775808,9223372036854775807,0]");
    assert_round_trip("INT64", "[3]", "[1.0,-2e3,9007199254740992.0]",
                      "[1,-2000,9007199254740992]");
    assert_round_trip("FP32", "[2,3]", "[0.1,-0.0,3.4028235e38,\"NaN\",\"Infinity\",\"-Infinity\"]",
                      NULL);
    assert_round_trip("FP64", "[3]", "[0.1,1e+300,-2.5]", NULL);
    assert_round_trip("BYTES", "[2,1]", "[[\"a\\u0000b\"],[\"\"]]", "[\"a\\u0000b\",\"\"]");
    assert_round_trip("FP32", "[0,5]", "[]", NULL);
    assert_round_trip("BYTES", "[0]", "[]", NULL);
    assert_round_trip("INT32", "[]", "[7]", NULL);
    assert_round_trip("INT32", "[1,2,2]", "[[[1,2],[3,4]]]", "[1,2,3,4]");
    assert_round_trip("INT32", "[2,0]", "[[],[]]", "[]");
}

// Bytes in are bytes out, whatever the datatype, JSON or not.
static void every_datatype_round_trips_as_binary(void **state)
{
    for (enum datatype datatype = DATATYPE_BOOL; datatype < DATATYPE_COUNT; datatype++) {
        char text[600];
        struct oip_request request;
        struct error err = {0};
        AUTO_BUF struct buf out = BUF_INIT(1 << 16), base64 = BUF_INIT(1000);
        unsigned char bytes[3 * 16] = {1, 0, 1, 0xF5, 0x80, 0x7F};
        size_t size = datatype_bytes(datatype, 3);
        if (datatype == DATATYPE_BOOL)
            memset(bytes + 3, 0, 3);
        if (datatype == DATATYPE_BYTES) {
            memcpy(bytes, "\1\0\0\0\xff\0\0\0\0\2\0\0\0ab", 15);
            size = 15;
        }
        base64_append(&base64, bytes, size);
        (void) snprintf(
            text, sizeof text,
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"%s\",\"shape\":[3],\"parameters\":"
            "{\"binary_data_base64\":\"%s\"}}],\"parameters\":{\"binary_data_base64\":true}}",
            datatype_name(datatype), base64.data);
        assert_int_equal(parse(text, &request, &err), 0);
        assert_true(request.is_binary);
        assert_int_equal(
            oip_answer_infer(&out, &identity, STR("i"), request.inputs, (bool[]){true}, 1, &err),
            0);
        (void) snprintf(
            text, sizeof text,
            "{\"model_name\":\"m\",\"model_version\":\"v\",\"id\":\"i\",\"outputs\":[{\"name\":"
            "\"x\","
            "\"datatype\":\"%s\",\"shape\":[3],\"parameters\":{\"binary_data_base64\":\"%s\"}}]}",
            datatype_name(datatype), base64.data);
        assert_string_equal(out.data, text);
        oip_request_done(&request);
    }
}

static void datatypes_have_sizes(void **state)
{
    assert_int_equal(datatype_bytes(DATATYPE_INT4, 3), 2);
    assert_int_equal(datatype_bytes(DATATYPE_UINT4, 4), 2);
    assert_int_equal(datatype_bytes(DATATYPE_FP8E5M2, 3), 3);
    assert_int_equal(datatype_bytes(DATATYPE_BF16, 3), 6);
    assert_int_equal(datatype_bytes(DATATYPE_COMPLEX128, 3), 48);
    for (enum datatype datatype = DATATYPE_BOOL; datatype < DATATYPE_COUNT; datatype++)
        assert_int_equal(datatype_of_name(str_of(datatype_name(datatype))), datatype);
    assert_int_equal(datatype_of_name(STR("FP3")), DATATYPE_NONE);
    assert_int_equal(datatype_of_name(STR("")), DATATYPE_NONE);
}

static void other_bytes_of_bool_are_true(void **state)
{
    struct oip_request request;
    struct error err;
    assert_int_equal(parse(X("\"datatype\":\"BOOL\",\"shape\":[3],\"parameters\":{\"binary_data_"
                             "base64\":\"AAL/\"}"),
                           &request, &err),
                     0);
    assert_memory_equal(request.inputs[0].data, "\0\1\1", 3);
    oip_request_done(&request);
}

static void half_precision_is_binary_unasked(void **state)
{
    AUTO_BUF struct buf out = BUF_INIT(1000);
    struct error err = {0};
    uint16_t one = 0x3C00;
    struct tensor y = {.name = STR("y"),
                       .datatype = DATATYPE_FP16,
                       .rank = 1,
                       .shape = {1},
                       .count = 1,
                       .data = &one,
                       .size = 2};
    assert_int_equal(
        oip_answer_infer(&out, &identity, (struct str){0}, &y, (bool[]){false}, 1, &err), 0);
    assert_non_null(strstr(out.data, "\"parameters\":{\"binary_data_base64\":\"ADw=\"}}"));
}

static void an_answer_too_large_names_its_output(void **state)
{
    static float many[5000];
    struct tensor y = {.name = STR("logits"),
                       .datatype = DATATYPE_FP32,
                       .rank = 2,
                       .shape = {50, 100},
                       .count = 5000,
                       .data = many,
                       .size = sizeof many};
    for (size_t maximum = 0; maximum < 25200; maximum += 97) {
        AUTO_BUF struct buf out = BUF_INIT(maximum);
        struct error err = {0};
        int r = oip_answer_infer(&out, &identity, (struct str){0}, &y, (bool[]){false}, 1, &err);
        if (r == 0) { // 5000 times "0.0," and a little around it
            assert_in_range(out.size, 20000, maximum);
            continue;
        }
        assert_int_equal(r, -EFBIG);
        assert_true(maximum < 20200);
        assert_non_null(strstr(err.text, "at output 'logits' (FP32 [50,100])"));
    }
}

// ---- signatures

static struct tensor_spec specs[] = {
    {.name = (char[]){"x"},
     .datatype = DATATYPE_FP32,
     .has_shape = true,
     .rank = 4,
     .shape = {-1, 3, 48, -1},
     .dim_names = {(char[]){"batch"}}},
    {.name = (char[]){"sr"}, .datatype = DATATYPE_INT64},
    {.name = (char[]){"beta"},
     .datatype = DATATYPE_FP32,
     .is_optional = true,
     .has_shape = true,
     .rank = 1,
     .shape = {1}},
    {.name = (char[]){"bag"}, .kind = "sequence", .is_optional = true},
};
static const struct signature signature = {
    .inputs = specs, .input_count = 4, .outputs = specs, .output_count = 4};

static struct tensor tensor_of(const char *name, enum datatype datatype, size_t rank,
                               const int64_t *shape)
{
    struct tensor tensor = {.name = str_of(name), .datatype = datatype, .rank = rank};
    memcpy(tensor.shape, shape, rank * sizeof *shape);
    return tensor;
}

static void assert_inputs(const struct tensor *inputs, size_t count, const char *part)
{
    struct error err = {0};
    int r = signature_check_inputs(&signature, inputs, count, &err);
    assert_int_equal(r, part ? -EINVAL : 0);
    if (part && strstr(err.text, part) == NULL)
        fail_msg("'%s', wanted '%s'", err.text, part);
}

static void inputs_are_checked_and_named(void **state)
{
    struct tensor good = tensor_of("x", DATATYPE_FP32, 4, (int64_t[]){7, 3, 48, 1});
    struct tensor sr = tensor_of("sr", DATATYPE_INT64, 0, (int64_t[]){0});
    struct tensor sr1 = tensor_of("sr", DATATYPE_INT64, 1, (int64_t[]){1});
    struct tensor rank = tensor_of("x", DATATYPE_FP32, 3, (int64_t[]){3, 48, 1});
    struct tensor dim = tensor_of("x", DATATYPE_FP32, 4, (int64_t[]){7, 3, 47, 1});
    struct tensor type = tensor_of("x", DATATYPE_FP64, 4, (int64_t[]){7, 3, 48, 1});
    struct tensor other = tensor_of("q", DATATYPE_FP32, 0, (int64_t[]){0});
    struct tensor beta = tensor_of("beta", DATATYPE_FP32, 1, (int64_t[]){1});
    struct tensor bag = tensor_of("bag", DATATYPE_FP32, 1, (int64_t[]){1});

    assert_inputs((struct tensor[]){good, sr}, 2, NULL);
    assert_inputs((struct tensor[]){sr1, good, beta}, 3, NULL);
    assert_inputs((struct tensor[]){rank, sr}, 2,
                  "input 'x': expected FP32 [batch,3,48,-1], given FP32 [3,48,1]");
    assert_inputs((struct tensor[]){dim, sr}, 2, "given FP32 [7,3,47,1]");
    assert_inputs((struct tensor[]){type, sr}, 2, "given FP64 [7,3,48,1]");
    assert_inputs((struct tensor[]){good}, 1, "input 'sr' is missing: expected INT64 []");
    assert_inputs((struct tensor[]){good, sr, sr}, 3, "input 'sr' is given 2 times");
    assert_inputs((struct tensor[]){good, sr, other}, 3,
                  "the model has no input 'q': its inputs are 'x', 'sr'");
    assert_inputs((struct tensor[]){good, sr, bag}, 3, "input 'bag' is a sequence");
    assert_inputs(NULL, 0, "input 'x' is missing");
}

static void outputs_are_checked_and_named(void **state)
{
    struct error err = {0};
    assert_int_equal(signature_check_output(&signature, STR("x"), &err), 0);
    assert_int_equal(signature_check_output(&signature, STR("q"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "no output 'q': its outputs are 'x'"));
    assert_int_equal(signature_check_output(&signature, STR("bag"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "output 'bag' is a sequence, not a tensor"));
}

static void metadata_lists_the_tensors(void **state)
{
    AUTO_BUF struct buf out = BUF_INIT(10000);
    struct error err = {0};
    assert_int_equal(oip_answer_metadata(&out, &identity, &signature, &err), 0);
    assert_string_equal(out.data,
                        "{\"name\":\"m\",\"versions\":[\"v\"],\"platform\":\"p\",\"inputs\":["
                        "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3,48,-1]},"
                        "{\"name\":\"sr\",\"datatype\":\"INT64\",\"shape\":[]},"
                        "{\"name\":\"beta\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{"
                        "\"optional\":true}}],"
                        "\"outputs\":["
                        "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3,48,-1]},"
                        "{\"name\":\"sr\",\"datatype\":\"INT64\",\"shape\":[]},"
                        "{\"name\":\"beta\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{"
                        "\"optional\":true}}]}");
    AUTO_BUF struct buf small = BUF_INIT(50);
    assert_int_equal(oip_answer_metadata(&small, &identity, &signature, &err), -EFBIG);
}

static void shapes_are_counted_without_overflow(void **state)
{
    static const struct {
        int64_t shape[3];
        size_t rank, count;
        int result;
    } rows[] = {
        {{0}, 0, 1, 0},
        {{2, 3, 4}, 3, 24, 0},
        {{0, 5}, 2, 0, 0},
        {{-1}, 1, 0, -EINVAL},
        {{TENSOR_DIM_MAX}, 1, TENSOR_DIM_MAX, 0},
        {{(int64_t) TENSOR_DIM_MAX + 1}, 1, 0, -EOVERFLOW},
        {{0, INT64_MAX}, 2, 0, -EOVERFLOW},
        {{0, TENSOR_DIM_MAX, TENSOR_DIM_MAX}, 3, 0, -EOVERFLOW},
        {{TENSOR_DIM_MAX, TENSOR_DIM_MAX, TENSOR_DIM_MAX}, 3, 0, -EOVERFLOW},
        {{1 << 20, 1 << 20}, 2, (size_t) 1 << 40, 0},
        {{1 << 20, (1 << 20) + 1}, 2, 0, -EOVERFLOW},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t count = 99;
        assert_int_equal(tensor_count(rows[i].shape, rows[i].rank, &count), rows[i].result);
        assert_int_equal(count, rows[i].result == 0 ? rows[i].count : 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_request),
        cmocka_unit_test(nothing_asks_for_metadata),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(every_json_datatype_round_trips),
        cmocka_unit_test(every_datatype_round_trips_as_binary),
        cmocka_unit_test(datatypes_have_sizes),
        cmocka_unit_test(other_bytes_of_bool_are_true),
        cmocka_unit_test(half_precision_is_binary_unasked),
        cmocka_unit_test(an_answer_too_large_names_its_output),
        cmocka_unit_test(inputs_are_checked_and_named),
        cmocka_unit_test(outputs_are_checked_and_named),
        cmocka_unit_test(metadata_lists_the_tensors),
        cmocka_unit_test(shapes_are_counted_without_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
