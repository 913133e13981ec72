#!/bin/bash
# `make deb`: darknet-distill, libdarknet-distill0 and libdarknet-distill-dev from what git has of this folder, by
# dpkg-buildpackage, in FOLDER; then what is in them is tried, and lintian has to have nothing to say.
#   packaging/deb.sh FOLDER
# MARCH is the processor that packages are built for: plain x86-64, as all of Debian's amd64 is, since a package built
# for more ends with SIGILL where that is missing. oneDNN, which computes the convolutions, looks for AVX2 and AVX-512
# by itself; only our own loops are narrower. On one's own machine `make install` (MARCH=native) is the faster one.
# DEBFULLNAME and DEBEMAIL, as Debian's tools have them, name the packages' maintainer.
set -eu
out=$1
for tool in dpkg-buildpackage dh lintian; do
    command -v $tool >/dev/null || { echo "make deb: $tool is missing: apt-get install debhelper lintian" >&2; exit 1; }
done
version=$(sed -n 's/^#define DISTILL_VERSION "\(.*\)"$/\1/p' darknet_plugin/base/version.h)
released=$(sed -n 's/^#define DISTILL_RELEASED "\(.*\)"$/\1/p' darknet_plugin/base/version.h)
tree=$out/darknet-distill-$version
rm -rf "$out"
mkdir -p "$tree"
git ls-files -z | tar --null -T - -c | tar -x -C "$tree"
cp -r packaging/debian "$tree/debian"
maintainer=${DEBFULLNAME:-the darknet-distill authors}" <${DEBEMAIL:-darknet-distill@noreply.github.com}>"
sed -i "s/^Maintainer:.*/Maintainer: $maintainer/" "$tree/debian/control"
cat >"$tree/debian/changelog" <<CHANGELOG
darknet-distill ($version) unstable; urgency=medium

  * See CHANGELOG.md, which is installed as NEWS.

 -- $maintainer  $(LC_ALL=C date -u -R -d "$released")
CHANGELOG
(cd "$tree" && dpkg-buildpackage -b -us -uc -d) >"$out/build.log" 2>&1 || { tail -50 "$out/build.log" >&2; exit 1; }
rm -rf "$tree"
mkdir -p "$out/root" "$out/tried"
for package in "$out"/*.deb; do dpkg -x "$package" "$out/root"; done
"$out/root/usr/bin/darknet-distill" -version
library=$(echo "$PWD/$out/root/usr/lib"/*/libdarknet_distill.so.0)
python3 tests/library/check.py "$library" "$out/tried" >"$out/tried/log" || { cat "$out/tried/log" >&2; exit 1; }
rm -rf "$out/root" "$out/tried"
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$out"/*.changes
ls "$out"/*.deb
