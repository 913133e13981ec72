/* `darknet distill data DATA [CFG]`: what a .data file names, before anything is trained on it: for each split its
 * format, images, their classes and sizes; of a detector's the boxes; images of valid= that are in train=, too. Then
 * anchors for the network, and a picture of what it is trained on. */
#include "verb_data.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/lowering/lower.h"

#include <stdlib.h>
#include <string.h>

/* ---- the network ---- */

/* The last section that has anchors. */
static const cfg_section *find_anchors(const cfg_file *cfg)
{
    const cfg_section *found = NULL;
    for (int i = 0; i < cfg->n; ++i) {
        const char *name = cfg->section[i].name;
        if (!strcmp(name, "yolo") || !strcmp(name, "Gaussian_yolo")) found = &cfg->section[i];
    }
    return found;
}

/* The cfg's own, to compare with, and their number. */
static void take_anchors(data_input *input, const cfg_file *cfg)
{
    const cfg_section *section = find_anchors(cfg);
    float *number = NULL;
    int n = section ? cfg_floats(section, "anchors", &number) : 0;
    input->old_anchors = n / 2;
    input->old = n > 1 ? mem_calloc((size_t)n / 2, sizeof *input->old) : NULL;
    for (int i = 0; i < n / 2; ++i) {
        input->old[i] = (box_size){ number[2 * i], number[2 * i + 1] };
        if (!(number[2 * i] > 0 && number[2 * i + 1] > 0)) input->old_anchors = 0;
    }
    if (!input->anchors && n > 1) input->anchors = n / 2;
    free(number);
}

/* Warns where a detector's cfg is not for so many. */
static void check_classes(const cfg_file *cfg, int classes, diag *d)
{
    const cfg_section *section = find_anchors(cfg);
    int has = section ? cfg_classes(section) : classes;
    if (has == classes) return;
    diag_warn(d, section->file, cfg_line(section, "classes"), section->name, "is for %d class%s, the .data file has %d",
              has, has == 1 ? "" : "es", classes);
}

/* What CFG says of its input, then what flags do. */
static int read_input(const options *options, int classes, data_input *input, diag *d)
{
    int fit = options->fit ? augment_fit_named(options->fit) : -1;
    *input = (data_input){ .c = 3, .w = 416, .h = 416, .anchors = options->anchors,
                           .augment = { .fit = FIT_LETTERBOX, .aspect = 1, .saturation = 1, .exposure = 1 },
                           .seed = (uint64_t)options->seed };
    if (options->fit && fit < 0) {
        diag_error(d, NULL, 0, NULL, "'-fit %s' is not crop, letterbox or stretch", options->fit);
        return -1;
    }
    lowered *low = options->n > 1 ? lower_read(options->arg[1], LOWER_TRAIN, d) : NULL;
    if (options->n > 1 && !low) return -1;
    if (low) {
        check_classes(low->cfg, classes, d);
        input->cfg = options->arg[1];
        input->c = low->shape->c;
        input->w = low->shape->w;
        input->h = low->shape->h;
        input->augment = low->augment;
        take_anchors(input, low->cfg);
    }
    lower_free(low);
    if (options->input_width) input->w = options->input_width;
    if (options->input_height) input->h = options->input_height;
    if (fit >= 0) input->augment.fit = (image_fit)fit;
    if (!input->cfg) input->augment.min_crop = input->augment.max_crop = input->w;
    return 0;
}

/* ---- telling ---- */

/* All that is told of, one after another. */
typedef struct telling {
    const data_file *file;
    cJSON *object;               /* NULL where it is told as text */
    FILE *out;
    contents train, valid, unlabelled;
    diag *d;
} telling;

