/* Files that want to do harm, or are damaged: every reader refuses them with a message, or reads what is there, and
 * touches no memory beyond (run under AddressSanitizer, where copies of exactly the file's size show it). */
#include "layers/network.h"
#include "check.h"

#include "weights_tools/import/named_tensors.h"
#include "weights_tools/import/pickle.h"

#include <unistd.h>

typedef int (*reader)(const file_image *f, named_tensors *t, diag *d);

/* Reads a copy of n bytes; what it said first in `said`, "" if it was content. */
static int read_bytes(reader read, const void *bytes, size_t n, char *said, size_t room)
{
    unsigned char *copy = mem_calloc(n, 1);
    if (n) memcpy(copy, bytes, n);
    file_image f = { .path = "file", .byte = copy, .n = n, .fd = -1 };
    diag *d = diag_new();
    named_tensors *t = named_tensors_new("file", n);
    int failed = read(&f, t, d);
    assert_int_equal(failed != 0, diag_errors(d) > 0);
    snprintf(said, room, "%s", failed ? diag_get(d, 0)->text : "");
    named_tensors_free(t);
    diag_free(d);
    free(copy);
    return failed;
}

static const struct { const char *name; reader read; size_t least; } FILES[] = {
    { "types.pt", torch_zip_read, 0 }, { "training2.pt", torch_zip_read, 0 }, { "training4.pt", torch_zip_read, 0 }, { "legacy.pt", torch_legacy_read, 15 },
    { "net.safetensors", safetensors_read, 0 },
#ifdef ONNX
    { "net.onnx", onnx_read, 0 }, { "matmul.onnx", onnx_read, 0 },
#endif
};
enum { FILE_COUNT = sizeof FILES / sizeof *FILES };

static char fixtures[1024];

static char *load(const char *name, size_t *n)
{
    char *path = mem_printf("%s/%s", fixtures, name), *bytes = check_read(path, n);
    free(path);
    return bytes;
}

/* The readers are called behind the check of a file's first bytes: what that would have refused is left out. */
static int known(const char *name, const char *bytes, size_t n, size_t least)
{
    uint64_t header;
    if (n < least) return 0;
    if (!strstr(name, ".safetensors")) return 1;
    if (n < 10) return 0;
    memcpy(&header, bytes, 8);
    return header <= n - 8;
}

/* ONNX is left out: a protobuf cut between two fields is a whole one. */
static void every_length(void **state)
{
    (void)state;
    char said[256];
    for (int k = 0; k < FILE_COUNT; ++k) {
        size_t n, at = 0;
        char *bytes = load(FILES[k].name, &n);
        for (; at < n; ++at) {
            if (!known(FILES[k].name, bytes, at, FILES[k].least)) continue;
            int failed = read_bytes(FILES[k].read, bytes, at, said, sizeof said);
            if (!failed && !strstr(FILES[k].name, ".onnx")) fail_msg("%s cut to %zu of %zu bytes was read", FILES[k].name, at, n);
        }
        if (read_bytes(FILES[k].read, bytes, n, said, sizeof said)) fail_msg("%s whole: %s", FILES[k].name, said);
        free(bytes);
    }
}

/* Each byte in turn set to something else; the outcome is free, the memory is not. */
static void every_byte(void **state)
{
    (void)state;
    static const unsigned char values[] = { 0xff, '(' };
    char said[256];
    for (int k = 0; k < FILE_COUNT; ++k) {
        size_t n;
        char *bytes = load(FILES[k].name, &n);
        for (size_t at = FILES[k].least; at < n; ++at) {
            char was = bytes[at];
            for (size_t v = 0; v < sizeof values; ++v) {
                bytes[at] = (char)values[v];
                if (known(FILES[k].name, bytes, n, FILES[k].least)) read_bytes(FILES[k].read, bytes, n, said, sizeof said);
            }
            bytes[at] = was;
        }
        free(bytes);
    }
}

