#!/usr/bin/env bash
# Runs every test of the project: installs what they need, builds the release binary, then
# `cargo test`. Arguments go to `cargo test`, for example a filter.
#
#   scripts/test.sh [ARGUMENT...]
#
# What is missing is installed with apt-get when this runs as root, else named. The vendors' official
# SDKs, which chat with the gateway and its simulator in tests, go into target/test-venv and
# target/test-node, and so does what drives the browser.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

openai_python=3.57.0
anthropic_python=2.14.0
genai_python=3.6.1
openai_node=7.57.0
playwright=1.65.1

missing=()
need() { # command, Debian packages
    command -v "$1" >/dev/null || missing+=("${@:2}")
}
need git git # glommio's build takes it
need make make
need cc gcc libc6-dev
need curl curl
need openssl openssl # keys and certificates for tests
need node nodejs
need npm npm
need chromium chromium # it shows the dashboard
need promtool prometheus # it checks a scrape
need redis-server redis-server # what gateways share is kept there
need python3 python3
need tmux tmux # the terminal in which `top` is shown
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]} > 0)); then
    if [[ $EUID -ne 0 ]]; then
        echo "test: missing; install with: apt-get install ${missing[*]}" >&2
        exit 2
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# What is there in the right version is not asked for again, so a second run needs no network.
venv=target/test-venv
wanted=("openai==$openai_python" "anthropic==$anthropic_python" "google-genai==$genai_python")
have=$("$venv/bin/pip" freeze --disable-pip-version-check 2>/dev/null || true)
for package in "${wanted[@]}"; do
    grep -qxF "$package" <<<"$have" && continue
    echo "test: installing the vendors' SDKs for Python"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${wanted[@]}"
    break
done
modules=target/test-node/node_modules
have() { # package, version
    grep -q "\"version\": \"$2\"" "$modules/$1/package.json" 2>/dev/null
}
if ! have openai "$openai_node" || ! have playwright-core "$playwright"; then
    echo "test: installing what tests need for Node"
    rm -rf target/test-node
    mkdir -p target/test-node
    echo '{ "private": true }' >target/test-node/package.json
    npm install --prefix target/test-node --silent --no-audit --no-fund \
        "openai@$openai_node" "playwright-core@$playwright"
fi

cargo build --release --locked
# The mutants are planted bugs that the shard simulation must find. They are off until a test
# switches one on.
cargo test --locked --features mutants "$@"
