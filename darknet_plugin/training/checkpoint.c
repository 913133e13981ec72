/* A checkpoint that can be killed at any instant (see checkpoint.h). */
#include "checkpoint.h"

#include "layers/gpu/gpu.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/key_text.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/augment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CFG_LINE "cfg=%016" PRIx64 "\n"   /* the key's first */
#define FIT_LINE "fit="
#define PLAN_LINE "auto="
#define BY_FLAG " by -fit"
#define THREADS "threads="
#define OF_RANKS " of each of %d ranks"      /* behind the threads' number, where there are several */

/* ---- what a run was started with ---- */

static uint64_t hash_cfg(const cfg_file *cfg)
{
    size_t len;
    char *text = cfg_text(cfg, &len);
    uint64_t h = hash_bytes(text, len, HASH_START);
    free(text);
    return h;
}

/* What is known about images, and they themselves where they are in memory; what files hold is compared one by one. */
static uint64_t hash_data(const dataset *set)
{
    if (!set) return 0;
    uint64_t h = dataset_identity(set), labelled = dataset_labelled(set);
    if (dataset_has_boxes(set) && labelled < dataset_count(set)) h = hash_bytes(&labelled, sizeof labelled, h);
    for (size_t i = 0; i < dataset_count(set); ++i) {
        int n, label = dataset_label(set, i), left_out = dataset_left_out(set, i) != NULL;
        const data_box *box = dataset_boxes(set, i, &n);
        h = hash_bytes(&label, sizeof label, h);
        h = hash_bytes(&left_out, sizeof left_out, h);
        h = hash_bytes(box, (size_t)(n > 0 ? n : 0) * sizeof *box, h);
    }
    return h;
}

/* ---- its key: a "name=value" line for each thing that decides what comes out ---- */

/* Of a teacher's sections. Its batch is the student's sub-batch: of several ranks all that they see at a time, as it is
 * where one process trains. */
static uint64_t hash_teacher(const model *model, const teacher_spec *spec)
{
    cfg_section *net = &spec->cfg->section[0];
    int batch = cfg_int(net, "batch", 1);
    cfg_set(net, "batch", "%d", batch * ranks_count(model->ranks));
    uint64_t h = hash_cfg(spec->cfg);
    cfg_set(net, "batch", "%d", batch);
    return h;
}

/* Each [teacher]; the network that is trained from its labels has the teacher's sections only. */
static void put_teachers(FILE *out, const model *model)
{
    for (int i = 0; i < model->low->teachers; ++i) {
        const teacher_spec *spec = &model->low->teacher[i];
        if (!model->teacher) {
            fprintf(out, "teacher %s=layers %016" PRIx64 ", no weights: from labels\n", spec->name,
                    hash_teacher(model, spec));
            continue;
        }
        const network *net = model->teacher[i]->net;
        fprintf(out, "teacher %s=layers %016" PRIx64 ", weights %016" PRIx64 ", features %s\n", spec->name,
                hash_teacher(model, spec), weights_hash(net, 0, net->n),
                model->features[i] ? features_type(model->features[i]) : "live");
    }
}

static void put_images(FILE *out, const char *which, const dataset *set)
{
    fprintf(out, "%s images=%zu, %016" PRIx64 "\n", which, set ? dataset_count(set) : 0, hash_data(set));
}

static void put_views(FILE *out, const checkpoint_run *run)
{
    fprintf(out, "seed=%" PRIu64 "\nviews=%" PRIu64, run->seed, run->views);
    if (run->view_seed != run->seed) fprintf(out, " of seed %" PRIu64, run->view_seed);
    if (run->rate > 0) fprintf(out, ", learning rate %.9g by -rate", run->rate);
    fputc('\n', out);
}

/* BY_FLAG: not as the cfg says. */
static void put_fit(FILE *out, const lowered *low)
{
    fprintf(out, FIT_LINE "%s%s\n", augment_fit_name(low->augment.fit), low->fit_by_flag ? BY_FLAG : "");
}

static void put_run(FILE *out, const checkpoint_run *run)
{
    put_teachers(out, run->model);
    put_images(out, "training", run->train);
    put_images(out, "validation", run->valid);
    put_views(out, run);
    put_fit(out, run->model->low);
    fprintf(out, "backend=%s%s\n", run->backend ? run->backend : "dnnl",
            run->precision == PRECISION_BF16 ? ", bf16" : "");
    if (run->plan) fprintf(out, PLAN_LINE "%s\n", run->plan);
}