static void code_is_refused(void **state)
{
    (void)state;
    size_t n;
    char said[256], *bytes = load("system.pt", &n);
    assert_int_not_equal(read_bytes(torch_zip_read, bytes, n, said, sizeof said), 0);
    assert_non_null(strstr(said, "refuses global os.system"));
    assert_int_equal(access("evil", F_OK), -1);
    free(bytes);
    bytes = load("whole.pt", &n);
    assert_int_not_equal(read_bytes(torch_zip_read, bytes, n, said, sizeof said), 0);
    assert_non_null(strstr(said, "refuses global torch.nn.modules.linear.Linear"));
    free(bytes);
}

/* ---- pickles ---- */

#define STORAGE(count) "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpu" count "tQ"
#define TENSOR(storage, offset, size, stride) "ctorch._utils\n_rebuild_tensor_v2\n(" storage offset "(" size "t(" stride "t\x89}tR"
#define STRING_AND_SIZE(s) s, sizeof s - 1

static const struct { const char *bytes; size_t n; const char *message; } PICKLES[] = {
    { STRING_AND_SIZE("cos\nsystem\n(X\2\0\0\0lstR."), "refuses global os.system" },
    { STRING_AND_SIZE("X\2\0\0\0osX\6\0\0\0system\x93."), "refuses global os.system" },
    { STRING_AND_SIZE("cbuiltins\neval\n."), "refuses global builtins.eval" },
    { STRING_AND_SIZE("ctorch\nload\n."), "refuses global torch.load" },
    { STRING_AND_SIZE("c\33[2J\nx\n."), "refuses global ?[2J.x" },
    { STRING_AND_SIZE("ctorch\nFloatStorage\n)R."), "refuses to call that" },
    { STRING_AND_SIZE("N)R."), "refuses to call that" },
    { STRING_AND_SIZE("ccollections\nOrderedDict\n)\x81."), "refuses opcode NEWOBJ" },
    { STRING_AND_SIZE("cposix\nsystem\n)\x81."), "refuses global posix.system" },
    { STRING_AND_SIZE("cbuiltins\ngetattr\n."), "refuses global builtins.getattr" },
    { STRING_AND_SIZE("cbuiltins\nlist\n)R."), "refuses to call that" },
    { STRING_AND_SIZE("ctorch\nfloat32\n)R."), "refuses to call that" },
    { STRING_AND_SIZE("N)\x81."), "refuses opcode NEWOBJ" },
    { STRING_AND_SIZE("ctorch\nSize\n(K\1tR."), "a torch.Size of something odd" },
    { STRING_AND_SIZE("](K\1\x90."), "no set to add to" },
    { STRING_AND_SIZE("K\1\x91."), "no mark on the stack" },
    { STRING_AND_SIZE("(icollections\nOrderedDict\n."), "refuses opcode INST" },
    { STRING_AND_SIZE("\x82\1."), "refuses opcode EXT1" },
    { STRING_AND_SIZE("\xfe."), "refuses opcode 0xfe" },
    { STRING_AND_SIZE("]}b."), "refuses to set attributes" },
    { STRING_AND_SIZE("."), "nothing left on the stack" },
    { STRING_AND_SIZE("(."), "nothing left on the stack" },
    { STRING_AND_SIZE("N"), "it ends here" },
    { STRING_AND_SIZE("t."), "no mark on the stack" },
    { STRING_AND_SIZE("Nt."), "no mark on the stack" },
    { STRING_AND_SIZE("(\x85."), "nothing left on the stack" },
    { STRING_AND_SIZE("NN\x87."), "nothing left on the stack" },
    { STRING_AND_SIZE("(Nd."), "a key without a value" },
    { STRING_AND_SIZE("}(Nu."), "a key without a value" },
    { STRING_AND_SIZE("N(Ne."), "no list to add to" },
    { STRING_AND_SIZE("]N(a."), "nothing left on the stack" },
    { STRING_AND_SIZE("}NNNs."), "no dict to add to" },
    { STRING_AND_SIZE("0."), "nothing left on the stack" },
    { STRING_AND_SIZE("h\0."), "memo number 0 was never set" },
    { STRING_AND_SIZE("j\xff\xff\xff\xff."), "memo number 4294967295 was never set" },
    { STRING_AND_SIZE("Nr\xff\xff\xff\xff."), "memo number 4294967295 in a pickle of" },
    { STRING_AND_SIZE("q\0."), "nothing to remember" },
    { STRING_AND_SIZE("X\xff\xff\xff\xffx."), "it ends here, 4294967295 more bytes are wanted" },
    { STRING_AND_SIZE("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx."), "it ends here" },
    { STRING_AND_SIZE("\x8b\xff\xff\xff\x7f."), "a whole number of 2147483647 bytes" },
    { STRING_AND_SIZE("\x80\x63."), "protocol 99" },
    { STRING_AND_SIZE("cos"), "a name without an end" },
    { STRING_AND_SIZE("NQ."), "a persistent id that is no storage" },
    { STRING_AND_SIZE("(X\7\0\0\0storageNX\1\0\0\0" "0X\3\0\0\0cpuK\1tQ."), "a storage of an unknown type" },
    { STRING_AND_SIZE(STORAGE("J\xff\xff\xff\xff") "."), "without a key or a size" },
    { STRING_AND_SIZE(TENSOR("N", "K\0", "K\1", "K\1") "."), "a tensor without a storage" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "K\13", "K\1") "."), "a tensor of 11 from element 0 on does not fit its storage of 10" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\1", "K\12", "K\1") "."), "from element 1 on does not fit" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "J\xff\xff\xff\xff", "K\1", "K\1") "."), "no lists of whole numbers from 0" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "J\xff\xff\xff\xff", "K\1") "."), "no lists of whole numbers from 0" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "K\2", "J\xff\xff\xff\xff") "."), "no lists of whole numbers from 0" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "K\2K\2", "K\1") "."), "no lists of whole numbers from 0" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "NK\2", "K\1K\1") "."), "no lists of whole numbers from 0" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "K\1K\1K\1K\1K\1K\1K\1K\1K\1", "K\1K\1K\1K\1K\1K\1K\1K\1K\1") "."), "no lists of whole numbers" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\12", "K\144", "K\0") "."), "a tensor of 100 from element 10 on does not fit" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "\x8a\x8\0\0\0\0\0\0\0\x40\x8a\x8\0\0\0\0\0\0\0\x40", "K\1K\1") "."), "does not fit its storage" },
    { STRING_AND_SIZE(TENSOR(STORAGE("K\12"), "K\0", "K\3", "\x8a\x8\0\0\0\0\0\0\0\x7f") "."), "does not fit its storage" },
    { STRING_AND_SIZE("ctorch._utils\n_rebuild_parameter\n(N\x88}tR."), "a parameter without a tensor" },
    { STRING_AND_SIZE("ccollections\nOrderedDict\n(K\1tR."), "an OrderedDict of something odd" },
    { STRING_AND_SIZE("ccollections\nOrderedDict\n((K\1ttR."), "an OrderedDict of something odd" },
};

