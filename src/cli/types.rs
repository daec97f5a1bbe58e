//! `--arithmetic`, `--weights-type` and `--activations-type`.

use clap::ValueEnum;
use sepconv::kernels::{Amx, Arithmetic, ElementType};
use sepconv::network::PlanOptions;

use super::layer::unnamed_type;
use super::{Failure, Result, note};

/// How layers multiply.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Multiply {
    /// How layers multiply and add
    #[arg(long, value_enum, value_name = "ARITHMETIC", default_value_t = Name::Exact)]
    arithmetic: Name,
    /// With --arithmetic bf16 and with 8-bit integers, multiply by tile registers (AMX) if the CPU
    /// has them; the bits are the same
    ///
    /// sepconv then asks the operating system for them. The environment variable SEPCONV_AMX=1 does
    /// the same for all commands.
    #[arg(long)]
    amx: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Name {
    /// In f32, the same bits on every CPU
    Exact,
    /// In f32, each product rounded before it is added, the same bits on every CPU. For CPUs
    /// without fused multiply-adds, where it is many times faster than exact
    Unfused,
    /// Products of bf16, the same bits on every CPU. Weights and values between layers are then
    /// bf16, too, unless their types are given
    Bf16,
    /// For bench and compare: values in u8 and weights in i8, the same bits on every CPU. Networks
    /// are quantized on the input that is timed; a file of `sepconv quantize` needs no option. "of
    /// peak" is the share of f32's peak, and may exceed 100 %
    Int8,
    /// The CPU's own bf16 dot products where weights are bf16 (AMD and Arm): other bits on other
    /// CPUs
    Fast,
}

impl Multiply {
    pub(super) fn arithmetic(self) -> Arithmetic {
        match self.arithmetic {
            // The layers of integers, which have no other.
            Name::Exact | Name::Int8 => Arithmetic::Exact,
            Name::Unfused => Arithmetic::Unfused,
            Name::Bf16 => Arithmetic::Bf16,
            Name::Fast => Arithmetic::Fast,
        }
    }

    /// Whether by tile registers, if there are any.
    pub(super) fn amx(self) -> bool {
        self.amx
    }

    /// Whether networks and layers are to be quantized.
    pub(super) fn is_int8(self) -> bool {
        self.arithmetic == Name::Int8
    }

    /// What `--arithmetic` is called.
    pub(super) fn name(self) -> &'static str {
        if self.is_int8() { "int8" } else { self.arithmetic().name() }
    }

    /// The options of a plan with this arithmetic; see [`Types::options`].
    pub(super) fn options(self, integers: bool) -> Result<PlanOptions> {
        Types { multiply: self, weights_type: None, activations_type: None }.options(integers)
    }
}

/// How a network multiplies, and the types in which weights and values are stored.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Types {
    #[command(flatten)]
    multiply: Multiply,
    /// Round the weights to this type [default: f32; bf16 with --arithmetic bf16, where f32 takes
    /// more memory and less time on CPUs without AMX]
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

    pub(super) fn amx(self) -> bool {
        self.multiply.amx
    }

    /// Whether a network is to be quantized.
    pub(super) fn is_int8(self) -> bool {
        self.multiply.is_int8()
    }

    /// What `--arithmetic` is called.
    pub(super) fn name(self) -> &'static str {
        self.multiply.name()
    }

    /// The options of a plan with these types, for a command that quantizes nothing; see
    /// [`Types::options`].
    pub(super) fn of_given(self, integers: bool) -> Result<PlanOptions> {
        if self.is_int8() {
            return Err(Failure::Error(
                "--arithmetic int8 is for compare, and for networks in bench; a layer in bench \
                 takes the word int8"
                    .into(),
            ));
        }
        self.options(integers)
    }

    /// The options of a plan with these types. `integers` says whether the network, or a layer, is
    /// of integers.
    pub(super) fn options(self, integers: bool) -> Result<PlanOptions> {
        let amx = self.multiply.amx;
        if amx && !integers && self.arithmetic() != Arithmetic::Bf16 {
            let given = self.name();
            return Err(Failure::Error(format!(
                "--amx: expected --arithmetic bf16 or 8-bit integers, got --arithmetic {given}"
            )));
        }
        if amx && Amx::request() != Amx::Granted {
            note(&format!("--amx changes nothing: {}", Amx::request()));
        }
        Ok(PlanOptions::default()
            .weights_type(self.weights())
            .activations_type(self.activations())
            .arithmetic(self.arithmetic())
            .amx(amx))
    }
}