char *checkpoint_key(const checkpoint_run *run)
{
    char *text;
    size_t len;
    FILE *out = mem_stream(&text, &len);
    fprintf(out, CFG_LINE, hash_cfg(run->model->low->source));
    put_run(out, run);
    mem_stream_end(out);
    return text;
}

/* The caller frees. */
static char *make_key(const checkpoint_run *run)
{
    const network *net = run->model->net;
    char *text, *who = cpu_identity();
    size_t len;
    FILE *out = mem_stream(&text, &len);
    fprintf(out, CFG_LINE, hash_cfg(run->model->low->source));
    fprintf(out, "weights at the start=%016" PRIx64 ", %zu images seen\n", weights_hash(net, 0, net->n), *net->seen);
    put_run(out, run);
    fprintf(out, THREADS "%d", run->threads);
    if (run->model->ranks) fprintf(out, OF_RANKS, run->model->ranks->count);
    fprintf(out, "\n%s", who);
    mem_stream_end(out);
    free(who);
    return text;
}

checkpoint *checkpoint_open(const char *folder, const char *name, const checkpoint_run *run)
{
    checkpoint *c = mem_calloc(1, sizeof *c);
    *c = (checkpoint){ .folder = folder, .name = name, .key = make_key(run), .set = { run->train, run->valid } };
    return c;
}

void checkpoint_free(checkpoint *checkpoint)
{
    if (!checkpoint) return;
    free(checkpoint->key);
    free(checkpoint);
}

/* ---- what images held ---- */

/* The caller frees images->print. */
static run_images images_of(const dataset *set)
{
    run_images images = { .n = set ? dataset_prints(set) : 0 };
    images.print = mem_calloc(images.n, sizeof *images.print);
    for (uint64_t i = 0; i < images.n; ++i) images.print[i] = dataset_print(set, i);
    return images;
}

/* Do the images that the run has read hold what they held then? 0, or -1 with a message, which is a warning where
 * `force` says so. */
static int same_images(const checkpoint *checkpoint, const run_state *state, const char *path, int force, diag *d)
{
    static const char *const which[RUN_SETS] = { "training", "validation" };
    int differ = 0;
    for (int i = 0; i < RUN_SETS; ++i) {
        const run_images *images = &state->images[i];
        char *text = checkpoint->set[i] ? dataset_trust(checkpoint->set[i], images->print, images->n) : NULL;
        if (!text) continue;
        (force ? diag_warn : diag_error)(d, path, 0, NULL, "the run has seen other %s images: %s", which[i], text);
        differ = 1;
        free(text);
    }
    if (differ)
        diag_hint(d, force ? "the result will not be that of an uninterrupted run"
                  : "-force goes on all the same; the result is then not that of an uninterrupted run");
    return differ && !force ? -1 : 0;
}

/* ---- saving ---- */

static char *path_of(const checkpoint *checkpoint, const char *suffix)
{
    return mem_printf("%s/%s_last.%s", checkpoint->folder, checkpoint->name, suffix);
}

int checkpoint_exists(const char *folder, const char *name)
{
    char *state = path_of(&(checkpoint){ .folder = folder, .name = name }, "state");
    int there = !access(state, F_OK);
    free(state);
    return there;
}

/* Is that key one of a run of this cfg? */
static int key_is_of(const char *key, const cfg_file *cfg)
{
    char line[32];
    int n = snprintf(line, sizeof line, CFG_LINE, hash_cfg(cfg));
    return key && !strncmp(key, line, (size_t)n);
}

int checkpoint_is_of(const char *folder, const char *name, const cfg_file *cfg)
{
    char *path = path_of(&(checkpoint){ .folder = folder, .name = name }, "state");
    diag *unsaid = diag_new();
    run_state *s = access(path, F_OK) ? NULL : run_state_read(path, unsaid);
    int is = s && key_is_of(s->key, cfg);
    free(path);
    diag_free(unsaid);
    run_state_free(s);
    return is;
}

/* Of X_last.weights, X_best.weights and X_final.weights X_last.state, which the caller frees; NULL of other names. */
static char *state_beside(const char *weights)
{
    static const char *const ends[] = { "_last.weights", "_best.weights", "_final.weights" };
    size_t n = strlen(weights);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
        size_t end = strlen(ends[i]);
        if (n > end && !strcmp(weights + n - end, ends[i]))
            return mem_printf("%.*s_last.state", (int)(n - end), weights);
    }
    return NULL;
}

