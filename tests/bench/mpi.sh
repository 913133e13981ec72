#!/bin/bash
# What training by several ranks costs. Wants a quiet machine, and for the network root, iproute2 and namespaces.
#   tests/bench/mpi.sh machine       two ranks of one thread beside one process of two threads with twice the
#                                    subdivisions, in turn, REPEATS times; images/s, and the middle of the ratios
#   tests/bench/mpi.sh accuracy      the demo's student after DEMO_EPOCHS, by two ranks and by one process with twice the
#                                    subdivisions, seeds 0 to 2: top-1 %. Ends with 1 where the means are further apart than the
#                                    process's seeds. No quiet machine is wanted
#   tests/bench/mpi.sh network       four namespaces as hosts, behind links of each of RATES: first a bare sum, which must
#                                    take as long as the link says, then what docs/performance.md computes from
# A step of N hosts takes c + a + 2 (N - 1) / N * 4 P / B seconds: c what a rank computes, a the small message from all
# to all, P the floats that are summed (all that is trained, and three numbers a channel of batch norm), B the bytes a
# second of a link. N hosts see N * c / that as many images a second as one. `network` prints a and B.
# BUILD=build  MPI=ompi-c|mpich  DEMO_EPOCHS=12  EPOCHS=1  LIMIT=20000  REPEATS=5  RATES="1000 100" (Mbit/s)  FLOATS="1000 100000 1000000 5000000"
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath -m "${BUILD:-build}") mpi=${MPI:-ompi-c} epochs=${EPOCHS:-1} limit=${LIMIT:-20000} repeats=${REPEATS:-5} hosts=4
rates=${RATES:-1000 100} floats=${FLOATS:-1000 100000 1000000 5000000} limit_s=${TIME_LIMIT:-600}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
w=$(mktemp -d)
spaces=()
clean() { for s in "${spaces[@]}"; do ip netns del "$s"; done; [ ${#spaces[@]} -eq 0 ] || ip link del ddbr; rm -rf "$w"; }
trap clean EXIT

# run N COMMAND...
run() {
    local n=$1; shift
    case $mpi in
        ompi-c) timeout "$limit_s" mpirun.openmpi --bind-to none --oversubscribe -n "$n" "$@" ;;
        mpich) timeout "$limit_s" mpirun.mpich -n "$n" "$@" ;;
    esac
}

# NAME: that cfg as ranks.cfg, and as process.cfg with twice the subdivisions
both_cfgs() {
    sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" "cfg/$1.cfg" >"$w/ranks.cfg"
    sed '/^subdivisions=/d; s/^batch=.*/&\nsubdivisions=2/' "$w/ranks.cfg" >"$w/process.cfg"
}
machine() {
    local one two i
    both_cfgs fashion-simkd
    train() { "${@:4}" distill train cfg/fashion.data "$w/$1.cfg" -threads "$2" -limit "$limit" -epochs "$epochs" -quiet -backup "$w/$3" | sed -n 's/.* \([0-9]*\) images\/s.*/\1/p' | tail -1; }
    printf '%12s %12s %8s\n' "one process" "two ranks" ratio
    for ((i = 0; i < repeats; i++)); do
        one=$(train process 2 a "$build/darknet")
        two=$(train ranks 1 b run 2 "$build/$mpi/darknet")
        awk -v a="$one" -v b="$two" 'BEGIN { printf "%12d %12d %8.3f\n", a, b, b / a }'
    done | tee "$w/table"
    awk '{ print $3 }' "$w/table" | sort -n | awk '{ r[NR] = $1 } END { printf "middle of %d ratios: %.3f\n", NR, r[int((NR + 1) / 2)] }'
}

accuracy() {
    local seed
    both_cfgs fashion-distilled
    # top1 CFG THREADS FOLDER COMMAND...: of what it trains
    top1() {
        "${@:4}" distill train cfg/fashion.data "$w/$1.cfg" -threads "$2" -epochs "${DEMO_EPOCHS:-12}" -seed "$seed" -quiet -backup "$w/$3" >>"$w/log"
        "$build/darknet" distill valid cfg/fashion.data "$w/$1.cfg" "$w/$3/$1_final.weights" -threads 1 -json | jq .student.top1
    }
    printf '%-6s %12s %12s\n' seed "one process" "two ranks"
    for seed in 0 1 2; do
        printf '%-6s %12.2f %12.2f\n' $seed "$(top1 process 1 "a$seed" "$build/darknet")" "$(top1 ranks 1 "b$seed" run 2 "$build/$mpi/darknet")"
    done | tee "$w/table"
    awk 'NR == 1 { least = most = $2 }
        { one += $2; two += $3; if ($2 < least) least = $2; if ($2 > most) most = $2 }
        END { apart = (two - one) / NR; spread = most - least
            printf "means %+.2f points apart, the seeds of one process within %.2f\n", apart, spread
            exit apart > spread || -apart > spread }' "$w/table"
}

# A namespace a host, each behind a link of its own on one bridge; both ends send no faster than the rate.
make_hosts() {
    local i
    ip link add ddbr type bridge && ip link set ddbr up
    for ((i = 1; i <= hosts; i++)); do
        ip netns add "dd$i"
        spaces+=("dd$i")
        ip link add "ddv$i" type veth peer name eth0 netns "dd$i"
        ip link set "ddv$i" master ddbr up
        ip -n "dd$i" link set lo up
        ip -n "dd$i" addr add "10.77.0.$i/24" dev eth0
        ip -n "dd$i" link set eth0 up
    done
}
shape() {
    local i burst=$(($1 * 250))     # bytes: two milliseconds' worth
    for ((i = 1; i <= hosts; i++)); do
        tc qdisc replace dev "ddv$i" root tbf rate "$1mbit" burst $burst latency 100ms
        tc -n "dd$i" qdisc replace dev eth0 root tbf rate "$1mbit" burst $burst latency 100ms
    done
}
# What mpirun starts others with, instead of ssh: HOST COMMAND..., by the host's address.
make_agent() {
    cat >"$w/agent" <<'A'
#!/bin/bash
while [ "${1#-}" != "$1" ]; do shift; done
space=dd${1##*.}; shift
exec ip netns exec "$space" unshare --uts sh -c "hostname $space; $*"
A
    chmod +x "$w/agent"
}
# across COMMAND...: a rank on each host
across() {
    local list=10.77.0.1,10.77.0.2,10.77.0.3,10.77.0.4
    case $mpi in
        ompi-c) timeout "$limit_s" ip netns exec dd1 unshare --uts sh -c 'hostname dd1; exec "$@"' sh mpirun.openmpi --oversubscribe --bind-to none \
            -n $hosts --host $list --mca plm_rsh_agent "$w/agent" --mca btl tcp,self --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
            --mca mpi_yield_when_idle 1 "$@" ;;
        mpich) UCX_TLS=tcp,self UCX_NET_DEVICES=eth0 timeout "$limit_s" ip netns exec dd1 unshare --uts sh -c 'hostname dd1; exec "$@"' sh mpirun.mpich \
            -n $hosts -hosts $list -launcher ssh -launcher-exec "$w/agent" -iface eth0 "$@" ;;
    esac
}
network() {
    local rate most
    make_hosts
    make_agent
    for rate in $rates; do
        shape "$rate"
        echo "== $rate Mbit/s, $hosts hosts, $mpi"
        across "$build/$mpi/allreduce" $floats | tee "$w/bare"
        most=$(awk '/^sum/ && $2 >= 1000000 { if ($6 > m) m = $6 } END { print m + 0 }' "$w/bare")
        awk -v m="$most" -v r="$rate" 'BEGIN { l = r / 8
            if (!m) { print "no sum was long enough to tell whether the link was obeyed"; exit }
            printf "the link lets %.1f MB/s through, sums sent %.1f: %s\n", l, m, m <= 1.05 * l ? "obeyed" : "NOT obeyed"; exit m > 1.05 * l }'
    done
}
case ${1:-} in machine) machine ;; accuracy) accuracy ;; network) network ;; *) sed -n '2,13s/^# //p' "$0"; exit 2 ;; esac
