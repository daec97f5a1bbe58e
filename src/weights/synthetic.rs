//! Pseudorandom weights and pictures, with the same bits in Rust and in numpy
//! (`tests/keras/synthetic.py`).
//!
//! Element i (row-major) of the tensor called `layer/variable` comes from
//!
//! ```text
//! seed = FNV-1a-64 of the name's UTF-8 bytes
//! z    = splitmix64's mix of (seed + (i + 1) · 0x9E3779B97F4A7C15), all modulo 2⁶⁴
//! u    = (z >> 40) / 2²³ − 1                     24 bits: exact, in [−1, 1)
//! ```
//!
//! and is scaled in f64, then rounded to f32:
//!
//! | variable | value |
//! |---|---|
//! | `kernel` | √(6 / fan_in) · u |
//! | `depthwise_kernel`, `pointwise_kernel` | √(3 / fan_in) · u |
//! | `gamma` | 1 + 0.1 u |
//! | `moving_variance` | 1 + 0.3 u |
//! | `bias`, `beta`, `moving_mean` | 0.1 u |
//! | a picture, `input/<size>` | u |
//!
//! fan_in is kh·kw·C/groups for a convolution, kh·kw for a depthwise one, C for a dense layer. The
//! 6 is He's uniform limit, which keeps the variance of a layer that follows a ReLU. The two
//! kernels of a separable convolution get 3 each, so that the layer halves the variance. Xception's
//! twelve residual sums then grow slowly, and its 1000 logits have a standard deviation of 2 (at
//! 71) to 5 (at 299).

use super::{Tensor, Variable, Weights, variables};
use crate::Result;
use crate::network::Network;

/// The endless sequence of values u of the tensor called `name`, each in \[−1, 1).
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let first = synthetic::uniform("input/71").next().unwrap();
/// assert_eq!((first as f32).to_bits(), 0x3f1f_d110);
/// assert!(synthetic::uniform("any name").take(1000).all(|u| (-1.0..1.0).contains(&u)));
/// ```
pub fn uniform(name: &str) -> impl Iterator<Item = f64> + use<> {
    bits(name).map(|b| f64::from(b) / f64::from(1 << 23) - 1.0)
}

/// `count` positions below `length`, at which goldens sample a tensor: the 24 bits of each u times
/// `length`, shifted right by 24.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// assert_eq!(synthetic::indices("golden/71/add", 4, 36_992), [21_472, 35_490, 3671, 7871]);
/// ```
pub fn indices(name: &str, count: usize, length: usize) -> Vec<usize> {
    let scale = |b: u32| ((u128::from(b) * length as u128) >> 24) as usize;
    bits(name).take(count).map(scale).collect()
}

/// The picture `input/<size>` of shape \[1, `size`, `size`, 3\], which must fit in memory.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let picture = synthetic::picture(71);
/// assert_eq!(picture.shape, [1, 71, 71, 3]);
/// assert_eq!(picture.data[0].to_bits(), 0x3f1f_d110);
/// ```
pub fn picture(size: usize) -> Tensor {
    let values = uniform(&format!("input/{size}"));
    Tensor {
        shape: vec![1, size, size, 3],
        data: values.take(size * size * 3).map(|u| u as f32).collect(),
    }
}

/// One variable's tensor.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let gamma = Variable { layer: "norm".into(), name: "gamma", shape: vec![32], trainable: true };
/// let tensor = synthetic::tensor(&gamma);
/// assert_eq!(tensor.shape, [32]);
/// assert!(tensor.data.iter().all(|x| (0.9..=1.1).contains(x))); // 1 + 0.1 u
/// ```
pub fn tensor(variable: &Variable) -> Tensor {
    let shape = &variable.shape;
    let inputs = match variable.name {
        "depthwise_kernel" => 2,
        _ => shape.len().saturating_sub(1),
    };
    let fan_in = shape.iter().take(inputs).product::<usize>() as f64;
    let (offset, scale) = match variable.name {
        "kernel" => (0.0, (6.0 / fan_in).sqrt()),
        "depthwise_kernel" | "pointwise_kernel" => (0.0, (3.0 / fan_in).sqrt()),
        "gamma" => (1.0, 0.1),
        "moving_variance" | "variance" => (1.0, 0.3),
        _ => (0.0, 0.1),
    };
    let values = uniform(&format!("{}/{}", variable.layer, variable.name));
    Tensor {
        shape: shape.clone(),
        data: values.take(variable.elements()).map(|u| (offset + scale * u) as f32).collect(),
    }
}

/// Makes pseudorandom weights for every variable of a network.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// # let mut network = Network::new("small", "input", [None, None], 3);
/// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
/// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
/// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
/// # let weights = synthetic::weights(&network)?;
/// # let options = PlanOptions::default();
/// // network: a 3×3 convolution of 3 to 8 channels with biases, then ReLU
///
/// let weights = synthetic::weights(&network)?;
/// assert_eq!(weights.get("conv", "kernel", &[3, 3, 3, 8])?.len(), 9 * 3 * 8);
/// assert_eq!(weights.get("conv", "bias", &[8])?.len(), 8);
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`variables()`].
pub fn weights(network: &Network) -> Result<Weights> {
    let mut weights = Weights::default();
    for variable in variables(network)? {
        weights.insert(&variable.layer, variable.name, tensor(&variable))?;
    }
    Ok(weights)
}

/// The 24 random bits of each element.
fn bits(name: &str) -> impl Iterator<Item = u32> + use<> {
    let fnv = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, fnv);
    (1_u64..).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits_of(data: &[f32]) -> [u32; 3] {
        [data[0], data[1], data[data.len() - 1]].map(f32::to_bits)
    }

    /// The values that tests/keras/synthetic.py prints.
    #[test]
    fn same_bits_as_numpy() {
        let cases: [(&str, &str, &[usize], [u32; 3]); 6] = [
            ("block1_conv1", "kernel", &[3, 3, 3, 32], [0xbe6eaa10, 0x3ea180df, 0x3ea4221e]),
            (
                "block2_sepconv1",
                "depthwise_kernel",
                &[3, 3, 64, 1],
                [0x3ec2a68d, 0x3cfc6ef6, 0x3e9b77ad],
            ),
            (
                "block2_sepconv1",
                "pointwise_kernel",
                &[1, 1, 64, 128],
                [0xbc0a67b3, 0x3e027533, 0x3dac92b4],
            ),
            ("block1_conv1_bn", "gamma", &[32], [0x3f7be430, 0x3f6a919a, 0x3f784795]),
            ("block1_conv1_bn", "moving_variance", &[32], [0x3f9e858b, 0x3f34848d, 0x3f8e27c2]),
            ("predictions", "bias", &[1000], [0x3b2e229a, 0xbcb9962d, 0xbd428526]),
        ];
        let network = crate::models::xception(&Default::default()).unwrap();
        let all = variables(&network).unwrap();
        for (layer, name, shape, expected) in cases {
            let variable = all.iter().find(|v| v.layer == layer && v.name == name).unwrap();
            assert_eq!(variable.shape, shape, "{layer}/{name}");
            assert_eq!(bits_of(&tensor(variable).data), expected, "{layer}/{name}");
        }
        assert_eq!(bits_of(&picture(71).data), [0x3f1fd110, 0x3f0cb0d2, 0x3ea2b284]);
        assert_eq!(indices("golden/71/add", 4, 36992), [21472, 35490, 3671, 7871]);
    }
}
