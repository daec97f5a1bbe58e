//! No access outside the operands: each lies between pages that fault when touched, once ending
//! exactly where such a page begins and once beginning right behind one. A fault ends the process:
//! no handler is installed, so that this also runs where there are none (emulators).
#![cfg(unix)]

use std::ops::Range;
use std::ptr;

use common::half::Stored;
use common::int8;
use common::layer::{Layer, Op, Weights};
use common::{
    Mode, POISON, POISON_8, POISON_16, Random, Spaced, assert_same_bits, holds, is_poison,
    is_poison_16, ledger, levels,
};
use sepconv_kernels::*;

/// Which end of an operand touches a guard page.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Last,
    First,
}

/// Elements on the open side of an operand that must stay as they are.
const CANARIES: usize = 64;

/// An f32, the bits of a 16-bit number, or an integer.
trait Bits: Copy {
    const POISON: Self;

    fn is_poison(&self) -> bool;
}

impl Bits for f32 {
    const POISON: Self = POISON;

    fn is_poison(&self) -> bool {
        is_poison(self)
    }
}

impl Bits for u16 {
    const POISON: Self = POISON_16;

    fn is_poison(&self) -> bool {
        is_poison_16(self)
    }
}

impl Bits for u8 {
    const POISON: Self = POISON_8;

    fn is_poison(&self) -> bool {
        *self == POISON_8
    }
}

impl Bits for i8 {
    const POISON: Self = POISON_8 as i8;

    fn is_poison(&self) -> bool {
        *self == Self::POISON
    }
}

impl Bits for i32 {
    const POISON: Self = i32::from_ne_bytes([POISON_8; 4]);

    fn is_poison(&self) -> bool {
        *self == Self::POISON
    }
}

/// Memory between two guard pages.
struct Pages {
    /// The guard page in front.
    start: *mut libc::c_void,
    bytes: usize,
    page: usize,
}

impl Pages {
    /// Room for `elements`, and canaries.
    fn new(elements: usize) -> Self {
        // SAFETY: no memory is involved.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let inner = ((elements + CANARIES) * size_of::<f32>()).next_multiple_of(page);
        let bytes = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping at an address of the system's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "{bytes} bytes can't be mapped");
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: pages of this mapping, which nothing points into yet.
        let status = unsafe { libc::mprotect(start.wrapping_byte_add(page), inner, access) };
        assert_eq!(status, 0, "the pages can't be made accessible");
        Self { start, bytes, page }
    }

    /// The accessible elements.
    fn inner<T: Bits>(&mut self) -> &mut [T] {
        let inner = self.bytes - 2 * self.page;
        let first = self.start.wrapping_byte_add(self.page).cast::<T>();
        // SAFETY: accessible, initialized to zeros by the system, borrowed as `self` is; `T` is of
        // plain bits.
        unsafe { std::slice::from_raw_parts_mut(first, inner / size_of::<T>()) }
    }

    /// The operand's place and the canaries.
    fn split<T: Bits>(&mut self, end: End, len: usize) -> (&mut [T], &mut [T]) {
        let inner = self.inner();
        let all = inner.len();
        match end {
            End::First => {
                let (operand, rest) = inner.split_at_mut(len);
                (operand, &mut rest[..CANARIES])
            }
            End::Last => {
                let (rest, operand) = inner.split_at_mut(all - len);
                (operand, &mut rest[all - len - CANARIES..])
            }
        }
    }

    /// A poisoned operand of `len` elements beside poisoned canaries.
    fn place<T: Bits>(&mut self, end: End, len: usize) -> &mut [T] {
        let (operand, canaries) = self.split::<T>(end, len);
        canaries.fill(T::POISON);
        operand.fill(T::POISON);
        operand
    }

    /// Places a copy.
    fn copy<T: Bits>(&mut self, end: End, from: &[T]) -> &[T] {
        let to = self.place(end, from.len());
        to.copy_from_slice(from);
        to
    }

