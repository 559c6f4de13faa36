//! `demo`: one spoken session through a relay of its own, to a simulated upstream, and what came of it. It needs no key,
//! no network and no configuration.
//!
//! ```text
//!  stage      the simulated upstream and the relay, on free loopback ports
//!  session    one conversation, with client (an ordinary one) and speech (what it says)
//!  recorder   what the relay wrote down of it, and records, what that says
//!  refusals   what a client sees when something is wrong
//!  progress   where the demo has got to, on a terminal or in a log
//! ```
//!
//! It refuses to look into the relay: it sees what clients and operators see. What it sees it holds against what it must
//! be, so that a demo that ends well says something.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;

use bill::Bill;
use progress::Progress;
use recorder::Records;
use session::Heard;
use stage::Stage;

mod bill;
mod client;
mod progress;
mod recorder;
mod records;
mod refusals;
mod session;
mod speech;
mod stage;

/// Where the answer goes, in the working folder.
const ANSWER_FILE: &str = "demo.wav";

const OPENING: &str = "\
One spoken session through a relay, to a simulated upstream. No key, no network.
";

const WHAT_NEXT: &str = r#"
What next
  Run the relay against OpenAI:
      OPENAI_API_KEY=sk-… realtime-relay serve
  Point a client at ws://127.0.0.1:8080/v1/realtime?model=gpt-realtime, in Python:
      client = AsyncOpenAI(websocket_base_url="ws://127.0.0.1:8080/v1", api_key="unused")
  See who used how much, and what it cost:
      realtime-relay usage
  See the configuration in effect, or everything that is wrong with it:
      realtime-relay check
  Try your own client without a key, with faults on request:
      realtime-relay simulate
"#;

/// Show one spoken session through the relay, without a key, a network or a configuration.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DemoArgs {}

/// Exits 0 if everything was as it must be, else 1.
pub fn run(_args: DemoArgs) -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone too, the exit code says it.
            let _ = writeln!(io::stderr(), "the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> anyhow::Result<()> {
    let records = recorder::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(records))
}

async fn play(mut records: Records) -> anyhow::Result<()> {
    print(OPENING)?;
    let stage = Stage::set().await?;
    print(&format!("  client → relay {} → simulated upstream {}\n", stage.relay(), stage.upstream()))?;
    print("  The client has a key of the relay's; the upstream's is known to the relay alone.\n\n")?;

    let progress = Progress::new();
    let heard = session::hold(&progress, stage.relay()).await?;
    drop(progress);
    keep(&heard)?;

    let link = records.next_link().await?;
    print(&format!("\nWhat the relay recorded of it\n{link}"))?;
    link.hold_against(&heard)?;
    let bill = Bill::read(stage.ledger(), &heard).await?;
    print(&bill.to_string())?;

    print("\nWhat a client sees when something is wrong\n")?;
    for case in refusals::cases() {
        let refused = case.ask(stage.relay()).await?;
        print(&refused.to_string())?;
        case.hold_against(&refused)?;
    }
    print(WHAT_NEXT)
}

fn keep(heard: &Heard) -> anyhow::Result<()> {
    let seconds = speech::seconds(heard.samples.len());
    speech::write(ANSWER_FILE, &heard.samples).with_context(|| format!("cannot write {ANSWER_FILE} here"))?;
    print(&format!("\nThe answer is in {ANSWER_FILE}: {seconds:.2} s of tones, one a syllable\n"))
}

/// Not `print!`: a reader that has gone must not be a panic.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write to stdout")
}
