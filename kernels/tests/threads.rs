//! Threads of the caller's, and memory that holds nothing yet: the bits of `run`, whatever the
//! threads do with the work.

use std::mem::MaybeUninit;

use common::half::Stored;
use common::layer::{OPS, random_stored};
use common::{Mode, POISON, POISON_16, Random, Spaced, assert_same_bits, levels, run};
use sepconv_kernels::*;

/// What a pool does with the work.
#[derive(Debug, Clone, Copy)]
enum Pool {
    /// As it should: from so many threads at a time.
    Scoped(usize),
    /// One call after the other.
    OneByOne(usize),
    /// No call at all.
    Idle(usize),
    /// More calls than asked for, at a time.
    Eager(usize),
    /// It has a number for the thread, any.
    Numbered(usize),
}

impl Threads for Pool {
    fn count(&self) -> usize {
        match *self {
            Self::Scoped(n) | Self::OneByOne(n) | Self::Idle(n) | Self::Eager(n) => n,
            Self::Numbered(n) => n,
        }
    }

    fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
        assert!(count <= self.count());
        match self {
            Self::Idle(_) => {}
            Self::OneByOne(_) | Self::Numbered(_) => (0..count).for_each(|_| work()),
            Self::Scoped(_) | Self::Eager(_) => {
                let more = if matches!(self, Self::Eager(_)) { 3 } else { 0 };
                std::thread::scope(|scope| {
                    for _ in 0..count + more {
                        scope.spawn(work);
                    }
                });
            }
        }
    }

    fn index(&self) -> Option<usize> {
        matches!(self, Self::Numbered(_)).then_some(usize::MAX)
    }
}

const POOLS: [Pool; 10] = [
    Pool::Scoped(1),
    Pool::Scoped(2),
    Pool::Scoped(5),
    Pool::OneByOne(3),
    Pool::OneByOne(100),
    Pool::Idle(4),
    Pool::Idle(0),
    Pool::Eager(2),
    Pool::Eager(70),
    Pool::Numbered(3),
];

/// An output that nobody has written, of poison that is taken for nothing.
enum Output {
    F32(Vec<MaybeUninit<f32>>),
    Bits(ElementType, Vec<MaybeUninit<u16>>),
}

impl Output {
    fn new(element: ElementType, len: usize) -> Self {
        match element {
            ElementType::F32 => Self::F32(vec![MaybeUninit::new(POISON); len]),
            _ => Self::Bits(element, vec![MaybeUninit::new(POISON_16); len]),
        }
    }

    fn elements(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(x) => (&mut x[..]).into(),
            Self::Bits(ElementType::F16, x) => ElementsMut::UninitF16(x),
            Self::Bits(_, x) => ElementsMut::UninitBf16(x),
        }
    }

    fn into_stored(self) -> Stored {
        // SAFETY: poison, if nothing else was written.
        unsafe {
            match self {
                Self::F32(x) => Stored::F32(x.iter().map(|x| x.assume_init()).collect()),
                Self::Bits(ElementType::F16, x) => {
                    Stored::F16(x.iter().map(|x| x.assume_init()).collect())
                }
                Self::Bits(_, x) => Stored::Bf16(x.iter().map(|x| x.assume_init()).collect()),
            }
        }
    }
}

#[test]
fn any_threads_give_the_same_bits() {
    let mut numbers = Random(41);
    let mut runs = 0;
    for i in 0..common::scaled(200).max(12) {
        for op in OPS {
            let (layer, operands) = random_stored(op, i, &mut numbers);
            for level in levels() {
                let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
                let (input, output) = (plan.input_shape(), plan.output_shape());
                let x = Mode::Reals.fill(&mut numbers, input.iter().product());
                let x = Spaced::of(input, 0, &Stored::new(layer.input_type, &x));
                let expected = run(&*plan, &x, None, 0, 0);
                let x = x.in_layout(plan.input_layout());
                let [n, h, w, c] = output;
                for pool in [POOLS[numbers.below(10)], POOLS[numbers.below(10)]] {
                    let len = plan.scratch_len(1 + numbers.below(6));
                    let mut ready = vec![POISON; len];
                    let mut uninit = vec![MaybeUninit::new(POISON); len];
                    let scratch: Scratch<'_> = if numbers.below(2) == 0 {
                        (&mut ready[..]).into()
                    } else {
                        (&mut uninit[..]).into()
                    };
                    let mut y = Output::new(layer.output_type, output.iter().product());
                    let to = match plan.output_layout() {
                        TensorLayout::Nhwc => NhwcViewMut::new(y.elements(), output),
                        TensorLayout::Nchw => NhwcViewMut::nchw(y.elements(), [n, c, h, w]),
                    };
                    plan.run_on(&pool, 0..h, x.view(), None, to.unwrap(), scratch).unwrap();
                    // All of it was written.
                    let (layout, data) = (plan.output_layout(), y.into_stored());
                    let like = Spaced::poisoned_in(layout, output, 0, plan.output_type());
                    let y = Spaced { data, ..like }.into_dense();
                    let what = format_args!("{layer:?}, {pool:?}");
                    assert_same_bits(what, &y.into_values(), &expected);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs: the same bits");
}

#[test]
fn wrong_rows_and_short_scratch_are_refused() {
    let plan = Dense::new([2, 1, 1, 3], &DenseParams::new(2, &[0.5; 6]), &Options::new()).unwrap();
    let (x, mut y) = ([1.0; 6], [MaybeUninit::uninit(); 4]);
    let mut run = |rows, scratch: &mut [MaybeUninit<f32>]| {
        let x = NhwcView::new(&x, [2, 1, 1, 3]).unwrap();
        let y = NhwcViewMut::new(&mut y[..], [2, 1, 1, 2]).unwrap();
        plan.run_on(&CallingThread, rows, x, None, y, scratch.into())
    };
    let expected = plan.scratch_len(1);
    let mut scratch = vec![MaybeUninit::uninit(); expected];
    let error = run(0..2, &mut scratch).unwrap_err();
    assert_eq!(error, Error::Rows { start: 0, end: 2, height: 1 });
    let error = run(0..1, &mut scratch[1..]).unwrap_err();
    assert_eq!(error, Error::Length { what: "scratch", expected, actual: expected - 1 });
    run(0..1, &mut scratch).unwrap();
    // SAFETY: the run has written all of them.
    assert!(y.iter().all(|y| unsafe { y.assume_init() } == 1.5));
}

/// Where the system grants no thread, plans run on the calling one. In a process of its own, whose
/// memory is limited so that no stack fits.
#[test]
#[cfg(all(feature = "rayon", target_os = "linux", not(miri)))]
fn no_more_threads() {
    const CHILD: &str = "SEPCONV_TEST_NO_MORE_THREADS";
    if std::env::var_os(CHILD).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_more_threads", "--test-threads=1"])
            .env(CHILD, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = memory.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: no memory is involved, but for the limit that is passed.
    let limited = unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as u64;
        let most = pages * page + (1 << 20);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_AS, &limit)
    };
    assert_eq!(limited, 0);
    assert_eq!(available_threads(), 1);
    let plan = Elementwise::new([1, 1, 1, 3], &Options::new()).unwrap();
    let (x, mut y) = ([1.0, 2.0, 3.0], [0.0; 3]);
    let from = NhwcView::new(&x, [1, 1, 1, 3]).unwrap();
    plan.run(from, None, NhwcViewMut::new(&mut y, [1, 1, 1, 3]).unwrap(), &mut []).unwrap();
    assert_eq!(y, x);
}
