#!/bin/bash
# The table of detectors' folds: means, leads over labels fold by fold, and steps to 90 % of the teacher's mAP.
. tests/tap.sh "$@"
results=$work/results
mkdir "$results"
# line NAME FOLD MAP50 MAP CURVE: as queue.sh appends one
line() {
    echo "seed=0 epochs=80 last=$3 best=$3 map=$4${5:+ curve=$5} images/s=20 command=./darknet distill train x/fig-$2.data x/$1.cfg" \
        >>"$results/$1.txt"
}
line fig-0-teacher 0 80.00 50.00
line fig-1-teacher 1 90.00 40.00
line fig-labels 0 70.00 45.00 20:30.00,40:44.00,80:45.00
line fig-labels 1 80.00 35.00 20:30.00,80:35.00
line fig-both 0 76.00 46.00 20:45.00,40:45.50,80:46.00
line fig-both 1 78.00 38.00 40:36.00,80:38.00
line fig-kd 0 74.00 44.00 80:44.00
echo "seed=1 epochs=80 last=- best=- images/s=3 command=./darknet distill train x/fig-0.data x/not-measured.cfg" >>"$results/fig-kd.txt"
RESULTS=$results status 0 "a table" tests/experiments/detectors_table.sh fig lost
row() { if grep -qE -- "^$1 +$2$" "$work/out"; then ok "$3"; else not_ok "$3" "no '$1 $2' in: $(cat "$work/out")"; fi; }
row teacher '85.00 +45.00 +50.00 40.00 +\+5.00 *' "means of the teacher's folds"
row labels '75.00 +40.00 +45.00 35.00 +1000 \(1 of 2 folds\)' "one fold that gets there, at its last epoch"
row both '77.00 +42.00 +46.00 38.00 +\+2.00 +375' "its lead, and the mean of both folds' steps"
row kd '74.00 +44.00 +44.00 +-1.00 +-' "a fold alone is compared with labels' of that fold; what was not measured is left out"
row lost 'mAP@0.5.*' "a set without results has a head only"
status 2 "without a set" tests/experiments/detectors_table.sh
finish
