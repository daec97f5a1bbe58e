//! Running depth first: steps with large values between them take turns, some rows at a time, so
//! that these values never exist as a whole.
//!
//! ```text
//! for each picture
//!   for each band of rows of the last step's result
//!     for each step
//!       the rows of its result that the steps after it take for the band and that are not there yet
//! ```
//!
//! No row is computed twice. A value between the steps is a buffer of as many rows as are in use at
//! a time: those of a band, and those above it that a window reaches back to. Before a step adds
//! rows to a full buffer, the rows still in use move to its front. All turns are listed here;
//! running them is following the list.
//!
//! Two decisions are made at two times. The plan of a network chooses which steps take turns
//! ([`DepthFirstPlan::new`]): kernels of these steps are planned for one picture. A session, which
//! knows its threads, chooses how many bands there are ([`DepthFirstPlan::groups`]): a band must
//! have enough work for all of them.

use std::ops::Range;

use sepconv_kernels::{ElementType, NormalizationKind, Window};

use super::Op;
use super::arena::{Buffer, Unit};
use super::flow::{Flow, ValueId};
use super::fuse::FusedStep;
use super::layout::Places;
use super::shape::Shape;
use super::turns::{Group, Turn};

/// When a network runs steps depth first: a few rows of each step at a time, in turns.
///
/// The values between these steps then take less memory. Results have the same bits either way.
///
/// ```
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{DepthFirst, NetworkPlan, PlanOptions};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let weights = synthetic::weights(&network)?;
/// let arena_bytes = |depth_first| {
///     let options = PlanOptions::default().depth_first(depth_first);
///     NetworkPlan::new(&network, &weights, [1, 224, 224, 3], &options).map(|plan| plan.arena_bytes(1))
/// };
/// let rows = arena_bytes(DepthFirst::default().bytes(0).multiply_adds(1_000_000))?;
/// assert!(rows < arena_bytes(DepthFirst::NEVER)?);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DepthFirst {
    /// Memory for the values between steps, in bytes for each picture. By default 3 MiB, or 1.5 MiB
    /// if the values are quantized. If whole layers need more, the plan runs as few steps depth
    /// first as bring a session of one thread below this limit. If the limit can't be met, the plan
    /// uses the least memory possible plus at most an eighth of the limit. Sessions of more threads
    /// make larger bands and need more.
    pub bytes: Option<usize>,
    /// The least work in a band of rows, in multiply-adds of all steps that take turns together. By
    /// default, on one thread, an eighth of the work of those steps, but no less than 4 million and
    /// no more than 48 million; on several threads, 96 million for each of them.
    pub multiply_adds: Option<u64>,
}

impl DepthFirst {
    /// Every layer runs as a whole.
    pub const NEVER: Self = Self { bytes: Some(usize::MAX), multiply_adds: None };

    /// Sets the memory for the values between steps, in bytes for each picture.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// Sets the least work in a band of rows, in multiply-adds.
    #[must_use]
    pub fn multiply_adds(self, multiply_adds: u64) -> Self {
        Self { multiply_adds: Some(multiply_adds), ..self }
    }
}

/// Memory for values of f32, and for quantized ones: about what L2 holds beside the weights. One
/// thread of an Emerald Rapids, ÷ 6 MiB: MobileNetV2 0.95, V3-Large 0.97, EfficientNet-B0 0.96,
/// Xception 1.00.
const BYTES: usize = 3 << 20;
const QUANTIZED_BYTES: usize = 3 << 19;

/// Most bands of a group: each has turns that are listed.
const MAX_BANDS: usize = 64;
/// Most steps of a group: more than Xception's blocks have. The longer, the more rows its windows
/// reach back.
const MAX_STEPS: usize = 8;

