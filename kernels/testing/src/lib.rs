//! What all differential tests share: data in three modes, buffers with gaps, comparison with the
//! naive loops, the list of levels that ran.

pub mod digest;
pub mod half;
pub mod int8;
pub mod layer;
pub mod ledger;

use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use sepconv_kernels::naive::{self, Sum};
use sepconv_kernels::{
    Activation, ElementType, Elements, ElementsMut, Elementwise, Error, Level, NhwcView,
    NhwcViewMut, Options, Padding, Plan, TensorLayout, Window, on_this_thread,
};

use self::half::Stored;

/// Unit roundoff of f32.
const U: f64 = 1.0 / (1 << 24) as f64;

/// γ_n = n·u / (1 − n·u), the bound of n accumulated roundings.
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * U;
    nu / (1.0 - nu)
}

/// SplitMix64: test data from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [−1, 1).
    pub fn real(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// The input modes of a differential test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Integers of magnitude ≤ 8: every partial sum is exact, so results must be equal.
    Integers,
    /// Reals in [−1, 1): results must be within the rounding bound.
    Reals,
    /// Reals with NaN, infinities, zeros of both signs and subnormals among them.
    Specials,
}

impl Mode {
    pub fn fill(self, random: &mut Random, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| match self {
                Mode::Integers => random.below(17) as f32 - 8.0,
                Mode::Reals => random.real(),
                Mode::Specials => match random.below(24) {
                    0 => f32::NAN,
                    1 => f32::INFINITY,
                    2 => f32::NEG_INFINITY,
                    3 => 0.0,
                    4 => -0.0,
                    5 => 1e-40,
                    6 => -1e-40,
                    _ => random.real(),
                },
            })
            .collect()
    }
}

/// What packing does to subnormal weights, from its documentation.
pub fn flushed(weights: &[f32]) -> Vec<f32> {
    weights
        .iter()
        .map(|&w| if w != 0.0 && w.abs() < f32::MIN_POSITIVE { 0.0 * w.signum() } else { w })
        .collect()
}

/// A tensor whose pixels are followed by gaps; or one of planes, whose pictures are.
#[derive(Clone)]
pub struct Spaced {
    /// \[N, H, W, C\].
    pub shape: [usize; 4],
    /// Elements from one pixel, or one picture of planes, to the next.
    pub stride: usize,
    pub layout: TensorLayout,
    pub data: Stored,
    /// Factors for each picture and channel.
    pub scale: Option<Vec<f32>>,
}

/// Elements of pictures of `outer` × `inner`, transposed.
fn transposed<T: Copy>(data: &[T], [outer, inner]: [usize; 2]) -> Vec<T> {
    let pictures = data.chunks_exact((outer * inner).max(1));
    pictures.flat_map(|p| (0..inner).flat_map(|i| p[i..].iter().step_by(inner)).copied()).collect()
}

/// Fills gaps of inputs and everything of outputs: reading it shows as NaN.
pub const POISON: f32 = f32::from_bits(0x7fc0_dead);
/// The same in 16 bits: a NaN of f16 as of bf16.
pub const POISON_16: u16 = 0x7fda;
/// The same of bytes, of which every one is a number: only gaps are looked at.
pub const POISON_8: u8 = 0xa5;

/// Between two gaps lie so many elements: a pixel, or a picture of planes.
fn part(layout: TensorLayout, [_, h, w, c]: [usize; 4]) -> usize {
    match layout {
        TensorLayout::Nhwc => c,
        TensorLayout::Nchw => h * w * c,
    }
}

/// Parts of a tensor with gaps behind them.
fn spread<T: Copy>(dense: &[T], part: usize, stride: usize, poison: T) -> Vec<T> {
    if dense.is_empty() {
        return Vec::new(); // rows that no window covers: there are none
    }
    let parts = dense.len() / part;
    // The last one has no gap: the shortest slice that a view accepts.
    let mut data = vec![poison; (parts * stride).saturating_sub(stride - part)];
    for (to, from) in data.chunks_mut(stride).zip(dense.chunks(part)) {
        to[..part].copy_from_slice(from);
    }
    data
}

impl Spaced {
    pub fn new(shape: [usize; 4], gap: usize, dense: &[f32]) -> Self {
        Self::of(shape, gap, &Stored::F32(dense.into()))
    }

