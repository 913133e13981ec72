#!/bin/bash
# Full disks, read-only and vanished folders, lost output: every one an error that names file and reason, what was there before
# stays byte for byte, nothing half-written is left. Disks are small tmpfs in a mount namespace of this script's own.
if [ -z "${DISK_FAULTS_INSIDE:-}" ]; then
    for how in -rm -m; do unshare $how true 2>/dev/null && DISK_FAULTS_INSIDE=1 exec unshare $how "$0" "$@"; done
fi
. tests/tap.sh "$@"
w=$work
disk=$w/disk
mkdir "$disk" "$w/old"
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
no_temps() { if find "$1" -name '*.tmp.*' -o -name '*.part*' -o -name '*.lock' | grep -q .; then not_ok "$2" "$(ls -A "$1")"; else ok "$2"; fi; }

# Pictures that show nothing, 28x28, ten classes: the shell's own bytes.
idx() {
    { printf '\0\0\10\3\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"; printf '\0\0\0\34\0\0\0\34'
      cat "$BASH" "$BASH" "$BASH" "$BASH" "$BASH" "$BASH" | head -c $(($2 * 784)); } >"$w/$1-images-idx3-ubyte"
    { printf '\0\0\10\1\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"
      yes "$(printf '\1')" | tr -d '\n' | head -c $(($2 / 2)); yes "$(printf '\2')" | tr -d '\n' | head -c $(($2 - $2 / 2)); } >"$w/$1-labels-idx1-ubyte"
}
idx train 1000
idx valid 100
printf 'classes=10\ntrain=%s\nvalid=%s\nbackup=%s\n' "$w/train-images-idx3-ubyte" "$w/valid-images-idx3-ubyte" "$disk" >"$w/t.data"
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=2\npad=1\nactivation=relu\n' "$1"; }
net='[net]\nbatch=50\nsubdivisions=1\nheight=28\nwidth=28\nchannels=1\nlearning_rate=0.01\nmax_batches=100000\n'
{ printf "$net"; conv 32; conv 64; conv 128; printf '[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n'; } >"$w/net.cfg"
{ printf "$net[teacher]\ncfg=$w/net.cfg\nweights=$w/old/net_final.weights\n"; conv 32; conv 64; conv 64; printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; } >"$w/simkd.cfg"
train() { "$darknet" distill train "$w/t.data" "$w/net.cfg" -quiet "$@"; }
status 0 "checkpoints to lose" train -limit 200 -epochs 1 -backup "$w/old"
size=$(stat -c %s "$w/old/net_final.weights")

status 1 "summary to a full disk" bash -c "'$darknet' distill summary '$w/net.cfg' >/dev/full"
says err "cannot write to the standard output: No space left on device" "is noticed"
status 1 "summary to a closed output" bash -c "'$darknet' distill summary '$w/net.cfg' >&-"
says err "cannot write to the standard output: Bad file descriptor" "is noticed"
status 1 "a reader who leaves" bash -c "'$darknet' distill valid '$w/t.data' '$w/net.cfg' '$w/old/net_final.weights' -json | true; exit \${PIPESTATUS[0]}"
says err "cannot write to the standard output: Broken pipe" "is noticed"
for v in "distill check $w/net.cfg" "distill valid $w/t.data $w/net.cfg $w/old/net_final.weights -limit 50 -json" "distill train -help" "distill -help" "distill -version" \
         "distill weights show $w/net.cfg $w/old/net_final.weights" "distill export $w/net.cfg $w/old/net_final.weights $w/lost" \
         "distill train $w/t.data $w/net.cfg -limit 50 -epochs 1 -backup $w/lost.backup"; do
    status 1 "${v%% $w*} with nowhere to print" bash -c "'$darknet' $v >/dev/full"
    says err "cannot write to the standard output: No space left on device" "says so"
done
if [ -n "${DISTILL_MEMCHECK:-}" ]; then echo "skipped: no open files at all, valgrind does not start so"; else
status 1 "nowhere at all" bash -c "'$darknet' distill train '$w/t.data' '$w/net.cfg' -limit 50 -epochs 1 -backup '$w/closed' >&- 2>&- <&-"
status 0 "and no output in a checkpoint" "$darknet" distill weights show "$w/net.cfg" "$w/closed/net_final.weights"
fi

