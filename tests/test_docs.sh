#!/bin/bash
# The documentation: README's length, links to files and headings, every verb, flag and section in docs/reference.md, the picture.
. tests/tap.sh
not_quick "the documentation"
pages="README.md CHANGELOG.md docs/*.md"
lines=$(wc -l <README.md)
if [ "$lines" -le 200 ]; then ok "README.md has at most 200 lines"; else not_ok "README.md has at most 200 lines" "$lines"; fi

# anchors PAGE: the names that its headings have in links
anchors() { sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }
# links PAGE: where it links to, but for the web
links() { tr '\n' ' ' <"$1" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//' | grep -v '^https*:'; }
for page in $pages; do
    for link in $(links "$page"); do
        file=${link%%#*} heading=${link#"${link%%#*}"}
        at=$page
        [ -z "$file" ] || at=$(dirname "$page")/$file
        [ -e "$at" ] || { echo "$page: $link: no such file"; continue; }
        [ -z "$heading" ] || anchors "$at" | grep -qxF -- "${heading#\#}" || echo "$page: $link: no such heading"
    done
done >"$work/out"
if [ -s "$work/out" ]; then not_ok "every link within the project leads somewhere" "$(cat "$work/out")"
else ok "every link within the project leads somewhere"; fi

# named NAME: all of the words on stdin stand in docs/reference.md, as whole words
named() {
    local missing
    missing=$(while read -r word; do grep -qwF -- "$word" docs/reference.md || printf '%s ' "$word"; done)
    if [ -z "$missing" ]; then ok "$1"; else not_ok "$1" "not there: $missing"; fi
}
# more FILE N NAME: it has at least N lines, so that an empty list does not pass
more() { if [ "$(wc -l <"$1")" -ge "$2" ]; then ok "$3"; else not_ok "$3" "$(cat "$1")"; fi; }

"$darknet" distill -help | awk '/^  [a-z]/ { print $1 }' >"$work/verbs"
more "$work/verbs" 9 "-help lists the verbs"
sed 's/^/darknet distill /' "$work/verbs" | named "reference.md names every verb"
for verb in $(cat "$work/verbs"); do "$darknet" distill "$verb" -help; done | awk '/^  -[a-z]/ { print $1 }' | sort -u >"$work/flags"
more "$work/flags" 30 "the verbs list their flags"
sed 's/^/`/' "$work/flags" | named "reference.md names every flag"

# The tables of sections are rows of { "name", ... SECTION_KIND, ... }.
grep -rhE --include='*.c' '\{ *(\.name = )?"[a-z0-9_]+",.*SECTION_[A-Z]+' darknet_plugin layers | sed -E 's/^[^"]*"([a-z0-9_]+)".*/[\1]/' | sort -u >"$work/sections"
more "$work/sections" 30 "the tables list the sections"
named "reference.md names every section" <"$work/sections"

# Rooms: a row of docs/code.md ends on how the names of a room's files begin; the longest beginning counts.
if [ -d darknet_plugin/base ]; then
    sed -nE 's#^\| `((darknet_plugin|weights_tools)/[a-z]+)/` \|.*\| *([^|]*)\|$#\1 \3#p' docs/code.md | tr -d '`' >"$work/rooms"
    more "$work/rooms" 10 "code.md lists the rooms"
    find darknet_plugin weights_tools -name '*.[ch]' -o -name '*.cpp' | awk -v rooms="$work/rooms" '
        BEGIN { while ((getline line < rooms) > 0) { n = split(line, part, " "); for (i = 2; i <= n; ++i) room[part[i]] = part[1] } }
        { folder = $0; sub("/[^/]*$", "", folder); name = substr($0, length(folder) + 2); best = ""
          for (start in room) if (index(name, start) == 1 && length(start) > length(best)) best = start
          if (room[best] != folder) print $0, "is not in", best == "" ? "any room" : room[best] }' >"$work/out"
    if [ -s "$work/out" ]; then not_ok "code.md says where every file is" "$(cat "$work/out")"; else ok "code.md says where every file is"; fi
fi

if command -v python3 >/dev/null; then
    docs/draw_method.py >"$work/method.svg"
    if cmp -s "$work/method.svg" docs/method.svg; then ok "docs/method.svg is what its script draws"
    else not_ok "docs/method.svg is what its script draws" "docs/draw_method.py > docs/method.svg"; fi
else
    echo "skipped: docs/method.svg is what its script draws (no python3)"
fi
finish
