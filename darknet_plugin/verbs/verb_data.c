/* `darknet distill data DATA`: what a .data file names, before anything is trained on it: for each split its format,
 * images, their classes and sizes; of a detector's the boxes. No pixels are kept; of files that hold one image the
 * header is read, and whether the end is there.
 *
 * Nobody says whether a list is a detector's, so that is looked at: it is where label files hold a box, or half of the
 * images have one. Images that cannot be used are counted, and are an error where training would refuse them. */
#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/words.h"
#include "darknet_plugin/data/dataset.h"

#include <stdlib.h>
#include <string.h>

enum { REASONS = 4, SHOWN = 10 };

typedef struct dims {
    int w, h;
    size_t images;               /* that have this size, once they are counted */
} dims;

typedef struct reason {
    const char *why;             /* borrowed */
    size_t images;
} reason;

/* One split. */
typedef struct contents {
    const char *split;           /* "train", "valid" or "unlabelled" */
    int unlabelled_split;              /* its images have no labels at all */
    dataset *set;                /* owned */
    int detector;
    size_t used;                 /* images that are not left out */
    size_t unlabelled, ambiguous, unreadable;
    size_t mute;                 /* left out for want of a label file */
    size_t boxes, fewest, most;  /* all of them; an image's */
    size_t *of_class;            /* images, or boxes, of each class, owned */
    dims *size;                  /* of each image, owned; then sorted and counted: `sizes` different ones */
    size_t sizes;
    char *bad_names;             /* of unreadable images, owned; NULL: none */
    reason left_out[REASONS];
} contents;

/* ---- looking ---- */

static int has_label_files(const dataset *set)
{
    size_t have = 0;
    for (size_t i = 0; i < dataset_count(set); ++i) {
        int boxes;
        dataset_boxes(set, i, &boxes);
        if (boxes) return 1;
        have += !dataset_left_out(set, i);
    }
    return 2 * have >= dataset_count(set);
}

/* The split as a detector's; NULL if it is none. Messages come only where it is, or is meant to be. */
static dataset *open_detector(const data_file *file, data_split split, diag *d)
{
    diag *quiet = diag_aside(d);
    dataset *set = dataset_open(file, split, 0, DATA_BOXES | DATA_LOOK, quiet);
    int sure = dataset_names_boxes(file, split);
    if (sure || (set && has_label_files(set))) diag_append(d, quiet, 0);
    else {
        dataset_free(set);
        set = NULL;
    }
    diag_free(quiet);
    return set;
}

static void count_left_out(contents *split, const char *why)
{
    int i = 0;
    while (i < REASONS - 1 && split->left_out[i].why && strcmp(split->left_out[i].why, why)) ++i;
    split->left_out[i].why = why;
    ++split->left_out[i].images;
}

static void count_boxes(contents *split, size_t image)
{
    int n;
    const data_box *box = dataset_boxes(split->set, image, &n);
    if (n < 0) n = 0;            /* unlabelled= */
    for (int k = 0; k < n; ++k) ++split->of_class[box[k].class];
    if (!split->used || (size_t)n < split->fewest) split->fewest = (size_t)n;
    if ((size_t)n > split->most) split->most = (size_t)n;
    split->boxes += (size_t)n;
}

static void count_label(contents *split, size_t image)
{
    int label = dataset_label(split->set, image);
    if (label >= 0) ++split->of_class[label];
    else if (dataset_ambiguous(split->set, image)) ++split->ambiguous;
    else ++split->unlabelled;
}

static void read_size(contents *split, size_t image, int *names)
{
    char name[4096];
    dims size = { .images = 1 };
    if (!dataset_size(split->set, image, &size.w, &size.h)) {
        split->size[split->sizes++] = size;
        return;
    }
    ++split->unreadable;
    words_list(&split->bad_names, names, SHOWN, dataset_name(split->set, image, name, sizeof name));
}

/* By area: the least comes first. */
static int by_size(const void *a, const void *b)
{
    const dims *x = a, *y = b;
    long long more = (long long)x->w * x->h - (long long)y->w * y->h;
    if (!more) return (x->w > y->w) - (x->w < y->w);
    return more < 0 ? -1 : 1;
}

/* Equal sizes become one with their number. */
static void count_sizes(contents *split)
{
    size_t different = 0;
    dims *size = split->size;
    qsort(size, split->sizes, sizeof *size, by_size);
    for (size_t i = 0; i < split->sizes; ++i) {
        if (different && !by_size(&size[different - 1], &size[i])) ++size[different - 1].images;
        else size[different++] = size[i];
    }
    split->sizes = different;
}

/* Goes through the images once. */
static void look(contents *split)
{
    size_t count = dataset_count(split->set);
    int names = 0;
    split->of_class = mem_calloc((size_t)dataset_classes(split->set), sizeof *split->of_class);
    split->size = mem_calloc(count, sizeof *split->size);
    for (size_t i = 0; i < count; ++i) {
        const char *why = dataset_left_out(split->set, i);
        if (why) {
            count_left_out(split, why);
            split->mute += (size_t)dataset_lacks_labels(split->set, i);
            continue;
        }
        if (split->detector) count_boxes(split, i);
        else count_label(split, i);
        read_size(split, i, &names);
        ++split->used;
    }
    count_sizes(split);
}

