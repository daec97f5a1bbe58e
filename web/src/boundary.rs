//! The functions and buffers that JavaScript sees, and what it provides.
//!
//! For a call JavaScript asks [`sepconv_reserve`] for room in buffers 0 and 1, writes the request
//! (JSON) and its bytes there, calls [`sepconv_call`], and reads the answer (JSON) and its bytes
//! from buffers 2 and 3. This module owns all memory: each buffer is one of its vectors, which
//! JavaScript fills or reads between calls.
#![allow(unsafe_code, reason = "names for the linker; no block of unsafe code is needed")]

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::calls::{self, Calls};

#[link(wasm_import_module = "sepconv")]
unsafe extern "C" {
    /// Milliseconds since a moment that is the same for all threads.
    safe fn now() -> f64;
    /// So much of the running call is done, of 1.
    safe fn progress(done: f64);
    /// The program ends, for the reason that is in so many bytes at this address.
    safe fn panicked(message: *const u8, bytes: usize);
}

/// The clock of [`sepconv::network::Session::run_timed_by`].
pub(crate) fn clock() -> Duration {
    Duration::try_from_secs_f64(now() / 1e3).unwrap_or_default()
}

/// Tells JavaScript how much of the running call is done, of 1.
pub(crate) fn report(done: f64) {
    progress(done);
}

struct State {
    buffers: [Vec<u8>; 4],
    calls: Calls,
}

const REQUEST: usize = 0;
const SENT: usize = 1;
const ANSWER: usize = 2;
const RETURNED: usize = 3;

static STATE: Mutex<State> =
    Mutex::new(State { buffers: [const { Vec::new() }; 4], calls: Calls::new() });

fn state() -> MutexGuard<'static, State> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let message = info.to_string();
            panicked(message.as_ptr(), message.len());
        }));
    });
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes buffer 0 or 1 hold so many bytes, and tells where: at 0 if there is no memory for them.
#[unsafe(no_mangle)]
extern "C" fn sepconv_reserve(buffer: usize, bytes: usize) -> *mut u8 {
    let mut state = state();
    let Some(buffer) = state.buffers[..ANSWER].get_mut(buffer) else {
        return std::ptr::null_mut();
    };
    *buffer = Vec::new();
    if buffer.try_reserve_exact(bytes).is_err() {
        return std::ptr::null_mut();
    }
    buffer.resize(bytes, 0);
    buffer.as_mut_ptr()
}

/// Does what buffers 0 and 1 ask for: 1 if it was done, 0 if buffer 2 says why not.
#[unsafe(no_mangle)]
extern "C" fn sepconv_call() -> u32 {
    let mut state = state();
    let [request, sent] = [REQUEST, SENT].map(|buffer| std::mem::take(&mut state.buffers[buffer]));
    let answer = calls::answer(&mut state.calls, &request, sent);
    let done = answer.is_ok();
    let (json, bytes) = answer.unwrap_or_else(|message| (message.into_bytes(), Vec::new()));
    state.buffers[ANSWER] = json;
    state.buffers[RETURNED] = bytes;
    done.into()
}

/// Where a buffer begins.
#[unsafe(no_mangle)]
extern "C" fn sepconv_start(buffer: usize) -> *const u8 {
    state().buffers.get(buffer).map_or(std::ptr::null(), |buffer| buffer.as_ptr())
}

/// How many bytes a buffer has.
#[unsafe(no_mangle)]
extern "C" fn sepconv_length(buffer: usize) -> usize {
    state().buffers.get(buffer).map_or(0, Vec::len)
}

/// Memory of a new thread, for its stack and its thread-local values, never to be freed; at 0 if
/// there is none. Its alignment is that of stacks, 16.
#[cfg(feature = "threads")]
#[unsafe(no_mangle)]
extern "C" fn sepconv_thread_memory(bytes: usize) -> *mut u8 {
    let mut memory: Vec<u128> = Vec::new();
    let len = bytes.div_ceil(size_of::<u128>());
    if memory.try_reserve_exact(len).is_err() {
        return std::ptr::null_mut();
    }
    memory.resize(len, 0);
    memory.leak().as_mut_ptr().cast()
}

/// The life of a thread of the pool: does not return.
#[cfg(feature = "threads")]
#[unsafe(no_mangle)]
extern "C" fn sepconv_thread() {
    crate::threads::run();
}