    /// Of elements of any type.
    pub fn of(shape: [usize; 4], gap: usize, dense: &Stored) -> Self {
        let (channels, stride) = (shape[3], shape[3] + gap);
        let data = match dense {
            Stored::F32(x) => Stored::F32(spread(x, channels, stride, POISON)),
            Stored::F16(x) => Stored::F16(spread(x, channels, stride, POISON_16)),
            Stored::Bf16(x) => Stored::Bf16(spread(x, channels, stride, POISON_16)),
            Stored::U8(x) => Stored::U8(spread(x, channels, stride, POISON_8)),
            Stored::I8(x) => Stored::I8(spread(x, channels, stride, POISON_8 as i8)),
        };
        Self { shape, stride, layout: TensorLayout::Nhwc, data, scale: None }
    }

    /// Some rows of each picture of `dense`, which has `shape`.
    pub fn rows(shape: [usize; 4], rows: Range<usize>, gap: usize, dense: &Stored) -> Self {
        fn select<T: Copy>(dense: &[T], height: usize, row: usize, rows: &Range<usize>) -> Vec<T> {
            let pictures = dense.chunks_exact(height * row);
            pictures.flat_map(|p| &p[rows.start * row..rows.end * row]).copied().collect()
        }
        let [n, h, w, c] = shape;
        let part = match dense {
            Stored::F32(x) => Stored::F32(select(x, h, w * c, &rows)),
            Stored::F16(x) => Stored::F16(select(x, h, w * c, &rows)),
            Stored::Bf16(x) => Stored::Bf16(select(x, h, w * c, &rows)),
            Stored::U8(x) => Stored::U8(select(x, h, w * c, &rows)),
            Stored::I8(x) => Stored::I8(select(x, h, w * c, &rows)),
        };
        Self::of([n, rows.len(), w, c], gap, &part)
    }

    pub fn poisoned(shape: [usize; 4], gap: usize, element: ElementType) -> Self {
        Self::poisoned_in(TensorLayout::Nhwc, shape, gap, element)
    }

    /// The same, to be written as `layout`.
    pub fn poisoned_in(
        layout: TensorLayout,
        shape: [usize; 4],
        gap: usize,
        element: ElementType,
    ) -> Self {
        let part = part(layout, shape);
        let parts = shape.iter().product::<usize>() / part;
        let stride = part + gap;
        let data = Stored::poisoned(element, (parts * stride).saturating_sub(gap));
        Self { shape, stride, layout, data, scale: None }
    }

    /// This NHWC tensor as `layout`, with gaps as long.
    pub fn in_layout(&self, layout: TensorLayout) -> Self {
        if layout == self.layout {
            return self.clone();
        }
        fn planes<T: Copy>(from: &Spaced, data: &[T], stride: usize, poison: T) -> Vec<T> {
            let [_, h, w, c] = from.shape;
            let dense: Vec<T> = data.chunks(from.stride).flat_map(|p| &p[..c]).copied().collect();
            spread(&transposed(&dense, [h * w, c]), h * w * c, stride, poison)
        }
        let stride = part(layout, self.shape) + self.stride - self.shape[3];
        let data = match &self.data {
            Stored::F32(x) => Stored::F32(planes(self, x, stride, POISON)),
            Stored::F16(x) => Stored::F16(planes(self, x, stride, POISON_16)),
            Stored::Bf16(x) => Stored::Bf16(planes(self, x, stride, POISON_16)),
            Stored::U8(x) => Stored::U8(planes(self, x, stride, POISON_8)),
            Stored::I8(x) => Stored::I8(planes(self, x, stride, POISON_8 as i8)),
        };
        Self { shape: self.shape, stride, layout, data, scale: self.scale.clone() }
    }

    /// The same with these factors.
    pub fn scaled(self, scale: &[f32]) -> Self {
        Self { scale: Some(scale.into()), ..self }
    }

