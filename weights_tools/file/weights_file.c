/* Measuring, reading and loading a weights file. The file says nothing about its own contents, and Darknet loads
 * whatever is there: too short, too long, another network's. So the size is held against the cfg's shapes first,
 * everything is read and looked at, and only then is the network touched.
 *
 * A file may hold the first layers only, if it ends on a layer's border: that is how Darknet keeps pretrained
 * backbones (darknet53.conv.74). Not supported: the transposed files of 2014 (version 1000 and above). */
#include "weights_file.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { VERSION_TRANSPOSED = 1000, SHORT_HEADER = 16, LONG_HEADER = 20 };

/* Opens a regular file and tells its size; NULL with a message otherwise. */
static FILE *open_regular(const char *path, size_t *bytes, diag *d)
{
    int fd = in_file_open(path, "weights", bytes, d);
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (file || fd < 0) return file;
    diag_error(d, path, 0, NULL, "cannot read weights: %s", strerror(errno));
    close(fd);
    return NULL;
}

static int read_seen(FILE *file, weights_info *info)
{
    uint32_t narrow;
    int wide = info->major * 10 + info->minor >= 2;
    info->header_bytes = wide ? LONG_HEADER : SHORT_HEADER;
    if (wide) return fread(&info->seen, sizeof info->seen, 1, file) == 1 ? 0 : -1;
    if (fread(&narrow, sizeof narrow, 1, file) != 1) return -1;
    info->seen = narrow;
    return 0;
}

/* Are the first bytes, read as a version, those of a text? */
static int is_text(const weights_info *info)
{
    const int32_t version[] = { info->major, info->minor, info->revision };
    const char *byte = (const char *)version;
    for (size_t i = 0; i < sizeof version; ++i)
        if (!isprint((unsigned char)byte[i]) && !isspace((unsigned char)byte[i])) return 0;
    return 1;
}

/* 0, or -1 with a message: no version that is read here. */
static int check_version(const weights_info *info, const char *path, diag *d)
{
    int major = info->major, minor = info->minor, revision = info->revision;
    if (major < 0 || minor < 0 || revision < 0) {
        diag_error(d, path, 0, NULL, "not a weights file: its version is %d.%d.%d", major, minor, revision);
        return -1;
    }
    if (major < VERSION_TRANSPOSED && minor < VERSION_TRANSPOSED) return 0;
    if (is_text(info)) {
        diag_error(d, path, 0, NULL, "a text, not a weights file");
        return -1;
    }
    diag_error(d, path, 0, NULL, "version %d.%d.%d (transposed weights) is not supported", major, minor, revision);
    return -1;
}

/* Fills what the header says, header_bytes and seen; -1 with a message. */
static int read_header(FILE *file, const char *path, size_t bytes, weights_info *info, diag *d)
{
    int32_t version[3];
    int ok = fread(version, sizeof version, 1, file) == 1;
    if (ok) {
        info->major = version[0];
        info->minor = version[1];
        info->revision = version[2];
        if (check_version(info, path, d)) return -1;
        ok = !read_seen(file, info);
    }
    if (!ok) diag_error(d, path, 0, NULL, "%zu bytes, expected a header of at least %d", bytes, SHORT_HEADER);
    return ok ? 0 : -1;
}

/* Where a number of floats ends among the layers. */
typedef struct border {
    int layers;              /* whole layers, up to and including the last one with weights */
    size_t floats;           /* that these layers hold */
    int inside;              /* the layer it ends in */
} border;

/* Goes through the layers as long as they fit. */
static border find_border(const net_shape *shape, size_t floats)
{
    border b = { 0, 0, 0 };
    for (int i = 0; i < shape->n; ++i) {
        size_t n = shape->layer[i].stored;
        b.inside = i;
        if (!n) continue;
        if (n > floats - b.floats) return b;
        b.floats += n;
        b.layers = i + 1;
    }
    return b;
}

static int layers_with_weights(const net_shape *shape)
{
    int n = 0;
    for (int i = 0; i < shape->n; ++i) n += shape->layer[i].stored > 0;
    return n;
}

static size_t bytes_of(size_t header, size_t floats)
{
    size_t bytes;
    if (__builtin_mul_overflow(floats, sizeof(float), &bytes)) return SIZE_MAX;
    return bytes > SIZE_MAX - header ? SIZE_MAX : bytes + header;
}

