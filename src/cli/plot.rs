//! The picture that `sepconv compare` draws.

use super::comparison::{NetworkRow, Report};
use super::speed::{Speed, milliseconds};
use super::svg::Picture;
use super::thousands;

/// Pixels.
const WIDTH: f64 = 830.0;
const MARGIN: f64 = 20.0;
/// Where bars begin that have their names to the left.
const LEFT: f64 = 240.0;
/// To the right of the axis: the number behind the longest bar.
const BEHIND: f64 = 110.0;
const BAR: f64 = 16.0;
/// Between groups of bars.
const GAP: f64 = 10.0;
/// Of a name above its bars.
const ABOVE: f64 = 22.0;

/// Bars that share an axis.
struct Chart<'a> {
    title: String,
    /// What each bar of a group is; empty if there is one.
    legend: &'a [&'a str],
    /// Whether names are above their bars, which have more room then.
    above: bool,
    groups: Vec<Group>,
}

/// The bars of one name.
#[derive(Default)]
struct Group {
    name: String,
    /// Quiet, behind the name.
    details: String,
    /// In the legend's order.
    bars: Vec<Bar>,
}

struct Bar {
    value: f64,
    range: Option<[f64; 2]>,
    /// Behind it.
    text: String,
}

impl Bar {
    fn milliseconds(speed: &Speed) -> Self {
        let text = format!("{} ms", milliseconds(speed.median_ms));
        Self { value: speed.median_ms, range: Some(speed.quartiles_ms), text }
    }
}

/// Draws the tables of the comparison; the text of an SVG file.
pub(super) fn comparison(report: &Report) -> String {
    let mut picture = Picture::new(WIDTH);
    let title = match &report.name {
        Some(name) => format!("Separable against standard convolution, {name}"),
        None => "Separable against standard convolution".into(),
    };
    picture.text([MARGIN, 34.0], &title, "title");
    picture.text([MARGIN, 60.0], &machine(report), "small quiet");
    let lines = "Bars: medians. Lines: the middle half of what was measured.";
    picture.text([MARGIN, 80.0], lines, "small quiet");
    let mut top = 104.0;
    for chart in [layers(report), blocks(report), networks(report)] {
        if !chart.groups.is_empty() {
            top = chart.draw(&mut picture, top);
        }
    }
    picture.finish(top)
}

fn machine(report: &Report) -> String {
    let cpu = report.cpu.as_deref().unwrap_or("unknown CPU");
    let plural = if report.threads == 1 { "" } else { "s" };
    let arithmetic = match report.arithmetic {
        "exact" => "f32",
        "int8" => "8-bit integers",
        other => other,
    };
    format!("{cpu}, level {}, {} thread{plural}, {arithmetic}", report.level, report.threads)
}

fn layers(report: &Report) -> Chart<'static> {
    let groups = report.layers.iter().map(|row| {
        let times = if row.count == 1 { String::new() } else { format!(" (×{})", row.count) };
        let bar = |value: f64, range| Bar { value, range, text: format!("{value:.1}×") };
        Group {
            name: format!("{}{times}", row.layer),
            bars: vec![bar(row.promised, None), bar(row.obtained, Some(row.obtained_quartiles))],
            ..Group::default()
        }
    });
    let groups: Vec<Group> = groups.collect();
    Chart {
        title: "Layers: standard ÷ separable".into(),
        legend: &["multiply-adds, the work saved", "time saved"],
        // The names of layers of one's own are whole descriptions.
        above: groups.iter().any(|group| group.name.chars().count() > 24),
        groups,
    }
}

fn blocks(report: &Report) -> Chart<'static> {
    let groups = report.spectrum.iter().map(|row| Group {
        name: row.block.clone(),
        details: costs(row.multiply_adds, row.parameters),
        bars: vec![Bar::milliseconds(&row.speed)],
    });
    Chart {
        title: "From standard to depthwise, 19×19, 728 → 728 in S segments: milliseconds".into(),
        legend: &[],
        above: true,
        groups: groups.collect(),
    }
}

fn networks(report: &Report) -> Chart<'static> {
    let groups = report.networks.iter().map(|row| Group {
        name: format!("{} {}×{}", row.network, row.size[0], row.size[1]),
        details: costs(row.multiply_adds, row.parameters),
        bars: vec![Bar::milliseconds(&row.speed)],
    });
    Chart {
        title: match report.networks.first() {
            Some(NetworkRow { batch: 2.., .. }) => {
                "Networks, all pictures of a run: milliseconds".into()
            }
            _ => "Networks, one picture: milliseconds".into(),
        },
        legend: &[],
        above: true,
        groups: groups.collect(),
    }
}

