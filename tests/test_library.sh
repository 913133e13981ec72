#!/bin/bash
# The library from outside: the examples in C and in Python, and what a caller's mistakes come to in an interpreter, which
# has to live on.
. tests/tap.sh
not_quick "the library in an interpreter"
library=$PWD/$build/libdarknet_distill.so.0
if command -v python3 >/dev/null; then
    python3 tests/library/check.py "$library" "$work" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
    cat "$work/out"
    failures=$(grep -c '^not ok' "$work/out")
    if [ "$rc" -eq 0 ] && [ ! -s "$work/err" ]; then ok "the interpreter lives to the end, and nothing was printed"
    else not_ok "the interpreter lives to the end, and nothing was printed" "status $rc: $(tail -5 "$work/err")"; fi
    status 0 "the example in Python" env DARKNET_DISTILL="$library" python3 tests/library/example.py "$work/student.cfg" "$work/image.ppm"
    if [ "$(grep -c '^loss' "$work/out")" -eq 10 ]; then ok "it trains ten steps"; else not_ok "it trains ten steps" "$(cat "$work/out")"; fi
    status 1 "it ends on the message of a bad cfg" env DARKNET_DISTILL="$library" python3 tests/library/example.py "$work/bad.cfg" "$work/image.ppm"
    says err "bad.cfg:12: [convolutional]" "which has file and line"

    mkdir -p "$work/lib" "$work/include"
    ln -s "$library" "$work/lib/libdarknet_distill.so"
    cp darknet_plugin/library/darknet_distill.h "$work/include"
    status 0 "the example in C compiles" gcc -std=c99 -Wall -Wextra -Werror -I"$work/include" tests/library/example.c -o "$work/example" \
        -L"$work/lib" -ldarknet_distill -Wl,-rpath,"$PWD/$build"
    status 0 "and runs" "$work/example" "$work/student.cfg" "$work/image.ppm"
    says out "[feature_l2] " "it says the parts of the loss"
    status 1 "it ends on the message of a missing cfg" "$work/example" "$work/nowhere.cfg" "$work/image.ppm"
    says err "nowhere.cfg" "which names it"
    printf '#include <darknet_distill.h>\nint main() { return darknet_distill_version() == nullptr; }\n' >"$work/x.cpp"
    status 0 "the header is C++, too" g++ -std=c++11 -Wall -Wextra -Werror -I"$work/include" -c "$work/x.cpp" -o "$work/x.o"
else
    echo "skipped: the library in an interpreter (no python3)"
fi
finish