/* Both sizes, and where among the layers the file ends. */
static void report_size(const char *path, const net_shape *shape, size_t bytes, size_t header, border end, diag *d)
{
    size_t whole = bytes_of(header, shape->stored);
    size_t more = shape->trained_before + shape->trained_behind;
    char *or_trained = more ? mem_printf(", or %zu of a training run", bytes_of(header, shape->stored + more))
        : mem_strdup("");
    diag_error(d, path, 0, NULL, "%zu bytes, expected %zu for the cfg's %d layers with weights%s", bytes, whole,
               layers_with_weights(shape), or_trained);
    free(or_trained);
    if (bytes > whole)
        diag_hint(d, "%zu bytes are left over after the last layer: is it the file of another cfg? For "
                  "other classes there is 'weights classes'", bytes - whole);
    else if (end.layers)
        diag_hint(d, "it ends inside layer %d; layers 0 to %d end at byte %zu: is it cut short, or another cfg's file?",
                  end.inside, end.layers - 1, bytes_of(header, end.floats));
    else
        diag_hint(d, "it ends before the first layer with weights does, which is layer %d", end.inside);
}

/* Holds the file's size against the shapes; fills info->floats and info->layers. */
static int measure(const char *path, const net_shape *shape, size_t bytes, weights_info *info, diag *d)
{
    size_t body = bytes - info->header_bytes, more = shape->trained_before + shape->trained_behind;
    info->trained = more && body == bytes_of(0, shape->stored + more);
    if (info->trained) {
        info->floats = shape->stored;
        info->layers = shape->n;
        return 0;
    }
    border end = find_border(shape, body / sizeof(float));
    info->floats = end.floats;
    info->layers = end.floats == shape->stored ? shape->n : end.layers;
    if (body == bytes_of(0, end.floats) && info->layers) return 0;
    report_size(path, shape, bytes, info->header_bytes, end, d);
    return -1;
}

/* The file, read up to the first float, and measured: *fits says whether it holds whole layers and nothing else, else
 * there is a message. NULL with a message where it is no weights file at all. */
static FILE *open_measured(const char *path, const net_shape *shape, size_t *bytes, weights_info *info, int *fits,
                           diag *d)
{
    FILE *file = open_regular(path, bytes, d);
    if (!file) return NULL;
    if (read_header(file, path, *bytes, info, d)) {
        fclose(file);
        return NULL;
    }
    *fits = !measure(path, shape, *bytes, info, d);
    return file;
}

int weights_inspect(const char *path, const net_shape *shape, weights_info *info, diag *d)
{
    size_t bytes;
    int fits;
    memset(info, 0, sizeof *info);
    FILE *file = open_measured(path, shape, &bytes, info, &fits, d);
    if (!file) return -1;
    fclose(file);
    return fits ? 0 : -1;
}

/* Reads info->floats of them; of a training run's file those that the cfg has. Does it come to that many? */
static int read_floats(FILE *file, const net_shape *shape, const weights_info *info, float *x)
{
    if (!info->trained) return fread(x, sizeof *x, info->floats, file) == info->floats;
    for (int i = 0; i < shape->n; ++i) {
        const layer_shape *l = &shape->layer[i];
        if (fseek(file, (long)(l->trained_before * sizeof *x), SEEK_CUR)) return 0;
        if (fread(x, sizeof *x, l->stored, file) != l->stored) return 0;
        x += l->stored;
    }
    return 1;
}

int weights_read(const char *path, const net_shape *shape, weights_contents *contents, diag *d)
{
    int fits;
    memset(contents, 0, sizeof *contents);
    FILE *file = open_measured(path, shape, &contents->bytes, &contents->info, &fits, d);
    if (!file) return -1;
    size_t floats = contents->info.floats;
    contents->expected = bytes_of(contents->info.header_bytes, shape->stored);
    contents->x = mem_realloc(NULL, floats, sizeof *contents->x);
    int whole = read_floats(file, shape, &contents->info, contents->x);
    if (!whole)
        diag_error(d, path, 0, NULL, "cannot read weights: %s", ferror(file) ? strerror(errno) : "it got shorter");
    fclose(file);
    if (!whole) weights_drop(contents);
    if (!whole) return -1;
    return fits ? WEIGHTS_FIT : WEIGHTS_PARTLY;
}

