#!/bin/bash
# Training by several processes, with each MPI that is there: two ranks beside one process with twice the subdivisions,
# for classifiers and a detector; the same bits twice; a rank that is killed, a signal, another number of ranks; what is
# refused.
. tests/tap.sh "$@"
not_quick "training by several processes"
w=$work
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1

status 2 "-gpus 0,1 is wrong usage" "$darknet" distill train a.data b.cfg -gpus 0,1
says err "mpirun -n 2 ./darknet distill train a.data b.cfg" "and says what is meant"
OMPI_COMM_WORLD_SIZE=2 status 1 "a build without MPI, started by mpirun" "$darknet" distill train a.data b.cfg
says err "make MPI=1" "says how to build it"

mpis=
# may PC NAME PACKAGES: is this MPI there? It is added to mpis, as PC:NAME
may() {
    if ! command -v "mpirun.$2" >/dev/null; then echo "skipped: training with $2 (no mpirun.$2: apt-get install $3)"
    elif [ ! -x "$build/$1/darknet" ]; then echo "skipped: training with $2 (no $build/$1/darknet: make tests builds it where pkg-config knows $1)"
    else mpis="$mpis $1:$2"; fi
}
may ompi-c openmpi "openmpi-bin libopenmpi-dev"
may mpich mpich "mpich libmpich-dev"
[ -n "$mpis" ] || finish

