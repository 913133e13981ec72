/* The whole of init (see init.h): read, match, build, and hold the result against everything that lowering checks. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>
#include <string.h>

/* The teacher as it will see the student's images: for its shapes. */
static int see_student(const init_parts *parts, teacher_spec **seen, diag *d)
{
    const init_net *teacher = parts->teacher;
    const init_job *job = parts->job;
    int n, *tap = mem_calloc((size_t)teacher->heads, sizeof *tap);
    for (int i = 0; i < teacher->heads; ++i) tap[i] = teacher->head[i].tap;
    cfg_file *source = cfg_new(job->out);
    cfg_append_copy(source, cfg_net(parts->student->cfg));
    cfg_section *section = cfg_append(source, "teacher", job->teacher, 0);
    cfg_set(section, "cfg", "%s", job->teacher);
    if (job->weights) cfg_set(section, "weights", "%s", job->weights);
    cfg_set_ints(section, "tap", tap, teacher->heads);
    *seen = teachers_read(source, TEACHERS_TAPS, &n, d);
    free(tap);
    cfg_free(source);
    return *seen ? 0 : -1;
}

/* What is found to be wrong with the whole once it is put together; what is only warned of, check will say. */
static int check(const init_cfg *made, lower_mode mode, diag *d)
{
    diag *quiet = diag_aside(d);
    lowered *low = lower_cfg(cfg_copy(made->cfg), mode, quiet);
    int failed = !low;
    if (failed) diag_append(d, quiet, 0);
    lower_free(low);
    diag_free(quiet);
    return failed ? -1 : 0;
}

/* Are the teacher's weights there, and its own? */
static int check_weights(const init_parts *parts, diag *d)
{
    weights_info info;
    const char *path = parts->job->weights, *problem = path ? path_problem(path) : NULL;
    if (!path) return 0;
    if (problem) {
        diag_error(d, path, 0, NULL, "cannot read the teacher's weights: %s", problem);
        return -1;
    }
    if (weights_inspect(path, parts->teacher->shape, &info, d)) return -1;
    if (info.layers >= parts->teacher->shape->n) return 0;
    diag_error(d, path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, parts->teacher->shape->n);
    return -1;
}

/* A name that a cfg cannot hold as it is. 0, or -1 after reporting. */
static int check_name(const char *name, diag *d)
{
    size_t len = name ? strlen(name) : 0;
    if (!len || (!strpbrk(name, "\n\r\t#;") && name[0] != ' ' && name[len - 1] != ' ')) return 0;
    diag_error(d, name, 0, NULL, "a cfg cannot name a file of this name");
    diag_hint(d, "rename it: without blanks at its ends, tabs, # and ;");
    return -1;
}

/* Student and teacher are there: match, build, check. NULL after reporting. */
static init_cfg *put_together(init_parts *parts, diag *d)
{
    teacher_spec *seen = NULL;
    init_cfg *made = NULL;
    int *taught = mem_calloc((size_t)parts->student->heads, sizeof *taught);
    if (!check_weights(parts, d) && !see_student(parts, &seen, d)) {
        parts->taught_shape = seen->shape;
        parts->taught = taught;
        if (!init_match(parts, taught, d)) made = init_build(parts, d);
    }
    if (made && (check(made, LOWER_TRAIN, d) || check(made, LOWER_DEPLOY, d))) {
        init_free(made);
        made = NULL;
    }
    if (seen) teachers_free(seen, 1);
    free(taught);
    return made;
}

/* Both see one image. */
static int check_inputs(const init_net *student, const init_net *teacher, diag *d)
{
    const cfg_section *ours = cfg_net(student->cfg), *theirs = cfg_net(teacher->cfg);
    if (student->shape->c == teacher->shape->c) return 0;
    diag_error(d, ours->file, cfg_line(ours, "channels"), ours->name,
               "the student's input has %d channels, the teacher's %d (%s:%d)", student->shape->c, teacher->shape->c,
               theirs->file, cfg_line(theirs, "channels"));
    diag_hint(d, "both see the same image: [net] channels= is 3 for colours, 1 for grey");
    return -1;
}

/* The student of a file. 0, or -1 after reporting. */
static int read_student(const char *path, init_net *student, diag *d)
{
    init_net read;
    int bad = init_net_read(&read, path, 1, d);
    if (!bad) bad = init_net_open(student, init_uncropped(read.cfg, d), 1, d);
    init_net_free(&read);
    return bad;
}

/* One made of the teacher. */
static int make_student(const init_job *job, const init_net *teacher, init_net *student, diag *d)
{
    init_net whole, shallow = { .cfg = NULL };
    int bad = init_net_open(&whole, init_uncropped(teacher->cfg, d), 0, d);
    if (!bad) bad = init_net_open(&shallow, init_shallower(&whole, job->depth, d), 0, d);
    if (!bad) bad = init_net_open(student, init_narrower(&shallow, job->width), 0, d);
    init_net_free(&shallow);
    init_net_free(&whole);
    return bad;
}

init_cfg *init_make(const init_job *job, diag *d)
{
    init_net student = { .cfg = NULL }, teacher = { .cfg = NULL };
    init_parts parts = { .job = job, .student = &student, .teacher = &teacher };
    init_cfg *made = NULL;
    int bad = check_name(job->teacher, d) || check_name(job->weights, d);
    if (!bad) bad = init_net_read(&teacher, job->teacher, 0, d);
    if (!bad) bad = job->student ? read_student(job->student, &student, d) : make_student(job, &teacher, &student, d);
    if (!bad) bad = check_inputs(&student, &teacher, d);
    if (!bad) made = put_together(&parts, d);
    init_net_free(&student);
    init_net_free(&teacher);
    return made;
}
