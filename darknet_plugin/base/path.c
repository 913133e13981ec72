/* Names of files (see path.h). */
#include "path.h"

#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

const char *path_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_stem(const char *path)
{
    char *name = mem_strdup(path_base_name(path)), *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    return name;
}

char *path_of_pair(const char *path)
{
    static const char *const endings[] = { ".cfg", ".weights" };
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t end = strlen(endings[i]);
        if (n > end && path[n - end - 1] != '/' && !strcmp(path + n - end, endings[i]))
            return mem_printf("%.*s", (int)(n - end), path);
    }
    return mem_strdup(path);
}

char *path_folder(const char *path) { return mem_printf("%.*s", (int)(path_base_name(path) - path), path); }

const char *path_problem(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return strerror(errno);
    if (!S_ISREG(st.st_mode)) return "not a regular file";
    return access(path, R_OK) ? strerror(errno) : NULL;
}

char *path_found_in(const char *base, const char *name, const char *(*problem)(const char *path))
{
    const char *slash = strrchr(base, '/');
    if (name[0] == '/' || !slash || !problem(name)) return mem_strdup(name);
    char *beside = mem_printf("%.*s/%s", (int)(slash - base), base, name);
    if (!problem(beside) || (access(name, F_OK) && !access(beside, F_OK))) return beside;
    free(beside);
    return mem_strdup(name);
}

char *path_named_in(const char *base, const char *name) { return path_found_in(base, name, path_problem); }

int path_ends_in(const char *path, const char *const *endings, size_t n)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < n; ++i)
        if (!strcasecmp(dot, endings[i])) return 1;
    return 0;
}

int path_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}
