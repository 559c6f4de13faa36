//! `compare`: every proxy, round after round, and what comes out of it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::bars;
use crate::cores::{self, Cores};
use crate::identity::Identity;
use crate::load::{Figures, Span};
use crate::plot;
use crate::proxy::{self, Kind, Proxy, Setting, Tuning};
use crate::results::{Results, Run};
use crate::rig::Rig;
use crate::scenario::{self, Scenario};
use crate::table;
use crate::turns::{self, Contender};

/// With `--quick`: one of each kind, to see that figures come out.
const QUICK: [&str; 6] = [
    "down-4k/plain",
    "both-200/tls-both",
    "paced-200/plain",
    "turns-200/tls-upstream",
    "idle-200/plain",
    "set-up/tls-upstream",
];

/// Run scenarios through proxies, round after round, and print medians and ratios.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag.
pub struct CompareArgs {
    /// How often everything is run
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// How long a load is measured, after a quarter of this to warm up
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Scenarios, by name or by the beginning of one and `*` [default: those that a bar needs]
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Proxies, by name [default: all that are installed]
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// Bytes under way on a saturated link, in each direction: enough that whoever reads 63 KiB at once finds them
    #[arg(long, default_value = "256k", value_name = "BYTES", value_parser = crate::bytes)]
    under_way: usize,
    /// All scenarios there are
    #[arg(long, conflicts_with = "scenario")]
    all: bool,
    /// One short round of a few scenarios and proxies
    #[arg(long, conflicts_with_all = ["scenario", "all", "rounds", "seconds"])]
    quick: bool,
    /// Say which scenarios and proxies there are, and run nothing
    #[arg(long)]
    list: bool,
    /// For latencies: no core falls asleep, and a proxy runs before whatever else the machine has to do, so that a tail is
    /// its own. Takes root
    #[arg(long)]
    undisturbed: bool,
    /// The relay
    #[arg(long, value_name = "FILE", default_value = "target/release/realtime-relay")]
    relay: PathBuf,
    /// Another build of the relay, to compare that one with, as the proxy `before`
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Where node's relay is installed
    #[arg(long, value_name = "FOLDER", default_value = "target/loadtest/node")]
    node: PathBuf,
    /// Where results.json and results.svg are written
    #[arg(long, value_name = "FOLDER", default_value = "target/loadtest")]
    out: PathBuf,
}

/// Fails if a run does, after all others have been made and told.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let scenarios = args.scenarios()?;
    if args.list {
        let names = |all: Vec<String>| all.join("\n  ");
        println!("scenarios\n  {}", names(scenario::all().iter().map(ToString::to_string).collect()));
        println!("proxies\n  {}", names(proxy::ALL.iter().map(ToString::to_string).collect()));
        return Ok(());
    }
    if args.undisturbed && !scenarios.iter().all(Scenario::is_paced) {
        bail!(
            "--undisturbed is for paced frames alone: a proxy that never sleeps would leave the system no time on its core"
        );
    }
    let folder = tempfile::tempdir()?;
    let setting = Setting {
        cores: Cores::of_process()?,
        relay: args.relay.clone(),
        before: args.before.clone(),
        node: args.node.clone(),
        files: cores::raise_open_files()?,
        undisturbed: args.undisturbed,
        identity: Identity::new(folder.path())?,
    };
    let kinds = args.kinds(&setting)?;
    fs::create_dir_all(&args.out)?;
    let mut comparison = Comparison {
        results: Results { made_with: made_with(&setting), runs: Vec::new() },
        failures: Vec::new(),
        span: args.span(),
        interrupted: interrupted()?,
        setting,
    };
    cores::pin(comparison.setting.cores.driver)?;
    let _awake = args.undisturbed.then(cores::stay_awake).transpose()?;
    let file = args.out.join("results.json");
    for round in 0..if args.quick { 1 } else { args.rounds } {
        comparison.round(round, &scenarios, &kinds);
        comparison.results.add_latencies(round);
        comparison.results.write(&file)?;
    }
    tell(&comparison.results, &file)?;
    let Comparison { failures, interrupted, .. } = comparison;
    match failures.as_slice() {
        [] if interrupted.load(Ordering::Relaxed) => bail!("interrupted: these are not all rounds"),
        [] => Ok(()),
        failures => bail!("{} runs failed:\n{}", failures.len(), failures.join("\n")),
    }
}

/// Prints the results of this file, and draws them beside it.
pub fn tell(results: &Results, file: &Path) -> anyhow::Result<()> {
    for (name, value) in &results.made_with {
        println!("{name}: {value}");
    }
    table::print(results);
    println!();
    for line in bars::judge(results) {
        println!("{line}");
    }
    let plot = file.with_extension("svg");
    fs::write(&plot, plot::draw(results)).with_context(|| format!("cannot write {}", plot.display()))
}

struct Comparison {
    results: Results,
    failures: Vec<String>,
    setting: Setting,
    span: Span,
    interrupted: Arc<AtomicBool>,
}

