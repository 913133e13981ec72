#!/bin/bash
# `weights show|compare|extract|strip` and `bench` on the demo's teacher: what a user types and gets.
set -u
. tests/tap.sh
w=$work
d="$darknet distill"
cfg=cfg/fashion-teacher.cfg weights=cfg/fashion-teacher.weights

status 0 "show" $d weights show $cfg $weights
says out "the whole network: 11 layers, 107866 values" "what the file holds"
says out "   4  convolutional 64 x 32 x 3 x 3       18560  biases" "section, shape and parameters"
[ "$(awk 'length > 100' "$w/out")" = "" ] && ok "no line beyond 100 columns" || not_ok "no line beyond 100 columns"
status 0 "show -json" $d weights show $cfg $weights -json
holds "seven layers with weights, all values finite" '.fits and (.layers | length == 7) and ([.layers[].arrays[] | .nan + .infinite + .negative] | add == 0)'
holds "parameters as summary counts them" "([.layers[].parameters] | add) == $($darknet distill summary $cfg -json 2>/dev/null | jq .parameters)"
head -c 5000 $weights >"$w/short.weights"
status 1 "show of a file that is cut short" $d weights show $cfg "$w/short.weights"
says out "whole layers 0 to 0 of 0 to 10" "shows what it holds"
says err "5000 bytes, expected 431484" "and says both sizes"
status 1 "show with another network's cfg" $d weights show cfg/fashion-student.cfg $weights
says err "left over after the last layer: is it the file of another cfg?" "and says so"
status 1 "show of a cfg as weights" $d weights show $cfg $cfg
says err "$cfg: a text, not a weights file" "says what it is"
status 1 "show of no file" $d weights show $cfg "$w/none"
status 1 "show of a folder" $d weights show $cfg "$w"
status 2 "show without a file" $d weights show $cfg
says err "'weights show' takes CFG WEIGHTS" "says what it takes"
status 2 "a flag of another sub-verb" $d weights show $cfg $weights -to 3
says err "'-to' means nothing to 'weights show'" "is refused"

status 2 "no such sub-verb" $d weights shw $cfg
says err "did you mean 'weights show'?" "says which is near"

cp $weights "$w/other.weights"
printf '\x01' | dd of="$w/other.weights" bs=1 seek=100003 conv=notrunc 2>/dev/null
status 0 "compare with itself" $d weights compare $cfg $weights $weights
status 1 "compare with one byte changed" $d weights compare $cfg $weights "$w/other.weights"
says out "first layer that matters: 4 [convolutional]" "names the layer"
[ ! -s "$w/err" ] && ok "a difference is no error message" || not_ok "a difference is no error message"
status 1 "compare -json" $d weights compare $cfg $weights "$w/other.weights" -json
holds "one layer of seven" '(.equal | not) and .first_that_matters == 4 and ([.layers[] | select(.same_bits | not)] | length == 1)'
status 0 "compare within a tolerance" $d weights compare $cfg $weights "$w/other.weights" -tolerance 0.5
status 1 "a tolerance that is none" $d weights compare $cfg $weights $weights -tolerance x
says err "expected a number from 0 to 1" "says what was expected"

status 0 "extract an encoder" $d weights extract $cfg $weights "$w/encoder" -to 7
cmp -s "$w/encoder.weights" <(head -c "$(stat -c %s "$w/encoder.weights")" $weights) && ok "its weights are the head of the file" || not_ok "its weights are the head of the file"
status 0 "extract to a name with its ending" $d weights extract $cfg $weights "$w/named.weights" -to 7
cmp -s "$w/named.weights" "$w/encoder.weights" && cmp -s "$w/named.cfg" "$w/encoder.cfg" && ok "which is not added again" || not_ok "which is not added again" "$(ls "$w")"
status 0 "which is a start for the whole" $d weights show $cfg "$w/encoder.weights"
status 0 "extract a tail behind a residual block's input" $d weights extract $cfg $weights "$w/tail" -from 5 -json
holds "with an entrance layer and the map's size" '.layers == 7 and .entrance == 1 and .c == 64 and .h == 7'
status 0 "which the host takes" $d summary "$w/tail.cfg"
status 0 "and so does OpenCV" $d bench "$w/tail.cfg" "$w/tail.weights" -seconds 0.1 -json
holds "all three readers" '.readers | length == 3 and all(.ran)'
status 1 "a cut through a residual block" $d weights extract $cfg $weights "$w/broken" -from 3
says err "fashion-teacher.cfg:45: [shortcut] layer 3 reads layer 1, behind the cut" "names the layer, its file and line"
ls "$w" | grep -q broken && not_ok "nothing is left behind" || ok "nothing is left behind"
status 1 "extract over what is read" $d weights extract "$w/encoder.cfg" "$w/encoder.weights" "$w/encoder" -to 3
says err "would be overwritten" "is refused"

