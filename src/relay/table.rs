//! The links of one worker, and how each is told from outside to end.
//!
//! Every worker has its own table and touches no other, so nothing here is locked; who wants something of all links
//! mails every worker. It refuses to know what identifies a link and what is known of it: both are its user's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::ending::Decision;

/// The links that run on this worker: for each its key `K`, what is known of it, and its [`Orders`].
#[derive(Debug)]
pub struct Table<K, V> {
    running: RefCell<HashMap<K, Running<V>>>,
}

#[derive(Debug)]
struct Running<V> {
    known: Rc<V>,
    orders: Rc<Orders>,
}

/// A link's place in the table, from its begin to its end. Dropped, it is free.
#[derive(Debug)]
pub struct Registered<K: Eq + Hash, V> {
    table: Rc<Table<K, V>>,
    key: K,
    /// What the link is told.
    pub orders: Rc<Orders>,
}

/// What a link is told from outside, on its own thread.
#[derive(Debug, Default)]
pub struct Orders {
    end: Cell<Option<Decision>>,
    haste: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { running: RefCell::default() }
    }
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// Takes a link in. Keys are unique.
    pub fn register(self: &Rc<Self>, key: K, known: Rc<V>) -> Registered<K, V> {
        let orders = Rc::<Orders>::default();
        self.running.borrow_mut().insert(key, Running { known, orders: orders.clone() });
        Registered { table: self.clone(), key, orders }
    }

    /// Gives up the room that links have left.
    pub fn shrink(&self) {
        self.running.borrow_mut().shrink_to_fit();
    }

    /// How many links run.
    pub fn len(&self) -> usize {
        self.running.borrow().len()
    }

    /// Whether no link runs.
    pub fn is_empty(&self) -> bool {
        self.running.borrow().is_empty()
    }

    /// What `tell` says of each link, in no order.
    pub fn map<T>(&self, tell: impl Fn(&V) -> T) -> Vec<T> {
        self.running.borrow().values().map(|link| tell(&link.known)).collect()
    }

    /// Ends one link. False: there is none of this key.
    pub fn end(&self, key: K, decision: Decision) -> bool {
        self.orders_of(key).map(|orders| orders.end(decision)).is_some()
    }

    /// Ends the links of which `which` is true; tells how many.
    pub fn end_where(&self, which: impl Fn(&V) -> bool, decision: Decision) -> usize {
        let running = self.running.borrow();
        running.values().filter(|link| which(&link.known)).map(|link| link.orders.end(decision)).count()
    }

    /// The orders of every link that runs now.
    pub fn orders(&self) -> Vec<Rc<Orders>> {
        self.running.borrow().values().map(|link| link.orders.clone()).collect()
    }

    fn orders_of(&self, key: K) -> Option<Rc<Orders>> {
        self.running.borrow().get(&key).map(|link| link.orders.clone())
    }
}

impl<K: Eq + Hash, V> Drop for Registered<K, V> {
    fn drop(&mut self) {
        self.table.running.borrow_mut().remove(&self.key);
    }
}

impl Orders {
    /// The link is to end. The first decision stands.
    pub fn end(&self, decision: Decision) {
        if self.end.get().is_none() {
            self.end.set(Some(decision));
            self.wake();
        }
    }

    /// The link is to be gone: it says what can be said without waiting, and cuts.
    pub fn end_at_once(&self, decision: Decision) {
        self.haste.set(true);
        self.end(decision);
        self.wake();
    }

    /// `Ready` when the link is to end. A look at a cell, so that a link can ask each time it is polled.
    #[inline]
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<Decision> {
        match self.end.get() {
            Some(decision) => Poll::Ready(decision),
            None => self.wait(cx),
        }
    }

    /// `Ready` when the link is to be gone.
    pub(super) fn poll_haste(&self, cx: &Context<'_>) -> Poll<()> {
        if self.haste.get() { Poll::Ready(()) } else { self.wait(cx) }
    }

    #[inline]
    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn wake(&self) {
        // Taken first: whoever is woken may come back here.
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
