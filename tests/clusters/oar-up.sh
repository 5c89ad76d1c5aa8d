#!/bin/bash
# oar-up.sh - bring up a real, single-host OAR 2.5 batch scheduler for tests.
#
# Run as root on Debian 12 (works without systemd as PID 1: every daemon is
# started by hand).  Server, database, compute node and submission front-end
# are all on this host; every port this script opens is on the loop-back
# address, except OAR's own Almighty port, which OAR 2.5 always binds to
# 0.0.0.0 (there is no option for it).
#
# What it does (each step is skipped when already done; run it again freely):
#   1. installs the Debian packages;
#   2. makes a PostgreSQL cluster of its own ("oar", its own port), so that a
#      PostgreSQL that may already run on this host is not touched;
#   3. writes the few settings that a one-host test set-up needs to oar.conf;
#   4. starts the node's sshd (OAR reaches its nodes as user "oar" by ssh);
#   5. starts Almighty, OAR's server;
#   6. declares N_CORES resources, all on the host "localhost", four to a GPU;
#   7. makes a normal user that submits jobs, and waits until all is Alive.
#
# oar-down.sh stops what this script started (and nothing else).
#
# Settings, from the environment:
#   OAR_CORES      resources to declare            (default 8; may be > CPUs)
#   OAR_TEST_USER  the normal user to create       (default oaruser)
#   OAR_DB_PORT    port of the database cluster    (default 5499)
#   OAR_SSH_PORT   port of the node's sshd         (default 6667)
#   OAR_PORT       port of Almighty                (default 6666)
set -euo pipefail     # pipefail: so no "| grep -q" below (it would break the pipe)
umask 022

N_CORES=${OAR_CORES:-8}
TEST_USER=${OAR_TEST_USER:-oaruser}
DB_PORT=${OAR_DB_PORT:-5499}
SSH_PORT=${OAR_SSH_PORT:-6667}
SRV_PORT=${OAR_PORT:-6666}
NODE=localhost            # the node's name in OAR, and where ssh goes
DB_CLUSTER=oar            # name of the PostgreSQL cluster made here
CONF=/etc/oar/oar.conf
STATE=/run/oar-test       # what oar-down.sh reads: what was started here
SSHD_PID=/run/oar-node_sshd.pid      # the name that Debian's init script uses
SERVER_PID=/run/oar-server.pid       # written by /usr/sbin/oar-server itself

say() { printf 'oar-up: %s\n' "$*"; }
die() { printf 'oar-up: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run me as root"
mkdir -p "$STATE"

# ---------------------------------------------------------------- 1. packages
# libjson-perl is what makes "oarstat -J" and "oarsub -J" work; without it
# they say that the JSON module is not available.
PACKAGES="oar-server oar-server-pgsql oar-node oar-user oar-user-pgsql
          postgresql openssh-server openssh-client
          libjson-perl libsort-naturally-perl"
missing=
for p in $PACKAGES; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep 'ok installed' >/dev/null || missing="$missing $p"
done
if [ -n "$missing" ]; then
    say "installing:$missing"
    # The packages' own services must not be started by their postinst: this
    # script starts what is needed.  Without systemd they may fail to start.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        say "creating /usr/sbin/policy-rc.d (exit 101) for the time of the installation"
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 -qq update
    # shellcheck disable=SC2086
    apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $missing >/dev/null
fi

# ---------------------------------------------------------------- 2. database
PG_VERSION=$(ls /usr/lib/postgresql | sort -V | tail -1)
if ! pg_lsclusters -h | awk '{print $1"/"$2}' | grep -x "$PG_VERSION/$DB_CLUSTER" >/dev/null; then
    say "creating the PostgreSQL cluster $PG_VERSION/$DB_CLUSTER on port $DB_PORT"
    pg_createcluster "$PG_VERSION" "$DB_CLUSTER" --port "$DB_PORT" -- --auth-local=peer --auth-host=scram-sha-256 >/dev/null
    # A test database: no need to survive a power cut, so no fsync.
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "fsync = off"
        echo "synchronous_commit = off"
        echo "full_page_writes = off"
    } >> "/etc/postgresql/$PG_VERSION/$DB_CLUSTER/postgresql.conf"
fi
DB_PORT=$(pg_lsclusters -h "$PG_VERSION" "$DB_CLUSTER" | awk '{print $3}')
if [ "$(pg_lsclusters -h "$PG_VERSION" "$DB_CLUSTER" | awk '{print $4}')" != online ]; then
    say "starting PostgreSQL $PG_VERSION/$DB_CLUSTER on 127.0.0.1:$DB_PORT"
    pg_ctlcluster "$PG_VERSION" "$DB_CLUSTER" start
    echo "$PG_VERSION $DB_CLUSTER" > "$STATE/postgres"
