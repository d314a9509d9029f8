#!/usr/bin/env bash
# Makes a release: archive, Debian package, debug symbols, bill of materials, licences of all that is
# linked in, and their sums. Each artefact is unpacked, started and asked for an answer before the
# release is called done.
#
#   scripts/release.sh
#
# The result is in target/release-artefacts/VERSION. VERTEX_BRIDGE names a release binary that is
# built already. Everything is made from the commit alone, times included: the same commit, binary
# and tools give the same bytes. It needs cargo-deb (cargo install cargo-deb --locked) and, to build
# the binary, what scripts/run.sh needs.
set -euo pipefail

name=release
# shellcheck source=scripts/verify/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/verify/lib.bash"

for tool in cargo-deb dpkg-deb objcopy python3 curl; do
    command -v "$tool" >/dev/null || fault "$tool is missing"
done
target=$(rustc -vV | sed -n 's/^host: //p')
version=$(cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["packages"][0]["version"])')
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022

binary=${VERTEX_BRIDGE:-}
if [[ -z $binary ]]; then
    cargo build --release --locked --bin vertex-bridge
    binary=target/release/vertex-bridge
fi
[[ $("$binary" --version) == "vertex-bridge $version" ]] ||
    fault "$binary is $("$binary" --version), the manifest says $version"
if [[ -n $(git status --porcelain) ]]; then
    echo "release: the checkout has changes that no commit has" >&2
fi

artefacts=$root/target/release-artefacts/$version
full_name=vertex-bridge-$version-$target
package=$root/target/package
rm -rf "$artefacts" "$package" "$work"
mkdir -p "$artefacts" "$package/share" "$work"

# --- The binary, without what only a debugger reads -----------------------------------------------

# The file of symbols belongs to exactly this binary, by its build id; names of functions stay, for
# perf and for the backtrace of a panic.
debug=$artefacts/$full_name.debug
objcopy --only-keep-debug --compress-debug-sections=zlib "$binary" "$debug"
chmod 644 "$debug"
objcopy --strip-debug --add-gnu-debuglink="$debug" "$binary" "$package/vertex-bridge"
chmod 755 "$package/vertex-bridge"
printed() { # argument... ; run apart from every configuration
    (cd "$work" && env -i "$package/vertex-bridge" "$@")
}

# --- What is linked in ----------------------------------------------------------------------------

cargo fetch --locked --target "$target"
python3 scripts/release/crates.py sbom "$target" >"$artefacts/$full_name.cdx.json"
python3 scripts/release/crates.py licences "$target" >"$artefacts/THIRD-PARTY.txt"

# --- The files that the package and the archive have in common ------------------------------------

doc=$package/share/doc/vertex-bridge
mkdir -p "$doc" "$package/share/man/man1" "$package/share/bash-completion/completions" \
    "$package/share/zsh/vendor-completions" "$package/share/fish/vendor_completions.d"
cp README.md PERFORMANCE.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE "$doc"
cp -R docs "$doc/docs"
cp "$artefacts/$full_name.cdx.json" "$doc/vertex-bridge.cdx.json"
cp -R deploy "$doc/deploy"
printed man >"$package/share/man/man1/vertex-bridge.1"
printed completions bash >"$package/share/bash-completion/completions/vertex-bridge"
printed completions zsh >"$package/share/zsh/vendor-completions/_vertex-bridge"
printed completions fish >"$package/share/fish/vendor_completions.d/vertex-bridge.fish"

# --- The archive ----------------------------------------------------------------------------------

archived=$work/$full_name
mkdir -p "$archived/share"
cp "$package/vertex-bridge" "$archived"
cp -R "$doc/." "$archived"
cp "$artefacts/THIRD-PARTY.txt" "$archived"
cp -R tuning "$archived/tuning"
cp -R "$package/share/man" "$package/share/bash-completion" "$package/share/zsh" "$package/share/fish" \
    "$archived/share"
archive=$artefacts/$full_name.tar.gz
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=u+rwX,go+rX,go-w --format=gnu -cf - "$full_name" | gzip -9n >"$archive"

# --- The package ----------------------------------------------------------------------------------

# These have places of their own on Debian.
rm -r "$doc/deploy/debian" "$doc/deploy/systemd" "$doc/LICENSE-APACHE"
gzip -9nc "$artefacts/THIRD-PARTY.txt" >"$doc/THIRD-PARTY.txt.gz"
cargo deb --quiet --locked --no-build --no-strip --deb-revision 1 --output "$artefacts/"
deb=$(find "$artefacts" -name '*.deb')
[[ -f $deb ]] || fault "cargo-deb made no package"

(cd "$artefacts" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)

# --- Does each of them serve? ---------------------------------------------------------------------

answers() { # what, binary, argument...
    local state=$work/state-of-$1
    mkdir "$state"
    port=$(free_port)
    address=127.0.0.1:$port
    run_clean "$work/$1.log" HOME="$state" APP_LEDGER__PATH="$state" APP_SERVER__PORT="$port" "${@:2}"
    wait_for 10 healthy || fault "the $1 does not start: $(cat "$work/$1.log")"
    [[ $(ask_once gemini-2.5-flash) == 200 ]] || fault "the $1 does not answer: $(cat "$work/last-answer")"
    grep -q '"content":"Hello' "$work/last-answer" || fault "the $1 answers $(cat "$work/last-answer")"
    kill -TERM "${started[-1]}"
    wait "${started[-1]}" || fault "the $1 ends with status $?: $(cat "$work/$1.log")"
}

(cd "$artefacts" && sha256sum --quiet -c SHA256SUMS)
mkdir "$work/tar" "$work/deb"
tar -C "$work/tar" -xzf "$archive"
answers archive "$work/tar/$full_name/vertex-bridge"
dpkg-deb -x "$deb" "$work/deb"
answers package "$work/deb/usr/bin/vertex-bridge" --config "$work/deb/etc/vertex-bridge/vertex-bridge.toml"
python3 -m json.tool "$artefacts/$full_name.cdx.json" >/dev/null

echo "release: $version of commit $(git log -1 --format=%h) in ${artefacts#"$root"/}; archive and package answer"
(cd "$artefacts" && stat -c '%10s  %n' -- *)
