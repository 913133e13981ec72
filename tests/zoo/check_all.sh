#!/bin/bash
# Runs `check` and `summary` over every .cfg in a folder and counts what they say: how many pass, and what the others
# are refused for, the most frequent cause first.
#   tests/zoo/check_all.sh FOLDER [BUILD] [LIST]    BUILD: build; LIST: a file to write, a line each: name, tab, cause
# A cfg's cause is its first error without its numbers. Ends non-zero if the program crashed or ran longer than a
# minute.
set -u
folder=${1:?a folder of cfgs} build=${2:-build} list=${3:-}
darknet=$PWD/$build/darknet
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
[ -n "$list" ] || list=$rows

# cause FILE: "pass", or why not
cause() {
    local verb out rc
    for verb in check summary; do
        rc=0
        out=$(timeout 60 "$darknet" distill $verb "$1" 2>&1 >/dev/null </dev/null) || rc=$?
        [ $rc -lt 124 ] || { echo "CRASH ($verb ended with $rc)"; return; }
        [ $rc -eq 0 ] || { first_error "$1" "$verb" <<<"$out"; return; }
    done
    echo pass
}
# first_error FILE VERB: of the messages on stdin, the first that is neither hint nor warning, without file and line
first_error() {
    awk -v file="$1" -v verb="$2" '
        /^ *hint:/ || /warning:/ || /^note/ || !NF { next }
        {
            i = index($0, file)
            if (i) $0 = substr($0, i + length(file))
            sub(/^:[0-9]*:? */, "")
            print verb ": " $0
            found = 1
            exit
        }
        END { if (!found) print verb ": no message" }'
}

for cfg in "$folder"/*.cfg; do printf '%s\t%s\n' "${cfg##*/}" "$(cause "$cfg")"; done >"$list.new"
mv "$list.new" "$list"
cut -f 2 "$list" | sed -E 's/[0-9]+/N/g' | sort | uniq -c | sort -rn
awk -F '\t' '$2 ~ /^CRASH/ { bad = 1 } END { exit bad }' "$list"