/* Looks at one split and tells. */
static int tell_split(telling *telling, data_split which, int detector, contents *split)
{
    int failed = verb_data_look(telling->file, which, detector, split, telling->d);
    int told = which == DATA_VALID && data_file_one_list(telling->file);    /* of train= already */
    if (failed) return -1;
    if (which == DATA_VALID && !told) verb_data_twins(split, &telling->train);
    if (!told) verb_data_report(telling->file, split, telling->d);
    else diag_warn(telling->d, telling->file->path, 0, NULL, "train= and valid= are the same images: what is measured "
                   "on them says how well they are remembered");
    if (telling->object) cJSON_AddItemToObject(telling->object, split->split, verb_data_json(telling->file, split));
    else verb_data_print(telling->file, split, telling->out);
    return 0;
}

/* All splits; unlabelled= behind train=, which says whether it is a detector's. */
static int tell_splits(telling *telling)
{
    const data_file *file = telling->file;
    int failed = 0;
    if (file->train) failed |= tell_split(telling, DATA_TRAIN, 0, &telling->train);
    if (file->valid && !(failed && data_file_one_list(file)))
        failed |= tell_split(telling, DATA_VALID, 0, &telling->valid);
    if (file->unlabelled) failed |= tell_split(telling, DATA_UNLABELLED, telling->train.detector, &telling->unlabelled);
    return failed;
}

/* What is made of train= for a network. */
static int make(telling *telling, const options *options, const data_input *input)
{
    const contents *train = &telling->train;
    int failed = 0;
    if (!train->set && (input->anchors || options->sheet)) {
        if (!telling->file->train)
            diag_error(telling->d, telling->file->path, 0, NULL, "anchors and -sheet are of train=, which is missing");
        return -1;
    }
    if (input->anchors && !train->detector) {
        diag_error(telling->d, telling->file->path, 0, NULL, "anchors are made of boxes, and train= has none");
        return -1;
    }
    if (input->anchors) failed = verb_data_anchors(train, input, telling->object, telling->out, telling->d);
    if (!failed && options->sheet) failed = verb_data_sheet(telling->file, train, input, options->sheet, telling->d);
    if (!failed && options->sheet && !telling->object)
        fprintf(telling->out, "%s: images of train= as they are trained on\n", options->sheet);
    return failed;
}

/* All that is asked. */
static int tell(const data_file *file, const options *options, const data_input *input, diag *d)
{
    telling telling = { .file = file, .out = options->out, .d = d };
    if (options->json) {
        telling.object = cJSON_CreateObject();
        cJSON_AddNumberToObject(telling.object, "classes", file->classes);
    } else {
        fprintf(options->out, "%s: %d class%s%s\n", file->path, file->classes, file->classes == 1 ? "" : "es",
                file->name ? "" : " without names");
    }
    int failed = tell_splits(&telling);
    failed |= make(&telling, options, input);
    if (telling.object) failed |= json_print(telling.object, options->out, d);
    verb_data_free(&telling.train);
    verb_data_free(&telling.valid);
    verb_data_free(&telling.unlabelled);
    return failed;
}

/* The network first: what it says wrong need not wait for the images. */
static int run(options *options, diag *d)
{
    data_input input = { 0 };
    data_file *file = data_file_read(options->arg[0], d);
    int failed = !file || read_input(options, file->classes, &input, d) ||
                 (options->sheet && out_file_check(&options->sheet, 1, d));
    if (!failed && !file->train && !file->valid) {
        diag_error(d, file->path, 0, NULL, "names no images: neither train= nor valid= is there");
        failed = -1;
    }
    if (!failed) failed = tell(file, options, &input, d);
    free(input.old);
    data_file_free(file);
    return failed;
}

const verb verb_data = {
    .name = "data", .arguments = "DATA [CFG]", .min = 1, .max = 2, .run = run,
    .help = "what a .data file names: images, classes, sizes, boxes; anchors, a picture",
    .example = "data my.data student.cfg -sheet sheet.png",
    .flags = { "json", "anchors", "input-width", "input-height", "fit", "seed", "sheet" },
};
