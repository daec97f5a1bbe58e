//! Hours of random layers: results right, memory flat.
//!
//! `cargo run --release -p sepconv-kernels --example soak -- [MINUTES] [SEED]`, 30 minutes by
//! default.
//!
//! Each layer is planned and run twice on one level and once on another, on different numbers of
//! threads: the same digest. One in ten is compared with the naive loops in integers, which is
//! exact. A line a minute.
//!
//! After a tenth of the time the bytes that are allocated and the resident memory are noted. At the
//! end the former may be 64 KiB more, the latter, in which layers of other sizes leave holes, 64
//! MiB.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::digest::digest;
use common::layer::{Layer, OPS, Op, random};
use common::{Mode, Random, Spaced, assert_same_bits, levels, run};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::{Activation, Window};

struct Counting;

/// Bytes allocated and not given back.
static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Memory) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Memory) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Growth that is no leak: queues of the pools; holes between what the largest layers needed.
const SLACK: [u64; 2] = [64 << 10, 64 << 20];

/// Live and resident bytes, 0 where the system does not tell.
fn memory() -> [u64; 2] {
    [LIVE.load(Ordering::Relaxed).unsigned_abs(), resident().unwrap_or(0)]
}

/// Resident bytes, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// The layer's exact result on integers, if it is one that the naive loops compute.
fn exact(layer: &Layer, x: &[f32], operands: &[Vec<f32>; 4]) -> Option<Vec<f32>> {
    let c = layer.input[3];
    let one = Window::new([1, 1]);
    let (window, groups, channels_out) = match layer.op {
        Op::Depthwise { multiplier } => (layer.window, c, c * multiplier),
        Op::Conv { groups } => (layer.window, groups, layer.channels_out),
        Op::Pointwise => (one.stride(layer.window.stride), 1, layer.channels_out),
        Op::Dense => (one, 1, layer.channels_out),
        _ => return None,
    };
    let sums = naive::conv(&Reference {
        input: layer.input,
        x,
        window,
        groups,
        channels_out,
        weights: &operands[0],
        bias: Some(&operands[1]),
    });
    Some(sums.iter().map(|sum| sum.value as f32).collect())
}

/// One layer; the number of comparisons.
fn round(numbers: &mut Random) -> u64 {
    let op = OPS[numbers.below(OPS.len())];
    let mut layer = random(op, numbers);
    if numbers.below(20) == 0 && op != Op::Dense {
        // Several tiles, bands, tasks.
        layer.input[1] = 20 + numbers.below(60);
        layer.input[2] = 20 + numbers.below(60);
    }
    let with_naive = numbers.below(10) == 0;
    let mode = if with_naive { Mode::Integers } else { Mode::Reals };
    if with_naive {
        layer.input_activation = Activation::None;
        layer.activation = Activation::None;
    }
    let operands = layer.fill(mode, numbers);
    let dense = mode.fill(numbers, layer.input.iter().product());
    let x = Spaced::new(layer.input, numbers.below(9), &dense);
    let levels = levels();
    let (first, second) = (numbers.below(levels.len()), numbers.below(levels.len()));
    let mut digests = Vec::new();
    for level in [first, first, second] {
        let plan = layer.plan(operands.each_ref().map(|o| &o[..]), levels[level]);
        let plan = plan.expect("a layer of these makes a plan");
        let y = run(&*plan, &x, None, numbers.below(9), 1 + numbers.below(6));
        if with_naive
            && digests.is_empty()
            && let Some(expected) = exact(&layer, &dense, &operands)
        {
            assert_same_bits(format_args!("{layer:?}"), &y, &expected);
        }
        digests.push(digest(&y));
    }
    assert!(digests.iter().all(|d| *d == digests[0]), "{layer:?} on {:?}", levels[second]);
    digests.len() as u64
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = arguments.next().map_or(30.0, |a| a.parse().expect("minutes"));
    let seed: u64 = arguments.next().map_or(1, |a| a.parse().expect("a seed"));
    let (start, length) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes));
    println!("{minutes} minutes from seed {seed} on {:?}", levels());
    let mut numbers = Random(seed);
    let (mut runs, mut layers, mut warm) = (0_u64, 0_u64, None);
    let mut next = Duration::from_secs(60);
    while start.elapsed() < length {
        runs += round(&mut numbers);
        layers += 1;
        let passed = start.elapsed();
        if warm.is_none() && passed >= length / 10 {
            warm = Some(memory());
        }
        if passed >= next {
            next += Duration::from_secs(60);
            let minutes = passed.as_secs_f64() / 60.0;
            println!("{minutes:4.0} min: {layers} layers, {runs} runs, {}", said(memory()));
        }
    }
    let (warm, end) = (warm.unwrap_or_else(memory), memory());
    let flat = (0..2).all(|i| end[i] <= warm[i] + SLACK[i]);
    let verdict = if flat { "flat" } else { "IT GROWS" };
    println!("{layers} layers, {runs} runs: all right");
    println!("memory: {} after the warm-up, {} at the end: {verdict}", said(warm), said(end));
    if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn said([live, resident]: [u64; 2]) -> String {
    format!("{live} bytes live, {:.1} MiB resident", resident as f64 / f64::from(1 << 20))
}
