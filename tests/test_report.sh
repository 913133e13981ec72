#!/bin/bash
# The report of tiny runs: a classifier's and a detector's, with and without the same network from labels, several in one page,
# names that HTML would read as something else, logs that are missing or broken, runs that are not there.
. tests/tap.sh "$@"
not_quick "reports of runs"
w=$work
root=$PWD
export OMP_NUM_THREADS=1
cd "$w" || exit 1

# 60 training and 40 validation images of 12x12 with a grey level each, four classes
python3 - <<'PY'
for name, n in (('train', 60), ('t10k', 40)):
    with open(name + '-images-idx3-ubyte', 'wb') as file:
        file.write(bytes([0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 12, 0, 0, 0, 12]) + b''.join(bytes([20 + i % 4 * 60 + i % 40]) * 144 for i in range(n)))
    with open(name + '-labels-idx1-ubyte', 'wb') as file:
        file.write(bytes([0, 0, 8, 1, 0, 0, 0, n]) + bytes(i % 4 for i in range(n)))
PY
printf '<script>alert(1)</script>\na&b"\nc\nd \xff\n' >names
printf 'classes=4\nnames=names\ntrain=train-images-idx3-ubyte\nvalid=t10k-images-idx3-ubyte\nbackup=b\n' >d.data
net() { printf '[net]\nbatch=8\nheight=12\nwidth=12\nchannels=1\nlearning_rate=.02\nmomentum=0.9\nmax_batches=1000\n'; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n' "$1" "$2"; }
{ net; conv 16 2; conv 24 2; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[softmax]\n'; } >teacher.cfg
student() { net; printf '[teacher]\ncfg=teacher.cfg\nweights=b/teacher_final.weights\n'; conv 6 2; conv 8 2
    printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; }
student >s.cfg; student >other.cfg; student >'<b>=&".cfg'
train() { "$darknet" distill train d.data "$1" -quiet -threads 1 -force "${@:2}" >train.out 2>&1 || not_ok "training $1" "$(cat train.out)"; }
train teacher.cfg -epochs 20
train s.cfg -epochs 3
train s.cfg -epochs 3 -from-labels
train other.cfg -epochs 1
train '<b>=&".cfg' -epochs 1
log() {
    printf '{"kind":"start","name":"s","seed":0,"batch":8,"images":60,"epochs":3,"teachers":[{"name":"t","top1":90}]}\n'
    for e in 1 2 3; do
        printf '{"kind":"step","step":%d,"epoch":%d,"loss":%d.5,"parts":{"%s":0.5,"<i>kd":0.25}}\n' $((e * 8 - 4)) $e $((4 - e)) "$1"
        printf '{"kind":"epoch","step":%d,"epoch":%d,"loss":%d,"parts":{"%s":0.5,"<i>kd":0.25},"top1":%d.5,"top5":100}\n' $((e * 8)) $e $((4 - e)) "$1" $((60 + e * 10))
    done
}
log feature_l2 >b/s.jsonl; log cross_entropy >b/s-labels.jsonl; log feature_l2 | tail -n +2 >b/other.jsonl
rm -f b/'<b>=&".jsonl'
report() { "$darknet" distill report d.data "$@" -threads 1 -seconds .01; }
# page NAME FILE: it is well formed, its text goes to $work/text
page() {
    if python3 "$root/tests/report_page.py" "$2" >wrong 2>&1; then ok "$1"; else not_ok "$1" "$(head -5 wrong)"; fi
    python3 "$root/tests/report_page.py" "$2" text >text
}
lacks() { if grep -qF -- "$2" "$w/$1"; then not_ok "$3" "there is '$2'"; else ok "$3"; fi; }

status 0 "a report" report s.cfg=b/s -out r.html
says out "report in r.html" "says where"
page "is well formed and loads nothing" r.html
says text "<script>alert(1)</script>" "a class called <script> is text"
says text 'a&b"' "another with & and quotes, too"
lacks r.html "<i>kd" "a part's name is escaped"
says text "<i>kd" "and is there"
says text "same network, from labels" "there is the row from labels"
says text "points over labels" "and what was gained"
lacks text "no run of the same network" "which is not said to be missing"
says text "the teacher, teacher" "the teacher's level"
says text "s, from labels" "the curve from labels"
says text "mean absolute difference" "feature maps"
says text "name different classes for" "disagreements"
says text "against the teacher" "classes gained and lost"
says text "24 × 3 × 3" "sizes in the diagram"
[ "$(grep -o '<img class="map"' r.html | wc -l)" -eq 36 ] && ok "three images of three channels and their mean, thrice each" || not_ok "three images of three channels and their mean, thrice each" "$(grep -o '<img class="map"' r.html | wc -l)"
# The numbers are those of `valid` and `summary`.
"$darknet" distill valid d.data s.cfg b/s_final.weights -json >v.json 2>/dev/null
"$darknet" distill valid d.data s.cfg b/s-labels_final.weights -from-labels -json >l.json 2>/dev/null
"$darknet" distill summary s.cfg -json >s.json
row() { grep -o "<tr[^>]*><th scope=\"row\">$1<.*" r.html | sed 's#</tr>.*##; s#</t[hd]><td>#|#g; s#<[^>]*>#|#g'; }
number() { jq "$1" "$2" | xargs printf '|%.2f|'; }
row teacher | grep -qF -- "$(number .teacher.top1 v.json)" && ok "the teacher's accuracy is valid's" || not_ok "the teacher's accuracy is valid's" "$(row teacher)"
row distilled | grep -qF -- "$(number .student.top1 v.json)" && ok "the student's, too" || not_ok "the student's, too" "$(row distilled)"
row 'same network, from labels' | grep -qF -- "$(number .student.top1 l.json)" && ok "and that from labels" || not_ok "and that from labels" "$(row same)"
row distilled | grep -qF -- "|$(jq '.pruning_ratio * 100' s.json | xargs printf %.1f)|$(jq '.projector_share * 100' s.json | xargs printf %.1f)" && ok "pruning ratio and projector's share are summary's" || not_ok "pruning ratio and projector's share are summary's" "$(row distilled)"
untimed() { "$darknet" distill report d.data s.cfg=b/s -threads 1 -seconds 0 -out "$1"; }
status 0 "again, without measuring time" untimed r0.html
status 0 "and again" untimed r1.html
cmp -s r0.html r1.html && ok "the same page, but for the time it takes" || not_ok "the same page, but for the time it takes"

status 0 "without a run from labels" report other.cfg=b/other -out o.html
page "is well formed" o.html
says text "There is no run of the same network from labels" "it says so"
says text "darknet distill train d.data other.cfg -from-labels -backup b/" "and how it is made"
says text "no gain can be claimed" "claims no gain in the table"
says text "not known gain over labels" "nor above it"
lacks text "points over labels" "nor in points"
status 0 "several, one of a hostile name and without a log" report s.cfg=b/s '<b>=&".cfg=b/<b>=&"' other.cfg=b/other -out m.html
page "are one page" m.html
says text '3 runs side by side' "it says how many"
says text 'No curves of b/<b>=&".jsonl' "which has no log"
says text "train d.data '<b>=&\".cfg'" "the command quotes what a shell would read"
[ "$(grep -o '<th scope="row">teacher<' m.html | wc -l)" -eq 1 ] && ok "their teacher is told once" || not_ok "their teacher is told once"
[ "$(grep -c 'id="run-[012]"' m.html)" -ge 1 ] && ok "each has its part" || not_ok "each has its part"
status 0 "of the teacher's own run" report teacher.cfg=b/teacher -out t.html
page "a plain network's page is well formed" t.html
lacks text "gain over labels: " "nothing is distilled"

# What is missing or broken.
before=$(md5sum <r.html)
status 1 "six mistakes" report s.cfg=b/none s.cfg other.cfg= none.cfg=b/s s.cfg=b/s s.cfg=b/s s.cfg=b/s-labels -out r.html
says err "b/none: no weights of this run: there is no none_final.weights" "all are told: no weights"
says err "leaves them in the folder of -backup" "with a hint"
says err "'s.cfg': expected CFG=backup/NAME" "no prefix"
says err "'other.cfg=': expected CFG=backup/NAME" "nothing behind the ="
says err "none.cfg" "no cfg"
says err "b/s: is named twice" "the same twice"
says err "b/s-labels: is the run from labels, which is found beside the distilled one" "the run from labels itself"
says err "hint: s.cfg=b/s" "and what to write"
bad() { status 1 "$1" report "${@:3}" -out r.html; says err "$2" "says so"; }
bad "nine runs" "9 runs, at most 8 go into one page" 1=1 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9
bad "weights of another network" "b/teacher" s.cfg=b/teacher
head -c 300 b/s_final.weights >b/short_final.weights
bad "weights that were cut short" "short_final.weights" s.cfg=b/short
status 1 "a page where a folder is missing" report s.cfg=b/s -out none/r.html
[ -s "$work/out" ] && not_ok "is told before anything is measured" "$(cat "$work/out")" || ok "is told before anything is measured"
[ "$(md5sum <r.html)" = "$before" ] && ok "the page that was there stays" || not_ok "the page that was there stays"
status 2 "no run" "$darknet" distill report d.data
mkdir folder.html
status 1 "a page over a folder" report s.cfg=b/s -out folder.html
says err "folder.html: cannot write: Is a directory" "is told"
[ -s "$work/out" ] && not_ok "before anything is measured" "$(cat "$work/out")" || ok "before anything is measured"
status 1 "a page over the weights" report s.cfg=b/s -out b/s_final.weights
says err "would be overwritten, and it is what is read" "is refused"
printf 'nonsense\n[[[[\n{"kind":"epoch"}\n' >b/s.jsonl
status 0 "a log that is none" report s.cfg=b/s -out n.html
says err "no line of it is one" "is a warning"
page "and a page without its curves" n.html
says text "No curves of b/s.jsonl" "says so"

# A detector
"$root/$build/make_shapes" shapes 24 12 >/dev/null
cd "$root" || exit 1
status 0 "a detector" "$darknet" distill train "$w/shapes/shapes.data" cfg/shapes/simkd.cfg -epochs 1 -quiet -threads 1 -backup "$w/b"
status 0 "from labels" "$darknet" distill train "$w/shapes/shapes.data" cfg/shapes/simkd.cfg -epochs 1 -quiet -threads 1 -backup "$w/b" -from-labels
detector() { "$darknet" distill report "$w/shapes/shapes.data" "$@" -threads 1 -seconds .01; }
status 0 "its report" detector cfg/shapes/simkd.cfg="$w/b/simkd" -out "$w/d.html"
page() { if python3 tests/report_page.py "$2" >"$w/wrong" 2>&1; then ok "$1"; else not_ok "$1" "$(head -5 "$w/wrong")"; fi; python3 tests/report_page.py "$2" text >"$w/text"; }
page "is well formed" "$w/d.html"
says text "mAP@[.5:.95]" "has both means"
says text "images one of them sees something that the other does not" "and disagreements"
says d.html '<rect class="teacher"' "with the teacher's boxes"
says d.html '<rect class="truth"' "and what is there"
says text "Head 2: 64×12×12" "maps of both heads"
says text "AP@0.5 by class" "and classes"
status 1 "a detector and a classifier" detector cfg/shapes/simkd.cfg="$w/b/simkd" "$w/teacher.cfg=$w/b/teacher" -out "$w/x.html"
says err "one page compares networks of one task" "do not go together"
finish