    pub fn view(&self) -> NhwcView<'_> {
        let view = self.view_of(self.data.elements());
        match &self.scale {
            Some(scale) => view.scaled(scale).unwrap(),
            None => view,
        }
    }

    /// A view of other elements, which lie as these do, without factors.
    pub fn view_of<'a>(&self, data: Elements<'a>) -> NhwcView<'a> {
        let [n, h, w, c] = self.shape;
        match self.layout {
            TensorLayout::Nhwc => {
                NhwcView::with_pixel_stride(data, self.shape, self.stride).unwrap()
            }
            TensorLayout::Nchw => {
                NhwcView::nchw_with_picture_stride(data, [n, c, h, w], self.stride).unwrap()
            }
        }
    }

    pub fn view_mut(&mut self) -> NhwcViewMut<'_> {
        let Self { shape, stride, layout, .. } = *self;
        let like = Self { shape, stride, layout, data: Stored::F32(Vec::new()), scale: None };
        like.view_mut_of(self.data.elements_mut())
    }

    /// A view of other elements to write to, which lie as these do.
    pub fn view_mut_of<'a>(&self, data: ElementsMut<'a>) -> NhwcViewMut<'a> {
        let [n, h, w, c] = self.shape;
        match self.layout {
            TensorLayout::Nhwc => {
                NhwcViewMut::with_pixel_stride(data, self.shape, self.stride).unwrap()
            }
            TensorLayout::Nchw => {
                NhwcViewMut::nchw_with_picture_stride(data, [n, c, h, w], self.stride).unwrap()
            }
        }
    }

    /// The elements without gaps, after a check that these have all been written and that the gaps
    /// still hold the poison.
    pub fn into_dense(self) -> Stored {
        fn gather<T: Copy>(
            data: &[T],
            part: usize,
            stride: usize,
            is_poison: fn(&T) -> bool,
            is_number: bool,
        ) -> Vec<T> {
            let mut dense = Vec::new();
            for values in data.chunks(stride) {
                let (values, gap) = values.split_at(part);
                holds(is_number || !values.iter().any(is_poison), || {
                    "an output was not written, or of poison".into()
                });
                holds(gap.iter().all(is_poison), || "a gap was written".into());
                OVERWRITTEN.fetch_add(part as u64, Ordering::Relaxed);
                INTACT.fetch_add(gap.len() as u64, Ordering::Relaxed);
                dense.extend_from_slice(values);
            }
            dense
        }
        let (part, stride) = (part(self.layout, self.shape), self.stride);
        let dense = match self.data {
            Stored::F32(x) => Stored::F32(gather(&x, part, stride, is_poison, false)),
            Stored::F16(x) => Stored::F16(gather(&x, part, stride, is_poison_16, false)),
            Stored::Bf16(x) => Stored::Bf16(gather(&x, part, stride, is_poison_16, false)),
            Stored::U8(x) => Stored::U8(gather(&x, part, stride, |&x| x == POISON_8, true)),
            Stored::I8(x) => Stored::I8(gather(&x, part, stride, |&x| x == POISON_8 as i8, true)),
        };
        let planes = [self.shape[3], self.shape[1] * self.shape[2]];
        match (self.layout, dense) {
            (TensorLayout::Nhwc, dense) => dense,
            (TensorLayout::Nchw, Stored::F32(x)) => Stored::F32(transposed(&x, planes)),
            (TensorLayout::Nchw, Stored::F16(x)) => Stored::F16(transposed(&x, planes)),
            (TensorLayout::Nchw, Stored::Bf16(x)) => Stored::Bf16(transposed(&x, planes)),
            (TensorLayout::Nchw, Stored::U8(x)) => Stored::U8(transposed(&x, planes)),
            (TensorLayout::Nchw, Stored::I8(x)) => Stored::I8(transposed(&x, planes)),
        }
    }
}

/// To the bit: no operation but a copy makes it.
pub fn is_poison(value: &f32) -> bool {
    value.to_bits() == POISON.to_bits()
}

/// Likewise.
pub fn is_poison_16(bits: &u16) -> bool {
    *bits == POISON_16
}

/// Poisoned outputs that were written, of all runs of the process.
pub static OVERWRITTEN: AtomicU64 = AtomicU64::new(0);
/// Poisoned elements between outputs and around scratch that were not.
pub static INTACT: AtomicU64 = AtomicU64::new(0);
/// Poisoned elements on either side of scratch.
const CANARIES: usize = 64;

/// Runs a plan with poisoned output and scratch, and canaries around the scratch, in a pool of
/// `threads` threads; with 0 right here. Outputs of any type are given as f32, which tells all of
/// them apart.
pub fn run(
    plan: &dyn Plan,
    x: &Spaced,
    residual: Option<&Spaced>,
    gap: usize,
    threads: usize,
) -> Vec<f32> {
    let x = x.in_layout(plan.input_layout());
    let residual = residual.map(|r| r.in_layout(plan.output_layout()));
    compute(plan, plan.output_shape(), gap, threads, &|y, scratch| {
        plan.run(x.view(), residual.as_ref().map(Spaced::view), y, scratch)
    })
}

