//! Both ends of all links, in one thread that watches all sockets at once: the clients, and the upstream that the
//! proxy under test connects to.
//!
//! It opens links and closes them. What goes over them in between is known to the loads.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use rustls::{ClientConfig, ServerConfig};

use crate::conn::{Conn, SCRATCH};
use crate::end::{End, Fate, Stage};
use crate::frames::Sender;
use crate::upgrade;

/// What the epoll set calls the listener.
const LISTENER: u64 = u64::MAX;
/// Handshakes under way at once while links are opened.
const OPENING: usize = 64;
/// Opening may stand still for so long; closing may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// TLS on either leg; `None`: plain.
#[derive(Clone, Default)]
pub struct Legs {
    /// Of the clients.
    pub client: Option<Arc<ClientConfig>>,
    /// Of the upstream.
    pub upstream: Option<Arc<ServerConfig>>,
}

/// All ends.
pub struct Rig {
    /// Where ends read to.
    pub scratch: Box<[u8]>,
    /// By their number; `None`: gone.
    pub ends: Vec<Option<End>>,
    /// How many have been opened, of clients and of upstreams.
    pub opened: [usize; 2],
    /// How many of the upstream's TLS sessions were resumed.
    pub resumed: usize,
    /// How many clients have parted.
    pub closed: usize,
    /// Clients part as soon as they are open.
    pub parting: bool,
    /// How many have been begun.
    links: u64,
    free: Vec<usize>,
    epoll: OwnedFd,
    listener: TcpListener,
    legs: Legs,
    interrupted: Arc<AtomicBool>,
}