/* What stands behind `name`, "\nNAME=", in a key; NULL: it has no such line. */
static const char *value_in(const char *key, const char *name)
{
    const char *line = strstr(key, name);
    return line ? line + strlen(name) : NULL;
}

/* What a key says that -fit was; -1: nothing. */
static int fit_in_key(const char *key)
{
    const char *line = value_in(key, "\n" FIT_LINE);
    if (!line) return -1;
    for (int fit = FIT_CROP; fit <= FIT_STRETCH; ++fit) {
        const char *name = augment_fit_name((image_fit)fit);
        size_t n = strlen(name);
        if (!strncmp(line, name, n) && !strncmp(line + n, BY_FLAG "\n", strlen(BY_FLAG "\n"))) return fit;
    }
    return -1;
}

const char *checkpoint_fit(const char *weights, const char *cfg)
{
    char *state = state_beside(weights);
    diag *unsaid = diag_new();
    cfg_file *source = state && !access(state, F_OK) ? cfg_read(cfg, unsaid) : NULL;
    char *key = source ? run_state_key(state) : NULL;
    int fit = key && key_is_of(key, source) ? fit_in_key(key) : -1;
    free(key);
    cfg_free(source);
    diag_free(unsaid);
    free(state);
    return fit < 0 ? NULL : augment_fit_name((image_fit)fit);
}

char *checkpoint_plan(const char *folder, const char *name)
{
    char *path = path_of(&(checkpoint){ .folder = folder, .name = name }, "state");
    char *key = access(path, F_OK) ? NULL : run_state_key(path);
    const char *line = key ? value_in(key, "\n" PLAN_LINE) : NULL;
    char *plan = line ? mem_printf("%.*s", (int)strcspn(line, "\n"), line) : NULL;
    free(key);
    free(path);
    return plan;
}

uint64_t checkpoint_seen(const checkpoint *checkpoint)
{
    char *path = path_of(checkpoint, "state");
    diag *unsaid = diag_new();
    run_state *s = access(path, F_OK) ? NULL : run_state_read(path, unsaid);
    int same = s && !strcmp(s->key, checkpoint->key);
    for (int i = 0; same && i < RUN_SETS; ++i)
        same = !checkpoint->set[i] || dataset_untouched(checkpoint->set[i], s->images[i].print, s->images[i].n);
    uint64_t seen = same ? s->progress.seen : 0;
    run_state_free(s);
    diag_free(unsaid);
    free(path);
    return seen;
}

/* The state as a file, whole. */
static int save_state(const checkpoint *checkpoint, const model *model, const run_progress *progress,
                      const run_sums *sums, const char *path, diag *d)
{
    out_file f;
    run_images images[RUN_SETS];
    if (out_file_open(&f, path, d)) return -1;
    for (int i = 0; i < RUN_SETS; ++i) images[i] = images_of(checkpoint->set[i]);
    int failed = run_state_write(f.file, model->net, model->low->trained, weights_hash(model->net, 0, model->net->n),
                                 progress, sums, checkpoint->key, images);
    for (int i = 0; i < RUN_SETS; ++i) free(images[i].print);
    return out_file_close(&f, failed, d);
}

/* Step 3. */
static int move_weights(const char *from, const char *to, diag *d)
{
    if (!out_file_rename(from, to)) return 0;
    diag_error(d, to, 0, NULL, "cannot write: %s", strerror(errno));
    return -1;
}

int checkpoint_save(const checkpoint *checkpoint, const model *model, const run_progress *progress,
                    const run_sums *sums, diag *d)
{
    char *weights = path_of(checkpoint, "weights"), *fresh = path_of(checkpoint, "weights.new"),
        *state = path_of(checkpoint, "state");
    int failed = weights_save(model->net, fresh, d);
    if (!failed && save_state(checkpoint, model, progress, sums, state, d)) {
        failed = -1;
        unlink(fresh);
    }
    if (!failed) failed = move_weights(fresh, weights, d);
    free(weights);
    free(fresh);
    free(state);
    return failed;
}

/* ---- resuming ---- */

/* The ranks of a key's line of threads; 0: it is another line. */
static int ranks_of(const char *line)
{
    int threads, ranks = 1, n = sscanf(line, THREADS "%d" OF_RANKS, &threads, &ranks);
    return n < 1 ? 0 : ranks;
}