fn costs(multiply_adds: u64, parameters: u64) -> String {
    let giga = multiply_adds as f64 / 1e9;
    format!("{giga:.2} G multiply-adds, {} parameters", thousands(parameters))
}

impl Chart<'_> {
    fn group_height(&self, group: &Group) -> f64 {
        let name = if self.above { ABOVE } else { 0.0 };
        name + BAR * group.bars.len() as f64 + GAP
    }

    /// Draws it below `top`; returns where it ends.
    fn draw(&self, picture: &mut Picture, top: f64) -> f64 {
        picture.text([MARGIN, top + 20.0], &self.title, "strong");
        let classes: &[&str] =
            if self.legend.is_empty() { &["ours"] } else { &["promised", "ours"] };
        let mut first = top + 36.0;
        let mut x = MARGIN;
        for (text, class) in self.legend.iter().zip(classes) {
            picture.rectangle([x, first], [16.0, 16.0], class);
            picture.text([x + 22.0, first + 13.0], text, "");
            // Ten pixels are the room of a character.
            x += 46.0 + 10.0 * text.chars().count() as f64;
        }
        if !self.legend.is_empty() {
            first += 26.0;
        }
        let left = if self.above { MARGIN } else { LEFT };
        let right = WIDTH - MARGIN - BEHIND;
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let ends = bars().map(|bar| bar.range.map_or(bar.value, |[_, to]| bar.value.max(to)));
        let (step, end) = axis(ends.fold(0.0, f64::max));
        let x = |value: f64| left + value.max(0.0) / end * (right - left);
        let height: f64 = self.groups.iter().map(|group| self.group_height(group)).sum();
        let bottom = first + height;
        for tick in 0..=(end / step).round() as u32 {
            let value = f64::from(tick) * step;
            picture.line([[x(value), first], [x(value), bottom]], "grid");
            let text = format!("{}", (value * 1e9).round() / 1e9);
            picture.text([x(value), bottom + 18.0], &text, "small quiet middle");
        }

        let mut y = first + GAP / 2.0;
        for group in &self.groups {
            let start = y;
            if self.above {
                y += ABOVE;
                picture.text([left + 2.0, y - 6.0], &group.name, "halo");
                let details = WIDTH - MARGIN;
                picture.text([details, y - 6.0], &group.details, "small quiet end halo");
            } else {
                let middle = y + BAR * group.bars.len() as f64 / 2.0 + 6.0;
                picture.text([left - 10.0, middle], &group.name, "end");
            }
            for (bar, class) in group.bars.iter().zip(classes) {
                picture.rectangle([left, y], [x(bar.value) - left, BAR - 1.0], class);
                let mut end = bar.value;
                if let Some(range) = bar.range {
                    picture.range(range.map(x), y + BAR / 2.0);
                    end = end.max(range[1]);
                }
                picture.text([x(end) + 10.0, y + BAR - 3.0], &bar.text, "small halo");
                y += BAR;
            }
            y = start + self.group_height(group);
        }
        bottom + 40.0
    }
}

/// The distance of an axis's numbers, 1, 2 or 5 times a power of ten, and its end: four to ten of
/// them.
fn axis(largest: f64) -> (f64, f64) {
    let largest = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
    let power = 10_f64.powf((largest / 4.0).log10().floor());
    let step = [5.0, 2.0, 1.0].map(|m| m * power).into_iter().find(|step| largest / step >= 4.0);
    let step = step.unwrap_or(power);
    (step, (largest / step).ceil() * step)
}

#[cfg(test)]
mod tests {
    use super::axis;

    #[test]
    fn axes_end_at_round_numbers() {
        for (largest, expected) in [
            (9.0, (2.0, 10.0)),
            (4.0, (1.0, 4.0)),
            (170.3, (20.0, 180.0)),
            (0.0, (0.2, 1.0)),
            (f64::INFINITY, (0.2, 1.0)),
        ] {
            let (step, end) = axis(largest);
            assert!(
                (step - expected.0).abs() < 1e-9 && (end - expected.1).abs() < 1e-9,
                "{largest}"
            );
        }
    }
}
