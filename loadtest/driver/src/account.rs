//! What processes cost by the system's own accounting: CPU time and memory.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;

/// The state of a socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";

/// The processes of a proxy under test.
#[derive(Debug, Clone, Default)]
pub struct Account {
    root: Option<u32>,
}

impl Account {
    /// A process and its children. `None`: nothing runs, and nothing costs.
    pub fn of(root: Option<u32>) -> Self {
        Self { root }
    }

    /// All processes that run now.
    pub fn processes(&self) -> Vec<u32> {
        let mut all: Vec<_> = self.root.into_iter().collect();
        let mut next = 0;
        while next < all.len() {
            all.extend(children(all[next]));
            next += 1;
        }
        all
    }

    /// Whether one of them listens at this address. That somebody does proves little: ports are taken by whoever comes.
    pub fn listens(&self, address: SocketAddr) -> bool {
        let SocketAddr::V4(address) = address else { return false };
        let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let mut ours = rows.filter(|row| row.get(1) == Some(&local.as_str()) && row.get(3) == Some(&LISTENS));
        let Some(socket) = ours.next().and_then(|row| Some(format!("socket:[{}]", row.get(9)?))) else { return false };
        let files = |process| fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        let mut files = self.processes().into_iter().flat_map(files).filter_map(|file| fs::read_link(file.path()).ok());
        files.any(|file| file.as_os_str() == socket.as_str())
    }

    /// The time all their threads have run, to the nanosecond. A thread that has ended is no longer counted, so what is
    /// compared over a time must not start and end threads; none of the proxies does.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for process in self.processes() {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).context("the proxy has ended")?;
            for task in tasks {
                nanoseconds += running_time(&task?.path().join("schedstat")).unwrap_or(0);
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Their proportional share of the memory that is resident, in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let mut kib = 0;
        for process in self.processes() {
            let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the proxy has ended")?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
            kib += line.split_whitespace().next().unwrap_or_default().parse::<u64>().context("Pss is no number")?;
        }
        Ok(kib * 1024)
    }
}

/// The time that the calling thread has run.
pub fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn running_time(schedstat: &std::path::Path) -> Option<u64> {
    fs::read_to_string(schedstat).ok()?.split_whitespace().next()?.parse().ok()
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_socket_of_its_own_is_one_where_it_listens() {
        let (listener, account) = (TcpListener::bind("127.0.0.1:0").unwrap(), Account::of(Some(std::process::id())));
        let address = listener.local_addr().unwrap();
        assert!(account.listens(address));
        assert!(!Account::of(None).listens(address));
        drop(listener);
        assert!(!account.listens(address));
    }
}
