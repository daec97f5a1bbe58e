//! A network as data: named nodes in topological order, as Keras would list its layers.

use sepconv_kernels::{Activation, Window};

use super::shape;

/// Index of a node in its [`Network`].
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let mut network = Network::new("small", "input", [None, None], 3);
/// let input: NodeId = network.find("input").unwrap();
/// let pool: NodeId = network.push("pool", Op::GlobalAveragePool, &[input])?;
/// assert_eq!(network.node(pool).inputs, [input]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The position of the node in [`Network::nodes`].
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// let mut network = Network::new("small", "input", [None, None], 3);
    /// let pool = network.push("pool", Op::GlobalAveragePool, &[network.find("input").unwrap()])?;
    /// assert_eq!(pool.index(), 1);
    /// assert_eq!(network.nodes()[pool.index()].name, "pool");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a node computes. Weights are not here: they are looked up by the node's layer name.
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
        /// The height and width the model was made for, if it says.
        size: [Option<usize>; 2],
        /// Channels.
        channels: usize,
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
    /// An element-wise function.
    Activation(Activation),
    /// Softmax over the channels.
    Softmax,
    /// Max pool; padding never wins.
    MaxPool(Window),
    /// Average pool over the taps inside the input.
    AveragePool(Window),
    /// Mean over height and width, to N×1×1×C.
    GlobalAveragePool,
    /// Fully connected, on N×1×1×C. Weights `kernel` \[C, O\], `bias` \[O\].
    Dense {
        /// Outputs O.
        units: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Sum of two or more tensors of one shape.
    Add,
    /// Concatenation along the channels.
    Concat,
    /// x itself (dropout at inference, linear activation).
    Identity,
    /// The elements of each picture as channels of one pixel, in the order h, w, c: N×1×1×`features`.
    Flatten {
        /// H·W·C.
        features: usize,
    },
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
pub struct Node {
    /// Unique name: that of Keras's layer or timm's module where the node is one.
    pub name: String,
    /// The layer under whose name the weights are found. Differs from `name` only where one Keras
    /// layer became several nodes (a dense layer with its own activation).
    pub layer: String,
    /// What it computes.
    pub op: Op,
    /// Its operands, all of them earlier nodes.
    pub inputs: Vec<NodeId>,
}

/// A feed-forward network with one input and one output.
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
    output: NodeId,
}

impl Network {
    /// An empty network whose node 0 is its input.
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
        let node = Node {
            name: input_name.into(),
            layer: input_name.into(),
            op: Op::Input { size, channels },
            inputs: Vec::new(),
        };
        Self { name: name.into(), nodes: vec![node], output: NodeId(0) }
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
    /// assert!(error.to_string().starts_with(r#"node "add": 1 operands"#));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that exists, an operand that doesn't, or the wrong number of operands for `op`.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> crate::Result<NodeId> {
        self.push_for_layer(name, name, op, inputs)
    }

    /// [`Network::push`] for a node whose weights are found under another layer's name.
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
    /// As [`Network::push`].
    pub fn push_for_layer(
        &mut self,
        name: &str,
        layer: &str,
        op: Op,
        inputs: &[NodeId],
    ) -> crate::Result<NodeId> {
        let error = |message: String| crate::Error::Network { node: name.into(), message };
        if self.find(name).is_some() {
            return Err(error("there is a node of this name already".into()));
        }
        if let Some(id) = inputs.iter().find(|id| id.0 >= self.nodes.len()) {
            return Err(error(format!("operand {} does not exist", id.0)));
        }
        let wanted = match op {
            Op::Input { .. } => return Err(error("a network has one input, its node 0".into())),
            Op::Add | Op::Concat => 2..=usize::MAX,
            _ => 1..=1,
        };
        if !wanted.contains(&inputs.len()) {
            let needed = if *wanted.end() == 1 { "1 is" } else { "at least 2 are" };
            return Err(error(format!("{} operands where {needed} needed", inputs.len())));
        }
        self.nodes.push(Node { name: name.into(), layer: layer.into(), op, inputs: inputs.into() });
        self.output = NodeId(self.nodes.len() - 1);
        Ok(self.output)
    }

    /// Makes another node the output.
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
    /// A node of another network that this one lacks.
    pub fn set_output(&mut self, output: NodeId) -> crate::Result<()> {
        let count = self.nodes.len();
        if output.0 >= count {
            let message = format!("node {} of {count} can't be the output", output.0);
            return Err(crate::Error::Network { node: self.name.clone(), message });
        }
        self.output = output;
        Ok(())
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

    /// All nodes, operands before their users.
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

    /// A node.
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
    /// If it is a node of another network that this one lacks, as an index beyond the end of [`Network::nodes`] does.
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
        self.output
    }

    /// The node of that name.
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
    /// The first node whose operands don't fit together or it.
    pub fn shapes(&self, input: [usize; 4]) -> crate::Result<Vec<[usize; 4]>> {
        let mut shapes = vec![shape::infer_input(&self.nodes[0], self.input().1, input)?];
        for node in &self.nodes[1..] {
            let operands: Vec<_> = node.inputs.iter().map(|id| shapes[id.0]).collect();
            shapes.push(shape::infer(node, &operands)?);
        }
        Ok(shapes)
    }

    /// The height and width that the model was made for, and its channels.
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
            Op::Input { size, channels } => (size, channels),
            _ => unreachable!("node 0 is the input: `push` accepts no other"),
        }
    }
}
