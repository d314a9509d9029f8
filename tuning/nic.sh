# The network cards' part of tune.sh, which sources it: queues, their interrupts, and which cores take
# packets from them. Every shard is a thread pinned to a core, so the kernel's work on packets should be
# on all of these cores and, for each connection, on the one whose shard has it.
#
#   channels    as many queues as cores, as far as the card has them (ethtool -L). Changing them takes
#               the link down for a moment, and drops packets
#   irq         the interrupts of queue N go to the Nth core, so that no core has them all. Without
#               effect where irqbalance runs; `show` says so
#   rps         with fewer queues than cores: all cores share the packets of a queue (rps_cpus). With a
#               queue for each core it is off, as the card does it
#   rfs         the core that has the connection gets its packets (rps_flow_cnt for each queue, and
#               net.core.rps_sock_flow_entries); only with rps
#   xps         cores are divided among the sending queues (xps_cpus), so that few share a lock
#
# Cards are the interfaces that are up and have a device; TUNE_INTERFACES names others. Loopback,
# bridges, veth and tunnels have none of this. What a card or a hypervisor does not offer is `not on
# this machine`: a virtual card often has one queue, then there is no xps, and channels cannot be set.
# All of it lasts until the next restart of the machine, or until the driver is loaded anew.
# shellcheck shell=bash

rfs_entries=32768
rfs_file=/proc/sys/net/core/rps_sock_flow_entries

interfaces() {
    if [[ -n ${TUNE_INTERFACES:-} ]]; then
        tr -s ' ,' '\n' <<<"$TUNE_INTERFACES"
        return
    fi
    local path
    for path in /sys/class/net/*; do
        if [[ -e $path/device && $(<"$path/operstate") == up ]]; then
            echo "${path##*/}"
        fi
    done
}

cores() { # one a line
    local part
    tr ',' '\n' </sys/devices/system/cpu/online | while read -r part; do
        seq "${part%-*}" "${part#*-}"
    done
}

# The hexadecimal mask of cores that the kernel wants: words of 32 bits, the highest first.
mask() { # core...
    local core word text='' last=0
    local -a words=()
    for core in "$@"; do
        word=$((core / 32))
        words[word]=$((${words[word]:-0} | 1 << (core % 32)))
        ((word <= last)) || last=$word
    done
    for ((word = last; word >= 0; word--)); do
        text+=$(printf '%08x' "${words[word]:-0}"),
    done
    echo "${text%,}"
}

# Masks are the same without commas and leading zeros.
plain_mask() {
    local text=${1//,/}
    text=${text#"${text%%[!0]*}"}
    echo "${text:-0}"
}

queues() { # interface, rx or tx
    find "/sys/class/net/$1/queues" -maxdepth 1 -name "$2-*" -printf '%f\n' 2>/dev/null | sort -V
}

# The interrupts of an interface's queues, by the names under which the driver asked for them: numbers
# are others after a restart. The device is that of the card, or of what virtio stands on.
irq_names() { # interface
    local device number
    device=$(readlink -f "/sys/class/net/$1/device") || return 0
    [[ -d $device/msi_irqs ]] || device=${device%/*}
    [[ -d $device/msi_irqs ]] || return 0
    find "$device/msi_irqs" -mindepth 1 -printf '%f\n' | sort -n | while read -r number; do
        find "/proc/irq/$number" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null
    done | grep -E '[0-9]$' | grep -v async || true # without those for the card's own business
}

irq_path() { # name
    local path
    for path in /proc/irq/*/"$1"; do
        [[ ! -d $path ]] || echo "${path%/*}/smp_affinity_list"
    done | head -n1
}

nic_channels() {
    local interface
    while read -r interface; do
        echo "channels:$interface"
    done < <(interfaces)
}

nic_settings() {
    local interface name
    while read -r interface; do
        while read -r name; do
            [[ -z $name ]] || echo "irq:$name"
        done < <(irq_names "$interface")
        while read -r name; do
            echo "rps:$interface/$name"
            echo "rfs:$interface/$name"
        done < <(queues "$interface" rx)
        while read -r name; do
            echo "xps:$interface/$name"
        done < <(queues "$interface" tx)
    done < <(interfaces)
    echo rfs:entries
}

nic_path() { # setting
    local name=${1#*:}
    case $1 in
        irq:*) irq_path "$name" ;;
        rfs:entries) echo "$rfs_file" ;;
        rps:*) echo "/sys/class/net/${name%/*}/queues/${name#*/}/rps_cpus" ;;
        rfs:*) echo "/sys/class/net/${name%/*}/queues/${name#*/}/rps_flow_cnt" ;;
        xps:*) echo "/sys/class/net/${name%/*}/queues/${name#*/}/xps_cpus" ;;
    esac
}

# The part of `ethtool -l` that is the most, or that is now.
combined() { # interface, Pre-set or Current
    command -v ethtool >/dev/null || return 0
    ethtool -l "$1" 2>/dev/null | sed -n "/^$2/,\$s/^Combined:[[:space:]]*\([0-9]*\)$/\1/p" | head -n1
}

nic_current() { # setting; nothing when this machine does not have it
    local path
    if [[ $1 == channels:* ]]; then
        # A card with one queue has nothing to choose.
        if [[ $(combined "${1#*:}" Pre-set) -gt 1 ]]; then
            combined "${1#*:}" Current
        fi
        return
    fi
    path=$(nic_path "$1")
    # A file may be there and say nothing: xps_cpus of a card with one queue.
    [[ -z $path ]] || cat "$path" 2>/dev/null || true
}

# Has this interface fewer queues than there are cores?
shares_queues() { # interface
    (($(queues "$1" rx | wc -l) < $(cores | wc -l)))
}

nic_wanted() { # setting
    local name=${1#*:} interface index count most
    local -a online
    mapfile -t online < <(cores)
    interface=${name%/*}
    index=${name%%@*} # some drivers write the card's address behind the queue
    index=${index##*[!0-9]}
    case $1 in
        channels:*)
            most=$(combined "$name" Pre-set)
            echo $((most > 0 && most < ${#online[@]} ? most : ${#online[@]}))
            ;;
        irq:*) echo "${online[index % ${#online[@]}]}" ;;
        rfs:entries) echo $rfs_entries ;;
        rps:*) if shares_queues "$interface"; then mask "${online[@]}"; else echo 0; fi ;;
        rfs:*)
            if shares_queues "$interface"; then
                echo $((rfs_entries / $(queues "$interface" rx | wc -l)))
            else
                echo 0
            fi
            ;;
        xps:*)
            count=$(queues "$interface" tx | wc -l)
            local -a mine=()
            local place
            for ((place = index; place < ${#online[@]}; place += count)); do
                mine+=("${online[place]}")
            done
            mask "${mine[@]}"
            ;;
    esac
}

nic_satisfied() { # setting, current, wanted
    case $1 in
        rps:* | xps:*) [[ $(plain_mask "$2") == "$(plain_mask "$3")" ]] ;;
        rfs:entries) (($2 >= $3)) ;;
        *) [[ $2 == "$3" ]] ;;
    esac
}

nic_put() { # setting, value
    local path
    if [[ $1 == channels:* ]]; then
        ethtool -L "${1#*:}" combined "$2"
        return
    fi
    path=$(nic_path "$1")
    [[ -n $path ]] && echo "$2" >"$path"
}

nic_remarks() {
    if pgrep -x irqbalance >/dev/null; then
        echo "irqbalance runs and moves interrupts back: stop it, or ban those of the card in its configuration"
    fi
    command -v ethtool >/dev/null || echo "ethtool is missing: the number of queues is not looked at"
}
