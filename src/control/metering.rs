//! What all workers share of the metering: the way to the ledger, the quotas, the prices.
//!
//! It refuses to know links; each has a [`Meter`](super::meter::Meter) of its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::config::{self, Allowance, Durability, OnFailure, Period};
use super::ledger::{Accountant, Accounts, Health, Ledger, LedgerError, NewUsage, Opened, Record, Recorder, Settings};
use super::metrics::{Counted, Metrics};
use super::prices::{NanoUsd, Prices};
use super::quota::{Crossed, QuotaUsedUp, Quotas, Standing};
use super::record::{self, clip};

/// Of so many models it is said that they have no price. Clients may call a model as they like, where its upstream lets
/// them.
const MOST_UNPRICED: usize = 1_000;

/// A worker's share of the metering. Clones share everything but the place in the line for the ledger.
#[derive(Debug, Clone)]
pub struct Metering {
    /// To be cloned for each link.
    pub recorder: Recorder,
    /// What costs what.
    pub prices: Arc<Prices>,
    /// Whether a response is delivered only when it is recorded.
    pub before_delivery: bool,
    /// Whether the transcription of what clients say is metered on every link.
    pub transcription: bool,
    /// Replaced where they are counted, on the ledger's thread.
    quotas: Arc<ArcSwap<Quotas>>,
    on_failure: OnFailure,
    /// What links had in hand that were dropped, and found no room in the ledger.
    left: Arc<Mutex<Vec<Record>>>,
    /// Models that were used without a price, of which the log has told.
    unpriced: Arc<Mutex<HashSet<Box<str>>>>,
}

impl Metering {
    /// Opens the ledger, counts what was used of each quota, and begins to write. What is written is
    /// counted in `metrics`. `used_up` is told the name of a key
    /// whose quota has just been used up, on the ledger's thread; it must not block.
    pub fn start(
        config: &config::Config,
        metrics: &Metrics,
        used_up: impl Fn(&str) + Send + 'static,
    ) -> Result<(Self, Ledger), LedgerError> {
        let opened = Opened::new(&Settings::from(&config.metering))?;
        let quotas = Quotas::new(&config.keys, SystemTime::now(), |key, time| opened.used(key, time))?;
        let quotas = Arc::new(ArcSwap::from_pointee(quotas));
        let ledger = opened.start(Counted::new(metrics, {
            let quotas = quotas.clone();
            move |new: &NewUsage| {
                let crossed =
                    quotas.load().of(&new.key).map(|counter| counter.add(new.at_ms, new.used, SystemTime::now()));
                if crossed == Some(Crossed::JustNow) {
                    used_up(&new.key);
                }
            }
        }))?;
        let metering = Self {
            recorder: ledger.recorder(),
            prices: Arc::new(config.metering.prices.clone()),
            before_delivery: config.metering.durability == Durability::BeforeDelivery,
            transcription: config.metering.transcription,
            quotas,
            on_failure: config.metering.on_failure,
            left: Arc::default(),
            unpriced: Arc::default(),
        };
        Ok((metering, ledger))
    }

    /// The same under another configuration, once the quotas are those of that: `accountant` asks the ledger what was used
    /// of those that are new. Links that run are metered on as they began. Fails where the ledger does not answer within
    /// `patience`, or has ended; then nothing has changed, and nothing will.
    ///
    /// Not cancel safe: dropped, it may have changed the quotas.
    pub async fn renewed(
        &self,
        config: &config::Config,
        accountant: &Accountant,
        patience: Duration,
    ) -> Result<Self, Unaccounted> {
        let (quotas, keys) = (self.quotas.clone(), config.keys.clone());
        // Whoever takes it decides: the ledger's thread, which then changes them, or who does not want to wait any longer.
        let wanted = Arc::new(AtomicBool::new(true));
        let still_wanted = wanted.clone();
        let account = move |accounts: &Accounts<'_>| {
            let used = |key: &str, time: &_| accounts.used(key, time);
            let renewed = quotas.load().renewed(&keys, SystemTime::now(), used)?;
            if still_wanted.swap(false, Ordering::Relaxed) {
                quotas.store(Arc::new(renewed));
            }
            Ok::<_, LedgerError>(())
        };
        let mut asking = std::pin::pin!(accountant.ask(account));
        let answer = match timeout(patience, &mut asking).await {
            Ok(answer) => answer,
            Err(_) if wanted.swap(false, Ordering::Relaxed) => return Err(Unaccounted::Slow),
            Err(_) => asking.await,
        };
        answer.ok_or(Unaccounted::Ended)??;
        let (prices, transcription) = (Arc::new(config.metering.prices.clone()), config.metering.transcription);
        Ok(Self { prices, transcription, unpriced: Arc::default(), ..self.clone() })
    }

    /// The names of the keys whose quota is used up.
    pub fn used_up(&self) -> Vec<String> {
        self.quotas.load().used_up(SystemTime::now())
    }

    /// Whether anything is left of a key's quota; a key without one has always something left.
    pub fn check_quota(&self, key: &str) -> Result<(), QuotaUsedUp> {
        self.quotas.load().of(key).map_or(Ok(()), |counter| counter.check(SystemTime::now()))
    }

    /// How the quota of each key that has one stands, as operators are told.
    pub fn quotas(&self) -> BTreeMap<String, Value> {
        let now = SystemTime::now();
        self.quotas.load().iter().map(|(key, counter)| (key.to_owned(), told(&counter.standing(now)))).collect()
    }

    /// The part of its quota that each key has used.
    pub fn quota_ratios(&self) -> Vec<(String, f64)> {
        let now = SystemTime::now();
        self.quotas.load().iter().map(|(key, counter)| (key.to_owned(), counter.standing(now).ratio())).collect()
    }

    /// Why no link may begin: nobody would record what it uses. `None`: the ledger takes records, or the log does.
    pub fn unavailable(&self) -> Option<&'static str> {
        let fails = self.on_failure == OnFailure::Stall && *self.recorder.health() != Health::Ok;
        fails.then_some("ledger_unavailable: the ledger takes no records")
    }

    /// A record that nobody takes any more, for [`take_left`](Self::take_left).
    pub fn leave(&self, record: Record) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// The records that were left. Whoever ends the process prints them.
    pub fn take_left(&self) -> Vec<Record> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A model was used that has no price. It is said once.
    pub fn note_unpriced(&self, model: &str) {
        let mut told = self.unpriced.lock().unwrap_or_else(PoisonError::into_inner);
        let model = clip(model);
        if told.len() < MOST_UNPRICED && !told.contains(&*model) {
            told.insert((*model).into());
            record::unpriced(&model);
        }
    }
}

/// Nobody can say what was used of a quota.
#[derive(Debug, thiserror::Error)]
pub enum Unaccounted {
    /// The ledger's thread is gone.
    #[error("the ledger has ended")]
    Ended,
    /// It has much else to do.
    #[error("the ledger did not answer in time; try again")]
    Slow,
    /// It could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// In dollars or in tokens, as the quota is.
fn told(standing: &Standing) -> Value {
    let Standing { quota, used, left } = *standing;
    let per = match quota.per {
        Period::Day => "day",
        Period::Month => "month",
        Period::Total => "total",
    };
    match quota.allowance {
        Allowance::Usd(most) => {
            let dollars = |nano| NanoUsd::new(nano).dollars();
            json!({ "usd": most.dollars(), "per": per, "used": dollars(used), "left": dollars(left) })
        }
        Allowance::Tokens(most) => json!({ "tokens": most, "per": per, "used": used, "left": left }),
    }
}
