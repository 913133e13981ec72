#!/bin/bash
# Blocked layers are compiled four times (layers/cpu/variant.h): are all that know how a block is made, and does no object of one
# compilation call one of another? A name that variant.h forgets would read maps of the wrong layout.
. tests/tap.sh "$@"
not_quick "the names in objects"
objects=$build/layers/cpu
defines() { nm -P -g "$@" | awk '$2 ~ /^[TDRB]$/ { print $1 }' | sort -u; }
wants() { nm -P -g "$@" | awk '$2 == "U" { print $1 }' | sort -u; }
# none NAME TEXT: nothing is listed
none() { if [ -z "$2" ]; then ok "$1"; else not_ok "$1" "$(echo "$2" | xargs)"; fi; }

for kind in narrow half last; do
    also=$(ls "$objects"/*."$kind".o 2>"$work/log" | sed "s/\.$kind\.o\$/.o/")
    if [ "$(echo "$also" | wc -l)" -gt 5 ]; then ok "there are $kind objects"; else not_ok "there are $kind objects" "$also"; fi
    none "what they want is theirs or knows no blocks" "$(comm -12 <(wants "$objects"/*."$kind".o) <(defines $also))"
    none "what they define has names of its own" \
        "$(comm -12 <(defines "$objects"/*."$kind".o) <(defines $(ls "$objects"/*.o | grep -v "\.$kind\.o")))"
    none "every file that knows what a block is, is among them" "$(grep -lE 'LANES|\bvec_[a-z]+\(|\bmap_(load|store|put|get|of)\(' layers/cpu/*.c |
        grep -v -e /gemm_tile -e "$([ $kind = half ] && echo nothing || echo /winograd)" |
        while read -r file; do [ -f "$build/${file%.c}.$kind.o" ] || echo "$file"; done)"
done
finish
