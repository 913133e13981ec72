#!/bin/bash
# Memory follows what is used, not what is there or what is declared: huge files of which little is wanted, and small ones that
# stand for much.
. tests/tap.sh "$@"
not_quick "limits of memory"
w=$work
export OMP_NUM_THREADS=1

# within MB NAME STATUS COMMAND...: it ends so and never has more than MB megabytes
within() {
    local most=$1 name=$2 want=$3 got=0; shift 3
    /usr/bin/time -f %M -o "$w/rss" "$@" >"$w/out" 2>"$w/err" </dev/null || got=$?
    local kb; kb=$(tail -1 "$w/rss")
    if [ "$got" -ne "$want" ]; then not_ok "$name" "status $got, expected $want: $(tail -5 "$w/err")"
    elif [ "$kb" -gt $((most * 1024)) ]; then not_ok "$name" "$kb kB, expected less than $most MB"
    else ok "$name: $((kb / 1024)) MB"; fi
}
net() { printf '[net]\nbatch=8\nsubdivisions=1\nheight=%d\nwidth=%d\nchannels=%d\nlearning_rate=.02\nmax_batches=8\n' "$1" "$1" "$2"
    printf '[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=4\npad=1\nactivation=relu\n[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n'; }
net 32 3 >"$w/c.cfg"
net 28 1 >"$w/i.cfg"

# ---- a CIFAR file of 3 GB, nearly all of it a hole: records of class 0 ----
truncate -s $((3073 * 1000000)) "$w/big.bin"
for ((i = 0; i < 64; i++)); do printf "\\x0$((i % 10))" | dd of="$w/big.bin" bs=1 seek=$((3073 * i)) conv=notrunc status=none; done
printf 'classes=10\ntrain=big.bin\nvalid=big.bin\n' >"$w/big.data"
sed /valid/d "$w/big.data" >"$w/train.data"
within 300 "training on 64 of a million images" 0 "$darknet" distill train "$w/train.data" "$w/c.cfg" -limit 64 -quiet -backup "$w/b"
within 300 "measuring on them" 0 "$darknet" distill valid "$w/big.data" "$w/c.cfg" "$w/b/c_final.weights" -limit 64 -json
holds "64 of them" '.images == 64'
sed 's/valid=.*//' "$w/big.data" >"$w/look.data"
within 300 "what is in it" 0 "$darknet" distill data "$w/look.data" -json
holds "all images are counted" '.train.images == 1000000'

# ---- IDX: gzip bombs ----
word() { printf "\\x$(printf %02x $(($1 >> 24 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 & 255)))"; }
idx_images() { word 2051; word "$1"; word 28; word 28; }
{ idx_images 1000000; head -c 784000000 /dev/zero; } | gzip -1 >"$w/a-images-idx3-ubyte.gz"
{ word 2049; word 60; head -c 60 /dev/zero; } | gzip >"$w/a-labels-idx1-ubyte.gz"
printf 'classes=10\ntrain=a-images-idx3-ubyte.gz\n' >"$w/a.data"
within 300 "3 MB of gzip that declare a million images, with 60 labels" 1 "$darknet" distill train "$w/a.data" "$w/i.cfg" -quiet -backup "$w/b"
says err "60 labels, but " "are refused before they are unpacked"
{ word 2049; word 1000000; head -c 1000000 /dev/zero; } | gzip >"$w/a-labels-idx1-ubyte.gz"
within 300 "64 of that million" 0 "$darknet" distill train "$w/a.data" "$w/i.cfg" -limit 64 -quiet -backup "$w/b"
{ idx_images 60; head -c 47040 /dev/zero; } | gzip >"$w/b-images-idx3-ubyte.gz"
{ word 2049; word 4000000000; head -c 1000000000 /dev/zero; } | gzip -1 >"$w/b-labels-idx1-ubyte.gz"
printf 'classes=10\ntrain=b-images-idx3-ubyte.gz\n' >"$w/b.data"
within 300 "labels that declare billions" 1 "$darknet" distill train "$w/b.data" "$w/i.cfg" -quiet -backup "$w/b"
says err "4000000000 labels" "are not unpacked either"
{ idx_images 4000000000; head -c 1000000 /dev/zero; } >"$w/c-images-idx3-ubyte"
printf 'classes=10\ntrain=c-images-idx3-ubyte\n' >"$w/c.data"
within 300 "a header that declares what the file does not have" 1 "$darknet" distill train "$w/c.data" "$w/i.cfg" -quiet -backup "$w/b"
says err "truncated or damaged: 1275 of 4000000000 images" "is told at once"
{ idx_images 60; head -c 47040 /dev/zero; head -c 1000000000 /dev/zero; } | gzip -1 >"$w/d-images-idx3-ubyte.gz"
{ word 2049; word 60; head -c 60 /dev/zero; } | gzip >"$w/d-labels-idx1-ubyte.gz"
printf 'classes=10\ntrain=d-images-idx3-ubyte.gz\n' >"$w/d.data"
within 300 "a gigabyte of zeros behind the images" 1 "$darknet" distill train "$w/d.data" "$w/i.cfg" -quiet -backup "$w/b"
says err "longer than its header says" "is refused"

# ---- lists: an image whose file is much larger than it ----
{ printf 'P5\n32 32\n255\n'; head -c 1024 /dev/zero; } >"$w/1.pgm"
cp "$w/1.pgm" "$w/2.pgm"
truncate -s 3G "$w/2.pgm"
printf '1.pgm 1\n2.pgm 2\n' >"$w/l.list"
printf 'classes=10\ntrain=l.list\n' >"$w/l.data"
within 300 "an image file of 3 GB" 1 "$darknet" distill train "$w/l.data" "$w/c.cfg" -quiet -backup "$w/b"
says err "2.pgm: cannot read this image: damaged: 3221225472 bytes are more than 32x32 pixels need" "is not read into memory"
finish