static void pickles_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof PICKLES / sizeof *PICKLES; ++i) {
        pickle p;
        diag *d = diag_new();
        unsigned char *copy = mem_calloc(PICKLES[i].n, 1);
        memcpy(copy, PICKLES[i].bytes, PICKLES[i].n);
        int failed = pickle_read("file", copy, PICKLES[i].n, &p, d);
        if (!failed) fail_msg("pickle %zu was read, expected: %s", i, PICKLES[i].message);
        assert_int_equal(diag_errors(d), 1);
        if (!strstr(diag_get(d, 0)->text, PICKLES[i].message)) fail_msg("pickle %zu: '%s', expected '%s'", i, diag_get(d, 0)->text, PICKLES[i].message);
        pickle_free(&p);
        diag_free(d);
        free(copy);
    }
}

/* Legacy files around an object's pickle: magic, protocol 1001, an empty dict, the object, keys, storages. */
static int read_object(const void *object, size_t n, const void *rest, size_t rest_n, char *said, size_t room)
{
    static const char before[] = "\x80\2\x8a\12\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2}.";
    char *bytes = mem_calloc(sizeof before - 1 + n + rest_n, 1);
    memcpy(bytes, before, sizeof before - 1);
    memcpy(bytes + sizeof before - 1, object, n);
    if (rest_n) memcpy(bytes + sizeof before - 1 + n, rest, rest_n);
    int failed = read_bytes(torch_legacy_read, bytes, sizeof before - 1 + n + rest_n, said, room);
    free(bytes);
    return failed;
}