/// Multiply-adds of a band for each of several threads: they take two milliseconds, so that what
/// threads wait for each other between the turns, some microseconds each, stays small beside it.
/// Xception on two threads of an Emerald Rapids, ÷ layer by layer: 1.006, with half of it 1.04.
const BAND_MULTIPLY_ADDS: u64 = 96_000_000;
/// One thread waits for nobody. Its bands have an eighth of a group's work, within these bounds:
/// small groups have values that small bands keep in L2, large ones have weights that each band
/// reads again.
const ALONE_MULTIPLY_ADDS: [u64; 2] = [4_000_000, 48_000_000];
const ALONE_BANDS: u64 = 8;
/// Weights that stay in L2 from one turn to the next, 1 MiB of f32. More of them are read again in
/// each turn, which is then to have the pixels of a tile.
const CACHED_WEIGHTS: u64 = 1 << 18;
const TILE_PIXELS: u64 = 128;

/// ⌈height·b / bands⌉, whose product could overflow.
fn share(height: usize, b: usize, bands: usize) -> usize {
    height / bands * b + (height % bands * b).div_ceil(bands)
}

/// The window through which a step computes rows of its result from rows of its operand. None if it
/// needs the whole operand.
fn window(flow: &Flow<'_>, step: &FusedStep) -> Option<Window> {
    if step.scale.is_some() {
        return None; // a turn runs one picture, but factors are those of all
    }
    let op = flow.values[step.depthwise.as_ref().map_or(step.kernel, |stage| stage.kernel)].op;
    match *op {
        Op::Conv { window, .. }
        | Op::Depthwise { window, .. }
        | Op::Separable { window, .. }
        | Op::MaxPool(window)
        | Op::AveragePool(window) => Some(window),
        Op::Normalize { kind: NormalizationKind::Group { .. }, .. } => None,
        Op::BatchNorm { .. }
        | Op::Rescale { .. }
        | Op::Standardize { .. }
        | Op::Scale
        | Op::Normalize { .. }
        | Op::Add
        | Op::Activation(_)
        | Op::Identity => Some(Window::new([1, 1])),
        // An operand of a binary operation may have one row for all rows of the result.
        Op::Binary(_)
        | Op::Dot { .. }
        | Op::NormalizeOver { .. }
        | Op::UpSample { .. }
        | Op::ConvTranspose { .. }
        | Op::Permute { .. }
        | Op::Dense { .. }
        | Op::GlobalPool { .. }
        | Op::Flatten { .. }
        | Op::Reshape { .. }
        | Op::StepsToBatch { .. }
        | Op::BatchToSteps { .. }
        | Op::Softmax
        | Op::PRelu { .. }
        | Op::ZeroPad(_)
        | Op::Crop(_)
        | Op::CenterCrop { .. }
        | Op::Resize { .. } => None,
        Op::Input { .. } | Op::Concat => unreachable!("fusion starts no step at these"),
    }
}

/// The multiply-adds of one pixel of a step's result.
fn depth(flow: &Flow<'_>, step: &FusedStep) -> u64 {
    let of = |v: ValueId, [.., c_in]: Shape| {
        let value = &flow.values[v];
        let [.., c] = value.shape;
        let area = |window: &Window| window.kernel[0].saturating_mul(window.kernel[1]);
        let depth = match value.op {
            Op::Conv { window, groups, .. } => {
                area(window).saturating_mul((c_in / groups).saturating_mul(c))
            }
            Op::Depthwise { window, .. } => area(window).saturating_mul(c),
            Op::Separable { window, multiplier, .. } => {
                c_in.saturating_mul(*multiplier).saturating_mul(area(window).saturating_add(c))
            }
            _ => 0,
        };
        depth as u64
    };
    let x = flow.values[step.x].shape;
    match &step.depthwise {
        None => of(step.kernel, x),
        Some(stage) => {
            let middle = flow.values[stage.kernel].shape;
            of(stage.kernel, x).saturating_add(of(step.kernel, middle))
        }
    }
}

/// What matters here about a step.
#[derive(Debug)]
struct Role {
    /// None if the step can't take turns.
    window: Option<Window>,
    /// Pictures of the result.
    pictures: usize,
    /// Rows of the operand and of the result.
    heights: [usize; 2],
    /// Pixels of the result, of one picture, and multiply-adds of one.
    pixels: u64,
    depth: u64,
    /// The steps that make the operand and the residual. None if there is no such operand, or if it
    /// is the input or a concatenation.
    makers: [Option<usize>; 2],
    /// If an operand is a concatenation: the last step that makes a part of it.
    joined: Option<usize>,
    /// The steps that read its result, in order.
    readers: Vec<usize>,
    /// Whether the caller reads the result.
    kept: bool,
    /// The size of the result in bytes: all of it, and one row of one picture.
    bytes: [usize; 2],
}