impl Rig {
    /// A rig whose upstream listens here. It fails at its next wait when `interrupted` is set.
    pub fn new(listener: TcpListener, legs: Legs, interrupted: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self {
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            ends: Vec::new(),
            opened: [0; 2],
            resumed: 0,
            closed: 0,
            parting: false,
            links: 0,
            free: Vec::new(),
            epoll,
            listener,
            legs,
            interrupted,
        })
    }

    /// Where the upstream listens.
    pub fn upstream(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Opens so many links more through the proxy at this address.
    pub fn open(&mut self, proxy: SocketAddr, links: usize) -> anyhow::Result<()> {
        let goal = self.opened.map(|opened| opened + links);
        let (mut begun, mut before, mut events) = (self.opened[0], self.opened, Vec::new());
        let mut moved = Instant::now();
        while self.opened[0] < goal[0] || self.opened[1] < goal[1] {
            while begun < goal[0] && begun - self.opened[0] < OPENING {
                self.connect(proxy)?;
                begun += 1;
            }
            self.wait(&mut events, Duration::from_millis(100))?;
            for event in &events {
                self.progress(event)?;
            }
            if self.opened != before {
                (before, moved) = (self.opened, Instant::now());
            }
            ensure!(moved.elapsed() < PATIENCE, "only {:?} of {goal:?} ends opened", self.opened);
        }
        Ok(())
    }

    /// Begins a client.
    pub fn connect(&mut self, proxy: SocketAddr) -> anyhow::Result<()> {
        let socket = TcpStream::connect_timeout(&proxy, PATIENCE).context("the proxy takes no connection")?;
        let conn = Conn::client(socket, self.legs.client.as_ref())?;
        let number = self.insert(Sender::Client, conn)?;
        self.links += 1;
        let link = self.links;
        self.with(number, |end, _| {
            end.link = link;
            end.conn.send_all(&upgrade::request(link))?;
            Ok(Fate::Stays)
        })
    }

    /// Closes all links, from the clients on, and fails if that takes too long.
    pub fn close(&mut self) -> anyhow::Result<()> {
        for number in 0..self.ends.len() {
            if self.ends[number].as_ref().is_some_and(|end| end.sender == Sender::Client) {
                self.with(number, |end, _| end.part())?;
            }
        }
        let (deadline, mut events) = (Instant::now() + PATIENCE, Vec::new());
        while self.ends.iter().any(Option::is_some) {
            self.wait(&mut events, Duration::from_millis(100))?;
            for event in &events {
                self.progress(event)?;
            }
            ensure!(Instant::now() < deadline, "links do not close");
        }
        Ok(())
    }

    /// The ends that are there now only stand by from now on.
    pub fn quieten(&mut self) {
        for end in self.ends.iter_mut().flatten() {
            end.busy = false;
        }
    }

    /// The ends that the load is on, of one side.
    pub fn busy(&self, sender: Sender) -> Vec<usize> {
        let ends = self.ends.iter().enumerate();
        let busy = ends.filter(|(_, end)| end.as_ref().is_some_and(|end| end.busy && end.sender == sender));
        busy.map(|(number, _)| number).collect()
    }

    /// For each end, the number of the other end of its link, if both are there.
    pub fn others(&self) -> Vec<Option<usize>> {
        let ends = || self.ends.iter().enumerate().filter_map(|(number, end)| Some((number, end.as_ref()?)));
        let mut by_link: HashMap<_, [Option<usize>; 2]> = HashMap::new();
        for (number, end) in ends() {
            by_link.entry(end.link).or_default()[usize::from(end.sender == Sender::Upstream)] = Some(number);
        }
        let mut others = vec![None; self.ends.len()];
        for (number, end) in ends() {
            others[number] = by_link[&end.link][usize::from(end.sender == Sender::Client)];
        }
        others
    }

    /// Lets time pass in which nothing is sent.
    pub fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let (end, mut events) = (Instant::now() + time, Vec::new());
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.wait(&mut events, left)?;
            for event in &events {
                self.progress(event)?;
            }
        }
        Ok(())
    }

    /// Looks what can be read or written at this moment, and never sleeps: a thread that sleeps has to be woken by whoever
    /// writes to it, and on a machine that is a guest this costs the proxy more than all that it does for a frame. A
    /// client on another machine costs it nothing of the kind.
    pub fn poll(&mut self, events: &mut Vec<Event>) -> anyhow::Result<()> {
        self.wait(events, Duration::ZERO)
    }

    /// Waits until something can be read or written, or this time is over.
    pub fn wait(&mut self, events: &mut Vec<Event>, time: Duration) -> anyhow::Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        events.clear();
        events.reserve(1024);
        let time = Timespec::try_from(time)?;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What happens to an end, or to the listener, while links are opened and closed.
    pub fn progress(&mut self, event: &Event) -> anyhow::Result<()> {
        let Some(number) = number_of(event) else { return self.accept() };
        let before = self.ends[number].as_ref().map(|end| (end.stage, end.sender));
        self.with(number, End::progress)?;
        let (Some((Stage::Head, sender)), Some(end)) = (before, &self.ends[number]) else { return Ok(()) };
        if end.stage != Stage::Head {
            self.opened[usize::from(sender == Sender::Upstream)] += 1;
            self.resumed += usize::from(sender == Sender::Upstream && end.conn.resumed() == Some(true));
            if self.parting && sender == Sender::Client {
                self.with(number, |end, _| end.part())?;
            }
        }
        Ok(())
    }

    /// Does something with an end that is still there, and with the buffer for what it reads.
    pub fn with(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut End, &mut [u8]) -> anyhow::Result<Fate>,
    ) -> anyhow::Result<()> {
        let Some(end) = &mut self.ends[number] else { return Ok(()) };
        match act(end, &mut self.scratch)? {
            Fate::Goes => {
                self.closed += usize::from(end.stage == Stage::Closing);
                // Which takes it out of the epoll set.
                self.ends[number] = None;
                self.free.push(number);
            }
            Fate::Stays => {
                let wants = end.conn.wants_write();
                if wants != end.waits_to_write {
                    end.waits_to_write = wants;
                    let flags = if wants { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
                    epoll::modify(&self.epoll, end.conn.socket(), EventData::new_u64(number as u64), flags)?;
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    let conn = Conn::server(socket, self.legs.upstream.as_ref())?;
                    self.insert(Sender::Upstream, conn)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("the upstream cannot accept"),
            }
        }
    }

    fn insert(&mut self, sender: Sender, conn: Conn) -> anyhow::Result<usize> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.ends.push(None);
            self.ends.len() - 1
        });
        epoll::add(&self.epoll, conn.socket(), EventData::new_u64(number as u64), EventFlags::IN)?;
        self.ends[number] = Some(End::new(sender, conn));
        Ok(number)
    }
}

/// Which end an event is about; `None`: the listener.
pub fn number_of(event: &Event) -> Option<usize> {
    usize::try_from(event.data.u64()).ok().filter(|_| event.data.u64() != LISTENER)
}