/* `detector`: images of unlabelled= are a detector's where those of train= are. */
static int open_split(const data_file *file, data_split which, int detector, contents *split, diag *d)
{
    static const char *const names[] = { "train", "valid", "unlabelled" };
    *split = (contents){ .split = names[which], .unlabelled_split = which == DATA_UNLABELLED, .detector = detector };
    int errors = diag_errors(d);
    if (!split->unlabelled_split) split->set = open_detector(file, which, d);
    if (!split->unlabelled_split) split->detector = split->set != NULL;
    if (!split->set && diag_errors(d) > errors) return -1;
    int need = split->detector ? DATA_DETECTOR | DATA_LOOK : DATA_LOOK;
    if (!split->set) split->set = dataset_open(file, which, 0, need, d);
    if (!split->set) return -1;
    look(split);
    return 0;
}

static void free_split(contents *split)
{
    dataset_free(split->set);
    free(split->of_class);
    free(split->size);
    free(split->bad_names);
}

/* What training would refuse. */
static void report_split(const data_file *file, const contents *split, diag *d)
{
    size_t count = dataset_count(split->set), left_out = count - split->used;
    if (split->unreadable)
        diag_error(d, file->path, 0, NULL, "%s: %zu of %zu images are not images that can be read: %s", split->split,
                   split->unreadable, count, split->bad_names);
    if (split->detector && dataset_too_many_left_out(split->set, left_out - split->mute, split->mute))
        diag_error(d, file->path, 0, NULL, "%s: %zu of %zu images cannot be used; up to 1 %% are left out",
                   split->split, left_out, count);
}

/* ---- results ---- */

static const dims *most_common(const contents *split)
{
    const dims *best = split->size;
    for (size_t i = 1; i < split->sizes; ++i)
        if (split->size[i].images > best->images) best = &split->size[i];
    return best;
}

/* The class with the fewest images or boxes, or, of sign -1, with the most; the first of equal ones. */
static int extreme_class(const contents *split, int sign)
{
    int best = 0;
    for (int i = 1; i < dataset_classes(split->set); ++i) {
        long long more = (long long)split->of_class[i] - (long long)split->of_class[best];
        if (sign * more < 0) best = i;
    }
    return best;
}

static void print_sizes(const contents *split, FILE *out)
{
    const dims *first = split->size, *last = split->size + split->sizes - 1, *common = most_common(split);
    if (!split->sizes) return;
    if (split->sizes == 1) fprintf(out, "  size        %d x %d\n", first->w, first->h);
    else
        fprintf(out, "  sizes       %d x %d to %d x %d, %zu different; most common %d x %d, %zu images\n", first->w,
                first->h, last->w, last->h, split->sizes, common->w, common->h, common->images);
}

static const char *counted(const contents *split) { return split->detector ? "boxes" : "images"; }

/* Who has the fewest and the most, by name. */
static void print_classes(const data_file *file, const contents *split, FILE *out)
{
    char buf[16], other[16];
    int low = extreme_class(split, 1), high = extreme_class(split, -1);
    size_t fewest = split->of_class[low], most = split->of_class[high];
    if (fewest == most) fprintf(out, "  a class     %zu %s\n", fewest, counted(split));
    else
        fprintf(out, "  a class     %zu (%s) to %zu (%s) %s\n", fewest, data_file_class(file, low, buf, sizeof buf),
                most, data_file_class(file, high, other, sizeof other), counted(split));
    if (!split->detector) return;
    fprintf(out, "  an image    %zu to %zu boxes, %.2f on average\n", split->fewest, split->most,
            split->used ? (double)split->boxes / (double)split->used : 0);
}

/* What there is of everything; what there is none of is left out. */
static void print_split(const data_file *file, const contents *split, FILE *out)
{
    int channels = dataset_channels(split->set);
    fprintf(out, "%s\n  format      %s", split->split, dataset_format(split->set));
    if (split->detector) fprintf(out, ", a detector's");
    if (channels) fprintf(out, ", %d channel%s", channels, channels > 1 ? "s" : "");
    fprintf(out, "\n  images      %zu\n", dataset_count(split->set));
    if (split->detector && !split->unlabelled_split) fprintf(out, "  boxes       %zu\n", split->boxes);
    if (dataset_passed_over(split->set))
        fprintf(out, "  passed over %zu objects that are difficult, or crowds\n", dataset_passed_over(split->set));
    print_sizes(split, out);
    if (!split->unlabelled_split) print_classes(file, split, out);
    if (split->unlabelled && !split->unlabelled_split) fprintf(out, "  no class    %zu\n", split->unlabelled);
    if (split->ambiguous)
        fprintf(out, "  several     %zu have several classes' labels in their paths\n", split->ambiguous);
    if (split->unreadable) fprintf(out, "  unreadable  %zu\n", split->unreadable);
    for (int i = 0; i < REASONS && split->left_out[i].why; ++i)
        fprintf(out, "  left out    %zu: %s\n", split->left_out[i].images, split->left_out[i].why);
}

