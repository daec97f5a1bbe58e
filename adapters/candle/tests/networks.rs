//! Whole networks against candle's own operations.

mod network;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use network::Network;
use sepconv_measure::{difference, model, onnx, uniform};

/// Both are 1e-5 of the largest logit apart at most, at each of two sizes.
fn compare(name: &str, sizes: [[usize; 2]; 2]) -> Result<()> {
    let steps = onnx::read(&model(name)?)?;
    let (own, sepconv) = (Network::own(&steps)?, Network::sepconv(&steps)?);
    for (seed, [height, width]) in sizes.into_iter().enumerate() {
        let x = uniform(seed as u64, 3 * height * width);
        let x = Tensor::from_vec(x, (1, 3, height, width), &Device::Cpu)?;
        let expected: Vec<f32> = own.run(&x)?.flatten_all()?.to_vec1()?;
        let got: Vec<f32> = sepconv.run(&x)?.flatten_all()?.to_vec1()?;
        ensure!(expected.len() == 1000, "{} logits", expected.len());
        let difference = difference(&got, &expected)?;
        println!("{name} {height}×{width}: {difference:.1e}");
        ensure!(difference <= 1e-5, "{name} {height}×{width}: {difference:.1e}");
    }
    Ok(())
}

#[test]
fn mobilenet_v1() -> Result<()> {
    compare("mobilenet_v1", [[224, 224], [160, 192]])
}

#[test]
fn xception() -> Result<()> {
    compare("xception", [[299, 299], [150, 171]])
}
