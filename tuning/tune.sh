#!/usr/bin/env bash
# Shows, applies and reverts what a machine should be set to for vertex-bridge.
#
#   tuning/tune.sh show      every setting: what it is, what is wanted
#   tuning/tune.sh check     the same; status 1 when something is not as wanted
#   tuning/tune.sh apply     sets what is not as wanted (root); may be repeated
#   tuning/tune.sh revert    puts everything back as it was before the first apply (root)
#
# The sysctl values and their reasons are in vertex-bridge-sysctl.conf beside this file. Here are
# the rest:
#   nofile      every client and every upstream link is a descriptor; the gateway raises its soft
#               limit to the hard one, so the hard one counts. New logins get it; a systemd unit
#               needs LimitNOFILE= instead.
#   memlock     a ring's memory counts against it for users other than root, 256 KiB a shard; below
#               that the gateway serves on epoll. A systemd unit needs LimitMEMLOCK=.
#   governor    `performance` keeps a core's clock up between requests; ramping up costs more than
#               a request does. Virtual machines usually have none.
#   thp         huge pages only on request (`madvise`): with `always` a heap of many small pieces
#               takes memory it does not use.
#   channels, irq, rps, rfs, xps
#               queues of the network cards and the cores that serve them, see nic.sh beside this file
#
# Explicit huge pages (vm.nr_hugepages) are not set: they are taken from all other programs whether they
# are used or not, and the gateway asks for none. Its heap is some MiB and its way through memory short;
# misses of the TLB are no line of its profile (scripts/bench/where.sh).
#
# apply writes old values to the state file (TUNE_STATE, default
# /var/lib/vertex-bridge/tuning.state) before it changes anything, and keeps the sysctl values and
# limits over a restart by one file each in /etc/sysctl.d and /etc/security/limits.d. All others last
# until the next restart. A setting that this machine does not have is left out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${TUNE_STATE:-/var/lib/vertex-bridge/tuning.state}
sysctl_file=/etc/sysctl.d/90-vertex-bridge.conf
limits_file=/etc/security/limits.d/90-vertex-bridge.conf
thp_file=/sys/kernel/mm/transparent_hugepage/enabled
nofile_wanted=65536
memlock_wanted=65536 # KiB
marker="# Written by vertex-bridge's tuning/tune.sh; its revert removes this file."

# shellcheck source=tuning/nic.sh
source "$here/nic.sh"

fail() {
    echo "tune: $*" >&2
    exit 2
}

# Settings are named kind:name. Every function below takes such a name.
settings() {
    sed -n 's/^\([a-z][a-z0-9_.]*\) *=.*/sysctl:\1/p' "$here/vertex-bridge-sysctl.conf"
    echo limit:nofile
    echo limit:memlock
    local cpu
    for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
        echo "governor:${cpu##*/}"
    done
    echo thp:enabled
    nic_settings
}

sysctl_path() { echo "/proc/sys/${1//.//}"; }
governor_path() { echo "/sys/devices/system/cpu/$1/cpufreq/scaling_governor"; }

wanted() {
    local name=${1#*:}
    case $1 in
        sysctl:*) sed -n "s/^${name//./\\.} *= *//p" "$here/vertex-bridge-sysctl.conf" ;;
        limit:nofile) echo $nofile_wanted ;;
        limit:memlock) echo $memlock_wanted ;;
        governor:*) echo performance ;;
        thp:*) echo madvise ;;
        *) nic_wanted "$1" ;;
    esac
}

# Prints nothing when this machine does not have the setting.
current() {
    local name=${1#*:} path
    case $1 in
        sysctl:*)
            path=$(sysctl_path "$name")
            [[ ! -r $path ]] || tr -s '\t ' ' ' <"$path"
            ;;
        limit:nofile) ulimit -Hn ;;
        limit:memlock) ulimit -Hl ;;
        governor:*)
            path=$(governor_path "$name")
            [[ ! -r $path ]] || cat "$path"
            ;;
        thp:*) [[ ! -r $thp_file ]] || sed 's/.*\[\(.*\)\].*/\1/' "$thp_file" ;;
        *) nic_current "$1" ;;
    esac
}

# Is `current` as good as `wanted`? More is as good where a value is a bound, and so is a wider
# range of ports.
satisfied() { # name, current, wanted
    local -a now want
    [[ $2 == "$3" ]] && return
    case $1 in
        limit:*) [[ $2 == unlimited ]] || (($2 >= $3)) ;;
        sysctl:net.core.somaxconn | sysctl:net.ipv4.tcp_max_syn_backlog) (($2 >= $3)) ;;
        sysctl:net.ipv4.ip_local_port_range)
            read -ra now <<<"$2"
            read -ra want <<<"$3"
            ((now[0] <= want[0] && now[1] >= want[1]))
            ;;
        sysctl:net.ipv4.tcp_rmem | sysctl:net.ipv4.tcp_wmem)
            read -ra now <<<"$2"
            read -ra want <<<"$3"
            ((now[2] >= want[2]))
            ;;
        thp:*) [[ $2 == never ]] ;;
        sysctl:* | governor:*) return 1 ;;
        *) nic_satisfied "$@" ;;
    esac
}

