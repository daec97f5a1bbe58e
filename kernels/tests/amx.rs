//! Tile registers (AMX): who gets them, who doesn't, and that the bits are those without them. All
//! other tests run by them with `SEPCONV_AMX=1`; see `checks/levels/amx.sh`.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::half::Stored;
use common::int8::{Case, Op};
use common::layer::{GEMMS, Layer, random};
use common::{Mode, Random, Spaced, assert_same_bits, run};
use sepconv_kernels::*;

/// What a process may do is the same for all its tests: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a 1×1 layer in the arithmetic bf16, told to use tile registers or not.
fn plan(amx: bool) -> Pointwise {
    let options = Options::default().level(Level::best()).arithmetic(Arithmetic::Bf16).amx(amx);
    let weights: Vec<f32> = (0..40 * 33).map(|i| (i % 17) as f32 - 8.0).collect();
    Pointwise::new([1, 5, 7, 40], &PointwiseParams::new(33, &weights), &options).unwrap()
}

fn output(plan: &Pointwise) -> Vec<f32> {
    let x: Vec<f32> = (0..5 * 7 * 40).map(|i| (i % 13) as f32 - 6.0).collect();
    run(plan, &Spaced::new([1, 5, 7, 40], 0, &x), None, 0, 0)
}

/// A 1×1 layer of integers, told to use tile registers or not, and its plan.
fn integers(amx: bool) -> (Case, Box<dyn Plan>) {
    let (op, window) = (Op::Pointwise, Window::new([1, 1]));
    let mut case = Case::of(op, &mut Random(72), [1, 5, 7, 40], window, [1, 1, 33]);
    case.options = case.options.amx(amx);
    let plan = case.plan(Level::best(), [true; 2]).unwrap();
    (case, plan)
}

/// Whether the CPU has what the other kernels of integers beside tile registers are made of.
fn has_vnni() -> bool {
    kernels().iter().any(|k| k.available && k.name == "gemm_int8_12x32_vnni_avx512")
}

fn by_tiles(plan: &dyn Plan) -> bool {
    plan.kernel_name().contains("gemm_amx_")
}

/// The environment has plans use tiles that weren't told to.
fn is_forced() -> bool {
    std::env::var_os("SEPCONV_AMX").is_some()
}

#[test]
fn refused_permission_changes_the_kernel_alone() {
    let _alone = alone();
    let wanted = output(&plan(false));
    for errno in [28, 1, 22] {
        // SAFETY: this says that there is no permission.
        unsafe { assume_amx(errno) };
        assert_eq!(Amx::request(), Amx::Refused { errno });
        let message = Amx::request().to_string();
        assert!(message.ends_with(&format!("refused the permission for AMX (error {errno})")));
        let plan = plan(true);
        assert!(!by_tiles(&plan), "{}", plan.kernel_name());
        assert_same_bits(plan.kernel_name(), &output(&plan), &wanted);
        let (case, plan) = integers(true);
        assert!(!by_tiles(&*plan), "{}", plan.kernel_name());
        assert_same_bits(plan.kernel_name(), &case.run(&*plan, 0, 0), &case.expected());
        assert!(kernels().iter().all(|k| !k.name.contains("_amx_") || !k.available));
    }
    // SAFETY: as it is.
    unsafe { assume_amx(-1) };
}

#[test]
fn plans_that_do_not_ask_get_none() {
    let _alone = alone();
    if !sepconv_amx_emulator::provide() {
        return;
    }
    assert_eq!(Amx::request(), Amx::Granted);
    let has_tiles = Level::best() == Level::Avx512;
    assert_eq!(by_tiles(&plan(true)), has_tiles);
    assert_eq!(by_tiles(&plan(false)), has_tiles && is_forced());
    assert_eq!(by_tiles(&*integers(true).1), has_tiles && has_vnni());
    assert_eq!(by_tiles(&*integers(false).1), has_tiles && has_vnni() && is_forced());
    let (case, _) = integers(true);
    for (level, dot_products) in [(Level::best(), false), (Level::Scalar, true)] {
        let plan = case.plan(level, [dot_products, true]).unwrap();
        assert!(!by_tiles(&*plan), "{}", plan.kernel_name());
    }
    let weights = [1.0; 40];
    for options in [
        // Other arithmetics, and levels without.
        Options::default().amx(true),
        Options::default().amx(true).arithmetic(Arithmetic::Fast),
        Options::default().amx(true).arithmetic(Arithmetic::Bf16).level(Level::Scalar),
    ] {
        let plan = Dense::new([1, 1, 1, 40], &DenseParams::new(1, &weights), &options).unwrap();
        assert!(!by_tiles(&plan), "{}", plan.kernel_name());
    }
}

