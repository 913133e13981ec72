/* The feature cache: stored types, records, what it refuses, damage, a full disk, a second writer. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/feature_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- stored types ---- */

/* The half's value in doubles, from the definition. */
static double half_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void every_half_comes_back(void **unused)
{
    (void)unused;
    for (uint32_t h = 0; h < 65536; ++h) {
        if ((h >> 10 & 31) == 31) continue;   /* infinities and NaN are never stored */
        double v = half_value((uint16_t)h);
        assert_true(feature_from_half((uint16_t)h) == v);
        assert_int_equal(feature_to_half((float)v), h);
    }
}

/* Between two neighbours the nearer one, at the middle the even one. */
static void halves_round_to_nearest(void **unused)
{
    (void)unused;
    for (uint16_t h = 0; h < 0x7bff; ++h) {
        float low = (float)half_value(h), high = (float)half_value((uint16_t)(h + 1)), middle = (low + high) / 2;
        assert_int_equal(feature_to_half(nextafterf(middle, low)), h);
        assert_int_equal(feature_to_half(nextafterf(middle, high)), h + 1);
        assert_int_equal(feature_to_half(middle), h + (h & 1));
        assert_int_equal(feature_to_half(-middle), 0x8000 | (h + (h & 1)));
    }
    assert_int_equal(feature_to_half(1e9f), 0x7bff);
    assert_int_equal(feature_to_half(-1e9f), 0xfbff);
}

static void types_keep_their_bounds(void **unused)
{
    (void)unused;
    enum { C = 5, HW = 7 };
    float x[C * HW];
    check_fill(x, C * HW, 1);
    for (int i = 0; i < HW; ++i) x[HW + i] = 3;   /* a channel without a range */
    for (int t = 0; t < FEATURE_TYPES; ++t) {
        size_t bytes = feature_bytes((feature_type)t, C, HW);
        assert_int_equal(bytes % 64, 0);
        void *to = mem_aligned(bytes, 1);
        assert_int_equal(feature_store((feature_type)t, x, C, HW, to), 0);
        feature_map m = feature_stored((feature_type)t, C, to);
        for (size_t i = 0; i < C * HW; ++i) {
            double got = feature_value(m.values, m.range, m.type, i / HW, i), bound = 0;
            if (t == FEATURE_F16) bound = fabs(x[i]) * 0x1p-11;
            if (t == FEATURE_U8) bound = m.range[i / HW * 2 + 1] / 2 * (1 + 1e-5);
            if (!(fabs(got - x[i]) <= bound)) fail_msg("%s: %g stored as %g", feature_type_name((feature_type)t), x[i], got);
        }
        x[3] = NAN;
        assert_int_equal(feature_store((feature_type)t, x, C, HW, to), -1);
        x[3] = INFINITY;
        assert_int_equal(feature_store((feature_type)t, x, C, HW, to), -1);
        x[3] = .5f;
        free(to);
    }
}

/* ---- the file ---- */

static feature_cache_spec spec_of(const char *key)
{
    return (feature_cache_spec){ .key = key, .type = FEATURE_F16, .taps = 2, .tap = { { 3, 4, 4 }, { 5, 2, 2 } }, .count = 20, .views = 2 };
}

static const char *file(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", check_folder(), name);
    return path;
}

static feature_cache *open_cache(const char *name, const feature_cache_spec *s)
{
    diag *d = diag_new();
    feature_cache *c = feature_cache_open(file(name), s, d);
    check_no_errors(d);
    assert_non_null(c);
    diag_free(d);
    return c;
}

/* Map x of tap 0 is noise; map y of tap 1 and, for even images, most of x are zeros, so that some records are packed. */
static void fill_maps(float x[48], float y[20], uint64_t view, uint64_t image)
{
    check_fill(x, 48, view * 100 + image);
    for (int i = 0; i < 48 && image % 2 == 0; ++i) x[i] = i < 4 ? x[i] : 0;
    for (int i = 0; i < 20; ++i) y[i] = (float)image;
}