/// The same for some rows of the output, of views of those that it takes.
pub fn run_rows(
    plan: &dyn Plan,
    rows: Range<usize>,
    x: &Spaced,
    residual: Option<&Spaced>,
    gap: usize,
    threads: usize,
) -> Vec<f32> {
    let [n, _, w, c] = plan.output_shape();
    let x = x.in_layout(plan.input_layout());
    let residual = residual.map(|r| r.in_layout(plan.output_layout()));
    compute(plan, [n, rows.len(), w, c], gap, threads, &|y, scratch| {
        plan.run_rows(rows.clone(), x.view(), residual.as_ref().map(Spaced::view), y, scratch)
    })
}

fn compute(
    plan: &dyn Plan,
    output: [usize; 4],
    gap: usize,
    threads: usize,
    run: &(impl Fn(NhwcViewMut<'_>, &mut [f32]) -> Result<(), Error> + Sync),
) -> Vec<f32> {
    ledger::ran(plan.level(), plan.kernel_name());
    let mut y = Spaced::poisoned_in(plan.output_layout(), output, gap, plan.output_type());
    let len = plan.scratch_len(threads.max(1));
    let mut around = vec![POISON; len + 2 * CANARIES];
    let scratch = &mut around[CANARIES..][..len];
    let mut go = || {
        run(y.view_mut(), scratch).unwrap();
    };
    if threads == 0 {
        on_this_thread(go)
    } else {
        in_pool(threads, &mut go)
    }
    let (before, after) = (&around[..CANARIES], &around[CANARIES + len..]);
    let intact = before.iter().chain(after).all(is_poison);
    holds(intact, || "something beside the scratch was written".into());
    INTACT.fetch_add(2 * CANARIES as u64, Ordering::Relaxed);
    y.into_dense().into_values()
}

#[cfg(not(target_family = "wasm"))]
pub fn in_pool(threads: usize, go: &mut (dyn FnMut() + Send)) {
    use std::sync::OnceLock;
    static POOLS: [OnceLock<rayon::ThreadPool>; 17] = [const { OnceLock::new() }; 17];
    POOLS[threads]
        .get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
        .install(go);
}

#[cfg(target_family = "wasm")]
pub fn in_pool(_: usize, go: &mut dyn FnMut()) {
    go();
}

/// Asserts what a result should be, with an entry in the ledger if it is not.
pub fn holds(right: bool, message: impl FnOnce() -> String) {
    if !right {
        ledger::mismatch();
        panic!("{}", message());
    }
}

/// Any NaN equals any NaN; all else must agree to the bit.
pub fn assert_same_bits(what: impl Display, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        holds(g.to_bits() == e.to_bits() || (g.is_nan() && e.is_nan()), || {
            let (got, wanted) = (g.to_bits(), e.to_bits());
            format!("{what}: element {i} is {g:?} ({got:08x}), expected {e:?} ({wanted:08x})")
        });
    }
}

/// Compares an f32 result with its f64 reference within `bound`; NaN and infinities must match.
pub fn assert_close(what: &str, i: usize, got: f32, expected: f64, bound: f64) {
    let fine = if expected.is_nan() {
        got.is_nan()
    } else if expected.is_infinite() {
        f64::from(got) == expected
    } else {
        (f64::from(got) - expected).abs() <= bound
    };
    holds(fine, || {
        format!("{what}: element {i} is {got:?}, expected {expected:?} within {bound:e}")
    });
}

/// The largest slope of an activation, by which it magnifies an error of its argument.
fn slope(activation: Activation) -> f64 {
    match activation {
        Activation::Elu { alpha } | Activation::LeakyRelu { alpha } => {
            f64::from(alpha).abs().max(1.0)
        }
        Activation::Silu | Activation::Mish => 1.1,
        Activation::Gelu | Activation::GeluTanh => 1.2,
        Activation::HardSwish => 1.5,
        Activation::HardSigmoid { slope, .. } => slope.abs().into(),
        _ => 1.0,
    }
}

/// The error of an activation that is stated, in ULP.
pub fn ulps(activation: Activation) -> f64 {
    match activation {
        Activation::LeakyRelu { .. } | Activation::HardSigmoid { .. } => 0.500_001,
        Activation::Softsign | Activation::Exponential => 1.5,
        Activation::Elu { .. } | Activation::Sigmoid | Activation::Tanh => 3.0,
        Activation::Softplus => 3.0,
        Activation::Silu | Activation::HardSwish | Activation::GeluTanh => 4.0,
        Activation::Mish => 5.0,
        Activation::Gelu => 7.0,
        _ => 0.0,
    }
}

/// Relative error of an activation that is not exact.
fn own_error(activation: Activation) -> f64 {
    ulps(activation) * 2.0 * U
}

/// Whether an activation only selects, without rounding.
pub fn is_exact(activation: Activation) -> bool {
    ulps(activation) == 0.0
}

/// The input as the reference sees it: activated in f64, rounded to f32.
pub fn activated(x: &[f32], activation: Activation) -> Vec<f32> {
    x.iter().map(|&x| naive::activate(activation, f64::from(x)) as f32).collect()
}

/// An activation on a level, by a plan that does nothing else.
pub fn applied(x: &[f32], activation: Activation, level: Level) -> Vec<f32> {
    let shape = [1, 1, 1, x.len()];
    let options = Options::default().activation(activation).level(level);
    run(&Elementwise::new(shape, &options).unwrap(), &Spaced::new(shape, 0, x), None, 0, 1)
}

/// What a layer's outputs are checked against.
pub struct Expected {
    pub sums: Vec<Sum>,
    /// Roundings in the longest chain.
    pub chain: usize,
    pub mode: Mode,
    pub input_activation: Activation,
    pub activation: Activation,
}

impl Expected {
    /// Checks a result: equality for integers under exact activations, else the rounding bound.
    pub fn check(&self, what: &str, got: &[f32], residual: Option<&[f32]>) {
        assert_eq!(got.len(), self.sums.len(), "{what}: elements");
        for (i, (got, sum)) in got.iter().zip(&self.sums).enumerate() {
            let r = residual.map_or(0.0, |r| f64::from(r[i]));
            let before = sum.value + r;
            let expected = naive::activate(self.activation, before);
            let exact = self.mode == Mode::Integers
                && is_exact(self.activation)
                && is_exact(self.input_activation);
            let bound = if exact {
                0.0
            } else {
                // An infinite sum is exact: no rounding brings it back.
                let magnitude = if before.is_finite() { sum.magnitude + r.abs() } else { 0.0 };
                let before = if before.is_finite() { before.abs() } else { 0.0 };
                let sum_error =
                    (gamma(self.chain + 1) + own_error(self.input_activation)) * magnitude;
                slope(self.activation) * sum_error
                    + own_error(self.activation) * (expected.abs() + before)
                    + 1e-35
            };
            assert_close(what, i, *got, expected, bound);
        }
    }
}

/// Levels to test: all available, or those of `SEPCONV_TEST_LEVELS` (comma-separated), which must
/// be.
pub fn levels() -> Vec<Level> {
    sepconv_amx_emulator::start();
    match std::env::var("SEPCONV_TEST_LEVELS") {
        Ok(names) => {
            names.split(',').map(|name| Level::parse(name).unwrap().checked().unwrap()).collect()
        }
        Err(_) => Level::available(),
    }
}

/// Levels for what takes long and is much the same on each: all at full effort, else the two
/// fastest, since those without fused multiply-adds take ten times as long.
pub fn fast_levels() -> Vec<Level> {
    let mut levels = levels();
    let slow = if effort() < 100.0 { levels.len().saturating_sub(2) } else { 0 };
    levels.split_off(slow)
}

/// How much is tested, in percent of all random cases: `SEPCONV_TEST_EFFORT`, else 4. CI sets 100
/// for the CPU that it runs on and less for emulated ones; a long night may have more.
pub fn effort() -> f64 {
    let effort = std::env::var("SEPCONV_TEST_EFFORT").map_or(4.0, |v| v.parse().unwrap());
    assert!(effort > 0.0, "SEPCONV_TEST_EFFORT={effort} tests nothing");
    effort
}

/// The number of cases at this effort, of `all` at 100 percent; at least one.
pub fn scaled(all: u32) -> u32 {
    (f64::from(all) * effort() / 100.0).ceil() as u32
}

/// The output shape of a window, from the reference's own geometry; none if the kernel does not
/// fit.
pub fn output(window: &Window, input: [usize; 4]) -> Option<[usize; 2]> {
    for axis in 0..2 {
        let extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let padded = match window.padding {
            Padding::Same => continue,
            Padding::Valid => input[1 + axis],
            Padding::Explicit { top, bottom, left, right } => {
                input[1 + axis] + if axis == 0 { top + bottom } else { left + right }
            }
            other => panic!("{other:?}"),
        };
        if extent > padded {
            return None;
        }
    }
    Some(naive::output_size(window, input[1], input[2]))
}
