/* weights show and compare: what they say of good files, bad ones and half ones. */
#include "layers/network.h"
#include "check_weights.h"

#include <cjson/cJSON.h>

static cJSON *json_of(outcome r, int status)
{
    cJSON *j = cJSON_Parse(r.out);
    assert_non_null(j);
    assert_int_equal(r.status, status);
    drop(r);
    return j;
}

static double number(const cJSON *j, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(j, key);
    assert_true(cJSON_IsNumber(n));
    return n->valuedouble;
}

static const cJSON *array_of(const cJSON *show, int layer, int array)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(show, "layers"), layer), "arrays"), array);
}

static void test_show(void **state)
{
    (void)state;
    const size_t at[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const float value[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    char *path = altered("plain.weights", 0, at, value, 8);
    cJSON *j = json_of(RUN(show, cfg_path, path, "-json"), 0);
    assert_true(number(j, "seen") == 1234 && number(j, "layers_held") == LAYERS);
    assert_string_equal(cJSON_GetObjectItem(j, "version")->valuestring, "0.2.0");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 5);
    const cJSON *biases = array_of(j, 0, 0), *weights = array_of(j, 0, 4);
    const cJSON *shape = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 0), "shape");
    assert_string_equal(cJSON_GetObjectItem(biases, "name")->valuestring, "biases");
    assert_true(number(biases, "min") == 1 && number(biases, "max") == 8 && number(biases, "mean") == 4.5);
    check_close(number(biases, "deviation"), sqrt(5.25), 1e-12, "deviation", 0);
    assert_true(number(weights, "n") == 216 && number(weights, "filters") == 8 && number(weights, "dead_filters") == 0);
    assert_int_equal(cJSON_GetArraySize(shape), 4);
    assert_int_equal(cJSON_GetArrayItem(shape, 1)->valueint, 3);
    cJSON_Delete(j);
    free(path);
}

static void test_show_of_what_is_wrong(void **state)
{
    (void)state;
    char *path = sick_file();
    outcome r = RUN(show, cfg_path, path);
    assert_int_equal(r.status, 0);
    assert_int_equal(diag_errors(r.d), 0);
    assert_int_equal(diag_warnings(r.d), 1);
    assert_non_null(strstr(r.out, "! biases: 1 NaN, 1 infinite\n"));
    assert_non_null(strstr(r.out, "! variance: 1 negative\n"));
    assert_non_null(strstr(r.out, "! weights: 2 dead filters of 8\n"));
    for (const char *line = strchr(r.out, '\n') + 1, *end; (end = strchr(line, '\n')); line = end + 1) assert_true(end - line <= 100);
    drop(r);
    cJSON *j = json_of(RUN(show, cfg_path, path, "-json"), 0);
    assert_true(number(array_of(j, 0, 0), "nan") == 1 && number(array_of(j, 0, 0), "infinite") == 1);
    assert_true(number(array_of(j, 0, 0), "max") < 1);
    assert_true(number(array_of(j, 0, 3), "negative") == 1 && number(array_of(j, 0, 4), "dead_filters") == 2);
    cJSON_Delete(j);
    free(path);
}

static void test_show_of_part_of_a_file(void **state)
{
    (void)state;
    size_t len;
    free(check_read(weights_path, &len));
    char *encoder = encoder_file(), *cut = altered("cut.weights", 20 + 4 * FLOATS_0 + 5, NULL, NULL, 0);
    cJSON *j = json_of(RUN(show, cfg_path, encoder, "-json"), 0);
    assert_true(number(j, "layers_held") == 1 && cJSON_IsTrue(cJSON_GetObjectItem(j, "fits")));
    cJSON_Delete(j);
    j = json_of(RUN(show, cfg_path, cut, "-json"), 1);
    assert_true(number(j, "layers_held") == 1 && cJSON_IsFalse(cJSON_GetObjectItem(j, "fits")));
    assert_true(number(j, "bytes") == 20 + 4 * FLOATS_0 + 5 && number(j, "expected_bytes") == (double)len);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 1);
    cJSON_Delete(j);
    outcome r = RUN(show, cfg_path, cut);
    assert_non_null(strstr(r.out, "whole layers 0 to 0 of 0 to 12"));
    fails(r, "expected");
    char *bytes = check_read(weights_path, NULL), *longer = check_path("longer.weights");
    check_write(longer, bytes, len);
    FILE *f = fopen(longer, "ab");
    assert_true(f && fwrite("more", 4, 1, f) == 1 && !fclose(f));
    j = json_of(RUN(show, cfg_path, longer, "-json"), 1);
    assert_true(number(j, "layers_held") == LAYERS && cJSON_IsFalse(cJSON_GetObjectItem(j, "fits")));
    cJSON_Delete(j);
    free(bytes);
    free(encoder);
    free(cut);
    free(longer);
}

