#!/bin/bash
# Help, the manual page and completion, all made of the same tables; and the command's name, which is that it was called by.
. tests/tap.sh
own=$work/darknet-distill
ln -s "$darknet" "$own"
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2', expected '$3'"; fi; }

"$own" -help | awk '/^  [a-z]/ { print $1 }' >"$work/verbs"
"$own" weights -help | awk '/^  [a-z]/ { print $1 }' >"$work/subs"
is "there are verbs and sub-verbs" "$(($(wc -l <"$work/verbs") > 9)) $(grep -c . "$work/subs")" "1 9"
sed -i '1d; $d' "$work/subs"      # what it is for, the example

# Every verb: flags under a heading, an example that the verb would take.
for verb in $(cat "$work/verbs"); do
    "$own" "$verb" -help >"$work/$verb"
    tail -2 "$work/$verb" | grep -q "^  darknet-distill $verb " || echo "$verb: no example of its own"
    awk '/^[a-z].*:$/ { heading = 1 } /^  -/ && !heading { print "a flag without a heading: " $0 }' "$work/$verb"
    if grep -q '^more:' "$work/$verb"; then echo "$verb: flags that no group names"; fi
done >"$work/out"
if [ -s "$work/out" ]; then not_ok "flags are grouped, and each verb has an example" "$(cat "$work/out")"
else ok "flags are grouped, and each verb has an example"; fi
is "a group's heading and its flags" "$(sed -n '/^who computes:/,/^$/p' "$work/summary" | awk '{ print $1 }' | xargs)" "who -backend -nogpu"

# The name.
status 2 "no verb" "$own"
says err "usage: darknet-distill VERB ..." "usage names the installed command"
if grep -q 'stock darknet' "$work/err"; then not_ok "which has no stock commands"; else ok "which has no stock commands"; fi
status 2 "called as darknet" "$darknet" distill
says err "usage: darknet distill VERB ..." "usage names the two words"
says err "stock darknet" "and the stock commands"
status 2 "a verb's usage" "$own" check
says err "usage: darknet-distill check CFG" "names the installed command, too"
status 2 "distill is no verb of it" "$own" distill check x.cfg
status 2 "neither is a stock command" "$own" detector train
status 2 "a hint" "$own" weights shw
status 2 "another hint" "$own" weights nothing
says err "'darknet-distill weights -help'" "hints name the installed command"
status 2 "the same of the other" "$darknet" distill weights nothing
says err "'darknet distill weights -help'" "which is named by its two words"
found=$(grep -rnE --include='*.c' --include='*.cpp' '"[^"]*darknet distill ' darknet_plugin layers weights_tools | grep -v -e /passthrough.c -e /init_text.c)
is "no message has the name written into it" "$found" ""

# The manual page.
"$own" -man >"$work/page.1"
"$darknet" distill -man | cmp -s - "$work/page.1" && ok "the page is the same by either name" || not_ok "the page is the same by either name"
if command -v groff >/dev/null; then
    status 0 "groff formats the manual page" groff -ww -man -Tutf8 -rLL=100n "$work/page.1"
    is "and warns of nothing" "$(cat "$work/err")" ""
    sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g; s/‐/-/g; s/−/-/g' "$work/out" | tr -s ' \n' ' ' >"$work/page"
    for verb in $(cat "$work/verbs"); do
        grep -qF -- " $verb " "$work/page" || echo "$verb"
        grep '^  -' "$work/$verb" | while read -r flag _; do grep -qF -- " $flag " "$work/page" || echo "$verb $flag"; done
    done >"$work/missing"
    is "every verb and flag is in it" "$(cat "$work/missing")" ""
    says page "-t N how many classes to print" "with what is said of it"
    says page "dnnl|reference|host|gpu who computes" "and its choices"
else
    echo "skipped: groff formats the manual page (no groff)"
