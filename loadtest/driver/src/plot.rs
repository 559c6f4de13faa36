//! The results as a drawing: for each scenario a bar for each proxy, as long as the median of its main figure, with a
//! line from the least to the most.

use std::fmt::Write;

use crate::results::Results;
use crate::table::main_figure;

/// Pixels.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 110.0;
const BAR: f64 = 18.0;
const HEAD: f64 = 34.0;
const GAP: f64 = 14.0;
/// A bar is at most so many times as long as the relay's: what costs more is cut off, and its figure says so.
const CUT: f64 = 4.0;

/// An SVG.
pub fn draw(results: &Results) -> String {
    let (mut body, mut y) = (String::new(), GAP);
    for scenario in results.scenarios() {
        if let Some((figure, name)) = main_figure(results, scenario) {
            panel(&mut body, &mut y, results, scenario, figure, name);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn panel(body: &mut String, y: &mut f64, results: &Results, scenario: &str, figure: &str, name: &str) {
    let proxies = results.proxies(scenario).into_iter();
    let rows: Vec<_> = proxies.filter_map(|proxy| Some((proxy, results.spread(scenario, proxy, figure)?))).collect();
    let rows: Vec<_> = rows.into_iter().filter(|(proxy, _)| *proxy != "direct").collect();
    let own = rows.iter().find(|(proxy, _)| *proxy == "relay").map_or(f64::MAX, |(_, own)| own.most * CUT);
    let most = rows.iter().map(|(_, spread)| spread.most).fold(0.0, f64::max).min(own).max(f64::MIN_POSITIVE);
    let x = |value: f64| LEFT + (value / most).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    line(body, format_args!("<text x=\"8\" y=\"{}\" font-weight=\"bold\">{scenario}: {name}</text>", *y + 18.0));
    *y += HEAD;
    for (proxy, spread) in rows {
        let (middle, end) = (*y + BAR / 2.0, x(spread.median));
        let fill = if proxy == "relay" { "#2563eb" } else { "#9ca3af" };
        let (height, baseline) = (BAR - 4.0, middle + 4.0);
        line(body, format_args!("<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{proxy}</text>", LEFT - 8.0));
        line(
            body,
            format_args!(
                "<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{height}\" fill=\"{fill}\"/>",
                *y + 2.0,
                end - LEFT
            ),
        );
        let (least, top) = (x(spread.least), x(spread.most));
        line(body, format_args!("<path d=\"M{least:.1} {middle}H{top:.1}\" stroke=\"#111\" stroke-width=\"1.5\"/>"));
        let label = top.max(end) + 6.0;
        line(body, format_args!("<text x=\"{label:.1}\" y=\"{baseline}\">{:.3}</text>", spread.median));
        *y += BAR;
    }
    *y += GAP;
}

fn line(body: &mut String, element: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = writeln!(body, "{element}");
}
