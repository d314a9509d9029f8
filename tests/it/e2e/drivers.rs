//! Where `io_uring` cannot be had, the gateway serves on epoll and says why.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::client::chat;
use super::gateway::{BINARY, Folder, Gateway};

/// A launcher that forbids `io_uring_setup` to the program it becomes. Only C and assembly reach
/// the filter without a library, and a compiler is needed for the build anyway.
const LAUNCHER: &str = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (atoi(argv[1]) & SECCOMP_RET_DATA)),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, code};
  if (argc < 3 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 91;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 92;
  execv(argv[2], argv + 2);
  return 93;
}
"#;

fn launcher(folder: &Folder) -> String {
    let source = folder.0.join("launcher.c");
    let program = folder.0.join("launcher");
    fs::write(&source, LAUNCHER).expect("the source can be written");
    let built = Command::new("cc").arg("-o").arg(&program).arg(&source).status();
    assert!(built.expect("a C compiler is needed").success());
    program.to_string_lossy().into_owned()
}

#[test]
fn with_io_uring_forbidden_epoll_serves_and_the_log_says_why() {
    let folder = Folder::new();
    let launcher = launcher(&folder);
    // EPERM as containers answer, ENOSYS as old kernels do.
    for (errno, words) in [("1", "forbidden"), ("38", "has no io_uring")] {
        let mut command = Command::new(&launcher);
        command.args([errno, BINARY]);
        let gateway = Gateway::run(command, &[]);
        assert_eq!(gateway.ask(&chat("hi", false)).status, 200);
        let log = gateway.log_with("serving on epoll");
        assert!(log.contains("serving on epoll") && log.contains(words), "{log}");
    }
}

#[test]
fn where_io_uring_is_forbidden_glommio_refuses_to_start_without_a_panic() {
    let folder = Folder::new();
    let mut command = Command::new(launcher(&folder));
    command.args(["1", BINARY, "--runtime", "glommio"]).current_dir(&folder.0);
    command.env("APP_SERVER__PORT", super::gateway::free_port().to_string());
    let output = command.output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("--runtime monoio") && !log.contains("panicked"), "{log}");
}

#[test]
fn with_little_locked_memory_epoll_serves_an_unprivileged_user() {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("ours");
    let copy = folder.0.join("vertex-bridge");
    fs::copy(BINARY, &copy).expect("the binary can be copied");
    let limit = ["prlimit", "--memlock=65536:65536"];
    // Only an unprivileged user's rings count against the limit.
    let is_root = fs::metadata("/proc/self").expect("a process has a folder").uid() == 0;
    let mut words: Vec<&str> = Vec::new();
    if is_root {
        words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    words.extend(limit);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(&copy);
    let gateway = Gateway::run(command, &[]);
    assert_eq!(gateway.ask(&chat("hi", false)).status, 200);
    let log = gateway.log_with("serving on epoll");
    assert!(log.contains("serving on epoll") && log.contains("memlock"), "{log}");
}

#[cfg(feature = "monoio")]
#[test]
fn flags_that_an_older_kernel_refuses_lead_to_the_plain_ring() {
    use std::time::Duration;
    use vertex_bridge::rt::{Driver, Rung, Runtime, monoio};

    const EINVAL: i32 = 22;
    let refused = [(Rung::UringDeferred, EINVAL)];
    let ran = monoio::run(Driver::Auto, &refused, |rt, chosen| async move {
        rt.sleep(Duration::from_millis(2)).await;
        (chosen.rung, chosen.instead_of.unwrap_or_default())
    });
    let (rung, why) = ran.expect("the plain ring can be had here");
    assert_eq!(rung, Rung::Uring);
    assert!(why.contains("older than these flags"), "{why}");
}
