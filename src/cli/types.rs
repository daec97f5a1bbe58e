//! `--arithmetic`, `--weights-type` and `--activations-type`.

use clap::ValueEnum;
use sepconv::kernels::{Arithmetic, ElementType};
use sepconv::network::PlanOptions;

use super::layer::unnamed_type;

/// How layers multiply.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Multiply {
    /// How layers multiply and add
    #[arg(long, value_enum, value_name = "ARITHMETIC", default_value_t = Name::Exact)]
    arithmetic: Name,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// In f32, the same bits on every CPU
    Exact,
    /// Products of bf16, the same bits on every CPU. Weights and values between layers are then bf16,
    /// too, unless their types are given
    Bf16,
    /// The CPU's own bf16 dot products where weights are bf16 (AMD and Arm): other bits on other CPUs
    Fast,
}

impl Multiply {
    pub(super) fn arithmetic(self) -> Arithmetic {
        match self.arithmetic {
            Name::Exact => Arithmetic::Exact,
            Name::Bf16 => Arithmetic::Bf16,
            Name::Fast => Arithmetic::Fast,
        }
    }

    /// The options of a plan that multiplies so.
    pub(super) fn options(self) -> PlanOptions {
        Types { multiply: self, weights_type: None, activations_type: None }.options()
    }
}

/// How a network multiplies, and the types in which weights and values are stored.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Types {
    #[command(flatten)]
    multiply: Multiply,
    /// Round the weights to this type [default: f32; bf16 with --arithmetic bf16]
    #[arg(long, value_enum, value_name = "TYPE")]
    weights_type: Option<Type>,
    /// Round the values between layers to this type; input and output stay f32 [default: f32; bf16
    /// with --arithmetic bf16]
    #[arg(long, value_enum, value_name = "TYPE")]
    activations_type: Option<Type>,
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
        self.weights_type.map_or_else(|| unnamed_type(self.arithmetic()), Into::into)
    }

    pub(super) fn activations(self) -> ElementType {
        self.activations_type.map_or_else(|| unnamed_type(self.arithmetic()), Into::into)
    }

    pub(super) fn arithmetic(self) -> Arithmetic {
        self.multiply.arithmetic()
    }

    /// The options of a plan with these types.
    pub(super) fn options(self) -> PlanOptions {
        PlanOptions::default()
            .weights_type(self.weights())
            .activations_type(self.activations())
            .arithmetic(self.arithmetic())
    }
}