impl Comparison {
    /// All scenarios, in each of them all proxies; who comes first changes from round to round.
    fn round(&mut self, round: usize, scenarios: &[Scenario], kinds: &[Kind]) {
        for &scenario in scenarios {
            let mut kinds: Vec<_> = kinds.iter().copied().filter(|&kind| scenario.is_for(kind)).collect();
            let first = round % kinds.len().max(1);
            kinds.rotate_left(first);
            if scenario.is_in_turns() {
                self.side_by_side(round, scenario, &kinds);
                continue;
            }
            for kind in kinds {
                if self.interrupted.load(Ordering::Relaxed) {
                    return;
                }
                eprintln!("round {}: {scenario} {kind}", round + 1);
                let figures = self.once(scenario, kind);
                self.note(round, scenario, kind, figures);
            }
        }
    }

    /// All proxies in turns.
    fn side_by_side(&mut self, round: usize, scenario: Scenario, kinds: &[Kind]) {
        let mut contenders = Vec::new();
        for &kind in kinds {
            if self.interrupted.load(Ordering::Relaxed) {
                return;
            }
            match self.contender(scenario, kind) {
                Ok(contender) => contenders.push(contender),
                Err(error) => self.note(round, scenario, kind, Err(error)),
            }
        }
        eprintln!("round {}: {scenario}", round + 1);
        for (kind, figures) in turns::run(contenders, self.span) {
            self.note(round, scenario, kind, figures);
        }
    }

    fn contender(&self, scenario: Scenario, kind: Kind) -> anyhow::Result<Contender> {
        let (mut rig, proxy) = self.start(scenario, kind)?;
        scenario.open(&mut rig, &proxy)?;
        Contender::new(kind, proxy, rig)
    }

    fn once(&self, scenario: Scenario, kind: Kind) -> anyhow::Result<Figures> {
        let (mut rig, proxy) = self.start(scenario, kind)?;
        scenario.run(&mut rig, &proxy, self.span)
    }

    fn start(&self, scenario: Scenario, kind: Kind) -> anyhow::Result<(Rig, Proxy)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let rig = Rig::new(listener, scenario.legs(kind, &self.setting), self.interrupted.clone())?;
        let proxy = kind.start(&self.setting, scenario.tls, rig.upstream()?)?;
        Ok((rig, proxy))
    }

    fn note(&mut self, round: usize, scenario: Scenario, kind: Kind, figures: anyhow::Result<Figures>) {
        match figures {
            Ok(figures) => {
                let (scenario, proxy) = (scenario.to_string(), kind.to_string());
                self.results.runs.push(Run { round, scenario, proxy, figures });
            }
            // Told once, at the end.
            Err(_) if self.interrupted.load(Ordering::Relaxed) => {}
            Err(error) => self.failures.push(format!("round {}: {scenario} {kind}: {error:#}", round + 1)),
        }
    }
}

impl CompareArgs {
    fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        if self.all {
            return Ok(scenario::all());
        }
        if self.quick {
            return scenario::matching(&QUICK.map(str::to_owned));
        }
        scenario::matching(&if self.scenario.is_empty() { bars::scenarios() } else { self.scenario.clone() })
    }

    /// Those that can be run. What is missing is said aloud; the relay may not be.
    fn kinds(&self, setting: &Setting) -> anyhow::Result<Vec<Kind>> {
        if let Some(unknown) = self.peer.iter().find(|name| proxy::ALL.iter().all(|kind| kind.to_string() != **name)) {
            bail!("there is no proxy {unknown}");
        }
        // Which buffers they have makes no difference to whether figures come out.
        let spared = [Kind::Nginx(Tuning::Tuned), Kind::Haproxy(Tuning::Tuned), Kind::Copy(8)];
        let all = |kind: &Kind| self.peer.is_empty() && !(self.quick && spared.contains(kind));
        let chosen = |kind: &Kind| all(kind) || self.peer.contains(&kind.to_string());
        let mut kinds = Vec::new();
        for kind in proxy::ALL.into_iter().filter(chosen) {
            match kind.missing(setting) {
                None => kinds.push(kind),
                Some(why) if kind == Kind::Relay => bail!("{why}: build it first"),
                Some(_) if kind == Kind::Before && self.before.is_none() => {}
                Some(why) => eprintln!("SKIPPED: {kind}: {why}"),
            }
        }
        Ok(kinds)
    }

    fn span(&self) -> Span {
        let window = Duration::from_secs_f64(if self.quick { 0.3 } else { self.seconds });
        let after_closing = Duration::from_secs(if self.quick { 0 } else { 5 });
        Span { warm_up: window / 4, window, after_closing, under_way: self.under_way }
    }
}

/// Set by SIGINT and SIGTERM: what has been measured by then is still told.
fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

/// What takes longer is told better by more rounds.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=20.0).contains(seconds));
    seconds.ok_or_else(|| "from 0.1 to 20".to_owned())
}

fn made_with(setting: &Setting) -> Vec<(String, String)> {
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").ok();
    let Cores { proxy, driver } = setting.cores;
    let known = [
        ("machine", Some(cpu.trim_start_matches([' ', '\t', ':']).to_owned())),
        ("cores", Some(format!("the proxy on {proxy}, the driver on {driver}"))),
        ("system", first_line("uname", &["-sr"])),
        ("congestion control", congestion.map(|name| name.trim().to_owned())),
        ("undisturbed", setting.undisturbed.then(|| "all cores awake, the proxy before all else".to_owned())),
        ("commit", first_line("git", &["describe", "--always", "--dirty"])),
        ("nginx", first_line("nginx", &["-v"])),
        ("haproxy", first_line("haproxy", &["-v"])),
        ("node", first_line("node", &["--version"])),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
