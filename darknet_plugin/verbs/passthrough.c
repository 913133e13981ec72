/* Anything but `darknet distill ...` goes to the stock program, unless that would misread a cfg among its arguments:
 * what only AlexeyAB's Darknet has it passes over in silence. A distillation cfg among its arguments is lowered on
 * the way into a temporary folder under its own base name; commands that train or write weights would lose the teacher
 * and train the frozen tail, so they refuse one and name the verb to use.
 *
 * The stock program answers a missing or short file with exit status 0, or by handing the file's name to a shell, so
 * every argument that looks like a file is checked first. */
#include "passthrough.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/temp_folder.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/deploying/readers.h"
#include "darknet_plugin/lowering/lower.h"
#include "weights_tools/file/weights_file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char STOCK[] = "/usr/bin/darknet";

/* Stock commands that only run a network: these may be given a distillation cfg. `sub` NULL = no subcommand. */
typedef struct stock_row {
    const char *command, *sub;
} stock_row;

static const stock_row INFERENCE[] = {
    { "classifier", "predict" }, { "classifier", "try" }, { "classifier", "demo" }, { "classifier", "gun" },
    { "classifier", "threat" }, { "classifier", "test" }, { "classifier", "csv" }, { "classifier", "label" },
    { "classifier", "valid" }, { "classifier", "validmulti" }, { "classifier", "valid10" },
    { "classifier", "validcrop" }, { "classifier", "validfull" }, { "classifier", "fout" },
    { "detector", "test" }, { "detector", "valid" }, { "detector", "valid2" }, { "detector", "recall" },
    { "detector", "demo" }, { "detect", NULL }, { "classify", NULL }, { "speed", NULL }, { "ops", NULL },
    { "visualize", NULL }, { "print", NULL },
};

/* What our own verbs do as well, for a network that the stock program cannot read. */
static const stock_row OWN[] = {
    { "train", "train" }, { "test", "predict" }, { "demo", "predict" }, { "predict", "predict" }, { "try", "predict" },
    { "valid", "valid" }, { "valid2", "valid" }, { "recall", "valid" }, { "map", "valid" }, { "validmulti", "valid" },
    { "valid10", "valid" }, { "validcrop", "valid" }, { "validfull", "valid" }, { "detect", "predict" },
    { "classify", "predict" }, { "speed", "bench" }, { "ops", "summary" }, { "print", "summary" },
};

/* And the verb that does what a refused command was probably for. */
typedef struct refusal_row {
    const char *command, *verb;
} refusal_row;

static const refusal_row REFUSED[] = {
    { "partial", "export" }, { "average", "export" }, { "denormalize", "export" }, { "normalize", "export" },
    { "oneoff", "export" }, { "oneoff2", "export" }, { "rescale", "export" }, { "rgbgr", "export" },
    { "reset", "export" }, { "statistics", "summary" },
};

typedef struct handover {
    int argc;
    char **argv;             /* borrowed strings, own array */
    temp_folder folder;      /* owned; with a NULL path: none was needed */
    char **made;             /* names of `files` files in it, owned */
    int files;
    net_shape *shape;        /* owned: of the last cfg among the arguments */
} handover;

static int has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text), tail = strlen(suffix);
    return len > tail && !strcasecmp(text + len - tail, suffix);
}

static int is_inference(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof INFERENCE / sizeof *INFERENCE; ++i) {
        if (strcmp(INFERENCE[i].command, argv[1])) continue;
        if (!INFERENCE[i].sub || (argc > 2 && !strcmp(INFERENCE[i].sub, argv[2]))) return 1;
    }
    return 0;
}

/* The verb for what was asked; NULL: there is none. */
static const char *own_verb(int argc, char **argv)
{
    const char *sub = argc > 2 ? argv[2] : "";
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; ++i)
        if (!strcmp(OWN[i].command, argv[1]) || !strcmp(OWN[i].command, sub)) return OWN[i].sub;
    return NULL;
}

