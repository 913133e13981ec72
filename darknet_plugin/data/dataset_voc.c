/* Label files as PASCAL VOC has them: an XML file an image, <annotation> with <size> and for each <object> its <name>,
 * <difficult> and <bndbox> of <xmin> <ymin> <xmax> <ymax>, pixels that are counted from 1.
 *
 * Boxes are those that Darknet's voc_label.py makes of such files: centre (xmin + xmax) / 2 - 1, size xmax - xmin,
 * divided by the size of the image. It leaves difficult objects out, and so does this: they are neither learnt nor
 * counted in mAP, and one that is found counts as wrong there. Where <size> is 0 or missing the image's header is
 * asked.
 *
 * expat reads it and knows no file but this; a document that declares entities is refused, since no label file does
 * and a few lines of them can stand for gigabytes. */
#include "dataset_boxes.h"
#include "darknet_plugin/base/mem.h"

#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 512, MOST_DEPTH = 64, CHUNK = 1 << 16, MOST_OBJECTS = 1 << 20 };

/* An object as far as it was read. */
typedef struct voc_object {
    char *name;                  /* owned; NULL: it has none */
    double side[4];              /* xmin, ymin, xmax, ymax */
    int sides;                   /* bits of those that are numbers */
    int difficult, line;
} voc_object;

typedef struct voc_reader {
    XML_Parser parser;
    char path[MOST_TEXT], text[MOST_TEXT];    /* "/annotation/size/width"; what stands in the element */
    size_t path_n, text_n;
    int depth;
    const char *refused;         /* why it is not read on, borrowed; NULL: it is */
    voc_object *object;          /* objects, owned */
    size_t objects;
    double w, h;
} voc_reader;

static void refuse(voc_reader *reader, const char *why)
{
    if (!reader->refused) reader->refused = why;
    XML_StopParser(reader->parser, XML_FALSE);
}

/* The object being read. */
static voc_object *last(voc_reader *reader) { return &reader->object[reader->objects - 1]; }

/* ---- what expat calls ---- */

static void begin_object(voc_reader *reader)
{
    if (reader->objects == MOST_OBJECTS) {
        refuse(reader, "more than a million objects");
        return;
    }
    reader->object = mem_realloc(reader->object, reader->objects + 1, sizeof *reader->object);
    reader->object[reader->objects++] = (voc_object){ .line = (int)XML_GetCurrentLineNumber(reader->parser) };
}

/* <name>: the path grows. */
static void XMLCALL begin(void *data, const char *name, const char **attributes)
{
    voc_reader *reader = data;
    size_t n = strlen(name);
    (void)attributes;
    reader->text_n = 0;
    if (++reader->depth > MOST_DEPTH || reader->path_n + n + 2 > sizeof reader->path) {
        refuse(reader, "elements are nested too deep");
        return;
    }
    reader->path[reader->path_n] = '/';
    memcpy(reader->path + reader->path_n + 1, name, n + 1);
    reader->path_n += n + 1;
    if (reader->depth == 1 && strcmp(name, "annotation")) refuse(reader, "its first element is not <annotation>");
    if (!strcmp(reader->path, "/annotation/object")) begin_object(reader);
}

/* A number that is the whole of the element's text. */
static int text_number(const voc_reader *reader, double *number)
{
    char *end;
    *number = strtod(reader->text, &end);
    return end == reader->text || end[strspn(end, " \t\r\n")] || !isfinite(*number) ? -1 : 0;
}

/* The element's text without blanks around it, owned. */
static char *text_word(const voc_reader *reader)
{
    const char *from = reader->text + strspn(reader->text, " \t\r\n");
    size_t n = strlen(from);
    while (n && strchr(" \t\r\n", from[n - 1])) --n;
    return mem_printf("%.*s", (int)n, from);
}

/* What stands in an object. */
static void end_in_object(voc_reader *reader, const char *path)
{
    static const char *const sides[] = { "/bndbox/xmin", "/bndbox/ymin", "/bndbox/xmax", "/bndbox/ymax" };
    voc_object *object = last(reader);
    double number;
    if (!strcmp(path, "/name") && !object->name) object->name = text_word(reader);
    if (!strcmp(path, "/difficult")) object->difficult = !text_number(reader, &number) && number > 0;
    for (int i = 0; i < 4; ++i)
        if (!strcmp(path, sides[i]) && !text_number(reader, &object->side[i])) object->sides |= 1 << i;
}

