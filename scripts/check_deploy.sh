#!/bin/sh
# Checks deploy/ with the tools in directory $1: form, schemas, rendered charts, rules and their tests, names against the source, and
# every Redis configuration by starting it. Needs no Docker and no cluster; leaves nothing behind.
#
#   scripts/check_deploy.sh target/tools/deploy
set -eu

cd "$(dirname "$0")/.."
tools=$(cd "${1:?usage: scripts/check_deploy.sh DIRECTORY}" && pwd)
kubernetes=1.35
# What a start, a first copy and a shutdown of Redis may take.
redis_patience_s=20
export PYTHONDONTWRITEBYTECODE=1

work=$(mktemp -d)
servers=''

clean_up() {
    for pid in $servers; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail() {
    printf 'check_deploy: %s\n' "$*" >&2
    exit 1
}

# Runs the rest, silent when it is well, with all it said when it is not.
check() {
    what=$1
    shift
    "$@" >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "$what"
    }
    printf 'deploy: %s\n' "$what"
}

# --- form and schemas -------------------------------------------------------------------------------------------------------------

check 'shell scripts (shellcheck)' "$tools/bin/shellcheck" scripts/*.sh .ci/run
check 'YAML (yamllint)' "$tools/bin/yamllint" --strict --config-file deploy/.yamllint.yaml deploy
check 'Dockerfile (hadolint)' "$tools/bin/hadolint" deploy/docker/Dockerfile
check 'compose files (Compose Specification)' \
    "$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml deploy/compose.demo.yaml
check 'values.schema.json (JSON Schema)' "$tools/bin/check-jsonschema" --check-metaschema deploy/helm/stockgate/values.schema.json
# It is only parsed: nobody answers here.
check 'demo receiver (Python)' "$tools/bin/python" -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' deploy/compose/receiver.py

check_unit() {
    # The same unit with a program that is there.
    sed 's#/usr/local/bin/stockgate#/bin/true#' deploy/systemd/stockgate@.service >"$work/stockgate@gateway.service"
    systemd-analyze verify --man=no "$work/stockgate@gateway.service" &&
        systemd-analyze security --no-pager --offline=yes --threshold=20 "$work/stockgate@gateway.service"
}
if command -v systemd-analyze >/dev/null 2>&1; then
    check 'unit (systemd-analyze)' check_unit
else
    [ "$(uname -s)" != Linux ] || fail 'systemd-analyze is missing: run scripts/install.sh systemd-analyze'
    echo 'deploy: unit not checked, there is no systemd here'
fi

# --- chart ------------------------------------------------------------------------------------------------------------------------

helm=$tools/bin/helm
[ -x "$helm" ] || helm=$(command -v helm || true)

render() {
    # A cache and settings of its own: nothing of the one who runs this.
    HOME=$work HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm KUBECONFIG=/dev/null "$helm" "$@"
}

is_refused() {
    ! render template shop deploy/helm/stockgate "$@"
}

rendered=''
if [ -n "$helm" ]; then
    for values in deploy/helm/stockgate/ci/*.yaml; do
        name=$(basename "$values" .yaml)
        check "chart with ci/$name.yaml (helm lint)" render lint --strict deploy/helm/stockgate --values "$values"
        render template shop deploy/helm/stockgate --namespace stock --kube-version "$kubernetes" --values "$values" \
            >"$work/$name.yaml" 2>"$work/said" || { cat "$work/said" >&2; fail "chart with ci/$name.yaml (helm template)"; }
        check "chart with ci/$name.yaml (schemas of Kubernetes $kubernetes)" \
            "$tools/bin/kubernetes-validate" --strict --kubernetes-version "$kubernetes" "$work/$name.yaml"
        rendered="$rendered $work/$name.yaml"
    done
    check 'chart without a Redis is refused' is_refused
    check 'chart with an unknown value is refused' is_refused --set redis.existingSecret=a,gateway.replica=3
    check 'chart with a secret in its settings is refused' is_refused --set redis.existingSecret=a --set-string 'config=secret = "whsec_YQ=="'
else
    [ "$(uname -sm)" != 'Linux x86_64' ] || fail "there is no helm in $tools: run scripts/install_deploy_tools.sh $tools"
    echo 'deploy: chart not rendered, no helm is known for this machine: put one on the PATH'
fi

# --- names against the source, and Prometheus -------------------------------------------------------------------------------------

mkdir "$work/rules"
# shellcheck disable=SC2086 # a list of files
check 'settings, metrics, pages, versions and patience (against the source)' \
    "$tools/bin/python" scripts/check_deploy.py "$work/rules" $rendered
check 'scrape configuration (promtool)' promtool check config deploy/prometheus/prometheus.yml
check 'rules, and the queries of the dashboard (promtool)' \
    promtool check rules --lint=all --lint-fatal deploy/prometheus/rules.yml "$work"/rules/*.yml
check 'tests of the rules (promtool)' promtool test rules deploy/prometheus/tests.yml

# --- Redis ------------------------------------------------------------------------------------------------------------------------

# So many free ports of the loopback, from a range that no outgoing connection is given.
free_ports() {
    "$tools/bin/python" - "$1" <<'PYTHON'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    taken = socket.socket()
    try:
        taken.bind(("127.0.0.1", random.randrange(20000, 32000)))
        held.append(taken)
    except OSError:
        taken.close()
print(*(taken.getsockname()[1] for taken in held))
PYTHON
}

# Starts redis-server with configuration $1 on port $2, and whatever else is given; waits until it answers.
start_redis() {
    name=$1 port=$2
    shift 2
    mkdir "$work/$name"
    cp "deploy/redis/$name.conf" "$work/$name/redis.conf"
    redis-server "$work/$name/redis.conf" --port "$port" --bind 127.0.0.1 --dir "$work/$name" --daemonize no "$@" \
        >"$work/$name/log" 2>&1 &
    servers="$servers $!"
    wait_for "$name.conf: redis answers" 'PONG' "$port" PING || {
        cat "$work/$name/log" >&2
        fail "$name.conf does not start"
    }
}

# Asks the Redis on port $3 until its answer has a line that matches $2.
wait_for() {
    what=$1 pattern=$2 at=$3
    shift 3
    left=$((redis_patience_s * 10))
    until redis-cli -h 127.0.0.1 -p "$at" "$@" 2>/dev/null | tr -d '\r' | grep -Eq "$pattern"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || {
            echo "check_deploy: $what: not within $redis_patience_s s" >&2
            return 1
        }
        sleep 0.1
    done
}

# What the gateway looks at when it starts (src/store/inspect.rs), of configuration $1 on port $2.
keeps_stock() {
    for setting in 'appendonly yes' 'appendfsync everysec|always' 'maxmemory-policy noeviction' 'save '; do
        wait_for "$1.conf: ${setting%% *}" "^(${setting#* })\$" "$2" CONFIG GET "${setting%% *}" ||
            fail "$1.conf: stock may be lost, see ${setting%% *}"
    done
}

start_all() {
    # shellcheck disable=SC2046 # a list of ports
    set -- $(free_ports 5)
    standalone=$1 replica=$2 sentinel=$3 cluster=$4 bus=$5
    start_redis standalone "$standalone"
    start_redis replica "$replica" --replicaof "127.0.0.1 $standalone"
    start_redis cluster "$cluster" --cluster-port "$bus"

    keeps_stock standalone "$standalone"
    keeps_stock replica "$replica"
    keeps_stock cluster "$cluster"
    # A sale, and its copy.
    redis-cli -p "$standalone" SET sale 1 >/dev/null
    wait_for 'replica.conf: the copy of a sale' '^1$' "$replica" GET sale || fail 'replica.conf'
    wait_for 'replica.conf: takes no write' 'READONLY' "$replica" SET sale 2 || fail 'replica.conf'

    mkdir "$work/sentinel"
    # Sentinel takes no master from its command line, and writes into its file.
    sed -e "s/^port .*/port $sentinel/" -e "s/^\(sentinel monitor stockgate 127.0.0.1\) [0-9]*/\1 $standalone/" \
        deploy/redis/sentinel.conf >"$work/sentinel/redis.conf"
    redis-server "$work/sentinel/redis.conf" --sentinel --dir "$work/sentinel" >"$work/sentinel/log" 2>&1 &
    others=$servers
    servers="$servers $!"
    wait_for 'sentinel.conf: knows the master' "^$standalone\$" "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME stockgate || fail 'sentinel.conf'
    wait_for 'sentinel.conf: has found the replica' "^$replica\$" "$sentinel" SENTINEL REPLICAS stockgate || fail 'sentinel.conf'
    # It would make the replica a replica again.
    kill -TERM "${servers##* }"
    wait "${servers##* }" || fail 'sentinel.conf: it did not end well'
    servers=$others

    # In its master's place it refuses to sell alone.
    redis-cli -p "$replica" REPLICAOF NO ONE >/dev/null
    wait_for 'replica.conf: sells nothing alone once promoted' 'NOREPLICAS' "$replica" SET sale 3 || fail 'replica.conf'
    redis-cli -p "$cluster" CLUSTER ADDSLOTSRANGE 0 16383 >/dev/null
    wait_for 'cluster.conf: serves its slots' '^cluster_state:ok$' "$cluster" CLUSTER INFO || fail 'cluster.conf'
    wait_for 'cluster.conf: sells nothing without a replica' 'NOREPLICAS' "$cluster" SET sale 1 || fail 'cluster.conf'
}

# Not by `check`: what it starts must be known here, to be ended.
start_all
for pid in $servers; do
    kill -TERM "$pid"
    wait "$pid" || fail "a redis-server did not end well"
done
servers=''
echo 'deploy: redis configurations (started: standalone, replica, sentinel, cluster)'
