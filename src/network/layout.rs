//! The place of every stored value in the arena.
//!
//! Each value lies in a buffer of its own, with one exception: an operand of a concatenation is
//! written straight into its channels of the concatenation's buffer. A value between steps that run
//! depth first has a buffer of some rows of one picture.
//!
//! [`Places`] says which buffer each value lies in; a plan has one. [`Layout`] says where the
//! buffers lie; a session has one, because the rows that a buffer holds depend on its threads.

use std::collections::BTreeMap;
use std::ops::Range;

use sepconv_kernels::ElementType;

use super::Op;
use super::arena::{self, Buffer, units};
use super::flow::{Flow, Value, ValueId};
use super::fuse::{FusedStep, is_closed};
use super::shape::{self, Shape};
use super::turns::Group;

/// Where a step reads an operand, which is dense.
#[derive(Debug)]
pub(super) enum Source {
    /// From the caller's input.
    Input(Target),
    /// From the arena.
    Arena(Target),
}

/// Where a step writes its result, with pixels `stride` elements apart. Ranges are in units.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) range: Range<usize>,
    pub(super) element: ElementType,
    /// The shape of what the buffer holds.
    pub(super) shape: Shape,
    pub(super) stride: usize,
}

impl Target {
    /// The part of the range that these rows of a picture take, and their shape. The first row in
    /// the buffer is `top`.
    pub(super) fn rows(
        &self,
        picture: usize,
        rows: &Range<usize>,
        top: usize,
    ) -> (Range<usize>, Shape) {
        let [n, h, w, c] = self.shape;
        let shape = [1, rows.len(), w, c];
        if rows.is_empty() {
            return (self.range.start..self.range.start, shape);
        }
        // A buffer of some rows has the pictures one after the other.
        let first = picture % n * h + (rows.start - top);
        let start = self.range.start + units(self.element, first * w * self.stride);
        let len = units(self.element, (rows.len() * w - 1) * self.stride + c);
        (start..start + len, shape)
    }
}

/// The buffer of every stored value if all steps run as a whole.
#[derive(Debug)]
pub(super) struct Places {
    /// By value.
    shapes: Vec<Shape>,
    /// By value; none for the input and for what is never stored.
    places: Vec<Option<Place>>,
    buffers: Vec<Buffer>,
    /// The result of each step.
    results: Vec<ValueId>,
}

/// Where every stored value lies in the arena.
pub(super) struct Layout<'a> {
    places: &'a Places,
    /// By buffer.
    offsets: Vec<usize>,
    /// The rows that the buffers of values between steps that run depth first hold.
    held: BTreeMap<ValueId, usize>,
    pub(super) arena_len: usize,
}

/// Channels of a buffer, from `channel` on; the buffer's pixels are `stride` elements apart.
#[derive(Debug, Clone, Copy)]
struct Place {
    buffer: usize,
    channel: usize,
    stride: usize,
    element: ElementType,
}

impl Places {
    pub(super) fn new(flow: &Flow<'_>, steps: &[FusedStep], elements: &[ElementType]) -> Self {
        let (places, mut buffers) = place(flow, steps, elements);
        let mut touch = |v: ValueId, time: usize| {
            if let Some(Place { buffer, .. }) = places[v] {
                let buffer: &mut Buffer = &mut buffers[buffer];
                buffer.first = buffer.first.min(time);
                buffer.last = buffer.last.max(time);
            }
        };
        for (time, step) in steps.iter().enumerate() {
            step.operands().chain([step.result]).for_each(|v| touch(v, time));
        }
        // Until after the last step, when the caller reads them.
        flow.kept.iter().for_each(|&v| touch(v, steps.len()));
        let shapes = flow.values.iter().map(|value| value.shape).collect();
        let results = steps.iter().map(|step| step.result).collect();
        Self { shapes, places, buffers, results }
    }

    /// All buffers, with the first and the last step that each is in use for.
    pub(super) fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The shape of a value.
    pub(super) fn shape(&self, v: ValueId) -> Shape {
        self.shapes[v]
    }

    /// The type in which a stored value is stored.
    pub(super) fn element(&self, v: ValueId) -> ElementType {
        self.place(v).element
    }

    fn place(&self, v: ValueId) -> Place {
        self.places[v].expect("the results of steps are stored")
    }

