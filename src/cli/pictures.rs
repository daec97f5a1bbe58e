//! Turns pictures into a network's input: `--resize`, `--crop`, `--apply-orientation`,
//! `--preprocess`, `--mean` and `--std`.

use std::path::Path;

use clap::ValueEnum;
use sepconv::image::{Channels, Crop, Picture, Resize, Scaling, Transform};
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

/// Says in a file how its pictures become the input.
pub(super) fn store(transform: Transform, metadata: &mut Metadata) {
    let [mean, std] = transform.preprocess.numbers().map(<[f32]>::to_vec);
    (metadata.mean, metadata.std, metadata.resize) = (mean, std, Some(transform.resize));
    metadata.crop = transform.crop;
    metadata.scaling = Some((transform.preprocess.scaling(), transform.why));
}

impl Pictures {
    /// What the options request, or else the file says, or else is usual.
    pub(super) fn transform(&self, metadata: &Metadata) -> sepconv::Result<Transform> {
        let mut said = metadata.clone();
        said.resize = self.resize.map(Resize::from).or(said.resize);
        if let Some(share) = self.crop {
            said.crop = (share > 0.0).then_some(Crop { share, squash: false });
        }
        if self.preprocess.is_some() || self.mean.is_some() || self.std.is_some() {
            let mode = self.preprocess.map_or(Scaling::Unit, Scaling::from);
            said.scaling = Some((mode, "as requested".into()));
            [said.mean, said.std] =
                [&self.mean, &self.std].map(|numbers| numbers.clone().unwrap_or_default().0);
        }
        let mut transform = Transform::of(&said)?;
        if said.scaling.is_none() {
            transform.why += "; --preprocess changes it";
        }
        Ok(transform)
    }

    /// Reads a picture as a network's input of `size` \[height, width\], with a warning if it is
    /// damaged.
    pub(super) fn read(
        &self,
        path: &Path,
        size: [usize; 2],
        channels: Channels,
        transform: &Transform,
    ) -> sepconv::Result<(Vec<f32>, Option<String>)> {
        let decoded = Picture::read(path)?;
        let picture = match self.apply_orientation {
            true => decoded.picture.upright(decoded.orientation),
            false => decoded.picture,
        };
        let warning = decoded.warning.map(|warning| format!("{}: {warning}", path.display()));
        Ok((transform.apply(&picture, size, channels)?, warning))
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
