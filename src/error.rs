//! Errors of the executor: each names the file, node or tensor and the numbers.

use std::path::PathBuf;

/// Result with this crate's [`Error`].
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// fn first_layer(network: &Network) -> sepconv::Result<Vec<Variable>> {
///     let mut variables = weights::variables(network)?;
///     variables.truncate(1);
///     Ok(variables)
/// }
/// assert_eq!(first_layer(&Network::new("empty", "input", [None, None], 3))?, []);
/// # Ok::<(), sepconv::Error>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be loaded, planned or run.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let mut network = Network::new("small", "input", [None, None], 3);
/// let input = network.find("input").unwrap();
/// let error = network.push("input", Op::Softmax, &[input]).unwrap_err();
/// assert_eq!(error.to_string(), r#"node "input": another node already has this name"#);
/// let error = Weights::default().get("conv", "kernel", &[3, 3, 3, 8]).unwrap_err();
/// assert_eq!(error.to_string(), r#"tensor "conv/kernel": missing; expected shape [3, 3, 3, 8]"#);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A node of a network is not possible as it stands.
    Network {
        /// The node.
        node: String,
        /// What is wrong.
        message: String,
    },
    /// A kernel plan refused a node's shape or parameters.
    Kernel {
        /// The node.
        node: String,
        /// The kernel crate's reason.
        source: sepconv_kernels::Error,
    },
    /// A tensor is missing or has the wrong shape.
    Tensor {
        /// `layer/variable`, e.g. `block1_conv1/kernel`.
        tensor: String,
        /// What is wrong.
        message: String,
    },
    /// A file can't be read, written or understood.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An argument or operand of a call is wrong.
    Argument {
        /// What is wrong, with the numbers.
        message: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network { node, message } => write!(f, "node {node:?}: {message}"),
            Self::Kernel { node, source } => write!(f, "node {node:?}: {source}"),
            Self::Tensor { tensor, message } => write!(f, "tensor {tensor:?}: {message}"),
            Self::File { path, message } => write!(f, "{}: {message}", path.display()),
            Self::Argument { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel { source, .. } => Some(source),
            _ => None,
        }
    }
}