    /// The layout if the steps of these groups run by turns. None if it takes more than a slice can
    /// hold.
    pub(super) fn layout(&self, groups: &[Group]) -> Option<Layout<'_>> {
        let held = groups.iter().flat_map(|group| &group.held);
        let held: BTreeMap<_, _> = held.map(|&(s, rows)| (self.results[s], rows)).collect();
        let mut buffers = self.buffers.clone();
        for (&v, &rows) in &held {
            // It has the buffer alone: an operand of a concatenation is not held.
            let [_, _, w, c] = self.shapes[v];
            let Place { buffer, element, .. } = self.place(v);
            buffers[buffer].len = units(element, rows * w * c);
        }
        // The steps of a group are one as to what lives while they run.
        let mut times: Vec<usize> = (0..=self.results.len()).collect();
        for group in groups {
            times[group.steps.clone()].fill(group.steps.start);
        }
        for buffer in &mut buffers {
            (buffer.first, buffer.last) = (times[buffer.first], times[buffer.last]);
        }
        let (offsets, arena_len) = arena::assign(&buffers)?;
        Some(Layout { places: self, offsets, held, arena_len })
    }
}

impl Layout<'_> {
    /// Where a step finds an operand, which it sees in this shape.
    pub(super) fn source(&self, v: ValueId, shape: Shape) -> Source {
        if self.places.places[v].is_some() {
            let target = self.target(v);
            let shape = if self.held.contains_key(&v) { target.shape } else { shape };
            return Source::Arena(Target { shape, stride: shape[3], ..target });
        }
        let element = ElementType::F32;
        let range = 0..units(element, shape::elements(shape));
        Source::Input(Target { range, element, shape, stride: shape[3] })
    }

    /// Where a stored value lies.
    pub(super) fn target(&self, v: ValueId) -> Target {
        let whole @ [_, _, w, c] = self.places.shape(v);
        let shape = self.held.get(&v).map_or(whole, |&rows| [1, rows, w, c]);
        let Place { buffer, channel, stride, element } = self.places.place(v);
        let start = self.offsets[buffer] + units(element, channel);
        let [n, h, w, c] = shape;
        let len = units(element, (n * h * w - 1) * stride + c);
        Target { range: start..start + len, element, shape, stride }
    }
}

/// The type that each value is stored in: u8 if it is rounded to integers, else `activations`. Some
/// values stay f32: the input, the output, factors that layers multiply by as they load, and
/// operands and results of softmax, PReLU and plain loops. A residual has the type of its sum, and
/// an operand of a concatenation has the type of the concatenation, so that they are f32 if the
/// other is. Beside integers `activations` is f32.
pub(super) fn element_types(
    flow: &Flow<'_>,
    steps: &[FusedStep],
    activations: ElementType,
) -> Vec<ElementType> {
    let closed = |&v: &ValueId| is_closed(flow.values[v].op);
    let mut wide: Vec<bool> = (flow.values.iter().enumerate())
        .map(|(v, value)| {
            matches!(value.op, Op::Input { .. })
                || v == flow.kept[0]
                || closed(&v)
                || value.users.iter().any(closed)
                || steps.iter().any(|step| step.scale == Some(v))
        })
        .collect();
    let sums = steps.iter().filter_map(|step| Some((step.residual?, step.result)));
    let concats = (flow.values.iter().enumerate())
        .filter(|(_, value)| *value.op == Op::Concat)
        .flat_map(|(v, value)| value.operands.iter().map(move |&operand| (operand, v)));
    let bound: Vec<(ValueId, ValueId)> = sums.chain(concats).collect();
    // From the end, as most chains of sums become wide by their last.
    loop {
        let mut settled = true;
        for &(a, b) in bound.iter().rev() {
            if wide[a] != wide[b] {
                (wide[a], wide[b], settled) = (true, true, false);
            }
        }
        if settled {
            break;
        }
    }
    let of = |(value, wide): (&Value<'_>, bool)| match (value.quantization, wide) {
        (Some(_), _) => ElementType::U8,
        (None, true) => ElementType::F32,
        (None, false) => activations,
    };
    flow.values.iter().zip(wide).map(of).collect()
}

