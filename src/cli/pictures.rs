//! Turns pictures into a network's input: `--resize`, `--crop`, `--apply-orientation`,
//! `--preprocess`, `--mean` and `--std`.

use std::path::Path;

use clap::ValueEnum;
use sepconv::image::{Channels, Crop, Picture, Preprocess, Resize, Scaling};
use sepconv::weights::Metadata;

/// How to turn pictures into a network's input.
#[derive(clap::Args)]
pub(super) struct Pictures {
    /// How to resize pictures: use what the model was trained with [default: as the file says, or
    /// nearest]
    #[arg(long, value_enum, value_name = "HOW")]
    resize: Option<ResizeArg>,
    /// Keep the proportions of pictures, and use their middle: the input's side ÷ that to which the
    /// picture's shorter one is resized (timm's crop_pct); 0 for all of it, without proportions
    /// [default: as the file says, or 0]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    crop: Option<f64>,
    /// Rotate pictures as their EXIF data says. Keras, TensorFlow and torchvision don't
    #[arg(long)]
    apply_orientation: bool,
    /// How to scale pixels x (0 to 255): use what the model was trained with
    #[arg(long, value_enum, value_name = "MODE")]
    preprocess: Option<ModeArg>,
    /// Subtract these from red, green and blue, or one number from all
    ///
    /// Applies to x / 255, as torchvision's Normalize does, or to x with `--preprocess none`.
    #[arg(long, value_name = "R,G,B", value_parser = parse_numbers, allow_hyphen_values = true)]
    mean: Option<Numbers>,
    /// Divide by these after --mean is subtracted
    #[arg(long, value_name = "R,G,B", value_parser = parse_numbers, allow_hyphen_values = true)]
    std: Option<Numbers>,
}

/// How pictures become a network's input.
pub(super) struct Chosen {
    pub(super) preprocess: Preprocess,
    /// Where the scaling is from.
    pub(super) why: String,
    pub(super) resize: Resize,
    /// The part that is used; None for all.
    pub(super) crop: Option<Crop>,
}

impl Chosen {
    /// Says it in a file.
    pub(super) fn store(self, metadata: &mut Metadata) {
        let [mean, std] = self.preprocess.numbers().map(<[f32]>::to_vec);
        (metadata.mean, metadata.std, metadata.resize) = (mean, std, Some(self.resize));
        metadata.crop = self.crop;
        metadata.scaling = Some((self.preprocess.scaling(), self.why));
    }
}

impl Pictures {
    /// What the options request, or else the file says, or else is usual.
    pub(super) fn chosen(&self, metadata: &Metadata) -> sepconv::Result<Chosen> {
        let resize = self.resize.map(Resize::from).or(metadata.resize).unwrap_or_default();
        let crop = match self.crop {
            None => metadata.crop,
            Some(share) => (share > 0.0).then_some(Crop { share, squash: false }),
        };
        let numbers = |numbers: &Option<Numbers>| numbers.clone().unwrap_or_default().0;
        let (mean, std) = (numbers(&self.mean), numbers(&self.std));
        let (preprocess, why) = match self.preprocess {
            None if mean.is_empty() && std.is_empty() => {
                let (preprocess, mut why) = Preprocess::of(metadata)?;
                if metadata.scaling.is_none() {
                    why.push_str("; --preprocess changes it");
                }
                (preprocess, why)
            }
            mode => {
                let mode = mode.map_or(Scaling::Unit, Scaling::from);
                (Preprocess::normalized(mode, &mean, &std)?, "as requested".into())
            }
        };
        Ok(Chosen { preprocess, why, resize, crop })
    }

    /// Reads a picture as a network's input of `size` \[height, width\], with a warning if it is
    /// damaged.
    pub(super) fn read(
        &self,
        path: &Path,
        size: [usize; 2],
        channels: Channels,
        chosen: &Chosen,
    ) -> sepconv::Result<(Vec<f32>, Option<String>)> {
        let decoded = Picture::read(path)?;
        let picture = match self.apply_orientation {
            true => decoded.picture.upright(decoded.orientation),
            false => decoded.picture,
        };
        let pixels = match chosen.crop {
            Some(crop) => picture.crop(size, crop, chosen.resize, channels)?,
            None => picture.resize(size, chosen.resize, channels)?,
        };
        let warning = decoded.warning.map(|warning| format!("{}: {warning}", path.display()));
        Ok((chosen.preprocess.apply(pixels)?, warning))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ResizeArg {
    /// Pillow: the default of Keras's load_img
    Nearest,
    /// Pillow: torchvision, timm, Keras's load_img with interpolation="bilinear"
    Bilinear,
    /// Pillow: timm, Keras's load_img with interpolation="bicubic"
    Bicubic,
    /// TensorFlow: tf.image.resize with method="nearest"
    TfNearest,
    /// TensorFlow: the default of image_dataset_from_directory and tf.image.resize
    TfBilinear,
    /// TensorFlow: the same functions with "bicubic"
    TfBicubic,
}

impl From<ResizeArg> for Resize {
    fn from(arg: ResizeArg) -> Self {
        match arg {
            ResizeArg::Nearest => Self::Nearest,
            ResizeArg::Bilinear => Self::Bilinear,
            ResizeArg::Bicubic => Self::Bicubic,
            ResizeArg::TfNearest => Self::TfNearest,
            ResizeArg::TfBilinear => Self::TfBilinear,
            ResizeArg::TfBicubic => Self::TfBicubic,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    /// x / 127.5 − 1: Keras's Xception, Inception, MobileNet
    Tf,
    /// (x / 255 − mean) / standard deviation of ImageNet: PyTorch, Keras's DenseNet
    Torch,
    /// x − mean of ImageNet, as blue, green, red: Keras's VGG and ResNet
    Caffe,
    /// x / 255: Keras's Rescaling(1/255) in front of the model
    Unit,
    /// x: the model scales pixels itself
    None,
}

impl From<ModeArg> for Scaling {
    fn from(arg: ModeArg) -> Self {
        match arg {
            ModeArg::Tf => Self::Tf,
            ModeArg::Torch => Self::Torch,
            ModeArg::Caffe => Self::Caffe,
            ModeArg::Unit => Self::Unit,
            ModeArg::None => Self::None,
        }
    }
}

/// A list separated by commas in one word, unlike clap's lists.
#[derive(Clone, Default)]
struct Numbers(Vec<f32>);

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1, such as 0.875".into())
}

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|word| word.trim().parse()).collect();
    match numbers {
        Ok(numbers) if matches!(numbers.len(), 1 | 3) => Ok(Numbers(numbers)),
        _ => {
            Err("expected one number, or three separated by commas, such as 0.485,0.456,0.406"
                .into())
        }
    }
}