# Other classes: the same ones are the same file, turned around twice, too; new ones are all alike.
n10='a b c d e f g h i j'
names() { printf '%s\n' $2 >"$w/$1.names"; printf 'classes=%s\nnames=%s\n' "$(wc -w <<<"$2")" "$1.names" >"$w/$1.data"; }
body() { tail -c +21 "$1"; }
names ten "$n10"
names turned "$(rev <<<"$n10")"
status 0 "the same classes" $d weights classes $cfg $weights "$w/same" "$w/ten.data" "$w/ten.names"
says out "10 classes were 10, 10 of them known: a, b, c" "are known"
cmp -s <(body "$w/same.weights") <(body $weights) && ok "and nothing changes" || not_ok "and nothing changes"
status 0 "turned around" $d weights classes $cfg $weights "$w/turned" "$w/turned.data" "$w/ten.names"
status 0 "and back" $d weights classes "$w/turned.cfg" "$w/turned.weights" "$w/back" "$w/ten.data" "$w/turned.names"
cmp -s <(body "$w/turned.weights") <(body $weights) && not_ok "rows change places" || ok "rows change places"
cmp -s "$w/same.weights" "$w/back.weights" && ok "and find back" || not_ok "and find back"
names three "A x y"
status 0 "other classes" $d weights classes $cfg $weights "$w/three" "$w/three.data" "$w/ten.names" -json
holds "one of them known, whatever its case" '.classes == 3 and .classes_before == 10 and .known == ["A"] and .heads[0].filters == 3'
status 0 "as a network" $d weights show "$w/three.cfg" "$w/three.weights" -json
holds "three filters, two of them new" '.layers[-1].arrays[] | select(.name == "biases") | .n == 3 and .min < .max'
status 0 "without NAMES" $d weights classes $cfg $weights "$w/new" "$w/three.data"
status 0 "as a network" $d weights show "$w/new.cfg" "$w/new.weights" -json
holds "all are new and alike" '.layers[-1].arrays[] | select(.name == "biases") | .n == 3 and .min == .max'
shapes=cfg/shapes/teacher.cfg shapes_weights=cfg/shapes/teacher.weights
names boxes "circle square triangle"
names others "triangle cross circle square"
status 0 "a detector's" $d weights classes $shapes $shapes_weights "$w/boxes" "$w/others.data" "$w/boxes.names"
says out "4 classes were 3, 3 of them known: triangle, circle, square" "all its heads"
status 0 "and back" $d weights classes "$w/boxes.cfg" "$w/boxes.weights" "$w/again" "$w/boxes.data" "$w/others.names"
cmp -s <(body "$w/again.weights") <(body $shapes_weights) && ok "the box stays with its classes" || not_ok "the box stays with its classes"
diff <($d summary $shapes -json 2>/dev/null) <($d summary "$w/again.cfg" -json 2>/dev/null) >/dev/null && ok "the cfg is the same network" || not_ok "the cfg is the same network"
status 1 "as many names as classes" $d weights classes $cfg $weights "$w/x" "$w/three.data" "$w/others.names"
says err "4 names, but classes=10 in $cfg" "says so"
status 1 "of a distillation" $d weights classes cfg/fashion-simkd.cfg $weights "$w/x" "$w/three.data"
says err "change the teacher's classes" "says what to do"
status 1 "of part of a network" $d weights classes $cfg "$w/short.weights" "$w/x" "$w/three.data"
printf 'classes=3\n' >"$w/nameless.data"
status 1 "NAMES for classes without" $d weights classes $cfg $weights "$w/x" "$w/nameless.data" "$w/ten.names"
says err "nameless.data: names= is missing" "says what is missing"
ls "$w"/x.* >/dev/null 2>&1 && not_ok "nothing is written" || ok "nothing is written"