static void loops_and_depth(void **state)
{
    (void)state;
    char said[256], deep[4001], many[64 * 8];
    size_t n = 0;
    /* a list that contains itself; a dict that does */
    assert_int_not_equal(read_object(STRING_AND_SIZE("]q\0h\0a."), STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "contain themselves"));
    assert_int_not_equal(read_object(STRING_AND_SIZE("}q\0X\5\0\0\0modelh\0s."), STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "contain themselves"));
    /* 2000 lists, each in the next */
    memset(deep, ']', 2000);
    memset(deep + 2000, 'a', 1999);
    deep[3999] = '.';
    assert_int_not_equal(read_object(deep, 4000, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "nested too deeply"));
    /* 30 lists, each holding the one before twice: a billion entries when walked */
    many[n++] = ']';
    for (int i = 0; i < 30; ++i) {
        many[n++] = 'q', many[n++] = (char)i;
        many[n++] = '0', many[n++] = ']', many[n++] = '(';
        many[n++] = 'h', many[n++] = (char)i, many[n++] = 'h', many[n++] = (char)i, many[n++] = 'e';
    }
    many[n++] = '.';
    assert_int_not_equal(read_object(many, n, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "more entries than any model"));
}

#define ONE_TENSOR "}X\1\0\0\0w" TENSOR(STORAGE("K\2"), "K\0", "K\2", "K\1") "s."
#define KEYS "](X\1\0\0\0" "0e."

/* A byte makes a list: more of them, or deeper, than any checkpoint has. */
static void values_of_a_pickle_are_bounded(void **state)
{
    (void)state;
    size_t n = 10000000;
    char said[256], *bytes = mem_calloc(n, 1);
    memset(bytes, ']', n);
    bytes[n - 1] = '.';
    assert_int_not_equal(read_object(bytes, n, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "a stack of more than 262144 values"));
    bytes[0] = ')';   /* tuples of a tuple */
    memset(bytes + 1, '\x85', n - 2);
    assert_int_not_equal(read_object(bytes, n, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "more values than a checkpoint of"));
    memset(bytes, ']', n - 1);
    for (size_t i = 1; i + 1 < n; i += 2) bytes[i] = '0';
    assert_int_not_equal(read_object(bytes, n, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "more values than a checkpoint of"));
    free(bytes);
}

