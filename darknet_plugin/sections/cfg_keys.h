/* What may stand in a cfg: one row a section, one row a key.
 * To teach the reader a section or key of Darknet's add its row in cfg_keys.c; there is nothing else to do. */
#ifndef DISTILL_CFG_KEYS_H
#define DISTILL_CFG_KEYS_H

/* Every activation, as `choices`: the host's, and those that only we have (layers/fork_layers.h). */
#define CFG_STOCK_ACTIVATIONS "linear|relu|leaky|logistic|elu|selu|tanh|ramp|relie|plse|loggy|stair|hardtan|lhtan"
#define CFG_ACTIVATIONS CFG_STOCK_ACTIVATIONS "|mish|swish|silu|relu6|hard_swish|hard_mish|gelu"

typedef enum { KEY_INT, KEY_FLOAT, KEY_STR, KEY_INTS, KEY_FLOATS, KEY_CHOICE } key_type;

typedef struct key_row {
    const char *name;
    key_type type;
    double min, max;       /* inclusive, for numbers */
    const char *choices;   /* "a|b|c" for KEY_CHOICE; for other types words accepted besides, or NULL */
    int required;
    unsigned counts;       /* lists: bit n set = n values are accepted; 0 = any number of them */
    const char *hint;      /* said where the value is refused, or NULL */
    /* another Darknet's, and nothing to what a network computes here: read, named, not deployed */
    int elsewhere;
    double elsewhere_above;   /* so is a value above this, which is not kept; 0: none is */
    int fork;                 /* another Darknet's, and read here as it means it there */
    int training;          /* the same, while training: not deployed */
    int never;             /* another Darknet's, and computes something else at every value: refused */
    const char *warn;      /* said where it is anything but 0; NULL = nothing */
} key_row;

typedef enum { SECTION_PREAMBLE, SECTION_STOCK, SECTION_PLUGIN } section_kind;

typedef struct section_row {
    const char *name;      /* full name */
    const char *aka;       /* Darknet's short name, or NULL */
    section_kind kind;     /* [net], [teacher], [teachers], [augment] are preamble */
    const key_row *keys;   /* ends on name == NULL */
} section_row;

/* A room above adds its sections, before any cfg is read. They are borrowed for good; a second call takes the place of
 * the first. */
void cfg_register_sections(const section_row *rows, int n);
/* A room above adds keys of [net], before any cfg is read: borrowed for good, the last has name == NULL. */
void cfg_register_net_keys(const key_row *rows);

const section_row *cfg_section_row(const char *name);           /* by full or short name; NULL if unknown */
const key_row *cfg_key_row(const section_row *row, const char *key);   /* also knows keys every layer may have */
const char *cfg_nearest_section(const char *name);              /* NULL if nothing is near */
const char *cfg_nearest_key(const section_row *row, const char *key);

/* Does only AlexeyAB's Darknet have such a section; this key, or this value of it? */
int cfg_is_fork_section(const char *name);
int cfg_is_fork_value(const key_row *row, const char *value);

#endif