static void refuse(char **argv, int argc, const char *cfg, diag *d)
{
    const char *own = own_verb(argc, argv), *verb = own ? own : "train";
    int has_sub = argc > 2 && argv[2][0] != '-' && !strchr(argv[2], '.');
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; ++i)
        if (!strcmp(REFUSED[i].command, argv[1])) verb = REFUSED[i].verb;
    diag_error(d, cfg, 0, NULL, "'darknet %s%s%s' would lose the teacher of a distillation cfg", argv[1],
               has_sub ? " " : "", has_sub ? argv[2] : "");
    diag_hint(d, "use 'darknet distill %s'", verb);
}

/* 0, or -1 with a message where the stock program would read something else. */
static int refuse_misread(const handover *handover, const char *path, const cfg_file *cfg, const net_shape *shape,
                          diag *d)
{
    reader_note note[READER_ROWS];
    const reader_note *first = readers_cannot(note, readers_note(cfg, shape, note), READER_DARKNET);
    if (!first) return 0;
    const cfg_section *section = cfg_layer(cfg, first->layer);
    diag_error(d, path, section->line, section->name, "%s: %s", first->row->construct, first->row->readers);
    const char *verb = own_verb(handover->argc, handover->argv);
    diag_hint(d, "use 'darknet distill %s'", verb ? verb : "export");
    return -1;
}

/* Argument i becomes the name of a file with this cfg, called as the one that it stands for. */
static int write_lowered(handover *handover, int i, const cfg_file *cfg, diag *d)
{
    size_t len;
    if (!handover->folder.path && temp_folder_make(&handover->folder, d)) return -1;
    char *path = mem_printf("%s/%s", handover->folder.path, path_base_name(handover->argv[i]));
    char *text = cfg_text(cfg, &len);
    int failed = out_file_text(path, text, len, d);
    free(text);
    handover->made = mem_realloc(handover->made, (size_t)handover->files + 1, sizeof *handover->made);
    handover->made[handover->files++] = handover->argv[i] = path;
    return failed;
}

/* Is it a distillation cfg? 1, or 0; or -1 with a message where it is a plain one that the stock program misreads. What
 * is wrong with one is otherwise that program's to say. */
static int is_distillation(const handover *handover, const char *path, diag *d)
{
    diag *quiet = diag_new();
    cfg_file *cfg = cfg_read(path, quiet);
    int answer = cfg && cfg_is_distillation(cfg);
    net_shape *shape = cfg && !answer && !diag_errors(quiet) ? shapes_infer(cfg, quiet) : NULL;
    if (shape) answer = refuse_misread(handover, path, cfg, shape, d);
    shapes_free(shape);
    cfg_free(cfg);
    diag_free(quiet);
    return answer;
}

/* A cfg among the arguments; a plain one goes on as it is. */
static int take_cfg(handover *handover, int i, diag *d)
{
    const char *path = handover->argv[i];
    int distils = is_distillation(handover, path, d);
    if (distils <= 0) return distils;
    if (!is_inference(handover->argc, handover->argv)) {
        refuse(handover->argv, handover->argc, path, d);
        return -1;
    }
    lowered *low = lower_read(path, LOWER_DEPLOY, d);
    int failed = !low || refuse_misread(handover, path, low->cfg, low->shape, d) ||
        write_lowered(handover, i, low->cfg, d);
    if (low) {
        shapes_free(handover->shape);
        handover->shape = low->shape;
        low->shape = NULL;
    }
    lower_free(low);
    return failed;
}

