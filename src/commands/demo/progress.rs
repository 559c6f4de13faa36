//! Where a session has got to: a bar at the bottom of a terminal, and above it, as in any log, a line for each step that
//! is done. It refuses to know what a step is about.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::print;

/// How often the bar shows that the demo lives.
const TICK: Duration = Duration::from_millis(100);
/// The bar's resolution.
const PARTS_PER_STEP: usize = 100;

/// The steps, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Connect,
    Session,
    AudioIn,
    AudioOut,
    Transcript,
    Close,
}

impl Step {
    const COUNT: usize = Self::Close as usize + 1;

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Session => "session",
            Self::AudioIn => "audio in",
            Self::AudioOut => "audio out",
            Self::Transcript => "transcript",
            Self::Close => "close",
        }
    }
}

/// The bar, which is only drawn where stderr is a terminal. Dropped, it is gone.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Before the first step.
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("  {spinner:.green} [{bar:24.green}] {prefix:<10}  {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        let bar = ProgressBar::new((Step::COUNT * PARTS_PER_STEP) as u64).with_style(style);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// A step begins.
    pub(super) fn begin(&self, step: Step) {
        self.bar.set_prefix(step.name());
        self.bar.set_message("");
        self.bar.set_position((step as usize * PARTS_PER_STEP) as u64);
    }

    /// So much of a step is done.
    pub(super) fn part(&self, step: Step, done: usize, of: usize, what: &str) {
        self.bar.set_position((step as usize * PARTS_PER_STEP + done * PARTS_PER_STEP / of.max(1)) as u64);
        self.bar.set_message(format!("{done} of {of} {what}"));
    }

    /// What can be said of it so far.
    pub(super) fn note(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// It is done.
    pub(super) fn done(&self, text: &str) -> anyhow::Result<()> {
        let line = format!("  ✓ {:<10}  {text}\n", self.bar.prefix());
        self.bar.suspend(|| print(&line))
    }
}
