#!/bin/bash
# A whole training beside its bare step, in one run: tests/bench/detect_train.sh DATA CFG [ROUNDS] [EPOCHS] [SECONDS]
#
#   step     training steps of CFG on images that lie in memory (build/bench): their mean over SECONDS, as a training's speed is one
#   train    `distill train` on the images of DATA, EPOCHS passes without measuring, checkpoints at each epoch's end included
#   cached   the same with image_cache=, which a training before has filled
#   decode   the same images as binary PNM of the network's size, made by Debian's `convert` (imagemagick): what decoding and
#            shrinking JPEGs costs is the difference to `train`. Left out where there is no `convert`
#
# The sides take turns for ROUNDS rounds; a number is the median over rounds. CFG is trained from labels if it has no teacher.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 DATA CFG [ROUNDS] [EPOCHS] [SECONDS]" >&2; exit 2; }
data=$1 cfg=$2 rounds=${3:-3} epochs=${4:-5} seconds=${5:-20}
bench=${BENCH:-build/bench} darknet=${DARKNET_DISTILL:-./darknet}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "-" }'; }
key() { sed -n "s/^ *$1 *= *\([^#]*[^# ]\).*/\1/p" "$2" | head -1; }
# found NAME: as it stands, or beside the .data file
found() { if [ -e "$1" ]; then realpath "$1"; else realpath "$(dirname "$data")/$1"; fi; }
list=$(found "$(key train "$data")") classes=$(key classes "$data")
printf 'classes=%s\ntrain=%s\n' "$classes" "$list" >"$work/jpeg.data"
cp "$work/jpeg.data" "$work/cached.data"
echo "image_cache=$work/images.cache" >>"$work/cached.data"
if convert -version 2>/dev/null | grep -q ImageMagick; then
    mkdir "$work/small"
    width=$(key width "$cfg") height=$(key height "$cfg") n=0
    while read -r image; do
        [ -e "$image" ] || image=$(dirname "$list")/$image
        labels=${image%.*}.txt
        [ -e "$labels" ] || labels=$(sed 's#/images/#/labels/#' <<<"$labels")
        [ -e "$labels" ] || continue
        convert "$image" -resize "${width}x$height" -depth 8 "$work/small/$n.ppm"
        cp "$labels" "$work/small/$n.txt"
        echo "$work/small/$n.ppm"
        n=$((n + 1))
    done <"$list" >"$work/small.list"
    printf 'classes=%s\ntrain=%s\n' "$classes" "$work/small.list" >"$work/small.data"
fi
# whole NAME: images/s of a training, of its last epoch's line
whole() {
    "$darknet" distill train "$work/$1.data" "$cfg" -epochs "$epochs" -quiet -force -backup "$work/out" 2>/dev/null |
        sed -n 's/^epoch .* \([0-9.]*\) images\/s.*/\1/p' | tail -1
}

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d" " -f1 /proc/loadavg); $cfg, medians of $rounds rounds"
epochs=1 whole cached >/dev/null
for ((i = 0; i < rounds; ++i)); do
    "$bench" "$cfg" -mean -seconds "$seconds" 2>/dev/null | sed -n 's/^student //p' >>"$work/step"
    whole jpeg >>"$work/train"
    whole cached >>"$work/cached"
    [ ! -e "$work/small.data" ] || whole small >>"$work/decode"
done
step=$(median <"$work/step")
# row NAME: its median, and how much of the step's that is
row() { median <"$work/$1" | awk -v name="$1" -v step="$step" '{ printf "%-7s %8s images/s, %.0f %% of it\n", name, $1, 100 * $1 / step }'; }
printf 'step    %8s images/s\n' "$step"
row train
row cached
ls -l "$work/images.cache" | awk '{ printf "        the cache takes %.1f MB\n", $5 / 1e6 }'
[ ! -e "$work/decode" ] || row decode