static void legacy_storages(void **state)
{
    (void)state;
    static const struct { const char *rest; size_t n; const char *message; } rows[] = {
        { STRING_AND_SIZE(KEYS "\2\0\0\0\0\0\0\0" "12345678"), "" },
        { STRING_AND_SIZE(KEYS "\2\0\0\0\0\0\0\0" "1234567"), "it ends before its last storage" },
        { STRING_AND_SIZE(KEYS "\2\0\0\0"), "it ends before its last storage" },
        { STRING_AND_SIZE(KEYS "\2\0\0\0\0\0\0\x40" "12345678"), "it ends before its last storage" },
        { STRING_AND_SIZE(KEYS "\1\0\0\0\0\0\0\0" "12345678"), "a storage has two sizes" },
        { STRING_AND_SIZE("]."), "a tensor's storage is not in it" },
        { STRING_AND_SIZE("N."), "no list of storages" },
        { STRING_AND_SIZE("](X\1\0\0\0" "1e.\2\0\0\0\0\0\0\0" "12345678"), "its list of storages is not that of its tensors" },
        { STRING_AND_SIZE("](X\1\0\0\0" "0X\1\0\0\0" "0e.\2\0\0\0\0\0\0\0" "12345678" "\2\0\0\0\0\0\0\0" "12345678"), "its list of storages" },
        { STRING_AND_SIZE("](Ne.\2\0\0\0\0\0\0\0" "12345678"), "its list of storages" },
    };
    char said[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        int failed = read_object(STRING_AND_SIZE(ONE_TENSOR), rows[i].rest, rows[i].n, said, sizeof said);
        assert_int_equal(failed != 0, *rows[i].message != 0);
        if (!strstr(said, rows[i].message)) fail_msg("row %zu: '%s', expected '%s'", i, said, rows[i].message);
    }
}

/* One storage, many tensors of all of it: more values than the file has bytes. */
static void values_are_bounded(void **state)
{
    (void)state;
    char *object = NULL, said[256];
    size_t n;
    FILE *f = open_memstream(&object, &n);
    static const char storage[] = STORAGE("M\xe8\3") "q\1" "0", view[] = "ctorch._utils\n_rebuild_tensor_v2\n(h\1K\0(M\xe8\3t(K\1t\x89}tR";
    fwrite(storage, 1, sizeof storage - 1, f);
    fputc('}', f);
    for (int i = 0; i < 100; ++i) {
        fprintf(f, "K%c", i);
        fwrite(view, 1, sizeof view - 1, f);
        fputc('s', f);
    }
    fputc('.', f);
    fclose(f);
    char rest[sizeof KEYS - 1 + 8 + 4000] = KEYS "\xe8\3";
    assert_int_not_equal(read_object(object, n, rest, sizeof rest, said, sizeof said), 0);
    assert_non_null(strstr(said, "is larger than a file of"));
    free(object);
}

/* A key of 1000 letters that stands once, 20 dicts deep: each tensor's name has it 20 times. */
static void names_are_bounded(void **state)
{
    (void)state;
    char *object = NULL, said[256];
    size_t n;
    FILE *f = open_memstream(&object, &n);
    static const char storage[] = STORAGE("M\xe8\3") "q\1" "0", view[] = "ctorch._utils\n_rebuild_tensor_v2\n(h\1K\0(K\0t(K\1t\x89}tR";
    fwrite(storage, 1, sizeof storage - 1, f);
    fwrite("X\xe8\3\0\0", 1, 5, f);
    for (int i = 0; i < 1000; ++i) fputc('k', f);
    fwrite("q\2" "0", 1, 3, f);
    for (int i = 0; i < 20; ++i) fwrite("}h\2", 1, 3, f);
    fputc('}', f);
    for (int i = 0; i < 100; ++i) {
        fprintf(f, "K%c", i);
        fwrite(view, 1, sizeof view - 1, f);
        fputc('s', f);
    }
    for (int i = 0; i < 20; ++i) fputc('s', f);
    fputc('.', f);
    fclose(f);
    char rest[sizeof KEYS - 1 + 8 + 4000] = KEYS "\xe8\3";
    assert_int_not_equal(read_object(object, n, rest, sizeof rest, said, sizeof said), 0);
    if (!strstr(said, "longer names than a file of")) fail_msg("%s", said);
    free(object);
}

