//! Whole networks against tract's own operations.

mod support;

use sepconv_tract::Sepconv;
use sepconv_tract::tract_core::internal::*;
use sepconv_tract::tract_core::ops::cnn::Conv;
use sepconv_tract::tract_core::ops::einsum::EinSum;
use support::{close, load, random, run, to_nhwc};

/// At each of two sizes, of NCHW before and after tract has decluttered the model, and of NHWC.
fn compare(name: &str, sizes: [[usize; 2]; 2], convolutions: usize) -> TractResult<()> {
    for (seed, [height, width]) in sizes.into_iter().enumerate() {
        let shape = [1, 3, height, width];
        let typed = load(name, shape.map(|extent| extent.to_dim()))?;
        let x = random(seed as u64, &shape)?;
        let expected = run(&typed, &x)?;
        ensure!(expected.shape() == [1, 1000], "{:?}", expected.shape());
        let models = [
            ("NCHW", typed.clone()),
            ("NCHW, decluttered", typed.clone().into_decluttered()?),
            ("NHWC, decluttered", to_nhwc(typed)?),
        ];
        for (kind, mut model) in models {
            let x = match kind.starts_with("NHWC") {
                true => x.clone().permute_axes(&[0, 2, 3, 1])?,
                false => x.clone(),
            };
            let report = Sepconv::new().replace(&mut model)?;
            ensure!(report.kept.is_empty(), "{kind}: {:?}", report.kept);
            ensure!(
                report.replaced.len() == convolutions,
                "{kind}: {} replaced, not {convolutions}",
                report.replaced.len()
            );
            // Of matrix products only the dense layer's is left.
            let left = model.nodes.iter().filter(|node| {
                node.op_is::<Conv>() || node.op_is::<EinSum>() && node.outputs[0].fact.rank() > 2
            });
            ensure!(left.clone().count() == 0, "{kind}: {:?}", left.collect::<Vec<_>>());
            close(&run(&model, &x)?, &expected).context(kind)?;
        }
    }
    Ok(())
}

#[test]
fn mobilenet_v1() -> TractResult<()> {
    // The first one, and 13 separable blocks.
    compare("mobilenet_v1", [[224, 224], [160, 192]], 14)
}

#[test]
fn xception() -> TractResult<()> {
    // Two at the beginning, 34 separable ones, four beside pools.
    compare("xception", [[299, 299], [150, 171]], 40)
}

/// One model, pictures in any number.
#[test]
fn symbolic_batch() -> TractResult<()> {
    let symbols = SymbolScope::default();
    let n = symbols.sym("n").to_dim();
    let shape = [n, 3.to_dim(), 96.to_dim(), 64.to_dim()];
    let mut model = load("mobilenet_v1", shape)?;
    let report = Sepconv::new().replace(&mut model)?;
    ensure!(report.replaced.len() == 14 && report.kept.is_empty(), "{report:?}");
    for batch in [1, 3] {
        let x = random(batch as u64, &[batch, 3, 96, 64])?;
        let own = load("mobilenet_v1", [batch, 3, 96, 64].map(|extent| extent.to_dim()))?;
        close(&run(&model, &x)?, &run(&own, &x)?)?;
    }
    Ok(())
}
