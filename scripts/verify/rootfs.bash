# Root file systems of Debian for the demonstrations that need one; they source it behind lib.bash.
# shellcheck shell=bash disable=SC2034,SC2154

# The mirror's release; a base is made once and copied after that. Delete the folder to renew it.
suite=${SUITE:-stable}
bases=$root/target/debootstrap

base_of() { # variant, further packages
    local base=$bases/$suite-$1
    if [[ ! -d $base ]]; then
        [[ $EUID -eq 0 ]] || fault "a root file system needs root"
        rm -rf "$base.part"
        mkdir -p "$bases"
        debootstrap --variant=minbase ${2:+--include="$2"} "$suite" "$base.part" \
            http://deb.debian.org/debian >"$bases/$1.log" 2>&1 || fault "debootstrap: $(tail -3 "$bases/$1.log")"
        rm -f "$base.part"/var/cache/apt/archives/*.deb
        mv "$base.part" "$base"
    fi
    echo "$base"
}

# Runs a command in a root file system. What it mounts and starts ends with it.
in_root() { # folder, command, argument...
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
        unshare --mount --pid --fork --kill-child --mount-proc="$1/proc" chroot "$@"
}

# The artefacts of a release of this checkout, made if they are not given.
release_of() { # folder or nothing
    artefacts=${1:-}
    if [[ -z $artefacts ]]; then
        scripts/release.sh >"$work/release.log" 2>&1 || fault "no release: $(tail -5 "$work/release.log")"
        artefacts=$(sed -n 's|^release: .* in \(target/[^;]*\);.*|\1|p' "$work/release.log")
    fi
    artefacts=$(cd "$artefacts" && pwd)
    deb=$(find "$artefacts" -name '*.deb')
    archive=$(find "$artefacts" -name '*.tar.gz')
    [[ -f $deb && -f $archive ]] || fault "no release in $artefacts"
}

mib() { # bytes
    calc "$1 / 1048576"
}
