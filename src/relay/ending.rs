//! How a link ends, and what each leg is told of it: the table of endings.
//!
//! It refuses to know streams and time: an [`Ending`] goes in, a [`Farewell`] for each leg comes out.

use std::io;

use super::Peer;
use super::scan::Violation;

mod event;

pub use self::event::{EventCode, error_event};

/// What ended a link, and whose doing it was.
#[derive(Debug)]
pub enum Ending {
    /// This peer sent a close frame (1005: without a code).
    Close(Peer, u16),
    /// This peer's connection ended (`None`) or failed without a close frame.
    Lost(Peer, Option<io::Error>),
    /// This peer broke RFC 6455, or sent a message larger than the limit.
    Violation(Peer, Violation),
    /// This peer took none of the bytes that waited for it within the write timeout.
    Stalled(Peer),
    /// Not a byte came from this peer for three ping intervals, though it was pinged.
    Silent(Peer),
    /// The relay itself ends it.
    Decided(Decision),
    /// A fault of the relay's own. Nothing about the link can be trusted any more: both connections were cut.
    Panic,
}

/// What the relay itself ends a link for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// No data frame went by for too long.
    IdleTimeout,
    /// The link has reached the age that it may have.
    SessionExpired,
    /// The quota of the client's key is used up.
    QuotaUsedUp,
    /// The client's key is valid no more.
    KeyRevoked,
    /// An operator asked for it.
    EndedByOperator,
    /// The process is about to stop.
    RelayRestarting,
    /// Nobody takes the records that the link makes.
    LedgerUnavailable,
}

/// What one leg is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The other peer's own close frame, which ends the link.
    TheirClose,
    /// The other peer's answer to its close frame.
    TheirAnswer,
    /// Our answer to its close frame with this code (1005: without one).
    Answer(u16),
    /// A close frame of ours, with an `error` event before it where one may stand.
    Ours {
        /// For clients only.
        event: Option<EventCode>,
        /// RFC 6455 section 7.4.
        close: u16,
    },
    /// Nothing: there is nobody left to tell.
    Nothing,
    /// A reset: it takes nothing more.
    Abort,
}

// Close codes, RFC 6455 section 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const POLICY_VIOLATION: u16 = 1008;
const MESSAGE_TOO_BIG: u16 = 1009;
const INTERNAL_ERROR: u16 = 1011;
const SERVICE_RESTART: u16 = 1012;

impl Ending {
    /// Every [`name`](Self::name) there is.
    pub const NAMES: [&str; 18] = [
        "client_close",
        "upstream_close",
        "client_lost",
        "upstream_lost",
        "client_protocol_error",
        "upstream_protocol_error",
        "client_message_too_big",
        "upstream_message_too_big",
        "client_stalled",
        "upstream_stalled",
        "idle_timeout",
        "session_expired",
        "insufficient_quota",
        "key_revoked",
        "ended_by_operator",
        "relay_restarting",
        "ledger_unavailable",
        "panic",
    ];