    /// Places a copy of a tensor.
    fn put(&mut self, end: End, operand: &Stored) -> Elements<'_> {
        match operand {
            Stored::F32(x) => Elements::F32(self.copy(end, x)),
            Stored::F16(x) => Elements::F16(self.copy(end, x)),
            Stored::Bf16(x) => Elements::Bf16(self.copy(end, x)),
            Stored::U8(x) => Elements::U8(self.copy(end, x)),
            Stored::I8(x) => Elements::I8(self.copy(end, x)),
        }
    }

    /// Places an output that nobody has written.
    fn place_output(&mut self, end: End, element: ElementType, len: usize) -> ElementsMut<'_> {
        match element {
            ElementType::F16 => ElementsMut::F16(self.place(end, len)),
            ElementType::Bf16 => ElementsMut::Bf16(self.place(end, len)),
            ElementType::U8 => ElementsMut::U8(self.place(end, len)),
            ElementType::I8 => ElementsMut::I8(self.place(end, len)),
            _ => ElementsMut::F32(self.place(end, len)),
        }
    }

    /// The output of `len` elements, and whether the canaries beside it are as they were.
    fn take_output(&mut self, end: End, element: ElementType, len: usize) -> (Stored, bool) {
        fn take<T: Bits>(pages: &mut Pages, end: End, len: usize) -> (Vec<T>, bool) {
            let (operand, canaries) = pages.split::<T>(end, len);
            (operand.to_vec(), canaries.iter().all(T::is_poison))
        }
        match element {
            ElementType::F16 => {
                let (bits, intact) = take(self, end, len);
                (Stored::F16(bits), intact)
            }
            ElementType::Bf16 => {
                let (bits, intact) = take(self, end, len);
                (Stored::Bf16(bits), intact)
            }
            ElementType::U8 => {
                let (integers, intact) = take(self, end, len);
                (Stored::U8(integers), intact)
            }
            ElementType::I8 => {
                let (integers, intact) = take(self, end, len);
                (Stored::I8(integers), intact)
            }
            _ => {
                let (values, intact) = take(self, end, len);
                (Stored::F32(values), intact)
            }
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`; whatever borrowed it is gone.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// The operands of all cases, one after the other.
struct Arena {
    x: Pages,
    scale: Pages,
    residual: Pages,
    y: Pages,
    scratch: Pages,
    /// Weights and biases, and the scales of integers.
    weights: [Pages; 6],
}

impl Arena {
    fn new() -> Self {
        let pages = |elements| Pages::new(elements);
        Self {
            x: pages(1 << 16),
            scale: pages(1 << 12),
            residual: pages(1 << 16),
            y: pages(1 << 16),
            scratch: pages(1 << 20),
            weights: [(); 6].map(|()| pages(1 << 18)),
        }
    }
}

/// A layer, the type of its weights, and how its operands lie: at which end, with which gaps.
#[derive(Debug, Clone, Copy)]
struct Case {
    layer: Layer,
    weights: ElementType,
    places: &'static [(End, usize)],
}

/// The operands of a case.
struct Operands {
    x: Stored,
    /// Its factors, if the layer takes some.
    scale: Option<Vec<f32>>,
    residual: Stored,
    weights: [Stored; 4],
    /// The shape of the output.
    output: [usize; 4],
}

impl Case {
    fn operands(&self) -> Operands {
        let Self { layer, weights, .. } = self;
        let mut random = Random(7);
        let weights = layer.fill_stored(*weights, Mode::Reals, &mut random);
        let mut fill = |element, len| Stored::new(element, &Mode::Reals.fill(&mut random, len));
        let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
        let plan = layer.plan(weights.each_ref().map(Stored::elements), Level::Scalar).unwrap();
        let x = fill(layer.input_type, elements(plan.input_shape()));
        let residual = fill(layer.output_type, elements(plan.output_shape()));
        let [n, _, _, c] = plan.input_shape();
        let scale = layer.input_scale.then(|| Mode::Reals.fill(&mut random, n * c));
        Operands { x, scale, residual, weights, output: plan.output_shape() }
    }

    /// What the plan gives of operands in ordinary memory.
    fn ordinary(&self, operands: &Operands, level: Level) -> Vec<f32> {
        let weights = operands.weights.each_ref().map(Stored::elements);
        let plan = self.layer.plan(weights, level).unwrap();
        let x = Spaced::of(plan.input_shape(), 0, &operands.x);
        let x = Spaced { scale: operands.scale.clone(), ..x };
        let residual = Spaced::of(plan.output_shape(), 0, &operands.residual);
        common::run(&*plan, &x, Some(&residual), 0, 0)
    }
}

/// A plan of a layer whose weights are at guard pages; adds up those.
fn planned(
    arena: &mut Arena,
    layer: &Layer,
    operands: &Operands,
    (level, end): (Level, End),
    guarded: &mut u64,
) -> Box<dyn Plan> {
    let weights: Weights<'_> = {
        let mut placed = arena.weights.iter_mut().zip(&operands.weights);
        std::array::from_fn(|_| {
            let (pages, operand) = placed.next().unwrap();
            pages.put(end, operand)
        })
    };
    *guarded += layer.lengths().iter().map(|&len| u64::from(len > 0)).sum::<u64>();
    layer.plan(weights, level).unwrap()
}

/// How a plan is run: the end at which its operands lie and their gaps, which rows of the output,
/// in how many threads.
#[derive(Debug, Clone)]
struct How {
    end: End,
    gap: usize,
    rows: Option<Range<usize>>,
    threads: usize,
}

/// Runs a plan with all operands at guard pages, or some rows of its output; adds up the operands
/// that were. Returns the output.
fn guarded(
    arena: &mut Arena,
    plan: &dyn Plan,
    (x, scale, residual): (&Stored, Option<&[f32]>, &Stored),
    how: &How,
    guarded: &mut u64,
) -> Vec<f32> {
    let How { end, gap, ref rows, threads } = *how;
    ledger::ran(plan.level(), plan.kernel_name());
    let (input, output) = (plan.input_shape(), plan.output_shape());
    let part = rows.clone().unwrap_or(0..output[1]);
    let needed = rows.as_ref().map_or(0..input[1], |rows| plan.input_rows(rows.clone()));
    let x = Spaced::rows(input, needed, gap, x).in_layout(plan.input_layout());
    let residual = Spaced::rows(output, part, gap, residual).in_layout(plan.output_layout());
    let y_len = residual.data.elements().len();
    let scratch_len = plan.scratch_len(threads);
    {
        let scratch = arena.scratch.place(end, scratch_len);
        let y = arena.y.place_output(end, plan.output_type(), y_len);
        let (x_data, residual_data) =
            (arena.x.put(end, &x.data), arena.residual.put(end, &residual.data));
        let mut x = x.view_of(x_data);
        if let Some(scale) = scale {
            x = x.scaled(arena.scale.copy(end, scale)).unwrap();
        }
        let mut views = Some((x, residual.view_of(residual_data), residual.view_mut_of(y)));
        common::in_pool(threads, &mut || {
            let (x, residual, y) = views.take().unwrap();
            match rows.clone() {
                None => plan.run(x, Some(residual), y, scratch).unwrap(),
                Some(rows) => plan.run_rows(rows, x, Some(residual), y, scratch).unwrap(),
            }
        });
    }
    let (y, intact) = arena.y.take_output(end, plan.output_type(), y_len);
    holds(intact, || format!("{} {how:?} wrote beside the output", plan.kernel_name()));
    let beside = arena.scratch.split::<f32>(end, scratch_len).1.iter().all(is_poison);
    holds(beside, || format!("{} {how:?} wrote beside the scratch", plan.kernel_name()));
    *guarded += 3 + u64::from(scratch_len > 0) + u64::from(scale.is_some());
    // All of it was written, and no gap.
    Spaced { data: y, ..residual }.into_dense().into_values()
}

/// A plan on lines, and the shape of what it takes as its residual.
fn line_plans(level: Level, types: [ElementType; 2], c: usize) -> Vec<(Box<dyn Plan>, [usize; 4])> {
    let [input_type, output_type] = types;
    let options = Options::default().level(level).input_type(input_type).output_type(output_type);
    let options = options.activation(Activation::Relu);
    let shape = [2, 3, 2, c];
    let [scale, shift] = [vec![2.0; c], vec![1.0; c]];
    let mut plans: Vec<(Box<dyn Plan>, [usize; 4])> = Vec::new();
    for second in [shape, [2, 1, 1, c], [1, 3, 1, c], [1, 1, 2, 1], [1; 4]] {
        for [a, b] in [[shape, second], [second, shape]] {
            plans.push((Box::new(Binary::new(BinaryOp::Multiply, a, b, &options).unwrap()), b));
        }
    }
    let group = NormalizationKind::Group { groups: c };
    for kind in [NormalizationKind::Layer, NormalizationKind::Unit, group] {
        let params = NormalizationParams::new(kind, 0.1).scale(&scale).shift(&shift);
        plans.push((Box::new(Normalization::new(shape, &params, &options).unwrap()), shape));
    }
    plans
}

#[test]
fn operations_on_lines_stay_inside() {
    let mut arena = Arena::new();
    let (mut random, mut runs) = (Random(5), 0);
    let [f32, f16, bf16] = ElementType::FLOATS;
    let channels = part(&[1, 3, 7, 8, 9, 16, 17, 31, 33, 64, 600]);
    let cases =
        channels.into_iter().flat_map(|c| [[f32; 2], [f16; 2], [bf16, f32]].map(|t| (c, t)));
    for (c, types) in cases {
        for level in levels() {
            for (plan, second) in line_plans(level, types, c) {
                let mut fill = |element, shape: [usize; 4]| {
                    let len = shape.iter().product();
                    Stored::new(element, &Mode::Reals.fill(&mut random, len))
                };
                let (input, output) = (plan.input_shape(), plan.output_shape());
                let (x, r) = (fill(types[0], input), fill(types[1], second));
                let [x_dense, r_dense] =
                    [(input, &x), (second, &r)].map(|(shape, data)| Spaced::of(shape, 0, data));
                let wanted = common::run(&*plan, &x_dense, Some(&r_dense), 0, 0);
                for &(end, gap) in PLACES {
                    ledger::ran(level, plan.kernel_name());
                    let [x, r] = [(input, &x), (second, &r)]
                        .map(|(shape, data)| Spaced::of(shape, gap, data));
                    let like = Spaced::poisoned(output, gap, types[1]);
                    let len = like.data.elements().len();
                    {
                        let y = like.view_mut_of(arena.y.place_output(end, types[1], len));
                        let (x_data, r_data) =
                            (arena.x.put(end, &x.data), arena.residual.put(end, &r.data));
                        let (x, r) = (x.view_of(x_data), r.view_of(r_data));
                        on_this_thread(|| plan.run(x, Some(r), y, &mut [])).unwrap();
                    }
                    let (data, intact) = arena.y.take_output(end, types[1], len);
                    let what = format!("{} {c} channels {end:?} {gap}", plan.kernel_name());
                    holds(intact, || format!("{what} wrote beside the output"));
                    let y = Spaced { data, ..like }.into_dense().into_values();
                    assert_same_bits(&what, &y, &wanted);
                    runs += 1;
                }
            }
        }
    }
    println!("lines: {runs} runs, 0 faults");
}

/// Every operation, with the windows that have kernels of their own and others.
fn kinds() -> Vec<(Op, Window, Activation)> {
    let same = |kernel, stride: usize, dilation: usize| {
        let window = Window::new(kernel).stride([stride; 2]).dilation([dilation; 2]);
        window.padding(Padding::Same)
    };
    let one = Window::new([1, 1]);
    let depthwise = Op::Depthwise { multiplier: 1 };
    let mut kinds = Vec::new();
    for load in [Activation::None, Activation::Relu] {
        for window in [
            same([3, 3], 1, 1),
            same([3, 3], 2, 1),
            same([5, 5], 1, 1),
            same([5, 5], 2, 1),
            same([7, 7], 1, 1),
            same([7, 7], 2, 1),
            same([3, 3], 1, 2),
            same([3, 9], 1, 1),
            same([9, 1], 1, 1),
            same([2, 4], 3, 1),
            same([3, 3], 1, 1).padding(Padding::Explicit { top: 0, bottom: 2, left: 2, right: 0 }),
        ] {
            kinds.push((depthwise, window, load));
        }
        kinds.push((Op::Separable { multiplier: 1 }, same([3, 3], 1, 1), load));
        kinds.push((Op::Pointwise, one, load));
        kinds.push((Op::Pointwise, one.stride([2, 2]), load));
        kinds.push((Op::Conv { groups: 2 }, same([3, 3], 1, 1), load));
        kinds.push((Op::Max, same([3, 3], 2, 1), load));
        kinds.push((Op::Average, same([3, 2], 1, 1), load));
    }
    let others = [
        (Op::Depthwise { multiplier: 2 }, same([3, 3], 1, 1), Activation::None),
        (Op::Depthwise { multiplier: 3 }, same([3, 3], 2, 1), Activation::Silu),
        (Op::Separable { multiplier: 1 }, same([3, 3], 2, 1), Activation::None),
        (Op::Separable { multiplier: 2 }, same([5, 5], 1, 1), Activation::Relu),
        (Op::Conv { groups: 1 }, same([3, 3], 2, 1), Activation::None),
        (Op::Conv { groups: 1 }, same([2, 3], 1, 2), Activation::Silu),
        (Op::Dense, one, Activation::None),
        (Op::GlobalAverage, one, Activation::None),
        (Op::Elementwise, one, Activation::Silu),
    ];
    kinds.extend(others);
    kinds
}

fn layer((op, window, load): (Op, Window, Activation), size: [usize; 3], o: usize) -> Layer {
    let [h, w, c] = size;
    let (c, o) = match op {
        Op::Conv { groups } => (c * groups, o * groups),
        _ => (c, o),
    };
    // Smooth ones are applied to the output once more, by itself.
    let smooth = (c + o + w).is_multiple_of(3);
    Layer {
        input_activation: load,
        mid_activation: if smooth { Activation::Relu } else { Activation::HardSwish },
        activation: if smooth { Activation::Silu } else { Activation::Relu },
        ..Layer::new(op, [1, h, w, c], window, o)
    }
}

/// A part of the cases, spread evenly, according to the effort.
fn part<T: Copy>(cases: &[T]) -> Vec<T> {
    let count = (common::scaled(cases.len() as u32) as usize).min(cases.len());
    (0..count).map(|i| cases[i * cases.len() / count]).collect()
}

/// Each end, without gaps and with them.
const PLACES: &[(End, usize)] = &[(End::Last, 0), (End::First, 0), (End::Last, 3), (End::First, 3)];

fn check(what: &str, cases: &[Case]) {
    let mut arena = Arena::new();
    let (mut operands_guarded, mut runs) = (0, 0);
    let levels = levels();
    for (i, case) in part(cases).iter().enumerate() {
        let operands = case.operands();
        let output = operands.output;
        // In one of the places only some rows of the output.
        let (first, more) = (i % output[1], i / 2 % 3);
        let rows = first..(first + 1 + more).min(output[1]);
        let wanted = case.ordinary(&operands, levels[i % levels.len()]);
        for &level in &levels {
            // Dot products are no level's alone.
            let own = (case.layer.arithmetic == Arithmetic::Fast)
                .then(|| case.ordinary(&operands, level));
            let wanted = own.as_ref().unwrap_or(&wanted);
            for (j, &place) in case.places.iter().enumerate() {
                let threads = if i % 8 == 7 { 3 } else { 1 };
                let rows = Some(rows.clone()).filter(|_| j == i % case.places.len());
                let wanted = match rows.clone() {
                    None => wanted.clone(),
                    Some(rows) => {
                        let whole = Stored::F32(wanted.clone());
                        Spaced::rows(output, rows, 0, &whole).data.into_values()
                    }
                };
                let layer = in_planes(case.layer, i + j);
                let (end, gap) = place;
                let plan =
                    planned(&mut arena, &layer, &operands, (level, end), &mut operands_guarded);
                let how = How { end, gap, rows, threads };
                let given = (&operands.x, operands.scale.as_deref(), &operands.residual);
                let y = guarded(&mut arena, &*plan, given, &how, &mut operands_guarded);
                runs += 1;
                assert_same_bits(format_args!("{case:?} {level}"), &y, &wanted);
            }
        }
    }
    println!(
        "{what}: {runs} runs on {levels:?}, {operands_guarded} operands at guard pages, 0 faults"
    );
}

/// Every other layer with planes for its input, its output, or both.
fn in_planes(layer: Layer, turn: usize) -> Layer {
    let [nhwc, nchw] = [TensorLayout::Nhwc, TensorLayout::Nchw];
    let [input_layout, output_layout] = match turn % 6 {
        0 => [nchw, nhwc],
        1 => [nhwc, nchw],
        2 => [nchw, nchw],
        _ => [nhwc, nhwc],
    };
    Layer { input_layout, output_layout, ..layer }
}

fn f32_cases(layers: impl Iterator<Item = Layer>) -> Vec<Case> {
    layers.map(|layer| Case { layer, weights: ElementType::F32, places: PLACES }).collect()
}

/// Layers in f16 and in bf16, and in mixtures of the types, `turn` says which; half of the places
/// each.
fn half_cases(layers: impl Iterator<Item = (Layer, usize)>) -> Vec<Case> {
    let cases = layers.flat_map(|(layer, turn)| {
        let [f32, f16, bf16] = ElementType::FLOATS;
        [[f16, bf16], [bf16, f16]].map(|[one, other]| {
            let [input_type, weights, output_type] = match turn % 4 {
                0 => [one, one, one],
                1 => [f32, one, one],
                2 => [one, f32, other],
                _ => [one, other, f32],
            };
            let places = if turn / 4 % 2 == 0 { &PLACES[..2] } else { &PLACES[2..] };
            let arithmetic = Arithmetic::ALL[turn % 3];
            Case { layer: Layer { input_type, output_type, arithmetic, ..layer }, weights, places }
        })
    });
    cases.collect()
}

/// What makes all turns come with each tail of a vector.
fn turn(channels: usize) -> usize {
    channels + channels / 16
}

/// Those of [`kinds`] that have 16-bit kernels of their own: one serves an input as it is and its
/// ReLU.
fn half_kinds() -> impl Iterator<Item = (Op, Window, Activation)> {
    kinds().into_iter().filter(|(_, _, load)| *load != Activation::Relu)
}

fn has_free_outputs((op, ..): &(Op, Window, Activation)) -> bool {
    matches!(op, Op::Pointwise | Op::Separable { .. } | Op::Conv { .. } | Op::Dense)
}

/// All channel counts up to 129: every tail of every vector, panel and block.
#[test]
fn every_channel_count() {
    let layers = kinds()
        .into_iter()
        .flat_map(|kind| (1..=129).map(move |c| layer(kind, [4, 5, c], c % 37 + 1)));
    check("channels 1 to 129", &f32_cases(layers));
}

#[test]
fn every_channel_count_in_16_bits() {
    let layers = half_kinds()
        .flat_map(|kind| (1..=129).map(move |c| (layer(kind, [4, 5, c], c % 37 + 1), turn(c))));
    check("16 bits, channels 1 to 129", &half_cases(layers));
}

/// The same for output channels, where these are free.
#[test]
fn every_output_channel_count() {
    let layers = kinds()
        .into_iter()
        .filter(has_free_outputs)
        .flat_map(|kind| (1..=129).map(move |o| layer(kind, [3, 5, o % 18 + 1], o)));
    check("output channels 1 to 129", &f32_cases(layers));
}

#[test]
fn every_output_channel_count_in_16_bits() {
    let layers = half_kinds()
        .filter(has_free_outputs)
        .flat_map(|kind| (1..=129).map(move |o| (layer(kind, [3, 5, o % 18 + 1], o), turn(o))));
    check("16 bits, output channels 1 to 129", &half_cases(layers));
}

/// Heights and widths around all tiles: of 1 to 14 pixels in a row, of 4, 6, 8, 12 in a micro-tile.
fn sizes() -> impl Iterator<Item = [usize; 2]> + Clone {
    let lines = (1..=29).map(|w| [1, w]).chain((2..=14).map(|h| [h, 1]));
    lines.chain((2..=14).flat_map(|h| [2, 3, 7].map(|w| [h, w])))
}

#[test]
fn every_small_size() {
    let layers = kinds().into_iter().flat_map(|kind| {
        sizes().flat_map(move |[h, w]| [3, 8, 17].map(|c| layer(kind, [h, w, c], c + w)))
    });
    check("sizes", &f32_cases(layers));
}

/// Few channels, whose taps the GEMM reads in the input where a row of pixels fills a micro-tile.
#[test]
fn taps_in_place() {
    let window = |kernel, stride| Window::new(kernel).stride([stride; 2]);
    let sides = Padding::Explicit { top: 2, bottom: 1, left: 3, right: 2 };
    let windows = [
        window([3, 3], 2).padding(Padding::Same),
        window([3, 3], 1).padding(sides),
        window([5, 3], 1).dilation([2, 1]).padding(Padding::Same),
        window([7, 7], 2).padding(Padding::Same),
        window([3, 1], 3).padding(Padding::Same),
        window([1, 2], 1),
    ];
    let kinds = windows.map(|window| (Op::Conv { groups: 1 }, window, Activation::None));
    let strided = (Op::Pointwise, window([1, 1], 2), Activation::None);
    let layers = kinds.into_iter().chain([strided]).flat_map(|kind| {
        (1..=5).flat_map(move |h| {
            [13, 26, 29]
                .into_iter()
                .flat_map(move |w| [1, 3, 4, 9].map(|c| layer(kind, [h, w, c], c * 7 + w + h)))
        })
    });
    check("taps in place", &f32_cases(layers));
}

#[test]
fn every_small_size_in_16_bits() {
    let layers = half_kinds().enumerate().flat_map(|(k, kind)| {
        // Every other size, the others of the next kind.
        sizes().enumerate().skip(k % 2).step_by(2).map(move |(i, [h, w])| {
            let c = [3, 8, 17][i % 3];
            (layer(kind, [h, w, c], c + w), i / 2)
        })
    });
    check("16 bits, sizes", &half_cases(layers));
}

/// Batches: where there are gaps, the pictures of planes lie apart.
#[test]
fn several_pictures() {
    let layers = kinds().into_iter().flat_map(|kind| {
        [[2, 1, 1, 3], [3, 4, 5, 17], [2, 7, 3, 8]].map(|[n, h, w, c]| {
            let mut layer = layer(kind, [h, w, c], c + w);
            layer.input[0] = n;
            layer
        })
    });
    check("batches", &f32_cases(layers));
}

/// Layers whose inputs come with factors, of all types, pictures and tails of vectors.
#[test]
fn every_channel_count_scaled() {
    let layers = kinds().into_iter().filter(|(.., load)| *load != Activation::Silu);
    let layers = layers.enumerate().flat_map(|(i, kind)| {
        (1..=70).map(move |c| {
            let mut layer = Layer { input_scale: true, ..layer(kind, [4, 5, c], c % 37 + 1) };
            layer.input[0] = 1 + (i + c) % 2;
            (layer, turn(c))
        })
    });
    let layers: Vec<_> = layers.collect();
    check("scaled, channels 1 to 70", &f32_cases(layers.iter().map(|(layer, _)| *layer)));
    check("scaled, 16 bits", &half_cases(layers.into_iter()));
}

/// A case of integers whose weights, scales and biases are at guard pages.
fn planned_int8(
    arena: &mut Arena,
    case: &int8::Case,
    (level, way, end): (Level, int8::Way, End),
    guarded: &mut u64,
) -> Box<dyn Plan> {
    let given = case.given();
    let [w, x, s, t, b, c] = &mut arena.weights;
    let at_pages = int8::Given {
        weights: [w.copy(end, given.weights[0]), x.copy(end, given.weights[1])],
        scales: [s.copy(end, given.scales[0]), t.copy(end, given.scales[1])],
        biases: [
            given.biases[0].map(|bias| b.copy(end, bias)),
            given.biases[1].map(|bias| c.copy(end, bias)),
        ],
        ..given
    };
    *guarded += 3;
    case.plan_of(&at_pages, &case.options_of(level, way)).unwrap()
}

fn check_int8(what: &str, cases: &[int8::Case]) {
    let mut arena = Arena::new();
    let (mut operands_guarded, mut runs) = (0, 0);
    let levels = levels();
    let count = (common::scaled(cases.len() as u32) as usize).min(cases.len());
    for (i, case) in (0..count).map(|i| &cases[i * cases.len() / count]).enumerate() {
        let (output, wanted) = (case.output(), case.expected());
        let residual = case.residual.as_ref().unwrap();
        let first = i % output[1];
        let part = first..(first + 1 + i / 2 % 3).min(output[1]);
        for &level in &levels {
            for &way in int8::ways(level) {
                for (j, &(end, gap)) in PLACES.iter().enumerate() {
                    let rows = Some(part.clone()).filter(|_| j == i % PLACES.len());
                    let how = How { end, gap, rows, threads: if i % 8 == 7 { 3 } else { 1 } };
                    let asked = (level, way, end);
                    let plan = planned_int8(&mut arena, case, asked, &mut operands_guarded);
                    let given = (&case.x, None, residual);
                    let y = guarded(&mut arena, &*plan, given, &how, &mut operands_guarded);
                    let whole = Stored::F32(wanted.clone());
                    let rows = how.rows.clone().unwrap_or(0..output[1]);
                    let wanted = Spaced::rows(output, rows, 0, &whole).data.into_values();
                    let name = plan.kernel_name();
                    assert_same_bits(format_args!("{case} by {name}, {how:?}"), &y, &wanted);
                    runs += 1;
                }
            }
        }
    }
    println!(
        "{what}: {runs} runs on {levels:?}, {operands_guarded} operands at guard pages, 0 faults"
    );
}

/// Integers with every channel count, and as many output channels: every tail of every vector,
/// panel and block, in u8, i8 and f32, in pixels and in planes.
#[test]
fn every_channel_count_of_integers() {
    let mut random = Random(32);
    let mut cases = Vec::new();
    for c in 1..=140 {
        for op in int8::OPS {
            let mut case = int8::Case::of_channels(op, &mut random, [c, c * 5 % 139 + 1]);
            let mut layout = || [TensorLayout::Nhwc, TensorLayout::Nchw][random.below(2)];
            case.options = case.options.input_layout(layout()).output_layout(layout());
            cases.push(case);
        }
    }
    check_int8("integers, channels 1 to 140", &cases);
}

/// What makes more pixels of fewer, and softmax.
#[derive(Debug, Clone, Copy)]
enum Pixels {
    Resize(Interpolation),
    DepthToSpace(DepthOrder),
    Softmax,
    /// In so many groups, of so many output channels each.
    Transposed(usize, usize),
}

impl Pixels {
    /// For c channels, or a few times as many; of weights at guard pages if it has some.
    fn plan(self, arena: &mut Arena, end: End, c: usize, options: &Options) -> Box<dyn Plan> {
        let of = |c| [1, 3, 4, c];
        match self {
            Self::Resize(interpolation) => {
                let coordinates = Coordinates::HalfPixel;
                Box::new(Resize::new(of(c), [5, 6], interpolation, coordinates, options).unwrap())
            }
            Self::DepthToSpace(order) => {
                Box::new(DepthToSpace::new(of(4 * c), 2, order, options).unwrap())
            }
            Self::Softmax => Box::new(Softmax::new(of(c), options).unwrap()),
            Self::Transposed(groups, of_group) => {
                let groups = if groups == 0 { c } else { groups };
                let mut random = Random(7);
                let mut fill = |len| Mode::Reals.fill(&mut random, len);
                let (weights, bias) = (fill(9 * c * of_group), fill(groups * of_group));
                let [w, b, ..] = &mut arena.weights;
                let window = TransposedWindow::new([3, 3]).stride([2, 2]);
                let weights = w.copy(end, &weights);
                let params = TransposedParams::new(window, groups * of_group, weights);
                let params = params.groups(groups).bias(b.copy(end, &bias));
                Box::new(TransposedConv::new(of(c), &params, options).unwrap())
            }
        }
    }
}

#[test]
fn every_channel_count_of_pixels() {
    let mut cases = Vec::new();
    for c in 1..=129 {
        for op in [
            Pixels::Resize(Interpolation::Nearest),
            Pixels::Resize(Interpolation::Bilinear),
            Pixels::DepthToSpace(DepthOrder::BlockFirst),
            Pixels::DepthToSpace(DepthOrder::ChannelFirst),
            Pixels::Softmax,
            Pixels::Transposed(0, 1),
            Pixels::Transposed(1, c % 37 + 1),
        ] {
            cases.push((op, c));
        }
    }
    let mut arena = Arena::new();
    let (mut operands, mut runs) = (0, 0);
    for (i, (op, c)) in part(&cases).into_iter().enumerate() {
        let [input_type, output_type] = if i % 2 == 0 {
            [ElementType::F32; 2]
        } else {
            [0, 1].map(|j| ElementType::FLOATS[(i + j) % 3])
        };
        let options = Options::default().input_type(input_type).output_type(output_type);
        for level in levels() {
            for (j, &(end, gap)) in PLACES.iter().enumerate() {
                let plan = op.plan(&mut arena, end, c, &options.level(level));
                let (input, output) = (plan.input_shape(), plan.output_shape());
                let mut random = Random(8);
                let mut fill = |element, shape: [usize; 4]| {
                    Stored::new(element, &Mode::Reals.fill(&mut random, shape.iter().product()))
                };
                let (x, residual) = (fill(input_type, input), fill(output_type, output));
                let (spaced, added) = (Spaced::of(input, 0, &x), Spaced::of(output, 0, &residual));
                let wanted = Stored::F32(common::run(&*plan, &spaced, Some(&added), 0, 0));
                let part = i % output[1]..output[1].min(i % output[1] + 2);
                let rows = Some(part).filter(|_| j == i % PLACES.len());
                let how = How { end, gap, rows, threads: if i % 8 == 7 { 3 } else { 1 } };
                let y = guarded(&mut arena, &*plan, (&x, None, &residual), &how, &mut operands);
                let rows = how.rows.clone().unwrap_or(0..output[1]);
                let wanted = Spaced::rows(output, rows, 0, &wanted).data.into_values();
                assert_same_bits(format_args!("{op:?} of {c} channels, {how:?}"), &y, &wanted);
                runs += 1;
            }
        }
    }
    println!(
        "pixels, channels 1 to 129: {runs} runs, {operands} operands at guard pages, 0 faults"
    );
}

/// What the others rely on: the process ends when an element beside an operand is read or written.
#[test]
fn one_element_beside_faults() {
    for end in [End::Last, End::First] {
        for write in [false, true] {
            let mut pages = Pages::new(100);
            let operand = pages.place::<f32>(end, 37);
            let beside = match end {
                End::Last => operand.as_mut_ptr().wrapping_add(37),
                End::First => operand.as_mut_ptr().wrapping_sub(1),
            };
            // SAFETY: the child calls nothing but `close` and `_exit`.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: not safe: the access must end this process. What it returns to would be
                // the exit status by which the test fails.
                unsafe {
                    // A handler that is there after all (AddressSanitizer's) has much to say.
                    libc::close(2);
                    if write {
                        beside.write_volatile(1.0)
                    } else {
                        _ = beside.read_volatile()
                    };
                    libc::_exit(42);
                }
            }
            if child < 0 {
                println!("no child can be started here: that guard pages fault is not shown");
                return;
            }
            let mut status = 0;
            // SAFETY: a child of this process, a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            let survived = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42;
            assert!(!survived, "{end:?}, write {write}: the process went on");
        }
    }
    println!("4 accesses of one element beside an operand: 4 faults");
}
