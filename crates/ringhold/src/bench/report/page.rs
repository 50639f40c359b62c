//! The report as one page: style, text and plots in one file that needs nothing else and runs nothing.
//!
//! Two pages share their parts: that of one run, with all that is known of it, and that of many, with a table of medians and plots that lay
//! runs of one workload over each other. Latencies are drawn corrected where that is needed.

use std::fmt::Write as _;

use super::summary::{Group, Summary};
use super::svg::{Axis, Line, escape, label, plot, time};
use super::{
    CPU, CPU_RATIO, FLUSHES, LATENCY_RATIO, P50, P99, P99_9, Percentiles, Report, WRITTEN,
};
use super::{or_dash, short};
use crate::bench::floors::Floors;

const STYLE: &str = include_str!("page.css");
/// There are so many colours.
const LINES_MAX: usize = 6;

/// Of one run.
pub(crate) fn of_run(report: &Report) -> String {
    let mut body = format!(
        "<h1>Ringhold benchmark</h1>\n<p class=\"lead\">{}</p>\n",
        escape(&report.settings())
    );
    body += &tiles(report);
    body += "<h2>Latency</h2>\n";
    body += &latencies(report);
    let kinds: Vec<_> = report
        .kinds()
        .map(|(name, kind)| (name.to_owned(), &kind.curve[..]))
        .collect();
    body += &percentile_plot("Latency by percentile", &kinds);
    body += "<h2>Over time</h2>\n";
    body += &throughput_plot(
        "Requests answered in each second",
        &[(String::new(), report)],
    );
    body += &seconds_plot(report);
    body += "<h2>Costs</h2>\n";
    body += &figures(report);
    if let Some(floors) = &report.floors {
        body += &floors_section(floors);
    }
    if !report.failures.is_empty() {
        let failures = report.failures.iter();
        let rows = failures.map(|(kind, count)| vec![kind.clone(), count.to_string()]);
        body += "<h2>Failures</h2>\n";
        body += &table(&["kind", "count"], rows);
    }
    body += &conditions(report);
    page("Ringhold benchmark", &body)
}

/// Of many runs.
pub(crate) fn of_summary(summary: &Summary<'_>) -> String {
    let mut body = "<h1>Ringhold benchmarks</h1>\n".to_owned();
    body += "<p class=\"lead\">Medians over runs of the same settings. Plots show of each the run in the middle by throughput.</p>\n";
    let headings = [
        "workload",
        "protocol × connections",
        "runs",
        "a second",
        "CPU µs",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "written",
        "flushes",
        "CPU, of floors",
        "latency, of floors",
    ];
    let rows = summary.groups.iter().map(row);
    write!(body, "<div class=\"by\">{}</div>", table(&headings, rows)).expect("a string takes all");
    body += "<p class=\"note\">CPU of all servers together for each operation. Percentiles of closed loops are corrected for those who would \
             have come during long waits. Written: bytes for each byte of a value put, over all replicas; flushes: of all nodes, for each put. \
             Floors: the store and the frames alone; one flush and the frames' round trips.</p>\n";
    let mut workloads: Vec<String> = Vec::new();
    for group in &summary.groups {
        let workload = workload(group.runs[0]);
        if !workloads.contains(&workload) {
            workloads.push(workload);
        }
    }
    for name in workloads {
        let groups = summary.groups.iter();
        let same: Vec<&Group<'_>> = groups
            .filter(|group| workload(group.runs[0]) == name)
            .collect();
        for part in same.chunks(LINES_MAX) {
            body += &overlaid(&name, part);
        }
    }
    body += "<h2>What was done</h2>\n";
    let done = summary.groups.iter().map(|group| vec![group.name()]);
    write!(body, "<div class=\"words\">{}</div>", table(&[""], done)).expect("a string takes all");
    if let Some(group) = summary.groups.first() {
        body += &conditions(group.middle());
    }
    page("Ringhold benchmarks", &body)
}

