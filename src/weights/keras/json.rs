//! Reads sizes, names and shapes from a configuration's JSON. Errors quote the JSON.

use serde_json::{Map, Value as Json};

/// Errors are sentences; the caller adds the file's name in front.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A layer's parameters.
#[derive(Clone, Copy)]
pub(super) struct Config<'a> {
    map: &'a Map<String, Json>,
    /// 1 for a layer of sequences, 2 for one of pictures; none if the class is for any operand.
    pub(super) axes: Option<usize>,
}

impl<'a> Config<'a> {
    /// The parameters of a layer of this class, which says by its name what it is for.
    pub(super) fn new(map: &'a Map<String, Json>, class: &str) -> Self {
        let axes = match class {
            "CenterCrop" | "RandomCrop" | "Resizing" => Some(2),
            _ if class.contains("1D") => Some(1),
            _ if class.contains("2D") => Some(2),
            _ => None,
        };
        Self { map, axes }
    }

    fn is_of_sequences(self) -> bool {
        self.axes == Some(1)
    }

    /// The value of `key`. None if it is absent or null.
    pub(super) fn get(self, key: &str) -> Option<&'a Json> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn show(self, key: &str) -> String {
        self.map.get(key).map_or("(absent)".into(), brief)
    }

    /// A whole number of 1 or more.
    pub(super) fn count(self, key: &str) -> Result<usize> {
        let value = self.get(key).and_then(size).filter(|&n| n > 0);
        value.ok_or_else(|| {
            format!("{key}: expected a whole number above 0, got {}", self.show(key))
        })
    }

    pub(super) fn count_or(self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            None => Ok(default),
            Some(_) => self.count(key),
        }
    }

    /// Whole numbers above 0 for height and width: one for both, or two. Of a layer of sequences,
    /// which are pictures of one row, 1 and a whole number above 0.
    pub(super) fn pair(self, key: &str) -> Result<[usize; 2]> {
        self.pair_from(key, 1)
    }

    /// As [`Self::pair`], but numbers of at least `least`, which is also that for the one row.
    pub(super) fn pair_from(self, key: &str, least: usize) -> Result<[usize; 2]> {
        let is_line = self.is_of_sequences();
        let value = match self.get(key) {
            Some(Json::Array(list)) => match list.as_slice() {
                [x] if is_line => size(x).map(|x| [least, x]),
                [y, x] if !is_line => size(y).zip(size(x)).map(|(y, x)| [y, x]),
                _ => None,
            },
            Some(one) => size(one).map(|n| [if is_line { least } else { n }, n]),
            None => None,
        };
        value.filter(|pair| pair.iter().all(|&n| n >= least)).ok_or_else(|| {
            let numbers = if is_line { "one whole number" } else { "two whole numbers" };
            format!("{key}: expected {numbers} of at least {least}, got {}", self.show(key))
        })
    }

    pub(super) fn pair_or(self, key: &str, default: [usize; 2]) -> Result<[usize; 2]> {
        match self.get(key) {
            None if self.is_of_sequences() => Ok([1, default[1]]),
            None => Ok(default),
            Some(_) => self.pair(key),
        }
    }

    pub(super) fn flag(self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("{key}: expected true or false, got {}", self.show(key))),
        }
    }

    /// A finite number. Some Keras versions wrap it in a dictionary or a list of one.
    pub(super) fn number(self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let value = value.get("value").or_else(|| value.get(0)).unwrap_or(value);
        value.as_f64().ok_or_else(|| format!("{key}: expected a number, got {}", self.show(key)))
    }

    /// One number, or one for each channel.
    pub(super) fn numbers(self, key: &str, default: f64) -> Result<Vec<f64>> {
        match self.get(key) {
            None => Ok(vec![default]),
            Some(value) => numbers(value).ok_or_else(|| {
                format!("{key}: expected a number, or one for each channel, got {}", self.show(key))
            }),
        }
    }

    /// Top, bottom, left and right: one number, two for the axes, or two for each. Of a layer of
    /// sequences, one number or two.
    pub(super) fn sides(self, key: &str, default: usize) -> Result<[usize; 4]> {
        let [rows, columns] = match self.get(key).map(|p| (p, p.as_array())) {
            Some((ends, _)) if self.is_of_sequences() => [Some((0, 0)), sides(ends)],
            None if self.is_of_sequences() => [Some((0, 0)), Some((default, default))],
            Some((_, Some(pair))) => match pair.as_slice() {
                [rows, columns] => [sides(rows), sides(columns)],
                _ => [None, None],
            },
            Some((one, None)) => [sides(one), sides(one)],
            None => [Some((default, default)); 2],
        };
        match (rows, columns) {
            (Some((top, bottom)), Some((left, right))) => Ok([top, bottom, left, right]),
            _ => Err(format!("{key} {} is not understood", self.show(key))),
        }
    }
}

