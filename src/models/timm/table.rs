//! A row for each network of timm: its family, how it scales it, and how timm's first weights for
//! it want their pictures (`pretrained_cfg`).

use super::convnext::{ATTO, FEMTO, NANO, PICO, SMALL, Shape, Stem, TINY};
use super::inverted::{
    EFFICIENTNET, EFFICIENTNET_LITE, EFFICIENTNET_V2_B, EFFICIENTNET_V2_S, Family, MNASNET_A1,
    MNASNET_B1, MNASNET_SMALL, MOBILENET_V2, MOBILENET_V3_LARGE, MOBILENET_V3_LARGE_MINIMAL,
    MOBILENET_V3_SMALL, MOBILENET_V3_SMALL_MINIMAL,
};

/// A network.
pub(super) struct Row {
    /// timm's name. Networks that start with `tf_` pad as TensorFlow does, with its ε.
    pub(super) name: &'static str,
    pub(super) description: Description,
    pub(super) pretrained: Pretrained,
}

/// What a network is made of.
pub(super) enum Description {
    Inverted {
        family: &'static Family,
        /// Channels ÷ those of the family.
        width: f64,
        /// Blocks of each stage ÷ those of the family.
        depth: f64,
        /// Whether stem, head, and the depth of the first and last stage are not scaled.
        fixed: bool,
    },
    ConvNext(Shape),
    GhostNet {
        /// Channels ÷ those of the table.
        width: f64,
    },
}

/// How pictures become the input of a trained network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pretrained {
    /// The side of the input.
    pub(crate) size: usize,
    /// The side of the input ÷ that to which the picture's shorter one is resized before.
    pub(crate) crop: f64,
    /// Whether the picture loses its proportions before it is cropped.
    pub(crate) squash: bool,
    /// Whether mean and standard deviation are 0.5, not ImageNet's.
    pub(crate) half: bool,
    /// Whether pictures are resized bilinearly, not bicubically.
    pub(crate) bilinear: bool,
}

impl Pretrained {
    const fn size(self, size: usize, crop: f64) -> Self {
        Self { size, crop, ..self }
    }

    const fn half(self) -> Self {
        Self { half: true, ..self }
    }

    const fn bilinear(self) -> Self {
        Self { bilinear: true, ..self }
    }

    const fn squash(self) -> Self {
        Self { squash: true, ..self }
    }
}

const IMAGENET: Pretrained =
    Pretrained { size: 224, crop: 0.875, squash: false, half: false, bilinear: false };

const fn row(name: &'static str, description: Description, pretrained: Pretrained) -> Row {
    Row { name, description, pretrained }
}

const fn scaled(family: &'static Family, width: f64, depth: f64) -> Description {
    Description::Inverted { family, width, depth, fixed: false }
}

const fn fixed(family: &'static Family, width: f64, depth: f64) -> Description {
    Description::Inverted { family, width, depth, fixed: true }
}

const fn convnext(shape: Shape) -> Description {
    Description::ConvNext(shape)
}

const fn ghostnet(width: f64) -> Description {
    Description::GhostNet { width }
}

