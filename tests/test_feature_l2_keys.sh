#!/bin/bash
# [feature_l2]'s pooled, normalise and metric in training: live and cached alike, going on after an interruption;
# what is measured is said once; a cache of means is small and no other run's.
. tests/tap.sh "$@"
not_quick "trainings with every key of [feature_l2]"
w=$work
n=$(many 256 128)
few_images 100
final=_final.weights
# cfg NAME KEYS: the demo's student with these keys in [feature_l2]
cfg() { sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#; s#^scale=10.*#$2#" cfg/fashion-simkd.cfg >"$w/$1.cfg"; }
cfg channel "normalise=channel"
cfg head "metric=head"
cfg both "metric=head\nnormalise=channel"
cfg means "pooled=1\nnormalise=channel\nmetric=head"
cfg pooled "pooled=1"
cfg beside "pooled=1\nnormalise=channel\nscale=auto"
printf 'labels=0.5\n[kd]\nscale=auto\n' >>"$w/beside.cfg"
# train CFG FOLDER FLAGS...
train() { "$darknet" distill train "$w/few.data" "$w/$1.cfg" -limit $n -epochs 2 -views 2 -quiet -backup "$w/$2" "${@:3}"; }
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
said="teacher's channel variances from $n views: least "

for c in channel head both means beside pooled; do
    status 0 "$c: live" train $c live-$c -threads 2
    cp "$w/out" "$w/said"
    status 0 "$c: cached" train $c fill-$c -threads 2 -cache "$w/$c.feat" -type f32
    same "$w/live-$c/$c$final" "$w/fill-$c/$c$final" "$c: gives the same weights, bit for bit"
    status 0 "$c: out of the cache" train $c read-$c -threads 2 -cache "$w/$c.feat" -type f32
    same "$w/live-$c/$c$final" "$w/read-$c/$c$final" "$c: and out of a full cache"
    says out " 0 computed" "$c: where nothing is computed"
    [ $c = pooled ] && continue
    [ "$(grep -cF "$said" "$w/said")" = 1 ] && ok "$c: says in one line what was measured" || not_ok "$c: says in one line what was measured" "$(cat "$w/said")"
    same <(grep -F "$said" "$w/said") <(grep -F "$said" "$w/out") "$c: the same out of the cache"
done
if grep -qF variances "$w/said"; then not_ok "pooled=1 alone measures nothing"; else ok "pooled=1 alone measures nothing"; fi

# What is measured follows the views' seed, not the run's.
status 0 "another seed" train channel seed1 -seed 1 -view-seed 0 -cache "$w/channel.feat" -type f32
grep -F "$said" "$w/out" >"$w/said1"
status 0 "another, the same views" train channel seed2 -seed 2 -view-seed 0 -cache "$w/channel.feat" -type f32
same <(grep -F "$said" "$w/out") "$w/said1" "finds the same"
says out " 0 computed" "in the cache"

# The caches of means hold 64 numbers a view and an entry, not 3,136 numbers.
large=$(stat -c %s "$w/channel.feat") small=$(stat -c %s "$w/means.feat")
[ $((small * 10)) -lt "$large" ] && ok "a cache of means is small" || not_ok "a cache of means is small" "$small of $large bytes"
same "$w/means.feat" "$w/pooled.feat" "whatever is computed of them"
status 1 "which a loss on the map cannot use" train channel no -cache "$w/means.feat" -type f32
says err "was made with taps=layer 7 of 64x7x7 (means), layer 9 of 10x1x1, this run has taps=layer 7 of 64x7x7," "and says why"
status 0 "in 8 bits" train means u8 -cache "$w/u8.feat" -type u8

# Stopped after the first epoch and gone on with: nothing is measured again.
interrupted() {
    "$darknet" distill train "$w/few.data" "$w/$1.cfg" -limit $n -epochs 2 -views 2 -quiet -backup "$w/half-$1" -threads 2 -checkpoint 0 >"$w/log" 2>&1 &
    local pid=$!
    until [ -e "$w/half-$1/$1_last.state" ] || ! kill -0 $pid 2>/dev/null; do sleep .01; done
    kill -TERM $pid 2>/dev/null
    wait $pid
    grep -q 'the same command with -resume' "$w/log"
}
for c in channel beside; do
    if interrupted $c; then ok "$c: stopped"; else not_ok "$c: stopped" "$(cat "$w/log")"; fi
    status 0 "$c: goes on" train $c half-$c -threads 2 -resume
    same "$w/live-$c/$c$final" "$w/half-$c/$c$final" "$c: to the weights of a run that was not stopped"
    if grep -q 'variances\|scale=auto' "$w/out"; then not_ok "$c: measuring nothing again"; else ok "$c: measuring nothing again"; fi
done

for c in channel means; do
    status 0 "$c: export" "$darknet" distill export "$w/$c.cfg" "$w/live-$c/$c$final" "$w/deployed-$c"
done
sed 's#^metric=head#metric=none#' "$w/head.cfg" >"$w/wrong.cfg"
status 1 "a metric there is not" "$darknet" distill check "$w/wrong.cfg"
says err "metric" "and is named"
sed 's#^metric=head#metric=head\ntap=0#; s#^weights=.*#&\ntap=0#' "$w/head.cfg" >"$w/wrong.cfg"
status 1 "a classifier that metric=head cannot use" "$darknet" distill check "$w/wrong.cfg"
says err "hint: it wants a 1x1 [convolutional] or a [connected] behind the tap" "and is told what it can"
finish
