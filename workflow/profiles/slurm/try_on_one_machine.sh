#!/usr/bin/env bash
# Try the SLURM profile without a cluster: a controller and two nodes of one core each on this machine.
#
#     sudo workflow/profiles/slurm/try_on_one_machine.sh [SWEEP]
#
# Runs a sweep (default: trial) with the local profile, on the two nodes, and on the two nodes of which
# one is lost while a point runs on it; says whether the three tables of records are the same, byte by
# byte. Every run starts from an empty folder, so all is computed three times. Needs root (a node is a
# PID namespace, so that it can vanish with all it runs) and Debian's packages slurm-wlm and munge.
# All files are in one temporary folder; everything started here is ended here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
sweep=${1:-trial}

for tool in munged slurmctld slurmd sbatch unshare; do
    PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null && continue
    echo "There is no $tool here: apt-get install slurm-wlm munge, then try again." >&2
    exit 2
done
if [ "$(id -u)" != 0 ]; then
    echo "This needs root, for each node is a PID namespace of its own: use sudo." >&2
    exit 2
fi

PATH=$PATH:/usr/sbin
place=$(mktemp -d /tmp/qlab-slurm-XXXXXX)
export SLURM_CONF=$place/slurm.conf
declare -A started=()

end() {
    # Nodes first, for the controller would otherwise wait for their jobs.
    for name in node1 node2 slurmctld munged; do
        [ -n "${started[$name]:-}" ] && kill -KILL "${started[$name]}" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [ -z "${KEEP:-}" ]; then rm -rf "$place"; else echo "Kept: $place"; fi
}
trap end EXIT

free_port() {
    .venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# With its first process gone, the kernel ends all that a node runs. The nodes find the configuration where
# a real one has it, for Snakemake's job steps are given no SLURM_CONF.
node() { # NAME
    # shellcheck disable=SC2016
    unshare --pid --fork --kill-child --mount-proc bash -c \
        'mount --bind "$1" /etc/slurm && exec slurmd -D -N "$2"' - "$place" "$1" \
        >"$place/$1.out" 2>&1 &
    started[$1]=$!
}

wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "Waited in vain for: $*" >&2
            tail -n 20 "$place"/*.out "$place"/*.log >&2
            exit 1
        fi
        sleep 0.3
    done
}

both_idle() { [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ]; }
busy() { squeue --noheader --states=running --nodelist="$1" --format=%i | grep -q .; }

run() { # FOLDER PROFILE: the sweep in an empty folder of its own
    mkdir -p "$place/$1/data"
    ln -s "$PWD/data/models" "$PWD/data/mini_lambada" "$place/$1/data/"
    make --no-print-directory -o .venv/.installed sweep SWEEP="$sweep" SWEEP_PROFILE="$2" \
        ARGS="--directory $place/$1 ${3:-}" >"$place/$1.out" 2>&1 || {
        tail -n 40 "$place/$1.out" >&2
        echo "The sweep in $1 did not end well." >&2
        return 1
    }
}

same() { # FOLDER: whether its records are those of the local profile
    for table in "$place"/local/data/results/*/*.csv; do
        # Points that all fail are alike too.
        if grep -q ,failed, "$table"; then echo "Points failed: $table" >&2 && return 1; fi
        cmp "$table" "$place/$1/${table#"$place"/local/}" || return 1
    done
}

start_cluster() {
    mkdir -m 755 "$place"/{munge,state,node1,node2}
    chmod 755 "$place"
    head -c 1024 /dev/urandom >"$place/munge/key"
    chmod 600 "$place/munge/key"
    munged --foreground --force --key-file="$place/munge/key" --socket="$place/munge/socket" \
        --pid-file="$place/munge/pid" --seed-file="$place/munge/seed" --log-file="$place/munge/log" \
        >"$place/munged.out" 2>&1 &
    started[munged]=$!
    cat >"$SLURM_CONF" <<CONF
ClusterName=trial
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential has expired.
AuthInfo=socket=$place/munge/socket,cred_expire=5
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/%n
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/%n.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=1
NodeName=node1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$(free_port) CPUs=1 RealMemory=8000
NodeName=node2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$(free_port) CPUs=1 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    wait_for 60 test -S "$place/munge/socket"
    slurmctld -D >"$place/slurmctld.out" 2>&1 &
    started[slurmctld]=$!
    wait_for 60 scontrol ping
    node node1
    node node2
    wait_for 120 both_idle
}

run local local
echo "local: $(wc -l <"$(echo "$place"/local/data/results/*/*.csv)") lines"

start_cluster
echo "SLURM $(slurmd -V | cut -d' ' -f2): node1 and node2 are up"
from=$SECONDS
run slurm slurm
same slurm
echo "on two nodes: the same records, $((SECONDS - from)) s"

from=$SECONDS
run taken slurm &
sweeping=$!
wait_for 120 busy node2
kill -KILL "${started[node2]}"
scontrol update nodename=node2 state=down reason="taken away"
echo "node2 is gone, with the point it ran"
wait $sweeping
same taken
again=$(scontrol show jobs | grep -c 'Requeue=1 Restarts=[1-9]' || true)
if [ "$again" = 0 ]; then
    echo "No job was started again, so no node was lost in the middle." >&2
    exit 1
fi
echo "with one node lost: the same records, $((SECONDS - from)) s, $again job started again"
