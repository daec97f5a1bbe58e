//! timm's networks of inverted residuals, ConvNeXts and GhostNets, with the names of its modules.
//!
//! Tables describe all of them: `table.rs` has a row for each network, with the family that it
//! scales, and the family's file has the blocks.

mod block;
mod convnext;
mod ghostnet;
mod inverted;
mod layers;
mod table;

use self::layers::Layers;
use self::table::{Description, Pretrained, TABLE};
use crate::network::Network;
use crate::{Error, Result};

/// The parameters of a network of timm.
///
/// ```
/// # use sepconv::models::*;
/// let config = TimmConfig { classes: Some(10), ..TimmConfig::new("mobilenetv3_small_100")? };
/// let network = timm(&config)?;
/// assert_eq!(network.shapes([1, 224, 224, 3])?.last(), Some(&[1, 1, 1, 10]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimmConfig {
    /// timm's name, one of [`timm_names`].
    pub name: String,
    /// Input height and width; `None` leaves one open. At least 1.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// Outputs of the dense layer at the end. If `None`, the output is the vector before it, as
    /// with timm's `num_classes=0`.
    pub classes: Option<usize>,
}

impl TimmConfig {
    /// The network as timm makes it by default: its input size, 3 channels, 1000 classes.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// assert_eq!(TimmConfig::new("tf_efficientnet_b1")?.size, [Some(240); 2]);
    /// let error = TimmConfig::new("resnet50").unwrap_err().to_string();
    /// assert!(error.starts_with("\"resnet50\" is none of timm's networks that are known: "));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if the name is not known, with those that are.
    pub fn new(name: &str) -> Result<Self> {
        let size = [Some(find(name)?.pretrained.size); 2];
        Ok(Self { name: name.into(), size, channels: 3, classes: Some(1000) })
    }
}

/// timm's names of the networks that [`timm`] builds.
///
/// ```
/// # use sepconv::models::*;
/// assert!(timm_names().any(|name| name == "convnext_atto"));
/// ```
pub fn timm_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

/// Builds one of timm's networks: MobileNetV2 and V3, MnasNet, EfficientNet, Lite and V2, also
/// those of TensorFlow's padding and ε (`tf_`), ConvNeXt, and GhostNet.
///
/// Nodes have the names of timm's modules, such as `blocks.1.0.conv_dw`. The activation of a norm
/// is `bn1.act`, and the sum of a block has the block's name, `blocks.1.1`. The output is the dense
/// layer, the logits.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::weights::count_parameters;
/// let network = timm(&TimmConfig::new("mobilenetv2_100")?)?;
/// assert_eq!(network.node(network.output()).name, "classifier");
/// assert!(network.find("blocks.1.1.conv_dw").is_some());
/// assert_eq!(count_parameters(&network)?.trainable, 3_504_872); // as timm says
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if the name is not known, or a size, the channels or the classes are 0.
pub fn timm(config: &TimmConfig) -> Result<Network> {
    let row = find(&config.name)?;
    let extents = [config.channels, config.classes.unwrap_or(1)];
    if extents.iter().chain(config.size.iter().flatten()).any(|&extent| extent == 0) {
        let message = format!("{}: expected sizes, channels and classes of at least 1", row.name);
        return Err(Error::Argument { message });
    }
    let network = Network::new(row.name, "input", config.size, config.channels);
    let mut layers = Layers::new(network, row.name.starts_with("tf_"));
    match row.description {
        Description::Inverted { family, width, depth, fixed } => {
            inverted::Scaled { family, width, depth, fixed }.build(&mut layers, config.classes)?;
        }
        Description::ConvNext(shape) => convnext::build(&shape, &mut layers, config.classes)?,
        Description::GhostNet { width } => ghostnet::build(width, &mut layers, config.classes)?,
    }
    Ok(layers.network)
}

/// The names of the networks that have so many blocks.
#[cfg(feature = "safetensors")]
pub(crate) fn timm_of_blocks(blocks: usize) -> impl Iterator<Item = &'static str> {
    let count = move |row: &&table::Row| match &row.description {
        Description::Inverted { family, width, depth, fixed } => {
            let scaled = inverted::Scaled { family, width: *width, depth: *depth, fixed: *fixed };
            scaled.blocks() == blocks
        }
        Description::ConvNext(shape) => shape.blocks() == blocks,
        Description::GhostNet { .. } => ghostnet::blocks() == blocks,
    };
    TABLE.iter().filter(count).map(|row| row.name)
}

/// How pictures become the input of a network that timm has trained.
pub(crate) fn pretrained(name: &str) -> Option<&'static Pretrained> {
    TABLE.iter().find(|row| row.name == name).map(|row| &row.pretrained)
}

