//! One conversation, as a client has it: it is asked for, set up, spoken into, listened to, and closed. It refuses to
//! know who answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::client::{self, Answer, Client, described};
use super::progress::{Progress, Step};
use super::speech::{self, APPEND_MS};
use super::stage::{CLIENT_KEY, MODEL};

/// Sooner than it can be said: nobody wants to wait for a demo.
const APPEND_INTERVAL: Duration = Duration::from_millis(APPEND_MS as u64 * 3 / 4);

/// The client is done.
pub(super) const NORMAL_CLOSURE: u16 = 1000;

/// What the client has got of it.
pub(super) struct Heard {
    /// The answer.
    pub(super) samples: Vec<i16>,
    /// The `usage` of its `response.done`.
    pub(super) usage: Value,
    /// Frames it sent.
    pub(super) sent: u64,
    /// Frames it received.
    pub(super) received: u64,
}

/// Holds it.
pub(super) async fn hold(progress: &Progress, relay: SocketAddr) -> anyhow::Result<Heard> {
    let mut client = connect(progress, relay).await?;
    configure(progress, &mut client).await?;
    speak(progress, &mut client).await?;
    let (samples, usage) = listen(progress, &mut client).await?;
    part(progress, &mut client).await?;
    Ok(Heard { samples, usage, sent: client.sent, received: client.received })
}

async fn connect(progress: &Progress, relay: SocketAddr) -> anyhow::Result<Client> {
    progress.begin(Step::Connect);
    let asked = Instant::now();
    let mut client = match client::ask(relay, CLIENT_KEY, MODEL).await? {
        Answer::Open(client) => client,
        Answer::Refused { status, body } => bail!("the relay answered {status}: {}", String::from_utf8_lossy(&body)),
    };
    let switched = asked.elapsed();
    client.until("session.created").await?;
    let created = asked.elapsed();
    progress.done(&format!("101 after {}, session.created after {}", millis(switched), millis(created)))?;
    Ok(client)
}

async fn configure(progress: &Progress, client: &mut Client) -> anyhow::Result<()> {
    progress.begin(Step::Session);
    let asked = Instant::now();
    // The client says itself when it is done speaking.
    let input = json!({ "turn_detection": null, "transcription": { "model": "gpt-4o-transcribe" } });
    let session = json!({ "type": "realtime", "output_modalities": ["audio"], "audio": { "input": input } });
    client.send(&json!({ "type": "session.update", "session": session })).await?;
    let updated = client.until("session.updated").await?;
    let elapsed = asked.elapsed();
    let (model, voice) = (&updated["session"]["model"], &updated["session"]["audio"]["output"]["voice"]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    progress.done(&format!("{}, voice {}, updated after {}", text(model), text(voice), millis(elapsed)))
}

async fn speak(progress: &Progress, client: &mut Client) -> anyhow::Result<()> {
    progress.begin(Step::AudioIn);
    let began = Instant::now();
    let question = speech::question();
    let mut clock = tokio::time::interval(APPEND_INTERVAL);
    for (index, audio) in question.iter().enumerate() {
        clock.tick().await;
        client.send(&json!({ "type": "input_audio_buffer.append", "audio": audio })).await?;
        progress.part(Step::AudioIn, index + 1, question.len(), "appends");
    }
    client.send(&json!({ "type": "input_audio_buffer.commit" })).await?;
    client.send(&json!({ "type": "response.create" })).await?;
    let (count, elapsed) = (question.len(), began.elapsed().as_secs_f64());
    progress.done(&format!("{count} appends of {APPEND_MS} ms, sent in {elapsed:.2} s"))
}

/// Listens to the end of the answer: its samples, and what it is said to have used.
async fn listen(progress: &Progress, client: &mut Client) -> anyhow::Result<(Vec<i16>, Value)> {
    progress.begin(Step::AudioOut);
    let asked = Instant::now();
    let (mut samples, mut deltas, mut first) = (Vec::new(), 0, None);
    let (mut understood, mut said) = (String::new(), String::new());
    let done = loop {
        let event = client.event().await.context("while listening to the answer")?;
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "conversation.item.input_audio_transcription.completed" => text("transcript").clone_into(&mut understood),
            "response.output_audio.delta" => {
                first.get_or_insert_with(|| asked.elapsed());
                deltas += 1;
                samples.extend(speech::decode(text("delta")).context("an audio delta holds no audio")?);
            }
            "response.output_audio_transcript.delta" => said.push_str(text("delta")),
            "response.done" => break event,
            _ => {}
        }
        progress.note(&format!("{:.1} s  {said}", speech::seconds(samples.len())));
    };
    let status = &done["response"]["status"];
    ensure!(status == "completed", "the response ended as {status}");
    let (first, seconds) = (first.context("the answer holds no audio")?, speech::seconds(samples.len()));
    progress.done(&format!("{deltas} deltas, {seconds:.2} s of speech, the first after {}", millis(first)))?;
    progress.begin(Step::Transcript);
    progress.done(&format!("client    “{understood}”\n{:16}upstream  “{said}”", ""))?;
    Ok((samples, done["response"]["usage"].clone()))
}

async fn part(progress: &Progress, client: &mut Client) -> anyhow::Result<()> {
    progress.begin(Step::Close);
    let answer = client.close(NORMAL_CLOSURE).await?;
    let answered = described(answer);
    ensure!(answer == Some(NORMAL_CLOSURE), "the close with {NORMAL_CLOSURE} was answered with {answered}");
    let Client { sent, received, .. } = client;
    progress.done(&format!("{NORMAL_CLOSURE}, answered with {answered}; {sent} frames sent, {received} received"))
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}
