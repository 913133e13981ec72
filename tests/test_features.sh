#!/bin/bash
# The feature cache end to end: cached and live runs agree, kills and damage cost nothing but time, other runs are refused,
# unlabelled images train.
. tests/tap.sh "$@"
w=$work
n=$(many 200 100)                 # images of a training
all=$(((3 * n + 63) / 64 * 64))   # in three epochs, with the last step's
few_images $(many 400 100)
cp cfg/fashion-simkd.cfg "$w/simkd.cfg"
teach() { sed -e "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" -e "/^\[teacher\]/a $2" cfg/fashion-simkd.cfg >"$w/$1.cfg"; }
teach simkd '# as it is'
teach keys "cache=$w/keys.feat\nviews=2\ncache_type=u8"
train() { local name=$1; shift; "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit $n -epochs 3 -quiet -backup "$w/$name" "$@"; }
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
final=simkd_final.weights

status 0 "live, two views" train live -views 2
status 0 "cached in 32 bits, filling as it goes" train fill -views 2 -cache "$w/a.feat" -type f32
says out "features: $((all - 2 * n)) read from the cache, $((2 * n)) computed" "epochs one and two compute, three reads"
same "$w/live/$final" "$w/fill/$final" "the same weights, bit for bit"
status 0 "cached, all of it read" train read -views 2 -cache "$w/a.feat" -type f32
says out "features: $all read from the cache, 0 computed" "nothing is computed"
same "$w/live/$final" "$w/read/$final" "and again the same weights"

status 0 "features fills another" "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -limit $n -views 2 -type f32 -out "$w/b.feat"
says out "$n images, 2 views: $((2 * n)) records" "and says how many records"
status 0 "training on it" train other -views 2 -cache "$w/b.feat" -type f32
says out " 0 computed" "computes nothing"
same "$w/live/$final" "$w/other/$final" "and gives the same weights"
status 0 "a full cache is left as it is" "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -limit $n -views 2 -type f32 -out "$w/b.feat"
says out "0 computed now" "nothing to do"

status 0 "other weights' seed, the views of the same" train seeds -views 2 -seed 3 -view-seed 0 -cache "$w/b.feat" -type f32
says out " 0 computed" "share a cache"
status 0 "and live" train seeds-live -views 2 -seed 3 -view-seed 0
same "$w/seeds-live/$final" "$w/seeds/$final" "to the same weights"
cmp -s "$w/live/$final" "$w/seeds/$final" && not_ok "which are others" || ok "which are others"
status 1 "another views' seed is refused" train no -views 2 -view-seed 3 -cache "$w/b.feat" -type f32
says err "seed 3" "and named"
status 0 "features by that seed" "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -limit 10 -views 2 -seed 4 -view-seed 3 -out "$w/c.feat"
status 0 "is the cache" "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -limit 10 -views 2 -seed 3 -out "$w/c.feat"
says out "0 computed now" "of these views"
status 1 "a state of other views" train seeds-live -views 2 -seed 3 -view-seed 1 -resume
says err "started with views=2 of seed 0, now it is views=2 of seed 1" "is refused"

if [ -n "${DISTILL_QUICK:-}" ]; then echo "skipped: kills while 6,000 images are filled in, done without sanitizers"; else
# Killed while filling, each time a little further on; what is there serves, the rest is made.
for blocks in 1 2500 10000; do
    "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -views 1 -limit 6000 -quiet -out "$w/killed.feat" >"$w/out" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(stat -c %b "$w/killed.feat" 2>/dev/null || echo 0)" -lt $blocks ]; do sleep 0.02; done
    kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
done
[ -s "$w/killed.feat" ] && ok "killed three times while filling" || not_ok "killed three times while filling" "no file"
status 0 "and filled in the end" "$darknet" distill features "$w/few.data" "$w/simkd.cfg" -views 1 -limit 6000 -quiet -out "$w/killed.feat"
now=$(sed -n 's/.* \([0-9]*\) computed now.*/\1/p' "$w/out")
[ "$now" -gt 0 ] && [ "$now" -lt 5900 ] && ok "going on from where it was" || not_ok "going on from where it was" "$now computed"
killed() { "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 6000 -epochs 1 -quiet -views 1 -backup "$w/$1" "${@:2}"; }
status 0 "it trains" killed k1 -cache "$w/killed.feat"
says out " 0 computed" "computing nothing"
status 0 "as one that nobody killed" killed k2 -cache "$w/whole.feat"
same "$w/k1/$final" "$w/k2/$final" "to the same weights"
fi

printf 'x' | dd of="$w/a.feat" bs=1 seek=160000 conv=notrunc status=none
status 0 "a damaged record is computed again" train damaged -views 2 -cache "$w/a.feat" -type f32
says err "damaged records of the feature cache were computed again" "with a warning"
same "$w/live/$final" "$w/damaged/$final" "and nothing else changes"
status 0 "it is whole again" train damaged -views 2 -cache "$w/a.feat" -type f32
says out " 0 computed" "all of it"

status 1 "another number of views is refused" train no -views 3 -cache "$w/a.feat" -type f32
says err "was made with views=2, this run has views=3" "and named"
status 1 "another seed is refused" train no -views 2 -cache "$w/a.feat" -type f32 -seed 5
says err "seed 0" "and named"
status 1 "another type is refused" train no -views 2 -cache "$w/a.feat"
says err "was made with type=f32, this run has type=f16" "and named"
status 1 "not a type" train no -cache "$w/c.feat" -type f64
status 1 "a file that is no cache" train no -cache "$w/simkd.cfg"
status 1 "features without a file" "$darknet" distill features "$w/few.data" "$w/simkd.cfg"
says err "cache=FILE" "says how to name one"
status 1 "features without a teacher" "$darknet" distill features "$w/few.data" cfg/fashion-student.cfg -out "$w/c.feat"

status 0 "cache=, views= and cache_type= in the cfg" "$darknet" distill train "$w/few.data" "$w/keys.cfg" -limit $n -epochs 2 -quiet -backup "$w/keys"
grep -aq 'type=u8' "$w/keys.feat" && ok "8 bits" || not_ok "8 bits"

ls /usr/share/darknet/data/*.jpg >"$w/photos"
printf 'classes=10\ntrain=%s\nnames=%s\n' "$w/photos" "$PWD/cfg/fashion.names" >"$w/photos.data"
photos() { "$darknet" distill train "$w/photos.data" "$w/simkd.cfg" -epochs $(many 16 4) -views 2 -quiet -backup "$w/$1" "${@:2}"; }
status 0 "unlabelled images, live" photos p1
status 0 "unlabelled images, cached" photos p2 -cache "$w/photos.feat" -type f32
same "$w/p1/$final" "$w/p2/$final" "with the same weights"
finish