/* Is all that differs that more ranks train, or fewer? Says so: any number of them can go on. */
static int other_ranks(const key_difference *difference, const char *path, diag *d)
{
    int had = ranks_of(difference->has), has = ranks_of(difference->want);
    if (!had || !has || had == has) return 0;
    diag_warn(d, path, 0, NULL,
              "the run had %d rank%s, now it has %d: it goes on, but not bit for bit as it would have", had,
              had > 1 ? "s" : "", has);
    return 1;
}

/* Every line in which the two runs differ. */
static int same_run(const checkpoint *checkpoint, const run_state *state, const char *path, int force, diag *d)
{
    const char *has = state->key, *want = checkpoint->key;
    key_difference k;
    int n = 0, more;
    while ((more = key_next_difference(&has, &want, &k)) > 0) {
        if (other_ranks(&k, path, d)) continue;
        (force ? diag_warn : diag_error)(d, path, 0, NULL, "the run was started with %.*s, now it is %.*s",
                                         k.has_length, k.has, k.want_length, k.want);
        ++n;
    }
    if (more < 0)
        (force ? diag_warn : diag_error)(d, path, 0, NULL, "the run was started by another version of this program");
    if (!n && !more) return 0;
    diag_hint(d, force ? "the result will not be that of an uninterrupted run"
              : "-force goes on all the same; the result is then not that of an uninterrupted run");
    return force ? 0 : -1;
}

/* Loads `weights` if they are those of the state: 1; 0: they are others, or not there. -1 with a message: they do not
 * load. */
static int load_if(model *model, const char *weights, const run_state *state, diag *d)
{
    if (access(weights, F_OK)) return 0;
    if (model_load_whole(model, weights, d)) return -1;
    return weights_hash(model->net, 0, model->net->n) == state->weights;
}

static int load_pair(model *model, const run_state *state, const char *weights, const char *fresh, diag *d)
{
    int is = load_if(model, weights, state, d);
    if (is > 0) unlink(fresh);   /* no state came after it, or it is the same */
    if (is) return is > 0 ? 0 : -1;
    is = load_if(model, fresh, state, d);
    if (is) return is > 0 ? move_weights(fresh, weights, d) : -1;
    diag_error(d, weights, 0, NULL, "are not the weights that the state beside them belongs to");
    diag_hint(d, "give them as the third argument, without -resume, to go on without the state");
    return -1;
}

/* There is no state. */
static int without_state(const char *weights, diag *d)
{
    if (access(weights, F_OK)) return 0;
    diag_error(d, weights, 0, NULL, "has no state beside it: its run cannot be resumed exactly");
    diag_hint(d, "give it as the third argument, without -resume: momentum then starts at zero");
    return -1;
}

/* A recurrent layer keeps more than a state holds. */
static int can_resume(const model *model, diag *d)
{
    int i = run_state_unsupported(model->net, model->low->trained);
    if (i < 0) return 1;
    const cfg_section *s = cfg_layer(model->low->cfg, i);
    diag_error(d, s->file, s->line, s->name, "layer %d: its training cannot be resumed exactly", i);
    diag_hint(d, "give the weights as the third argument, without -resume: momentum then starts at zero");
    return 0;
}

/* checkpoint_resume, by the paths of its files. */
static int resume(const checkpoint *checkpoint, model *model, run_progress *progress, run_sums *sums, int force,
                  const char *state, const char *weights, const char *fresh, diag *d)
{
    if (access(state, F_OK)) return without_state(weights, d);
    if (!can_resume(model, d)) return -1;
    run_state *s = run_state_read(state, d);
    int failed = !s || same_run(checkpoint, s, state, force, d) || same_images(checkpoint, s, state, force, d)
                 || load_pair(model, s, weights, fresh, d)
                 || model_apply_state(model, s, state, d);
    if (!failed) {
        *progress = s->progress;
        *sums = s->sums;
        gpu_push(model->net);
    }
    run_state_free(s);
    return failed ? -1 : 1;
}

int checkpoint_resume(const checkpoint *checkpoint, model *model, run_progress *progress, run_sums *sums, int force,
                      diag *d)
{
    char *weights = path_of(checkpoint, "weights"), *fresh = path_of(checkpoint, "weights.new"),
        *state = path_of(checkpoint, "state");
    int found = resume(checkpoint, model, progress, sums, force, state, weights, fresh, d);
    free(weights);
    free(fresh);
    free(state);
    return found;
}
