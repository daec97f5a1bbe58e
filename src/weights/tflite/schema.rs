//! The parts of a TensorFlow Lite model that matter here, read from its FlatBuffers into plain
//! structs. Slots and numbers are those of TensorFlow's `schema.fbs`, version 3.

use super::flatbuffer::{File, Table};

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// The most tensors, and the most operators. Each name is compared with those before it.
const MOST: [usize; 2] = [1 << 14, 1 << 12];

/// A model's first subgraph.
pub(super) struct Model<'f, 'a> {
    pub(super) name: &'a str,
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    /// In the order of execution.
    pub(super) operators: Vec<Operator<'f, 'a>>,
    /// The outputs of the subgraph's first signature: their names, and their tensors.
    pub(super) signature: Vec<(&'a str, usize)>,
    /// The model's metadata, another FlatBuffers table.
    pub(super) metadata: Option<&'a [u8]>,
}

/// A constant, or a place for what an operator computes.
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    /// Of any rank; open dimensions are 1.
    pub(super) shape: Vec<usize>,
    /// Whether each dimension is open.
    pub(super) open: Vec<bool>,
    pub(super) dtype: u8,
    /// The bytes of a constant; empty otherwise.
    pub(super) data: &'a [u8],
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i64>,
    /// The dimension that the scales and zero points belong to, if there are several.
    pub(super) axis: usize,
    /// Why its elements can't be read, if so.
    pub(super) refusal: Option<&'static str>,
}

/// Types of elements.
pub(super) mod dtype {
    pub(in super::super) const F32: u8 = 0;
    pub(in super::super) const F16: u8 = 1;
    pub(in super::super) const I32: u8 = 2;
    pub(in super::super) const U8: u8 = 3;
    pub(in super::super) const I64: u8 = 4;
    pub(in super::super) const I8: u8 = 9;
    pub(in super::super) const F64: u8 = 10;

    /// All of these.
    pub(in super::super) const READ: [u8; 7] = [F32, F16, I32, U8, I64, I8, F64];

    /// The name of a type.
    pub(in super::super) fn name(dtype: u8) -> String {
        const NAMES: [&str; 19] = [
            "float32",
            "float16",
            "int32",
            "uint8",
            "int64",
            "string",
            "bool",
            "int16",
            "complex64",
            "int8",
            "float64",
            "complex128",
            "uint64",
            "resource",
            "variant",
            "uint32",
            "uint16",
            "int4",
            "bfloat16",
        ];
        NAMES.get(usize::from(dtype)).map_or_else(|| format!("type {dtype}"), |n| (*n).into())
    }
}

pub(super) struct Operator<'f, 'a> {
    pub(super) code: i32,
    /// The name of an operator that is not TensorFlow Lite's own.
    pub(super) custom: &'a str,
    /// Tensors; none for one that is left out.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<usize>,
    /// The type of the options, 0 if there are none, and the options.
    options: (u8, Option<Table<'f, 'a>>),
}

impl<'f, 'a> Operator<'f, 'a> {
    /// The tensor of the input at this index, if there is one.
    pub(super) fn input(&self, index: usize) -> Option<usize> {
        self.inputs.get(index).copied().flatten()
    }

    /// The options, which must be of this type. Absent ones have their defaults.
    pub(super) fn options(&self, kind: u8) -> Result<Options<'f, 'a>> {
        match self.options {
            (0, _) | (_, None) => Ok(Options(None)),
            (found, table) if found == kind => Ok(Options(table)),
            (found, _) => Err(format!("expected options of type {kind}, got type {found}")),
        }
    }
}

/// An operator's options by their slots.
pub(super) struct Options<'f, 'a>(Option<Table<'f, 'a>>);

impl Options<'_, '_> {
    /// Those of operators that need none.
    pub(super) const NONE: Self = Self(None);

    pub(super) fn byte(&self, slot: usize) -> Result<u8> {
        self.number(slot, u8::from_le_bytes, 0)
    }

