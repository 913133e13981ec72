#!/bin/bash
# make install and make uninstall: what lies where, that it works from there, and that nothing is left.
. tests/tap.sh
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CXXFLAGS BUILD   # of a make that runs this
not_quick "installing"
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2', expected '$3'"; fi; }
# installs WHAT...: nothing is built, whatever flags the build had
installs() {
    make -s --no-print-directory -o "$build/darknet" -o "$build/libdarknet_distill.so.0" BUILD="$build" "$@"
}
to=$work/to
mkdir -p "$to/usr/bin"
touch "$to/usr/bin/other"
status 0 "make install" installs install PREFIX=/usr DESTDIR="$to"
is "it says nothing" "$(cat "$work/out" "$work/err")" ""
(cd "$to" && find . ! -type d | sort) >"$work/list"
is "what lies where" "$(xargs <"$work/list")" "./usr/bin/darknet-distill ./usr/bin/other ./usr/include/darknet_distill.h \
./usr/lib/libdarknet_distill.so ./usr/lib/libdarknet_distill.so.0 ./usr/lib/pkgconfig/darknet-distill.pc \
./usr/share/bash-completion/completions/darknet-distill ./usr/share/man/man1/darknet-distill.1 \
./usr/share/zsh/site-functions/_darknet-distill"
status 0 "it runs from there" "$to/usr/bin/darknet-distill" -version
says out "darknet-distill $(sed -n 's/^#define DISTILL_VERSION "\(.*\)"$/\1/p' darknet_plugin/base/version.h)" "and says its version"
status 2 "by its own name" "$to/usr/bin/darknet-distill"
says err "usage: darknet-distill VERB" "which usage says"
released=$(sed -n 's/^#define DISTILL_RELEASED "\(.*\)"$/\1/p' darknet_plugin/base/version.h)
if grep -q "^## .*($released)$" CHANGELOG.md; then ok "its day is CHANGELOG's"; else not_ok "its day is CHANGELOG's" "$released"; fi
if grep -q "$work\|$PWD" "$to"/usr/lib/pkgconfig/*.pc "$to"/usr/share/man/man1/* "$to"/usr/share/*/*/*distill; then
    not_ok "no file names DESTDIR or the source"
else ok "no file names DESTDIR or the source"; fi

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$to/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$to
    flags=$(pkg-config --cflags --libs darknet-distill 2>&1)
    status 0 "a program is built by pkg-config" gcc tests/library/example.c $flags -o "$work/example"
    status 1 "and runs" env LD_LIBRARY_PATH="$to/usr/lib" "$work/example" "$work/nowhere.cfg" x.png
    says err "nowhere.cfg" "as far as it can"
else
    echo "skipped: a program is built by pkg-config (no pkg-config)"
fi

status 0 "make uninstall" installs uninstall PREFIX=/usr DESTDIR="$to"
is "leaves what is not ours" "$(cd "$to" && find . ! -type d)" "./usr/bin/other"
status 0 "make uninstall once more" installs uninstall PREFIX=/usr DESTDIR="$to"
status 0 "another folder for libraries" installs install PREFIX="$to/opt" LIBDIR="$to/opt/lib64"
if [ -e "$to/opt/lib64/libdarknet_distill.so.0" ] && [ ! -e "$to/opt/lib" ]; then ok "is where they go"; else not_ok "is where they go"; fi
status 0 "and uninstall" installs uninstall PREFIX="$to/opt" LIBDIR="$to/opt/lib64"
is "leaves nothing" "$(find "$to/opt" ! -type d)" ""
finish
