//! Plots: lines over two axes, as SVG that stands within a page. Pure.
//!
//! A page with plots from a library needs the library, and whoever opens it in ten years needs it to be there still. What is wanted here is
//! little: lines, two axes, ticks at round numbers, a scale by logarithm. Colours are classes of the page's style (`s0`, `s1`, …), so that
//! they follow its light or dark dress.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
/// Of the plotted area.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 240.0;
const TICKS: f64 = 5.0;

/// Where a value stands between the two ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    Linear {
        from: f64,
        to: f64,
    },
    /// Above 0.
    Log {
        from: f64,
        to: f64,
    },
}

impl Scale {
    /// From 0 to 1; what is outside stands at the end.
    fn place(self, value: f64) -> f64 {
        let (from, to, value) = match self {
            Self::Linear { from, to } => (from, to, value),
            Self::Log { from, to } => (from.ln(), to.ln(), value.max(from).ln()),
        };
        if to <= from {
            return 0.5;
        }
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }
}

pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 up to at least the greatest value, with ticks at round numbers.
    pub(super) fn linear(title: &'static str, greatest: f64) -> Self {
        let step = round_step(greatest.max(1e-9) / TICKS);
        let steps = (greatest / step).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= steps {
            ticks.push((at * step, label(at * step)));
            at += 1.0;
        }
        Self {
            title,
            scale: Scale::Linear {
                from: 0.0,
                to: steps * step,
            },
            ticks,
        }
    }

    /// Microseconds by their logarithm, from the power of ten below the least to twice, five or ten times one that is above the greatest.
    pub(super) fn latency(title: &'static str, us: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut greatest) = (f64::INFINITY, 1.0_f64);
        for us in us {
            least = least.min(us.max(1.0));
            greatest = greatest.max(us);
        }
        let from = 10_f64.powf(least.min(greatest).log10().floor());
        let mut ticks = vec![(from, time(from))];
        let mut decade = from;
        while ticks.last().is_some_and(|&(last, _)| last < greatest) {
            for part in [2.0, 5.0, 10.0] {
                if ticks.last().is_some_and(|&(last, _)| last < greatest) {
                    ticks.push((decade * part, time(decade * part)));
                }
            }
            decade *= 10.0;
        }
        let to = ticks.last().map_or(from, |&(last, _)| last);
        // Over many decades, only those are named.
        if ticks.len() > 10 {
            ticks.retain(|&(at, _)| (at.log10() - at.log10().round()).abs() < 1e-9);
        }
        Self {
            title,
            scale: Scale::Log { from, to },
            ticks,
        }
    }

    /// Quantiles by what is above them: each nine takes as much room as the one before.
    pub(super) fn nines(greatest: f64) -> Self {
        let nines = greatest.max(1.0);
        let names = [
            "0 %",
            "90 %",
            "99 %",
            "99.9 %",
            "99.99 %",
            "99.999 %",
            "99.9999 %",
        ];
        let places = (0_u8..).map(f64::from);
        Self {
            title: "share of requests that took no longer",
            scale: Scale::Linear {
                from: 0.0,
                to: nines,
            },
            ticks: places
                .zip(names)
                .take_while(|&(at, _)| at <= nines)
                .map(|(at, name)| (at, name.to_owned()))
                .collect(),
        }
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let parts = [1.0, 2.0, 5.0, 10.0];
    let mut steps = parts.into_iter().map(|part| part * decade);
    steps
        .find(|&step| step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * decade)
}

/// 1234567 is 1,234,567.
pub(super) fn label(number: f64) -> String {
    if number.abs() < 10.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds in the unit that is read best.
pub(super) fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", round_text(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", round_text(us / 1e3)),
        us => format!("{} µs", round_text(us)),
    }
}

fn round_text(number: f64) -> String {
    let text = super::short(number);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// One plot with its legend.
pub(super) fn plot(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut out = format!("<figure><figcaption>{}</figcaption>", escape(title));
    if lines.len() > 1 {
        out += "<p class=\"legend\">";
        for (at, line) in lines.iter().enumerate() {
            let name = escape(&line.name);
            write!(out, "<span class=\"s{at}\"><i></i>{name}</span>").expect("a string takes all");
        }
        out += "</p>";
    }
    write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    )
    .expect("a string takes all");
    for (value, name) in &y.ticks {
        let at = vertical(y.scale, *value);
        write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            escape(name)
        )
        .expect("a string takes all");
    }
    for (value, name) in &x.ticks {
        let at = horizontal(x.scale, *value);
        write!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 17.0,
            escape(name)
        )
        .expect("a string takes all");
    }
    write!(
        out,
        "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, RIGHT),
        HEIGHT - 4.0,
        escape(x.title)
    )
    .expect("a string takes all");
    for (at, line) in lines.iter().enumerate() {
        out += &drawn(at, line, x.scale, y.scale);
    }
    out + "</svg></figure>\n"
}