static void put(feature_cache *c, uint64_t view, uint64_t image)
{
    float x[48], y[20];
    char *maps = mem_aligned(feature_cache_maps_bytes(c), 1);
    void *packed = mem_aligned(feature_cache_packed_room(c), 1);
    diag *d = diag_new();
    fill_maps(x, y, view, image);
    assert_int_equal(feature_store(FEATURE_F16, x, 3, 16, maps + feature_cache_at(c, 0)), 0);
    assert_int_equal(feature_store(FEATURE_F16, y, 5, 4, maps + feature_cache_at(c, 1)), 0);
    feature_cache_put(c, view, image, packed, feature_cache_pack(c, view, image, 0, maps, packed), d);
    check_no_errors(d);
    diag_free(d);
    free(maps);
    free(packed);
}

static void check_record(feature_cache *c, uint64_t view, uint64_t image)
{
    float x[48], y[20];
    feature_map m[2];
    void *room = mem_aligned(feature_cache_maps_bytes(c), 1);
    fill_maps(x, y, view, image);
    assert_int_equal(feature_cache_get(c, view, image, 0, room, m), 1);
    assert_int_equal((uintptr_t)m[0].values % 64, 0);
    for (size_t i = 0; i < 48; ++i) check_close(feature_value(m[0].values, NULL, FEATURE_F16, 0, i), x[i], 5e-4, "first tap", i);
    for (size_t i = 0; i < 20; ++i) check_close(feature_value(m[1].values, NULL, FEATURE_F16, 0, i), y[i], 5e-4, "second tap", i);
    feature_cache_done(c, 1 << 20);   /* so many that pages go */
    free(room);
}

static int get(feature_cache *c, uint64_t view, uint64_t image)
{
    feature_map m[2];
    void *room = mem_aligned(feature_cache_maps_bytes(c), 1);
    int found = feature_cache_get(c, view, image, 0, room, m);
    free(room);
    return found;
}

static void records_come_back(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("a=1\nb=2\n");
    feature_cache *c = open_cache("back", &s);
    assert_int_equal(feature_cache_missing(c), 40);
    assert_int_equal(get(c, 1, 7), 0);
    put(c, 1, 7);
    put(c, 0, 0);
    put(c, 1, 19);
    check_record(c, 1, 7);
    feature_cache_close(c);
    c = open_cache("back", &s);   /* again, by another opening */
    check_record(c, 0, 0);
    check_record(c, 1, 7);
    check_record(c, 1, 19);
    assert_int_equal(feature_cache_missing(c), 37);
    size_t maps = feature_cache_maps_bytes(c), raw = 4096 + 40 * 16 + 3 * (64 + maps);
    assert_true(feature_cache_file_bytes(c) < raw);   /* image 0 was packed */
    feature_cache_close(c);
}

/* What ranks have added: records that the cache lacks, and not those that are damaged. */
static void a_shard_is_taken(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("k=3\n");
    feature_cache *c = open_cache("whole", &s);
    s.use = CACHE_SHARD;
    feature_cache *shard = open_cache("whole.rank1", &s);
    put(c, 0, 2);
    put(shard, 0, 2);
    put(shard, 1, 4);
    put(shard, 1, 5);
    size_t end = feature_cache_file_bytes(shard);
    int fd = open(file("whole.rank1"), O_RDWR);
    assert_int_equal(pwrite(fd, "\xff\xff", 2, (off_t)end - 2), 2);   /* of the last record */
    close(fd);
    diag *d = diag_new();
    feature_cache_take(c, shard, d);
    check_no_errors(d);
    diag_free(d);
    feature_cache_close(shard);
    check_record(c, 0, 2);
    check_record(c, 1, 4);
    assert_int_equal(get(c, 1, 5), 0);
    s.use = CACHE_READ;
    feature_cache *reader = open_cache("whole", &s);   /* while it is written to, without a warning */
    assert_false(feature_cache_writes(reader));
    check_record(reader, 1, 4);
    feature_cache_close(reader);
    feature_cache_close(c);
}

