//! When the system has nothing left that a socket needs: file descriptors or memory.
//!
//! It refuses to know who wanted the socket. That it has none is nobody's fault outside of this machine, so no upstream
//! and no client is blamed for it.

use std::io;

/// Whether this is what the error of a call that makes a socket says.
pub fn is_shortage(error: &io::Error) -> bool {
    // The process's descriptors, those of all processes, the sockets' memory, memory.
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
