//! sepconv for browsers and Node: the executor behind a few functions that JavaScript calls.
//!
//! | file | contents |
//! |---|---|
//! | `boundary` | the functions and buffers that JavaScript sees, and the three that it provides |
//! | `calls` | what can be asked for, and the answers |
//! | `model` | a model that is ready to run |
//! | `timing` | times by step, beside the peak of multiply-adds |
//! | `compare` | a separable layer beside a standard one |
//! | `threads` | rayon's pool, of workers (feature `threads`) |
//!
//! `pkg/sepconv.js` is the other side.

mod boundary;
mod calls;
mod compare;
mod model;
#[cfg(feature = "threads")]
mod threads;
mod timing;

/// An answer, or a sentence that says what is wrong.
type Result<T> = std::result::Result<T, String>;

/// The sentence of any error.
fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}
