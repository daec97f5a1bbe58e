//! candle alone and with sepconv, on what `export.py` writes.

#[path = "../tests/network/mod.rs"]
mod network;

use anyhow::Result;
use candle_core::{Device, Tensor};
use network::Network;
use sepconv_measure::turns::{Args, Way};
use sepconv_measure::{model, onnx, uniform};

fn main() -> Result<()> {
    let args = Args::read()?;
    let mut series = Vec::new();
    for (subject, name, channels, size) in [
        ("13 blocks of MobileNetV1", "blocks", 32, 112),
        ("MobileNetV1, 224×224", "mobilenet_v1", 3, 224),
        ("Xception, 299×299", "xception", 3, 299),
    ] {
        let steps = onnx::read(&model(name)?)?;
        let x = uniform(1, channels * size * size);
        let x = Tensor::from_vec(x, (1, channels, size, size), &Device::Cpu)?;
        let way = |name, network: Network| {
            let x = x.clone();
            Way::new(name, 0, move || Ok(network.run(&x)?.flatten_all()?.to_vec1()?))
        };
        let mut ways = [
            way("candle", Network::own(&steps)?),
            way("candle with sepconv", Network::sepconv(&steps)?),
        ];
        series.push(args.time(subject, &mut ways)?);
    }
    args.write(&series)
}
