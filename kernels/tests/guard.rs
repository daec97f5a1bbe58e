//! No access outside the operands: each lies between pages that fault when touched, once ending exactly
//! where such a page begins and once beginning right behind one. A fault ends the process: no handler is
//! installed, so that this also runs where there are none (emulators).
#![cfg(unix)]

mod common;

use std::ptr;

use common::layer::{Layer, Op, Weights};
use common::{Mode, POISON, Random, assert_same_bits, holds, is_poison, ledger, levels};
use sepconv_kernels::*;

/// Which end of an operand touches a guard page.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Last,
    First,
}

/// Elements on the open side of an operand that must stay as they are.
const CANARIES: usize = 64;

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
    fn inner(&mut self) -> &mut [f32] {
        let inner = self.bytes - 2 * self.page;
        let first = self.start.wrapping_byte_add(self.page).cast::<f32>();
        // SAFETY: accessible, initialized to zeros by the system, borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(first, inner / size_of::<f32>()) }
    }

    /// The operand's place and the canaries.
    fn split(&mut self, end: End, len: usize) -> (&mut [f32], &mut [f32]) {
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
    fn place(&mut self, end: End, len: usize) -> &mut [f32] {
        let (operand, canaries) = self.split(end, len);
        canaries.fill(POISON);
        operand.fill(POISON);
        operand
    }

    /// Places `pixels`, `stride` elements apart, poison between them.
    fn place_pixels(&mut self, end: End, pixels: &[f32], channels: usize, stride: usize) {
        let len = pixels.len() / channels * stride - (stride - channels);
        let operand = self.place(end, len);
        for (to, from) in operand.chunks_mut(stride).zip(pixels.chunks(channels)) {
            to[..channels].copy_from_slice(from);
        }
    }

    /// Whether the canaries beside the operand of `len` elements are as they were.
    fn intact(&mut self, end: End, len: usize) -> bool {
        let (_, canaries) = self.split(end, len);
        canaries.iter().all(is_poison)
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
    residual: Pages,
    y: Pages,
    scratch: Pages,
    weights: [Pages; 4],
}

impl Arena {
    fn new() -> Self {
        let pages = |elements| Pages::new(elements);
        Self {
            x: pages(1 << 16),
            residual: pages(1 << 16),
            y: pages(1 << 16),
            scratch: pages(1 << 20),
            weights: [(); 4].map(|()| pages(1 << 18)),
        }
    }
}

/// Runs a layer with all operands at guard pages; adds up the operands that were. Returns the output.
fn guarded(
    arena: &mut Arena,
    layer: &Layer,
    level: Level,
    end: End,
    gap: usize,
    threads: usize,
    operands: &mut u64,
) -> Vec<f32> {
    let mut random = Random(7);
    let lengths = layer.lengths();
    let plan = {
        let weights: Weights<'_> = {
            let mut placed = arena.weights.iter_mut().zip(lengths).map(|(pages, len)| {
                let operand = pages.place(end, len);
                operand.copy_from_slice(&Mode::Reals.fill(&mut random, len));
                Elements::F32(operand)
            });
            std::array::from_fn(|_| placed.next().unwrap())
        };
        layer.plan(weights, level).unwrap()
    };
    ledger::ran(level, plan.kernel_name());
    let (input, output) = (plan.input_shape(), plan.output_shape());
    let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
    let (x_stride, y_stride) = (input[3] + gap, output[3] + gap);
    let x = Mode::Reals.fill(&mut random, elements(input));
    arena.x.place_pixels(end, &x, input[3], x_stride);
    let residual = Mode::Reals.fill(&mut random, elements(output));
    arena.residual.place_pixels(end, &residual, output[3], y_stride);
    let y_pixels = elements(output) / output[3];
    let y_len = y_pixels * y_stride - gap;
    let x_len = elements(input) / input[3] * x_stride - gap;
    let scratch_len = plan.scratch_len(threads);
    {
        let x = arena.x.split(end, x_len).0;
        let residual = arena.residual.split(end, y_len).0;
        let y = arena.y.place(end, y_len);
        let scratch = arena.scratch.place(end, scratch_len);
        let mut views = Some((
            NhwcView::with_pixel_stride(&*x, input, x_stride).unwrap(),
            NhwcView::with_pixel_stride(&*residual, output, y_stride).unwrap(),
            NhwcViewMut::with_pixel_stride(y, output, y_stride).unwrap(),
        ));
        common::in_pool(threads, &mut || {
            let (x, residual, y) = views.take().unwrap();
            plan.run(x, Some(residual), y, scratch).unwrap();
        });
    }
    holds(arena.y.intact(end, y_len), || format!("{layer:?} wrote beside the output"));
    let beside = arena.scratch.intact(end, scratch_len);
    holds(beside, || format!("{layer:?} wrote beside the scratch"));
    *operands +=
        3 + u64::from(scratch_len > 0) + lengths.iter().map(|&len| u64::from(len > 0)).sum::<u64>();
    let y = arena.y.split(end, y_len).0;
    let mut result = Vec::new();
    for pixel in y.chunks(y_stride) {
        let (values, gaps) = pixel.split_at(output[3]);
        let written = !values.iter().any(is_poison);
        holds(written, || format!("{layer:?} left outputs as they were"));
        let kept = gaps.iter().all(is_poison);
        holds(kept, || format!("{layer:?} wrote into a gap"));
        result.extend_from_slice(values);
    }
    result
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

fn check(what: &str, cases: &[Layer]) {
    let mut arena = Arena::new();
    let (mut operands, mut runs) = (0, 0);
    for (i, layer) in part(cases).iter().enumerate() {
        let mut first: Option<Vec<f32>> = None;
        for level in levels() {
            for (end, gap) in [(End::Last, 0), (End::First, 0), (End::Last, 3), (End::First, 3)] {
                let threads = if i % 8 == 7 { 3 } else { 1 };
                let y = guarded(&mut arena, layer, level, end, gap, threads, &mut operands);
                runs += 1;
                match &first {
                    Some(first) => assert_same_bits(&format!("{layer:?} {level}"), &y, first),
                    None => first = Some(y),
                }
            }
        }
    }
    let levels = levels();
    println!("{what}: {runs} runs on {levels:?}, {operands} operands at guard pages, 0 faults");
}

/// All channel counts up to 129: every tail of every vector, panel and block.
#[test]
fn every_channel_count() {
    let cases: Vec<Layer> = kinds()
        .into_iter()
        .flat_map(|kind| (1..=129).map(move |c| layer(kind, [4, 5, c], c % 37 + 1)))
        .collect();
    check("channels 1 to 129", &cases);
}

/// The same for output channels, where these are free.
#[test]
fn every_output_channel_count() {
    let cases: Vec<Layer> = kinds()
        .into_iter()
        .filter(|(op, ..)| {
            matches!(op, Op::Pointwise | Op::Separable { .. } | Op::Conv { .. } | Op::Dense)
        })
        .flat_map(|kind| (1..=129).map(move |o| layer(kind, [3, 5, o % 18 + 1], o)))
        .collect();
    check("output channels 1 to 129", &cases);
}

/// Heights and widths around all tiles: of 1 to 14 pixels in a row, of 4, 6, 8, 12 in a micro-tile.
#[test]
fn every_small_size() {
    let cases: Vec<Layer> = kinds()
        .into_iter()
        .flat_map(|kind| {
            let sizes = (1..=29).map(|w| [1, w]).chain((2..=14).map(|h| [h, 1]));
            let sizes = sizes.chain((2..=14).flat_map(|h| [2, 3, 7].map(|w| [h, w])));
            sizes.flat_map(move |[h, w]| [3, 8, 17].map(|c| layer(kind, [h, w, c], c + w)))
        })
        .collect();
    check("sizes", &cases);
}

/// What the others rely on: the process ends when an element beside an operand is read or written.
#[test]
fn one_element_beside_faults() {
    for end in [End::Last, End::First] {
        for write in [false, true] {
            let mut pages = Pages::new(100);
            let operand = pages.place(end, 37);
            let beside = match end {
                End::Last => operand.as_mut_ptr().wrapping_add(37),
                End::First => operand.as_mut_ptr().wrapping_sub(1),
            };
            // SAFETY: the child calls nothing but `close` and `_exit`.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: not safe: the access must end this process. What it returns to would be the
                // exit status by which the test fails.
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
