/* What `data` has found, as JSON (see verb_data.h). */
#include "verb_data.h"

#include <string.h>

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
    cJSON_AddItemToObject(sizes, "common", size_json(verb_data_common_size(split)));
    cJSON_AddNumberToObject(sizes, "different", (double)split->sizes);
}

static void add_classes(cJSON *object, const data_file *file, const contents *split)
{
    cJSON *list = cJSON_AddArrayToObject(object, "per_class");
    char buf[16];
    for (int i = 0; i < dataset_classes(split->set); ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", data_file_class(file, i, buf, sizeof buf));
        cJSON_AddNumberToObject(one, verb_data_counted(split), (double)split->of_class[i]);
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
    for (int i = 0; i < DATA_REASONS && split->left_out[i].why; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "why", split->left_out[i].why);
        cJSON_AddNumberToObject(one, "images", (double)split->left_out[i].images);
        cJSON_AddStringToObject(one, "names", split->left_out[i].names);
        cJSON_AddItemToArray(list, one);
    }
}

/* All of it, classes one by one. */
cJSON *verb_data_json(const data_file *file, const contents *split)
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
    if (!strcmp(split->split, "valid")) cJSON_AddNumberToObject(object, "in_train", (double)split->twins);
    return object;
}
