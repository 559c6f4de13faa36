//! SIGHUP: the configuration is read again by the process that runs.

use rustix::process::Signal;

use crate::peers::exchange;
use crate::process::{Relay, Setup};
use crate::support::client::raw_request;
use crate::support::operator::operator;
use crate::support::upstream::Upstream;
use crate::support::within;

const IN_FORCE: &str = "the configuration was read again, and is in force";
const UNCHANGED: &str = "nothing has changed";

/// A relay that says in its log what it lets through there.
async fn relay(upstream: &Upstream) -> Relay {
    Setup::to(upstream).more("[log]\nlevel = \"info\"\n").start().await
}

#[tokio::test]
async fn a_sighup_puts_the_file_in_force_and_touches_no_link() {
    let (former, latter) = (Upstream::start().await, Upstream::start().await);
    let mut relay = relay(&former).await;
    let (mut ours, mut theirs) = relay.link(&former).await;
    relay.configure(|config| config.replace(&former.base_url(), &latter.base_url()));
    relay.process.signal(Signal::HUP);
    relay.process.says(IN_FORCE).await;
    relay.link(&latter).await;
    exchange(&mut ours, &mut theirs).await;
}

#[tokio::test]
async fn the_level_of_the_log_changes_and_what_needs_a_restart_is_named() {
    let upstream = Upstream::start().await;
    let mut relay = relay(&upstream).await;
    relay.configure(|config| config.replace("level = \"info\"", "level = \"debug\"\nformat = \"json\""));
    relay.process.signal(Signal::HUP);
    let said = relay.process.says("in force but for what needs a restart").await;
    assert!(said.contains("log.format"), "{said}");
    // What is only said at that level: somebody came who speaks no HTTP.
    raw_request(&relay, b"hello\r\n\r\n").await;
    relay.process.says("ended without a request").await;

    relay.configure(|config| config.replace("level = \"debug\"", "level = \"off\""));
    assert_eq!(operator(&relay, "/reload").method("POST").ask().await.status, 202);
    let before = relay.process.log();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    exchange(&mut ours, &mut theirs).await;
    relay.configure(|config| config.replace("level = \"off\"", "level = \"info\""));
    relay.process.signal(Signal::HUP);
    until_longer(&mut relay, &before).await;
    assert!(!relay.process.log().contains("link opened"), "{}", relay.process.log());
}

/// Waits until the log says more than this.
async fn until_longer(relay: &mut Relay, before: &str) {
    let longer = async {
        while relay.process.log().len() == before.len() {
            tokio::task::yield_now().await;
        }
    };
    within("a line more", longer).await;
}

#[tokio::test]
async fn a_wrong_file_is_told_line_by_line_and_the_process_goes_on() {
    let upstream = Upstream::start().await;
    let mut relay = relay(&upstream).await;
    relay.configure(|config| config.replace("workers = 2", "workers = \"two\"\nworkres = 2"));
    relay.process.signal(Signal::HUP);
    let said = relay.process.says(UNCHANGED).await;
    assert!(said.contains("server.work"), "{said}");
    relay.process.says("2 mistakes in the configuration").await;
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    exchange(&mut ours, &mut theirs).await;
    relay.configure(|config| config.replace("workers = \"two\"\nworkres = 2", "workers = 2"));
    relay.process.signal(Signal::HUP);
    relay.process.says(IN_FORCE).await;
}
