#!/bin/bash
# Blocked layers are compiled twice (layers/cpu/narrow.h): are all that know how wide a block is, and does no object for narrow
# blocks call one for wide ones? A name that narrow.h forgets would read maps of the wrong layout.
. tests/tap.sh "$@"
not_quick "the names in objects"
objects=$build/layers/cpu
defines() { nm -P -g "$@" | awk '$2 ~ /^[TDRB]$/ { print $1 }' | sort -u; }
wants() { nm -P -g "$@" | awk '$2 == "U" { print $1 }' | sort -u; }
# none NAME TEXT: nothing is listed
none() { if [ -z "$2" ]; then ok "$1"; else not_ok "$1" "$(echo "$2" | xargs)"; fi; }

twice=$(ls "$objects"/*.narrow.o 2>"$work/log" | sed 's/\.narrow\.o$/.o/')
if [ "$(echo "$twice" | wc -l)" -gt 5 ]; then ok "there are objects for narrow blocks"; else not_ok "there are objects for narrow blocks" "$twice"; fi
none "what they want is theirs or knows no blocks" "$(comm -12 <(wants "$objects"/*.narrow.o) <(defines $twice))"
none "what they define has names of its own" "$(comm -12 <(defines "$objects"/*.narrow.o) <(defines $(ls "$objects"/*.o | grep -v narrow)))"
none "every file that knows how wide a block is, is compiled twice" "$(grep -lE 'LANES|\bvec_[a-z]+\(' layers/cpu/*.c |
    grep -v -e /winograd -e /gemm_tile | while read -r file; do [ -f "$build/${file%.c}.narrow.o" ] || echo "$file"; done)"
finish