static cJSON *size_json(const dims *size)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "w", size->w);
    cJSON_AddNumberToObject(object, "h", size->h);
    cJSON_AddNumberToObject(object, "images", (double)size->images);
    return object;
}

static void add_sizes(cJSON *object, const contents *split)
{
    if (!split->sizes) return;
    cJSON *sizes = cJSON_AddObjectToObject(object, "sizes");
    cJSON_AddItemToObject(sizes, "least", size_json(split->size));
    cJSON_AddItemToObject(sizes, "most", size_json(split->size + split->sizes - 1));
    cJSON_AddItemToObject(sizes, "common", size_json(most_common(split)));
    cJSON_AddNumberToObject(sizes, "different", (double)split->sizes);
}

static void add_classes(cJSON *object, const data_file *file, const contents *split)
{
    cJSON *list = cJSON_AddArrayToObject(object, "per_class");
    char buf[16];
    for (int i = 0; i < dataset_classes(split->set); ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", data_file_class(file, i, buf, sizeof buf));
        cJSON_AddNumberToObject(one, counted(split), (double)split->of_class[i]);
        cJSON_AddItemToArray(list, one);
    }
}

/* What only a detector's split has. */
static void add_boxes(cJSON *object, const contents *split)
{
    const struct { const char *key; size_t value; } rows[] = {
        { "boxes", split->boxes }, { "passed_over", dataset_passed_over(split->set) },
        { "fewest_boxes", split->fewest }, { "most_boxes", split->most },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        cJSON_AddNumberToObject(object, rows[i].key, (double)rows[i].value);
    cJSON *list = cJSON_AddArrayToObject(object, "left_out");
    for (int i = 0; i < REASONS && split->left_out[i].why; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "why", split->left_out[i].why);
        cJSON_AddNumberToObject(one, "images", (double)split->left_out[i].images);
        cJSON_AddItemToArray(list, one);
    }
}

/* All of it, classes one by one. */
static cJSON *split_json(const data_file *file, const contents *split)
{
    int channels = dataset_channels(split->set);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "format", dataset_format(split->set));
    cJSON_AddBoolToObject(object, "detector", split->detector);
    cJSON_AddNumberToObject(object, "images", (double)dataset_count(split->set));
    if (channels) cJSON_AddNumberToObject(object, "channels", channels);
    add_sizes(object, split);
    if (!split->unlabelled_split) add_classes(object, file, split);
    if (split->unlabelled_split) {
        cJSON_AddNumberToObject(object, "left_out", (double)(dataset_count(split->set) - split->used));
    } else if (split->detector) {
        add_boxes(object, split);
    } else {
        cJSON_AddNumberToObject(object, "unlabelled", (double)split->unlabelled);
        cJSON_AddNumberToObject(object, "ambiguous", (double)split->ambiguous);
    }
    cJSON_AddNumberToObject(object, "unreadable", (double)split->unreadable);
    return object;
}

/* Looks at one split and tells; *detector goes in for unlabelled= and comes out of the others; `object` is NULL where
 * it is told as text. */
static int tell_split(const data_file *file, data_split which, int *detector, cJSON *object, FILE *out, diag *d)
{
    contents split;
    int failed = open_split(file, which, *detector, &split, d);
    int told = which == DATA_VALID && data_file_one_list(file);    /* of train= already */
    if (!failed && !told) report_split(file, &split, d);
    if (!failed && object) cJSON_AddItemToObject(object, split.split, split_json(file, &split));
    else if (!failed) print_split(file, &split, out);
    *detector = split.detector;
    free_split(&split);
    return failed;
}

/* All splits, one after another; unlabelled= behind train=, which says whether it is a detector's. */
static int tell(const data_file *file, const options *options, diag *d)
{
    cJSON *object = options->json ? cJSON_CreateObject() : NULL;
    int failed = 0, detector = 0, other = 0;
    if (object) cJSON_AddNumberToObject(object, "classes", file->classes);
    else fprintf(options->out, "%s: %d classes%s\n", file->path, file->classes, file->name ? "" : " without names");
    if (file->train) failed |= tell_split(file, DATA_TRAIN, &detector, object, options->out, d);
    if (file->valid && !(failed && data_file_one_list(file)))
        failed |= tell_split(file, DATA_VALID, &other, object, options->out, d);
    if (file->unlabelled) failed |= tell_split(file, DATA_UNLABELLED, &detector, object, options->out, d);
    return object ? json_print(object, options->out, d) || failed : failed;
}

static int run(options *options, diag *d)
{
    data_file *file = data_file_read(options->arg[0], d);
    int failed = !file;
    if (file && (file->train || file->valid)) failed = tell(file, options, d);
    else if (file) diag_error(d, file->path, 0, NULL, "names no images: neither train= nor valid= is there");
    data_file_free(file);
    return failed;
}

const verb verb_data = {
    .name = "data", .arguments = "DATA", .min = 1, .max = 1, .run = run,
    .help = "what a .data file names: images, classes, sizes, boxes",
    .example = "data my.data",
    .flags = { "json" },
};