/// Runs of one workload over each other.
fn overlaid(workload: &str, groups: &[&Group<'_>]) -> String {
    let runs: Vec<(String, &Report)> = groups
        .iter()
        .map(|group| (short_name(group.middle()), group.middle()))
        .collect();
    let curves: Vec<_> = runs
        .iter()
        .map(|(name, run)| (name.clone(), &run.main_kind().curve[..]))
        .collect();
    format!(
        "<h2>{}</h2>\n{}{}",
        escape(workload),
        percentile_plot("Latency by percentile", &curves),
        throughput_plot("Requests answered in each second", &runs)
    )
}

fn workload(report: &Report) -> String {
    let operation = format!("{:?}", report.workload).to_lowercase();
    format!("{operation}, {} B values", label(report.value_bytes as f64))
}

/// What tells a run from others of its workload.
fn short_name(report: &Report) -> String {
    let protocol = format!("{:?}", report.protocol).to_lowercase();
    let mut name = format!("{protocol} × {}", report.connections);
    if let Some(rate) = report.rate {
        write!(name, ", {rate} a second").expect("a string takes all");
    }
    if report.zipf_theta.is_some() {
        name += ", Zipf";
    }
    name
}

fn row(group: &Group<'_>) -> Vec<String> {
    let ms = |figure: &str| or_dash(group.median(figure).map(|us| us / 1e3));
    let run = group.runs[0];
    let rate = group.median("operations a second").unwrap_or_default();
    let mut cells = vec![
        workload(run),
        short_name(run),
        group.runs.len().to_string(),
        label(rate.round()),
    ];
    cells.extend([or_dash(group.median(CPU)), ms(P50), ms(P99), ms(P99_9)]);
    let others = [WRITTEN, FLUSHES, CPU_RATIO, LATENCY_RATIO];
    cells.extend(others.map(|name| or_dash(group.median(name))));
    cells
}

/// The figures that are read first.
fn tiles(report: &Report) -> String {
    let latency = report.main_kind().honest();
    let us = |us: Option<f64>| us.map_or_else(|| "–".to_owned(), time);
    let tiles = [
        (
            "operations a second",
            label(report.operations_per_second.round()),
        ),
        ("median", us(latency.p50_us)),
        ("99.9th percentile", us(latency.p99_9_us)),
        (
            "server CPU an operation",
            us(report.servers_cpu_us_per_operation),
        ),
        (
            "written for each byte put",
            or_dash(report.written_per_byte_put),
        ),
        (
            "CPU over its floors",
            report.floors.map_or_else(
                || "–".to_owned(),
                |floors| format!("{} ×", short(floors.cpu_ratio)),
            ),
        ),
    ];
    let mut out = "<div class=\"tiles\">".to_owned();
    for (name, figure) in tiles {
        write!(
            out,
            "<div><b>{}</b><span>{name}</span></div>",
            escape(&figure)
        )
        .expect("a string takes all");
    }
    out + "</div>\n"
}

fn latencies(report: &Report) -> String {
    let names = Percentiles::default().named().map(|(name, _)| name);
    let mut headings = vec!["", "count", "a second"];
    headings.extend(names);
    let mut rows = Vec::new();
    for (name, kind) in report.kinds() {
        let told = |percentiles: &Percentiles| {
            let cells = percentiles
                .named()
                .map(|(_, us)| us.map_or_else(|| "–".to_owned(), time));
            cells.into_iter().collect::<Vec<_>>()
        };
        let mut cells = vec![
            name.to_owned(),
            label(kind.count as f64),
            label(kind.per_second.round()),
        ];
        cells.extend(told(&kind.latency));
        rows.push(cells);
        if let Some(corrected) = &kind.corrected {
            let mut cells = vec![format!("{name}, corrected"), String::new(), String::new()];
            cells.extend(told(corrected));
            rows.push(cells);
        }
    }
    let note = match report.rate {
        Some(_) => {
            "Open loop: each latency counts from the moment at which the request was due, whether a connection was free or not."
        }
        None => {
            "Closed loop: who would have come while all connections waited did not. The corrected rows count them in, as if each connection \
             had gone on asking at its mean pace."
        }
    };
    format!("{}<p class=\"note\">{note}</p>\n", table(&headings, rows))
}

fn percentile_plot(title: &str, curves: &[(String, &[(f64, u64)])]) -> String {
    let points = |curve: &[(f64, u64)]| -> Vec<(f64, f64)> {
        let points = curve.iter();
        points.map(|&(nines, us)| (nines, us as f64)).collect()
    };
    let lines: Vec<Line> = curves
        .iter()
        .map(|(name, curve)| Line {
            name: name.clone(),
            points: points(curve),
        })
        .collect();
    let all = || lines.iter().flat_map(|line| &line.points);
    let greatest = all().map(|point| point.0).fold(1.0, f64::max);
    let y = Axis::latency("", all().map(|point| point.1));
    plot(title, &Axis::nines(greatest), &y, &lines)
}

fn throughput_plot(title: &str, runs: &[(String, &Report)]) -> String {
    let lines: Vec<Line> = runs
        .iter()
        .map(|(name, run)| Line {
            name: name.clone(),
            points: over_time(run, |second| Some(second.requests as f64)),
        })
        .collect();
    let all = || lines.iter().flat_map(|line| &line.points);
    let x = Axis::linear("seconds", all().map(|point| point.0).fold(1.0, f64::max));
    let y = Axis::linear("", all().map(|point| point.1).fold(1.0, f64::max));
    plot(title, &x, &y, &lines)
}

fn seconds_plot(report: &Report) -> String {
    type Of = fn(&super::Second) -> Option<u64>;
    let of: [(&str, Of); 3] = [
        ("p50", |second| second.p50_us),
        ("p99", |second| second.p99_us),
        ("p99.9", |second| second.p99_9_us),
    ];
    let lines: Vec<Line> = of
        .into_iter()
        .map(|(name, of)| Line {
            name: name.to_owned(),
            points: over_time(report, |second| of(second).map(|us| us as f64)),
        })
        .collect();
    let all = || lines.iter().flat_map(|line| &line.points);
    let x = Axis::linear("seconds", all().map(|point| point.0).fold(1.0, f64::max));
    let y = Axis::latency("", all().map(|point| point.1));
    plot("Latency of each second's requests", &x, &y, &lines)
}

/// At the middle of each second that was a whole one, or of all if none was.
fn over_time(report: &Report, of: impl Fn(&super::Second) -> Option<f64>) -> Vec<(f64, f64)> {
    let whole = (0..)
        .map(f64::from)
        .take_while(|second| second + 1.0 <= report.seconds);
    let whole = whole.count().clamp(1, report.by_second.len().max(1));
    let middles = (0..).map(|second| f64::from(second) + 0.5);
    let seconds = report.by_second.iter().take(whole).zip(middles);
    seconds
        .filter_map(|(second, at)| Some((at, of(second)?)))
        .collect()
}

fn figures(report: &Report) -> String {
    let known = report.figures().into_iter();
    let rows = known.filter_map(|(name, figure)| Some(vec![name.to_owned(), number(figure?)]));
    table(&["", ""], rows)
}

fn floors_section(floors: &Floors) -> String {
    let row = |name: &str, us: f64| vec![name.to_owned(), time(us)];
    let rows = [
        row(
            "store: reads, writes and checkpoints of all replicas",
            floors.store_us,
        ),
        row("frames: all serving sides", floors.frames_us),
        row("the whole", floors.whole_us),
        vec![
            "the whole over their sum".to_owned(),
            short(floors.cpu_ratio),
        ],
    ];
    let latency = [
        row("one flush", floors.flush_p50_us),
        row("the frames' way there and back", floors.round_trips_p50_us),
        row("the whole, one connection", floors.alone_p50_us),
        vec![
            "the whole over what it needs of them".to_owned(),
            short(floors.latency_ratio),
        ],
    ];
    format!(
        "<h2>Floors</h2>\n<p class=\"note\">What the parts cost alone, measured right after the run: N={} R={} W={}, {} log writes to a flush, \
         {} gets and {} puts an operation. They leave out whatever is not the part itself, so they are lower bounds.</p>\n{}{}",
        floors.n,
        floors.r,
        floors.w,
        floors.batch,
        short(floors.gets_per_operation),
        short(floors.puts_per_operation),
        table(&["CPU an operation", ""], rows),
        table(&["median latency", ""], latency)
    )
}

fn conditions(report: &Report) -> String {
    let conditions = &report.conditions;
    let mut rows = vec![
        vec![
            "processor".to_owned(),
            format!("{}, {} cores", conditions.processor, conditions.cores),
        ],
        vec![
            "memory".to_owned(),
            format!("{} MiB", label((conditions.memory_bytes >> 20) as f64)),
        ],
        vec!["kernel".to_owned(), conditions.kernel.clone()],
        vec!["load before".to_owned(), short(conditions.load_average)],
        vec![
            "version".to_owned(),
            format!("{} {}", conditions.version, conditions.build),
        ],
    ];
    if let Some(replication) = &conditions.replication {
        let told = format!(
            "{} members, N={} R={} W={}, {}",
            replication.members,
            replication.n,
            replication.r,
            replication.w,
            replication.durability
        );
        rows.push(vec!["cluster".to_owned(), told]);
    }
    if let Some(seed) = conditions.random_seed {
        rows.push(vec!["random seed".to_owned(), seed.to_string()]);
    }
    rows.push(vec!["at".to_owned(), date(conditions.at_s)]);
    rows.push(vec!["command".to_owned(), conditions.command.clone()]);
    format!(
        "<h2>Conditions</h2>\n<div class=\"words\">{}</div>",
        table(&["", ""], rows)
    )
}

/// Seconds since 1970 as a date and a time of the day, UTC.
fn date(at_s: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut days, time) = (at_s / 86_400, at_s % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes) = (time / 3_600, time / 60 % 60);
    format!(
        "{year}-{month:02}-{:02} {hours:02}:{minutes:02} UTC",
        days + 1
    )
}

/// Three digits that matter, and all before the point.
fn number(figure: f64) -> String {
    match figure >= 1_000.0 {
        true => label(figure),
        false => short(figure),
    }
}

/// Columns whose cells are figures stand right; the style does that for all but the first.
fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut out = "<div class=\"scroll\"><table>".to_owned();
    if headings.iter().any(|heading| !heading.is_empty()) {
        out += "<thead><tr>";
        for heading in headings {
            write!(out, "<th>{}</th>", escape(heading)).expect("a string takes all");
        }
        out += "</tr></thead>";
    }
    out += "<tbody>";
    for row in rows {
        out += "<tr>";
        for cell in row {
            write!(out, "<td>{}</td>", escape(&cell)).expect("a string takes all");
        }
        out += "</tr>";
    }
    out + "</tbody></table></div>\n"
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at_s, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_795_393_489, "2026-11-23 00:24 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(at_s), expected);
        }
    }
}