impl Role {
    /// The rows of the operand that these rows of the result need.
    fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
        let window = self.window.unwrap_or(Window::new([1, 1]));
        window.input_rows(self.heights[0], rows).expect("the shape of its result has been inferred")
    }
}

/// The role of each step.
fn roles(flow: &Flow<'_>, steps: &[FusedStep], elements: &[ElementType]) -> Vec<Role> {
    let mut maker: Vec<Option<usize>> = vec![None; flow.values.len()];
    steps.iter().enumerate().for_each(|(s, step)| maker[step.result] = Some(s));
    // The last step that makes the value or a part of it.
    let mut last = maker.clone();
    for (v, value) in flow.values.iter().enumerate().filter(|(_, v)| *v.op == Op::Concat) {
        last[v] = value.operands.iter().filter_map(|&operand| last[operand]).max();
    }
    let mut roles: Vec<Role> = Vec::new();
    for (s, step) in steps.iter().enumerate() {
        let v = step.result;
        let value = &flow.values[v];
        let [n, h, w, c] = value.shape;
        let operands = [Some(step.x), step.residual];
        let makers = operands.map(|v| v.and_then(|v| maker[v]));
        for maker in step.operands().filter_map(|v| maker[v]) {
            if roles[maker].readers.last() != Some(&s) {
                roles[maker].readers.push(s);
            }
        }
        let joined = operands.into_iter().flatten().filter(|&v| maker[v].is_none());
        let row = w * c * elements[v].size();
        roles.push(Role {
            window: window(flow, step),
            pictures: n,
            heights: [flow.values[step.x].shape[1], h],
            pixels: (h * w) as u64,
            depth: depth(flow, step),
            makers,
            joined: joined.filter_map(|v| last[v]).max(),
            readers: Vec::new(),
            kept: value.kept,
            bytes: [n * h * row, row],
        });
    }
    roles
}

/// Which steps of a network run depth first, and what is needed to list their turns.
#[derive(Debug)]
pub(super) struct DepthFirstPlan {
    /// By step.
    roles: Vec<Role>,
    /// The steps that take turns with each other, in order.
    stretches: Vec<Range<usize>>,
    pictures: usize,
    /// [`DepthFirst::multiply_adds`].
    multiply_adds: Option<u64>,
}

impl DepthFirstPlan {
    /// Chooses as few steps as [`DepthFirst`] allows, for a session of one thread.
    pub(super) fn new(
        flow: &Flow<'_>,
        steps: &[FusedStep],
        places: &Places,
        elements: &[ElementType],
        options: &DepthFirst,
    ) -> Self {
        let mut plan = Self {
            roles: roles(flow, steps, elements),
            stretches: Vec::new(),
            pictures: flow.values[0].shape[0],
            multiply_adds: options.multiply_adds,
        };
        let quantized = elements.iter().any(|element| element.is_quantized());
        let bytes = options.bytes.unwrap_or(if quantized { QUANTIZED_BYTES } else { BYTES });
        if bytes != usize::MAX {
            plan.stretches = plan.choose(places.buffers(), bytes);
        }
        plan
    }

    /// Whether a step runs depth first: for one picture at a time.
    pub(super) fn contains(&self, step: usize) -> bool {
        self.stretches.iter().any(|stretch| stretch.contains(&step))
    }

    /// The groups of a session with so many threads, in order.
    pub(super) fn groups(&self, places: &Places, threads: usize) -> Vec<Group> {
        let groups = self.stretches.iter().map(|stretch| {
            let group = self.group(stretch.clone(), threads);
            group.expect("a stretch is chosen because its steps can take turns")
        });
        // Of several pictures it is one at a time, for which the kernels are planned.
        let saves = |group: &Group| group.pictures > 1 || self.saves(places.buffers(), group);
        groups.filter(saves).collect()
    }