/// A buffer for each stored value. An operand of a concatenation lies in the concatenation's
/// buffer. Lifetimes are still empty.
fn place(
    flow: &Flow<'_>,
    steps: &[FusedStep],
    elements: &[ElementType],
) -> (Vec<Option<Place>>, Vec<Buffer>) {
    let mut stored = vec![false; flow.values.len()];
    steps.iter().for_each(|step| stored[step.result] = true);
    let mut places: Vec<Option<Place>> = vec![None; flow.values.len()];
    let mut buffers = Vec::new();
    // Users first: a concatenation may itself lie inside another.
    for (v, value) in flow.values.iter().enumerate().rev() {
        let concat = *value.op == Op::Concat;
        if (stored[v] || concat) && places[v].is_none() {
            let (element, stride) = (elements[v], value.shape[3]);
            places[v] = Some(Place { buffer: buffers.len(), channel: 0, stride, element });
            let len = units(element, shape::elements(value.shape));
            buffers.push(Buffer { len, first: usize::MAX, last: 0 });
        }
        if let (true, Some(mut place)) = (concat, places[v]) {
            for &operand in &value.operands {
                places[operand] = Some(place);
                place.channel += flow.values[operand].shape[3];
            }
        }
    }
    (places, buffers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::network::fuse::fuse;
    use sepconv_kernels::{Activation, Padding, Quantization, Window};

    /// Sums, concatenations in and outside of one another, copies; no weights.
    fn network() -> Network {
        let mut net = Network::new("test", "input", [None, None], 3);
        let input = net.find("input").unwrap();
        let pool = Op::MaxPool(Window::new([3, 3]).padding(Padding::Same));
        let silu = Op::Activation(Activation::Silu);
        let mut push = |name: &str, op: &Op, of: &[_]| net.push(name, op.clone(), of).unwrap();
        let mut x = push("stem", &pool, &[input]);
        for i in 0..4 {
            let a = push(&format!("a{i}"), &silu, &[x]);
            let b = push(&format!("b{i}"), &pool, &[a]);
            let sum = push(&format!("sum{i}"), &Op::Add, &[b, x, a]);
            let c = push(&format!("c{i}"), &silu, &[sum]);
            let inner = push(&format!("inner{i}"), &Op::Concat, &[c, x]);
            let d = push(&format!("d{i}"), &pool, &[sum]);
            x = push(&format!("outer{i}"), &Op::Concat, &[d, inner, sum]);
        }
        push("out", &Op::Softmax, &[x]);
        net
    }

    /// Replays the steps, writing a value's number into each element it stores and checking that
    /// every operand, and at the end every report, still holds whole values and no torn ones.
    #[test]
    fn no_step_writes_over_a_value_that_is_still_needed() {
        let float = network();
        let mut quantized = float.clone();
        for (i, node) in float.nodes().iter().enumerate().filter(|(i, _)| i % 5 != 4) {
            let quantization = Some(Quantization::new(0.1 * (1 + i % 2) as f32, 100));
            quantized.set_quantization(float.find(&node.name).unwrap(), quantization).unwrap();
        }
        let cases = [
            (&float, ElementType::F32),
            (&float, ElementType::Bf16),
            (&quantized, ElementType::F32),
        ];
        let all: Vec<String> = float.nodes().iter().map(|n| n.name.clone()).collect();
        for (outputs, (net, activations)) in
            [&all[..0], &all[5..9], &all].into_iter().flat_map(|o| cases.map(|case| (o, case)))
        {
            let input = [2, 4, 3, 3];
            let kept: Vec<_> = ([net.output()].into_iter())
                .chain(outputs.iter().map(|name| net.find(name).unwrap()))
                .collect();
            let flow = Flow::new(net, input, &kept).unwrap();
            let steps = fuse(&flow, true);
            let elements = element_types(&flow, &steps, activations);
            let places = Places::new(&flow, &steps, &elements);
            let layout = places.layout(&[]).unwrap();
            let mut arena = vec![usize::MAX; layout.arena_len];
            for step in &steps {
                for v in step.operands() {
                    assert_holds(&flow, &layout, &arena, v);
                }
                let Target { range, stride, element, .. } = layout.target(step.result);
                let channels = flow.values[step.result].shape[3];
                for pixel in arena[range].chunks_mut(units(element, stride)) {
                    pixel[..units(element, channels)].fill(step.result);
                }
            }
            flow.kept.iter().for_each(|&v| assert_holds(&flow, &layout, &arena, v));
        }
    }

    fn assert_holds(flow: &Flow<'_>, layout: &Layout<'_>, arena: &[usize], v: ValueId) {
        if layout.places.places[v].is_none() {
            return assert_eq!(v, 0, "only the input is not in the arena");
        }
        let Target { range, stride, element, .. } = layout.target(v);
        let channels = sources(flow, v);
        for pixel in arena[range].chunks(units(element, stride)) {
            for (units, &v) in pixel.chunks(units(element, 1)).zip(&channels) {
                assert!(units.iter().all(|&unit| unit == v));
            }
        }
    }

    /// The value that each channel of a value was stored as.
    fn sources(flow: &Flow<'_>, v: ValueId) -> Vec<ValueId> {
        let value = &flow.values[v];
        match value.op {
            Op::Concat => (value.operands.iter()).flat_map(|&o| sources(flow, o)).collect(),
            _ => vec![v; value.shape[3]],
        }
    }
}
