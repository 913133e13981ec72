/* The library in C: what teacher and student say of an image, then a few steps on it.
 *
 *   cc example.c $(pkg-config --cflags --libs darknet-distill) -o example
 *   ./example student.cfg photo.png */
#include <darknet_distill.h>

#include <stdio.h>
#include <stdlib.h>

static int largest(const float *answer, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (answer[i] > answer[best]) best = i;
    return best;
}

/* The same image in every place of a step. */
static int train(darknet_distill *net, float *images, int floats, int *labels)
{
    int step = darknet_distill_size(net, "step");
    for (int i = floats; i < step * floats; ++i) images[i] = images[i % floats];
    for (int i = 0; i < step; ++i) labels[i] = -1;      /* nobody has labelled it */
    for (int k = 1; k <= 10; ++k) {
        double loss;
        if (darknet_distill_step(net, images, labels, &loss)) return -1;
        printf("step %d  loss %.6f\n", k, loss);
    }
    for (int i = 0; i < darknet_distill_size(net, "losses"); ++i) {
        const char *name;
        double part;
        if (darknet_distill_loss(net, i, &name, &part)) return -1;
        printf("[%s] %.6f\n", name, part);
    }
    return 0;
}

static int run(darknet_distill *net, const char *cfg, const char *image)
{
    if (darknet_distill_open(net, cfg, DARKNET_DISTILL_TRAIN, 0, 1)) return -1;
    int floats = darknet_distill_size(net, "channels") * darknet_distill_size(net, "height") *
                 darknet_distill_size(net, "width");
    int step = darknet_distill_size(net, "step"), answers = darknet_distill_size(net, "answers");
    float *images = malloc(sizeof *images * (size_t)floats * (size_t)step);
    float *student = calloc((size_t)answers, sizeof *student);
    float *teacher = calloc((size_t)darknet_distill_size(net, "teacher_answers"), sizeof *teacher);
    int *labels = malloc(sizeof *labels * (size_t)step);
    int failed = !images || !student || !teacher || !labels || darknet_distill_read_image(net, image, images) ||
                 darknet_distill_run(net, images, 1, student, teacher);
    if (!failed) printf("student: class %d, teacher: class %d\n", largest(student, answers), largest(teacher, answers));
    if (!failed) failed = train(net, images, floats, labels);
    free(images);
    free(student);
    free(teacher);
    free(labels);
    return failed;
}

int main(int argc, char **argv)
{
    darknet_distill *net = darknet_distill_new();
    int failed = argc != 3 || !net || run(net, argv[1], argv[2]);
    if (failed) fputs(argc == 3 && net ? darknet_distill_message(net) : "usage: example CFG IMAGE\n", stderr);
    darknet_distill_free(net);
    return failed != 0;
}
