/* Darknet's image lists: a path a line, looked up as it stands, then relative to the list's folder.
 *
 * A line may end on a class: a label's name, or a number in range; whatever else follows a space is part of the path.
 * Without one Darknet's rule holds, the class whose label is a substring of the path as written; but where Darknet
 * takes none, or several, for an answer ("man" in "woman", "train" in ".../train/..."), that is an error here.
 * A detector's line is a path, whatever it holds. */
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct list_reader list_reader;

struct list_reader {
    dataset *set;
    void (*entry)(list_reader *reader, char *text, int line);   /* adds a line's image */
    const data_request *request;
    const char *list;            /* the file being read, borrowed */
    diag *d;
    data_names known;            /* every name of a class */
    data_names label;            /* what the substring rule looks for */
    data_flood missing, strange, twice, classless, several;   /* of one list; `strange`: its last word is no class */
};

static void sort_names(list_reader *reader)
{
    const data_file *data = reader->request->data;   /* classes= alone is a number anyone can write */
    data_names_add(&reader->known, data->name, data->classes);
    data_names_add(&reader->known, data->tag, data->classes);
    data_names_add(&reader->label, data->tag ? data->tag : data->name, data->classes);
}

/* The first label in [lo, hi), which agree in their first k bytes, whose byte k is at least c. */
static size_t first_from(const named_class *label, size_t lo, size_t hi, size_t k, int c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)label[mid].name[k] < c) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* Adds class c to the one or two found. */
static void found_class(int found[2], int c)
{
    if (found[0] == DATA_NO_CLASS) found[0] = c;
    else if (found[0] != c && found[1] == DATA_NO_CLASS) found[1] = c;
}

/* Darknet's rule: the classes (the first two) whose label is in `path`. At each place the sorted labels are narrowed
 * down byte by byte, so that a thousand labels cost little more than one. */
static void classes_by_substring(const list_reader *reader, const char *path, int found[2])
{
    found[0] = found[1] = DATA_NO_CLASS;
    for (; *path && found[1] == DATA_NO_CLASS; ++path) {
        size_t lo = 0, hi = reader->label.n;
        for (size_t k = 0; lo < hi; ++k) {
            for (; lo < hi && !reader->label.entry[lo].name[k]; ++lo) found_class(found, reader->label.entry[lo].class);
            int c = (unsigned char)path[k];
            if (!c) break;
            lo = first_from(reader->label.entry, lo, hi, k, c);
            hi = first_from(reader->label.entry, lo, hi, k, c + 1);
        }
    }
}

static char *find_image(const list_reader *reader, const char *name)
{
    char *path = path_named_in(reader->list, name);
    if (!path_problem(path)) return path;
    free(path);
    return NULL;
}

/* "path class", split at the leftmost blank that leaves a known class behind an existing file. Cuts `text` and returns
 * the file (the caller frees) and its class; NULL if there is no such split. */
static char *split_class(const list_reader *reader, char *text, int *class)
{
    for (char *p = text + strcspn(text, " \t"); *p; p += strcspn(p, " \t")) {
        char *gap = p, blank = *p;
        p += strspn(p, " \t");
        *class = data_class_written(&reader->known, p, reader->set->classes);
        if (*class == DATA_NO_CLASS) continue;
        *gap = 0;
        char *path = find_image(reader, text);
        if (path) return path;
        *gap = blank;
    }
    return NULL;
}

/* A line whose image is not there, or whose last word is no class. */
static void report_missing(list_reader *reader, char *text, int line)
{
    char *last = text + strlen(text);
    while (last > text && !isspace((unsigned char)last[-1])) --last;
    char *gap = last;
    while (gap > text && isspace((unsigned char)gap[-1])) --gap;
    char *name = mem_printf("%.*s", (int)(gap - text), text), *path = gap > text ? find_image(reader, name) : NULL;
    if (path)
        data_flood_add(&reader->strange, reader->list, line, text,
                       mem_printf("class \"%.100s\" of %s is neither a label nor a number from 0 to %d", last, name,
                                  reader->set->classes - 1));
    else
        data_flood_add(&reader->missing, reader->list, line, text,
                       mem_printf("image %s is not there or not readable", text));
    free(path);
    free(name);
}

/* The labels that paths are searched for; NULL: there are none. */
static char *const *path_labels(const list_reader *reader)
{
    const data_file *data = reader->request->data;
    return data->tag ? data->tag : data->name;
}

/* A line whose label is missing, or found twice. */
static void report_class(list_reader *reader, const char *text, const int found[2], int line)
{
    char *const *label = path_labels(reader), *wrong;
    if (!label) wrong = mem_printf("image %s has no class", text);
    else if (found[0] == DATA_NO_CLASS)
        wrong = mem_printf("image %s has no class: none of the %d labels is in its path", text,
                           reader->request->data->classes);
    else
        wrong = mem_printf("image %s has several classes: labels \"%s\" and \"%s\" are both in its path", text,
                           label[found[0]], label[found[1]]);
    data_flood_add(label && found[0] != DATA_NO_CLASS ? &reader->several : &reader->classless, reader->list, line, text,
                   wrong);
}

