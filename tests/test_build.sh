#!/bin/bash
# What make builds anew, and what it leaves: nothing where nothing has changed, a removed object, what a removed source was in,
# everything where flags change. On a copy of the sources, with a compiler that only writes down what it is asked for; at last,
# for a removed header, with a real one.
. tests/tap.sh "$@"
not_quick "what make builds anew"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CXXFLAGS BUILD   # of a make that runs this
tree=$work/tree bin=$work/bin
mkdir -p "$tree/tests" "$tree/cfg" "$bin"
cp -r Makefile darknet_plugin layers weights_tools "$tree"
cp -r cfg/shapes "$tree/cfg"
cp -r tests/*.[ch] tests/fuzz "$tree/tests"
cat >"$bin/cc" <<'SH'
#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo "$2" >"$2"
echo "$2" >>"$MADE"
SH
printf '#!/bin/sh\nexec "$@"\n' >"$bin/ccache"
chmod +x "$bin/cc" "$bin/ccache"
export MADE=$work/made PATH=$bin:$PATH

# built FLAG...: ./darknet, the tests and the fuzzers' archive; $work/made has what was compiled and linked
built() { : >"$MADE"; make -s -j2 -C "$tree" CC=cc CXX=cc BUILD=b "$@" darknet tests b/libreaders.a >"$work/log" 2>&1; }
objects() { grep -c '\.o$' "$MADE"; }
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$2, expected $3: $(tail -5 "$work/log")"; fi; }
# nothing NAME FLAG...: nothing is out of date, by make -q and by what is made
nothing() {
    local name=$1 got=0; shift
    make -q -C "$tree" CC=cc CXX=cc BUILD=b "$@" darknet tests b/libreaders.a >"$work/log" 2>&1 || got=$?
    built "$@"
    is "$name" "$got, $(wc -l <"$MADE") made" "0, 0 made"
}

status 0 "all is built" built
all=$(objects)
is "the archive has every object but the programs' own" "$(ar t "$tree/b/libdistill.a" | wc -l)" \
    "$(grep -v -e ^b/tests/ -e /main.o -e /make_shapes.o -e /ranks_mpi.o "$MADE" | grep -c '\.o$')"
nothing "nothing is built where nothing has changed"

rm "$tree/b/darknet_plugin/base/words.o" "$tree/b/tests/test_conv.o"
built
is "removed objects are built" "$(grep '\.o$' "$MADE" | sort | xargs)" "b/darknet_plugin/base/words.o b/tests/test_conv.o"
is "and linked" "$(grep -c -e b/darknet$ -e b/tests/test_conv$ "$MADE")" 2
nothing "and nothing else after that"

rm "$tree/darknet_plugin/base/words.c"
built
is "a removed source builds no object" "$(objects)" 0
is "and leaves the archives" "$(ar t "$tree/b/libdistill.a" | grep -c words.o) $(ar t "$tree/b/libreaders.a" | grep -c words.o)" "0 0"
is "and the programs" "$(grep -c -e b/darknet$ -e b/tests/test_conv$ "$MADE")" 2
nothing "and nothing else after that"
cp darknet_plugin/base/words.c "$tree/darknet_plugin/base"
built
is "it comes back with the source" "$(objects) $(ar t "$tree/b/libdistill.a" | grep -c words.o)" "1 1"

make -n -C "$tree" CC=cc CXX=cc BUILD=b DNNL=0 darknet >"$work/log" 2>&1
nothing "make -n leaves no trace"
nothing "objects are the same through ccache" CC="ccache cc" CXX="ccache cc"
for flag in DNNL=0 ONNX=0 WINOGRAD=0 MARCH=x86-64 OPT=-O0 CFLAGS=-g1 KERNEL_OPT=-O1 "CC=cc -m64"; do
    built "$flag"
    is "$flag: every object is built" "$(objects)" "$all"
done
nothing "the same flags: none" "CC=cc -m64"

built
built BUILD=c
is "./darknet is the last one asked for" "$(cat "$tree/darknet")" c/darknet
built
is "also where it is the older one" "$(cat "$tree/darknet")" b/darknet

# A header that is gone with what included it.
PATH=${PATH#"$bin:"}
words=b/darknet_plugin/base/words.o header=$tree/darknet_plugin/base/gone.h
one() { make -C "$tree" BUILD=b "$words"; }
cp "$tree/darknet_plugin/base/words.h" "$header"
sed -i 's/"words.h"/"gone.h"/' "$tree/darknet_plugin/base/words.c"
status 0 "an object with a header" one
rm "$header"
cp darknet_plugin/base/words.c "$tree/darknet_plugin/base"
status 0 "a removed header is not asked for" one
status 0 "and nothing after that" make -q -C "$tree" BUILD=b "$words"
finish
