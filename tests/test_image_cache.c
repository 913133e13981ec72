/* The cache of decoded images: the same pixels and batches with it and without, what it refuses, damage, a full disk, a
 * second writer. */
#include "check_data.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/data/image_cache.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/loader.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { IMAGES = 6, W = 40, H = 24, HEADER = 4096, BLOCK = 65536 };

static const char *file(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", check_folder(), name);
    return path;
}

/* Writes image i of that look, and makes it older than any clock's tick. */
static void write_image(int i, int look)
{
    static const char *const kind[] = { "jpg", "png" };
    uint8_t in[W * H * 3];
    char name[40];
    rng r = rng_make(1, (uint64_t)i, (uint64_t)look, RNG_TEST);
    for (int k = 0; k < W * H * 3; ++k) in[k] = (uint8_t)(k / 30 + i * 9 + (int)rng_below(&r, 30));
    snprintf(name, sizeof name, "i%d.%s", i, kind[i % 2]);
    assert_int_equal(image_write(file(name), in, W, H, 3), 0);
    struct timeval old[2] = { { 1600000000 + 100 * look, 0 }, { 1600000000 + 100 * look, 0 } };
    assert_int_equal(utimes(file(name), old), 0);
}

/* The list of all, opened. */
static dataset *open_images(void)
{
    char text[4000] = "", data[900];
    for (int i = 0; i < IMAGES; ++i) {
        char name[40];
        snprintf(name, sizeof name, "i%d.%s", i, i % 2 ? "png" : "jpg");
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s %d\n", file(name), i % 2);
    }
    data_put_text("images.list", text);
    snprintf(data, sizeof data, "classes=2\ntrain=%s\n", file("images.list"));
    return data_must_open(data, 0, DATA_CLASSES);
}

static image_cache *open_cache(const char *name)
{
    diag *d = diag_new();
    image_cache *cache = image_cache_open(file(name), 1, d);
    check_no_errors(d);
    assert_non_null(cache);
    diag_free(d);
    return cache;
}

static void refuse_cache(const char *name, const char *message)
{
    diag *d = diag_new();
    assert_null(image_cache_open(file(name), 1, d));
    data_expect(d, message);
    diag_free(d);
}

/* Image i, the caller's to free. */
static image_pixels must_read(const dataset *set, size_t i, int channels)
{
    image_pixels image;
    char why[300] = "";
    if (dataset_read(set, i, channels, &image.pixels, &image.w, &image.h, why, sizeof why)) fail_msg("%zu: %s", i, why);
    return image;
}

/* A pass over all images: those of a cache, which are the same as without. Then how often it was asked. */
static image_cache_count check_pass(image_cache *cache, int channels)
{
    dataset *plain = open_images(), *cached = open_images();
    dataset_use_cache(cached, cache, 0);
    for (size_t i = 0; i < IMAGES; ++i) {
        image_pixels want = must_read(plain, i, channels), got = must_read(cached, i, channels);
        assert_int_equal(got.w, want.w), assert_int_equal(got.h, want.h);
        assert_memory_equal(got.pixels, want.pixels, (size_t)(want.w * want.h * channels));
        data_print one = dataset_print(plain, i), other = dataset_print(cached, i);
        assert_true(one.hash && one.hash == other.hash);
        free(want.pixels), free(got.pixels);
    }
    dataset_free(plain), dataset_free(cached);
    return image_cache_counts(cache);
}

static void write_images(void)
{
    for (int i = 0; i < IMAGES; ++i) write_image(i, 0);
    usleep(30000);   /* when an inode changed cannot be set */
}

static void kept_once_and_read_back(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("folder/made/one");
    image_cache_count c = check_pass(cache, 3);
    assert_true(c.missed == IMAGES && c.read == 0 && c.images == IMAGES);
    c = check_pass(cache, 3);
    assert_true(c.missed == IMAGES && c.read == IMAGES && c.images == IMAGES);
    c = check_pass(cache, 1);    /* another kind */
    assert_true(c.missed == 2 * IMAGES && c.images == 2 * IMAGES);
    image_cache_close(cache);
    cache = open_cache("folder/made/one");
    check_pass(cache, 1);
    c = check_pass(cache, 3);
    assert_true(c.missed == 0 && c.read == 2 * IMAGES && c.images == 2 * IMAGES && c.damaged == 0);
    image_cache_close(cache);
}

