//! Which plans are kept, and that any number of threads can use a layer.

use std::sync::Arc;

use sepconv_kernels::*;
use sepconv_plans::{Plans, run};

/// The sum of two channels.
fn sum() -> Result<Plans, Error> {
    let params = PointwiseParams::new(1, &[1.0, 1.0]);
    Ok(Plans::new(Pointwise::pack(2, &params, &Options::new())?))
}

#[test]
fn the_shapes_used_last_are_kept() -> Result<(), Error> {
    let layer = sum()?;
    let first = layer.get([1, 1, 1])?;
    for width in 2..=Plans::CAPACITY {
        layer.get([1, 1, width])?;
    }
    assert!(Arc::ptr_eq(&first, &layer.get([1, 1, 1])?), "it is among the last eight");
    let second = layer.get([1, 1, 2])?;
    // One too many: of the eight, three pixels were used least recently.
    let third = layer.get([1, 1, 3])?;
    for width in [4, 5, 6, 7, 8, 1, 2, 9] {
        layer.get([1, 1, width])?;
    }
    assert!(Arc::ptr_eq(&first, &layer.get([1, 1, 1])?));
    assert!(Arc::ptr_eq(&second, &layer.get([1, 1, 2])?));
    assert!(!Arc::ptr_eq(&third, &layer.get([1, 1, 3])?));
    let shapes = format!("{layer:?}");
    assert_eq!(shapes.matches("[1, 1, ").count(), Plans::CAPACITY, "{shapes}");
    Ok(())
}

#[test]
fn what_has_no_output_is_an_error_and_is_not_kept() -> Result<(), Error> {
    let layer = sum()?;
    let error = layer.get([0, 1, 1]).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("batch is 0; it must be at least 1"));
    assert!(layer.get([usize::MAX, 2, 2]).is_err());
    assert_eq!(format!("{layer:?}"), "Plans { shapes: [] }");
    Ok(())
}

/// Several at a time, each with other shapes.
#[test]
fn threads() -> Result<(), Error> {
    let layer = sum()?;
    std::thread::scope(|scope| {
        let work = |batch: usize| -> Result<(), Error> {
            for width in (1..=20).chain((1..=20).rev()) {
                let plan = layer.get([batch, 64, width])?;
                let x: Vec<f32> = (0..batch * 64 * width * 2).map(|i| i as f32).collect();
                let mut y = vec![f32::NAN; x.len() / 2];
                let from = NhwcView::new(&x, plan.input_shape())?;
                run(&*plan, from, None, NhwcViewMut::new(&mut y, plan.output_shape())?)?;
                assert!(x.chunks(2).zip(&y).all(|(x, &y)| x[0] + x[1] == y));
            }
            Ok(())
        };
        let threads: Vec<_> = (1..=4).map(|batch| scope.spawn(move || work(batch))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}