    /// The word for it in records and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Close(Peer::Client, _) => "client_close",
            Self::Close(Peer::Upstream, _) => "upstream_close",
            Self::Lost(Peer::Client, _) | Self::Silent(Peer::Client) => "client_lost",
            Self::Lost(Peer::Upstream, _) | Self::Silent(Peer::Upstream) => "upstream_lost",
            Self::Violation(Peer::Client, Violation::MessageTooBig(_)) => "client_message_too_big",
            Self::Violation(Peer::Upstream, Violation::MessageTooBig(_)) => "upstream_message_too_big",
            Self::Violation(Peer::Client, _) => "client_protocol_error",
            Self::Violation(Peer::Upstream, _) => "upstream_protocol_error",
            Self::Stalled(Peer::Client) => "client_stalled",
            Self::Stalled(Peer::Upstream) => "upstream_stalled",
            Self::Decided(decision) => decision.code(),
            Self::Panic => "panic",
        }
    }

    /// What `peer` is told. `settling`: a response is under way, or may be, so the upstream will not answer at once.
    pub fn farewell(&self, peer: Peer, settling: bool) -> Farewell {
        let event = |code, close| Farewell::Ours { event: Some(code), close };
        let close = |close| Farewell::Ours { event: None, close };
        match (self, peer) {
            (Self::Close(who, _), peer) if *who != peer => Farewell::TheirClose,
            (Self::Close(_, code), _) if settling => Farewell::Answer(*code),
            (Self::Close(..), _) => Farewell::TheirAnswer,
            (Self::Lost(who, _), peer) if *who == peer => Farewell::Nothing,
            (Self::Stalled(who) | Self::Silent(who), peer) if *who == peer => Farewell::Abort,
            (Self::Panic, _) => Farewell::Abort,
            (Self::Decided(decision), Peer::Client) => event(EventCode::Decided(*decision), decision.told_client()),
            (Self::Decided(decision), Peer::Upstream) => close(decision.told_upstream()),
            (Self::Lost(..) | Self::Silent(_), Peer::Client) => {
                event(EventCode::UpstreamConnectionLost, INTERNAL_ERROR)
            }
            (Self::Violation(Peer::Upstream, Violation::MessageTooBig(_)), Peer::Client) => {
                event(EventCode::UpstreamMessageTooBig, INTERNAL_ERROR)
            }
            (Self::Violation(Peer::Upstream, _), Peer::Client) => {
                event(EventCode::UpstreamProtocolError, INTERNAL_ERROR)
            }
            (Self::Violation(who, Violation::MessageTooBig(_)), peer) if *who == peer => close(MESSAGE_TOO_BIG),
            (Self::Violation(who, Violation::InvalidUtf8), peer) if *who == peer => close(INVALID_PAYLOAD),
            (Self::Violation(who, _), peer) if *who == peer => close(PROTOCOL_ERROR),
            (Self::Lost(..) | Self::Silent(_) | Self::Violation(..) | Self::Stalled(_), _) => close(GOING_AWAY),
        }
    }

    /// Whether a response that is under way is awaited before the upstream is told.
    pub fn settles(&self) -> bool {
        match self {
            Self::Close(who, _) | Self::Lost(who, _) | Self::Silent(who) | Self::Violation(who, _) => {
                *who == Peer::Client
            }
            Self::Stalled(who) => *who == Peer::Client,
            Self::Decided(decision) => !matches!(decision, Decision::IdleTimeout | Decision::LedgerUnavailable),
            Self::Panic => false,
        }
    }

    /// What is told in words, in the close frame's reason, the event's message and the log; no secrets, no addresses.
    pub fn reason(&self) -> String {
        match self {
            Self::Close(peer, code) => format!("the {} closed with {code}", peer.name()),
            Self::Lost(peer, None) => format!("the {}'s connection ended without a close frame", peer.name()),
            Self::Lost(peer, Some(error)) => {
                format!("the {}'s connection failed without a close frame: {}", peer.name(), error.kind())
            }
            Self::Violation(peer, violation) => format!("the {} broke the protocol: {violation}", peer.name()),
            Self::Stalled(peer) => format!("the {} took no bytes within the write timeout", peer.name()),
            Self::Silent(peer) => format!("the {} sent nothing, not even the pong to a ping", peer.name()),
            Self::Decided(decision) => decision.reason().to_owned(),
            Self::Panic => "a fault of the relay itself".to_owned(),
        }
    }
}

impl Decision {
    /// The `code` of its event, which is also its name in records.
    pub fn code(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::SessionExpired => "session_expired",
            Self::QuotaUsedUp => "insufficient_quota",
            Self::KeyRevoked => "key_revoked",
            Self::EndedByOperator => "ended_by_operator",
            Self::RelayRestarting => "relay_restarting",
            Self::LedgerUnavailable => "ledger_unavailable",
        }
    }

    fn error_type(self) -> &'static str {
        match self {
            Self::IdleTimeout | Self::SessionExpired => "invalid_request_error",
            Self::QuotaUsedUp => "insufficient_quota",
            Self::KeyRevoked | Self::EndedByOperator => "permission_error",
            Self::RelayRestarting | Self::LedgerUnavailable => "server_error",
        }
    }

    fn told_client(self) -> u16 {
        match self {
            Self::IdleTimeout | Self::SessionExpired => GOING_AWAY,
            Self::QuotaUsedUp | Self::KeyRevoked | Self::EndedByOperator => POLICY_VIOLATION,
            Self::RelayRestarting => SERVICE_RESTART,
            Self::LedgerUnavailable => INTERNAL_ERROR,
        }
    }

    fn told_upstream(self) -> u16 {
        match self {
            Self::QuotaUsedUp | Self::KeyRevoked | Self::EndedByOperator => NORMAL,
            Self::IdleTimeout | Self::SessionExpired | Self::RelayRestarting | Self::LedgerUnavailable => GOING_AWAY,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::IdleTimeout => "nothing was said for too long",
            Self::SessionExpired => "the session has reached its maximum duration",
            Self::QuotaUsedUp => "the quota of this key is used up",
            Self::KeyRevoked => "this key is not valid any more",
            Self::EndedByOperator => "an operator of the relay ended the session",
            Self::RelayRestarting => "the relay is restarting; connect again",
            Self::LedgerUnavailable => "the relay cannot record what the session uses",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_ending_has_a_name_on_the_list() {
        let of_peer = |peer| {
            [
                Ending::Close(peer, NORMAL),
                Ending::Lost(peer, None),
                Ending::Silent(peer),
                Ending::Violation(peer, Violation::MessageTooBig(1)),
                Ending::Violation(peer, Violation::ReservedBit),
                Ending::Stalled(peer),
            ]
        };
        let decided = [
            Decision::IdleTimeout,
            Decision::SessionExpired,
            Decision::QuotaUsedUp,
            Decision::KeyRevoked,
            Decision::EndedByOperator,
            Decision::RelayRestarting,
            Decision::LedgerUnavailable,
        ];
        let endings = [Peer::Client, Peer::Upstream].into_iter().flat_map(of_peer);
        let endings = endings.chain(decided.map(Ending::Decided)).chain([Ending::Panic]);
        let names: BTreeSet<_> = endings.map(|ending| ending.name()).collect();
        assert_eq!(names, Ending::NAMES.into());
    }
}
