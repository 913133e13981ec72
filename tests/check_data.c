/* Shared by the tests of datasets and loaders (see check_data.h). */
#include "check_data.h"

#include "darknet_plugin/data/image_io.h"

void data_put(const char *name, const void *data, size_t len)
{
    char *path = check_path(name);
    check_write(path, data, len);
    free(path);
}

void data_put_text(const char *name, const char *text) { data_put(name, text, strlen(text)); }

void data_put_image(const char *name, uint8_t grey)
{
    char *path = check_path(name);
    uint8_t p[6] = { grey, grey, grey, grey, grey, grey };
    assert_int_equal(image_write(path, p, 3, 2, 1), 0);
    free(path);
}

data_file *data_read_text(const char *text, diag *d)
{
    char *path = mem_printf("%s/t.data", check_folder());
    data_put_text("t.data", text);
    data_file *f = data_file_read(path, d);
    free(path);
    return f;
}

void data_expect(const diag *d, const char *text)
{
    for (int i = 0; i < diag_count(d); ++i)
        if (strstr(diag_get(d, i)->text, text)) return;
    diag_print(d, stderr);
    fail_msg("no message says \"%s\"", text);
}

void data_refuse(const char *text, const char *message)
{
    diag *d = diag_new();
    assert_null(data_read_text(text, d));
    data_expect(d, message);
    diag_free(d);
}

dataset *data_open_train(const char *data, size_t limit, int need_labels, diag *d)
{
    data_file *f = data_read_text(data, d);
    assert_non_null(f);
    dataset *s = dataset_open(f, DATA_TRAIN, limit, need_labels, d);
    data_file_free(f);
    return s;
}

dataset *data_must_open(const char *data, size_t limit, int need_labels)
{
    diag *d = diag_new();
    dataset *s = data_open_train(data, limit, need_labels, d);
    check_no_errors(d);
    assert_non_null(s);
    diag_free(d);
    return s;
}

void data_refuse_set(const char *data, const char *message)
{
    diag *d = diag_new();
    assert_null(data_open_train(data, 0, 1, d));
    data_expect(d, message);
    diag_free(d);
}

int data_each_image(const loader_options *options, int batches, data_take take, void *ctx)
{
    diag *d = diag_new();
    loader *l = loader_start(options, d);
    int images = 0;
    assert_non_null(l);
    for (const batch *b; batches-- && (b = loader_next(l, d)); images += b->n)
        for (int j = 0; j < b->n; ++j) take(ctx, b, j);
    check_no_errors(d);
    loader_stop(l);
    diag_free(d);
    return images;
}

data_box data_box_in_image(const image_place *place, data_box box)
{
    if (place->mirrored) box.x = 1 - box.x;
    box.x = (box.x - place->x) / place->w;
    box.y = (box.y - place->y) / place->h;
    box.w /= place->w;
    box.h /= place->h;
    return box;
}