# Starts a training without end in the background; it has begun when its first checkpoint is there.
begin() {
    touch "$w/mark"
    "$darknet" distill train "$w/t.data" "$w/net.cfg" -quiet -backup "$1" "${@:2}" >"$w/out" 2>"$w/err" &
    pid=$!
    trap 'kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
    while kill -0 $pid && [ ! "$1/net_last.weights" -nt "$w/mark" ]; do sleep 0.02; done
}
# And stops it, not while it writes.
pause() {
    while kill -STOP $pid && ls -A "$1" | grep -qE 'tmp|new'; do kill -CONT $pid; sleep 0.01; done
}
# Lets it go on; it must fail and say TEXT.
ends() {
    kill -CONT $pid 2>/dev/null
    local got=0
    for i in $(seq $patience); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
    kill -9 $pid 2>/dev/null   # it did not notice
    wait $pid || got=$?
    if [ $got -eq 1 ]; then ok "$1"; else not_ok "$1" "status $got: $(tail -3 "$w/err")"; fi
    says err "$2" "and says why"
}

limit=$(many 1000 300) patience=600   # images of a run to its end, enough for what is done meanwhile; tenths of a second to wait for one
[ -z "${DISTILL_MEMCHECK:-}" ] || limit=50 patience=6000
mkdir "$w/plain"
begin "$w/plain"; pause "$w/plain"; rm -f "$w/plain/net_last.weights"; mkdir "$w/plain/net_last.weights"
ends "a folder in the place of _last" "net_last.weights: cannot write: Is a directory"
rm -r "$w/plain"; mkdir "$w/plain"
begin "$w/plain" -epochs 20 -limit $limit; mkdir "$w/plain/net_final.weights"
ends "a folder in the place of _final" "net_final.weights: cannot write: Is a directory"
no_temps "$w/plain" "nothing is left"
rm -r "$w/plain"; mkdir "$w/plain"
begin "$w/plain"; pause "$w/plain"; rm -r "$w/plain"
ends "the folder is removed" "$w/plain: cannot write: No such file or directory"
[ ! -e "$w/plain" ] && ok "and not made again" || not_ok "and not made again"
mkdir "$w/plain"
begin "$w/plain"; pause "$w/plain"
status 1 "a second run of the same name" train -epochs 1 -backup "$w/plain" -limit 50
says err "$w/plain/net is in use by process $pid since " "is told who is there"
cp "$w/net.cfg" "$w/other.cfg"
status 0 "another name in the same folder" "$darknet" distill train "$w/t.data" "$w/other.cfg" -quiet -epochs 1 -limit 50 -backup "$w/plain"
kill -9 $pid; wait $pid 2>/dev/null
status 0 "a killed run locks nobody out" train -epochs 1 -backup "$w/plain" -limit 50
no_temps "$w/plain" "and no lock is left"

if [ -z "${DISK_FAULTS_INSIDE:-}" ] || ! mount -t tmpfs -o size=64k tmpfs "$disk" 2>"$w/why"; then
    echo "skipped: full and read-only disks, no mount namespace here ($(cat "$w/why" 2>/dev/null || echo unshare -rm and -m fail))"
    finish
fi
umount "$disk"
small() { mount -t tmpfs -o "size=$1,nr_inodes=1000" tmpfs "$disk"; }
# Leaves $1 bytes free.
fill() { head -c $(($(df -B1 --output=avail "$disk" | tail -1) - $1)) /dev/zero >"$disk/filler" 2>/dev/null; }

small 1m
cp "$w/old/net_last.weights" "$disk"
status 1 "too small a disk is refused before training" train -epochs 1 -limit 50
says err "$disk: training needs up to " "with what it needs"
says err " MB free" "and what there is"
same "$w/old/net_last.weights" "$disk/net_last.weights" "the old checkpoint stays"
no_temps "$disk" "nothing is left"
umount "$disk"