/* A line without a class of its own; takes `path`. */
static void add_by_substring(list_reader *reader, const char *text, char *path, int line)
{
    int found[2];
    classes_by_substring(reader, text, found);
    int single = found[0] != DATA_NO_CLASS && found[1] == DATA_NO_CLASS;
    int refused = found[0] == DATA_NO_CLASS ? DATA_CLASSES : DATA_CLASSES | DATA_UNAMBIGUOUS;
    if (single || !(reader->request->need & refused)) {
        data_add_image(reader->set, path, found[1] == DATA_NO_CLASS ? found[0] : DATA_SEVERAL_CLASSES);
        return;
    }
    report_class(reader, text, found, line);
    free(path);
}

/* A line of a classifier: with its class, or by the substring rule. */
static void read_entry(list_reader *reader, char *text, int line)
{
    int class;
    char *path = split_class(reader, text, &class);
    if (path && class == DATA_SEVERAL_CLASSES) {
        data_flood_add(&reader->twice, reader->list, line, text,
                       mem_printf("the class of image %s is a name that stands twice among the labels", text));
        free(path);
    } else if (path) {
        data_add_image(reader->set, path, class);
    } else if ((path = find_image(reader, text))) {
        add_by_substring(reader, text, path, line);
    } else {
        report_missing(reader, text, line);
    }
}

/* A detector's image; one that is not there keeps its number, so that numbers do not depend on what is. */
static void read_detector_entry(list_reader *reader, char *text, int line)
{
    (void)line;
    char *path = path_named_in(reader->list, text);
    int there = !path_problem(path);
    data_add_image(reader->set, path, -1);
    if (!there) reader->set->left_out[reader->set->count - 1] = DATA_NO_IMAGE;
}

static char *trim(char *text, size_t length)
{
    while (length && isspace((unsigned char)text[length - 1])) text[--length] = 0;
    while (isspace((unsigned char)*text)) ++text;
    return text;
}

/* A file that is no text: is it CIFAR's, with a number of classes or a name that hides it? */
static void report_not_text(const list_reader *reader, int line)
{
    size_t records;
    int classes;
    const char *format = data_cifar_format(reader->list, &records, &classes);
    diag_error(reader->d, reader->list, line, NULL, "neither IDX, CIFAR nor a list of images: not a text file");
    if (format)
        diag_hint(reader->d, "it is as long as %zu records of format=%s, which is found by itself with classes=%d and "
                  "a name on .bin: write format=%s, or set classes=, which is %d", records, format, classes, format,
                  reader->set->classes);
}

/* Empty lines are passed over, a mark of byte order too. */
static void read_lines(list_reader *reader, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    int line = 0;
    for (ssize_t n; (n = data_getline(&text, &room, in)) >= 0;) {
        ++line;
        if (memchr(text, 0, (size_t)n)) {
            report_not_text(reader, line);
            break;
        }
        char *entry = trim(text, (size_t)n);
        if (line == 1 && !strncmp(entry, "\xef\xbb\xbf", 3)) entry += 3;
        if (*entry) reader->entry(reader, entry, line);
    }
    free(text);
}

/* What is wrong with its lines, kind by kind. */
static void sum_up(list_reader *reader)
{
    const char *write = "write the class behind the path";
    const char *leave_out = "write the class behind the path; -force leaves such images out";
    char *name = path_labels(reader) ? mem_strdup(write)
                 : mem_printf("%s, or name the labels with names= in %s", write, reader->request->data->path);
    char *strange = mem_printf("images end on what is neither a label nor a number from 0 to %d",
                               reader->set->classes - 1);
    data_flood_end(&reader->missing, DIAG_ERROR, reader->list, "images are not there or not readable", NULL, reader->d);
    data_flood_end(&reader->strange, DIAG_ERROR, reader->list, strange, NULL, reader->d);
    data_flood_end(&reader->twice, DIAG_ERROR, reader->list, "images are of a name that stands twice among the labels",
                   NULL, reader->d);
    data_flood_end(&reader->classless, DIAG_ERROR, reader->list, "images have no class", name, reader->d);
    data_flood_end(&reader->several, DIAG_ERROR, reader->list,
                   "images have several classes: the labels of both are in their paths",
                   reader->request->need & DATA_UNAMBIGUOUS ? leave_out : write, reader->d);
    free(strange);
    free(name);
}

/* One of the split's lists. */
static void read_list(list_reader *reader)
{
    FILE *in = in_file_stream(reader->list, reader->d);
    if (!in) {
        diag_error(reader->d, reader->list, 0, NULL, "%s", strerror(errno));
        return;
    }
    read_lines(reader, in);
    data_read_whole(in, reader->list, reader->d);
    sum_up(reader);
    fclose(in);
}

/* All of them. */
static int list_open(dataset *set, const data_request *request, diag *d)
{
    int detector = request->need & (DATA_DETECTOR | DATA_BOXES), errors = diag_errors(d);
    list_reader reader = { .set = set, .request = request, .d = d };
    reader.entry = detector ? read_detector_entry : read_entry;
    if (!detector) sort_names(&reader);
    for (int i = 0; i < request->paths; ++i) {
        reader.list = request->path[i];
        read_list(&reader);
    }
    free(reader.known.entry);
    free(reader.label.entry);
    return diag_errors(d) > errors ? -1 : 0;
}

const data_format data_list = {
    .name = "list", .what = "a list of images", .boxes = 1, .problem = path_problem, .open = list_open,
    DATA_IN_FILES
};
