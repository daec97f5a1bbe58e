//! What files say about the use of a model, apart from its network and weights.

use sepconv_kernels::Activation;

use crate::models::pretrained;
use crate::network::{Network, NodeId, Op};

/// What a file says about the use of a model, apart from its network and weights.
///
/// ```
/// # use sepconv::weights::*;
/// # #[cfg(feature = "keras")] {
/// let Metadata { scaling, logits, .. } = load("assets/digits.keras")?.metadata; // of this crate
/// assert_eq!(scaling, Some((Scaling::Tf, "as Keras's xception".into())));
/// assert_eq!(logits, None); // it names no loss
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// How pixels from 0 to 255 become the model's input, and a phrase that says how this is known.
    pub scaling: Option<(Scaling, String)>,
    /// The function that turns the first output into probabilities. Known only if the model was
    /// compiled with a loss that takes logits.
    pub logits: Option<Link>,
    /// What is subtracted from scaled pixels, and what they are divided by: numbers for red, green
    /// and blue, or one for all. Empty for none, and if the scaling has its own.
    pub mean: Vec<f32>,
    /// See `mean`.
    pub std: Vec<f32>,
    /// How pictures are resized.
    pub resize: Option<Resize>,
    /// Which part of a picture is used. None for all of it, without keeping its proportions.
    pub crop: Option<Crop>,
    /// The names of the classes of the first output.
    pub labels: Option<Vec<String>>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Metadata {
    /// What a network's name and layers show.
    pub(crate) fn of(network: &Network) -> Self {
        let mut metadata = Self { scaling: scaling(network, [network.name()]), ..Self::default() };
        if let Some(pretrained) = pretrained(network.name()) {
            let bilinear = pretrained.bilinear;
            metadata.resize = Some(if bilinear { Resize::Bilinear } else { Resize::Bicubic });
            metadata.crop = Some(Crop { share: pretrained.crop, squash: pretrained.squash });
        }
        // timm's networks have their classes' logits at the end, or features if they have none.
        let last = &network.node(network.output()).op;
        let is_timms = pretrained(network.name()).is_some() || XCEPTIONS.contains(&network.name());
        if is_timms && matches!(last, Op::Dense { .. }) && network.rank(network.output()) == 2 {
            metadata.logits = Some(Link::Softmax);
        }
        metadata
    }
}

/// How pixels x from 0 to 255 are scaled to a network's input.
///
/// `Tf`, `Torch` and `Caffe` are the modes of Keras Applications'
/// `imagenet_utils.preprocess_input`.
///
/// ```
/// # use sepconv::{models::*, weights::*};
/// let model = Model::new(mobilenet(&MobileNetConfig::default())?, Weights::default());
/// let (scaling, why) = model.metadata.scaling.unwrap();
/// assert_eq!((scaling, why.as_str()), (Scaling::Tf, "as Keras's mobilenet"));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scaling {
    /// x / 127.5 − 1: Xception, Inception, MobileNet.
    Tf,
    /// (x / 255 − mean) / standard deviation of ImageNet, by channel: DenseNet, RegNet.
    Torch,
    /// x − mean of ImageNet, in the order blue, green, red: VGG, ResNet.
    Caffe,
    /// x / 255.
    Unit,
    /// x, for networks that scale pixels in their own layers, such as EfficientNet.
    None,
}

impl Scaling {
    /// All scalings.
    ///
    /// ```
    /// # use sepconv::weights::Scaling;
    /// assert_eq!(Scaling::ALL.map(Scaling::name), ["tf", "torch", "caffe", "unit", "none"]);
    /// ```
    pub const ALL: [Self; 5] = [Self::Tf, Self::Torch, Self::Caffe, Self::Unit, Self::None];

    /// The name in Keras and on the command line.
    ///
    /// ```
    /// # use sepconv::weights::Scaling;
    /// assert_eq!(Scaling::Caffe.name(), "caffe");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Tf => "tf",
            Self::Torch => "torch",
            Self::Caffe => "caffe",
            Self::Unit => "unit",
            Self::None => "none",
        }
    }
}

