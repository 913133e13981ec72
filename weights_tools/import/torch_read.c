/* The two containers of torch.save.
 *
 * zip (since 1.6)   NAME/data.pkl the pickle, NAME/data/KEY the bytes of storage KEY, stored uncompressed;
 *                   NAME/byteorder, where it is there, says "little"
 * legacy            four pickles: a magic number, the protocol (1001), a dict about the machine, the object; a fifth
 *                   with the list of storage keys; then for each key in this order the number of elements as 64 bits,
 *                   and the elements
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
    const file_image *file;
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

/* Whether an entry is there and can be read; ENTRY_BAD has been reported. */
typedef enum { ENTRY_FOUND, ENTRY_MISSING, ENTRY_BAD } entry_status;

/* An entry's number and size. */
static entry_status find_entry(const archive *archive, const char *name, size_t *index, size_t *bytes)
{
    zip_stat_t st;
    char *full = mem_printf("%s%s", archive->prefix, name);
    zip_int64_t at = zip_name_locate(archive->zip, full, 0);
    free(full);
    if (at < 0) return ENTRY_MISSING;
    *index = (size_t)at;
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
    int known = !zip_stat_index(archive->zip, (zip_uint64_t)at, 0, &st) && (st.valid & wanted) == wanted;
    if (known && st.comp_method != ZIP_CM_STORE) {
        bad_file(archive->file, archive->d, name, "is compressed, torch.save stores uncompressed");
        return ENTRY_BAD;
    }
    if (!known || st.size > archive->file->n) {
        bad_file(archive->file, archive->d, name, "has no sensible size");
        return ENTRY_BAD;
    }
    *bytes = (size_t)st.size;
    return ENTRY_FOUND;
}

/* An entry's bytes, borrowed from the archive; read once. NULL after reporting. */
static const unsigned char *read_entry(archive *archive, size_t index, size_t bytes)
{
    if (archive->entry[index]) return archive->entry[index];
    int explained = bytes <= archive->file->n - archive->total;
    zip_file_t *entry = explained ? zip_fopen_index(archive->zip, index, 0) : NULL;
    unsigned char *byte = mem_calloc(entry ? bytes : 0, 1);
    int whole = entry && zip_fread(entry, byte, bytes) == (zip_int64_t)bytes;
    if (entry && zip_fclose(entry)) whole = 0;
    if (!whole) {
        bad_file(archive->file, archive->d, "broken zip archive", "an entry cannot be read whole");
        free(byte);
        return NULL;
    }
    archive->total += bytes;
    archive->entry[index] = byte;
    return byte;
}

/* Finds NAME in NAME/data.pkl. */
static int find_prefix(archive *archive)
{
    static const char tail[] = "/data.pkl";
    for (size_t i = 0; i < archive->entries; ++i) {
        const char *name = zip_get_name(archive->zip, i, 0);
        size_t len = name ? strlen(name) : 0, before = len - strlen(tail);
        if (len <= strlen(tail) || strcmp(name + before, tail)) continue;
        archive->prefix = mem_printf("%.*s/", (int)(before > 4096 ? 4096 : before), name);
        return 0;
    }
    return bad_file(archive->file, archive->d, "no PyTorch checkpoint", "the zip archive has no data.pkl");
}

static int check_byte_order(archive *archive)
{
    size_t index, bytes;
    entry_status status = find_entry(archive, "byteorder", &index, &bytes);
    if (status == ENTRY_MISSING) return 0;     /* older than 2.1 */
    const unsigned char *order = status == ENTRY_FOUND ? read_entry(archive, index, bytes) : NULL;
    if (!order) return -1;
    if (bytes == 6 && !memcmp(order, "little", 6)) return 0;
    return bad_file(archive->file, archive->d, "byteorder", "only little-endian checkpoints are supported");
}

/* Gives one storage its bytes. */
static int load_storage(archive *archive, pickle_storage *storage)
{
    size_t index, bytes, want;
    char *name = mem_printf("data/%.*s", (int)(storage->key_len > 1000 ? 1000 : storage->key_len), storage->key);
    entry_status status = find_entry(archive, name, &index, &bytes);
    printable(name);
    if (status == ENTRY_MISSING) bad_file(archive->file, archive->d, name, "a tensor's storage is not in the archive");
    int failed = status != ENTRY_FOUND;
    if (!failed && (__builtin_mul_overflow(storage->n, storage->type->bytes, &want) || want > bytes)) {
        diag_error(archive->d, archive->file->path, 0, NULL, "%s: %zu bytes, expected %zu elements of %zu bytes", name,
                   bytes, storage->n, storage->type->bytes);
        failed = 1;
    }
    free(name);
    if (!failed) storage->byte = read_entry(archive, index, bytes);
    return failed || !storage->byte ? -1 : 0;
}

