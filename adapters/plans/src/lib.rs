//! Plans of [`sepconv_kernels`] by shape, and scratch by thread: what an adapter for an inference
//! engine needs.
//!
//! An engine has operations that are called with `&self`, from any thread, for inputs of any
//! height, width and batch. A [`Plan`] is for one shape and wants scratch. [`Plans`] makes plans of
//! packed weights as shapes come, and [`run`] takes scratch from the calling thread.
//!
//! ```
//! use sepconv_kernels::*;
//! use sepconv_plans::{Plans, run};
//!
//! # fn main() -> Result<(), Error> {
//! let window = Window::new([3, 3]).padding(Padding::Same);
//! let params = DepthwiseParams::new(window, &[1.0; 9 * 2]); // 3×3, 2 channels
//! let layer = Plans::new(Depthwise::pack(2, &params, &Options::default())?);
//! for [height, width] in [[1, 1], [2, 1]] {
//!     let plan = layer.get([1, height, width])?;
//!     let (x, mut y) = (vec![1.0; height * width * 2], vec![0.0; height * width * 2]);
//!     let from = NhwcView::new(&x, plan.input_shape())?;
//!     run(&*plan, from, None, NhwcViewMut::new(&mut y, plan.output_shape())?)?;
//!     assert_eq!(y, vec![height as f32; y.len()]); // as many taps as there are rows
//! }
//! # Ok(())
//! # }
//! ```

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sepconv_kernels::{Error, NhwcView, NhwcViewMut, Packed, Plan, available_threads};

/// A layer's plans by \[N, H, W\].
///
/// The [`Plans::CAPACITY`] shapes that were used last are kept. A lock is held while a plan is
/// looked up, and never while one is made or run.
pub struct Plans {
    make: Box<Make>,
    /// The one used last comes first.
    recent: Mutex<Vec<Made>>,
}

/// A plan and its \[N, H, W\].
type Made = ([usize; 3], Arc<dyn Plan>);

/// Makes the plan for an input of \[N, H, W\].
type Make = dyn Fn([usize; 3]) -> Result<Arc<dyn Plan>, Error> + Send + Sync;

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let shapes: Vec<_> = recent.iter().map(|(shape, _)| shape).collect();
        f.debug_struct("Plans").field("shapes", &shapes).finish()
    }
}

impl Plans {
    /// How many plans a layer keeps. They share its weights and take a few KiB each.
    pub const CAPACITY: usize = 8;

    /// None at first.
    pub fn new<L: Plan + 'static>(packed: Packed<L>) -> Self {
        let make = move |size| Ok(Arc::new(packed.plan(size)?) as Arc<dyn Plan>);
        Self { make: Box::new(make), recent: Mutex::default() }
    }

    /// The plan for an input of \[N, H, W\].
    ///
    /// # Errors
    /// Those of [`Packed::plan`].
    pub fn get(&self, shape: [usize; 3]) -> Result<Arc<dyn Plan>, Error> {
        if let Some(plan) = self.recall(shape) {
            return Ok(plan);
        }
        let plan = (self.make)(shape)?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made the same one in the meantime.
        recent.retain(|(of, _)| *of != shape);
        recent.truncate(Self::CAPACITY - 1);
        recent.insert(0, (shape, plan.clone()));
        Ok(plan)
    }

    /// The plan that was made for this shape, if it is still there.
    fn recall(&self, shape: [usize; 3]) -> Option<Arc<dyn Plan>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = recent.iter().position(|(of, _)| *of == shape)?;
        recent[..=place].rotate_right(1);
        Some(recent[0].1.clone())
    }
}

thread_local! {
    /// Taken while it is in use: a thread that waits for others of its pool may take on a run of
    /// another layer in the meantime, which then finds none and makes its own.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Runs a plan on [`available_threads`], with the calling thread's scratch, which grows to what the
/// plans that it has run need.
///
/// # Errors
/// Those of [`Plan::run`].
pub fn run(
    plan: &dyn Plan,
    x: NhwcView<'_>,
    residual: Option<NhwcView<'_>>,
    y: NhwcViewMut<'_>,
) -> Result<(), Error> {
    let len = plan.scratch_len(available_threads());
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    // No more than that: its length says how many threads may work.
    let done = plan.run(x, residual, y, &mut scratch[..len]);
    SCRATCH.set(scratch);
    done
}