    pub(super) fn flag(&self, slot: usize) -> Result<bool> {
        Ok(self.byte(slot)? != 0)
    }

    pub(super) fn int(&self, slot: usize, default: i32) -> Result<i32> {
        self.number(slot, i32::from_le_bytes, default)
    }

    pub(super) fn float(&self, slot: usize) -> Result<f32> {
        self.number(slot, f32::from_le_bytes, 0.0)
    }

    fn number<const N: usize, T>(
        &self,
        slot: usize,
        of: fn([u8; N]) -> T,
        default: T,
    ) -> Result<T> {
        match &self.0 {
            None => Ok(default),
            Some(table) => table.number(slot, of, default),
        }
    }
}

impl<'f, 'a> Model<'f, 'a> {
    pub(super) fn new(file: &'f File<'a>) -> Result<Self> {
        let root = file.root()?;
        let version = root.number(0, u32::from_le_bytes, 0)?;
        if version != 3 {
            return Err(format!("expected a model of schema version 3, got {version}"));
        }
        let codes: Vec<(i32, &str)> =
            root.tables(1)?.iter().map(operator_code).collect::<Result<_>>()?;
        let buffers: Vec<&[u8]> =
            root.tables(4)?.iter().map(|table| buffer(file, table)).collect::<Result<_>>()?;
        let subgraphs = root.tables(2)?;
        let graph = subgraphs.first().ok_or("it has no subgraph")?;
        let tables = [graph.tables(0)?, graph.tables(3)?];
        for ((what, most), tables) in ["tensors", "operators"].iter().zip(MOST).zip(&tables) {
            if tables.len() > most {
                return Err(format!("it has {} {what}; at most {most} are read", tables.len()));
            }
        }
        let [tensors, operators] = tables;
        let count = tensors.len();
        let tensors = tensors
            .iter()
            .enumerate()
            .map(|(i, table)| tensor(table, &buffers).map_err(|e| format!("tensor {i}: {e}")));
        let operators = operators.into_iter().enumerate().map(|(i, table)| {
            operator(table, &codes, count).map_err(|e| format!("operator {i}: {e}"))
        });
        Ok(Self {
            signature: signature(&root, count)?,
            metadata: metadata(&root, &buffers)?,
            name: graph.string(4)?,
            tensors: tensors.collect::<Result<_>>()?,
            inputs: present(graph, 1, count)?,
            outputs: present(graph, 2, count)?,
            operators: operators.collect::<Result<_>>()?,
        })
    }
}

/// The outputs of the first subgraph's first signature.
fn signature<'a>(root: &Table<'_, 'a>, tensors: usize) -> Result<Vec<(&'a str, usize)>> {
    for signature in root.tables(7)? {
        if signature.number(4, u32::from_le_bytes, 0)? != 0 {
            continue;
        }
        let output = |table: Table<'_, 'a>| {
            let index = table.number(1, i32::from_le_bytes, 0)?;
            Ok((table.string(0)?, within(index, tensors)?))
        };
        return signature.tables(1)?.into_iter().map(output).collect();
    }
    Ok(Vec::new())
}

fn metadata<'a>(root: &Table<'_, 'a>, buffers: &[&'a [u8]]) -> Result<Option<&'a [u8]>> {
    for table in root.tables(6)? {
        if table.string(0)? == "TFLITE_METADATA" {
            let index = table.number(1, u32::from_le_bytes, 0)? as usize;
            let buffer = buffers.get(index).copied().ok_or_else(|| {
                format!("its metadata is buffer {index}, but there are {}", buffers.len())
            });
            return buffer.map(Some);
        }
    }
    Ok(None)
}

/// The number of an operator and the name of a custom one.
fn operator_code<'a>(table: &Table<'_, 'a>) -> Result<(i32, &'a str)> {
    // The first of the two is a byte that has become too small.
    let old = i32::from(table.number(0, i8::from_le_bytes, 0)?);
    let code = table.number(3, i32::from_le_bytes, 0)?;
    Ok((old.max(code), table.string(1)?))
}

