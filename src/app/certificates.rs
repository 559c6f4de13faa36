//! Watches the files of the certificate that clients are shown, and has it read again when they change.
//!
//! It asks the files, not the system for news of them: a mounted secret changes by a link to another folder, far from the
//! name that was configured, and a network's file system tells no news. It refuses to know what a certificate is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::renewal::Renewer;

/// How soon a change is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches until dropped.
///
/// Cancel safe.
pub(super) async fn watch(renewer: Rc<Renewer>) {
    // Of what was read at the start nobody knows which file it was: the first look always reads.
    let mut known = None;
    loop {
        sleep(LOOK_EVERY).await;
        let Some(files) = renewer.identity_files() else { continue };
        // A disk may hang, and this thread may not.
        let Ok(seen) = spawn_blocking(move || Seen::of(files)).await else { continue };
        if known.as_ref() != Some(&seen) {
            renewer.renew_certificate().await;
            known = Some(seen);
        }
    }
}

/// What tells one state of the files from another.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    files: (PathBuf, PathBuf),
    marks: [Option<Mark>; 2],
}

/// Device, inode, length, and when it was written, and when anything of it changed, who may read it included: seconds and
/// nanoseconds.
type Mark = (u64, u64, u64, [i64; 4]);

impl Seen {
    fn of(files: (PathBuf, PathBuf)) -> Self {
        Self { marks: [mark(&files.0), mark(&files.1)], files }
    }
}

fn mark(file: &Path) -> Option<Mark> {
    let file = fs::metadata(file).ok()?;
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    Some((file.dev(), file.ino(), file.len(), times))
}
