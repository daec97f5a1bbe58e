//! tract alone and with sepconv, on what `export.py` writes.

#[path = "../tests/support/mod.rs"]
mod support;

use sepconv_measure::turns::{Args, Way};
use sepconv_tract::Sepconv;
use sepconv_tract::tract_core::internal::*;
use support::{load, random, to_nhwc};
use tract_linalg::multithread::{Executor, multithread_tract_scope};

/// Calls the optimized model; values come in the order of NCHW.
fn way(
    name: &str,
    beside: usize,
    mut model: TypedModel,
    x: &Tensor,
    executor: &Executor,
) -> TractResult<Way<'static>> {
    if name.ends_with("sepconv") {
        let report = Sepconv::new().replace(&mut model)?;
        ensure!(report.kept.is_empty(), "{report:?}");
    }
    let nhwc = name.contains("NHWC");
    let x = if nhwc { x.clone().permute_axes(&[0, 2, 3, 1])? } else { x.clone() };
    let (x, executor) = (x.into_tvalue(), executor.clone());
    let runnable = model.into_optimized()?.into_runnable()?;
    Ok(Way::new(name, beside, move || {
        let x = tvec!(x.clone());
        let y = multithread_tract_scope(executor.clone(), || runnable.run(x))?.remove(0);
        let y = y.into_tensor();
        let y = if nhwc && y.rank() == 4 { y.permute_axes(&[0, 3, 1, 2])? } else { y };
        Ok(y.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }))
}

fn main() -> TractResult<()> {
    let args = Args::read()?;
    let executor = match args.threads {
        1 => Executor::SingleThread,
        n => Executor::multithread(n.into()),
    };
    let mut series = Vec::new();
    for (subject, name, channels, size) in [
        ("13 blocks of MobileNetV1", "blocks", 32, 112),
        ("MobileNetV1, 224×224", "mobilenet_v1", 3, 224),
        ("Xception, 299×299", "xception", 3, 299),
    ] {
        let shape = [1, channels, size, size];
        let model = load(name, shape.map(|extent| extent.to_dim()))?;
        let x = random(1, &shape)?;
        let mut ways = vec![
            way("tract", 0, model.clone(), &x, &executor)?,
            way("tract with sepconv", 0, model.clone(), &x, &executor)?,
        ];
        if name == "blocks" {
            let model = to_nhwc(model)?;
            ways.push(way("tract, NHWC", 2, model.clone(), &x, &executor)?);
            ways.push(way("tract, NHWC, with sepconv", 2, model, &x, &executor)?);
        }
        series.push(args.time(subject, &mut ways)?);
    }
    args.write(&series)
}