fi
if command -v man >/dev/null && man --version >/dev/null 2>&1; then
    LC_ALL=C.UTF-8 MANROFFSEQ='' status 0 "man shows it" man --warnings -E UTF-8 -l -Tutf8 -Z "$work/page.1"
    is "and warns of nothing" "$(cat "$work/err")" ""
else
    echo "skipped: man shows it (no man)"
fi
if command -v mandoc >/dev/null; then
    status 0 "mandoc -Tlint has no warning" mandoc -Tlint -Wwarning "$work/page.1"
else
    echo "skipped: mandoc -Tlint has no warning (no mandoc)"
fi

# Completion, by bash itself.
"$own" -completion bash >"$work/bash"
"$own" -completion zsh >"$work/zsh"
status 2 "completion of another shell" "$own" -completion csh
status 0 "bash reads its completion" bash -n "$work/bash"
mkdir "$work/files" "$work/files/folder"
touch "$work/files/a.data" "$work/files/a b.cfg" "$work/files/n.cfg" "$work/files/w.weights" "$work/files/x.png"
# completes WORD...: what bash offers for the last word
completes() {
    (cd "$work/files" && bash -c '. "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _darknet_distill 2>&1
        printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd,' "$work/bash" darknet-distill "$@")
}
offers() { is "bash completes: ${*:2}" "$(completes "${@:2}")" "$1"; }
is "bash completes verbs" "$(completes '' | tr , '\n' | grep -v ^- | sort)" "$(sort "$work/verbs")"
offers check ch
offers train tr
offers "" nonsense x
offers a.data,folder train ''
offers "a b.cfg,folder,n.cfg" train a.data ''
offers "folder,w.weights" train a.data n.cfg ''
offers "a b.cfg,folder,n.cfg" train -epochs 5 a.data ''
offers "a b.cfg,folder,n.cfg" train -clear a.data ''
offers "x.png" predict a.data n.cfg w.weights x.png x
offers "-epochs" train a.data -ep
offers "" check -ep
offers "dnnl,gpu,host,reference" train -backend ''
offers "dnnl" train --backend d
offers "" train -epochs ''
offers "a b.cfg,a.data,folder,n.cfg,w.weights,x.png" train -cache ''
offers "fold" weights f
offers "a b.cfg,folder,n.cfg" weights show ''
offers "-tolerance" weights compare n.cfg -to
for verb in $(cat "$work/verbs"); do
    [ "$verb" = weights ] && continue
    want=$(grep -oE '^  -[a-z0-9-]+' "$work/$verb" | tr -d ' ' | sort -u | xargs)
    got=$(completes "$verb" - | tr , '\n' | grep -vx -- -help | sort | xargs)
    [ "$got" = "$want" ] || echo "$verb: $got, expected $want"
done >"$work/out"
is "bash completes every verb's flags, and no others" "$(cat "$work/out")" ""
if command -v zsh >/dev/null; then
    status 0 "zsh reads its completion" zsh -n "$work/zsh"
    # zsh's own functions stand aside and say what they are asked
    zsh -f -c 'f=$1; shift; words=("$@") CURRENT=$#
        _describe() { print -l -- "${(@P)2%%:*}" }; _arguments() { print -rl -- "$@" }; . $f' zsh "$work/zsh" darknet-distill '' >"$work/out" 2>&1
    is "zsh completes verbs" "$(sort "$work/out")" "$(sort "$work/verbs")"
    zsh -f -c 'f=$1; shift; words=("$@") CURRENT=$#
        _describe() { print -l -- "${(@P)2%%:*}" }; _arguments() { print -rl -- "$@" }; . $f' zsh "$work/zsh" darknet-distill weights compare '' >"$work/out" 2>&1
    says out "-tolerance[compare\: relative difference" "zsh is told of a flag"
    says out ':CFG:_files -g "*.cfg"' "and of files"
else
    echo "skipped: zsh reads its completion (no zsh)"
fi
finish
