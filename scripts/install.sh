#!/bin/sh
# Installs the named commands by the system's package manager when they are missing; quiet and offline when
# they are there. Never leaves a service running: the gateway starts a redis-server of its own, the bench a postgres, and
# promtool comes with a prometheus nobody asked for.
#
#   scripts/install.sh cargo cc redis-server
set -eu

# The oldest Redis whose scripts may say what they need (`#!lua flags=…`).
redis_major_min=7
# How long apt waits for another package manager to finish.
lock_wait_s=120

fail() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

# Debian keeps postgres off the PATH, in a folder of its version, and what makes a venv out of its python3.
has() {
    if [ "$1" = python3-venv ]; then
        python3 -c 'import ensurepip, venv' >/dev/null 2>&1
        return
    fi
    command -v "$1" >/dev/null 2>&1 && return
    [ "$1" = postgres ] && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1
}

manager() {
    for candidate in apt-get dnf apk pacman brew; do
        if has "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo none
}

# The packages that bring command $1, as manager $2 calls them. Where Redis left the distribution, Valkey
# brings a command of the same name.
packages() {
    case "$1:$2" in
        redis-server:apt-get) echo redis-server ;;
        redis-server:dnf) if dnf -q info redis >/dev/null 2>&1; then echo redis; else echo valkey-compat-redis; fi ;;
        redis-server:pacman) echo valkey ;;
        redis-server:*) echo redis ;;
        postgres:apt-get) echo postgresql ;;
        postgres:dnf) echo postgresql-server ;;
        postgres:apk | postgres:pacman) echo postgresql ;;
        cc:apt-get) echo gcc libc6-dev ;;
        cc:brew) fail "cc is missing: run xcode-select --install" ;;
        cc:apk) echo gcc musl-dev ;;
        cc:dnf | cc:pacman) echo gcc ;;
        promtool:dnf) echo golang-github-prometheus ;;
        promtool:*) echo prometheus ;;
        python3-venv:apt-get) echo python3 python3-venv ;;
        python3-venv:pacman) echo python ;;
        python3-venv:*) echo python3 ;;
        systemd-analyze:apt-get | systemd-analyze:dnf | systemd-analyze:pacman) echo systemd ;;
        npm:brew) echo node ;;
        npm:*) echo nodejs npm ;;
        make:*) echo make ;;
        *) fail "$1 is missing and no package of $2 is known for it: install it and try again" ;;
    esac
}

# The command line that installs packages $2… with manager $1.
install_line() {
    manager=$1
    shift
    case "$manager" in
        apt-get) echo "apt-get install -y --no-install-recommends $*" ;;
        dnf) echo "dnf install -y $*" ;;
        apk) echo "apk add $*" ;;
        pacman) echo "pacman -Sy --needed --noconfirm $*" ;;
        brew) echo "brew install $*" ;;
    esac
}

# The same for a person to type, with what must stand before it: a list that was never fetched knows no package.
by_hand() {
    root=$1
    shift
    update=''
    [ "$1" != apt-get ] || update="${root:+$root }apt-get update && "
    echo "$update${root:+$root }$(install_line "$@")"
}

# Prints what must stand before a command to run it as root; fails when nothing can.
as_root() {
    if [ "$1" = brew ] || [ "$(id -u)" -eq 0 ]; then
        return
    fi
    has sudo || return 1
    # Where nobody can type a password, a question would wait for ever.
    if [ -t 0 ]; then echo sudo; elif sudo -n true 2>/dev/null; then echo 'sudo -n'; else return 1; fi
}

# Debian starts a fresh redis-server on port 6379, a fresh postgres on 5432, a fresh prometheus on 9090, and all at every boot.
# Nobody asked for those: policy-rc.d keeps them from starting, unless the system has a policy of its own.
install_apt() {
    root=$1
    shift
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # the words of today, not of exit time
        trap "$root rm -f $policy" EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
        $root chmod 755 "$policy"
    fi
    # A list that cannot be refreshed may still do.
    $root apt-get -q update || true
    # shellcheck disable=SC2046 # a list of words
    $root env DEBIAN_FRONTEND=noninteractive $(install_line apt-get "$@") \
        -q -o DPkg::Lock::Timeout="$lock_wait_s" || return 1
    for service in redis-server postgresql prometheus; do
        case " $* " in
            *" $service "*) $root update-rc.d "$service" disable >/dev/null || true ;;
        esac
    done
}

install_packages() {
    manager=$1
    shift
    line=$(install_line "$manager" "$@")
    root=$(as_root "$manager") || fail "needs root to install $*: run this once, then try again:
    $(by_hand sudo "$manager" "$@")"
    echo "install: $line" >&2
    if [ "$manager" = apt-get ]; then
        install_apt "$root" "$@"
    else
        # shellcheck disable=SC2086 # a list of words
        $root $line
    fi || fail "could not install $*: run this by hand and read what it says:
    $(by_hand "$root" "$manager" "$@")"
}

check_redis() {
    version=$(redis-server --version | sed -n 's/.*v=\([0-9.]*\).*/\1/p')
    [ "${version%%.*}" -ge "$redis_major_min" ] 2>/dev/null ||
        fail "redis-server ${version:-of unknown version} is too old, $redis_major_min.0 or newer is needed: see https://redis.io/docs/latest/operate/oss_and_stack/install/"
}

missing=''
for wanted in "$@"; do
    has "$wanted" && continue
    case "$wanted" in
        cargo*) fail "$wanted is missing: it comes with Rust, see https://www.rust-lang.org/tools/install" ;;
    esac
    missing="$missing $wanted"
done

if [ -n "$missing" ]; then
    found=$(manager)
    [ "$found" != none ] || fail "found no package manager (apt-get, dnf, apk, pacman, brew): install$missing and try again"
    names=''
    for wanted in $missing; do
        names="$names $(packages "$wanted" "$found")" || exit 1
    done
    # shellcheck disable=SC2086 # a list of words
    install_packages "$found" $names
    hash -r
    for wanted in $missing; do
        has "$wanted" || fail "installed$names, and still no $wanted on the PATH: install it by hand and try again"
    done
fi

case " $* " in
    *' redis-server '*) check_redis ;;
esac
