#!/bin/bash
# Several teachers and several taps in one student: each triple learns from its own, live and cached alike.
. tests/tap.sh "$@"
w=$work
n=$(many 200 100)   # images of a training
few_images $(many 400 100)
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
encoder=$(sed -n '/^\[convolutional\]/,/^\[projector\]/p' cfg/fashion-simkd.cfg | grep -v projector)
net=$(sed -n '/^\[net\]/,/^\[teacher\]/p' cfg/fashion-simkd.cfg | grep -v teacher)
big="cfg=$PWD/cfg/fashion-teacher.cfg
weights=$PWD/cfg/fashion-teacher.weights"
status 0 "a second teacher" "$darknet" distill train "$w/few.data" cfg/fashion-student.cfg -epochs 4 -limit $(many 6000 200) -quiet -backup "$w"
small="cfg=$PWD/cfg/fashion-student.cfg
weights=$w/fashion-student_final.weights"
cat >"$w/two.cfg" <<END
$net
[teacher]
name=big
$big
[teacher]
name=small
$small
$encoder
[projector]
teacher=small
[feature_l2]
scale=10
[reused_classifier]
[route]
layers=2
[projector]
stack=1x1
[feature_l2]
scale=10
[reused_classifier]
END
cat >"$w/taps.cfg" <<END
$net
[teacher]
$big
tap=4,7
$encoder
[projector]
stack=1x1
[feature_l2]
[reused_classifier]
[route]
layers=2
[projector]
[feature_l2]
[reused_classifier]
END
status 0 "check takes two teachers" "$darknet" distill check "$w/two.cfg"
status 0 "check takes two taps" "$darknet" distill check "$w/taps.cfg"
status 0 "summary counts both teachers" "$darknet" distill summary "$w/two.cfg" -json
holds "as the sum" ".teacher_parameters > 107322"
train() { "$darknet" distill train "$w/few.data" "$w/$1.cfg" -limit $n -epochs 3 -views 2 -quiet -force -backup "$w/$2" "${@:3}"; }
for c in two taps; do
    status 0 "$c: live" train $c $c-live
    status 0 "$c: cached, filling" train $c $c-fill -cache "$w/$c.feat" -type f32
    status 0 "$c: cached, read" train $c $c-read -cache "$w/$c.feat" -type f32
    says out " 0 computed" "$c: nothing is computed"
    same "$w/$c-live/${c}_final.weights" "$w/$c-fill/${c}_final.weights" "$c: the same weights, bit for bit, while filling"
    same "$w/$c-live/${c}_final.weights" "$w/$c-read/${c}_final.weights" "$c: and when all is read"
done
[ -s "$w/two.feat.big" ] && [ -s "$w/two.feat.small" ] && ok "each teacher has a cache of its own" || not_ok "each teacher has a cache of its own" "$(ls "$w")"
status 0 "features fills both" "$darknet" distill features "$w/few.data" "$w/two.cfg" -limit $n -views 2 -type f32 -out "$w/b.feat"
says out "small: $n images, 2 views: $((2 * n)) records" "and names them"
status 0 "training on them" train two two-other -cache "$w/b.feat" -type f32
same "$w/two-live/two_final.weights" "$w/two-other/two_final.weights" "gives the same weights"

if [ -n "${DISTILL_QUICK:-}" ]; then echo "skipped: training with two teachers to an end, done without sanitizers"; else
status 0 "both teachers teach" "$darknet" distill train "$w/few.data" "$w/two.cfg" -limit 6000 -epochs 9 -views 1 -quiet -backup "$w/long" -cache "$w/long.feat"
says out "teacher $PWD/cfg/fashion-student.cfg: top-1" "each teacher's accuracy is printed first"
status 0 "valid" "$darknet" distill valid cfg/fashion.data "$w/two.cfg" "$w/long/two_final.weights" -limit 2000 -json
holds "has a row a teacher" '[.teachers[].name] == ["big", "small"]'
holds "the network's answer is the last triple's teacher's" '.teacher.top1 == .teachers[0].teacher.top1 and .teachers[0].teacher.top1 != .teachers[1].teacher.top1'
holds "the student answers like either" '[.teachers[].agreement] | all(. > 60)'
holds "and not by chance the same" '.teachers[0].student.top1 != .teachers[1].student.top1'
status 0 "valid as a table" "$darknet" distill valid cfg/fashion.data "$w/two.cfg" "$w/long/two_final.weights" -limit 2000
says out "student as small" "with both names"
status 0 "export" "$darknet" distill export "$w/two.cfg" "$w/long/two_final.weights" "$w/deployed" -data cfg/fashion.data
fi

sed '/^name=small/d' "$w/two.cfg" >"$w/bad.cfg"
status 1 "a teacher without a name" "$darknet" distill check "$w/bad.cfg"
says err "one of 2 teachers, without a name" "is named"
sed 's/^name=small/name=big/' "$w/two.cfg" >"$w/bad.cfg"
status 1 "two of one name" "$darknet" distill check "$w/bad.cfg"
says err "name=big is the teacher's of line" "are refused"
sed 's/^teacher=small/teacher=other/' "$w/two.cfg" >"$w/bad.cfg"
status 1 "an unknown teacher" "$darknet" distill check "$w/bad.cfg"
says err "no [teacher] has this name" "is refused"
sed 's/^stack=1x1/teacher=small/' "$w/two.cfg" >"$w/bad.cfg"
status 1 "one teacher asked twice" "$darknet" distill check "$w/bad.cfg"
says err "no tap of teacher small is left" "is refused"
sed 's/^stack=1x1/tap=0/' "$w/two.cfg" >"$w/bad.cfg"
status 1 "a tap without its teacher" "$darknet" distill check "$w/bad.cfg"
says err "of which of the 2 teachers" "is refused"
sed "s/^name=small/name=small\nviews=2/; s/^name=big/name=big\nviews=3/" "$w/two.cfg" >"$w/bad.cfg"
status 1 "different views" "$darknet" distill train "$w/few.data" "$w/bad.cfg" -limit $n -epochs 1 -quiet -backup "$w/no"
says err "views=2, but another teacher has 3" "are refused"
finish
