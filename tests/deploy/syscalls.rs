//! The unit's filter of system calls allows all that a relay does from its start to its end, as `strace` sees it.

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::{Signal, geteuid};

use crate::process::{Relay, Setup};
use crate::shipped::text;
use crate::support::client::client;
use crate::support::operator::operator;
use crate::support::upstream::Upstream;

/// As root, which a service is not, SQLite gives a new file to the owner of the database.
const AS_ROOT: &str = "fchown";

#[tokio::test]
async fn the_unit_allows_every_system_call() {
    let Some(allowed) = allowed() else {
        println!("SKIPPED: systemd-analyze, which knows the sets of system calls, is not installed");
        return;
    };
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed");
        return;
    }
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (counted, takeover) = (folder.path().join("calls"), folder.path().join("takeover"));
    let setup = Setup::to(&upstream).server(&format!("takeover_socket = \"{}\"", takeover.display()));
    let (command, kept) = setup.command();
    let mut traced = Command::new("strace");
    traced.args(["-f", "-c", "-U", "name", "-o"]).arg(&counted).arg(command.get_program()).args(command.get_args());
    let mut relay = Relay::run(traced, kept).await;
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    ours.text("up").await;
    theirs.expect_text("up").await;
    operator(&relay, "/usage?by=key&since=1h").ask().await;
    operator(&relay, "/metrics").ask().await;
    client(&relay).refused().await;
    // strace passes on what it is sent itself only to be killed by it: the relay is its child.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", relay.process.id())).unwrap();
    let child = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    for _ in 0..2 {
        rustix::process::kill_process(child, Signal::INT).unwrap();
        relay.process.says("draining").await;
    }
    assert_eq!(relay.process.exit_code().await, Some(0), "{}", relay.process.log());

    let used: BTreeSet<_> =
        std::fs::read_to_string(&counted).unwrap().lines().skip(2).map(str::trim).map(str::to_owned).collect();
    assert!(used.contains("epoll_wait") && used.contains("accept4"), "{used:?}");
    let is_call = |line: &&String| !line.is_empty() && !line.starts_with('-') && *line != "total";
    let denied: Vec<_> = used.iter().filter(is_call).filter(|call| !allowed.contains(*call)).collect();
    let denied: Vec<_> = denied.into_iter().filter(|call| !(geteuid().is_root() && *call == AS_ROOT)).collect();
    assert!(denied.is_empty(), "the unit does not allow {denied:?}");
}

/// What the lines of `SystemCallFilter=` come to, in their order.
fn allowed() -> Option<BTreeSet<String>> {
    let unit = text("systemd/realtime-relay.service");
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (denies, names) = line.strip_prefix('~').map_or((false, line), |names| (true, names));
        for name in names.split(' ') {
            for call in members(name)? {
                if denies {
                    allowed.remove(&call)
                } else {
                    allowed.insert(call)
                };
            }
        }
    }
    Some(allowed)
}

/// A system call, or those of a set, with the sets in it.
fn members(name: &str) -> Option<Vec<String>> {
    if !name.starts_with('@') {
        return Some(vec![name.to_owned()]);
    }
    let shown = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]).output().ok()?;
    let text = String::from_utf8(shown.stdout).ok()?;
    let lines = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut members = Vec::new();
    for line in lines {
        members.extend(self::members(line)?);
    }
    Some(members)
}