/// The rule by which a picture is resized.
///
/// The libraries differ most when pictures shrink. Pillow averages over all pixels under the new
/// one and rounds to 8 bits. TensorFlow takes the 4 or 16 pixels around its centre and does not
/// round.
///
/// | trained with | rule |
/// |---|---|
/// | Keras's `load_img` | [`Resize::Nearest`], or the rule given as `interpolation` |
/// | Keras's `image_dataset_from_directory` | [`Resize::TfBilinear`], or the rule given as `interpolation` |
/// | `tf.image.resize` | [`Resize::TfBilinear`], or the rule given as `method` |
/// | torchvision, timm | [`Resize::Bilinear`] or [`Resize::Bicubic`] |
///
/// The second and third rows usually go with TensorFlow's JPEG decoder. It rounds differently from
/// Pillow's, which is used here: by up to 4 levels. PNG files give the same pixels.
///
/// ```
/// # #[cfg(feature = "image")] {
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
/// let picture = Picture::new([1, 4], [0, 0, 100, 255].iter().flat_map(|&x| [x; 3]).collect())?;
/// let gray = |how| picture.resize([1, 1], how, Channels::Gray).map(|pixels| pixels.values()[0]);
/// assert_eq!(gray(Resize::Nearest)?, 100.0); // the pixel to the right of the centre
/// assert_eq!(gray(Resize::Bilinear)?, 82.0); // of all four, the inner ones weighing most
/// assert_eq!(gray(Resize::TfBilinear)?, 50.0); // of the two around the centre
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resize {
    /// Pillow: the pixel under the centre of the new one. The default of Keras's `load_img`.
    #[default]
    Nearest,
    /// Pillow: linear interpolation, averaging over all pixels under the new one.
    Bilinear,
    /// Pillow: cubic interpolation (a = −1/2), averaging likewise.
    Bicubic,
    /// TensorFlow: the pixel under the centre of the new one, found by f32 arithmetic.
    TfNearest,
    /// TensorFlow without `antialias`: linear interpolation of the 2×2 pixels around the centre of
    /// the new one.
    TfBilinear,
    /// TensorFlow without `antialias`: cubic interpolation (a = −1/2) of the 4×4 pixels around the
    /// centre of the new one, with coordinates rounded to 1/1024. Values may exceed 0 to 255.
    TfBicubic,
}

impl Resize {
    /// All rules.
    ///
    /// ```
    /// # use sepconv::weights::Resize;
    /// assert_eq!(Resize::ALL[0], Resize::default());
    /// ```
    pub const ALL: [Self; 6] = [
        Self::Nearest,
        Self::Bilinear,
        Self::Bicubic,
        Self::TfNearest,
        Self::TfBilinear,
        Self::TfBicubic,
    ];

    /// The name on the command line.
    ///
    /// ```
    /// # use sepconv::weights::Resize;
    /// assert_eq!(Resize::TfBilinear.name(), "tf-bilinear");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::TfNearest => "tf-nearest",
            Self::TfBilinear => "tf-bilinear",
            Self::TfBicubic => "tf-bicubic",
        }
    }
}

/// The middle of a picture, as timm cuts it out for validation.
///
/// ```
/// # use sepconv::{models::*, weights::*};
/// let network = timm(&TimmConfig::new("mobilenetv2_100")?)?;
/// let crop = Model::new(network, Weights::default()).metadata.crop;
/// assert_eq!(crop, Some(Crop { share: 0.875, squash: false })); // 224 of 256 pixels
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// The side of the input ÷ the shorter side of the resized picture, above 0 and at most 1:
    /// timm's `crop_pct`.
    pub share: f64,
    /// Whether the picture is resized without keeping its proportions: timm's `crop_mode`
    /// `squash`.
    pub squash: bool,
}

/// A function that turns logits into probabilities.
///
/// ```
/// # use sepconv::weights::*;
/// # use sepconv::network::*;
/// let mut network = Network::new("small", "input", [Some(1); 2], 3);
/// let logits = network.output();
/// let probabilities = network.push("probabilities", Link::Softmax.op(), &[logits])?;
/// assert_eq!(network.kind(probabilities), OutputKind::Softmax { logits });
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// For classes that exclude each other: probabilities sum to 1.
    Softmax,
    /// For independent classes.
    Sigmoid,
}

impl Link {
    /// The operation that computes it in a network.
    ///
    /// ```
    /// # use sepconv::{kernels::Activation, network::*, weights::*};
    /// assert_eq!(Link::Softmax.op(), Op::Softmax);
    /// assert_eq!(Link::Sigmoid.op(), Op::Activation(Activation::Sigmoid));
    /// ```
    pub fn op(self) -> Op {
        match self {
            Self::Softmax => Op::Softmax,
            Self::Sigmoid => Op::Activation(Activation::Sigmoid),
        }
    }

    /// What so many outputs usually have: one a sigmoid, more a softmax.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// assert_eq!([1, 2].map(Link::usual), [Link::Sigmoid, Link::Softmax]);
    /// ```
    pub fn usual(outputs: usize) -> Self {
        if outputs == 1 { Self::Sigmoid } else { Self::Softmax }
    }
}

/// The scaling of pictures, as `network` and the names of its models show it.
pub(crate) fn scaling<'a>(
    network: &Network,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<(Scaling, String)> {
    let inside = scaling_inside(network)
        .map(|(scaling, node)| (scaling, format!("as {node:?} inside the model scales it")));
    inside.or_else(|| names.into_iter().find_map(scaling_of_name))
}