fi
for _ in $(seq 480); do
    pg_isready -q -h 127.0.0.1 -p "$DB_PORT" && break
    sleep 0.5
done
pg_isready -q -h 127.0.0.1 -p "$DB_PORT" || die "PostgreSQL does not answer on port $DB_PORT"

# ----------------------------------------------------------- 3. configuration
# set_conf KEY VALUE: set, in place, the line KEY= (commented out or not).
# unset_conf KEY: comment it out.
set_conf() {
    if grep -qE "^[#[:space:]]*$1=" "$CONF"; then
        cp -p "$CONF" "$CONF.new"     # owner and mode
        # only the first of them; a later active one would win otherwise
        awk -v k="$1" -v v="$2" '
            $0 ~ "^[# \t]*" k "=" { if (!done) { print k "=\"" v "\""; done = 1 } else if ($0 ~ /^[# \t]*#/) print; next }
            { print }' "$CONF" > "$CONF.new"
        mv "$CONF.new" "$CONF"     # whole at any moment: a job that starts meanwhile reads it
    else
        printf '%s="%s"\n' "$1" "$2" >> "$CONF"
    fi
}
unset_conf() { sed -i -E "s|^([[:space:]]*$1=)|#\1|" "$CONF"; }

conf_before=$(cksum < "$CONF")
set_conf DB_TYPE            Pg
set_conf DB_HOSTNAME        127.0.0.1
set_conf DB_PORT            "$DB_PORT"
# Local test passwords; the database listens on the loop-back address only,
# and oar.conf is readable by "oar" and root only.
set_conf DB_BASE_PASSWD     oar
set_conf DB_BASE_PASSWD_RO  oar_ro
set_conf SERVER_HOSTNAME    localhost
set_conf SERVER_PORT        "$SRV_PORT"
set_conf DEPLOY_HOSTNAME    127.0.0.1
set_conf COSYSTEM_HOSTNAME  127.0.0.1
set_conf DETACH_JOB_FROM_SERVER 1
set_conf OPENSSH_CMD        "/usr/bin/ssh -p $SSH_PORT -e none"
# No cpusets: a resource here is a number, not a CPU, and there may be no
# cgroup that may be written.  Without these three OAR sends no
# job_resource_manager to the node.
unset_conf JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD
unset_conf JOB_RESOURCE_MANAGER_FILE
unset_conf CPUSET_PATH
# One host, which is this one: checking that it is up is a waste of seconds.
# (A "generic" checker prints the dead nodes on its stderr: none.)
unset_conf PINGCHECKER_SENTINELLE_SCRIPT_COMMAND
set_conf PINGCHECKER_GENERIC_COMMAND /bin/true
set_conf FINAUD_FREQUENCY   0
# Quick scheduling.  0 between two runs of the scheduler, because a request
# that comes too early (default: 5 s) waits for Almighty's next wake-up, which
# is up to 10 s away.  The "security time" is the gap left between two jobs
# on the same resource (default: 60 s).
set_conf SCHEDULER_MIN_TIME_BETWEEN_2_CALLS 0
set_conf SCHEDULER_JOB_SECURITY_TIME        1
set_conf SCHEDULER_GANTT_HOLE_MINIMUM_TIME  1
set_conf LOG_LEVEL          3
conf_after=$(cksum < "$CONF")

# oarexec, on the node, calls back to the server under `hostname`, because OAR
# replaces "localhost" by it: it must be resolvable.
if ! getent hosts "$(hostname)" >/dev/null; then
    say "adding '127.0.0.1 $(hostname)' to /etc/hosts"
    echo "127.0.0.1 $(hostname)" >> /etc/hosts
fi

# The log file belongs to oar.
[ -e /var/log/oar.log ] || install -o oar -g root -m 640 /dev/null /var/log/oar.log
chown oar /var/log/oar.log

# The tables.  "--check" says whether they are there and of the right version.
if ! oar-database --check >/dev/null 2>&1; then
    say "creating OAR's database"
    su postgres -s /bin/sh -c "psql -q -p $DB_PORT -c \"ALTER ROLE postgres PASSWORD 'postgres'\"" </dev/null
    oar-database --create --db-admin-user postgres --db-admin-pass postgres > "$STATE/oar-database.log" 2>&1 \
        || { cat "$STATE/oar-database.log" >&2; die "oar-database --create failed"; }
    oar-database --check || die "OAR's database is not ready"
fi

# ------------------------------------------------------------ 4. node's sshd
# alive PIDFILE WORD: the process named in PIDFILE runs and has WORD in its
# command line.
alive() {
    [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null &&
        tr '\0' ' ' < "/proc/$(cat "$1")/cmdline" | grep -- "$2" >/dev/null
}
mkdir -p /run/sshd; chmod 755 /run/sshd
# sshd refuses a locked account ("!") when PAM is off.
case $(getent shadow oar | cut -d: -f2) in '!'*) usermod -p '*' oar ;; esac
if ! alive "$SSHD_PID" sshd; then
    say "starting the node's sshd on 127.0.0.1:$SSH_PORT"
    # options on the command line win over the file, which is left alone
    /usr/sbin/sshd -f /etc/oar/sshd_config -o PidFile="$SSHD_PID" \
        -o Port="$SSH_PORT" -o ListenAddress=127.0.0.1 -o X11Forwarding=no -o UseDNS=no \
        2> "$STATE/sshd.log" || { cat "$STATE/sshd.log" >&2; die "sshd does not start"; }
    for _ in $(seq 480); do alive "$SSHD_PID" sshd && break; sleep 0.25; done
    cp "$SSHD_PID" "$STATE/sshd.pid"
fi
# As oar, the server must get in without being asked anything.
su oar -s /bin/bash -c "cd; ssh -p $SSH_PORT -o BatchMode=yes $NODE true" </dev/null 2>"$STATE/ssh-try.log" \
    || { cat "$STATE/ssh-try.log" >&2; die "user oar cannot ssh to $NODE port $SSH_PORT"; }

# ---------------------------------------------------------------- 5. Almighty
stop_server() {
    local pid i; pid=$(cat "$SERVER_PID")
    kill -TERM "$pid" 2>/dev/null || return 0
    for i in $(seq 480); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.25; done
    die "Almighty (pid $pid) does not stop"
}
if alive "$SERVER_PID" Almighty && [ "$conf_before" != "$conf_after" ]; then
    say "the configuration changed: restarting Almighty"
    stop_server
fi
if ! alive "$SERVER_PID" Almighty; then
    say "starting Almighty on port $SRV_PORT"
    /usr/sbin/oar-server < /dev/null > /dev/null 2>&1
    cp "$SERVER_PID" "$STATE/server.pid"
fi
for _ in $(seq 480); do
    (exec 3<>"/dev/tcp/127.0.0.1/$SRV_PORT") 2>/dev/null && break
    sleep 0.25
done
alive "$SERVER_PID" Almighty || die "Almighty does not run; see /var/log/oar.log"

# --------------------------------------------------------------- 6. resources
# Properties that jobs ask for: "-l /nodes=1/core=2".
have_property() { oarproperty -l 2>/dev/null | grep -x "$1" >/dev/null; }
have_property host || oarproperty -c -a host >/dev/null
have_property cpu  || oarproperty -a cpu  >/dev/null
have_property core || oarproperty -a core >/dev/null
have_property gpu  || oarproperty -a gpu  >/dev/null   # four cores each
have_property mem  || oarproperty -a mem  >/dev/null   # the node's memory in MB

# states: one line per resource, "ID STATE"; oarnodes -s prints them as "  ID : STATE".
states() { oarnodes -s 2>/dev/null | sed -nE 's/^[[:space:]]+([0-9]+) : (.*)$/\1 \2/p'; }
have=$(states | wc -l)
for core in $(seq $((have + 1)) "$N_CORES"); do
    oarnodesetting -a -h "$NODE" -p host="$NODE" -p cpu=1 -p core="$core" >/dev/null
done
for core in $(seq "$N_CORES"); do
    oarnodesetting -r "$core" -p gpu=$(((core + 3) / 4)) -p mem=16000 >/dev/null
done

# -------------------------------------------------------------------- 7. user
if ! id "$TEST_USER" >/dev/null 2>&1; then
    say "creating the user $TEST_USER"
    useradd --create-home --shell /bin/bash "$TEST_USER"
fi

# ------------------------------------------------------------- wait for Alive
for i in $(seq 480); do
    all=$(states | wc -l)
    up=$(states | awk '$2 == "Alive"' | wc -l)
    [ "$all" -ge "$N_CORES" ] && [ "$up" = "$all" ] && break
    # resources that an earlier failure left Suspected are put back
    [ "$i" != 10 ] || oarnodesetting -s Alive -h "$NODE" >/dev/null 2>&1 || true
    sleep 0.5
done
[ "$all" -ge "$N_CORES" ] && [ "$up" = "$all" ] || { oarnodes -s >&2; die "$up of $all resources are Alive, $N_CORES wanted"; }
say "ready: $up resources Alive on $NODE; submit as $TEST_USER, e.g.: su - $TEST_USER -c 'oarsub -S ./script.sh'"