/// Random layers of all types and layouts, of which some have more k than a block, by tiles and
/// without.
#[test]
fn bits_are_those_without_tiles() {
    let _alone = alone();
    if !sepconv_amx_emulator::provide() || !Level::Avx512.is_available() {
        return;
    }
    let mut numbers = Random(71);
    let cases = common::scaled(600).max(150) as usize;
    let mut tiles = 0;
    for i in 0..cases {
        let mut layer = random(GEMMS[i % 6], &mut numbers);
        match numbers.below(12) {
            0 => layer.input = [1, 1 + numbers.below(2), 1, 2 * (240 + numbers.below(40))],
            1 => layer.input = [1, 12 + numbers.below(12), 12, 2 * (1 + numbers.below(17))],
            _ => (),
        }
        if common::output(&layer.window, layer.input).is_none() {
            continue;
        }
        let (layer, weights) = layer.of_any_types(&mut numbers);
        let layer = if i % 3 == 0 { layer.of_planes(&mut numbers) } else { layer };
        let layer = Layer { arithmetic: Arithmetic::Bf16, ..layer };
        let operands = layer.fill_stored(weights, Mode::Reals, &mut numbers);
        let x = Mode::Reals.fill(&mut numbers, layer.input.iter().product());
        let x = Spaced::of(layer.input, numbers.below(3), &Stored::new(layer.input_type, &x));
        let [with, without] = [true, false].map(|amx| {
            let layer = Layer { amx, ..layer };
            let operands = operands.each_ref().map(Stored::elements);
            layer.plan(operands, Level::Avx512).unwrap()
        });
        let shape = with.output_shape();
        let residual = Mode::Reals.fill(&mut numbers, shape.iter().product());
        let residual = Spaced::of(shape, 1, &Stored::new(layer.output_type, &residual));
        let residual = Some(&residual).filter(|_| i % 4 > 0);
        let gap = numbers.below(3);
        let got = run(&*with, &x, residual, gap, numbers.below(4));
        let wanted = run(&*without, &x, residual, gap, 0);
        assert_same_bits(format_args!("{layer:?}, weights of {weights}"), &got, &wanted);
        tiles += usize::from(by_tiles(&*with));
    }
    println!("{tiles} layers by tiles, the same bits as without");
    assert!(tiles > cases / 2, "{tiles} of {cases} by tiles");
}

/// Random layers of integers, of which some have more k than a block, by tiles and without.
#[test]
fn integers_are_those_without_tiles() {
    let _alone = alone();
    if !sepconv_amx_emulator::provide() || !has_vnni() {
        println!("integers by tile registers: NOT RUN, as this CPU has no AVX512-VNNI");
        return;
    }
    const OPS: [Op; 4] = [Op::Pointwise, Op::Separable, Op::Conv, Op::Dense];
    let mut numbers = Random(73);
    let cases = common::scaled(800).max(120) as usize;
    for i in 0..cases {
        let op = OPS[i % OPS.len()];
        let mut case = if numbers.below(5) == 0 {
            let deep = 900 + numbers.below(300);
            let (input, kernel) = match op {
                Op::Conv => ([1, 4, 6, deep / 4], [2, 3]),
                _ => ([1, 1 + numbers.below(3), 13, deep], [1, 1]),
            };
            let channels = [1, 1, 1 + numbers.below(70)];
            Case::of(op, &mut numbers, input, Window::new(kernel), channels)
        } else {
            Case::random(op, &mut numbers)
        };
        let expected = case.expected();
        let (threads, gap) = (numbers.below(4), numbers.below(3));
        for amx in [true, false] {
            case.options = case.options.amx(amx);
            let plan = case.plan(Level::Avx512, [true; 2]).unwrap();
            assert_eq!(by_tiles(&*plan), amx || is_forced(), "{case} by {}", plan.kernel_name());
            let got = case.run(&*plan, threads, gap);
            assert_same_bits(format_args!("{case} by {}", plan.kernel_name()), &got, &expected);
        }
    }
    println!("{cases} layers of integers by tiles, the same bits as without");
}