/// One line; a single point is a dot.
fn drawn(at: usize, line: &Line, x: Scale, y: Scale) -> String {
    let place = |&(over, up): &(f64, f64)| (horizontal(x, over), vertical(y, up));
    let name = escape(&line.name);
    if let [point] = &line.points[..] {
        let (over, up) = place(point);
        return format!(
            "<circle class=\"s{at}\" cx=\"{over:.1}\" cy=\"{up:.1}\" r=\"4\"><title>{name}</title></circle>"
        );
    }
    let points: Vec<String> = line
        .points
        .iter()
        .map(place)
        .map(|(over, up)| format!("{over:.1},{up:.1}"))
        .collect();
    format!(
        "<polyline class=\"s{at}\" points=\"{}\"><title>{name}</title></polyline>",
        points.join(" ")
    )
}

fn horizontal(scale: Scale, value: f64) -> f64 {
    LEFT + scale.place(value) * (RIGHT - LEFT)
}

fn vertical(scale: Scale, value: f64) -> f64 {
    BOTTOM - scale.place(value) * (BOTTOM - TOP)
}

/// Text within a page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, two: f64) -> bool {
        (one - two).abs() < 1e-9
    }

    #[test]
    fn scales_place_their_ends_and_their_middle() {
        let linear = Scale::Linear { from: 0.0, to: 8.0 };
        let log = Scale::Log {
            from: 10.0,
            to: 100_000.0,
        };
        for (scale, value, place) in [
            (linear, 0.0, 0.0),
            (linear, 4.0, 0.5),
            (linear, 8.0, 1.0),
            (linear, 99.0, 1.0),
            (linear, -1.0, 0.0),
            (log, 10.0, 0.0),
            (log, 1_000.0, 0.5),
            (log, 100_000.0, 1.0),
            (log, 0.0, 0.0),
            (Scale::Linear { from: 1.0, to: 1.0 }, 1.0, 0.5),
        ] {
            assert!(near(scale.place(value), place), "{scale:?} {value}");
        }
        assert!(near(horizontal(linear, 8.0), RIGHT));
        assert!(near(vertical(linear, 0.0), BOTTOM), "the origin is below");
        assert!(near(vertical(linear, 8.0), TOP));
    }

    #[test]
    fn ticks_are_round_and_enclose_what_is_drawn() {
        for (greatest, last, count) in [(4_967.0, 5_000.0, 6), (0.9, 1.0, 6), (10.0, 10.0, 6)] {
            let axis = Axis::linear("x", greatest);
            assert_eq!(axis.ticks.len(), count, "{greatest}");
            let (end, _) = axis.ticks.last().expect("some");
            assert!(near(*end, last), "{greatest}: {end}");
        }
        assert_eq!(Axis::linear("x", 0.0).ticks.len(), 2);
        let axis = Axis::latency("y", [350.0, 12_000.0].into_iter());
        let names: Vec<_> = axis.ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(
            names,
            [
                "100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"
            ]
        );
        let axis = Axis::latency("y", [3.0, 9_000_000.0].into_iter());
        assert_eq!(axis.ticks.len(), 8, "decades alone");
        assert_eq!(Axis::latency("y", std::iter::empty()).ticks.len(), 1);
    }

    #[test]
    fn nines_are_evenly_apart() {
        let names: Vec<_> = Axis::nines(3.5)
            .ticks
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["0 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn numbers_are_read_easily() {
        assert_eq!(label(1_234_567.0), "1,234,567");
        assert_eq!(label(0.5), "0.5");
        assert_eq!(label(100.0), "100");
        assert_eq!(
            (time(1.0), time(1_500.0)),
            ("1 µs".to_owned(), "1.5 ms".to_owned())
        );
        assert_eq!(time(2e6), "2 s");
    }

    #[test]
    fn what_is_drawn_stays_within_the_plot_and_names_can_not_break_it() {
        let x = Axis::linear("seconds", 10.0);
        let y = Axis::linear("requests", 100.0);
        let line = |name: &str, points: &[(f64, f64)]| Line {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let lines = [
            line("a<b>\"&", &[(0.0, 0.0), (10.0, 100.0), (99.0, 999.0)]),
            line("dot", &[(5.0, 50.0)]),
        ];
        let svg = plot("t", &x, &y, &lines);
        assert!(
            svg.contains("points=\"62.0,240.0 704.0,12.0 704.0,12.0\""),
            "{svg}"
        );
        assert!(svg.contains("cx=\"383.0\" cy=\"126.0\""), "{svg}");
        assert!(svg.contains("a&lt;b&gt;&quot;&amp;") && !svg.contains("a<b>"));
    }
}
