//! `--weights-type` and `--activations-type`.

use clap::ValueEnum;
use sepconv::kernels::{Arithmetic, ElementType};
use sepconv::network::PlanOptions;

/// The types in which weights and values are stored.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Types {
    /// Round the weights to this type; arithmetic stays f32
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = Type::F32)]
    weights_type: Type,
    /// Round the values between layers to this type; input and output stay f32
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = Type::F32)]
    activations_type: Type,
    /// Allow the CPU's bf16 dot products (with --weights-type bf16): faster, less
    /// exact, and not the same on every CPU
    #[arg(long)]
    fast: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    F32,
    F16,
    Bf16,
}

impl From<Type> for ElementType {
    fn from(value: Type) -> Self {
        match value {
            Type::F32 => Self::F32,
            Type::F16 => Self::F16,
            Type::Bf16 => Self::Bf16,
        }
    }
}

impl Types {
    pub(super) fn weights(self) -> ElementType {
        self.weights_type.into()
    }

    pub(super) fn activations(self) -> ElementType {
        self.activations_type.into()
    }

    pub(super) fn arithmetic(self) -> Arithmetic {
        if self.fast { Arithmetic::Fast } else { Arithmetic::Exact }
    }

    /// The options of a plan with these types.
    pub(super) fn options(self) -> PlanOptions {
        PlanOptions::default()
            .weights_type(self.weights())
            .activations_type(self.activations())
            .arithmetic(self.arithmetic())
    }
}
