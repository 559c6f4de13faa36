//! An upstream that answers, and keeps account of what it says that its answers used: what a ledger must come to.
//!
//! A client that says `response.create` is answered at once; one that says `slowly` as well is not before it says
//! something else, or has the response cancelled. Refuses to use the relay's own prices and sums.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::frame::{CLOSE, Frame, PING, TEXT};
use super::ledger::Ledger;
use super::leg::Leg;
use super::upstream::{Asked, Serving, Upstream};

/// Nano-dollars a token of `gpt-realtime`: input, cached input, output.
const TEXT_RATES: [u64; 3] = [4_000, 400, 16_000];
const AUDIO_RATES: [u64; 3] = [32_000, 400, 64_000];
const IMAGE_RATES: [u64; 3] = [5_000, 500, 0];

/// What was used: input, cached input and output of each kind, what it cost, and in how many responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub responses: u64,
    pub text: [u64; 3],
    pub audio: [u64; 3],
    pub image: [u64; 3],
    pub nano_usd: u64,
}

/// The columns of the ledger that make a [`Sum`].
const SUMS: &str = "count(*), total(input_text), total(cached_text), total(output_text), total(input_audio), \
                    total(cached_audio), total(output_audio), total(input_image), total(cached_image), 0, \
                    total(cost_nano_usd)";

/// What was used, by the id of the request that opened the link.
pub type Sums = BTreeMap<String, Sum>;

/// What an upstream has said.
#[derive(Clone, Default)]
pub struct Account(Arc<Mutex<Sums>>);

impl Account {
    /// Answers everybody, in the background.
    pub fn serve(&self, upstream: &Upstream) -> Serving {
        let account = self.clone();
        upstream.serve(move |asked| answer(asked, account.clone()))
    }

    /// What was said to have been used, by link.
    pub fn sums(&self) -> Sums {
        self.0.lock().unwrap().clone()
    }

    /// What was said to have been used, by all.
    pub fn total(&self) -> Sum {
        self.sums().values().fold(Sum::default(), |total, sum| total.plus(sum))
    }

    fn note(&self, link: &str, sum: &Sum) {
        let mut sums = self.0.lock().unwrap();
        let of_link = sums.entry(link.to_owned()).or_default();
        *of_link = of_link.plus(sum);
    }
}

/// What a ledger says was used, by link; only those whose rows of `link` are like this.
pub fn recorded(ledger: &Ledger, links: &str) -> Sums {
    let rows = ledger
        .ask(&format!("SELECT request_id, {SUMS} FROM usage JOIN link USING (link_id) WHERE {links} GROUP BY link_id"));
    let sum = |row: &String| {
        let (link, columns) = row.split_once('|').unwrap();
        (link.to_owned(), Sum::read(columns))
    };
    rows.iter().map(sum).collect()
}

/// What a ledger says was used.
pub fn recorded_in_all(ledger: &Ledger) -> Sum {
    Sum::read(&ledger.ask(&format!("SELECT {SUMS} FROM usage"))[0])
}

impl Sum {
    fn plus(&self, more: &Self) -> Self {
        let add = |one: [u64; 3], other: [u64; 3]| [one[0] + other[0], one[1] + other[1], one[2] + other[2]];
        Self {
            responses: self.responses + more.responses,
            text: add(self.text, more.text),
            audio: add(self.audio, more.audio),
            image: add(self.image, more.image),
            nano_usd: self.nano_usd + more.nano_usd,
        }
    }

    /// A total is printed as a real number, and is whole.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn read(columns: &str) -> Self {
        let whole = |column: &str| column.parse::<f64>().unwrap() as u64;
        let columns: Vec<_> = columns.split('|').map(whole).collect();
        let three = |from: usize| [columns[from], columns[from + 1], columns[from + 2]];
        Self { responses: columns[0], text: three(1), audio: three(4), image: three(7), nano_usd: columns[10] }
    }

    /// What the response of this number used: different every time, and each cached count within its input.
    fn of_response(number: u64) -> Self {
        let mut lot = Lots(number);
        let mut tokens = |most| {
            let input = lot.draw(most);
            [input, lot.draw(input + 1), lot.draw(most)]
        };
        let (text, audio, [image, cached_image, _]) = (tokens(900), tokens(3000), tokens(300));
        let image = [image, cached_image, 0];
        let cost = |[input, cached, output]: [u64; 3], rates: [u64; 3]| {
            (input - cached) * rates[0] + cached * rates[1] + output * rates[2]
        };
        let nano_usd = cost(text, TEXT_RATES) + cost(audio, AUDIO_RATES) + cost(image, IMAGE_RATES);
        Self { responses: 1, text, audio, image, nano_usd }
    }

    fn usage(&self) -> Value {
        let Self { text, audio, image, .. } = self;
        let of = |index: usize| text[index] + audio[index] + image[index];
        json!({
            "total_tokens": of(0) + of(2), "input_tokens": of(0), "output_tokens": of(2),
            "input_token_details": {
                "text_tokens": text[0], "audio_tokens": audio[0], "image_tokens": image[0], "cached_tokens": of(1),
                "cached_tokens_details": { "text_tokens": text[1], "audio_tokens": audio[1], "image_tokens": image[1] },
            },
            "output_token_details": { "text_tokens": text[2], "audio_tokens": audio[2] },
        })
    }
}

/// Numbers without a pattern, the same in every run (splitmix64).
pub struct Lots(pub u64);

impl Lots {
    pub fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

async fn answer(asked: Asked, account: Account) {
    let link = asked.head.header("x-client-request-id").expect("the id of the request").to_owned();
    let mut leg = asked.switch().await;
    let (mut count, mut open) = (0, None);
    while let Some(frame) = leg.next_or_end().await {
        match frame.opcode {
            CLOSE => {
                // Whoever is not there any more needs no answer.
                leg.try_send(&[Frame { mask: None, ..frame }]).await;
                return leg.rest().await;
            }
            PING => {
                leg.try_send(&[Frame::pong(&frame.payload)]).await;
            }
            TEXT => {
                let text = String::from_utf8(frame.payload).unwrap();
                if let Some(number) = open.take() {
                    let status = if text.contains("response.cancel") { "cancelled" } else { "completed" };
                    finish(&mut leg, &account, &link, number, status).await;
                }
                if text.contains("response.create") {
                    count += 1;
                    begin(&mut leg, &link, count).await;
                    if text.contains("slowly") {
                        open = Some(count);
                    } else {
                        finish(&mut leg, &account, &link, count, "completed").await;
                    }
                }
            }
            _ => {}
        }
    }
}

async fn begin(leg: &mut Leg, link: &str, number: u64) {
    let created = json!({ "type": "response.created", "response": { "id": response_id(link, number) } });
    let delta = json!({ "type": "response.output_audio.delta", "delta": "A".repeat(300) });
    leg.try_send(&[Frame::text(created.to_string()), Frame::text(delta.to_string())]).await;
}

/// Different on every link.
fn response_id(link: &str, number: u64) -> String {
    format!("resp_{number}_of_{link}")
}

/// What it used is noted before it is said. Every third time it is said twice.
async fn finish(leg: &mut Leg, account: &Account, link: &str, number: u64, status: &str) {
    let seed = link.bytes().fold(number, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let sum = Sum::of_response(seed);
    account.note(link, &sum);
    let done = json!({
        "type": "response.done",
        "response": { "id": response_id(link, number), "status": status, "usage": sum.usage() },
    });
    let done = Frame::text(done.to_string());
    let twice = [done.clone(), done];
    leg.try_send(if number.is_multiple_of(3) { &twice } else { &twice[..1] }).await;
}
