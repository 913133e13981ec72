/* Walking through JSON of any size without building a tree of it: what is wanted is found by its place, the rest is
 * read over. Values that are small are cJSON's to understand. RFC 8259; of what is read over only strings and
 * brackets are looked at. */
#ifndef DISTILL_JSON_WALK_H
#define DISTILL_JSON_WALK_H
#include <cjson/cJSON.h>
#include <stddef.h>

/* A value as it stands in the file: borrowed bytes. */
typedef struct json_span {
    const char *at;
    size_t n;
} json_span;

/* A member of an object, or an element of an array, whose key is empty. */
typedef struct json_item {
    json_span key;               /* between its quotes, escapes as they stand */
    json_span value;
} json_item;

/* The next item of the object or array `in`, from *at on, which begins as NULL and moves behind it. 1; 0: there is no
 * more; -1: it is neither, or broken there, *at the place. */
int json_next(json_span in, const char **at, json_item *item);
/* Is that the item's key? */
int json_key_is(const json_item *item, const char *key);
/* A small value, at most 64 KB of text, the caller's to cJSON_Delete; NULL: larger, or broken. */
cJSON *json_value(json_span value);
/* A finite number, or -1. */
int json_number(json_span value, double *number);

#endif
