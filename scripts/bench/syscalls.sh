#!/usr/bin/env bash
# Counts the system calls of a request by name, with 8 and with 64 connections, by strace.
#
#   scripts/bench/syscalls.sh [--seconds N] [--quick] [--targets A,B]
#
# The report stays in target/bench/syscalls.md. BENCH_BINARY names a gateway that is built already.
# It needs the right to trace a process of one's own (kernel.yama.ptrace_scope) or root.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need strace
measure syscalls "$@"
