//! Tests of the kernels by tile registers (AMX), also on CPUs without: there the program's own tile
//! instructions fault, and a handler of the signal executes them.
//!
//! `SEPCONV_AMX=1` has plans use tile registers. [`start`] sees to it that they can.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod handler;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tiles;

use std::sync::Once;

use sepconv_kernels::Amx;

/// To be called before any plan is made. With `SEPCONV_AMX=1` tile instructions execute from then
/// on: those of the CPU, or else the emulated ones, for which it must have AVX-512. Without it
/// nothing happens.
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        if std::env::var_os("SEPCONV_AMX").is_none_or(|value| value != "1") {
            return;
        }
        assert!(provide(), "SEPCONV_AMX=1: neither AMX nor AVX-512, by which it is emulated");
    });
}

/// Has tile instructions execute, those of the CPU or else the emulated ones. False if the CPU has
/// neither AMX nor AVX-512, or this is not Linux on x86-64.
pub fn provide() -> bool {
    let by_cpu = Amx::request() == Amx::Granted;
    let provided = by_cpu || emulate();
    let how = if by_cpu { "by the CPU" } else { "emulated" };
    println!("tile instructions (AMX): {}", if provided { how } else { "NOT RUN" });
    provided
}

/// Executes tile instructions by a handler of the signal that they raise.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn emulate() -> bool {
    let possible = std::is_x86_feature_detected!("avx512f");
    if possible {
        handler::install();
        // SAFETY: the handler executes tile instructions in all threads.
        unsafe { sepconv_kernels::assume_amx(0) };
    }
    possible
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn emulate() -> bool {
    false
}
