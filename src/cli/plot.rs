//! The picture that `sepconv compare` draws.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::comparison::{NetworkRow, Report};
use super::thousands;

/// Pixels.
const WIDTH: i32 = 960;
const MARGIN: i32 = 24;
/// Where bars begin: the labels to their left fit.
const LEFT: i32 = 210;
/// Where the longest bars end: the numbers to their right fit.
const RIGHT: i32 = WIDTH - 330;
const BAR: i32 = 13;
const FONT: &str = "sans-serif";
const TITLE: f64 = 20.0;
const TEXT: f64 = 14.0;

const PROMISED: RGBColor = RGBColor(170, 185, 200);
const OBTAINED: RGBColor = RGBColor(20, 105, 175);
const INK: RGBColor = RGBColor(30, 30, 30);
const GRID: RGBColor = RGBColor(225, 225, 225);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Result<T = ()> = std::result::Result<T, String>;

/// Bars that share an axis.
struct Chart<'a> {
    title: String,
    subtitle: String,
    /// What the axis counts.
    unit: &'a str,
    /// What each color means; empty if there is one.
    legend: &'a [&'a str],
    groups: Vec<Group>,
}

/// The bars of one label.
struct Group {
    label: String,
    /// Values and what is written behind their bars, in the legend's order.
    bars: Vec<(f64, String)>,
}

/// Draws the layers and networks of the comparison; the text of an SVG file.
pub(super) fn comparison(report: &Report) -> Result<String> {
    let times = |count| if count == 1 { String::new() } else { format!("  (×{count})") };
    let layers = Chart {
        title: match &report.name {
            Some(name) => format!("Separable against standard convolution, the layers of {name}"),
            None => "Separable against standard convolution".into(),
        },
        subtitle: machine(report),
        unit: "standard ÷ separable (×)",
        legend: &["multiply-adds: what the arithmetic promises", "time: what is obtained"],
        groups: (report.layers.iter())
            .map(|row| Group {
                label: format!("{}{}", row.layer, times(row.count)),
                bars: [row.promised, row.obtained].map(|v| (v, format!("{v:.1}×"))).into(),
            })
            .collect(),
    };
    let networks = Chart {
        title: match report.networks.first() {
            Some(NetworkRow { batch: 2.., .. }) => "Time for all pictures of a run".into(),
            _ => "Time for one picture".into(),
        },
        subtitle: machine(report),
        unit: "milliseconds, less is faster",
        legend: &[],
        groups: (report.networks.iter())
            .map(|row| {
                let [h, w] = row.size;
                let (ms, giga) = (row.speed.median_ms, row.multiply_adds as f64 / 1e9);
                let parameters = thousands(row.parameters);
                Group {
                    label: format!("{}, {h}×{w}", row.network),
                    bars: vec![(
                        ms,
                        format!("{ms:.1} ms, {giga:.2} G multiply-adds, {parameters} parameters"),
                    )],
                }
            })
            .collect(),
    };
    let charts = [layers, networks].into_iter().filter(|chart| !chart.groups.is_empty());
    let charts: Vec<_> = charts.collect();
    let height: i32 = charts.iter().map(Chart::height).sum::<i32>() + MARGIN;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32));
        let area = area.into_drawing_area();
        area.fill(&WHITE).map_err(error)?;
        let mut top = MARGIN;
        for chart in &charts {
            chart.draw(&area, top)?;
            top += chart.height();
        }
        area.present().map_err(error)?;
    }
    Ok(text)
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

fn error(e: impl std::fmt::Display) -> String {
    format!("the picture: {e}")
}

impl Chart<'_> {
    fn group_height(&self) -> i32 {
        self.groups.first().map_or(0, |group| group.bars.len() as i32) * BAR + 10
    }

    /// Title and subtitle, then the legend.
    fn head(&self) -> i32 {
        52 + 20 * self.legend.len() as i32 + 10
    }

    fn height(&self) -> i32 {
        // Below: numbers of the axis, its unit, and space.
        self.head() + self.group_height() * self.groups.len() as i32 + 64
    }

    fn draw(&self, area: &Area<'_>, top: i32) -> Result {
        let write = |text: &str, at: (i32, i32), size: f64, anchor: HPos| {
            let style = TextStyle::from((FONT, size).into_font())
                .color(&INK)
                .pos(Pos::new(anchor, VPos::Center));
            area.draw(&Text::new(text.to_owned(), at, style)).map_err(error)
        };
        let rectangle = |from: (i32, i32), to: (i32, i32), color: RGBColor| {
            area.draw(&Rectangle::new([from, to], color.filled())).map_err(error)
        };
        write(&self.title, (MARGIN, top + 10), TITLE, HPos::Left)?;
        write(&self.subtitle, (MARGIN, top + 34), TEXT, HPos::Left)?;
        let colors = if self.legend.is_empty() { [OBTAINED; 2] } else { [PROMISED, OBTAINED] };
        let mut y = top + 60;
        for (text, color) in self.legend.iter().zip(colors) {
            rectangle((LEFT, y - 6), (LEFT + 24, y + 6), color)?;
            write(text, (LEFT + 32, y), TEXT, HPos::Left)?;
            y += 20;
        }

        let values = self.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.0);
        let (step, end) = axis(values.fold(0.0, f64::max));
        let x = |value: f64| LEFT + (value / end * f64::from(RIGHT - LEFT)).round() as i32;
        let first = top + self.head();
        let bottom = first + self.group_height() * self.groups.len() as i32;
        let ticks = (end / step).round() as u32;
        for tick in 0..=ticks {
            let value = f64::from(tick) * step;
            let line = vec![(x(value), first), (x(value), bottom)];
            area.draw(&PathElement::new(line, GRID)).map_err(error)?;
            write(&format!("{value}"), (x(value), bottom + 12), TEXT, HPos::Center)?;
        }
        write(self.unit, ((LEFT + RIGHT) / 2, bottom + 32), TEXT, HPos::Center)?;

        for (i, group) in (0..).zip(&self.groups) {
            let mut y = first + i * self.group_height() + 5;
            let middle = y + BAR * group.bars.len() as i32 / 2;
            write(&group.label, (LEFT - 8, middle), TEXT, HPos::Right)?;
            for ((value, text), color) in group.bars.iter().zip(colors) {
                rectangle((LEFT, y), (x(*value), y + BAR - 1), color)?;
                write(text, (x(*value) + 6, y + BAR / 2), TEXT - 2.0, HPos::Left)?;
                y += BAR;
            }
        }
        Ok(())
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
