#!/bin/bash
# SIGINT, SIGTERM and SIGHUP in the middle of every verb that writes: nothing half-written stays, in no folder, and what was there
# before stays as it was; a training saves on all three, and goes on under nohup. Then files that grow beyond `ulimit -f`.
. tests/tap.sh "$@"
not_quick "signals in the middle of every verb"
w=$work
root=$PWD
"$build/make_shapes" "$w/shapes" 40 2 >/dev/null
# Writing stops for a minute where a file is flushed, so that a signal comes in the middle of it.
cat >"$w/slow.c" <<'C'
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int fsync(int fd)
{
    const char *mark = getenv("SLOW_FSYNC");
    if (fd < 0 || !mark) return 0;
    close(open(mark, O_CREAT | O_WRONLY, 0600));
    for (int i = 0; i < 6000; ++i) usleep(10000);
    return 0;
}
C
if ! ${CC:-cc} -shared -fPIC -o "$w/slow.so" "$w/slow.c" 2>"$w/err"; then echo "skipped: no compiler for the slow fsync"; rm -f "$w/slow.so"; fi
cd "$w" || exit 1
mkdir in tmp made
export TMPDIR=$w/tmp
idx() {
    { printf '\0\0\10\3\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"; printf '\0\0\0\34\0\0\0\34'; yes abcdefghij | head -c $(($2 * 784)); } >"in/$1-images-idx3-ubyte"
    { printf '\0\0\10\1\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"; yes "$(printf '\1\n\2')" | head -c "$2" | tr '\n' '\3'; } >"in/$1-labels-idx1-ubyte"
}
idx train 2500
idx valid 20
seq 10 >in/t.names
printf 'classes=10\nnames=in/t.names\ntrain=in/train-images-idx3-ubyte\nvalid=in/valid-images-idx3-ubyte\nbackup=b\n' >in/t.data
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=2\npad=1\nactivation=relu\n' "$1"; }
net='[net]\nbatch=10\nsubdivisions=1\nheight=28\nwidth=28\nchannels=1\nlearning_rate=0.01\nmax_batches=1000000\n'
{ printf "$net"; conv 16; conv 64; conv 128; printf '[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n'; } >in/teacher.cfg
{ printf "$net[teacher]\ncfg=in/teacher.cfg\nweights=in/teacher.weights\n"; conv 16; conv 32; conv 64; printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; } >in/student.cfg
train() { "$darknet" distill train in/t.data in/teacher.cfg -quiet "$@"; }
status 0 "weights" train -epochs 1 -limit 50
cp b/teacher_final.weights in/teacher.weights
status 0 "a student's" "$darknet" distill train in/t.data in/student.cfg -quiet -epochs 1 -limit 50 -force
cp b/student_final.weights in/student.weights
python3 - <<'P' 2>/dev/null || rm -f in/model.safetensors
import json, struct
rows, at = {}, 0
def add(name, *shape):
    global at
    n = 1
    for k in shape: n *= k
    rows[name] = dict(dtype='F32', shape=shape, data_offsets=[at, at + 4 * n]); at += 4 * n
for i, (a, b) in enumerate(((1, 16), (16, 64), (64, 128))):
    add('c%d.weight' % i, b, a, 3, 3)
    for part in ('weight', 'bias', 'running_mean', 'running_var'): add('n%d.%s' % (i, part), b)
add('fc.weight', 10, 128); add('fc.bias', 10)
head = json.dumps(rows).encode()
open('in/model.safetensors', 'wb').write(struct.pack('<Q', len(head)) + head + struct.pack('<f', .5) * (at // 4))
P

signals=$(many "INT TERM HUP" "TERM HUP")
declare -A number=([INT]=2 [TERM]=15 [HUP]=1)
left() { find . -name '*.tmp.*' -o -name '*.lock' -o -name '*.new' | grep . || ls -A tmp | grep .; }
# ends SIGNAL NAME: sends it to $pid, which must end by it and leave nothing
ends() {
    local got=0
    kill -"$1" $pid
    for i in $(seq 300); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
    kill -9 $pid 2>/dev/null && got=hangs
    [ $got = hangs ] || wait $pid || got=$?
    if [ $got = $((128 + ${number[$1]})) ] && ! left >found && [ "$(cat made/* | md5sum)" = "$old" ]; then ok "SIG$1 in $2"
    else not_ok "SIG$1 in $2" "status $got: $(cat found; ls -A made; tail -3 err)"; fi
    rm -rf tmp/*; find . -name '*.tmp.*' -delete
}
# start COMMAND...: in the background, not deaf to SIGINT as a shell's jobs are
start() { rm -f mark; env --default-signal=INT,HUP,TERM "$@" >said 2>err </dev/null & pid=$!; }
# slowly NAME COMMAND...: each signal while the command writes its file
slowly() {
    local name=$1; shift
    [ -e slow.so ] || return
    for signal in $signals; do
        LD_PRELOAD=$w/slow.so SLOW_FSYNC=$w/mark ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS:-} start "$@"
        for i in $(seq 600); do [ -e mark ] || ! kill -0 $pid 2>/dev/null || { sleep 0.1; continue; }; break; done
        [ -e mark ] && left >/dev/null || not_ok "$name was in the middle" "$(cat err)"
        ends $signal "$name"
    done
}
for f in x.cfg x.weights x.onnx p.png s.png r.html; do echo "old $f" >made/$f; done
old=$(cat made/* | md5sum)
slowly "export" "$darknet" distill export in/student.cfg in/student.weights made/x
slowly "init" "$darknet" distill init in/teacher.cfg in/teacher.cfg -out made/x.cfg -force
slowly "weights fold" "$darknet" distill weights fold in/teacher.cfg in/teacher.weights made/x
slowly "weights strip" "$darknet" distill weights strip in/teacher.cfg in/teacher.weights made/x
slowly "weights extract" "$darknet" distill weights extract in/teacher.cfg in/teacher.weights made/x -to 1
[ ! -e in/model.safetensors ] || slowly "weights import" "$darknet" distill weights import in/teacher.cfg in/model.safetensors made/x.weights
printf 'classes=3\n' >in/shapes.data
picture=$(ls "$w"/shapes/images/train*.png | head -1)
detector="in/shapes.data $root/cfg/shapes/teacher.cfg $root/cfg/shapes/teacher.weights"
slowly "predict -out" "$darknet" distill predict $detector "$picture" -out made/p.png
slowly "data -sheet" "$darknet" distill data in/t.data in/student.cfg -sheet made/s.png
slowly "synthesize" "$darknet" distill synthesize in/student.cfg set -n 8 -batch 4 -steps 1 -threads 1
status 0 "which goes on afterwards" "$darknet" distill synthesize in/student.cfg set -n 8 -batch 4 -steps 1 -threads 1
slowly "report" "$darknet" distill report in/t.data in/student.cfg=b/student -seconds 0 -out made/r.html
slowly "a training's preflight" "$darknet" distill train in/t.data in/teacher.cfg -backup b

# until NAME COMMAND...: each signal as soon as there is a temporary folder
foldered() {
    local name=$1; shift
    for signal in $signals; do
        start "$@"
        for i in $(seq 1500); do ls -A tmp | grep -q . || ! kill -0 $pid 2>/dev/null || { sleep 0.02; continue; }; break; done
        ls -A tmp | grep -q . || not_ok "$name was in the middle" "$(cat err)"
        sleep 0.1
        ends $signal "$name"
    done
}
foldered "bench" "$darknet" distill bench in/teacher.cfg -seconds 60
if [ -x /usr/bin/darknet ]; then
    foldered "export's verification" "$darknet" distill export in/student.cfg in/student.weights made/x -verify 3000
    pgrep -f "classifier predict $w/tmp" >/dev/null && not_ok "no stock program goes on alone" || ok "no stock program goes on alone"
    mkfifo never; sleep 1000 >never & holder=$!
    for signal in TERM HUP; do
        rm -f mark; env --default-signal=INT,HUP,TERM "$darknet" classifier predict in/t.data in/student.cfg in/student.weights >said 2>err <never & pid=$!
        for i in $(seq 600); do ls -A tmp | grep -q . && break; sleep 0.05; done
        sleep 0.2
        ends $signal "the stock program"
    done
    kill $holder
fi

# ---- a cache that is being filled ----
for signal in $signals; do
    start "$darknet" distill features in/t.data in/student.cfg -out cache -views 4
    for i in $(seq 600); do [ -s cache ] || ! kill -0 $pid 2>/dev/null || { sleep 0.05; continue; }; break; done
    ends $signal "features"
    status 0 "whose cache is filled up afterwards" "$darknet" distill features in/t.data in/student.cfg -out cache -views 4 -quiet
    rm -f cache
done

# ---- a training ----
for signal in $signals; do
    rm -rf b2
    start "$darknet" distill train in/t.data in/teacher.cfg -quiet -backup b2 -checkpoint 0
    for i in $(seq 600); do [ -e b2/teacher_last.state ] || ! kill -0 $pid 2>/dev/null || { sleep 0.05; continue; }; break; done
    ends $signal "a training"
    grep -q "SIG$signal: stopped after step .*, all is saved" said && ok "which saves" || not_ok "which saves" "$(cat said err)"
    status 0 "and is resumed" "$darknet" distill weights show in/teacher.cfg b2/teacher_last.weights
done
rm -rf b2
start nohup "$darknet" distill train in/t.data in/teacher.cfg -quiet -backup b2 -checkpoint 0
for i in $(seq 600); do [ -e b2/teacher_last.state ] && break; sleep 0.05; done
kill -HUP $pid; sleep 0.5
kill -0 $pid 2>/dev/null && ok "SIGHUP under nohup: it goes on" || not_ok "SIGHUP under nohup: it goes on" "$(cat err)"
ends TERM "it"

# ---- ulimit -f ----
# limited KB COMMAND...
limited() { bash -c 'ulimit -f "$1"; shift; exec "$@"' limited "$@"; }
too_large() {
    local name=$1; shift
    status 1 "ulimit -f: $name" limited "$@"
    says err "File too large" "says why"
    if left >found || [ "$(cat made/* | md5sum)" != "$old" ]; then not_ok "and leaves all as it was" "$(cat found; ls made)"; else ok "and leaves all as it was"; fi
}
too_large "export" 16 "$darknet" distill export in/student.cfg in/student.weights made/x
too_large "weights fold" 16 "$darknet" distill weights fold in/teacher.cfg in/teacher.weights made/x
too_large "weights strip" 16 "$darknet" distill weights strip in/teacher.cfg in/teacher.weights made/x
[ ! -e in/model.safetensors ] || too_large "weights import" 16 "$darknet" distill weights import in/teacher.cfg in/model.safetensors made/x.weights
too_large "predict -out" 4 "$darknet" distill predict $detector "$picture" -out made/p.png
too_large "data -sheet" 4 "$darknet" distill data in/t.data in/student.cfg -sheet made/s.png
too_large "synthesize" 4 "$darknet" distill synthesize in/student.cfg set2 -n 8 -batch 4 -steps 1 -threads 1
too_large "features" 64 "$darknet" distill features in/t.data in/student.cfg -out cache -quiet
rm -f cache
too_large "train" 16 "$darknet" distill train in/t.data in/teacher.cfg -quiet -epochs 1 -limit 50 -backup b3
status 0 "train below it" limited 4000 "$darknet" distill train in/t.data in/teacher.cfg -quiet -epochs 1 -limit 50 -backup b3
finish