/* Opening fails and says `text`. */
static void check_refused(const char *name, const feature_cache_spec *s, const char *text)
{
    diag *d = diag_new();
    assert_null(feature_cache_open(file(name), s, d));
    assert_true(diag_errors(d) > 0);
    char *said = NULL;
    size_t len;
    FILE *f = open_memstream(&said, &len);
    diag_print(d, f);
    fclose(f);
    if (!strstr(said, text)) fail_msg("no '%s' in: %s", text, said);
    free(said);
    diag_free(d);
}

static void others_are_refused(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("teacher=abc\nviews=2\n"), other = spec_of("teacher=abd\nviews=2\n"), longer = spec_of("teacher=abc\nviews=2\nmore=1\n");
    feature_cache_close(open_cache("key", &s));
    check_refused("key", &other, "was made with teacher=abc, this run has teacher=abd");
    check_refused("key", &longer, "another version");
    assert_int_equal(truncate(file("key"), 4200), 0);
    check_refused("key", &s, "it was cut");
    assert_int_equal(truncate(file("key"), 4096), 0);   /* whoever made it was killed behind its header */
    feature_cache_close(open_cache("key", &s));
    feature_cache_close(open_cache("key", &s));
    check_write(file("text"), "hello\n", 6);
    check_refused("text", &s, "is not a feature cache");
    check_refused("", &s, ": ");   /* the folder itself */
    check_refused("no/such/folder", &s, "No such file or directory");
    other = spec_of("a=1\n");
    other.count = (uint64_t)1 << 36;
    check_refused("large", &other, "GB free");
    assert_int_not_equal(access(file("large"), F_OK), 0);
    other.count = UINT64_MAX / 2;
    check_refused("larger", &other, "are too many");
}

