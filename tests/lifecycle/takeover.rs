//! One process takes the place of another: whose connections fail (nobody's), and what becomes of a takeover that does
//! not come about.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::peers::{close, exchange, expect_exit};
use crate::process::{Relay, Setup};
use crate::stream::Stream;
use crate::support::operator::operator;
use crate::support::relay::Reached;
use crate::support::upstream::Upstream;
use crate::support::within;

/// Connections that were accepted before the takeover have that long for their request; links as long as they like.
const LIMITS: &str = "drain_grace = \"2s\"\ndrain_timeout = 0";

/// The sockets at which successors ask.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("takeover")
    }

    /// A relay that offers its listeners here.
    fn offered(&self, upstream: &Upstream) -> Setup {
        Setup::to(upstream).limits(LIMITS).server(&format!("takeover_socket = \"{}\"", self.socket().display()))
    }

    /// One that takes them, and offers them in its turn.
    fn successor(&self, upstream: &Upstream) -> Setup {
        self.offered(upstream).argument("--takeover").argument(self.socket().to_str().unwrap())
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.0.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_fails_and_links_go_on() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let mut old = place.offered(&upstream).start().await;
    let mut links = Vec::new();
    for _ in 0..10 {
        links.push(old.link(&upstream).await);
    }
    let serving = upstream.echoes();
    let mut stream = Stream::of(8, old.place());
    stream.more(50).await;

    let mut new = place.successor(&upstream).start().await;
    assert_eq!((new.address(), new.admin_address()), (old.address(), old.admin_address()), "the very same sockets");
    new.process.says("the predecessor accepts no more connections").await;
    old.process.says("draining: not ready any more").await;
    assert_eq!(operator(&new, "/readyz").ask().await.status, 200, "the admin listener is the successor's");
    stream.more(50).await;
    for (ours, theirs) in &mut links {
        exchange(ours, theirs).await;
    }
    old.process.says("draining: no new clients").await;
    assert_eq!(operator(&new, "/links").ask().await.status, 200);
    stream.more(50).await;
    for (mut ours, mut theirs) in links {
        exchange(&mut ours, &mut theirs).await;
        close(ours, theirs).await;
    }
    expect_exit(old).await;
    stream.more(50).await;
    let served = stream.ends().await;
    println!("{served} clients were served");

    assert_eq!(place.files(), ["takeover"], "the successor's own socket stays");
    drop(serving);
    new.process.signal(Signal::INT);
    expect_exit(new).await;
    assert_eq!(place.files(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_successor_follows_another() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let serving = upstream.echoes();
    let mut current = place.offered(&upstream).start().await;
    let stream = Stream::of(4, current.place());
    for _ in 0..3 {
        assert_eq!(mode(&place.socket()), 0o600);
        let next = place.successor(&upstream).start().await;
        let former = std::mem::replace(&mut current, next);
        expect_exit(former).await;
    }
    assert!(stream.ends().await > 0);
    drop(serving);
}

#[tokio::test]
async fn without_a_predecessor_there_is_nothing_to_take_over() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let (code, log) = place.successor(&upstream).fails().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("nothing can be taken over at ") && log.contains("takeover: No such file"), "{log}");

    drop(UnixListener::bind(place.socket()).unwrap());
    let (code, log) = place.successor(&upstream).fails().await;
    assert!(code == Some(1) && log.contains("Connection refused"), "{log}");

    std::fs::remove_file(place.socket()).unwrap();
    let _mute = UnixListener::bind(place.socket()).unwrap();
    let (code, log) = place.successor(&upstream).fails().await;
    assert!(code == Some(1) && log.contains("it does not answer"), "{log}");
}

#[tokio::test]
async fn a_successor_that_does_not_get_ready_changes_nothing() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let mut old = place.offered(&upstream).start().await;
    let (mut ours, mut theirs) = old.link(&upstream).await;

    let (code, log) = place.successor(&upstream).server("no_such_key = 1").fails().await;
    assert_eq!(code, Some(2), "{log}");

    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen = [\"127.0.0.1:0\", \"{}\"]", elsewhere.local_addr().unwrap());
    let (code, log) = place.successor(&upstream).server(&taken).fails().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("listening sockets are taken over") && log.contains("cannot listen on"), "{log}");

    old.process.says("the successor did not get ready; this process goes on").await;
    exchange(&mut ours, &mut theirs).await;
    assert_eq!(operator(&old, "/readyz").ask().await.status, 200);
    let (second, second_upstream) = old.link(&upstream).await;
    close(second, second_upstream).await;

    let new = place.successor(&upstream).start().await;
    assert_eq!(new.address(), old.address(), "the next one finds it as it was");
    close(ours, theirs).await;
    expect_exit(old).await;
}

#[tokio::test]
async fn sockets_that_are_not_configured_any_more_are_closed_and_new_ones_bound() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let listen = "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]";
    let mut old = place.offered(&upstream).server(listen).start().await;
    let second: std::net::SocketAddr = {
        let lines: Vec<_> = old.process.log().lines().map(str::to_owned).collect();
        let line =
            lines.iter().filter(|line| line.contains("clients connect to")).nth(1).expect("two addresses").clone();
        line.split("ws://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
    };
    // Told by its number, where the predecessor was told by none; and one in another family.
    let listen = format!("listen = [\"{}\", \"[::1]:0\"]", old.address());
    let mut new = place.successor(&upstream).server(&listen).start().await;
    assert_eq!(new.address(), old.address());
    new.process.says("clients connect to ws://[::1]:").await;
    new.process.says(&format!("the predecessor listened on {second}, and nothing is configured there")).await;
    old.process.says("draining: not ready").await;
    let closed = async {
        while TcpStream::connect(second).await.map_err(|error| error.kind()).err() != Some(ErrorKind::ConnectionRefused)
        {
        }
    };
    within("the socket to be closed", closed).await;
    let (mut ours, mut theirs) = new.link(&upstream).await;
    exchange(&mut ours, &mut theirs).await;
    expect_exit(old).await;
}

#[tokio::test]
async fn a_place_that_a_dead_process_left_is_taken_and_that_of_a_living_one_is_not() {
    let upstream = Upstream::start().await;
    let place = Place::new();
    let mut dead = place.offered(&upstream).start().await;
    dead.process.signal(Signal::KILL);
    assert_eq!(dead.process.exit_code().await, None);
    assert_eq!(place.files(), ["takeover"]);
    let living: Relay = place.offered(&upstream).start().await;

    let (code, log) = place.offered(&upstream).fails().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("another process listens on ") && log.contains("serve --takeover"), "{log}");
    assert_eq!(place.files(), ["takeover"], "nothing is left behind");
    assert_eq!(operator(&living, "/readyz").ask().await.status, 200);

    let ordinary = place.0.path().join("ordinary");
    std::fs::write(&ordinary, "").unwrap();
    let (code, log) =
        Setup::to(&upstream).server(&format!("takeover_socket = \"{}\"", ordinary.display())).fails().await;
    assert!(code == Some(1) && log.contains("is no socket"), "{log}");
    assert!(ordinary.is_file());
}
