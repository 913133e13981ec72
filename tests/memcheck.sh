#!/bin/bash
# The tests under valgrind's memcheck, test programs and the command that scripts call: an invalid or uninitialised read, or a
# lost block that is not in tests/sanitize/valgrind.supp, fails the test. valgrind knows no AVX-512, hence a build of its own
# without it and without oneDNN. It runs one thread at a time, thirty times as slow as otherwise.
#   tests/memcheck.sh [NAME...]     e.g. test_cfg test_resume.sh; default: all, an hour on two cores
set -u
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "skipped: memcheck, valgrind is not installed"; exit 0; }
build=build-plain under=$PWD/build-plain/under jobs=$(nproc)
wanted=tests
case " $*" in " " | *.sh*) ;; *) wanted=$(printf "$build/tests/%s " "$@") ;; esac
make -j"$jobs" --no-print-directory plain GOALS="$wanted" >"$build.log" 2>&1 ||
    { tail -20 "$build.log"; exit 1; }
rm -rf "$build.log" "$under"

# under/X runs X: what a test finds where a build should be. A child that dies on purpose, in the middle of things, says nothing;
# those of test_no_memory end by exit(), with all that they had, so that blocks are not counted there.
mkdir -p "$under/tests"
cat >"$under/X" <<WRAPPER
#!/bin/bash
leaks=full
[ "\${0##*/}" != test_no_memory ] || leaks=no
exec valgrind -q --error-exitcode=99 --child-silent-after-fork=yes --leak-check=\$leaks --show-leak-kinds=definite \\
    --errors-for-leak-kinds=definite --suppressions=$PWD/tests/sanitize/valgrind.supp "\${0/\/under\///}" "\$@"
WRAPPER
chmod +x "$under/X"
for t in darknet make_shapes $(cd $build && find tests -maxdepth 1 -name 'test_*' -type f -executable); do ln "$under/X" "$under/$t"; done
rm "$under/X"
ln -s ../libdistill.a "$under"
export DISTILL_QUICK=1 DISTILL_MEMCHECK=1 OMP_NUM_THREADS=1
tests/run.sh "${under#"$PWD"/}" "$jobs" "$@"
