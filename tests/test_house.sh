#!/bin/bash
# The rules of the house (tests/house.py) on small trees: a clean one passes, and what breaks one rule fails that rule alone.
. tests/tap.sh "$@"
not_quick "the rules of the house"
command -v python3 >/dev/null || { echo "skipped: the rules of the house (no python3)"; exit 0; }
command -v git >/dev/null || { echo "skipped: the rules of the house (no git)"; exit 0; }

# put FILE: standard input becomes FILE of the tree
put() { mkdir -p "$(dirname "$tree/$1")"; cat >"$tree/$1"; }
# A tree that keeps every rule: two rooms, a comment above what is long, a letter that stands in a formula.
clean() {
    tree=$work/tree; rm -rf "$tree"; mkdir -p "$tree"
    for f in .ci/run .gitignore CHANGELOG.md LICENSE Makefile README.md cfg/a.cfg docs/guide.md layers/a.h packaging/a tests/test_a.c weights_tools/file/a.h; do
        echo "/* $f */" | put $f
    done
    echo '/build/' | put .gitignore
    put darknet_plugin/base/mem.h <<'C'
/* Memory. */
#ifndef MEM_H
#define MEM_H
int mem_take(int size);   /* of `size` bytes */
#endif
C
    put darknet_plugin/base/mem.c <<'C'
/* Memory. */
#include "mem.h"
/* Doubles the size,
 * and does so slowly. */
int mem_take(int size)
{
    if (size > 1)
        return 2;
    if (size > 2)
        return 3;
    if (size > 3)
        return (size > 5 ? 1 : 2) + (size > 6 ? 1 : 2);
    if (size > 4)
        return 5;

    return size * 2;
}
C
    put darknet_plugin/verbs/main.c <<'C'
/* The program. */
#include "darknet_plugin/base/mem.h"
/* y = a * x for x of shape (c, h). */
static int times(int a, int x, int c, int h) { return a * x * c * h; }
typedef struct { int (*row)(int number); } table;
int main(void)
{
    table rows = { .row = mem_take };
    const char *text = "a ? b : c ? d : e";   /* a ? b : c ? d : e */
    return rows.row(3) + times(1, 2, 3, 4) + text[0];
}
C
}
# house: the tree's objects and its verdict, in $work/out
house() {
    git -C "$tree" init -q && git -C "$tree" add -A
    (cd "$tree" && find . -name '*.c' -not -path './build/*' | while read -r c; do
        mkdir -p "build/$(dirname "$c")" && gcc -I. -c -o "build/${c%.c}.o" "$c"
    done)
    tests/house.py --root "$tree" build build-emulated >"$work/out" 2>&1
}
# passes NAME
passes() { if house; then ok "$1"; else not_ok "$1" "$(cat "$work/out")"; fi; }
# breaks RULE TEXT NAME: this rule alone, once, and the text is said
breaks() {
    if ! house && [ "$(grep '^not ok' "$work/out" | cut -d' ' -f3)" = "$1" ] && grep -qF -- "$2" "$work/out"; then
        ok "$3"
    else
        not_ok "$3" "$(cat "$work/out")"
    fi
    clean
}

clean
passes "a clean tree"
says out "house: 13 passed, 0 failed" "says how many rules passed"
says out "skipped: links in build-emulated: not there" "and what was not judged"

sed -i '2i #include "darknet_plugin/model/b.h"' "$tree/darknet_plugin/base/mem.h"; echo '/* b */' | put darknet_plugin/model/b.h
breaks 1 "darknet_plugin/base/mem.h:2 includes darknet_plugin/model/b.h" "an include upward"
sed -i '2i #include "../base/mem.h"' "$tree/darknet_plugin/verbs/main.c"
breaks 1 'main.c:2 "../base/mem.h"' "an include by a path that is not from the root"
echo '/* c */' | put darknet_plugin/nowhere/c.h
breaks 1 "darknet_plugin/nowhere/c.h: in no room" "a file in no room"

echo 'int b(void); int twice(void) { return 2 * b(); }' >>"$tree/darknet_plugin/base/mem.c"
printf '/* b */\nint b(void);\nint b(void) { return 1; }\n' | put darknet_plugin/model/b.c
sed -i 's/return rows/int twice(void); return twice() * rows/' "$tree/darknet_plugin/verbs/main.c"
breaks 2 "darknet_plugin/base/mem.c -> darknet_plugin/model/b.c: b" "a link upward that no include tells of"

for f in p:q q:p; do printf '/* a file */\nint %s(void);\nint %s(void) { return %s(); }\n' "${f#*:}" "${f%:*}" "${f#*:}" | put "layers/cpu/${f%:*}.c"; done
breaks 3 "layers/cpu/p.c -> layers/cpu/q.c: q" "a circle of objects in one room"
for f in p:q q:p; do printf '/* a file */\n#include "%s.h"\n' "${f#*:}" | put "layers/gpu/${f%:*}.h"; done
breaks 3 "layers/gpu/q.h -> layers/gpu/p.h: line 2" "a circle of headers"