    /// Whether a group takes less memory than the largest of its steps takes alone.
    fn saves(&self, buffers: &[Buffer], group: &Group) -> bool {
        let mut alone = group.steps.clone().map(|s| self.bytes(buffers, s..s + 1, None));
        let bytes = self.bytes(buffers, group.steps.clone(), Some(group));
        alone.any(|alone| bytes < alone)
    }

    /// The stretches of steps that are to run depth first so that values take `limit` bytes for
    /// each picture, in order: as few steps as possible.
    fn choose(&self, buffers: &[Buffer], limit: usize) -> Vec<Range<usize>> {
        let count = self.roles.len();
        let enough = limit.saturating_mul(self.pictures);
        let alone: Vec<usize> = (0..count).map(|s| self.bytes(buffers, s..s + 1, None)).collect();
        // (start, bytes) of the stretches that end with each step: the step alone first.
        let mut stretches: Vec<Vec<(usize, usize)>> =
            (alone.iter().enumerate()).map(|(s, &bytes)| vec![(s, bytes)]).collect();
        for start in 0..count {
            for end in start + 2..=(start + MAX_STEPS).min(count) {
                if alone[start..end].iter().all(|&bytes| bytes <= enough) {
                    continue;
                }
                if let Some(group) = self.group(start..end, 1)
                    && self.saves(buffers, &group)
                {
                    let bytes = self.bytes(buffers, start..end, Some(&group));
                    stretches[end - 1].push((start, bytes));
                }
            }
        }
        // The least memory in which all steps up to each can run.
        let mut least = vec![0; count + 1];
        for (i, ending) in stretches.iter().enumerate() {
            let bytes = ending.iter().map(|&(start, bytes)| bytes.max(least[start])).min();
            least[i + 1] = bytes.unwrap_or(0);
        }
        let limit = enough.max(least[count].saturating_add(enough / 8));
        // The fewest steps that take turns so that memory stays below the limit, and where the last
        // stretch of that choice starts.
        let mut fewest: Vec<Option<usize>> = vec![Some(0)];
        let mut starts = Vec::new();
        for (i, ending) in stretches.iter().enumerate() {
            let fitting = ending.iter().filter(|(_, bytes)| *bytes <= limit);
            let costs = fitting.filter_map(|&(start, _)| {
                let turning = if start == i { 0 } else { i + 1 - start };
                Some((fewest[start]? + turning, turning > 0, start))
            });
            let best = costs.min();
            fewest.push(best.map(|(cost, ..)| cost));
            starts.push(best.map(|(.., start)| start));
        }
        let mut chosen = Vec::new();
        let mut end = count;
        while end > 0 {
            let start = starts[end - 1].expect("the least memory is below the limit");
            if end - start > 1 {
                chosen.push(start..end);
            }
            end = start;
        }
        chosen.reverse();
        chosen
    }

    /// Whether a step's result need only exist in part while the group `steps` runs: only steps of
    /// the group read it. (A part of a concatenation has no readers.)
    fn is_held(&self, steps: &Range<usize>, s: usize) -> bool {
        let Role { readers, kept, .. } = &self.roles[s];
        !kept && !readers.is_empty() && readers.iter().all(|reader| steps.contains(reader))
    }

    /// The memory of all values in bytes while these steps run. Values that the group holds take
    /// only some rows.
    fn bytes(&self, buffers: &[Buffer], steps: Range<usize>, group: Option<&Group>) -> usize {
        let alive = buffers.iter().filter(|b| b.first < steps.end && steps.start <= b.last);
        let lens = alive.map(|b| b.len.saturating_mul(size_of::<Unit>()));
        let all = lens.fold(0, usize::saturating_add);
        let held = group.map_or(&[][..], |group| &group.held);
        held.iter().fold(all, |sum, &(s, rows)| {
            let [all, row] = self.roles[s].bytes;
            sum - all + rows * row
        })
    }

