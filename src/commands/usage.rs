//! `realtime-relay usage`: who used how much, as a table, as JSON or as CSV. Reads a ledger while a relay writes to it.
//! Refuses to know how it is summed up, and needs no secret of the configuration.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::control::config::{Sources, ledger_of};
use crate::control::ledger::{By, Group, report};

/// Say who used how much.
#[derive(Clone, Debug, clap::Args)]
pub struct UsageArgs {
    /// The configuration that names the ledger [default: relay.toml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE", conflicts_with = "ledger")]
    config: Option<PathBuf>,
    /// The ledger itself
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// What is summed up together: key, model, upstream or day (in UTC)
    #[arg(long, default_value = "key", value_parser = by)]
    by: By,
    /// Only what was recorded in this time, such as 24h or 30d [default: everything]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Print an array of objects
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values with a header
    #[arg(long)]
    csv: bool,
}

/// Exits 0 with the sums, 2 if the configuration is wrong, 1 if there is no ledger or it cannot be read.
pub fn run(args: UsageArgs) -> ExitCode {
    let ledger = match args.ledger.map_or_else(|| ledger_of(&Sources::of_process(args.config)), Ok) {
        Ok(ledger) => ledger,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    let since = args.since.and_then(|time| SystemTime::now().checked_sub(time));
    let groups = match report(&ledger, args.by, since) {
        Ok(groups) => groups,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let printed = match (args.json, args.csv) {
        (true, _) => json(&groups),
        (_, true) => csv(&groups),
        _ => write!(io::stdout(), "{}", table(args.by, &groups)),
    };
    // Whoever reads may have gone.
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn by(name: &str) -> Result<By, String> {
    By::parse(name).ok_or_else(|| format!("one of {}", By::ALL.map(By::name).join(", ")))
}

fn json(groups: &[Group]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, groups)?;
    writeln!(stdout)
}

fn csv(groups: &[Group]) -> io::Result<()> {
    let mut lines = csv::WriterBuilder::new().has_headers(false).from_writer(io::stdout().lock());
    lines.write_record(COLUMNS)?; // also where there is no group
    groups.iter().try_for_each(|group| lines.serialize(group))?;
    lines.flush()
}

/// The fields of a [`Group`], in order.
const COLUMNS: [&str; 15] = [
    "group",
    "links",
    "responses",
    "transcriptions",
    "input_text",
    "input_audio",
    "input_image",
    "cached_text",
    "cached_audio",
    "cached_image",
    "output_text",
    "output_audio",
    "seconds",
    "cost_usd",
    "unpriced",
];

/// For people: a line a group, without the columns in which there is nothing, and a line for all.
fn table(by: By, groups: &[Group]) -> String {
    if groups.is_empty() {
        return "nothing was recorded\n".to_owned();
    }
    let mut rows: Vec<_> = groups.iter().map(cells).collect();
    if groups.len() > 1 {
        rows.push(cells(&Group { group: "total".to_owned(), ..sum(groups) }));
    }
    let title = |column: &str| if column == "group" { by.name().to_owned() } else { column.to_owned() };
    let always = ["group", "links", "responses", "cost_usd"];
    let mut lines = vec![String::new(); rows.len() + 1];
    for (index, column) in COLUMNS.into_iter().enumerate() {
        if !always.contains(&column) && rows.iter().all(|row| row[index] == "0") {
            continue;
        }
        let cells: Vec<_> = [title(column)].into_iter().chain(rows.iter().map(|row| row[index].clone())).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(&cells) {
            let written = if index == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
            written.expect("a String takes everything");
        }
    }
    lines.join("\n") + "\n"
}

fn cells(group: &Group) -> [String; COLUMNS.len()] {
    let seconds = if group.seconds > 0.0 { format!("{:.1}", group.seconds) } else { "0".to_owned() };
    // A client may have chosen the name of a model, and a terminal must not obey it.
    let name = group.group.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char });
    [
        name.collect(),
        group.links.to_string(),
        group.responses.to_string(),
        group.transcriptions.to_string(),
        group.input_text.to_string(),
        group.input_audio.to_string(),
        group.input_image.to_string(),
        group.cached_text.to_string(),
        group.cached_audio.to_string(),
        group.cached_image.to_string(),
        group.output_text.to_string(),
        group.output_audio.to_string(),
        seconds,
        format!("{:.6}", group.cost_usd),
        group.unpriced.to_string(),
    ]
}

fn sum(groups: &[Group]) -> Group {
    let count = |field: fn(&Group) -> u64| groups.iter().map(field).fold(0, u64::saturating_add);
    Group {
        group: String::new(),
        links: count(|group| group.links),
        responses: count(|group| group.responses),
        transcriptions: count(|group| group.transcriptions),
        input_text: count(|group| group.input_text),
        input_audio: count(|group| group.input_audio),
        input_image: count(|group| group.input_image),
        cached_text: count(|group| group.cached_text),
        cached_audio: count(|group| group.cached_audio),
        cached_image: count(|group| group.cached_image),
        output_text: count(|group| group.output_text),
        output_audio: count(|group| group.output_audio),
        seconds: groups.iter().map(|group| group.seconds).sum(),
        cost_usd: groups.iter().map(|group| group.cost_usd).sum(),
        unpriced: count(|group| group.unpriced),
    }
}
