//! Plans inside the caller's own rayon pool: they use its threads, as many as the scratch has room
//! for, and none besides; and on the calling thread alone, where the caller shares out pictures
//! itself.
//!
//! cargo run --release -p sepconv-kernels --example pool

use rayon::prelude::*;
use sepconv_kernels::{
    Error, NhwcView, NhwcViewMut, Options, Plan, Pointwise, PointwiseParams, on_this_thread,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = 2;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let weights = vec![0.5; 64 * 128];
    let params = PointwiseParams::new(128, &weights);
    let plan = Pointwise::new([1, 56, 56, 64], &params, &Options::default())?;
    let pictures = vec![vec![1.0; 56 * 56 * 64]; 8];
    let output = || vec![0.0; 56 * 56 * 128];

    // One picture after the other, each on all threads.
    let mut scratch = vec![0.0; plan.scratch_len(threads)];
    let mut shared = vec![output(); pictures.len()];
    for (x, y) in pictures.iter().zip(&mut shared) {
        let (x, y) =
            (NhwcView::new(x, plan.input_shape())?, NhwcViewMut::new(y, plan.output_shape())?);
        pool.install(|| plan.run(x, None, y, &mut scratch))?;
    }

    // All pictures at once, each on one thread: the same bits.
    let mut alone = vec![output(); pictures.len()];
    pool.install(|| {
        pictures.par_iter().zip(&mut alone).try_for_each(|(x, y)| {
            let mut scratch = vec![0.0; plan.scratch_len(1)];
            let (x, y) =
                (NhwcView::new(x, plan.input_shape())?, NhwcViewMut::new(y, plan.output_shape())?);
            on_this_thread(|| plan.run(x, None, y, &mut scratch))?;
            Ok::<(), Error>(())
        })
    })?;
    assert!(shared == alone);
    println!("{} pictures, {}: both ways the same bits", pictures.len(), plan.kernel_name());
    Ok(())
}