void weights_drop(weights_contents *contents)
{
    free(contents->x);
    memset(contents, 0, sizeof *contents);
}

/* Keys with which the host reads less than, or something else than, what it writes; the first is none beside
 * dontsave. */
static const struct { const char *key; size_t field; } half_loaders[] = {
    { "dontload", offsetof(layer, dontload) }, { "numload", offsetof(layer, numload) },
    { "dontloadscales", offsetof(layer, dontloadscales) }, { "flipped", offsetof(layer, flipped) },
};

static int refuse_half_loaders(const network *net, const char *path, diag *d)
{
    for (int i = 0; i < net->n; ++i)
        for (size_t k = net->layers[i].dontsave ? 1 : 0; k < sizeof half_loaders / sizeof *half_loaders; ++k)
            if (*(const int *)(const void *)((const char *)&net->layers[i] + half_loaders[k].field)) {
                diag_error(d, path, 0, NULL, "cannot load: %s= of layer %d is not supported", half_loaders[k].key, i);
                return -1;
            }
    return 0;
}

int weights_check_layers(const network *net, const net_shape *shape, const char *path, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    if (net->n != shape->n) {
        diag_error(d, path, 0, NULL, "cannot load: the network has %d layers, expected %d", net->n, shape->n);
        return -1;
    }
    for (int i = 0; i < net->n; ++i) {
        size_t sum = 0;
        int n = weights_stored(&net->layers[i], t);
        for (int j = 0; j < n; ++j) sum += t[j].n;
        if (sum == shape->layer[i].stored) continue;
        diag_error(d, path, 0, NULL, "cannot load: layer %d holds %zu values, expected %zu", i, sum,
                   shape->layer[i].stored);
        return -1;
    }
    return 0;
}

int weights_is_variance(const char *name)
{
    size_t n = strlen(name), m = strlen("variance");
    return n >= m && !strcmp(name + n - m, "variance");
}

/* NaN, infinity and negative variances never come out of training that worked. */
int weights_check_values(const weights_tensor *tensor, int layer, const char *path, diag *d)
{
    int positive = weights_is_variance(tensor->name);
    for (size_t k = 0; k < tensor->n; ++k) {
        if (isfinite(tensor->data[k]) && !(positive && tensor->data[k] < 0)) continue;
        diag_error(d, path, 0, NULL, "layer %d: %s[%zu] is %g", layer, tensor->name, k, (double)tensor->data[k]);
        if (isfinite(tensor->data[k])) diag_hint(d, "a variance is never negative: is it the file of another cfg?");
        else diag_hint(d, "training diverged before this file was written, or it is not for this cfg");
        return -1;
    }
    return 0;
}

/* The arrays of the first layers as they lie in the file, one after another. */
static int check_finite(const network *net, int layers, float *values, const char *path, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < layers; ++i) {
        int n = weights_stored(&net->layers[i], t);
        for (int j = 0; j < n; values += t[j].n, ++j) {
            t[j].data = values;
            if (weights_check_values(&t[j], i, path, d)) return -1;
        }
    }
    return 0;
}

static void copy_in(network *net, int layers, const float *values)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < layers; ++i) {
        int n = weights_stored(&net->layers[i], t);
        for (int j = 0; j < n; values += t[j].n, ++j) memcpy(t[j].data, values, t[j].n * sizeof *values);
    }
}

int weights_load(network *net, const net_shape *shape, const char *path, weights_info *info, diag *d)
{
    weights_contents file;
    if (info) memset(info, 0, sizeof *info);
    if (refuse_half_loaders(net, path, d) || weights_check_layers(net, shape, path, d)) return -1;
    int status = weights_read(path, shape, &file, d);
    if (info && status >= 0) *info = file.info;
    int failed = status != WEIGHTS_FIT || check_finite(net, file.info.layers, file.x, path, d);
    if (!failed) {
        copy_in(net, file.info.layers, file.x);
        *net->seen = file.info.seen;
    }
    weights_drop(&file);
    return failed ? -1 : 0;
}