/// A buffer's bytes, which may lie behind the FlatBuffers in a large file.
fn buffer<'a>(file: &File<'a>, table: &Table<'_, 'a>) -> Result<&'a [u8]> {
    let [offset, size] = [1, 2].map(|slot| table.number(slot, u64::from_le_bytes, 0));
    let index = |n: u64| usize::try_from(n).map_err(|e| format!("a buffer's place {n}: {e}"));
    match offset? {
        0 | 1 => table.bytes(0),
        offset => file.bytes(index(offset)?, index(size?)?),
    }
}

fn tensor<'a>(table: &Table<'_, 'a>, buffers: &[&'a [u8]]) -> Result<Tensor<'a>> {
    let sizes = table.numbers(0, i32::from_le_bytes)?;
    let negative = || format!("its shape {sizes:?} has a negative dimension");
    let shape = sizes.iter().map(|&d| usize::try_from(d)).collect::<std::result::Result<_, _>>();
    let shape: Vec<usize> = shape.map_err(|_| negative())?;
    let signature = table.numbers(7, i32::from_le_bytes)?;
    let open = (0..shape.len()).map(|i| signature.get(i).is_some_and(|&d| d < 0)).collect();
    let index = table.number(2, u32::from_le_bytes, 0)? as usize;
    let data = match index {
        0 => &[],
        _ => *buffers.get(index).ok_or_else(|| {
            format!("its data is buffer {index}, but there are {}", buffers.len())
        })?,
    };
    let mut tensor = Tensor {
        name: table.string(3)?,
        shape,
        open,
        dtype: table.number(1, u8::from_le_bytes, 0)?,
        data,
        scales: Vec::new(),
        zero_points: Vec::new(),
        axis: 0,
        refusal: None,
    };
    if let Some(quantization) = table.table(4)? {
        tensor.scales = quantization.numbers(2, f32::from_le_bytes)?;
        tensor.zero_points = quantization.numbers(3, i64::from_le_bytes)?;
        let axis = quantization.number(6, i32::from_le_bytes, 0)?;
        tensor.axis = usize::try_from(axis).map_err(|_| format!("quantized dimension {axis}"))?;
        if quantization.number(4, u8::from_le_bytes, 0)? != 0 {
            tensor.refusal = Some("a custom quantization");
        }
    }
    if table.number(5, u8::from_le_bytes, 0)? != 0 {
        tensor.refusal = Some("a variable");
    }
    if table.table(6)?.is_some() {
        tensor.refusal = Some("a sparse tensor");
    }
    Ok(tensor)
}

fn operator<'f, 'a>(
    table: Table<'f, 'a>,
    codes: &[(i32, &'a str)],
    tensors: usize,
) -> Result<Operator<'f, 'a>> {
    let index = table.number(0, u32::from_le_bytes, 0)? as usize;
    let known = || format!("its code is number {index}, but there are {}", codes.len());
    let &(code, custom) = codes.get(index).ok_or_else(known)?;
    let inputs = table.numbers(1, i32::from_le_bytes)?;
    let input = |&i: &i32| match i {
        -1 => Ok(None),
        _ => within(i, tensors).map(Some),
    };
    Ok(Operator {
        code,
        custom,
        inputs: inputs.iter().map(input).collect::<Result<_>>()?,
        outputs: present(&table, 2, tensors)?,
        options: (table.number(3, u8::from_le_bytes, 0)?, table.table(4)?),
    })
}

/// A vector of numbers of tensors, all present.
fn present(table: &Table<'_, '_>, slot: usize, tensors: usize) -> Result<Vec<usize>> {
    table.numbers(slot, i32::from_le_bytes)?.into_iter().map(|i| within(i, tensors)).collect()
}

fn within(index: i32, tensors: usize) -> Result<usize> {
    let tensor = usize::try_from(index).ok().filter(|&i| i < tensors);
    tensor.ok_or_else(|| format!("it names tensor {index}, but there are {tensors}"))
}
