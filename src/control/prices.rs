//! What tokens and minutes cost: the table of prices, and the cost of what was used, in whole nano-dollars.
//!
//! No float takes part: a price is a whole number of pico-dollars a token, and a sum is rounded once, at its end. It
//! refuses to know where prices are written and what becomes of a cost.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::relay::events::Usage;

/// Pico-dollars in a nano-dollar. A price of a token is in pico-dollars: USD per million with six decimals, exact.
const PICO_IN_NANO: u128 = 1_000;
/// A time in nanoseconds, times a price a minute, divided by this, is a cost.
const NANOSECONDS_IN_MINUTE: u128 = 60_000_000_000;
/// What a trailing date looks like: `-2025-08-28`. A `0` stands for any digit.
const DATE: &[u8] = b"-0000-00-00";

/// An amount of money in nano-dollars: 1 USD is 1,000,000,000. It fits a signed 64-bit column, and stops there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most there can be: nine billion dollars.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// So many nano-dollars, at most [`NanoUsd::MAX`].
    pub fn new(nano: u64) -> Self {
        Self(nano).min(Self::MAX)
    }

    /// In nano-dollars.
    pub fn nano(self) -> u64 {
        self.0
    }

    /// In dollars, for those who print or plot it.
    #[allow(clippy::cast_precision_loss)] // exact to the cent up to 90 trillion
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }

    fn rounded(amount: u128, parts: u128) -> Self {
        let nano = amount.saturating_add(parts / 2) / parts;
        Self::new(u64::try_from(nano).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for NanoUsd {
    /// In dollars, exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Every price there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    models: BTreeMap<String, TokenPrices>,
    transcription: BTreeMap<String, TranscriptionPrices>,
}

impl Prices {
    /// These, by the names they are for.
    pub fn new(models: BTreeMap<String, TokenPrices>, transcription: BTreeMap<String, TranscriptionPrices>) -> Self {
        Self { models, transcription }
    }

    /// These, and `over` them others. An entry takes the place of one of its name as a whole.
    #[must_use]
    pub fn overridden_by(mut self, over: Self) -> Self {
        self.models.extend(over.models);
        self.transcription.extend(over.transcription);
        self
    }

    /// What the responses of a model cost: its own entry, else that of its name without a trailing date. Never by prefix.
    pub fn of_model(&self, name: &str) -> Option<&TokenPrices> {
        entry(&self.models, name)
    }

    /// What a transcription model costs, by the same rule.
    pub fn of_transcription(&self, name: &str) -> Option<&TranscriptionPrices> {
        entry(&self.transcription, name)
    }

    /// The name of the entry that is found for this one, of whichever kind.
    pub fn entry_of(&self, name: &str) -> Option<&str> {
        let has = |name: &str| self.models.contains_key(name) || self.transcription.contains_key(name);
        let found = if has(name) { name } else { without_date(name).filter(|name| has(name))? };
        let entry = self.models.get_key_value(found).map(|(name, _)| name);
        entry.or_else(|| self.transcription.get_key_value(found).map(|(name, _)| name)).map(String::as_str)
    }

    /// The models that have an entry.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }
}

/// The prices of a model's tokens, by modality. `None`: tokens of it have no price here, which is not a price of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    /// Text.
    pub text: Option<Rates>,
    /// Audio.
    pub audio: Option<Rates>,
    /// Images.
    pub image: Option<Rates>,
}

/// Pico-dollars a token, which are micro-dollars per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// What went in and was not cached.
    pub input: u64,
    /// What went in and was cached.
    pub cached: u64,
    /// What came out.
    pub output: u64,
}

impl TokenPrices {
    /// What it costs; `None` where tokens were used that have no price. What was not used needs none.
    pub fn cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let Usage { input, cached, output } = usage;
        let modalities = [
            (self.text, [input.text, cached.text, output.text]),
            (self.audio, [input.audio, cached.audio, output.audio]),
            (self.image, [input.image, cached.image, output.image]),
        ];
        let mut pico: u128 = 0;
        for (rates, [input, cached, output]) in modalities {
            match rates {
                Some(rates) => pico = pico.saturating_add(rates.cost(input, cached.min(input), output)),
                None if input == 0 && output == 0 => {}
                None => return None,
            }
        }
        Some(NanoUsd::rounded(pico, PICO_IN_NANO))
    }
}

impl Rates {
    /// In pico-dollars. A product of 64 bits each fits 128; the sum stops at the end.
    fn cost(self, input: u64, cached: u64, output: u64) -> u128 {
        let parts = [(input - cached, self.input), (cached, self.cached), (output, self.output)];
        let costs = parts.map(|(tokens, rate)| u128::from(tokens) * u128::from(rate));
        costs.into_iter().fold(0, u128::saturating_add)
    }
}

/// The prices of a transcription model, which bills tokens or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranscriptionPrices {
    /// Of its tokens.
    pub tokens: TokenPrices,
    /// Nano-dollars a minute; `None`: its time has no price.
    pub minute: Option<u64>,
}

impl TranscriptionPrices {
    /// What so much audio costs; `None` where its time has no price.
    pub fn cost_of_time(&self, audio: Duration) -> Option<NanoUsd> {
        let cost = audio.as_nanos().saturating_mul(u128::from(self.minute?));
        Some(NanoUsd::rounded(cost, NANOSECONDS_IN_MINUTE))
    }
}

fn entry<'t, T>(table: &'t BTreeMap<String, T>, name: &str) -> Option<&'t T> {
    table.get(name).or_else(|| table.get(without_date(name)?))
}

fn without_date(name: &str) -> Option<&str> {
    let (rest, date) = name.split_at_checked(name.len().checked_sub(DATE.len())?)?;
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    date.bytes().zip(DATE).all(fits).then_some(rest)
}
