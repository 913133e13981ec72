/* Walking through JSON (see json_walk.h). */
#include "json_walk.h"

#include <math.h>
#include <string.h>

enum { MOST_SMALL = 1 << 16 };

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
    return at;
}

/* Behind the string that begins there; NULL: it has no end. */
static const char *skip_string(const char *at, const char *end)
{
    for (++at; at < end; ++at) {
        if (*at == '\\') ++at;
        else if (*at == '"') return at + 1;
    }
    return NULL;
}

/* Behind the object or array that begins there, however deep it goes; NULL: it has no end. */
static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;
    while (at && at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        ++at;
        if (!depth) return at;
    }
    return NULL;
}

/* Behind the value that begins there; NULL: there is none, or it has no end. */
static const char *skip_value(const char *at, const char *end)
{
    if (at >= end) return NULL;
    if (*at == '"') return skip_string(at, end);
    if (*at == '{' || *at == '[') return skip_nested(at, end);
    const char *from = at;
    while (at < end && !strchr(",:]} \t\r\n\"[{", *at)) ++at;
    return at > from ? at : NULL;
}

/* `"key" :`, and what is behind it; or NULL. */
static const char *read_key(const char *at, const char *end, json_span *key)
{
    const char *last = at < end && *at == '"' ? skip_string(at, end) : NULL;
    if (!last) return NULL;
    *key = (json_span){ at + 1, (size_t)(last - at) - 2 };
    at = skip_space(last, end);
    return at < end && *at == ':' ? skip_space(at + 1, end) : NULL;
}

/* A key and a value, or a value alone, at *at, which moves behind it; where it is broken it stays. */
static int read_item(int object, const char **at, const char *end, json_item *item)
{
    const char *value = object ? read_key(*at, end, &item->key) : *at;
    const char *last = value ? skip_value(value, end) : NULL;
    if (!last) return -1;
    item->value = (json_span){ value, (size_t)(last - value) };
    *at = last;
    return 1;
}

int json_next(json_span in, const char **at, json_item *item)
{
    const char *end = in.at + in.n, *p = *at ? *at : in.at;
    *item = (json_item){ { "", 0 }, { "", 0 } };
    int object = in.n && *in.at == '{', first = !*at;
    if (!in.n || (*in.at != '{' && *in.at != '[')) return -1;
    p = skip_space(first ? p + 1 : p, end);
    *at = p;
    if (p < end && *p == (object ? '}' : ']')) return 0;
    if (first) return read_item(object, at, end, item);
    if (p >= end || *p != ',') return -1;
    *at = skip_space(p + 1, end);
    return read_item(object, at, end, item);
}

int json_key_is(const json_item *item, const char *key)
{
    return strlen(key) == item->key.n && !memcmp(key, item->key.at, item->key.n);
}

cJSON *json_value(json_span value)
{
    const char *end = NULL;
    if (value.n > MOST_SMALL) return NULL;
    cJSON *v = cJSON_ParseWithLengthOpts(value.at, value.n, &end, 0);
    if (v && end == value.at + value.n) return v;
    cJSON_Delete(v);
    return NULL;
}

int json_number(json_span value, double *number)
{
    cJSON *v = json_value(value);
    int bad = !cJSON_IsNumber(v) || !isfinite(v->valuedouble);
    *number = bad ? 0 : v->valuedouble;
    cJSON_Delete(v);
    return bad ? -1 : 0;
}