/* </name>: what stood in it is known. */
static void XMLCALL end(void *data, const char *name)
{
    static const char object[] = "/annotation/object";
    voc_reader *reader = data;
    reader->text[reader->text_n] = 0;
    if (reader->objects && !strncmp(reader->path, object, sizeof object - 1))
        end_in_object(reader, reader->path + sizeof object - 1);
    if (!strcmp(reader->path, "/annotation/size/width") && text_number(reader, &reader->w)) reader->w = 0;
    if (!strcmp(reader->path, "/annotation/size/height") && text_number(reader, &reader->h)) reader->h = 0;
    reader->text_n = 0;
    --reader->depth;
    reader->path_n -= strlen(name) + 1;
    reader->path[reader->path_n] = 0;
}

/* Texts of elements that are read are short; of longer ones the beginning is enough to be none of them. */
static void XMLCALL take_text(void *data, const char *text, int n)
{
    voc_reader *reader = data;
    size_t room = sizeof reader->text - 1 - reader->text_n, take = (size_t)n < room ? (size_t)n : room;
    memcpy(reader->text + reader->text_n, text, take);
    reader->text_n += take;
}

static void XMLCALL refuse_entity(void *data, const char *name, int parameter, const char *value, int length,
                                  const char *base, const char *system, const char *public, const char *notation)
{
    (void)name, (void)parameter, (void)value, (void)length, (void)base, (void)system, (void)public, (void)notation;
    refuse(data, "it declares entities");
}

/* ---- a file ---- */

/* NULL, or what is wrong, owned, with its line. */
static char *parse(voc_reader *reader, FILE *in, int *line)
{
    enum XML_Status status = XML_STATUS_OK;
    *line = 0;
    for (size_t n = CHUNK; status == XML_STATUS_OK && n == CHUNK;) {
        void *room = XML_GetBuffer(reader->parser, CHUNK);
        if (!room) return mem_strdup("out of memory");
        n = fread(room, 1, CHUNK, in);
        status = XML_ParseBuffer(reader->parser, (int)n, n < CHUNK);
    }
    if (status == XML_STATUS_OK) return NULL;
    *line = (int)XML_GetCurrentLineNumber(reader->parser);
    return mem_printf("not VOC's XML: %s", reader->refused ? reader->refused
                                           : XML_ErrorString(XML_GetErrorCode(reader->parser)));
}

/* One object, unless it is difficult. */
static void add_object(box_reader *boxes, const voc_reader *reader, const voc_object *object, const char *path)
{
    if (object->difficult) {
        ++boxes->set->passed_over;
        return;
    }
    if (!object->name || object->sides != 15) {
        box_drop(boxes, path, object->line, object->name ? object->name : "<object>",
                 "expected <name>, and <bndbox> of xmin ymin xmax ymax");
        return;
    }
    const double *s = object->side, corner[4] = { s[0] - 1, s[1] - 1, s[2] - 1, s[3] - 1 };
    box_add_named(boxes, path, object->line, object->name, object->name, corner, reader->w, reader->h);
}

/* All objects, once the size is known. */
static int add_objects(box_reader *boxes, voc_reader *reader, size_t image, const char *path)
{
    if (reader->objects && box_needs_names(boxes, path)) return -1;
    if (box_image_size(boxes, image, path, &reader->w, &reader->h)) {
        data_flood_add(&boxes->unread, path, 0, NULL, mem_strdup("<size> is missing, and the image has none"));
        return -1;
    }
    for (size_t i = 0; i < reader->objects; ++i) add_object(boxes, reader, &reader->object[i], path);
    return 0;
}

int voc_read(box_reader *boxes, size_t image, const char *path, FILE *in)
{
    int line, failed = -1;
    voc_reader reader = { .parser = XML_ParserCreate(NULL) };
    char *wrong = reader.parser ? NULL : mem_strdup("out of memory");
    if (reader.parser) {
        XML_SetUserData(reader.parser, &reader);
        XML_SetElementHandler(reader.parser, begin, end);
        XML_SetCharacterDataHandler(reader.parser, take_text);
        XML_SetEntityDeclHandler(reader.parser, refuse_entity);
        wrong = parse(&reader, in, &line);
    }
    if (wrong) data_flood_add(&boxes->unread, path, reader.parser ? line : 0, NULL, wrong);
    else failed = add_objects(boxes, &reader, image, path);
    for (size_t i = 0; i < reader.objects; ++i) free(reader.object[i].name);
    free(reader.object);
    XML_ParserFree(reader.parser);
    return failed;
}