static void test_show_errors(void **state)
{
    (void)state;
    char *none = check_path("none"), *tiny = check_path("tiny.weights");
    check_write(tiny, "abc", 3);
    fails(RUN(show, cfg_path, none), "cannot read weights");
    fails(RUN(show, cfg_path, tiny), "expected a header");
    fails(RUN(show, none, weights_path), "");
    free(none);
    free(tiny);
}

/* ---- compare ---- */

static void test_compare(void **state)
{
    (void)state;
    const size_t at[] = { 40, FLOATS_0 + 50 };
    float first;
    char *bytes = check_read(weights_path, NULL);
    memcpy(&first, bytes + 20 + 4 * at[0], sizeof first);
    free(bytes);
    float value[] = { nextafterf(first, 2), 3 };
    char *little = altered("little.weights", 0, at, value, 1), *much = altered("much.weights", 0, at, value, 2);
    works(RUN(compare, cfg_path, weights_path, weights_path));
    cJSON *j = json_of(RUN(compare, cfg_path, weights_path, little, "-json"), 1);
    assert_true(number(j, "first_other_bits") == 0 && cJSON_IsNull(cJSON_GetObjectItem(j, "first_that_matters")));
    cJSON_Delete(j);
    works(RUN(compare, cfg_path, weights_path, little, "-tolerance", "1e-6"));
    j = json_of(RUN(compare, cfg_path, weights_path, much, "-json", "-tolerance", "0.01"), 1);
    assert_true(number(j, "first_other_bits") == 0 && number(j, "first_that_matters") == 2);
    const cJSON *layer = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 1);
    assert_string_equal(cJSON_GetObjectItem(layer, "array")->valuestring, "weights");
    assert_true(number(layer, "index") == 2 && number(layer, "absolute") > 1.9 && number(layer, "relative") <= number(layer, "absolute") / 2.9);
    check_close(number(layer, "rms"), number(layer, "absolute") / sqrt(32 + 8 * 72), 1e-9, "rms", 0);
    cJSON_Delete(j);
    outcome r = RUN(compare, cfg_path, weights_path, much);
    assert_int_equal(r.status, 1);
    assert_int_equal(diag_errors(r.d), 0);
    assert_non_null(strstr(r.out, "first layer that matters: 2 [convolutional], its weights"));
    drop(r);
    free(little);
    free(much);
}

/* NaN is equal to the same NaN, and infinitely far from everything else; an encoder is not the whole. */
static void test_compare_of_what_is_wrong(void **state)
{
    (void)state;
    char *sick = sick_file(), *encoder = encoder_file(), *cut = cut_file();
    works(RUN(compare, cfg_path, sick, sick));
    cJSON *j = json_of(RUN(compare, cfg_path, weights_path, sick, "-json", "-tolerance", "1"), 1);
    assert_true(number(j, "first_that_matters") == 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 0), "absolute")));
    cJSON_Delete(j);
    j = json_of(RUN(compare, cfg_path, weights_path, encoder, "-json"), 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(j, "first_other_bits")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 1);
    cJSON_Delete(j);
    fails(RUN(compare, cfg_path, weights_path, cut), "expected");
    free(sick);
    free(encoder);
    free(cut);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show), cmocka_unit_test(test_show_of_what_is_wrong), cmocka_unit_test(test_show_of_part_of_a_file),
        cmocka_unit_test(test_show_errors), cmocka_unit_test(test_compare), cmocka_unit_test(test_compare_of_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
