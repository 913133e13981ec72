/* `darknet distill data DATA`: what a .data file names, before anything is trained on it: for each split its format,
 * images, their classes and sizes; of a detector's the boxes; images of valid= that are in train=, too. */
#include "verb_data.h"

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

static int tell(const data_file *file, const options *options, diag *d)
{
    telling telling = { .file = file, .out = options->out, .d = d };
    if (options->json) {
        telling.object = cJSON_CreateObject();
        cJSON_AddNumberToObject(telling.object, "classes", file->classes);
    } else {
        fprintf(options->out, "%s: %d classes%s\n", file->path, file->classes, file->name ? "" : " without names");
    }
    int failed = tell_splits(&telling);
    if (telling.object) failed |= json_print(telling.object, options->out, d);
    verb_data_free(&telling.train);
    verb_data_free(&telling.valid);
    verb_data_free(&telling.unlabelled);
    return failed;
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