/// All of them. Of networks with the same tensors, the first is taken where only they tell.
pub(super) static TABLE: &[Row] = &[
    row("mobilenetv2_035", scaled(&MOBILENET_V2, 0.35, 1.0), IMAGENET),
    row("mobilenetv2_050", scaled(&MOBILENET_V2, 0.5, 1.0), IMAGENET),
    row("mobilenetv2_075", scaled(&MOBILENET_V2, 0.75, 1.0), IMAGENET),
    row("mobilenetv2_100", scaled(&MOBILENET_V2, 1.0, 1.0), IMAGENET),
    row("mobilenetv2_110d", fixed(&MOBILENET_V2, 1.1, 1.2), IMAGENET),
    row("mobilenetv2_120d", fixed(&MOBILENET_V2, 1.2, 1.4), IMAGENET),
    row("mobilenetv2_140", scaled(&MOBILENET_V2, 1.4, 1.0), IMAGENET),
    row("mobilenetv3_large_075", scaled(&MOBILENET_V3_LARGE, 0.75, 1.0), IMAGENET.bilinear()),
    row("mobilenetv3_large_100", scaled(&MOBILENET_V3_LARGE, 1.0, 1.0), IMAGENET),
    row(
        "mobilenetv3_large_150d",
        scaled(&MOBILENET_V3_LARGE, 1.5, 1.2),
        IMAGENET.size(256, 0.95).half().bilinear(),
    ),
    row("mobilenetv3_small_050", fixed(&MOBILENET_V3_SMALL, 0.5, 1.0), IMAGENET),
    row("mobilenetv3_small_075", scaled(&MOBILENET_V3_SMALL, 0.75, 1.0), IMAGENET),
    row("mobilenetv3_small_100", scaled(&MOBILENET_V3_SMALL, 1.0, 1.0), IMAGENET),
    row(
        "tf_mobilenetv3_large_075",
        scaled(&MOBILENET_V3_LARGE, 0.75, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row(
        "tf_mobilenetv3_large_100",
        scaled(&MOBILENET_V3_LARGE, 1.0, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row(
        "tf_mobilenetv3_large_minimal_100",
        scaled(&MOBILENET_V3_LARGE_MINIMAL, 1.0, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row(
        "tf_mobilenetv3_small_075",
        scaled(&MOBILENET_V3_SMALL, 0.75, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row(
        "tf_mobilenetv3_small_100",
        scaled(&MOBILENET_V3_SMALL, 1.0, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row(
        "tf_mobilenetv3_small_minimal_100",
        scaled(&MOBILENET_V3_SMALL_MINIMAL, 1.0, 1.0),
        IMAGENET.half().bilinear(),
    ),
    row("efficientnet_b0", scaled(&EFFICIENTNET, 1.0, 1.0), IMAGENET),
    row("efficientnet_b1", scaled(&EFFICIENTNET, 1.0, 1.1), IMAGENET.size(240, 0.9).half()),
    row("efficientnet_b2", scaled(&EFFICIENTNET, 1.1, 1.2), IMAGENET.size(256, 0.875)),
    row("efficientnet_b3", scaled(&EFFICIENTNET, 1.2, 1.4), IMAGENET.size(288, 0.875)),
    row("efficientnet_b4", scaled(&EFFICIENTNET, 1.4, 1.8), IMAGENET.size(320, 0.875)),
    row("tf_efficientnet_b0", scaled(&EFFICIENTNET, 1.0, 1.0), IMAGENET),
    row("tf_efficientnet_b1", scaled(&EFFICIENTNET, 1.0, 1.1), IMAGENET.size(240, 0.882)),
    row("tf_efficientnet_b2", scaled(&EFFICIENTNET, 1.1, 1.2), IMAGENET.size(260, 0.89)),
    row("tf_efficientnet_b3", scaled(&EFFICIENTNET, 1.2, 1.4), IMAGENET.size(300, 0.904)),
    row("tf_efficientnet_b4", scaled(&EFFICIENTNET, 1.4, 1.8), IMAGENET.size(380, 0.922)),
    row("efficientnet_lite0", fixed(&EFFICIENTNET_LITE, 1.0, 1.0), IMAGENET),
    row("efficientnet_lite1", fixed(&EFFICIENTNET_LITE, 1.0, 1.1), IMAGENET.size(240, 0.882)),
    row("efficientnet_lite2", fixed(&EFFICIENTNET_LITE, 1.1, 1.2), IMAGENET.size(260, 0.89)),
    row("efficientnet_lite3", fixed(&EFFICIENTNET_LITE, 1.2, 1.4), IMAGENET.size(300, 0.904)),
    row("efficientnet_lite4", fixed(&EFFICIENTNET_LITE, 1.4, 1.8), IMAGENET.size(380, 0.922)),
    row("tf_efficientnet_lite0", fixed(&EFFICIENTNET_LITE, 1.0, 1.0), IMAGENET.half()),
    row(
        "tf_efficientnet_lite1",
        fixed(&EFFICIENTNET_LITE, 1.0, 1.1),
        IMAGENET.size(240, 0.882).half(),
    ),
    row(
        "tf_efficientnet_lite2",
        fixed(&EFFICIENTNET_LITE, 1.1, 1.2),
        IMAGENET.size(260, 0.89).half(),
    ),
    row(
        "tf_efficientnet_lite3",
        fixed(&EFFICIENTNET_LITE, 1.2, 1.4),
        IMAGENET.size(300, 0.904).half().bilinear(),
    ),
    row(
        "tf_efficientnet_lite4",
        fixed(&EFFICIENTNET_LITE, 1.4, 1.8),
        IMAGENET.size(380, 0.92).half().bilinear(),
    ),
    row("tf_efficientnetv2_b0", scaled(&EFFICIENTNET_V2_B, 1.0, 1.0), IMAGENET.size(192, 0.875)),
    row("tf_efficientnetv2_b1", scaled(&EFFICIENTNET_V2_B, 1.0, 1.1), IMAGENET.size(192, 0.882)),
    row("tf_efficientnetv2_b2", scaled(&EFFICIENTNET_V2_B, 1.1, 1.2), IMAGENET.size(208, 0.89)),
    row(
        "tf_efficientnetv2_b3",
        scaled(&EFFICIENTNET_V2_B, 1.2, 1.4),
        IMAGENET.size(240, 0.9).half().squash(),
    ),
    row("efficientnetv2_s", scaled(&EFFICIENTNET_V2_S, 1.0, 1.0), IMAGENET.size(288, 1.0)),
    row(
        "tf_efficientnetv2_s",
        scaled(&EFFICIENTNET_V2_S, 1.0, 1.0),
        IMAGENET.size(300, 1.0).half(),
    ),
    row("mnasnet_050", scaled(&MNASNET_B1, 0.5, 1.0), IMAGENET),
    row("mnasnet_075", scaled(&MNASNET_B1, 0.75, 1.0), IMAGENET),
    row("mnasnet_100", scaled(&MNASNET_B1, 1.0, 1.0), IMAGENET),
    row("mnasnet_140", scaled(&MNASNET_B1, 1.4, 1.0), IMAGENET),
    row("semnasnet_050", scaled(&MNASNET_A1, 0.5, 1.0), IMAGENET),
    row("semnasnet_075", scaled(&MNASNET_A1, 0.75, 1.0), IMAGENET),
    row("semnasnet_100", scaled(&MNASNET_A1, 1.0, 1.0), IMAGENET),
    row("semnasnet_140", scaled(&MNASNET_A1, 1.4, 1.0), IMAGENET),
    row("mnasnet_small", scaled(&MNASNET_SMALL, 1.0, 1.0), IMAGENET),
    row("convnext_atto", convnext(ATTO), IMAGENET),
    row("convnext_atto_ols", convnext(ATTO.stem(Stem::Tiered)), IMAGENET),
    row("convnext_femto", convnext(FEMTO), IMAGENET),
    row("convnext_femto_ols", convnext(FEMTO.stem(Stem::Tiered)), IMAGENET),
    row("convnext_pico", convnext(PICO), IMAGENET),
    row("convnext_pico_ols", convnext(PICO.stem(Stem::Tiered)), IMAGENET.size(224, 0.95)),
    row("convnext_nano", convnext(NANO), IMAGENET.size(224, 0.95)),
    row("convnext_nano_ols", convnext(NANO.stem(Stem::Overlapping)), IMAGENET.size(224, 0.95)),
    row("convnext_tiny", convnext(TINY), IMAGENET.size(224, 0.95)),
    row("convnext_tiny_hnf", convnext(TINY.pointwise().norm_first()), IMAGENET.size(224, 0.95)),
    row("convnext_small", convnext(SMALL), IMAGENET.size(224, 0.95)),
    row("ghostnet_050", ghostnet(0.5), IMAGENET),
    row("ghostnet_100", ghostnet(1.0), IMAGENET),
    row("ghostnet_130", ghostnet(1.3), IMAGENET),
];