# 120 training and 24 validation images of 12x12, a bright bar for each of four classes in noise
python3 - "$w" <<'P' || exit 1
import random, struct, sys
random.seed(1)
for name, n in ('train', 120), ('t10k', 24):
    with open(f'{sys.argv[1]}/{name}-images-idx3-ubyte', 'wb') as f:
        f.write(struct.pack('>4i', 0x803, n, 12, 12))
        for i in range(n):
            f.write(bytes(min(255, random.randrange(120) + (100 if x // 3 == i % 4 else 0)) for _ in range(12) for x in range(12)))
    with open(f'{sys.argv[1]}/{name}-labels-idx1-ubyte', 'wb') as f:
        f.write(struct.pack('>2i', 0x801, n) + bytes(i % 4 for i in range(n)))
P
printf 'a\nb\nc\nd\n' >"$w/names"
printf 'classes=4\nnames=names\ntrain=train-images-idx3-ubyte\nvalid=t10k-images-idx3-ubyte\n' >"$w/d.data"
# net SUBDIVISIONS RATE KEYS
net() { printf '[net]\nbatch=16\nsubdivisions=%s\nheight=12\nwidth=12\nchannels=1\nlearning_rate=%s\nmomentum=0.9\ndecay=0.0005\nmax_batches=10\n%s\n' "$@"; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n' "$1" "$2"; }
classifier() { conv "$1" 2; conv "$2" 2; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\nactivation=linear\n[softmax]\n'; }
teacher() { printf '[teacher]\nname=%s\ncfg=%s.cfg\nweights=t/%s_final.weights\n' "$1" "$1" "$1"; }
triple() { printf '[projector]\nreduction=2\n[feature_l2]\n[reused_classifier]\nteacher=%s\n' "$1"; }
# student SUBDIVISIONS RATE KEYS: two teachers, dropout, batch norm, labels
student() {
    net "$@"; teacher one; teacher two; printf '[augment]\npad=2\nflip=1\n'
    conv 6 2; printf '[dropout]\nprobability=.2\n'; conv 8 2
    triple one; printf '[route]\nlayers=1\n'; conv 8 2; triple two
}
{ net 1 .02 "[augment]"; classifier 8 12; } >"$w/one.cfg"
{ net 1 .02 "[augment]"; classifier 10 8; } >"$w/two.cfg"
for t in one two; do status 0 "teacher $t" "$darknet" distill train "$w/d.data" "$w/$t.cfg" -epochs 8 -quiet -backup "$w/t"; done
student 1 .02 "" >"$w/sgd.1.cfg"
student 2 .02 "" >"$w/sgd.2.cfg"
for o in adam adamw; do
    student 2 .002 "$o=1" >"$w/$o.1.cfg"     # of two ranks each has two sub-batches
    student 4 .002 "$o=1" >"$w/$o.2.cfg"
done
{ net 3 .02; classifier 8 8; } | sed 's/^batch=.*/batch=15/' >"$w/odd.cfg"
(cd "$w" && "$OLDPWD/$build/make_shapes" shapes 24 6) >/dev/null
for s in 1 2; do   # few steps: what rounding makes of a kink grows with each
    sed "s/^batch=.*/batch=8/; s/^subdivisions=.*/subdivisions=$s/; s/^burn_in=.*//; s/^learning_rate=.*/learning_rate=.01/; s/^max_batches=.*/max_batches=4/; s#=cfg/#=$PWD/cfg/#" \
        cfg/shapes/simkd.cfg >"$w/boxes.$s.cfg"
    # two steps: rounding grows with each, past 1e-5 in four on some processors
    sed "s/^batch=.*/batch=8/; s/^subdivisions=.*/subdivisions=$s/; s/^burn_in=.*//; s/^learning_rate=.*/learning_rate=.001/; s/^max_batches=.*/max_batches=2/" cfg/shapes/student.cfg >"$w/labels.$s.cfg"
done
data() { case $1 in boxes|labels) echo "$w/shapes/shapes.data" ;; *) echo "$w/d.data" ;; esac; }
# alone CFG FOLDER FLAGS...
alone() { "$darknet" distill train "$(data ${1%.*})" "$w/$1.cfg" -quiet -threads 1 -backup "$w/$2" "${@:3}"; }

# near CFG A B HOW NAME: weights are near each other, `each` within 1e-5 or every array within 1e-4 of its norm
near() {
    "$darknet" distill weights show "$1" "$2" -json >"$w/arrays.json"
    if python3 - "$w/arrays.json" "$2" "$3" "$4" >"$w/far" <<'P'
import array, json, math, sys
shown, one, other, how = json.load(open(sys.argv[1])), *sys.argv[2:]
def floats(path):
    x = array.array('f')
    x.frombytes(open(path, 'rb').read()[20:])
    return x
a, b, at, bad = floats(one), floats(other), 0, 0
assert len(a) == len(b) and a != array.array('f', [0] * len(a))
for layer in shown['layers']:
    for arr in layer.get('arrays', []):
        x, y = a[at:at + arr['n']], b[at:at + arr['n']]
        at += arr['n']
        far = max(abs(p - q) / max(1, abs(q)) for p, q in zip(x, y))
        norm = math.dist(x, y) / (math.hypot(*y) or 1)
        ok = far <= 1e-5 if how == 'each' else norm <= 1e-4
        bad |= not ok
        print(layer['index'], arr['name'], 'each %.2g, norm %.2g' % (far, norm), '' if ok else '<-')
assert at == len(a), (at, len(a))
sys.exit(bad)
P
    then ok "$5"; else not_ok "$5" "$(cat "$w/far")"; fi
}
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }

for c in sgd adam adamw boxes labels; do status 0 "$c: one process" alone $c.2 alone; done

# alike ONE OTHER NAME: records of ranks and of one process have the same steps and parts, up to rounding
alike() {
    jq -en --slurpfile one "$1" --slurpfile other "$2" '[$one, $other] | map(map(select(.kind == "step"))) | transpose | length > 0 and
        all((.[0].parts | keys) == (.[1].parts | keys) and .[0].step == .[1].step and ((.[0].parts | add) / (.[1].parts | add) - 1 | fabs) < .01)' >/dev/null &&
        jq -es '[.[] | select(.kind == "epoch").wait.ranks] | length > 0 and all(. >= 0)' "$1" >/dev/null && ok "$3" || not_ok "$3" "$(head -3 "$1" "$2")"
}

# tries MPI NAME: all with one of them
tries() {
    local program=$PWD/$build/$1/darknet m=$w/$2 run="timeout 90 mpirun.$2" c
    [ "$2" = mpich ] || run="$run --oversubscribe"
    # two CFG FOLDER FLAGS...: by two ranks
    two() { $run -n 2 "$program" distill train "$(data ${1%.*})" "$w/$1.cfg" -quiet -threads 1 -backup "$m/$2" "${@:3}"; }
    for c in sgd boxes; do
        status 0 "$2: $c by two ranks" two $c.1 a
        near "$w/$c.1.cfg" "$m/a/$c.1_final.weights" "$w/alone/$c.2_final.weights" each "is what one process comes to with twice the subdivisions"
        alike "$m/a/$c.1.jsonl" "$w/alone/$c.2.jsonl" "and so does its record"
    done
    says out "rank 1: process" "and says who they are"
    status 0 "$2: once more" two sgd.1 b
    same "$m/a/sgd.1_final.weights" "$m/b/sgd.1_final.weights" "to the bit"
    status 1 "$2: another seed on one of them" $run -n 1 "$program" distill train "$w/d.data" "$w/sgd.1.cfg" -quiet -backup "$m/c" : \
        -n 1 "$program" distill train "$w/d.data" "$w/sgd.1.cfg" -quiet -backup "$m/c" -seed 3
    says err "rank 1 has seed=3, rank 0 has seed=0" "is noticed before the first step"
    status 1 "$2: a batch that ranks do not divide" two odd c
    says err "odd.cfg:2: [net] batch=15 is not divided by 2 processes times subdivisions=3" "is refused"
    [ "$(grep -c 'is not divided' "$w/err")" -eq 1 ] && ok "once" || not_ok "once" "$(cat "$w/err")"

    status 0 "$2: a longer run" two sgd.1 whole -epochs 16
    # ended FOLDER WHAT NAME: begins it, sends a signal to mpirun, or kills rank 1, in the middle
    ended() {
        two sgd.1 "$1" -epochs 16 -checkpoint 0 "${@:4}" >"$w/out" 2>"$w/err" </dev/null &
        local job=$! i who rc=0
        for ((i = 0; i < 1500; i++)); do [ "$m/$1/sgd.1_last.state" -nt "$w/began" ] && break; sleep .02; done
        who=$(sed -n 's/^rank 1: process \([0-9]*\) .*/\1/p' "$w/out")
        if [ "$2" = KILL ]; then kill -9 "$who"; else kill -"$2" $(pgrep -P $(pgrep -P $job -x timeout || echo $job) -x 'mpirun.*|orterun|mpiexec.*'); fi
        wait $job || rc=$?
        # MPICH's mpirun was seen to return 0 although the ranks had ended by the signal; 124 is `timeout`
        [ $rc -ne 124 ] && { [ $rc -ne 0 ] || [ "$2" != KILL ]; } && ok "$3" || not_ok "$3" "status $rc $(cat "$w/out" "$w/err")"
        [ ! -e "$m/$1/sgd.1_final.weights" ] && ok "in the middle" || not_ok "in the middle"
    }
    touch "$w/began"
    ended part KILL "$2: a rank that is killed ends the run"
    grep -qE "rank 1 |PID $who" "$w/err" "$w/out" && ok "with a message that names it" || not_ok "with a message that names it" "$(cat "$w/err")"
    cp -r "$m/part" "$m/other"
    touch "$w/began"
    ended part USR1 "$2: SIGUSR1 to mpirun ends what -resume goes on with" -resume
    says out "resumed after" "from the checkpoint"
    says out "SIGUSR1: stopped after step" "all is saved"
    status 0 "$2: -resume to the end" two sgd.1 part -epochs 16 -resume
    same "$m/whole/sgd.1_final.weights" "$m/part/sgd.1_final.weights" "to the weights of a run that was never interrupted"
    status 0 "$2: one process goes on" "$darknet" distill train "$w/d.data" "$w/sgd.1.cfg" -quiet -threads 1 -backup "$m/other" -epochs 16 -resume
    says err "the run had 2 ranks, now it has 1" "and says so"
}
first=
for mpi in $mpis; do
    tries "${mpi%:*}" "${mpi#*:}"
    first=${first:-$mpi}
done

# What does not depend on who carries the messages: with one of them.
m=$w/${first#*:} program=$PWD/$build/${first%:*}/darknet run="timeout 90 mpirun.${first#*:}"
[ "${first#*:}" = mpich ] || run="$run --oversubscribe"
for c in adam adamw labels; do
    status 0 "$c by two ranks" two $c.1 a
    how=norm; [ $c != labels ] || how=each
    near "$w/$c.1.cfg" "$m/a/$c.1_final.weights" "$w/alone/$c.2_final.weights" $how "is what one process comes to"
done
status 0 "four ranks" $run -n 4 "$program" distill train "$w/d.data" "$w/sgd.1.cfg" -quiet -threads 1 -backup "$m/four" -fast-reduce
status 0 "valid by one process" "$darknet" distill valid "$w/shapes/shapes.data" "$w/boxes.1.cfg" "$m/a/boxes.1_final.weights" -json
cp "$w/out" "$w/one"
status 0 "valid by two ranks" $run -n 2 "$program" distill valid "$w/shapes/shapes.data" "$w/boxes.1.cfg" "$m/a/boxes.1_final.weights" -json
numbers() { jq -S 'walk(if type == "number" then . * 1e6 | round else . end)' "$1"; }
[ "$(numbers "$w/one")" = "$(numbers "$w/out")" ] && ok "finds the same" || not_ok "finds the same" "$(diff <(numbers "$w/one") <(numbers "$w/out"))"
status 0 "valid of a classifier by one" "$darknet" distill valid "$w/d.data" "$w/sgd.1.cfg" "$m/a/sgd.1_final.weights" -json
cp "$w/out" "$w/one"
status 0 "valid of a classifier by three" $run -n 3 "$program" distill valid "$w/d.data" "$w/sgd.1.cfg" "$m/a/sgd.1_final.weights" -json
[ "$(numbers "$w/one")" = "$(numbers "$w/out")" ] && ok "finds the same" || not_ok "finds the same" "$(diff <(numbers "$w/one") <(numbers "$w/out"))"

status 0 "two ranks fill a cache" $run -n 2 "$program" distill features "$w/d.data" "$w/sgd.1.cfg" -out "$w/feat" -views 2 -type f32
says out "240 records, 240 computed now" "all of it"
[ -z "$(ls "$w"/feat*.rank* 2>/dev/null)" ] && ok "which is one file a teacher" || not_ok "which is one file a teacher" "$(ls "$w"/feat*)"
status 0 "two ranks fill one while they train" two sgd.1 fill -views 2 -cache "$w/fill" -type f32
status 0 "and read the other" two sgd.1 read -views 2 -cache "$w/feat" -type f32
says out " 0 computed" "computing nothing"
same "$m/fill/sgd.1_final.weights" "$m/read/sgd.1_final.weights" "to the same weights, bit for bit"
[ -z "$(ls "$w"/fill*.rank* 2>/dev/null)" ] && ok "shards are part of the cache" || not_ok "shards are part of the cache" "$(ls "$w"/fill*)"
sed 's/^learning_rate=.*/learning_rate=1e30/' "$w/one.cfg" >"$w/nan.1.cfg"
sed 's/^subdivisions=.*/subdivisions=2/' "$w/nan.1.cfg" >"$w/nan.2.cfg"
status 1 "a step that is not finite ends one process" alone nan.2 nan -skip-nan 1
status 1 "and two ranks" two nan.1 nan -skip-nan 1
says out "left out, it was not finite (1 of 1)" "both left one out"
says err "step 3 is not finite" "say so once more"
same "$w/nan/nan.2_nan.list" "$m/nan/nan.1_nan.list" "and list the same images"
status 2 "-precision auto" $run -n 2 "$program" distill train "$w/d.data" "$w/sgd.1.cfg" -precision auto
says err "processes that work together might choose differently" "is refused"
status 2 "what one process does" $run -n 2 "$program" distill check "$w/sgd.1.cfg"
says err "'check' is for one process, mpirun started 2" "several are told"
finish