/* What a file holds counts, not its times or its name; another picture is decoded. */
static void contents_decide(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("contents");
    check_pass(cache, 3);
    image_cache_close(cache);
    struct timeval later[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
    assert_int_equal(utimes(file("i0.jpg"), later), 0);
    write_image(2, 1);
    usleep(30000);
    cache = open_cache("contents");
    image_cache_count c = check_pass(cache, 3);
    assert_true(c.missed == 1 && c.read == IMAGES - 1 && c.images == IMAGES + 1);
    dataset *set = open_images();    /* within one run another picture is an error, as without a cache */
    dataset_use_cache(set, cache, 0);
    image_pixels image = must_read(set, 4, 3);
    free(image.pixels);
    write_image(4, 1);
    char why[300];
    assert_int_equal(dataset_read(set, 4, 3, &image.pixels, &image.w, &image.h, why, sizeof why), DATA_CHANGED);
    assert_null(image.pixels);
    dataset_free(set);
    image_cache_close(cache);
}

/* Batches of training, whoever has decoded them. */
static void batches_are_the_same(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("batches");
    dataset *plain = open_images(), *cached = open_images();
    dataset_use_cache(cached, cache, 0);
    loader_options o = { .data = plain, .how = LOAD_TRAIN, .batch = 4, .c = 3, .h = 16, .w = 16, .threads = 2,
                         .augment = { .flip = 1, .min_crop = 16, .max_crop = 24, .angle = 7, .aspect = 1.1f, .hue = .1f, .saturation = 1.5f, .exposure = 1.5f, .any = 1 } };
    diag *d = diag_new();
    loader *one = loader_start(&o, d);
    o.data = cached;
    loader *other = loader_start(&o, d);
    for (int i = 0; i < 9; ++i) {
        const batch *want = loader_next(one, d), *got = loader_next(other, d);
        check_no_errors(d);
        assert_memory_equal(got->x, want->x, 4 * 3 * 16 * 16 * sizeof(float));
        assert_memory_equal(got->index, want->index, 4 * sizeof *want->index);
    }
    loader_stop(one), loader_stop(other);
    assert_true(image_cache_counts(cache).read > 3 * IMAGES);
    dataset_free(plain), dataset_free(cached);
    image_cache_close(cache);
    diag_free(d);
}

/* Shrunk images are others: kept apart, and another data set to caches of features and to checkpoints. */
static void shrunk_images(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("shrunk");
    check_pass(cache, 3);
    dataset *plain = open_images(), *small = open_images();
    dataset_use_cache(small, cache, 12);
    assert_true(dataset_identity(small) != dataset_identity(plain));
    for (int pass = 0; pass < 2; ++pass) {
        image_pixels image = must_read(small, 1, 3), whole = must_read(plain, 1, 3);
        assert_true(image.w == 20 && image.h == 12 && whole.w == W && whole.h == H);
        for (int i = 0; i < 20 * 12 * 3; ++i) {   /* each pixel is the mean of four */
            int x = i / 3 % 20, y = i / 60, k = i % 3, sum = 0;
            for (int n = 0; n < 4; ++n) sum += whole.pixels[((2 * y + n / 2) * W + 2 * x + n % 2) * 3 + k];
            if (abs(4 * image.pixels[i] - sum) > 2) fail_msg("pixel %d: %d, a quarter of %d", i, image.pixels[i], sum);
        }
        free(image.pixels), free(whole.pixels);
    }
    image_cache_count c = image_cache_counts(cache);
    assert_true(c.images == IMAGES + 1 && c.read == 1);
    dataset_free(plain), dataset_free(small);
    image_cache_close(cache);
    data_refuse("classes=2\ntrain=x\nimage_cache_side=100\n", "image_cache_side=100 without image_cache=");
}

static image_pixels one_pixel(uint64_t i)
{
    static uint8_t pixel[3];
    for (int k = 0; k < 3; ++k) pixel[k] = (uint8_t)(i >> 8 * k);
    return (image_pixels){ pixel, 1, 1 };
}

/* More than a block names. */
static void many_images(void **unused)
{
    (void)unused;
    enum { N = 1300 };
    image_kind kind = { 3, 0 };
    image_cache *cache = open_cache("many");
    for (uint64_t i = 1; i <= N; ++i) {
        image_pixels image = one_pixel(i);
        data_print print = { .hash = i, .inode = i };
        image_cache_put(cache, &print, kind, &image);
        image_cache_put(cache, &print, kind, &image);    /* is there */
        if (i % 300 == 0) image_cache_close(cache), cache = open_cache("many");
    }
    assert_int_equal(image_cache_counts(cache).images, N);
    image_cache_close(cache);
    cache = open_cache("many");
    for (uint64_t i = 1; i <= N; ++i) {
        image_pixels got, want = one_pixel(i);
        data_print print = { .inode = i };
        assert_true(image_cache_know(cache, &print) && print.hash == i);
        assert_int_equal(image_cache_get(cache, &print, kind, &got), 1);
        assert_memory_equal(got.pixels, want.pixels, 3);
        free(got.pixels);
    }
    image_cache_close(cache);
}

/* Bytes changed and ends cut off, anywhere: a message, or the right pixels. */
static void damage(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("whole");
    check_pass(cache, 3);
    image_cache_close(cache);
    size_t n;
    char *bytes = check_read(file("whole"), &n);
    rng r = rng_make(9, 0, 0, RNG_TEST);
    int refused = 0;
    for (int trial = 0; trial < 60; ++trial) {
        static const size_t border[] = { 60, HEADER + 128 * (IMAGES + 1), 1 << 30 };
        char *damaged = mem_calloc(n, 1);
        memcpy(damaged, bytes, n);
        size_t most = border[trial % 3] < n ? border[trial % 3] : n, from = trial % 3 == 1 ? HEADER : 0;
        for (int i = 0; i < 3; ++i) damaged[from + rng_below(&r, most - from)] ^= (char)(1 + rng_below(&r, 255));
        check_write(file("damaged"), trial % 4 ? damaged : bytes, trial % 4 ? n : rng_below(&r, n));
        free(damaged);
        diag *d = diag_new();
        cache = image_cache_open(file("damaged"), 1, d);
        if (cache) check_pass(cache, 3), check_pass(cache, 3);
        else assert_true(diag_errors(d) > 0);
        refused += !cache;
        if (cache) assert_true(image_cache_counts(cache).images >= IMAGES);    /* what was damaged is made again */
        image_cache_close(cache);
        diag_free(d);
    }
    assert_true(refused > 3 && refused < 57);
    free(bytes);
}

static void refuses_what_is_none(void **unused)
{
    (void)unused;
    data_put_text("text", "classes=2\n");
    refuse_cache("text", "is not an image cache");
    refuse_cache(".", "Is a directory");
    image_cache_close(open_cache("other"));
    size_t n;
    char *bytes = check_read(file("other"), &n), *version = strstr(bytes, "OpenCV ");
    assert_non_null(version);
    version[7] = '3';
    check_write(file("other"), bytes, n);
    free(bytes);
    refuse_cache("other", "was made with decoder=OpenCV 3");
    diag *d = diag_new();            /* what the command reads is not overwritten */
    in_file_note(file("text"), d);
    assert_null(image_cache_open(file("text"), 1, d));
    diag_free(d);
}

/* A file-size limit stands for the full disk. */
static void a_full_disk_ends_the_storing_only(void **unused)
{
    (void)unused;
    write_images();
    image_cache *cache = open_cache("full");
    struct rlimit old, tight = { HEADER + BLOCK + 2 * W * H * 3 + 300, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    image_cache_count c = check_pass(cache, 3);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(c.images, 2);
    diag *d = diag_new();
    image_cache_trouble(cache, d);
    data_expect(d, "cannot be written any more: File too large");
    image_cache_trouble(cache, d);
    assert_int_equal(diag_count(d), 1);
    assert_int_equal(diag_errors(d), 0);
    c = check_pass(cache, 3);
    assert_true(c.images == 2 && c.read == 2);
    diag_free(d);
    image_cache_close(cache);
}

static void one_writer_many_readers(void **unused)
{
    (void)unused;
    write_images();
    image_cache *writer = open_cache("two");
    check_pass(writer, 3);
    diag *d = diag_new();
    image_cache *second = image_cache_open(file("two"), 1, d), *reader = image_cache_open(file("two"), 0, d);
    data_expect(d, "another process is filling it");
    assert_int_equal(diag_count(d), 1);
    for (int i = 0; i < 2; ++i) {
        image_cache_count c = check_pass(i ? second : reader, 3);
        assert_true(c.read == IMAGES && c.missed == 0);
        c = check_pass(i ? second : reader, 1);
        assert_true(c.missed == IMAGES && c.images == IMAGES);
    }
    image_cache_close(writer), image_cache_close(second), image_cache_close(reader);
    image_cache *none = image_cache_open(file("nowhere"), 0, d);    /* nothing to read, and nothing is made */
    assert_non_null(none);
    assert_int_equal(check_pass(none, 3).images, 0);
    assert_int_equal(access(file("nowhere"), F_OK), -1);
    image_cache_close(none);
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_once_and_read_back), cmocka_unit_test(contents_decide), cmocka_unit_test(batches_are_the_same),
        cmocka_unit_test(shrunk_images), cmocka_unit_test(many_images), cmocka_unit_test(damage), cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(a_full_disk_ends_the_storing_only), cmocka_unit_test(one_writer_many_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