static void poke(const char *name, long at, int byte)
{
    FILE *f = fopen(file(name), "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    fputc(byte, f);
    assert_int_equal(fclose(f), 0);
}

static void damage_is_found(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("a=1\n");
    feature_cache *c = open_cache("damage", &s);
    long at[8], end = 4096 + 40 * 16;
    for (uint64_t i = 0; i < 8; ++i) {
        put(c, 0, i);
        at[i] = (end + 63) / 64 * 64;
        end = (long)feature_cache_file_bytes(c);
    }
    feature_cache_close(c);
    poke("damage", at[0] + 64 + 11, 77);              /* a byte of image 0's packed maps */
    poke("damage", at[1] + 64 + 11, 77);              /* and of image 1's plain ones */
    poke("damage", at[2] + 8, 9);                     /* image 2's head names another image */
    poke("damage", at[3], 0);                         /* image 3's mark */
    poke("damage", 4096 + 4 * 16, 1);                 /* image 4's index entry is off the grid */
    poke("damage", 4096 + 5 * 16 + 5, 99);            /* image 5's points behind the end */
    poke("damage", 4096 + 6 * 16 + 8 + 7, 255);       /* image 6's says that it is huge */
    c = open_cache("damage", &s);
    for (uint64_t i = 0; i < 7; ++i) assert_int_equal(get(c, 0, i), -1);
    assert_int_equal(get(c, 0, 8), 0);
    check_record(c, 0, 7);
    for (uint64_t i = 0; i < 7; ++i) put(c, 0, i);    /* made again */
    for (uint64_t i = 0; i < 8; ++i) check_record(c, 0, i);
    feature_cache_close(c);
}

/* A file-size limit stands for the full disk. */
static void a_full_disk_ends_the_writing_only(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("a=1\n");
    feature_cache *c = open_cache("full", &s);
    struct rlimit old, tight = { 4096 + 40 * 16 + 10, RLIM_INFINITY };
    void *maps = mem_aligned(feature_cache_maps_bytes(c), 1), *packed = mem_aligned(feature_cache_packed_room(c), 1);
    size_t bytes = feature_cache_pack(c, 0, 5, 0, maps, packed);
    diag *d = diag_new();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    feature_cache_put(c, 0, 5, packed, bytes, d);
    feature_cache_put(c, 0, 6, packed, bytes, d);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(diag_errors(d), 0);      /* one warning, and the run goes on */
    assert_int_equal(feature_cache_has(c, 0, 5), 0);
    feature_cache_put(c, 0, 7, packed, bytes, d);
    assert_int_equal(feature_cache_has(c, 0, 7), 0);
    feature_cache_close(c);
    diag_free(d);
    free(maps);
    free(packed);
}

static void one_writer_many_readers(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("a=1\n");
    feature_cache *first = open_cache("two", &s);
    put(first, 0, 3);
    pid_t child = fork();
    if (!child) {   /* flock belongs to the opening: another one, even in a child, is another holder */
        diag *d = diag_new();
        feature_cache *c = feature_cache_open(file("two"), &s, d);
        if (!c || diag_errors(d) || get(c, 0, 3) != 1) _exit(1);
        put(c, 0, 4);
        int wrote = feature_cache_has(c, 0, 4);
        feature_cache_close(c);
        feature_cache_close(first);
        diag_free(d);
        _exit(wrote ? 2 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    put(first, 0, 4);
    check_record(first, 0, 4);
    feature_cache_close(first);
}

/* A file that someone cuts while it is used: records are gone, nothing ends in SIGBUS. */
static void a_file_that_shrinks(void **unused)
{
    (void)unused;
    const feature_cache_spec s = spec_of("a=1\n");
    feature_cache *c = open_cache("shrinks", &s);
    void *room = mem_aligned(feature_cache_maps_bytes(c), 1);
    feature_map maps[FEATURE_TAPS];
    put(c, 0, 3);
    put(c, 1, 4);
    assert_int_equal(feature_cache_get(c, 1, 4, 0, room, maps), 1);
    assert_int_equal(truncate(file("shrinks"), 4096 + 20 * 2 * 16 + 10), 0);
    assert_int_equal(feature_cache_get(c, 1, 4, 0, room, maps), -1);
    assert_int_equal(truncate(file("shrinks"), 0), 0);
    assert_int_equal(feature_cache_get(c, 0, 3, 0, room, maps), 0);
    assert_int_equal(feature_cache_missing(c), 40);
    feature_cache_close(c);
    free(room);
}

/* Prints are kept; a record of another image is none. */
static void prints_are_kept(void **unused)
{
    (void)unused;
    feature_cache_spec s = spec_of("a=1\n");
    s.prints = 1;
    data_print want = { .hash = 77, .inode = 3, .bytes = 4, .modified = 5, .changed = 6 }, got[20];
    feature_cache *c = open_cache("prints", &s);
    diag *d = diag_new();
    feature_cache_keep_print(c, 19, &want, d);
    feature_cache_keep_print(c, 18, &(data_print){ .inode = 1 }, d);   /* nothing is known */
    put(c, 1, 19);
    feature_cache_close(c);
    c = open_cache("prints", &s);
    feature_cache_prints(c, got);
    assert_memory_equal(&got[19], &want, sizeof want);
    for (int i = 0; i < 19; ++i) assert_true(got[i].hash == 0);
    void *room = mem_aligned(feature_cache_maps_bytes(c), 1);
    feature_map maps[FEATURE_TAPS];
    assert_int_equal(feature_cache_get(c, 1, 19, 0, room, maps), 1);
    assert_int_equal(feature_cache_get(c, 1, 19, 77, room, maps), -1);
    feature_cache_close(c);
    int fd = open(file("prints"), O_RDWR);   /* a plug pulled while it was written */
    const off_t at = 4096 + 20 * 2 * 16 + 19 * 64;
    assert_int_equal(pwrite(fd, "x", 1, at), 1);
    close(fd);
    c = open_cache("prints", &s);
    feature_cache_prints(c, got);
    assert_true(got[19].hash == 0);
    feature_cache_close(c);
    check_no_errors(d);
    diag_free(d);
    free(room);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_are_kept),
        cmocka_unit_test(a_file_that_shrinks),
        cmocka_unit_test(every_half_comes_back), cmocka_unit_test(halves_round_to_nearest), cmocka_unit_test(types_keep_their_bounds),
        cmocka_unit_test(a_shard_is_taken), cmocka_unit_test(records_come_back), cmocka_unit_test(others_are_refused), cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_full_disk_ends_the_writing_only), cmocka_unit_test(one_writer_many_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