echo x | put NOTES
breaks 4 "NOTES: too many" "one more file at the top"
rm "$tree/LICENSE"
breaks 4 "LICENSE: missing" "one less"
for i in 1 2 3 4 5 6; do echo x | put darknet_plugin/$i.txt; done
breaks 4 "darknet_plugin/: 6 files, at most 5" "six files in darknet_plugin/"

sed -i 's/^static int times/static int first(const table *t) { return t != 0; }\n&/; s/^typedef.*//; 2a typedef struct { int (*row)(int number); } table;' "$tree/darknet_plugin/verbs/main.c"
breaks 5 "first: table t" "a letter for a struct"
sed -i 's/y = a . x for x of shape (c, h)/Reads a size from x.c, e.g. half of it/' "$tree/darknet_plugin/verbs/main.c"
breaks 5 "times: number a, number x, number c, number h" "letters of no formula: an article, a file's name, e.g."
sed -i 's/(\*row)(int number)/(*row)(char *r, const float *q)/; s/mem_take }/0 }/; s/row(3)/row(0, 0) + mem_take(3)/' "$tree/darknet_plugin/verbs/main.c"
breaks 5 "row: char r, number q" "letters of a struct's pointer to a function"
{ echo '/* many */'; for i in $(seq 60); do echo "int f$i(int size);"; done; for t in one two; do echo "int $t(struct $t *s);"; done; } | put layers/many.h
passes "few letters are no fault"
echo 'int three(const float *s, char rest);' >>"$tree/layers/many.h"
passes "nor is one of three types, numbers being one"
echo 'int four(char *s);' >>"$tree/layers/many.h"
breaks 5 "s is 4: char number one two" "a letter for four types"

sed -i '/^\/\* Doubles/,/slowly/d' "$tree/darknet_plugin/base/mem.c"
passes "a comment in the header will do"
clean
sed -i 's/;   .. of .size. bytes .*/;/' "$tree/darknet_plugin/base/mem.h"; sed -i '/^\/\* Doubles/,/slowly/d' "$tree/darknet_plugin/base/mem.c"
breaks 6 "darknet_plugin/base/mem.c:3 mem_take, 13 lines" "a long function without a comment"
sed -i 's/;   .. of .size. bytes .*/;/' "$tree/darknet_plugin/base/mem.h"; sed -i 's/slowly. \*\//&\n/' "$tree/darknet_plugin/base/mem.c"
breaks 6 "mem_take, 13 lines" "nor is one with a line between"

printf '#%0120d\n' 0 | put Makefile
breaks 7 "Makefile:1 121 columns" "a line of 121 columns"

sed -i 's/size > 5 ? 1 : 2/size > 5 ? 1 : size ? 2 : 3/' "$tree/darknet_plugin/base/mem.c"
breaks 8 "darknet_plugin/base/mem.c:12 return" "a chain of ?:"
sed -i 's/size > 5 ? 1 : 2/(size ? 1 : 0) ? 1 : 2/' "$tree/darknet_plugin/base/mem.c"
breaks 8 "darknet_plugin/base/mem.c:12 return" "a ?: in brackets as the condition of another"
echo '#define PICK(x) ((x) ? mem_take((x) ? 1 : 2) : 3)' >>"$tree/darknet_plugin/base/mem.h"
breaks 8 "#define PICK" "a ?: in an argument, in a macro"

echo '#include <stddef.h>' | put layers/b.c
breaks 9 "layers/b.c: begins without a comment" "a file without a head"
{ echo '/* long */'; yes '' | head -500; } | put layers/b.c
breaks 9 "layers/b.c: 501 lines" "a file of 501 lines"

echo 'int nobody(void); int nobody(void) { return 1; }' >>"$tree/darknet_plugin/base/mem.c"
breaks 10 "darknet_plugin/base/mem.c nobody: called by nothing" "a function that nobody calls"
echo 'int tested(void); int tested(void) { return 1; }' >>"$tree/darknet_plugin/base/mem.c"
echo 'int tested(void); int test(void) { return tested(); }' >>"$tree/tests/test_a.c"
breaks 10 "darknet_plugin/base/mem.c tested: called by tests only" "one that tests alone call"
sed -i 's/const char .text = /int opened = open("x", 0); &/; s/text\[0\];/text[0] + opened;/; 1a #include <fcntl.h>' "$tree/darknet_plugin/verbs/main.c"
passes "a file that main opens, as the table has it"
clean
printf '/* c */\n#include <stdio.h>\nstatic inline FILE *get(const char *path) { return fopen(path, "r"); }\n' | put layers/c.h
breaks 11 'layers/c.h:3 static inline FILE *get' "a file that is opened and not noted"
echo 'int shown(void); int shown(void) { return 1; }' >>"$tree/darknet_plugin/base/mem.c"
printf '/* on a device */\nint shown(void);\nint run(void) { return shown(); }\n' | put layers/gpu/run.cu
passes "one that is called where nothing was built"
clean; house; touch -d tomorrow "$tree/darknet_plugin/base/mem.c"
status 0 "objects older than their source" tests/house.py --root "$tree" build
says out "skipped: links in build: darknet_plugin/base/mem.c has changed since" "are not judged"
finish