# A distillation cfg is cut as it deploys: student 0 to 2, projector 3 to 5, classifier 6 to 8.
net() { printf '[net]\nbatch=4\nheight=28\nwidth=28\nchannels=1\n\n'; }
status 0 "summary of a distillation" $d summary cfg/fashion-simkd.cfg -json
layers=$(jq '.layers | length' "$w/out")
bytes=$(jq .file_bytes "$w/out")
{ head -c 20 $weights; head -c $((bytes - 20)) /dev/zero; } >"$w/simkd.weights"
status 0 "extract from a distillation cfg" $d weights extract cfg/fashion-simkd.cfg "$w/simkd.weights" "$w/student" -to 2
[ "$(grep -c '^\[convolutional\]' "$w/student.cfg")" = 3 ] && ok "the student's encoder" || not_ok "the student's encoder"
status 0 "strip a distillation cfg" $d weights strip cfg/fashion-simkd.cfg "$w/simkd.weights" "$w/plain" -json
holds "all its deployed layers" ".layers == $layers and .dropped == 0"
status 0 "stripped weights" $d weights show "$w/plain.cfg" "$w/plain.weights" -json
holds "count no images" '.seen == 0 and .fits'

status 0 "bench" $d bench $cfg $weights -seconds 0.2 -threads 1 -batch 4
for reader in darknet-distill libdarknet OpenCV; do says out "$reader" "a row for $reader"; done
status 0 "bench -json" $d bench $cfg $weights -seconds 0.2 -batch 4 -json
[ -n "${DISTILL_MEMCHECK:-}" ] && batch='<= 4' || batch='== 4'     # fewer where four take too long
holds "latency, throughput and ratios of all" '.readers | length == 3 and all(.ran and .latency.median_ms > 0 and .latency.p95_ms >= .latency.median_ms
    and .throughput.images_per_second > 0 and .throughput.batch '"$batch"' and .latency.ratio > 0 and .throughput.ratio > 0)'
status 0 "bench without weights, of a distillation cfg" $d bench cfg/fashion-simkd.cfg -seconds 0.1 -batch 2 -seed 3 -backend reference -json
holds "random weights" '(has("weights") | not) and (.readers | all(.ran))'
{ net; printf '[convolutional]\nfilters=18\nsize=3\npad=1\nstride=2\nactivation=linear\n[yolo]\nmask=0,1,2\nanchors=1,1,2,2,3,3\nclasses=1\nnum=3\n'; } >"$w/detector.cfg"
status 0 "bench of a detector" $d bench "$w/detector.cfg" -seconds 0.1 -batch 2 -json
holds "in all readers" '.readers | all(.ran)'
head -c 20 $weights >"$w/detector.weights"
head -c $((4 * (18 + 18 * 9))) /dev/zero >>"$w/detector.weights"
status 0 "a tail with [yolo]" $d weights extract "$w/detector.cfg" "$w/detector.weights" "$w/yolo" -from 1
says err "anchors are in pixels of a 28x28 input, the tail's is 14x14" "is warned of"
{ net; printf '[connected]\noutput=4\nactivation=linear\n[rnn]\noutput=4\nactivation=relu\n'; } >"$w/rnn.cfg"
status 0 "bench of a net that some readers do not take" $d bench "$w/rnn.cfg" -seconds 0.1 -json
holds "says why in their rows" '(.readers[1].ran) and (.readers[2] | (.ran | not) and (.why | contains("rnn")))'
status 1 "bench with weights of another cfg" $d bench cfg/fashion-student.cfg $weights
status 1 "bench with an encoder" $d bench $cfg "$w/encoder.weights"
says err "holds 7 of the network's 11 layers" "says what is missing"
status 1 "bench of no cfg" $d bench "$w/none.cfg"
sed 's/=28/=256/' "$w/detector.cfg" >"$w/large.cfg"
status 1 "bench of a batch that cannot be counted" $d bench "$w/large.cfg" -batch 65536
says err "batch 65536: " "is refused before anything is made"
status 1 "bench of no time" $d bench $cfg -seconds -1
status 1 "bench with an unknown backend" $d bench $cfg -backend fast
finish