    /// In how many bands of rows so many threads make the last result of a group.
    fn bands(&self, roles: &[Role], threads: usize) -> usize {
        let work = roles.iter().map(|role| role.pixels.saturating_mul(role.depth));
        let work = work.fold(0, u64::saturating_add);
        let [low, high] = ALONE_MULTIPLY_ADDS;
        let for_threads = || match threads as u64 {
            0 | 1 => (work / ALONE_BANDS).clamp(low, high),
            threads => BAND_MULTIPLY_ADDS.saturating_mul(threads),
        };
        let least = self.multiply_adds.unwrap_or_else(for_threads);
        let deep = roles.iter().filter(|role| role.depth > CACHED_WEIGHTS);
        let bands = deep.map(|role| role.pixels / TILE_PIXELS).fold(work / least.max(1), u64::min);
        let end = roles.last().map_or(1, |role| role.heights[1]);
        // Bands of equally many rows, but for the last.
        let most = usize::try_from(bands).unwrap_or(usize::MAX).clamp(1, end.min(MAX_BANDS));
        end.div_ceil(end.div_ceil(most))
    }

    /// The turns of `steps`. None if one of them can't take turns, if no result can be held in
    /// part, or if one step makes a part of a concatenation that another reads.
    fn group(&self, steps: Range<usize>, threads: usize) -> Option<Group> {
        let roles = &self.roles[steps.clone()];
        let (first, count) = (steps.start, steps.len());
        let held: Vec<bool> = steps.clone().map(|s| self.is_held(&steps, s)).collect();
        let fits =
            |role: &Role| role.window.is_some() && role.joined.is_none_or(|last| last < first);
        if !roles.iter().all(fits) || !held.contains(&true) {
            return None;
        }
        let inside = |maker: Option<usize>| maker.and_then(|s| s.checked_sub(first));
        let bands = self.bands(roles, threads);

        let (mut done, mut capacity) = (vec![0; count], vec![0; count]);
        let mut turns = Vec::new();
        for b in 1..=bands {
            // The row that each step must reach: its share if others need the whole result, and the
            // rows that later steps of the group need.
            let mut wanted: Vec<usize> = (roles.iter().zip(&held))
                .map(|(role, &held)| if held { 0 } else { share(role.heights[1], b, bands) })
                .collect();
            for (i, role) in roles.iter().enumerate().rev() {
                if wanted[i] <= done[i] {
                    continue;
                }
                let ends = [role.input_rows(done[i]..wanted[i]).end, wanted[i]];
                for (maker, end) in role.makers.map(inside).into_iter().zip(ends) {
                    if let Some(maker) = maker {
                        wanted[maker] = wanted[maker].max(end);
                    }
                }
            }
            for (i, role) in roles.iter().enumerate() {
                if wanted[i] <= done[i] {
                    continue;
                }
                let rows = done[i]..wanted[i];
                // The earlier rows that another step has yet to read.
                let mut kept = rows.start..rows.start;
                if held[i] {
                    for &reader in &role.readers {
                        let reader = reader - first;
                        let rest = done[reader]..roles[reader].heights[1];
                        let [x, residual] = roles[reader].makers.map(|m| m == Some(first + i));
                        if x && !rest.is_empty() {
                            let from = roles[reader].input_rows(rest.clone()).start;
                            kept.start = kept.start.min(from);
                        }
                        if residual {
                            kept.start = kept.start.min(rest.start);
                        }
                    }
                    capacity[i] = capacity[i].max(rows.end - kept.start);
                }
                let x = role.input_rows(rows.clone());
                turns.push(Turn { step: first + i, rows, x, tops: [0; 3], kept });
                done[i] = wanted[i];
            }
        }
        // The capacity of each buffer is now known, and so is when its rows must move.
        let mut top = vec![0; count];
        for turn in &mut turns {
            let i = turn.step - first;
            let kept = std::mem::take(&mut turn.kept);
            if held[i] && turn.rows.end - top[i] > capacity[i] {
                turn.kept = kept.start - top[i]..kept.end - top[i];
                top[i] = kept.start;
            }
            let [x, residual] = roles[i].makers.map(inside);
            turn.tops = [x, residual, Some(i)].map(|maker| maker.map_or(0, |i| top[i]));
        }
        let held = (0..count).filter(|&i| held[i]).map(|i| (first + i, capacity[i]));
        let held = held.collect();
        // Only steps without a window have operands of more pictures, or of fewer.
        let pictures = roles.first().map_or(0, |role| role.pictures);
        Some(Group { pictures, steps, turns, held })
    }
}