small 8m
begin "$disk"; pause "$disk"; fill 4096
mkdir "$w/before"; cp "$disk"/*.weights "$w/before"
ends "the disk is full" "cannot write: No space left on device"
no_temps "$disk" "nothing is left"
for f in "$w"/before/*; do same "$f" "$disk/${f##*/}" "${f##*/} is as it was"; done
rm -f "$disk"/*
begin "$disk"
while kill -0 $pid 2>/dev/null; do cat /dev/zero >>"$disk/filler" 2>/dev/null; done
ends "the disk fills up while it writes" "cannot write: No space left on device"
rm "$disk/filler"
no_temps "$disk" "nothing is left"
for f in "$disk"/*.weights; do status 0 "${f##*/} is whole" "$darknet" distill weights show "$w/net.cfg" "$f"; done
rm -f "$disk"/*

old=$disk/net
simkd=$w/old/simkd
status 0 "a student" "$darknet" distill train "$w/t.data" "$w/simkd.cfg" -limit 100 -epochs 1 -force -quiet -backup "$w/old"
cp "$w/old/net_final.weights" "$old.weights"; cp "$w/net.cfg" "$old.cfg"; printf 'old' >"$old.onnx"; printf 'old' >"$w/old.onnx"
fill 4096
put() { "$darknet" distill export "$w/simkd.cfg" "${simkd}_final.weights" "$@" -verify 0; }
status 1 "export to a full disk" put "$old"
says err "$old.weights: cannot write: No space left on device" "names the file"
same "$w/old/net_final.weights" "$old.weights" "the old weights stay"
same "$w/net.cfg" "$old.cfg" "and the old cfg"
if put "$w/x" -onnx "$w/x.onnx" >/dev/null 2>&1; then
    status 1 "ONNX to a full disk" put "$w/new" -onnx "$old.onnx"
    says err "$old.onnx: cannot write: No space left on device" "names the file"
    same "$w/old.onnx" "$old.onnx" "the old file stays"
    [ ! -e "$w/new.cfg" ] && ok "and no other file of that export is there" || not_ok "and no other file of that export is there"
    status 1 "ONNX to a device" put "$w/new" -onnx /dev/full
    says err "/dev/full: cannot write: No space left on device" "that is full"
    [ -c /dev/full ] && ok "which is still a device" || not_ok "which is still a device"
else echo "skipped: ONNX to a full disk, built without it"; fi
status 1 "weights strip to a full disk" "$darknet" distill weights strip "$w/simkd.cfg" "${simkd}_final.weights" "$old"
says err "cannot write: No space left on device" "says why"
same "$w/old/net_final.weights" "$old.weights" "the old weights stay"
no_temps "$disk" "nothing is left"
rm -f "$disk"/*

status 1 "a cache that will not fit" "$darknet" distill features "$w/t.data" "$w/simkd.cfg" -views 9 -type f32 -out "$disk/feat"
says err "$disk/feat: needs up to " "is refused with what it needs"
[ ! -e "$disk/feat" ] && ok "and not made" || not_ok "and not made"
"$darknet" distill features "$w/t.data" "$w/simkd.cfg" -views 1 -limit 700 -quiet -type f32 -out "$disk/feat" >"$w/out" 2>"$w/err" &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -s "$disk/feat" ]; do sleep 0.01; done
while kill -0 $pid 2>/dev/null; do cat /dev/zero >>"$disk/filler" 2>/dev/null; done
wait $pid; got=$?
if grep -q "700 computed now" "$w/out" && [ $got -eq 0 ]; then echo "skipped: the disk filled up behind the cache, it was done before"
else
    [ $got -eq 1 ] && ok "a cache on a disk that fills up" || not_ok "a cache on a disk that fills up" "status $got"
    says err "$disk/feat: warning: cannot be written any more: No space left on device" "names file and reason"
    says err "records could not be stored" "and says how many are missing"
    rm "$disk/filler"
    status 0 "what is there serves, the rest is made" "$darknet" distill features "$w/t.data" "$w/simkd.cfg" -views 1 -limit 700 -quiet -type f32 -out "$disk/feat"
fi
rm -f "$disk"/*

cp /usr/share/darknet/data/dog.jpg "$w/dog.jpg" 2>/dev/null || { "$build/make_shapes" "$w/shapes" 2 2 >/dev/null; cp "$w"/shapes/images/train*0.png "$w/dog.jpg"; }
printf 'classes=3\nnames=%s\n' "$PWD/cfg/shapes/shapes.names" >"$w/shapes.data"
[ -e cfg/shapes/shapes.names ] || printf 'classes=3\n' >"$w/shapes.data"
predict() { "$darknet" distill predict "$w/shapes.data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$w/dog.jpg" -out "$1"; }
printf 'old' >"$disk/drawn.png"; printf 'old' >"$w/drawn.png"
fill 4096
status 1 "a picture on a full disk" predict "$disk/drawn.png"
says err "$disk/drawn.png: cannot write: No space left on device" "names the file"
same "$w/drawn.png" "$disk/drawn.png" "the old picture stays"
no_temps "$disk" "nothing is left"
rm "$disk/filler"
cp "$w"/old/*.weights "$disk"

mount -o remount,ro "$disk"
status 1 "a read-only disk is refused before training" train -epochs 1 -limit 50
says err "cannot write: Read-only file system" "with the reason"
status 1 "export to a read-only disk" put "$disk/out"
says err "$disk/out.cfg: cannot write: Read-only file system" "says so"
status 1 "a picture on one" predict "$disk/drawn.png"
says err "$disk/drawn.png: cannot write: Read-only file system" "says so"
status 1 "a cache on one" "$darknet" distill features "$w/t.data" "$w/simkd.cfg" -views 1 -out "$disk/feat"
says err "$disk/feat: cannot be opened: " "says so"
same "$w/old/net_last.weights" "$disk/net_last.weights" "what is there stays"
umount "$disk"

small 8m
begin "$disk"; pause "$disk"; umount -l "$disk"
ends "the disk is unmounted" "$disk: is not the folder that it was when the run began: unmounted, or replaced"
[ -z "$(ls -A "$disk")" ] && ok "and nothing is written where it was" || not_ok "and nothing is written where it was" "$(ls -A "$disk")"
finish