# Prints the table; its status says whether all is as wanted.
show() {
    local setting now want verdict all=0
    printf '%-42s %-26s %-26s %s\n' setting current wanted ""
    while read -r setting; do
        now=$(current "$setting")
        want=$(wanted "$setting")
        if [[ -z $now ]]; then
            verdict="not on this machine"
        elif satisfied "$setting" "$now" "$want"; then
            verdict=ok
        else
            verdict=differs
            all=1
        fi
        printf '%-42s %-26s %-26s %s\n' "${setting#sysctl:}" "${now:--}" "$want" "$verdict"
    done < <(
        nic_channels
        settings
    )
    nic_remarks
    [[ ! -e $state ]] || echo "applied before: old values are in $state"
    return $all
}

# Writes a value to the running kernel.
put() { # name, value
    local name=${1#*:}
    case $1 in
        sysctl:*) echo "$2" >"$(sysctl_path "$name")" ;;
        governor:*) echo "$2" >"$(governor_path "$name")" ;;
        thp:*) echo "$2" >"$thp_file" ;;
        *) nic_put "$1" "$2" ;;
    esac
}

# A line of the state file is `kind:name<TAB>old value`; for a file of ours the value is `absent`.
# What stands there first stays: the second apply must not take our values for the old ones.
remember() { # name, value
    if ! cut -f1 "$state" 2>/dev/null | grep -qxF "$1"; then
        printf '%s\t%s\n' "$1" "$2" >>"$state"
    fi
}

make_folder() { # path
    if [[ ! -d $1 ]]; then
        mkdir -p "$1"
        remember "folder:$1" absent
    fi
}

# Writes standard input to a file of ours, never over somebody else's.
write_file() { # path
    if [[ -e $1 ]] && [[ $(head -n1 "$1") != "$marker" ]]; then
        echo "tune: $1 is not ours; left as it is" >&2
        return 1
    fi
    local text
    text="$marker"$'\n'$(cat)
    if [[ -e $1 ]] && [[ $(<"$1") == "$text" ]]; then
        return
    fi
    make_folder "$(dirname "$1")"
    remember "file:$1" absent
    echo "$text" >"$1"
    echo "wrote $1"
}

as_root() { [[ $EUID -eq 0 ]] || fail "$1 changes the machine: run it as root"; }

# Sets those of the settings on standard input that are not as wanted.
apply_settings() {
    local setting now want failed=0
    while read -r setting; do
        now=$(current "$setting")
        want=$(wanted "$setting")
        if [[ -z $now ]] || satisfied "$setting" "$now" "$want"; then
            continue
        fi
        remember "$setting" "$now"
        if [[ $setting == limit:* ]]; then
            continue # by a file, below
        fi
        if put "$setting" "$want" 2>/dev/null; then
            echo "${setting#sysctl:}: $now -> $want"
        else
            echo "tune: the kernel refuses ${setting#sysctl:} = $want" >&2
            failed=1
        fi
    done
    return $failed
}

apply() {
    as_root apply
    make_folder "$(dirname "$state")"
    touch "$state"
    local setting want failed=0
    # Other queues have other interrupts and files, so they are listed when the queues are there.
    apply_settings < <(nic_channels) || failed=1
    apply_settings < <(settings) || failed=1
    # For the next start of the machine: what was changed, in this run or an earlier one.
    local kept
    kept=$(sed -n 's/^sysctl:\([^\t]*\)\t.*/\1/p' "$state")
    if [[ -n $kept ]]; then
        while read -r setting; do
            echo "$setting = $(wanted "sysctl:$setting")"
        done <<<"$kept" | write_file "$sysctl_file" || failed=1
    fi
    kept=$(sed -n 's/^limit:\([^\t]*\)\t.*/\1/p' "$state")
    if [[ -n $kept ]]; then
        while read -r setting; do
            want=$(wanted "limit:$setting")
            # The asterisk does not include root.
            printf '%s hard %s %s\n' '*' "$setting" "$want" root "$setting" "$want"
        done <<<"$kept" | write_file "$limits_file" || failed=1
        echo "limits hold for new logins; a systemd unit needs LimitNOFILE= and LimitMEMLOCK="
    fi
    if ! grep -qv '^folder:' "$state"; then
        revert >/dev/null
        echo "nothing to do"
    fi
    return $failed
}

revert() {
    as_root revert
    if [[ ! -e $state ]]; then
        echo "nothing to revert: $state does not exist"
        return
    fi
    local setting old failed=0
    local -a folders=()
    while IFS=$'\t' read -r setting old; do
        if [[ $setting == file:* ]]; then
            rm -f "${setting#file:}"
            echo "removed ${setting#file:}"
        elif [[ $setting == limit:* ]]; then
            continue # the file was all
        elif [[ $setting == folder:* ]]; then
            folders+=("${setting#folder:}")
        elif put "$setting" "$old" 2>/dev/null; then
            echo "${setting#sysctl:}: back to $old"
        else
            echo "tune: the kernel refuses ${setting#sysctl:} = $old" >&2
            failed=1
        fi
    done < <(tac "$state") # the number of queues last: what hangs on them is put back before
    # With a refused value the state stays, so that the next revert can try again.
    if [[ $failed -eq 0 ]]; then
        rm -f "$state"
        [[ ${#folders[@]} -eq 0 ]] || rmdir --ignore-fail-on-non-empty "${folders[@]}"
    fi
    return $failed
}

case ${1:-} in
    show) show || true ;;
    check) show ;;
    apply) apply ;;
    revert) revert ;;
    *)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
