/* What `data` has found, as text (see verb_data.h). */
#include "verb_data.h"

const dims *verb_data_common_size(const contents *split)
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

/* By area; the most common one where there is one. */
static void print_sizes(const contents *split, FILE *out)
{
    const dims *first = split->size, *last = split->size + split->sizes - 1, *common = verb_data_common_size(split);
    if (!split->sizes) return;
    if (split->sizes == 1) {
        fprintf(out, "  size        %d x %d\n", first->w, first->h);
        return;
    }
    fprintf(out, "  sizes       %d x %d to %d x %d, %zu different", first->w, first->h, last->w, last->h, split->sizes);
    if (common->images > 1)
        fprintf(out, "; most common %d x %d, %zu images", common->w, common->h, common->images);
    fprintf(out, "\n");
}

const char *verb_data_counted(const contents *split) { return split->detector ? "boxes" : "images"; }

/* Few classes one by one. */
static void print_each(const data_file *file, const contents *split, FILE *out)
{
    enum { FEW = 10 };
    if (!file->name || file->classes < 3 || file->classes > FEW) return;
    fprintf(out, "  of each    ");
    for (int i = 0; i < file->classes; ++i)
        fprintf(out, "%s %s %zu", i ? "," : "", file->name[i], split->of_class[i]);
    fprintf(out, "\n");
}

/* Who has the fewest and the most, by name. */
static void print_classes(const data_file *file, const contents *split, FILE *out)
{
    char buf[16], other[16];
    if (!split->detector && split->unlabelled + split->ambiguous == split->used) return;
    int low = extreme_class(split, 1), high = extreme_class(split, -1);
    size_t fewest = split->of_class[low], most = split->of_class[high];
    if (fewest == most) fprintf(out, "  a class     %zu %s\n", fewest, verb_data_counted(split));
    else
        fprintf(out, "  a class     %zu (%s) to %zu (%s) %s\n", fewest, data_file_class(file, low, buf, sizeof buf),
                most, data_file_class(file, high, other, sizeof other), verb_data_counted(split));
    if (fewest != most) print_each(file, split, out);
    if (!split->detector) return;
    if (split->fewest == split->most)
        fprintf(out, "  an image    %zu box%s\n", split->most, split->most == 1 ? "" : "es");
    else
        fprintf(out, "  an image    %zu to %zu boxes, %.2f on average\n", split->fewest, split->most,
                split->used ? (double)split->boxes / (double)split->used : 0);
}

/* What there is of everything; what there is none of is left out. */
void verb_data_print(const data_file *file, const contents *split, FILE *out)
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
    if (split->twins) fprintf(out, "  in train=   %zu of these images\n", split->twins);
    if (split->unreadable) fprintf(out, "  unreadable  %zu\n", split->unreadable);
    for (int i = 0; i < DATA_REASONS && split->left_out[i].why; ++i)
        fprintf(out, "  left out    %zu: %s: %s\n", split->left_out[i].images, split->left_out[i].why,
                split->left_out[i].names);
}