/* A weights file must be whole, and the deployed network's. */
static int take_weights(handover *handover, int i, diag *d)
{
    weights_info info;
    if (!handover->shape) return 0;
    if (weights_inspect(handover->argv[i], handover->shape, &info, d)) return -1;
    if (info.trained) {
        diag_error(d, handover->argv[i], 0, NULL, "holds layers that only training reads, the stock program would not");
        diag_hint(d, "darknet distill export CFG WEIGHTS OUT writes both without them");
        return -1;
    }
    if (info.layers >= handover->shape->n) return 0;
    diag_error(d, handover->argv[i], 0, NULL, "holds %d of the network's %d layers", info.layers, handover->shape->n);
    return -1;
}

static int is_image_name(const char *arg)
{
    static const char *const suffix[] = {
        ".jpg", ".jpeg", ".png", ".bmp", ".tga", ".ppm", ".pgm", ".tif", ".tiff", ".webp",
    };
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; ++i)
        if (has_suffix(arg, suffix[i])) return 1;
    return 0;
}

/* The stock program hands the name of an image it cannot read to a shell. */
static int take_image(const char *path, diag *d)
{
    uint8_t *pixels;
    int w, h;
    char why[256];
    if (strlen(path) > 255) snprintf(why, sizeof why, "the stock program takes names of up to 255 bytes");
    else if (!image_decode(path, 3, &pixels, &w, &h, why, sizeof why)) {
        free(pixels);
        return 0;
    }
    diag_error(d, path, 0, NULL, "cannot read this image: %s", why);
    return -1;
}

/* Looks at argument i, which may be a file that the stock program would stumble over. */
static int take_argument(handover *handover, int i, diag *d)
{
    const char *arg = handover->argv[i];
    int inference = is_inference(handover->argc, handover->argv);
    int writes = i == handover->argc - 1 && !inference;   /* `partial`, `denormalize`, ... end on a file to write */
    int file = has_suffix(arg, ".cfg") || has_suffix(arg, ".data") || has_suffix(arg, ".weights");
    if (arg[0] == '-' || (i > 2 && !strcmp(handover->argv[i - 1], "-out"))) return 0;
    if (file && !writes && access(arg, R_OK)) {
        diag_error(d, arg, 0, NULL, "cannot read: %s", strerror(errno));
        return -1;
    }
    if (has_suffix(arg, ".cfg")) return take_cfg(handover, i, d);
    if (has_suffix(arg, ".weights") && !writes) return take_weights(handover, i, d);
    return is_image_name(arg) && inference ? take_image(arg, d) : 0;
}

/* The exit status of the stock program, or 1 with a message. */
static int run_stock(handover *handover, diag *d)
{
    enum { NOT_STARTED = 127 };
    unfinished child;
    pid_t started = unfinished_fork(&child);
    if (!started) {
        execv(STOCK, handover->argv);
        _exit(NOT_STARTED);
    }
    signal(SIGINT, SIG_IGN);   /* the child gets it too and decides */
    int status = unfinished_wait(&child);
    if (started < 0) diag_error(d, STOCK, 0, NULL, "cannot start: %s", strerror(errno));
    else if (WIFSIGNALED(status)) diag_error(d, STOCK, 0, NULL, "ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != NOT_STARTED) return WEXITSTATUS(status);
    else diag_error(d, STOCK, 0, NULL, "cannot run the stock program (Debian package 'darknet')");
    return 1;
}

/* Removes the files that were made, and the folder. */
static void free_handover(handover *handover)
{
    for (int i = 0; i < handover->files; ++i) free(handover->made[i]);
    temp_folder_remove(&handover->folder);
    shapes_free(handover->shape);
    free(handover->made);
    free(handover->argv);
}

int passthrough(int argc, char **argv, diag *d)
{
    handover handover = { .argc = argc, .argv = mem_calloc((size_t)argc + 1, sizeof *argv) };
    int failed = 0;
    memcpy(handover.argv, argv, (size_t)argc * sizeof *argv);
    for (int i = 2; i < argc; ++i) failed |= take_argument(&handover, i, d);
    int status = failed ? 1 : run_stock(&handover, d);
    free_handover(&handover);
    return status;
}
