#!/bin/bash
# The command line: usage, exit status, wrong arguments, the hand-over to the stock program.
set -u
. tests/tap.sh
status 2 "no arguments" "$darknet"
status 2 "distill without a verb" "$darknet" distill
status 0 "distill -help" "$darknet" distill -help
says out "-version" "which lists -version"
version="darknet-distill $(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -1)"
for flag in -version --version; do
    status 0 "$flag" "$darknet" distill $flag
    if [ "$(cat "$work/out")" = "$version" ]; then ok "$flag says the newest version of CHANGELOG.md"
    else not_ok "$flag says the newest version of CHANGELOG.md" "$(cat "$work/out"), expected $version"; fi
done
status 0 "train -help" "$darknet" distill train -help
says out "-epochs" "help lists the flags"
for verb in $("$darknet" distill -help | awk '/^  [a-z]/ { print $1 }'); do
    status 0 "$verb -help: the flags in its row are in the table" "$darknet" distill "$verb" -help
done
printf 'classes=2\ntrain=%s\n' "$work" >"$work/turned.data"
status 1 "a .data file where the cfg stands" "$darknet" distill check "$work/turned.data"
says err "hint: a cfg begins with [net]; a .data file is named before it" "says what a cfg is"
printf 'format=idx\n' >>"$work/turned.data"
status 1 "a folder where format= wants a file" "$darknet" distill data "$work/turned.data"
says err "hint: it is a folder: format=idx is for files" "is told"
status 2 "help for a verb" "$darknet" distill help
says err "distill -help' lists what there is" "is told where it is"
status 2 "an unknown verb" "$darknet" distill trian
says err "did you mean 'train'?" "suggests the nearest verb"
status 2 "an unknown flag" "$darknet" distill check cfg/fashion-student.cfg -jsn
says err "did you mean '-json'?" "suggests the nearest flag"
status 2 "a flag of another verb" "$darknet" distill check cfg/fashion-student.cfg -epochs 3
says err "'-epochs' means nothing to 'check'" "says whose it is not"
status 2 "a flag of another sub-verb" "$darknet" distill weights show a b -to 3
says err "'-to' means nothing to 'weights show'" "says so too"
status 2 "-json where there is no JSON" "$darknet" distill features a b -json
says err "'-json' means nothing to 'features'" "is refused, not passed over"
status 2 "a flag without its value" "$darknet" distill train a b -epochs
status 1 "a malformed number" "$darknet" distill train a b -epochs 3x
says err "expected a whole number" "says what was expected"
status 2 "too few arguments" "$darknet" distill valid cfg/fashion.data
status 2 "too many arguments" "$darknet" distill check a b
status 1 "a cfg that is not there" "$darknet" distill check "$work/none.cfg"
says err "none.cfg" "names the file"
status 1 "a folder as cfg" "$darknet" distill check "$work"
status 0 "check of a plain cfg" "$darknet" distill check cfg/fashion-student.cfg
status 0 "double dash flags, check -json" "$darknet" distill check cfg/fashion-student.cfg --json
holds "one JSON object on stdout" '.ok and .errors == 0'
printf '[net]\nwidth=8\nheight=8\nchannels=1\n[convolutional]\nfiltres=3\nsize=3x\n[convolutionl]\n' >"$work/bad.cfg"
status 1 "check of a bad cfg" "$darknet" distill check "$work/bad.cfg"
says err "bad.cfg:6: [convolutional]" "file, line and section"
says err "bad.cfg:7: [convolutional]" "of every mistake"
says err "bad.cfg:8:" "in one go"
status 1 "check -json of a bad cfg" "$darknet" distill check "$work/bad.cfg" -json
holds "messages as JSON" '(.ok | not) and (.messages | length >= 3) and (.messages[0].line == 6)'
status 0 "summary -json" "$darknet" distill summary cfg/fashion-student.cfg -json
holds "parameters, multiply_adds, layers" '.parameters > 0 and .multiply_adds > 0 and (.layers | length == 6)'
status 0 "summary as a table" "$darknet" distill summary cfg/fashion-student.cfg
status 1 "an unknown backend" "$darknet" distill valid cfg/fashion.data cfg/fashion-student.cfg x -backend fast
status 1 "-gpus on a build without them" "$darknet" distill train cfg/fashion.data cfg/fashion-student.cfg -gpus 0
if ! grep -q CUDA "$work/err"; then    # in a build with GPU=1 it is about the device
    says err "this build computes on the CPU only" "says so"
    says err "make GPU=1" "and how to get another"
fi
status 1 "-gpus and -nogpu" "$darknet" distill train cfg/fashion.data cfg/fashion-student.cfg -gpus 0 -nogpu
says err "contradict each other" "says that they contradict each other"
status 1 "a .data file that is not there" "$darknet" distill train "$work/none.data" cfg/fashion-student.cfg
# What the stock program would misread is not handed over.
printf '[net]\nwidth=16\nheight=16\nchannels=3\n[convolutional]\nfilters=7\nsize=1\nactivation=mish\n[yolo]\nmask=0\nanchors=8,8\nclasses=2\nnum=1\n' >"$work/mish.cfg"
status 1 "stock detector test of a network that the stock program lacks layers for" "$darknet" detector test x.data "$work/mish.cfg"
says err "mish.cfg:5: [convolutional] activation=mish or swish: stock Darknet computes relu in its place" "says what and why"
says err "hint: use 'darknet distill predict'" "and names the verb"
status 1 "stock detector train" "$darknet" detector train x.data "$work/mish.cfg"
says err "hint: use 'darknet distill train'" "names another"
sed 's/activation=mish/activation=logistic/; s/^num=1/&\nnew_coords=1/' "$work/mish.cfg" >"$work/coords.cfg"
status 1 "stock detector valid" "$darknet" detector valid x.data "$work/coords.cfg"
says err "coords.cfg:9: [yolo] [yolo] new_coords=1: stock Darknet decodes its boxes otherwise" "boxes, too"
if [ -x /usr/bin/darknet ]; then
    status 1 "stock: a cfg that is not there" "$darknet" classifier predict cfg/fashion.data "$work/none.cfg" x.weights
    status 1 "stock: an image that is not there" "$darknet" classifier predict cfg/fashion.data cfg/fashion-student.cfg "$work/none.png"
    status 0 "stock: a command of its own" "$darknet" ops cfg/fashion-student.cfg
    status 1 "stock: partial refuses a distillation cfg" "$darknet" partial cfg/fashion-simkd.cfg a.weights b.weights 3
else
    echo "skipped: the stock program is not installed"
fi
sed 's/^\[softmax\]/&\ntree=none.tree/' cfg/fashion-student.cfg >"$work/tree.cfg"
status 1 "a file the host would crash on" "$darknet" distill summary "$work/tree.cfg"
says err "[softmax] cannot open none.tree: No such file" "is named with its section"
host=/usr/lib/darknet/libdarknet.so
if [ -r $host ] && command -v nm >/dev/null; then
    nm -D --defined-only $host | awk '{ print $3 }' | sort >"$work/theirs"
    nm "$build/libdistill.a" 2>/dev/null | awk '$2 ~ /^[TDBR]$/ { print $3 }' | sort -u >"$work/ours"
    both=$(comm -12 "$work/theirs" "$work/ours" | tr '\n' ' ')
    [ "$both" = "error file_error malloc_error " ] && ok "only the three error handlers share a name with the host" ||
        not_ok "only the three error handlers share a name with the host" "$both"
else
    echo "skipped: names shared with the host, nm or the library is not there"
fi
finish
