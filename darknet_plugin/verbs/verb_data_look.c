/* Going through a split once, for `data` (see verb_data.h). No pixels are kept; of files that hold one image the header
 * is read, and whether the end is there.
 *
 * Nobody says whether a list is a detector's, so that is looked at: it is where label files hold a box, half of the
 * images have one, or the .data file names labels as detectors have them. Images that cannot be used are counted, and
 * are an error where training would refuse them. */
#include "verb_data.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 10 };

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

static void count_left_out(contents *split, size_t image, const char *why)
{
    char name[4096];
    reason *reason = split->left_out;
    while (reason < split->left_out + DATA_REASONS - 1 && reason->why && strcmp(reason->why, why)) ++reason;
    reason->why = why;
    ++reason->images;
    words_list(&reason->names, &reason->named, SHOWN, dataset_name(split->set, image, name, sizeof name));
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
            count_left_out(split, i, why);
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

int verb_data_look(const data_file *file, data_split which, int detector, contents *split, diag *d)
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

void verb_data_twins(contents *valid, const contents *train)
{
    if (train->set && valid->set) valid->twins = dataset_twins(valid->set, train->set, UINT64_MAX, &valid->twin_names);
}

void verb_data_free(contents *split)
{
    dataset_free(split->set);
    free(split->of_class);
    free(split->size);
    free(split->bad_names);
    for (int i = 0; i < DATA_REASONS; ++i) free(split->left_out[i].names);
    free(split->twin_names);
}

void verb_data_report(const data_file *file, const contents *split, diag *d)
{
    size_t count = dataset_count(split->set), left_out = count - split->used + split->unreadable;
    int too_many = dataset_too_many_left_out(split->set, left_out - split->mute, split->mute);
    if (split->unreadable)
        (split->detector && !too_many ? diag_warn : diag_error)(
            d, file->path, 0, NULL, "%s: %zu of %zu images are not images that can be read: %s", split->split,
            split->unreadable, count, split->bad_names);
    if (split->detector && too_many)
        diag_error(d, file->path, 0, NULL, "%s: %zu of %zu images cannot be used; up to 1 %% are left out",
                   split->split, left_out, count);
    if (!split->twins) return;
    diag_warn(d, file->path, 0, NULL, "%zu of %zu images of valid= are in train=, too: %s", split->twins, count,
              split->twin_names);
    diag_hint(d, "what is measured on them says how well they are remembered");
}
