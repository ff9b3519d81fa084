#!/bin/sh
# Puts the pinned buf into node_modules; quiet and offline when it is there.
set -eu
cd "$(dirname "$0")/.."

buf=node_modules/.bin/buf
version=$(sed -n 's/.*"@bufbuild\/buf": "\([0-9.]*\)".*/\1/p' package.json)

is_there() {
    [ -x "$buf" ] && [ "$("$buf" --version 2>/dev/null)" = "$version" ]
}

is_there && exit 0
scripts/install.sh npm
# Its install script only smooths the start; what is run here comes from the packages alone. No lock file: it would have to name
# the packages of every platform, and one package with an exact version needs none.
npm install --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "@bufbuild/buf@$version"
is_there || {
    echo "install_buf: buf $version does not run on $(uname -sm): see https://buf.build/docs/cli/installation" >&2
    exit 1
}