/// This test as another process, which has the variable, says whether the plan is made, and how.
#[test]
fn the_variable_is_zero_or_one() {
    const CHILD: &str = "SEPCONV_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let weights = [1.0];
        let options = Options::default().arithmetic(Arithmetic::Bf16);
        match Dense::new([1, 1, 1, 1], &DenseParams::new(1, &weights), &options) {
            Ok(_) => println!("\nmade"),
            Err(error) => println!("\nrefused: {error}"),
        }
        return;
    }
    let said = |value: &str| {
        let program = std::env::current_exe().unwrap();
        let arguments = ["the_variable_is_zero_or_one", "--exact", "--nocapture"];
        let mut child = Command::new(program);
        let child = child.args(arguments).env("SEPCONV_AMX", value).env(CHILD, "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for value in ["", "0", "1"] {
        assert!(said(value).contains("\nmade\n"), "{value}");
    }
    for value in ["2", "yes", " 1"] {
        let message = format!("\nrefused: SEPCONV_AMX: expected 0 or 1, got {value:?}\n");
        assert!(said(value).contains(&message), "{value}");
    }
}

/// The CPUs that this thread may run on.
#[cfg(target_os = "linux")]
fn cpus() -> Vec<usize> {
    // SAFETY: a set is plain data, for which zeros are right; the system writes within it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &raw mut set), 0);
        set
    };
    // SAFETY: a number that a set has.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Has this thread run on one CPU alone.
#[cfg(target_os = "linux")]
fn move_to(cpu: usize) {
    // SAFETY: a set is plain data, for which zeros are right; it has the number, which it gave.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0, "CPU {cpu}");
    }
}

/// A hybrid system has CPUs that differ, and threads with masks of some of them: wherever a thread
/// asks, the answer is the process's, and wherever it goes on, the bits are the same.
#[test]
#[cfg(target_os = "linux")]
fn threads_on_any_cpu_get_the_same() {
    let _alone = alone();
    let provided = sepconv_amx_emulator::provide();
    let (wanted, plan, cpus) = (output(&plan(false)), plan(true), cpus());
    let ask = |cpu| {
        move_to(cpu);
        let amx = Amx::request();
        let by_tiles: Vec<_> = kernels().into_iter().filter(|k| k.name.contains("_amx_")).collect();
        for &other in &cpus {
            move_to(other);
            assert_same_bits(format_args!("CPU {cpu}, then {other}"), &output(&plan), &wanted);
        }
        (amx, Level::available(), by_tiles)
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = cpus.iter().map(|&cpu| scope.spawn(move || ask(cpu))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?} on {cpus:?}");
    assert_eq!(answers[0].0 == Amx::Granted, provided, "{answers:?}");
    println!("a thread for each of {} CPUs: {:?}", cpus.len(), answers[0].0);
}

/// Where the CPU has AMX: with a signal stack that has no room for tiles the system refuses.
#[test]
#[cfg(target_os = "linux")]
fn small_signal_stacks_are_in_the_way() {
    const CHILD: &str = "SEPCONV_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        // A process of its own: the permission can't be given back.
        let program = std::env::current_exe().unwrap();
        let arguments = ["small_signal_stacks_are_in_the_way", "--exact", "--nocapture"];
        let mut child = Command::new(program);
        let child = child.args(arguments).env_remove("SEPCONV_AMX").env(CHILD, "1");
        let output = child.output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let mut stack = vec![0_u8; 8192];
    let alternate = |stack: &mut [u8], flags| libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: flags,
        ss_size: stack.len(),
    };
    let (small, off) = (alternate(&mut stack, 0), alternate(&mut [], libc::SS_DISABLE));
    let mut old = alternate(&mut [], 0);
    // SAFETY: the stack lives until it is off again, and no signal is caught meanwhile.
    let status = unsafe { libc::sigaltstack(&raw const small, &raw mut old) };
    let with_small = Amx::request();
    // SAFETY: this thread's stack of before, or none.
    unsafe { libc::sigaltstack(&raw const off, std::ptr::null_mut()) };
    let without = Amx::request();
    println!("signal stack of 8 KiB ({status}): {with_small:?}, then {without:?}");
    match without {
        Amx::Absent => println!("this CPU has no AMX: the refusal of small signal stacks NOT RUN"),
        _ => {
            assert_eq!((status, with_small), (0, Amx::Refused { errno: 28 }));
            assert_eq!(without, Amx::Granted);
            // SAFETY: as above.
            let status = unsafe { libc::sigaltstack(&raw const small, std::ptr::null_mut()) };
            assert_eq!(status, -1, "a small stack after the permission");
        }
    }
    // SAFETY: as it was.
    unsafe { libc::sigaltstack(&raw const old, std::ptr::null_mut()) };
}
