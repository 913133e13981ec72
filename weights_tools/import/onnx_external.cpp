/* A location is a path relative to the model's folder. One that is absolute, goes up or leads out of that folder by a
 * link is refused: a model may not make us read whatever else there is. */
#ifdef ONNX
#include "onnx_external.h"

extern "C" {
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
}

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

std::string entry(const onnx::TensorProto &tensor, const char *key)
{
    for (const auto &e : tensor.external_data())
        if (e.key() == key) return e.value().c_str();
    return "";
}

/* A number of bytes; `otherwise` where the model says none, -1 where it is none. */
int bytes_of(const onnx::TensorProto &tensor, const char *key, size_t otherwise, size_t *n)
{
    std::string text = entry(tensor, key);
    char *end;
    errno = 0;
    *n = otherwise;
    if (text.empty()) return 0;
    unsigned long long v = strtoull(text.c_str(), &end, 10);
    *n = static_cast<size_t>(v);
    return errno || *end || text[0] == '-' ? -1 : 0;
}

std::string folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? std::string(path, static_cast<size_t>(slash - path) + 1) : std::string("./");
}

/* Does the file lie in the folder, links followed? */
bool within(const std::string &folder, const std::string &file)
{
    char *top = realpath(folder.c_str(), nullptr), *full = realpath(file.c_str(), nullptr);
    size_t n = top ? strlen(top) : 0;
    bool inside = top && full && !strncmp(top, full, n) && (full[n] == '/' || n == 1);
    free(top);
    free(full);
    return inside;
}

bool goes_up(const std::string &location)
{
    return location[0] == '/' || ("/" + location + "/").find("/../") != std::string::npos;
}

} // namespace

/* Opens a file that lies in the model's folder, once. */
const onnx_external::file *onnx_external::open(const onnx::TensorProto &tensor, diag *d)
{
    std::string location = entry(tensor, "location");
    auto at = files.find(location);
    if (at != files.end()) return &at->second;
    std::string folder = folder_of(path), full = folder + location;
    char *name = mem_strdup(location.c_str());
    printable(name);
    file made = { -1, 0 };
    if (location.empty()) diag_error(d, path, 0, nullptr, "a tensor lies in another file, which is not named");
    else if (goes_up(location)) diag_error(d, path, 0, nullptr, "values in '%s', outside the model's folder: not read",
                                           name);
    else if (access(full.c_str(), R_OK))
        diag_error(d, path, 0, nullptr, "values lie in '%s' beside it, which cannot be read: %s", name,
                   strerror(errno));
    else if (!within(folder, full)) diag_error(d, path, 0, nullptr,
                                               "values in '%s', outside the model's folder: not read", name);
    else made.fd = in_file_open(full.c_str(), "this model's values", &made.bytes, d);
    free(name);
    if (made.fd < 0) return nullptr;
    if (made.bytes <= SIZE_MAX / 2 - t->limit) t->limit += made.bytes;
    return &(files[location] = made);
}

/* Values that lie between two places of a file. */
int onnx_external::read(const onnx::TensorProto &tensor, const element_row *type, named_tensor *to, diag *d)
{
    size_t offset = 0, length = 0, want = 0;
    const file *from = open(tensor, d);
    if (!from) return -1;
    bool sound = type && !__builtin_mul_overflow(to->n, type->bytes, &want) && !bytes_of(tensor, "offset", 0,
        &offset) &&
        !bytes_of(tensor, "length", want, &length) && length == want && offset <= from->bytes && want <= from->bytes -
            offset;
    std::vector<unsigned char> byte(sound ? want : 0);
    for (size_t at = 0; sound && at < want;) {
        ssize_t got = pread(from->fd, byte.data() + at, want - at, static_cast<off_t>(offset + at));
        if (got < 0 && errno == EINTR) continue;
        sound = got > 0;
        at += sound ? static_cast<size_t>(got) : 0;
    }
    if (!sound)
        diag_error(d, path, 0, nullptr, "tensor '%s' has not the %zu values its sizes ask for in the file beside it",
                           to->name, to->n);
    else elements_read(type, byte.data(), to->n, to->data);
    return sound ? 0 : -1;
}

#endif
