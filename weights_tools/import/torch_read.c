/* The two containers of torch.save.
 *
 * zip (since 1.6)   NAME/data.pkl the pickle, NAME/data/KEY the bytes of storage KEY, stored uncompressed;
 *                   NAME/byteorder, where it is there, says "little"
 * legacy            four pickles: a magic number, the protocol (1001), a dict about the machine, the object; a fifth
 * with
 *                   the list of storage keys; then for each key in this order the number of elements as 64 bits, and
 *                   the elements
 *
 * Layout as in torch/serialization.py. Machines that are not little-endian wrote other files: refused. */
#include "torch_read.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

/* ---- zip ---- */

typedef struct archive {
    const file_image *f;
    zip_t *zip;
    char *prefix;                   /* "NAME/", owned */
    unsigned char **entry;          /* entries read so far, by number; owned */
    size_t entries, total;          /* bytes read: overlapping entries could add up to more than the file */
    diag *d;
} archive;

static int bad_file(const file_image *file, diag *d, const char *what, const char *why)
{
    diag_error(d, file->path, 0, NULL, "%s: %s", what, why);
    return -1;
}

/* An entry's number and size; -1 without a message where there is none, -2 after reporting. */
static int find_entry(const archive *archive, const char *name, size_t *index, size_t *bytes)
{
    zip_stat_t st;
    char *full = mem_printf("%s%s", archive->prefix, name);
    zip_int64_t at = zip_name_locate(archive->zip, full, 0);
    free(full);
    if (at < 0) return -1;
    *index = (size_t)at;
    int known = !zip_stat_index(archive->zip, (zip_uint64_t)at, 0, &st) && st.valid & ZIP_STAT_SIZE &&
        st.valid & ZIP_STAT_COMP_METHOD;
    if (known && st.comp_method == ZIP_CM_STORE && st.size <= archive->f->n) return *bytes = (size_t)st.size, 0;
    bad_file(archive->f, archive->d, name, known && st.comp_method != ZIP_CM_STORE
             ? "is compressed, torch.save stores uncompressed" : "has no sensible size");
    return -2;
}

/* An entry's bytes, borrowed from `a`; read once. NULL after reporting. */
static const unsigned char *read_entry(archive *archive, size_t index, size_t bytes)
{
    if (archive->entry[index]) return archive->entry[index];
    zip_file_t *z = bytes <= archive->f->n - archive->total ? zip_fopen_index(archive->zip, index, 0) : NULL;
    unsigned char *p = mem_calloc(z ? bytes : 0, 1);
    int whole = z && zip_fread(z, p, bytes) == (zip_int64_t)bytes;
    if (z && zip_fclose(z)) whole = 0;
    if (whole) archive->total += bytes;
    if (whole) return archive->entry[index] = p;
    bad_file(archive->f, archive->d, "broken zip archive", "an entry cannot be read whole");
    free(p);
    return NULL;
}

/* Finds NAME in NAME/data.pkl. */
static int find_prefix(archive *archive)
{
    static const char tail[] = "/data.pkl";
    for (size_t i = 0; i < archive->entries && !archive->prefix; ++i) {
        const char *name = zip_get_name(archive->zip, i, 0);
        size_t n = name ? strlen(name) : 0, k = sizeof tail - 1;
        if (n > k && !strcmp(name + n - k, tail)) archive->prefix = mem_printf("%.*s/",
                                                                               (int)(n - k > 4096 ? 4096 : n - k),
                                                                                   name);
    }
    return archive->prefix ? 0 : bad_file(archive->f, archive->d, "no PyTorch checkpoint",
                                          "the zip archive has no data.pkl");
}

static int check_byte_order(archive *archive)
{
    size_t index, bytes;
    int status = find_entry(archive, "byteorder", &index, &bytes);
    if (status == -1) return 0;     /* older than 2.1 */
    const unsigned char *p = status ? NULL : read_entry(archive, index, bytes);
    if (!p) return -1;
    return bytes == 6 && !memcmp(p, "little", 6) ? 0 : bad_file(archive->f, archive->d, "byteorder",
                                                                "only little-endian checkpoints are supported");
}

/* Gives one storage its bytes. */
static int load_storage(archive *archive, pickle_storage *s)
{
    size_t index, bytes, want;
    char *name = mem_printf("data/%.*s", (int)(s->key_len > 1000 ? 1000 : s->key_len), s->key);
    int status = find_entry(archive, name, &index, &bytes);
    printable(name);
    if (status == -1) bad_file(archive->f, archive->d, name, "a tensor's storage is not in the archive");
    if (!status && (__builtin_mul_overflow(s->n, s->type->bytes, &want) || want > bytes)) {
        diag_error(archive->d, archive->f->path, 0, NULL, "%s: %zu bytes, expected %zu elements of %zu bytes", name,
                   bytes, s->n, s->type->bytes);
        status = -1;
    }
    free(name);
    return status || !(s->byte = read_entry(archive, index, bytes)) ? -1 : 0;
}