/// The two sides of one axis: one number for both, or a pair.
fn sides(json: &Json) -> Option<(usize, usize)> {
    match json.as_array() {
        Some(pair) => match pair.as_slice() {
            [before, after] => Some((size(before)?, size(after)?)),
            _ => None,
        },
        None => size(json).map(|n| (n, n)),
    }
}

/// A number, or numbers along the last axis: a list, a NumPy array or a tensor. Each must be an
/// f32.
pub(super) fn numbers(json: &Json) -> Option<Vec<f64>> {
    let number = |json: &Json| json.as_f64().filter(|x| (*x as f32).is_finite());
    if let Some(array) = json.as_array() {
        return match array.as_slice() {
            [inner] if inner.is_array() => numbers(inner),
            list => list.iter().map(number).collect::<Option<Vec<_>>>().filter(|l| !l.is_empty()),
        };
    }
    match json.get("class_name").and_then(Json::as_str) {
        Some("__numpy__" | "__tensor__") => numbers(json.get("config")?.get("value")?),
        _ => number(json).map(|x| vec![x]),
    }
}

/// A short quotation of JSON for an error.
pub(super) fn brief(json: &Json) -> String {
    json.to_string().chars().take(80).collect()
}

/// A whole number.
pub(super) fn size(json: &Json) -> Option<usize> {
    json.as_u64().and_then(|n| usize::try_from(n).ok())
}

pub(super) fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    json.get(key).and_then(Json::as_str).ok_or_else(|| format!("{key} is missing or not a string"))
}

/// The name of a layer, which is next to its class or in its config.
pub(super) fn layer_name(layer: &Json) -> Result<&str> {
    let inner = layer.get("config").and_then(|c| c.get("name"));
    let name = layer.get("name").or(inner).and_then(Json::as_str);
    name.ok_or_else(|| "a layer has no name".into())
}

/// The package of a class that is not Keras's own, even if it has the name of a Keras class.
pub(super) fn foreign_package(layer: &Json) -> Option<&str> {
    let text = |key: &str| layer.get(key).and_then(Json::as_str);
    let known = |module: &&str| {
        ["keras", "tf_keras", "tensorflow"].contains(&module.split('.').next().unwrap_or(module))
    };
    let module = text("module").filter(|module| !known(module));
    module.or_else(|| text("registered_name").filter(|name| name.contains('>')))
}

/// The batch shape of an input layer, or of a layer that states the shape of its input.
pub(super) fn input_shape(layer: &Json) -> Option<&Json> {
    let config = layer.get("config")?;
    config.get("batch_shape").or_else(|| config.get("batch_input_shape"))
}

/// The shape of a model's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct InputShape {
    /// Height and width, which may be open.
    pub(super) size: [Option<usize>; 2],
    pub(super) channels: usize,
    /// Whether it is a sequence, whose height is 1.
    pub(super) sequence: bool,
    /// Of how many pictures of this size it is a sequence.
    pub(super) steps: Option<usize>,
}

/// [batch, height, width, channels], [batch, length, channels] or [batch, steps, height, width,
/// channels]: height, width and length may be open.
pub(super) fn batch_shape(shape: Option<&Json>, name: &str) -> Result<InputShape> {
    let shape = shape.unwrap_or(&Json::Null);
    let error = || {
        let shown = brief(shape);
        format!(
            "the input of {name:?} has shape {shown}; expected [batch, height, width, channels], \
             [batch, length, channels] for sequences, or [batch, steps, height, width, channels] \
             for sequences of pictures, whose number is fixed"
        )
    };
    let open = |v: &Json| match v {
        Json::Null => Some(None),
        v => size(v).filter(|&side| side > 0).map(Some),
    };
    match shape.as_array().map(Vec::as_slice) {
        Some([_, sides @ .., channels]) if matches!(sides.len(), 1..=3) => {
            let sides = sides.iter().map(open).collect::<Option<Vec<_>>>().ok_or_else(error)?;
            let channels = size(channels).filter(|&c| c > 0).ok_or_else(error)?;
            let sequence = sides.len() == 1;
            let (steps, height) = match sides[..] {
                [_] => (None, Some(1)),
                [steps, height, _] => (Some(steps.ok_or_else(error)?), height),
                _ => (None, sides[0]),
            };
            Ok(InputShape { size: [height, sides[sides.len() - 1]], channels, sequence, steps })
        }
        _ => Err(error()),
    }
}

/// An upper bound on the memory of parsed JSON, without its strings. A few bytes can become a
/// hundred times as many, because an object is a tree node with room for eleven entries.
pub(super) fn parsed_size(json: &[u8]) -> usize {
    const VALUE: usize = size_of::<Json>();
    const OBJECT: usize = 12 * (size_of::<String>() + VALUE);
    // Commas and brackets in strings are counted too, which keeps this an upper bound.
    let cost = |byte: &u8| match byte {
        b'{' => OBJECT,
        // A list may have twice the capacity that it needs.
        b',' | b'[' => 2 * VALUE,
        _ => 0,
    };
    json.iter().map(cost).sum()
}
