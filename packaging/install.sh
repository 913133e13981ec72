#!/bin/bash
# What `make install` and `make uninstall` do: the command as darknet-distill, its manual page and completions, the
# library, its header and pkg-config's file; uninstall removes exactly these files.
#   packaging/install.sh install|uninstall BUILD
# PREFIX, DESTDIR and LIBDIR come from the environment. Nothing is written that uninstall does not know.
set -eu
what=$1 build=$2
program=$DESTDIR$PREFIX/bin/darknet-distill
manual=$DESTDIR$PREFIX/share/man/man1/darknet-distill.1
bash=$DESTDIR$PREFIX/share/bash-completion/completions/darknet-distill
zsh=$DESTDIR$PREFIX/share/zsh/${ZSH_FOLDER:-site-functions}/_darknet-distill
header=$DESTDIR$PREFIX/include/darknet_distill.h
library=$DESTDIR$LIBDIR/libdarknet_distill.so.0
link=$DESTDIR$LIBDIR/libdarknet_distill.so
pc=$DESTDIR$LIBDIR/pkgconfig/darknet-distill.pc

if [ "$what" = uninstall ]; then
    rm -f "$program" "$manual" "$bash" "$zsh" "$header" "$library" "$link" "$pc"
    exit 0
fi
version=$(sed -n 's/^#define DISTILL_VERSION "\(.*\)"$/\1/p' darknet_plugin/base/version.h)
# What the program prints of itself is printed under its installed name.
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
cp "$build/darknet" "$run/darknet-distill"
install -d "${manual%/*}" "${bash%/*}" "${zsh%/*}" "${pc%/*}"
"$run/darknet-distill" -man >"$run/man"
"$run/darknet-distill" -completion bash >"$run/bash"
"$run/darknet-distill" -completion zsh >"$run/zsh"
cat >"$run/pc" <<PC
prefix=$PREFIX
libdir=$LIBDIR
includedir=\${prefix}/include

Name: darknet-distill
Description: Knowledge distillation for Darknet
Version: $version
Libs: -L\${libdir} -ldarknet_distill
Cflags: -I\${includedir}
PC
install -D -m 755 "$build/darknet" "$program"
install -D -m 644 "$build/libdarknet_distill.so.0" "$library"
ln -sf libdarknet_distill.so.0 "$link"
install -D -m 644 darknet_plugin/library/darknet_distill.h "$header"
install -m 644 "$run/man" "$manual"
install -m 644 "$run/bash" "$bash"
install -m 644 "$run/zsh" "$zsh"
install -m 644 "$run/pc" "$pc"