static int read_archive(archive *archive, named_tensors *tensors)
{
    size_t index, bytes;
    pickle p = { 0 };
    if (find_prefix(archive) || check_byte_order(archive) || find_entry(archive, "data.pkl", &index, &bytes)) return -1;
    const unsigned char *program = read_entry(archive, index, bytes);
    int failed = !program || pickle_read(archive->f->path, program, bytes, &p, archive->d);
    storage_list l = torch_storages(&p);
    for (size_t i = 0; i < l.n && !failed; ++i) failed = load_storage(archive, l.at[i]);
    failed = failed || torch_tensors(&p, tensors, archive->d);
    free(l.at);
    pickle_free(&p);
    return failed ? -1 : 0;
}

/* From memory, or from the file. */
static zip_source_t *open_source(const file_image *file, zip_error_t *why)
{
    if (file->byte) return zip_source_buffer_create(file->byte, file->n, 0, why);
    int fd = dup(file->fd);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "rb");
    zip_source_t *source = in ? zip_source_filep_create(in, 0, -1, why) : NULL;
    if (!in && fd >= 0) close(fd);
    if (in && !source) fclose(in);
    return source;
}

int torch_zip_read(const file_image *file, named_tensors *tensors, diag *d)
{
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *source = open_source(file, &why);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY, &why) : NULL;
    int failed = -1;
    if (!zip) bad_file(file, d, "broken zip archive", zip_error_strerror(&why));
    if (!zip && source) zip_source_free(source);
    if (zip) {
        archive a = { .f = file, .zip = zip, .entries = (size_t)zip_get_num_entries(zip, 0), .d = d };
        a.entry = mem_calloc(a.entries, sizeof *a.entry);
        failed = read_archive(&a, tensors);
        for (size_t i = 0; i < a.entries; ++i) free(a.entry[i]);
        free(a.entry);
        free(a.prefix);
        zip_discard(zip);
    }
    zip_error_fini(&why);
    return failed;
}

/* ---- legacy ---- */

typedef struct legacy {
    const file_image *f;
    size_t at;                      /* read so far */
    diag *d;
} legacy;

static int next_pickle(legacy *legacy, pickle *pickle)
{
    int failed = pickle_read(legacy->f->path, legacy->f->byte + legacy->at, legacy->f->n - legacy->at, pickle,
                             legacy->d);
    legacy->at += pickle->bytes;
    return failed;
}

/* Protocol and machine: read, looked at, forgotten. */
static int read_preamble(legacy *legacy)
{
    pickle p;
    int failed = next_pickle(legacy, &p);
    if (!failed && (p.root->kind != PICKLE_INT || p.root->i != 1001))
        failed = bad_file(legacy->f, legacy->d, "legacy checkpoint", "its protocol is not 1001");
    pickle_free(&p);
    if (failed) return failed;
    failed = next_pickle(legacy, &p);
    const pickle_value *little = failed ? NULL : pickle_get(p.root, "little_endian");
    if (little && !little->i) failed = bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                                "only little-endian checkpoints are supported");
    pickle_free(&p);
    return failed;
}

/* The elements of one key, given to all storages of that key. */
static int take_storage(legacy *legacy, const storage_list *list, const pickle_value *key)
{
    uint64_t n;
    size_t count, bytes;
    pickle_storage **s = key->kind == PICKLE_TEXT ? torch_find_storage(list, key->text, key->n, &count) : NULL;
    if (!s || (*s)->byte) return bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                          "its list of storages is not that of its tensors");
    if (legacy->f->n - legacy->at < sizeof n) return bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                                              "it ends before its last storage");
    memcpy(&n, legacy->f->byte + legacy->at, sizeof n);
    legacy->at += sizeof n;
    if (__builtin_mul_overflow(n, (*s)->type->bytes, &bytes) || bytes > legacy->f->n - legacy->at)
        return bad_file(legacy->f, legacy->d, "legacy checkpoint", "it ends before its last storage");
    for (size_t i = 0; i < count; ++i) {
        if (s[i]->n != n || s[i]->type != (*s)->type) return bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                                                      "a storage has two sizes");
        s[i]->byte = legacy->f->byte + legacy->at;
    }
    legacy->at += bytes;
    return 0;
}

static int read_storages(legacy *legacy, const pickle *object)
{
    pickle keys;
    storage_list list = torch_storages(object);
    int failed = next_pickle(legacy, &keys);
    if (!failed && keys.root->kind != PICKLE_LIST) failed = bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                                                     "no list of storages");
    for (size_t i = 0; !failed && i < keys.root->n; ++i) failed = take_storage(legacy, &list, keys.root->item[i]);
    for (size_t i = 0; !failed && i < list.n; ++i)
        if (!list.at[i]->byte) failed = bad_file(legacy->f, legacy->d, "legacy checkpoint",
                                                 "a tensor's storage is not in it");
    free(list.at);
    pickle_free(&keys);
    return failed;
}

int torch_legacy_read(const file_image *file, named_tensors *tensors, diag *d)
{
    legacy l = { .f = file, .at = 15, .d = d };     /* behind the magic number, which has been compared */
    pickle p = { 0 };
    int failed = read_preamble(&l) || next_pickle(&l, &p) || read_storages(&l, &p) || torch_tensors(&p, tensors, d);
    pickle_free(&p);
    return failed ? -1 : 0;
}
