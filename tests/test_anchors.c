/* Anchors by k-means: clusters are found, the same each time, and none is better by its own measure than another seed's by far. */
#include "check.h"

#include "darknet_plugin/data/boxes_anchors.h"
#include "darknet_plugin/base/rng.h"

enum { PER_CLUSTER = 50, K = 4, N = K * PER_CLUSTER };
static const box_size centre[K] = { { 10, 12 }, { 40, 20 }, { 30, 70 }, { 200, 180 } };

static void fill(box_size *size)
{
    rng rng = rng_make(3, 0, 0, RNG_TEST);
    for (int i = 0; i < N; ++i)
        size[i] = (box_size){ centre[i % K].w * (float)rng_uniform(&rng, .95, 1.05), centre[i % K].h * (float)rng_uniform(&rng, .95, 1.05) };
}

static void test_clusters(void **state)
{
    (void)state;
    box_size size[N], found[K], again[K];
    fill(size);
    for (uint64_t seed = 0; seed < 5; ++seed) {
        double mean = boxes_anchors(size, N, K, seed, found);
        assert_true(mean > .93 && mean <= 1);
        check_close(mean, boxes_mean_iou(size, N, found, K), 1e-12, "mean", (size_t)seed);
        for (int i = 0; i < K; ++i) {
            check_close(found[i].w, centre[i].w, .03 * centre[i].w, "w", (size_t)i);
            check_close(found[i].h, centre[i].h, .03 * centre[i].h, "h", (size_t)i);
        }
        (void)boxes_anchors(size, N, K, seed, again);
        assert_memory_equal(found, again, sizeof found);
    }
}

/* One anchor, as many as sizes, and sizes that are all the same. */
static void test_edges(void **state)
{
    (void)state;
    box_size size[N], found[K], same[3] = { { 5, 6 }, { 5, 6 }, { 5, 6 } };
    fill(size);
    double one = boxes_anchors(size, N, 1, 0, found);
    assert_true(one > 0 && one < .5);
    check_close(boxes_anchors(centre, K, K, 0, found), 1, 1e-12, "each its own", 0);
    check_close(boxes_anchors(same, 3, 3, 0, found), 1, 1e-12, "all the same", 0);
    assert_true(found[0].w == 5 && found[2].h == 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_clusters), cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
