//! A network as data: named nodes in topological order, as Keras would list its layers.

use sepconv_kernels::{
    Activation, BinaryOp, NormalizationKind, PoolKind, Quantization, TransposedWindow, Window,
};

use super::{Interpolation, shape};

/// Index of a node in its [`Network`].
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let mut network = Network::new("small", "input", [None, None], 3);
/// let input: NodeId = network.find("input").unwrap();
/// let softmax: NodeId = network.push("softmax", Op::Softmax, &[input])?;
/// assert_eq!(network.node(softmax).inputs, [input]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The network's input.
    pub(crate) const FIRST: Self = Self(0);

    /// The position of the node in [`Network::nodes`].
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let softmax = network.push("softmax", Op::Softmax, &[network.find("input").unwrap()])?;
    /// assert_eq!(softmax.index(), 1);
    /// assert_eq!(network.nodes()[softmax.index()].name, "softmax");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn index(self) -> usize {
        self.0
    }
}

/// The operation of a node. Its weights are not stored here; they are looked up by the name of the
/// node's layer.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let window = Window::new([3, 3]).padding(Padding::Same);
/// let op = Op::Separable { window, multiplier: 1, filters: 16, bias: false };
/// let mut network = Network::new("small", "input", [None, None], 8);
/// network.push("separable", op, &[network.find("input").unwrap()])?;
/// let variables = weights::variables(&network)?;
/// assert_eq!((variables[0].name, &variables[0].shape[..]), ("depthwise_kernel", &[3, 3, 8, 1][..]));
/// assert_eq!((variables[1].name, &variables[1].shape[..]), ("pointwise_kernel", &[1, 1, 8, 16][..]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// The network's input, N×H×W×`channels`.
    Input {
        /// The height and width that the model was made for, if known.
        size: [Option<usize>; 2],
        /// Channels.
        channels: usize,
        /// Whether it is a sequence, N×W×`channels` in Keras: see [`Network::of_sequences`].
        sequence: bool,
        /// Of how many pictures it is a sequence, N×`steps`×H×W×`channels` in Keras: see
        /// [`Network::of_picture_sequences`].
        steps: Option<usize>,
    },
    /// Standard convolution. Weights `kernel` \[kh, kw, C/groups, O\], `bias` \[O\].
    Conv {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// Groups.
        groups: usize,
        /// Output channels O.
        filters: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Transposed convolution. Weights `kernel` \[kh, kw, O, C\], `bias` \[O\].
    ConvTranspose {
        /// Kernel, stride, padding.
        window: TransposedWindow,
        /// Output channels O.
        filters: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Depthwise convolution. Weights `depthwise_kernel` \[kh, kw, C, M\], `bias` \[C·M\].
    Depthwise {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// Depth multiplier M.
        multiplier: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Depthwise then pointwise. Weights `depthwise_kernel` \[kh, kw, C, M\],
    /// `pointwise_kernel` \[1, 1, C·M, O\], `bias` \[O\].
    Separable {
        /// The depthwise step's kernel, stride, dilation, padding.
        window: Window,
        /// Depth multiplier M.
        multiplier: usize,
        /// Output channels O.
        filters: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Inference batch normalization, γ·(x − mean)/√(variance + ε) + β.
    /// Weights `gamma`, `beta`, `moving_mean`, `moving_variance`, each \[C\].
    BatchNorm {
        /// ε.
        epsilon: f64,
        /// Whether there is a γ.
        scale: bool,
        /// Whether there is a β.
        center: bool,
    },
    /// (x − mean) / max(√variance, 1e-7) of each channel. Weights `mean`, `variance`, each \[C\].
    Standardize {
        /// Whether it is the inverse, mean + x·max(√variance, 1e-7).
        invert: bool,
    },
    /// γ·x. Weights `gamma` \[C\].
    Scale,
    /// Normalization by the operand's own statistics, then γ·x + β. Weights `gamma`, `beta`, each
    /// \[C\].
    Normalize {
        /// The values that are normalized together, and the statistics.
        kind: NormalizationKind,
        /// ε.
        epsilon: f64,
        /// Whether there is a γ.
        scale: bool,
        /// Whether there is a β.
        center: bool,
    },
    /// Normalization by the operand's own statistics over some of its axes, of which the channels
    /// need not be one: (x − mean)/√(variance + ε), then ·γ + β. Sums are of f64, and the result is
    /// rounded once. Weights `gamma`, `beta`, each of the extents of these axes.
    NormalizeOver {
        /// Ascending, each once: 0 for the height, 1 for the width, 2 for the channels.
        axes: Vec<usize>,
        /// Their extents.
        extents: Vec<usize>,
        /// ε.
        epsilon: f64,
        /// Whether there is a γ.
        scale: bool,
        /// Whether there is a β.
        center: bool,
    },
    /// An element-wise function.
    Activation(Activation),
    /// Softmax over the channels.
    Softmax,
    /// Max pool. Padding is ignored.
    MaxPool(Window),
    /// Average pool. Padding is ignored: the mean is over the taps inside the input.
    AveragePool(Window),
    /// The mean or maximum over height and width. The result has shape N×1×1×C.
    GlobalPool {
        /// Mean or maximum.
        kind: PoolKind,
        /// Whether the result has shape N×1×1×C in Keras; otherwise it is N×C there.
        keep_dims: bool,
    },
    /// Fully connected layer on the channels of each pixel. Weights `kernel` \[C, O\], `bias`
    /// \[O\].
    Dense {
        /// Outputs O.
        units: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Sum of two or more tensors of one shape.
    Add,
    /// An operation of two tensors, element by element. Either is broadcast along the axes on which
    /// it has one picture, row, column or channel.
    Binary(BinaryOp),
    /// Σₖ a\[n, …, k, …\]·b\[n, …, k, …\] of two tensors N×1×W×C for each index of a's and of
    /// b's other axis. The result has shape N×1×A×`channels`. Sums are of f64, rounded once.
    Dot {
        /// The axis that is summed over, of each operand: 1 for the width, 2 for the channels.
        axes: [usize; 2],
        /// The extent of b's other axis.
        channels: usize,
        /// ε if operands are divided by max(√Σₖ x², ε) before.
        normalize: Option<f64>,
    },
    /// Concatenation along the channels.
    Concat,
    /// The operand itself (dropout at inference, linear activation).
    Identity,
    /// scale·x + offset. Each is one number, or one for each channel.
    Rescale {
        /// The scale.
        scale: Vec<f64>,
        /// The offset.
        offset: Vec<f64>,
    },
    /// x where x ≥ 0, α·x elsewhere. Weights `alpha` of this shape.
    PRelu {
        /// \[C\], or \[H, W, C\] with 1 along an axis that shares its α.
        shape: Vec<usize>,
    },
    /// Adds zeros around the picture.
    ZeroPad(Border),
    /// Removes a border of the picture.
    Crop(Border),
    /// The middle of the picture. If the picture is too small, it is cropped to the proportions of
    /// `size` and resized bilinearly instead.
    CenterCrop {
        /// Height and width of the result.
        size: [usize; 2],
    },
    /// Resizes the picture.
    Resize {
        /// Height and width of the result.
        size: [usize; 2],
        /// How pixels are interpolated.
        how: Interpolation,
        /// Whether the picture is first cropped to the proportions of `size`.
        crop: bool,
    },
    /// Enlarges the picture.
    UpSample {
        /// By how much, along the height and the width.
        factor: [usize; 2],
        /// How pixels are interpolated.
        how: Interpolation,
    },
    /// Turns each picture into one pixel whose channels are its elements in the order h, w, c. The
    /// result has shape N×1×1×`features`; Keras calls it N×`features`.
    Flatten {
        /// H·W·C.
        features: usize,
    },
    /// Permutes the dimensions of each picture: dimension i of the result is `axes[i]`, 0 for the
    /// height, 1 for the width, 2 for the channels.
    Permute {
        /// Each of 0, 1 and 2 once.
        axes: [usize; 3],
        /// Channels of the result.
        channels: usize,
    },
    /// Gives each picture another shape; its elements keep their order h, w, c.
    Reshape {
        /// Height, width and channels of the result.
        shape: [usize; 3],
        /// Whether the result is a sequence, N×W×C in Keras; its height is 1 then.
        sequence: bool,
    },
    /// Makes of each value N·`steps` values, one for each step of a sequence, so that what follows
    /// treats each by itself; elements keep their order. Steps are the pixels of a sequence, the
    /// rows of a picture, or the pictures of a sequence of pictures.
    StepsToBatch {
        /// Steps.
        steps: usize,
        /// How many dimensions the value of a step has in Keras, the batch included: 2, 3 or 4.
        rank: usize,
    },
    /// The reverse: of the values of `steps` steps one.
    BatchToSteps {
        /// Steps.
        steps: usize,
        /// How many dimensions the value of a step has in Keras.
        rank: usize,
    },
}

/// Rows and columns at the four sides of a picture.
///
/// ```
/// # use sepconv::network::*;
/// let mut network = Network::new("small", "input", [None, None], 3);
/// let border = Border { top: 1, bottom: 1, left: 2, right: 2 };
/// network.push("pad", Op::ZeroPad(border), &[network.output()])?;
/// assert_eq!(network.shapes([1, 8, 8, 3])?[1], [1, 10, 12, 3]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Border {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

/// One named node.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::*;
/// let network = xception(&XceptionConfig::default())?;
/// let Node { layer, op, inputs, .. } = network.node(network.find("predictions/logits").unwrap());
/// assert_eq!(layer, "predictions"); // that of Keras, whose activation is a node by itself here
/// assert_eq!(*op, Op::Dense { units: 1000, bias: true });
/// assert_eq!(network.node(inputs[0]).name, "avg_pool");
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// The unique name. A node that is a layer of Keras or a module of timm has its name.
    pub name: String,
    /// The layer whose weights the node uses. It differs from `name` if one Keras layer became
    /// several nodes, as a dense layer with an activation does.
    pub layer: String,
    /// The operation.
    pub op: Op,
    /// The operands, all of them earlier nodes.
    pub inputs: Vec<NodeId>,
    /// What the integers of u8 stand for to which the value is rounded; None for numbers of f32. A
    /// layer whose operand has one multiplies integers, all but [`Op::Separable`], between whose
    /// steps are numbers: write it as two nodes. See [`Network::set_quantization`].
    pub quantization: Option<Quantization>,
}

/// A feed-forward network with one input and one or more outputs.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// // x + relu(x)
/// let mut network = Network::new("residual", "input", [None, None], 1);
/// let input = network.find("input").unwrap();
/// let relu = network.push("relu", Op::Activation(Activation::Relu), &[input])?;
/// network.push("add", Op::Add, &[input, relu])?;
/// let plan = NetworkPlan::new(&network, &Weights::default(), [1, 1, 2, 1], &PlanOptions::default())?;
/// let mut session = Session::new(plan)?;
/// session.run(&[-3.0, 5.0])?;
/// assert_eq!(session.output(), [-3.0, 10.0]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    name: String,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    /// What a run returns.
    returned: NodeId,
}

/// One of a model's outputs.
///
/// ```
/// # use sepconv::models::*;
/// let network = xception(&XceptionConfig::default())?;
/// let output = &network.outputs()[0];
/// assert_eq!(output.name, "predictions");
/// assert_eq!(network.node(output.node).name, "predictions"); // the softmax
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The name of the Keras layer, or the key if the model returns a dictionary.
    pub name: String,
    /// The node that computes it.
    pub node: NodeId,
}

/// What the numbers of an output mean, as far as the network shows it.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::*;
/// let network = xception(&XceptionConfig::default())?;
/// let logits = network.find("predictions/logits").unwrap();
/// let kind = network.kind(network.outputs()[0].node);
/// assert_eq!(kind, OutputKind::Softmax { logits });
/// assert_eq!(network.kind(logits), OutputKind::Values);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputKind {
    /// Probabilities of classes that exclude each other: softmax of `logits`.
    Softmax {
        /// What softmax is applied to.
        logits: NodeId,
    },
    /// A probability for each class: sigmoid of `logits`.
    Sigmoid {
        /// What sigmoid is applied to.
        logits: NodeId,
    },
    /// Probabilities of classes that exclude each other: the mean of several softmaxes.
    Probabilities,
    /// Anything else: logits, features, regression.
    Values,
}

