//! Models by name.

use std::str::FromStr;

use super::{
    AlignedXceptionConfig, Flavour, InceptionV3Config, MobileNetConfig, TimmConfig, XceptionConfig,
    aligned_xception, inception_v3, mobilenet, timm, timm_names, xception,
};
use crate::network::Network;
use crate::{Error, Result};

/// A model with its published parameters, by the name that the command line and the Python package
/// take: `xception`, `xception-without-residuals`, `legacy-xception`, `xception41`, `xception65`,
/// `xception71`, `inception-v3`, `mobilenet`, `mobilenet-WIDTH`, and those of
/// [`timm_names`](super::timm_names).
///
/// ```
/// # use sepconv::models::*;
/// let name: ModelName = "mobilenet-0.25".parse()?;
/// assert_eq!(name, ModelName::MobileNet(0.25));
/// assert_eq!(name.network()?.shapes([1, 224, 224, 3])?.last(), Some(&[1, 1, 1, 1000]));
/// let error = "mobilenet-v9".parse::<ModelName>().unwrap_err();
/// assert!(error.to_string().starts_with("the closest are mobilenet, "));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ModelName {
    /// Keras's.
    Xception,
    /// Without residual connections: the paper's Figure 9.
    XceptionWithoutResiduals,
    /// Trained by timm.
    LegacyXception,
    /// timm's Aligned Xception-41.
    Xception41,
    /// timm's Aligned Xception-65.
    Xception65,
    /// timm's Aligned Xception-71.
    Xception71,
    /// Keras's.
    InceptionV3,
    /// Keras's MobileNet of this width.
    MobileNet(f64),
    /// One of [`timm_names`](super::timm_names).
    Timm(&'static str),
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "xception" => Self::Xception,
            "xception-without-residuals" => Self::XceptionWithoutResiduals,
            "legacy-xception" => Self::LegacyXception,
            "xception41" => Self::Xception41,
            "xception65" => Self::Xception65,
            "xception71" => Self::Xception71,
            "inception-v3" => Self::InceptionV3,
            "mobilenet" => Self::MobileNet(1.0),
            _ => {
                let width = text.strip_prefix("mobilenet-").and_then(|width| width.parse().ok());
                let of_timm = || timm_names().find(|&name| name == text).map(Self::Timm);
                width.map(Self::MobileNet).or_else(of_timm).ok_or_else(|| unknown(text))?
            }
        })
    }
}

/// Keras's names, and those of timm's family of Xception.
const NAMES: [&str; 9] = [
    "xception",
    "inception-v3",
    "mobilenet",
    "mobilenet-WIDTH",
    "legacy-xception",
    "xception41",
    "xception65",
    "xception71",
    "xception-without-residuals",
];

/// What to say of a name that no model has.
fn unknown(text: &str) -> Error {
    let all: Vec<&str> = NAMES.into_iter().chain(timm_names()).collect();
    let mut near = all.clone();
    near.sort_by_key(|name| edits(text, name));
    let (near, all) = (near[..3].join(", "), all.join(", "));
    Error::Argument { message: format!("the closest are {near}; expected one of {all}") }
}

/// The least number of characters to insert, remove or replace that make one text the other
/// (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // From a's beginning to each beginning of b.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl ModelName {
    /// The network, for pictures of any size where the architecture allows it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the width of a MobileNet makes no sense.
    pub fn network(self) -> Result<Network> {
        match self {
            Self::Xception => xception(&XceptionConfig::default()),
            Self::XceptionWithoutResiduals => {
                xception(&XceptionConfig { residuals: false, ..XceptionConfig::default() })
            }
            Self::LegacyXception => {
                xception(&XceptionConfig { flavour: Flavour::Timm, ..XceptionConfig::default() })
            }
            Self::Xception41 => aligned_xception(&AlignedXceptionConfig::xception41()),
            Self::Xception65 => aligned_xception(&AlignedXceptionConfig::xception65()),
            Self::Xception71 => aligned_xception(&AlignedXceptionConfig::xception71()),
            Self::InceptionV3 => inception_v3(&InceptionV3Config::default()),
            Self::MobileNet(alpha) => {
                mobilenet(&MobileNetConfig { alpha, ..MobileNetConfig::default() })
            }
            Self::Timm(name) => timm(&TimmConfig::new(name)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{edits, unknown};

    #[test]
    fn the_closest_names_come_first() {
        for (a, b, count) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(a, b), count, "{a:?}, {b:?}");
        }
        assert!(unknown("exception").to_string().starts_with("the closest are xception, "));
        assert!(
            unknown("mobilenetv2")
                .to_string()
                .starts_with("the closest are mobilenet, mobilenetv2_0")
        );
    }
}