fn find(name: &str) -> Result<&'static table::Row> {
    TABLE.iter().find(|row| row.name == name).ok_or_else(|| {
        let names: Vec<_> = timm_names().collect();
        let names = names.join(", ");
        let message = format!("{name:?} is none of timm's networks that are known: {names}");
        Error::Argument { message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::count_parameters;

    #[test]
    fn parameter_counts_are_timms() {
        let counts = [
            ("mobilenetv2_035", 1_677_128),
            ("mobilenetv2_050", 1_968_680),
            ("mobilenetv2_075", 2_636_424),
            ("mobilenetv2_100", 3_504_872),
            ("mobilenetv2_110d", 4_516_520),
            ("mobilenetv2_120d", 5_831_144),
            ("mobilenetv2_140", 6_108_776),
            ("mobilenetv3_large_075", 3_993_528),
            ("mobilenetv3_large_100", 5_483_032),
            ("mobilenetv3_large_150d", 14_622_320),
            ("mobilenetv3_small_050", 1_593_224),
            ("mobilenetv3_small_075", 2_041_872),
            ("mobilenetv3_small_100", 2_542_856),
            ("tf_mobilenetv3_large_075", 3_993_528),
            ("tf_mobilenetv3_large_100", 5_483_032),
            ("tf_mobilenetv3_large_minimal_100", 3_924_288),
            ("tf_mobilenetv3_small_075", 2_041_872),
            ("tf_mobilenetv3_small_100", 2_542_856),
            ("tf_mobilenetv3_small_minimal_100", 2_044_736),
            ("efficientnet_b0", 5_288_548),
            ("efficientnet_b1", 7_794_184),
            ("efficientnet_b2", 9_109_994),
            ("efficientnet_b3", 12_233_232),
            ("efficientnet_b4", 19_341_616),
            ("tf_efficientnet_b0", 5_288_548),
            ("tf_efficientnet_b1", 7_794_184),
            ("tf_efficientnet_b2", 9_109_994),
            ("tf_efficientnet_b3", 12_233_232),
            ("tf_efficientnet_b4", 19_341_616),
            ("efficientnet_lite0", 4_652_008),
            ("efficientnet_lite1", 5_416_680),
            ("efficientnet_lite2", 6_092_072),
            ("efficientnet_lite3", 8_197_096),
            ("efficientnet_lite4", 13_006_568),
            ("tf_efficientnet_lite0", 4_652_008),
            ("tf_efficientnet_lite1", 5_416_680),
            ("tf_efficientnet_lite2", 6_092_072),
            ("tf_efficientnet_lite3", 8_197_096),
            ("tf_efficientnet_lite4", 13_006_568),
            ("tf_efficientnetv2_b0", 7_139_704),
            ("tf_efficientnetv2_b1", 8_141_052),
            ("tf_efficientnetv2_b2", 10_096_086),
            ("tf_efficientnetv2_b3", 14_358_406),
            ("efficientnetv2_s", 21_458_488),
            ("tf_efficientnetv2_s", 21_458_488),
            ("mnasnet_050", 2_218_512),
            ("mnasnet_075", 3_170_208),
            ("mnasnet_100", 4_383_312),
            ("mnasnet_140", 7_115_728),
            ("semnasnet_050", 2_082_006),
            ("semnasnet_075", 2_912_278),
            ("semnasnet_100", 3_887_038),
            ("semnasnet_140", 6_105_992),
            ("mnasnet_small", 2_030_264),
            ("convnext_atto", 3_695_520),
            ("convnext_atto_ols", 3_702_912),
            ("convnext_femto", 5_217_784),
            ("convnext_femto_ols", 5_226_520),
            ("convnext_pico", 9_045_672),
            ("convnext_pico_ols", 9_061_928),
            ("convnext_nano", 15_593_560),
            ("convnext_nano_ols", 15_649_560),
            ("convnext_tiny", 28_589_128),
            ("convnext_tiny_hnf", 28_589_128),
            ("convnext_small", 50_223_688),
            ("ghostnet_050", 2_587_292),
            ("ghostnet_100", 5_182_508),
            ("ghostnet_130", 7_358_820),
        ];
        assert_eq!(counts.map(|(name, _)| name).to_vec(), timm_names().collect::<Vec<_>>());
        for (name, trainable) in counts {
            let network = timm(&TimmConfig::new(name).unwrap()).unwrap();
            assert_eq!(count_parameters(&network).unwrap().trainable, trainable, "{name}");
        }
    }

    #[test]
    fn refusals() {
        let full = TimmConfig::new("mobilenetv2_035").unwrap();
        for bad in [
            TimmConfig { size: [Some(0), None], ..full.clone() },
            TimmConfig { channels: 0, ..full.clone() },
            TimmConfig { classes: Some(0), ..full.clone() },
        ] {
            assert!(timm(&bad).unwrap_err().to_string().contains("at least 1"), "{bad:?}");
        }
        let unknown = TimmConfig { name: "mobilenetv2".into(), ..full };
        assert!(timm(&unknown).unwrap_err().to_string().contains("mobilenetv2_035, "));
    }
}
