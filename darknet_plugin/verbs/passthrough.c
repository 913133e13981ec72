/* Anything but `darknet distill ...` goes to the stock program. A distillation cfg among its arguments is lowered on
 * the way into a temporary folder under its own base name; commands that train or write weights would lose the teacher
 * and train the frozen tail, so they refuse one and name the verb to use.
 *
 * The stock program answers a missing or short file with exit status 0, or by handing the file's name to a shell, so
 * every argument that looks like a file is checked first. */
#include "passthrough.h"

#include "darknet_plugin/host/host.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/lowering/lower.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
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
    { "detector", "test" }, { "detector", "valid" }, { "detector", "valid2" }, { "detector", "recall" }, { "detector", "demo" },
    { "detect", NULL }, { "classify", NULL }, { "speed", NULL }, { "ops", NULL }, { "visualize", NULL }, { "print", NULL },
};

/* And the verb that does what a refused command was probably for. */
typedef struct refusal_row {
    const char *command, *verb;
} refusal_row;

static const refusal_row REFUSED[] = {
    { "partial", "export" }, { "average", "export" }, { "denormalize", "export" }, { "normalize", "export" },
    { "oneoff", "export" }, { "oneoff2", "export" }, { "rescale", "export" }, { "rgbgr", "export" }, { "reset", "export" },
    { "statistics", "summary" },
};

typedef struct handover {
    int argc;
    char **argv;             /* borrowed strings, own array */
    char folder[64];         /* temporary, "" = none made */
    char **made;             /* files to remove, owned */
    int n;
    net_shape *shape;        /* owned: of the last cfg among the arguments */
} handover;

static int has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n > k && !strcasecmp(s + n - k, suffix);
}

static int is_inference(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof INFERENCE / sizeof *INFERENCE; ++i) {
        if (strcmp(INFERENCE[i].command, argv[1])) continue;
        if (!INFERENCE[i].sub || (argc > 2 && !strcmp(INFERENCE[i].sub, argv[2]))) return 1;
    }
    return 0;
}

static void refuse(char **argv, int argc, const char *cfg, diag *d)
{
    const char *verb = "train";
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; ++i)
        if (!strcmp(REFUSED[i].command, argv[1])) verb = REFUSED[i].verb;
    diag_error(d, cfg, 0, NULL, "'darknet %s%s%s' would lose the teacher of a distillation cfg", argv[1],
               argc > 2 && argv[2][0] != '-' && !strchr(argv[2], '.') ? " " : "",
               argc > 2 && argv[2][0] != '-' && !strchr(argv[2], '.') ? argv[2] : "");
    diag_hint(d, "use 'darknet distill %s'", verb);
}

static int make_folder(handover *h, diag *d)
{
    const char *tmp = getenv("TMPDIR");
    if (h->folder[0]) return 0;
    int n = snprintf(h->folder, sizeof h->folder, "%s/darknet-XXXXXX", tmp ? tmp : "/tmp");
    if (n < (int)sizeof h->folder && mkdtemp(h->folder)) return 0;
    diag_error(d, h->folder, 0, NULL, "cannot make a temporary folder: %s", strerror(errno));
    h->folder[0] = 0;
    return -1;
}

static int write_lowered(handover *h, int i, const cfg_file *cfg, diag *d)
{
    const char *slash = strrchr(h->argv[i], '/');
    size_t len;
    if (make_folder(h, d)) return -1;
    char *path = mem_printf("%s/%s", h->folder, slash ? slash + 1 : h->argv[i]), *text = cfg_text(cfg, &len);
    int failed = out_file_text(path, text, len, d);
    free(text);
    h->made = mem_realloc(h->made, (size_t)h->n + 1, sizeof *h->made);
    h->made[h->n++] = h->argv[i] = path;
    return failed;
}

/* A cfg among the arguments. A plain one goes on as it is (its mistakes are the stock program's to judge). */
static int take_cfg(handover *h, int i, diag *d)
{
    diag *mine = diag_new();
    const char *path = h->argv[i];
    cfg_file *c = cfg_read(path, mine);
    int failed = 0, distillation = c && cfg_is_distillation(c);
    cfg_free(c);
    diag_free(mine);
    if (distillation && !is_inference(h->argc, h->argv)) {
        refuse(h->argv, h->argc, path, d);
        return -1;
    }
    if (!distillation) return 0;
    lowered *low = lower_read(path, LOWER_DEPLOY, d);
    failed = !low || write_lowered(h, i, low->cfg, d);
    if (low) {
        shapes_free(h->shape);
        h->shape = low->shape;
        low->shape = NULL;
    }
    lower_free(low);
    return failed;
}

static int take_weights(handover *h, int i, diag *d)
{
    weights_info info;
    if (!h->shape) return 0;
    if (weights_inspect(h->argv[i], h->shape, &info, d)) return -1;
    if (info.layers >= h->shape->n) return 0;
    diag_error(d, h->argv[i], 0, NULL, "holds %d of the network's %d layers", info.layers, h->shape->n);
    return -1;
}

static int is_image_name(const char *arg)
{
    static const char *const suffix[] = { ".jpg", ".jpeg", ".png", ".bmp", ".tga", ".ppm", ".pgm", ".tif", ".tiff", ".webp" };
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

static int take_argument(handover *h, int i, diag *d)
{
    const char *arg = h->argv[i];
    int writes = i == h->argc - 1 && !is_inference(h->argc, h->argv);   /* `partial`, `denormalize`, ... end on a file to write */
    int file = has_suffix(arg, ".cfg") || has_suffix(arg, ".data") || has_suffix(arg, ".weights");
    if (arg[0] == '-' || (i > 2 && !strcmp(h->argv[i - 1], "-out"))) return 0;
    if (file && !writes && access(arg, R_OK)) {
        diag_error(d, arg, 0, NULL, "cannot read: %s", strerror(errno));
        return -1;
    }
    if (has_suffix(arg, ".cfg")) return take_cfg(h, i, d);
    if (has_suffix(arg, ".weights") && !writes) return take_weights(h, i, d);
    return is_image_name(arg) && is_inference(h->argc, h->argv) ? take_image(arg, d) : 0;
}

static int run_stock(handover *h, diag *d)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execv(STOCK, h->argv);
        _exit(127);
    }
    signal(SIGINT, SIG_IGN);   /* the child gets it too and decides */
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) ;
    if (child < 0) diag_error(d, STOCK, 0, NULL, "cannot start: %s", strerror(errno));
    else if (WIFSIGNALED(status)) diag_error(d, STOCK, 0, NULL, "ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) == 127) diag_error(d, STOCK, 0, NULL, "cannot run the stock program (Debian package 'darknet')");
    else return WEXITSTATUS(status);
    return 1;
}

int passthrough(int argc, char **argv, diag *d)
{
    handover h = { .argc = argc, .argv = mem_calloc((size_t)argc + 1, sizeof *argv) };
    int status = 0;
    memcpy(h.argv, argv, (size_t)argc * sizeof *argv);
    for (int i = 2; i < argc; ++i) status |= take_argument(&h, i, d);
    status = status ? 1 : run_stock(&h, d);
    for (int i = 0; i < h.n; ++i) {
        unlink(h.made[i]);
        free(h.made[i]);
    }
    if (h.folder[0]) rmdir(h.folder);
    shapes_free(h.shape);
    free(h.made);
    free(h.argv);
    return status;
}
