//! The map of realtime-relay: its words, its three planes, and the path of a frame.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | **client** / **upstream** | the two peers. Always these two words |
//! | **leg** | one WebSocket: the client leg (we are the server) or the upstream leg (we are the client) |
//! | **link** | a client leg joined to an upstream leg, from the 101 to the end |
//! | **pump** | one direction of a link: to the upstream or to the client |
//! | **tap** | what watches a pump without touching a byte |
//! | **edge** | from accept to a link: HTTP, admission, dialling. Runs once per link |
//! | **relay** | the data plane: pumps, frames, endings. Runs once per frame |
//! | **control** | configuration, keys, records, drain, takeover. Runs once per process or per link |
//! | **worker** | one thread with its own runtime and its own links |
//!
//! # Planes
//!
//! ```text
//!   once per process / per link            once per link                  once per frame
//!  ┌───────── control ─────────┐  ┌───────────── edge ─────────────┐  ┌────── relay ──────┐
//!  │ config keys ledger prices │  │ listener → admit → dial → start │  │ link → pump → scan │
//!  │ quotas drain takeover     │  │ (refusal = HTTP)         admin  │  │   └ tap  └ ending  │
//!  │ metrics                   │  │                                 │  │                    │
//!  └───────────────────────────┘  └─────────────────────────────────┘  └────────────────────┘
//!       depends on relay            depends on control and relay        depends on nothing of ours
//! ```
//!
//! `app` knows all of them, and nothing but `commands` knows `app`. `simulate`, the simulated upstream, knows none.
//! A test (`tests/layering.rs`) reads the source and holds these rules.
//!
//! # The path of a client's frame
//!
//! Once per link
//! 1. [`edge::listener`] accepts, on the first worker, and hands the socket to the worker with the fewest links and
//!    admissions. Whom a proxy speaks for, [`edge::proxies`] finds out, before TLS begins.
//! 2. [`edge::admit`] validates the upgrade by hand, finds the key and the model. A refusal is an HTTP status.
//! 3. [`edge::upstream::dial`] opens the upstream leg, and waits for its first event where the upstream speaks first.
//!    Still HTTP.
//! 4. [`edge::start`] has answered 101, and hands both streams, with the bytes already read, to [`relay::link`].
//!
//! Once per read
//! 5. [`relay::verbatim`] reads into the worker's scratch buffer. Where there is TLS, [`edge::tls`] deciphers to there, and in 8
//!    enciphers from there.
//! 6. `relay::judge` decides what goes on; [`relay::scan`] walks the frame headers for it: where frames begin, what they
//!    are, whether they are legal.
//! 7. [`relay::tap`] sees the first bytes of an upstream's text message: is it an event of interest?
//! 8. `relay::forwarder` writes the same bytes, in place, to the other leg. Where only whole frames are to go on, it is
//!    `relay::framed` that validates their text, and writes them anew.
//!
//! Once per link
//! 9. `relay::watch` notices that it is over where no frame says so: silence, age, a stalled peer. An order may come
//!    through [`relay::table`].
//! 10. `relay::settle` sees to what is under way upstream; [`relay::ending`] says what each leg is told, `relay::parting`
//!     and `relay::side` tell it, with a deadline.
//! 11. The [`relay::link::LinkReport`] goes to [`control::record`], the log, and [`control::meter`], the ledger;
//!     [`control::metrics`] counts it, and with the feature `otel` it leaves as a span ([`control::spans`]).
//!
//! # The life of the process
//!
//! 1. `app::sockets` binds the listening sockets, or takes those that were there before: of a service manager, or of the
//!    process whose place this one takes ([`control::takeover`]).
//! 2. Each [`worker`] builds its edge; then `app::keeper` has clients and operators let in.
//! 3. A signal, an operator or a successor begins the drain. [`control::drain`] decides what is done when, `app::house`
//!    does it: the doors are closed or given away, and the workers' links end, or are ended.
//! 4. When the workers carry nothing any more, the process exits.
//!
//! In between, `app::renewal` may put another configuration in force: each worker gets an edge of its own for those who come
//! later, and whoever has begun is served by the former one.
//!
//! What a service manager is told of all this goes through [`control::notify`].
//! What the allocator keeps for later is given back by way of [`memory`], a while after a wave of links.

#![forbid(unsafe_code)]

pub mod app;
pub mod commands;
pub mod control;
pub mod edge;
pub mod memory;
pub mod relay;
pub mod simulate;
pub mod worker;