impl Network {
    /// Makes a network that has only an input node.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// let network = Network::new("mine", "picture", [Some(299), None], 3); // any width
    /// assert_eq!(network.input(), ([Some(299), None], 3));
    /// assert_eq!(network.find("picture"), Some(network.output())); // as nothing follows yet
    /// ```
    pub fn new(name: &str, input_name: &str, size: [Option<usize>; 2], channels: usize) -> Self {
        Self::of(name, input_name, Op::Input { size, channels, sequence: false, steps: None })
    }

    /// Makes a network of sequences of `steps` pictures of `size` \[H, W\] that has only an input
    /// node. Keras calls the input N×`steps`×H×W×`channels`; here it is a picture in which they
    /// stand one above the other, N×(`steps`·H)×W×`channels`, of the same elements in the same
    /// order.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let mut network = Network::of_picture_sequences("film", "frames", 5, [Some(8), Some(6)], 3);
    /// assert_eq!(network.input(), ([Some(40), Some(6)], 3));
    /// let frames = Op::StepsToBatch { steps: 5, rank: 4 };
    /// network.push("frame", frames, &[network.output()])?;
    /// assert_eq!(network.shapes([2, 40, 6, 3])?[1], [10, 8, 6, 3]);
    /// assert_eq!(network.rank(network.output()), 4);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn of_picture_sequences(
        name: &str,
        input_name: &str,
        steps: usize,
        [height, width]: [Option<usize>; 2],
        channels: usize,
    ) -> Self {
        // A height that overflows is refused with the shapes, none of which has it.
        let size = [height.map(|height| height.saturating_mul(steps)), width];
        let op = Op::Input { size, channels, sequence: false, steps: Some(steps) };
        Self::of(name, input_name, op)
    }

    /// Makes a network of sequences that has only an input node. Keras calls the input
    /// N×`length`×`channels`; here it is a picture of one row, N×1×`length`×`channels`.
    ///
    /// ```
    /// # use sepconv::kernels::Window;
    /// # use sepconv::network::*;
    /// let mut network = Network::of_sequences("sound", "samples", None, 2); // of any length
    /// network.push("pool", Op::MaxPool(Window::new([1, 4])), &[network.output()])?;
    /// assert_eq!(network.shapes([1, 1, 100, 2])?[1], [1, 1, 97, 2]);
    /// assert_eq!(network.rank(network.output()), 3);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn of_sequences(
        name: &str,
        input_name: &str,
        length: Option<usize>,
        channels: usize,
    ) -> Self {
        let size = [Some(1), length];
        Self::of(name, input_name, Op::Input { size, channels, sequence: true, steps: None })
    }

    fn of(name: &str, input_name: &str, op: Op) -> Self {
        let node = Node {
            name: input_name.into(),
            layer: input_name.into(),
            op,
            inputs: Vec::new(),
            quantization: None,
        };
        let outputs = vec![Output { name: input_name.into(), node: NodeId(0) }];
        Self { name: name.into(), nodes: vec![node], outputs, returned: NodeId(0) }
    }

    /// Appends a node and makes it the output.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let input = network.find("input").unwrap();
    /// let relu = network.push("relu", Op::Activation(Activation::Relu), &[input])?;
    /// assert_eq!(network.output(), relu);
    /// let error = network.push("add", Op::Add, &[relu]).unwrap_err();
    /// assert_eq!(error.to_string(), r#"node "add": expected at least 2 operands, got 1"#);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Network`] if the name exists already, an operand does not exist, or `op`
    /// takes another number of operands.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> crate::Result<NodeId> {
        self.push_for_layer(name, name, op, inputs)
    }

    /// Appends a node as [`Network::push`] does. Its weights are looked up under the name `layer`.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// // Keras's `Dense(10, activation="softmax", name="head")`
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let input = network.find("input").unwrap();
    /// let dense = Op::Dense { units: 10, bias: true };
    /// let logits = network.push_for_layer("head/logits", "head", dense, &[input])?;
    /// network.push("head", Op::Softmax, &[logits])?;
    /// assert_eq!(weights::variables(&network)?[0].layer, "head");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Network::push`].
    pub fn push_for_layer(
        &mut self,
        name: &str,
        layer: &str,
        op: Op,
        inputs: &[NodeId],
    ) -> crate::Result<NodeId> {
        let error = |message: String| crate::Error::Network { node: name.into(), message };
        if self.find(name).is_some() {
            return Err(error("another node already has this name".into()));
        }
        if let Some(id) = inputs.iter().find(|id| id.0 >= self.nodes.len()) {
            return Err(error(format!("operand {} does not exist", id.0)));
        }
        let wanted = match op {
            Op::Input { .. } => {
                return Err(error("a network has only one input, its first node".into()));
            }
            Op::Add | Op::Concat => 2..=usize::MAX,
            Op::Binary(_) | Op::Dot { .. } => 2..=2,
            _ => 1..=1,
        };
        if !wanted.contains(&inputs.len()) {
            let expected = match *wanted.end() {
                1 => "1 operand",
                2 => "2 operands",
                _ => "at least 2 operands",
            };
            return Err(error(format!("expected {expected}, got {}", inputs.len())));
        }
        self.nodes.push(Node {
            name: name.into(),
            layer: layer.into(),
            op,
            inputs: inputs.into(),
            quantization: None,
        });
        self.returned = NodeId(self.nodes.len() - 1);
        self.outputs = vec![Output { name: name.into(), node: self.returned }];
        Ok(self.returned)
    }

    /// Says what the integers stand for to which a node's value is rounded, or that it is none of
    /// integers. Plans compute exactly these roundings: no value without a quantization is rounded,
    /// so that operations can be fused behind it, and each with one is, wherever it is stored.
    ///
    /// An [`Op::Identity`] with another quantization than its operand's rounds anew; one without
    /// makes numbers of integers. The parts of a concatenation are best of its own quantization.
    /// Weights may be of either type: see [`crate::weights::Weights::insert_int8`].
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Quantization};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::Weights;
    /// let mut network = Network::new("small", "input", [None, None], 1);
    /// let input = network.output();
    /// let relu = network.push("relu", Op::Activation(Activation::Relu), &[input])?;
    /// network.set_quantization(input, Some(Quantization::new(0.5, 10)))?;
    /// let plan = NetworkPlan::new(&network, Weights::default(), [1, 1, 3, 1], &PlanOptions::default())?;
    /// let mut session = Session::new(plan)?;
    /// session.run(&[-1.0, 1.2, 1000.0])?;
    /// assert_eq!(session.output(), [0.0, 1.0, 122.5]); // 0.5 · (255 − 10) is the largest
    ///
    /// let error = network.set_quantization(relu, Some(Quantization::new(0.5, 256))).unwrap_err();
    /// let message = "expected a scale above 0 and a zero point of 0 to 255, got 0.5 and 256";
    /// assert_eq!(error.to_string(), format!(r#"node "relu": {message}"#));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Network`] if the node does not exist in this network, the scale is not
    /// finite, normal and above 0, or the zero point is no u8.
    pub fn set_quantization(
        &mut self,
        node: NodeId,
        quantization: Option<Quantization>,
    ) -> crate::Result<()> {
        self.check(node)?;
        let node = &mut self.nodes[node.0];
        if let Some(Quantization { scale, zero_point, .. }) = quantization
            && !(scale.is_normal() && scale > 0.0 && (0..=255).contains(&zero_point))
        {
            let message = format!(
                "expected a scale above 0 and a zero point of 0 to 255, got {scale:?} and \
                 {zero_point}"
            );
            return Err(crate::Error::Network { node: node.name.clone(), message });
        }
        node.quantization = quantization;
        Ok(())
    }

    /// Removes all quantizations: all values are f32 then.
    ///
    /// ```
    /// # use sepconv::kernels::Quantization;
    /// # use sepconv::network::*;
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// network.set_quantization(network.output(), Some(Quantization::new(0.5, 3)))?;
    /// network.clear_quantizations();
    /// assert!(!network.is_quantized());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn clear_quantizations(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.quantization = None);
    }

    /// Sets the outputs, and what a run returns apart from them.
    pub(crate) fn set_ends(&mut self, outputs: Vec<Output>, returned: NodeId) -> crate::Result<()> {
        self.check(returned)?;
        self.set_outputs(outputs)?;
        self.returned = returned;
        Ok(())
    }

    /// Whether a value is rounded to integers.
    ///
    /// ```
    /// # use sepconv::{kernels::Quantization, network::Network};
    /// let mut network = Network::new("small", "input", [None, None], 1);
    /// assert!(!network.is_quantized());
    /// network.set_quantization(network.output(), Some(Quantization::new(0.1, 0)))?;
    /// assert!(network.is_quantized());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn is_quantized(&self) -> bool {
        self.nodes.iter().any(|node| node.quantization.is_some())
    }

    /// Makes a node the only output. A run returns its value.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// let mut network = xception(&XceptionConfig::default())?;
    /// network.set_output(network.find("avg_pool").unwrap())?; // features instead of classes
    /// let shapes = network.shapes([1, 299, 299, 3])?;
    /// assert_eq!(shapes[network.output().index()], [1, 1, 1, 2048]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Network`] if the node belongs to another network and does not exist in this
    /// one.
    pub fn set_output(&mut self, output: NodeId) -> crate::Result<()> {
        self.check(output)?;
        self.outputs = vec![Output { name: self.nodes[output.0].name.clone(), node: output }];
        self.returned = output;
        Ok(())
    }

    /// Sets the model's outputs. A run returns the value of the first one, or its logits if it is a
    /// softmax.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let input = network.output();
    /// let softmax = network.push("softmax", Op::Softmax, &[input])?;
    /// network.set_outputs(vec![
    ///     Output { name: "classes".into(), node: softmax },
    ///     Output { name: "features".into(), node: input },
    /// ])?;
    /// assert_eq!(network.output(), input); // the logits
    /// assert!(network.set_outputs(Vec::new()).is_err());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Network`] if there is no output, two have the same name, or a node does not
    /// exist in this network.
    pub fn set_outputs(&mut self, outputs: Vec<Output>) -> crate::Result<()> {
        let error = |message| crate::Error::Network { node: self.name.clone(), message };
        let Some(first) = outputs.first() else {
            return Err(error("expected at least 1 output, got none".into()));
        };
        for (i, Output { name, node }) in outputs.iter().enumerate() {
            self.check(*node)?;
            if outputs[..i].iter().any(|other| other.name == *name) {
                return Err(error(format!("two outputs are called {name:?}")));
            }
        }
        self.returned = match self.kind(first.node) {
            OutputKind::Softmax { logits } => logits,
            _ => first.node,
        };
        self.outputs = outputs;
        Ok(())
    }

    fn check(&self, node: NodeId) -> crate::Result<()> {
        let count = self.nodes.len();
        if node.0 < count {
            return Ok(());
        }
        let message = format!("node {} does not exist: the network has {count} nodes", node.0);
        Err(crate::Error::Network { node: self.name.clone(), message })
    }

    /// The network's name, e.g. `"xception"`.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// assert_eq!(xception(&XceptionConfig::default())?.name(), "xception");
    /// assert_eq!(aligned_xception(&AlignedXceptionConfig::xception71())?.name(), "xception71");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes. Operands come before the nodes that use them.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig::default())?;
    /// let separable = network.nodes().iter().filter(|node| matches!(node.op, Op::Separable { .. }));
    /// assert_eq!(separable.count(), 34);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns a node.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig::default())?;
    /// let norm = network.node(network.find("block1_conv1_bn").unwrap());
    /// assert_eq!(norm.op, Op::BatchNorm { epsilon: 1e-3, scale: true, center: true });
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the node belongs to another network and does not exist in this one.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node that a run returns. A network that ends in softmax returns its logits.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig::default())?;
    /// assert_eq!(network.node(network.output()).name, "predictions/logits");
    /// assert_eq!(network.nodes().last().unwrap().op, Op::Softmax);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn output(&self) -> NodeId {
        self.returned
    }

    /// The model's outputs, at least one, in the model's order. A run returns the first. To get the
    /// others, name their nodes in [`super::PlanOptions::outputs`].
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let node = network.push("softmax", Op::Softmax, &[network.output()])?;
    /// assert_eq!(network.outputs(), [Output { name: "softmax".into(), node }]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// What the numbers of a node mean. Identities and changes of shape after a softmax or sigmoid
    /// make no difference.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let logits = network.output();
    /// let softmax = network.push("softmax", Op::Softmax, &[logits])?;
    /// let dropout = network.push("dropout", Op::Identity, &[softmax])?;
    /// assert_eq!(network.kind(dropout), OutputKind::Softmax { logits });
    /// assert_eq!(network.kind(logits), OutputKind::Values);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Panics
    /// Those of [`Network::node`].
    pub fn kind(&self, node: NodeId) -> OutputKind {
        let node = self.behind_identities(node);
        match &node.op {
            Op::Softmax => OutputKind::Softmax { logits: node.inputs[0] },
            Op::Activation(Activation::Sigmoid) => OutputKind::Sigmoid { logits: node.inputs[0] },
            Op::Rescale { scale, offset } if *offset == [0.0] => {
                let sum = self.node(node.inputs[0]);
                let is_softmax = |&id: &NodeId| self.behind_identities(id).op == Op::Softmax;
                let is_mean = sum.op == Op::Add && *scale == [1.0 / sum.inputs.len() as f64];
                match is_mean && sum.inputs.iter().all(is_softmax) {
                    true => OutputKind::Probabilities,
                    false => OutputKind::Values,
                }
            }
            _ => OutputKind::Values,
        }
    }

    /// The node whose elements a node passes on, or the node itself if it computes something.
    fn behind_identities(&self, id: NodeId) -> &Node {
        let mut node = self.node(id);
        while let Op::Identity
        | Op::Activation(Activation::None)
        | Op::Flatten { .. }
        | Op::Reshape { .. }
        | Op::StepsToBatch { .. }
        | Op::BatchToSteps { .. } = node.op
        {
            node = self.node(node.inputs[0]);
        }
        node
    }

    /// Whether the input is a sequence, N×W×C in Keras: see [`Network::of_sequences`].
    ///
    /// ```
    /// # use sepconv::network::*;
    /// assert!(Network::of_sequences("sound", "samples", Some(64), 2).is_of_sequences());
    /// assert!(!Network::new("picture", "pixels", [Some(1), Some(64)], 2).is_of_sequences());
    /// ```
    pub fn is_of_sequences(&self) -> bool {
        self.rank(NodeId::FIRST) == 3
    }

    /// How many dimensions the node's value has in Keras: 4 for pictures N×H×W×C, 3 for sequences
    /// N×W×C, 2 for vectors N×C (after a global pool or a flattening), 5 for sequences of pictures
    /// N×T×H×W×C. Here a value always has four; those that Keras lacks are 1, and height is T·H.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// let network = xception(&XceptionConfig::default())?;
    /// assert_eq!(network.rank(network.output()), 2);
    /// assert_eq!(network.rank(network.find("block14_sepconv2_act").unwrap()), 4);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Panics
    /// Those of [`Network::node`].
    pub fn rank(&self, node: NodeId) -> usize {
        let mut ranks: Vec<usize> = Vec::with_capacity(node.0 + 1);
        for Node { op, inputs, .. } in &self.nodes[..=node.0] {
            let of = |i: usize| inputs.get(i).map_or(4, |id| ranks[id.0]);
            ranks.push(match op {
                Op::Input { steps: Some(_), .. } => 5,
                Op::Input { sequence, .. } | Op::Reshape { sequence, .. } => {
                    4 - usize::from(*sequence)
                }
                Op::StepsToBatch { rank, .. } => *rank,
                Op::BatchToSteps { rank, .. } => rank.saturating_add(1),
                Op::GlobalPool { keep_dims: false, .. } | Op::Flatten { .. } => 2,
                Op::Dense { .. }
                | Op::Activation(_)
                | Op::PRelu { .. }
                | Op::Rescale { .. }
                | Op::Softmax
                | Op::BatchNorm { .. }
                | Op::Standardize { .. }
                | Op::Scale
                | Op::Normalize { .. }
                | Op::NormalizeOver { .. }
                | Op::Dot { .. }
                | Op::Add
                | Op::Concat
                | Op::Identity => of(0),
                Op::Binary(_) => of(0).max(of(1)),
                // Of a vector they make a picture.
                _ if of(0) == 2 => 4,
                _ => of(0),
            });
        }
        ranks[node.0]
    }

    /// [`Network::steps`] of the input: see [`Network::of_picture_sequences`].
    ///
    /// ```
    /// # use sepconv::network::*;
    /// assert_eq!(Network::new("picture", "pixels", [None, None], 3).input_steps(), None);
    /// ```
    pub fn input_steps(&self) -> Option<usize> {
        self.steps(NodeId::FIRST)
    }

    /// Of how many pictures the node's value is a sequence. None if it is none, whose
    /// [`Network::rank`] is 5.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let network = Network::of_picture_sequences("film", "frames", 5, [Some(8), Some(6)], 3);
    /// assert_eq!((network.rank(network.output()), network.steps(network.output())), (5, Some(5)));
    /// ```
    ///
    /// # Panics
    /// Those of [`Network::node`].
    pub fn steps(&self, node: NodeId) -> Option<usize> {
        if self.rank(node) != 5 {
            return None;
        }
        let mut node = self.node(node);
        loop {
            match node.op {
                Op::Input { steps, .. } => return steps,
                Op::BatchToSteps { steps, .. } => return Some(steps),
                _ => node = self.node(*node.inputs.first()?),
            }
        }
    }

    /// Finds a node by its name.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig::default())?;
    /// assert_eq!(network.find("block1_conv1").map(|id| id.index()), Some(1));
    /// assert_eq!(network.find("block15_conv1"), None);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.name == name).map(NodeId)
    }

    /// The shape of each node's value, \[N, H, W, C\], for an input of shape `input`.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig::default())?;
    /// let shapes = network.shapes([1, 299, 299, 3])?;
    /// assert_eq!(shapes[network.find("block4_pool").unwrap().index()], [1, 19, 19, 728]);
    /// assert!(network.shapes([1, 299, 299, 4]).is_err());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of the first node whose operands don't match each other or the operation.
    pub fn shapes(&self, input: [usize; 4]) -> crate::Result<Vec<[usize; 4]>> {
        let mut shapes = vec![shape::infer_input(&self.nodes[0], self.input().1, input)?];
        for node in &self.nodes[1..] {
            let operands: Vec<_> = node.inputs.iter().map(|id| shapes[id.0]).collect();
            shapes.push(shape::infer(node, &operands)?);
        }
        Ok(shapes)
    }

    /// The height and width that the model was made for, if known, and the number of input
    /// channels.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let network = xception(&XceptionConfig { size: [None, Some(299)], ..XceptionConfig::default() })?;
    /// let ([height, width], channels) = network.input();
    /// assert_eq!((height, width, channels), (None, Some(299), 3));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn input(&self) -> ([Option<usize>; 2], usize) {
        match self.nodes[0].op {
            Op::Input { size, channels, .. } => (size, channels),
            _ => unreachable!("node 0 is the input: `push` accepts no other"),
        }
    }
}