/* The pickle, the bytes of its storages, the tensors that view these. */
static int read_archive(archive *archive, named_tensors *tensors)
{
    size_t index, bytes;
    pickle pickle = { 0 };
    if (find_prefix(archive) || check_byte_order(archive)) return -1;
    if (find_entry(archive, "data.pkl", &index, &bytes) != ENTRY_FOUND) return -1;
    const unsigned char *program = read_entry(archive, index, bytes);
    int failed = !program || pickle_read(archive->file->path, program, bytes, &pickle, archive->d);
    storage_list storages = torch_storages(&pickle);
    for (size_t i = 0; i < storages.n && !failed; ++i) failed = load_storage(archive, storages.at[i]);
    failed = failed || torch_tensors(&pickle, tensors, archive->d);
    free(storages.at);
    pickle_free(&pickle);
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
        archive archive = { .file = file, .zip = zip, .entries = (size_t)zip_get_num_entries(zip, 0), .d = d };
        archive.entry = mem_calloc(archive.entries, sizeof *archive.entry);
        failed = read_archive(&archive, tensors);
        for (size_t i = 0; i < archive.entries; ++i) free(archive.entry[i]);
        free(archive.entry);
        free(archive.prefix);
        zip_discard(zip);
    }
    zip_error_fini(&why);
    return failed;
}

/* ---- legacy ---- */

typedef struct legacy {
    const file_image *file;
    size_t at;                      /* read so far */
    diag *d;
} legacy;

static int bad_legacy(const legacy *legacy, const char *why)
{
    return bad_file(legacy->file, legacy->d, "legacy checkpoint", why);
}

static int next_pickle(legacy *legacy, pickle *pickle)
{
    const file_image *file = legacy->file;
    int failed = pickle_read(file->path, file->byte + legacy->at, file->n - legacy->at, pickle, legacy->d);
    legacy->at += pickle->bytes;
    return failed;
}

static int check_protocol(legacy *legacy)
{
    pickle protocol;
    int failed = next_pickle(legacy, &protocol);
    if (!failed && (protocol.root->kind != PICKLE_INT || protocol.root->integer != 1001))
        failed = bad_legacy(legacy, "its protocol is not 1001");
    pickle_free(&protocol);
    return failed;
}

static int check_machine(legacy *legacy)
{
    pickle machine;
    int failed = next_pickle(legacy, &machine);
    const pickle_value *little = failed ? NULL : pickle_get(machine.root, "little_endian");
    if (little && !little->integer) failed = bad_legacy(legacy, "only little-endian checkpoints are supported");
    pickle_free(&machine);
    return failed;
}

/* The elements of one key, given to all storages of that key. */
static int take_storage(legacy *legacy, const storage_list *list, const pickle_value *key)
{
    const file_image *file = legacy->file;
    uint64_t n;
    size_t count, bytes;
    pickle_storage **storage = NULL;
    if (key->kind == PICKLE_TEXT) storage = torch_find_storage(list, key->text, key->n, &count);
    if (!storage || storage[0]->byte) return bad_legacy(legacy, "its list of storages is not that of its tensors");
    if (file->n - legacy->at < sizeof n) return bad_legacy(legacy, "it ends before its last storage");
    memcpy(&n, file->byte + legacy->at, sizeof n);
    legacy->at += sizeof n;
    if (__builtin_mul_overflow(n, storage[0]->type->bytes, &bytes) || bytes > file->n - legacy->at)
        return bad_legacy(legacy, "it ends before its last storage");
    for (size_t i = 0; i < count; ++i) {
        if (storage[i]->n != n || storage[i]->type != storage[0]->type)
            return bad_legacy(legacy, "a storage has two sizes");
        storage[i]->byte = file->byte + legacy->at;
    }
    legacy->at += bytes;
    return 0;
}

/* The list of keys, then the elements in its order; every storage of the object must be among them. */
static int read_storages(legacy *legacy, const pickle *object)
{
    pickle keys;
    storage_list list = torch_storages(object);
    int failed = next_pickle(legacy, &keys);
    if (!failed && keys.root->kind != PICKLE_LIST) failed = bad_legacy(legacy, "no list of storages");
    for (size_t i = 0; !failed && i < keys.root->n; ++i) failed = take_storage(legacy, &list, keys.root->item[i]);
    for (size_t i = 0; !failed && i < list.n; ++i)
        if (!list.at[i]->byte) failed = bad_legacy(legacy, "a tensor's storage is not in it");
    free(list.at);
    pickle_free(&keys);
    return failed;
}

int torch_legacy_read(const file_image *file, named_tensors *tensors, diag *d)
{
    legacy legacy = { .file = file, .at = 15, .d = d };     /* behind the magic number, which has been compared */
    pickle object = { 0 };
    int failed = check_protocol(&legacy) || check_machine(&legacy) || next_pickle(&legacy, &object)
        || read_storages(&legacy, &object) || torch_tensors(&object, tensors, d);
    pickle_free(&object);
    return failed ? -1 : 0;
}