/* A list of 50 pairs, from which a dict is made again and again: 7 bytes a time. */
static void copies_are_bounded(void **state)
{
    (void)state;
    char *object = NULL, said[256];
    size_t n;
    FILE *f = open_memstream(&object, &n);
    fwrite("ccollections\nOrderedDict\nq\2" "0NN\x86q\1" "0](", 1, sizeof "ccollections\nOrderedDict\nq\2" "0NN\x86q\1" "0](" - 1, f);
    for (int i = 0; i < 50; ++i) fwrite("h\1", 1, 2, f);
    fwrite("eq\0", 1, 3, f);
    for (int i = 0; i < 1000; ++i) fwrite("h\2h\0\x85R0", 1, 7, f);
    fputc('.', f);
    fclose(f);
    assert_int_not_equal(read_object(object, n, STRING_AND_SIZE("]."), said, sizeof said), 0);
    assert_non_null(strstr(said, "more copies of a list than its bytes explain"));
    free(object);
}

/* ---- safetensors ---- */

static void safetensors_headers(void **state)
{
    (void)state;
    static const struct { const char *json, *message; } rows[] = {
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "tensor 'w' is 2 of F32 but bytes 0 to 4 of 8 are its place" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", "bytes 4 to 12 of 8" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "bytes 8 to 0 of 8" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}", "are its place" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387906],\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "that can be read" },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", "that can be read" },
        { "{\"w\":7}", "that can be read" },
        { "{\"w\":", "is no JSON object" },
        { "{\"\\u001b[2J\":{}}", "tensor '?[2J' has no dtype" },
    };
    char said[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        uint64_t n = strlen(rows[i].json);
        char *bytes = mem_calloc(8 + n + 8, 1);
        memcpy(bytes, &n, 8);
        memcpy(bytes + 8, rows[i].json, n);
        int failed = read_bytes(safetensors_read, bytes, 8 + n + 8, said, sizeof said);
        assert_int_equal(failed != 0, *rows[i].message != 0);
        if (!strstr(said, rows[i].message)) fail_msg("row %zu: '%s', expected '%s'", i, said, rows[i].message);
        free(bytes);
    }
}

/* ---- whole files ---- */

static void odd_files(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t n; const char *message; } rows[] = {
        { STRING_AND_SIZE(""), "is no PyTorch checkpoint" },
        { STRING_AND_SIZE("\0\0\0\0\2\0\0\0\0\0\0\0"), "is no PyTorch checkpoint" },
        { STRING_AND_SIZE("PK\3\4"), "broken zip archive" },
        { STRING_AND_SIZE("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "is no PyTorch checkpoint" },
        { STRING_AND_SIZE("\2\0\0\0\0\0\0\0{}"), "without any tensor" },
#ifdef ONNX
        { STRING_AND_SIZE("\10\10"), "cannot be parsed" }, { STRING_AND_SIZE("\10\10\72\0"), "without any tensor" },
#else
        { STRING_AND_SIZE("\10\10"), "built without ONNX" },
#endif
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        diag *d = diag_new();
        check_write("file", rows[i].bytes, rows[i].n);
        assert_null(named_tensors_read("file", d));
        if (!strstr(diag_get(d, 0)->text, rows[i].message)) fail_msg("row %zu: '%s', expected '%s'", i, diag_get(d, 0)->text, rows[i].message);
        diag_free(d);
    }
    diag *d = diag_new();
    assert_null(named_tensors_read(".", d));
    assert_null(named_tensors_read("none", d));
    assert_int_equal(diag_errors(d), 2);
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length), cmocka_unit_test(every_byte), cmocka_unit_test(code_is_refused),
        cmocka_unit_test(pickles_are_refused), cmocka_unit_test(loops_and_depth), cmocka_unit_test(legacy_storages),
        cmocka_unit_test(values_of_a_pickle_are_bounded),
        cmocka_unit_test(values_are_bounded), cmocka_unit_test(names_are_bounded), cmocka_unit_test(copies_are_bounded),
        cmocka_unit_test(safetensors_headers), cmocka_unit_test(odd_files),
    };
    network_init();
    if (!realpath("tests/fixtures/import", fixtures) || chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
