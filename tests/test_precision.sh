#!/bin/bash
# -precision bf16 through the command: repeatable, resumable, apart from fp32 in states and caches, refused where nothing computes so.
. tests/tap.sh "$@"
not_quick "trainings in bf16, whose layers test_precision runs"
w=$work
few_sets 320 64
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" cfg/fashion-distilled.cfg >"$w/s.cfg"
# train FOLDER FLAGS...
train() { "$darknet" distill train "$w/few.data" "$w/s.cfg" -threads 1 -nogpu -backup "$w/$1" "${@:2}"; }
same() { if cmp -s "$w/$1" "$w/$2"; then ok "$3"; else not_ok "$3"; fi; }
loss() { jq -s '[.[] | select(.kind == "epoch").loss] | last' "$w/$1/s.jsonl"; }

status 0 "two epochs in fp32" train fp32 -epochs 2 -quiet
status 0 "in bf16" train bf16 -epochs 2 -precision bf16
says out "bf16: maps of 16 bits, " "says what it is"
export ONEDNN_MAX_CPU_ISA=AVX2
status 0 "rounded, where the processor has no such products" train rounded -epochs 1 -precision bf16
says out "bf16: maps of 16 bits, operands are rounded here, which is slower than fp32" "which is said"
for test in test_precision test_layouts; do status 0 "$test there" "$build/tests/$test"; done
unset ONEDNN_MAX_CPU_ISA
status 0 "and again" train again -epochs 2 -precision bf16 -quiet
same bf16/s_final.weights again/s_final.weights "to the same weights"
cmp -s "$w/bf16/s_final.weights" "$w/fp32/s_final.weights" && not_ok "which are not fp32's" || ok "which are not fp32's"
awk -v a="$(loss bf16)" -v b="$(loss fp32)" 'BEGIN { exit !(a > .97 * b && a < 1.03 * b) }' &&
    ok "its loss is fp32's but for 3 %" || not_ok "its loss is fp32's but for 3 %" "$(loss bf16) $(loss fp32)"
status 0 "-precision fp32" train named -epochs 2 -quiet -precision fp32
same named/s_final.weights fp32/s_final.weights "is the default"

status 0 "half of it" train half -epochs 1 -precision bf16 -quiet
status 1 "does not go on in fp32" train half -epochs 2 -quiet -resume
says err "backend=dnnl, bf16" "and says why"
status 0 "goes on in bf16" train half -epochs 2 -precision bf16 -quiet -resume
same half/s_final.weights bf16/s_final.weights "to the same weights"

features() { "$darknet" distill features "$w/few.data" "$w/s.cfg" -views 2 -threads 1 -nogpu -quiet "$@"; }
cached=(-epochs 2 -views 2 -cache "$w/features" -quiet)
status 0 "a cache in bf16" features -out "$w/features" -precision bf16
grep -aq '^type=f16, computed in bf16$' "$w/features" && ok "says so in its header" || not_ok "says so in its header"
status 0 "is read in bf16" train cached "${cached[@]}" -precision bf16
says out "640 read from the cache, 0 computed" "whole"
status 1 "and refused in fp32" train refused "${cached[@]}"
says err "was made with type=f16, computed in bf16, this run has type=f16" "which is said"
cp "$w/features" "$w/before"
status 0 "unless -force" train forced "${cached[@]}" -force
says err "was computed in bf16, this run computes in fp32: it is read, and what is missing is not stored" "which is warned of"
says out "640 read from the cache, 0 computed" "and reads it"
same features before "unchanged"

plan() { grep -am1 '^auto=' "$w/$1/s_last.state"; }
status 0 "-precision auto" train auto -epochs 1 -precision auto
grep -qE '^auto: the student in (bf16, (channels last, .* times as fast|.* convolutions by oneDNN instead of Winograd)|fp32, bf16 would be)' "$w/out" &&
    ok "says what is faster for the student" || not_ok "says what is faster for the student" "$(cat "$w/out")"
grep -qE '^auto: the teacher in (bf16|fp32), ' "$w/out" && ok "and for the teacher" || not_ok "and for the teacher"
before=$(plan auto)
[[ $before =~ ^auto=(fp32|bf16\ [wd]+|bf16\ l+),(fp32|bf16\ [wd]+|bf16\ l+)$ ]] && ok "which is in its state" || not_ok "which is in its state" "$before"
cp -r "$w/auto" "$w/auto-again"
status 0 "goes on" train auto -epochs 2 -precision auto -resume
says out "auto: as when the run began" "as it began"
[ "$(plan auto)" = "$before" ] && ok "and says so in its state again" || not_ok "and says so in its state again" "$(plan auto)"
status 0 "and once more" train auto-again -epochs 2 -precision auto -resume -quiet
same auto/s_final.weights auto-again/s_final.weights "to the same weights"
status 1 "another precision does not go on with it" train auto-again -epochs 3 -resume
status 0 "a cache by auto" features -out "$w/by-auto" -precision auto

for flags in "-gpus 0" "-backend gpu"; do
    status 2 "$flags" "$darknet" distill train "$w/few.data" "$w/s.cfg" -precision bf16 $flags
    says err "'-precision bf16': a GPU computes in fp32" "is refused"
done
status 2 "-backend host" "$darknet" distill features "$w/few.data" "$w/s.cfg" -precision bf16 -backend host -out "$w/x"
says err "'-precision bf16': '-backend host' computes in fp32" "is refused"
status 2 "another name" train x -precision fp16
says err "unknown precision 'fp16', expected fp32, bf16 or auto" "is refused"
finish