/// The scaling that the model expects because it does the rest itself, and the node that does the
/// rest.
fn scaling_inside(network: &Network) -> Option<(Scaling, &str)> {
    let mut node = NodeId::FIRST;
    let (mut factor, mut summand, mut last) = (1.0, 0.0, None);
    loop {
        let mut users = (network.nodes().iter().enumerate())
            .filter(|(_, user)| user.inputs.contains(&node))
            .map(|(i, _)| NodeId(i));
        let (Some(user), None) = (users.next(), users.next()) else {
            break;
        };
        match &network.node(user).op {
            Op::Identity
            | Op::Resize { .. }
            | Op::CenterCrop { .. }
            | Op::Crop(_)
            | Op::ZeroPad(_) => {}
            Op::Rescale { scale, offset } => {
                let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
                factor *= mean(scale);
                summand = summand * mean(scale) + mean(offset);
                last = Some(network.node(user).name.as_str());
            }
            _ => break,
        }
        node = user;
    }
    let name = last?;
    // Try which inputs give results of the size that networks take: a few units, or pixels minus a
    // mean. Mode `torch` divides by 0.225 · 255.
    let scaling = if factor.abs() <= 8.0 / 255.0 || (factor == 1.0 && summand.abs() > 64.0) {
        Scaling::None
    } else if factor.abs() > 1.0 {
        Scaling::Unit
    } else {
        return None;
    };
    Some((scaling, name))
}

/// timm's Xceptions.
const XCEPTIONS: [&str; 4] = ["legacy_xception", "xception41", "xception65", "xception71"];

/// The scaling of a network of Keras Applications or timm, by its name.
fn scaling_of_name(name: &str) -> Option<(Scaling, String)> {
    const NAMES: [(Scaling, &[&str]); 3] = [
        (
            Scaling::Tf,
            &[
                "xception",
                "inception_v3",
                "inception_resnet_v2",
                "mobilenet",
                "mobilenetv2",
                "nasnet",
                "nasnet_mobile",
                "nasnet_large",
                "resnet50v2",
                "resnet101v2",
                "resnet152v2",
            ],
        ),
        (Scaling::Caffe, &["vgg16", "vgg19", "resnet50", "resnet101", "resnet152"]),
        (Scaling::Torch, &["densenet121", "densenet169", "densenet201"]),
    ];
    let name = name.to_ascii_lowercase();
    let of_timm = pretrained(&name).map(|known| known.half);
    if let Some(half) = of_timm.or_else(|| XCEPTIONS.contains(&name.as_str()).then_some(true)) {
        let scaling = if half { Scaling::Tf } else { Scaling::Torch };
        return Some((scaling, format!("as timm's {name}")));
    }
    // The names of MobileNets end in width and size: mobilenet_1.00_224.
    let is = |known: &str| {
        name.strip_prefix(known).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('_').is_some_and(|r| r.starts_with(char::is_numeric))
        })
    };
    let (scaling, known) = NAMES.iter().find_map(|(scaling, known)| {
        known.iter().find(|known| is(known)).map(|known| (*scaling, *known))
    })?;
    Some((scaling, format!("as Keras's {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(ops: &[(f64, f64)]) -> Option<Scaling> {
        let mut network = Network::new("model", "input", [None; 2], 3);
        for (i, &(scale, offset)) in ops.iter().enumerate() {
            let op = Op::Rescale { scale: vec![scale], offset: vec![offset] };
            network.push(&format!("{i}"), op, &[network.output()]).unwrap();
        }
        network.push("softmax", Op::Softmax, &[network.output()]).unwrap();
        scaling(&network, []).map(|(scaling, _)| scaling)
    }

    #[test]
    fn what_is_inside_says_what_goes_in() {
        assert_eq!(inside(&[]), None);
        assert_eq!(inside(&[(1.0 / 127.5, -1.0)]), Some(Scaling::None));
        assert_eq!(inside(&[(1.0 / 127.5, 0.0), (1.0, -1.0)]), Some(Scaling::None));
        assert_eq!(inside(&[(1.0 / 255.0, 0.0), (4.4, -2.0)]), Some(Scaling::None));
        assert_eq!(inside(&[(1.0, -117.0)]), Some(Scaling::None));
        assert_eq!(inside(&[(2.0, -1.0)]), Some(Scaling::Unit));
        assert_eq!(inside(&[(0.5, 0.5)]), None);
    }

    #[test]
    fn names_of_keras_applications() {
        let of = |name| scaling_of_name(name).map(|(scaling, _)| scaling);
        assert_eq!(of("mobilenet_1.00_224"), Some(Scaling::Tf));
        assert_eq!(of("Xception"), Some(Scaling::Tf));
        assert_eq!(of("resnet50"), Some(Scaling::Caffe));
        assert_eq!(of("resnet50v2"), Some(Scaling::Tf));
        assert_eq!(of("xception_small"), None);
        assert_eq!(of("mobilenetv3"), None);
        assert_eq!(of("mobilenetv2_1.00_224"), Some(Scaling::Tf));
        assert_eq!(of("mobilenetv2_100"), Some(Scaling::Torch)); // timm's
        assert_eq!(of("tf_mobilenetv3_small_100"), Some(Scaling::Tf));
    }
}
