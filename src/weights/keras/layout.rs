//! Finds each variable in an HDF5 file, by Keras 3's paths or by the legacy lists of names.

use std::collections::HashMap;

use sepconv_kernels::NormalizationKind;

use super::config::{Content, Entry};
use crate::network::{Network, Op};
use crate::weights::hdf5::Hdf5;
use crate::weights::{Variable, variables};

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// Variables by layer.
pub(super) type Layers = HashMap<String, Vec<Variable>>;

/// A variable of `Normalization` layers that is in files, but not in networks: the number of
/// samples that the mean and variance were computed from.
pub(super) const COUNT: &str = "count";

/// A network's variables grouped by layer, in order.
pub(super) fn by_layer(network: &Network) -> crate::Result<Layers> {
    let mut layers = Layers::new();
    for variable in variables(network)? {
        let own = layers.entry(variable.layer.clone()).or_default();
        own.push(variable);
    }
    for node in network.nodes() {
        if let (Op::Standardize { .. }, Some(own)) = (&node.op, layers.get_mut(&node.layer))
            && own.iter().all(|variable| variable.name != COUNT)
        {
            let (layer, shape) = (node.layer.clone(), Vec::new());
            own.push(Variable { layer, name: COUNT, shape, trainable: false });
        }
    }
    Ok(layers)
}

/// The shapes that files may give a variable. Arrays of layers of sequences have no height: \[k, C,
/// O\] is the kernel \[1, k, C, O\].
pub(super) fn stored_shapes(variable: &Variable) -> Vec<&[usize]> {
    let whole = &variable.shape[..];
    match whole {
        [1, rest @ ..] if rest.len() >= 2 => vec![whole, rest],
        _ => vec![whole],
    }
}

/// A variable and the path of its dataset.
pub(super) type Place<'a> = (&'a Variable, String);

/// The names of the group of a model's layers: in Keras 3, and in TensorFlow 2.12's first `.keras`
/// files.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// The tree of a network without a configuration: its layers with variables, in order.
pub(super) fn flat(network: &Network) -> Vec<Entry> {
    let entry = |node: &crate::network::Node| {
        let class = match node.op {
            Op::Conv { .. } => "Conv2D",
            Op::Depthwise { .. } => "DepthwiseConv2D",
            Op::Separable { .. } => "SeparableConv2D",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Dense { .. } => "Dense",
            Op::PRelu { .. } => "PReLU",
            Op::ConvTranspose { .. } => "Conv2DTranspose",
            Op::Standardize { .. } => "Normalization",
            Op::Scale => "LayerScale",
            Op::Normalize { kind: NormalizationKind::Group { .. }, .. } => "GroupNormalization",
            Op::Normalize { kind: NormalizationKind::Rms, .. } => "RMSNormalization",
            Op::Normalize { .. } | Op::NormalizeOver { .. } => "LayerNormalization",
            _ => return None,
        };
        Some(Entry {
            class: class.into(),
            name: node.layer.clone(),
            trainable: true,
            content: Content::Layer(node.layer.clone()),
        })
    };
    network.nodes().iter().filter_map(entry).collect()
}

/// Whether this is the layout of Keras 3's `.weights.h5`.
pub(super) fn is_current(file: &Hdf5) -> Result<bool> {
    let groups = file.groups("")?;
    Ok(CONTAINERS.iter().any(|c| groups.iter().any(|g| g == c)))
}

/// The name by which Keras 3 counts layers of a class: `SeparableConv2D` is `separable_conv2d`.
fn snake_case(class: &str) -> String {
    let class: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (i, &c) in class.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| class[j]);
        let after = class.get(i + 1);
        // Keras's two substitutions: a word starts at Xx, and between a small letter and a capital.
        let word = c.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase);
        let bump = c.is_ascii_uppercase() && before.is_some_and(|b| b.is_ascii_lowercase());
        if i > 0 && (word || bump) {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// Whether an entry or its nested layers own variables.
fn owns(entry: &Entry, layers: &Layers) -> bool {
    match &entry.content {
        Content::Layer(layer) => layers.contains_key(layer),
        Content::Model(inner) => inner.iter().any(|e| owns(e, layers)),
    }
}

/// Keras 3: `<group>/layers/<snake_case_class>[_n]/vars/<i>`. Classes are counted for each model in
/// the order of its layers; nested models are handled by recursion. Newer files also store the name
/// of each layer next to its variables. If they store all names that are needed, names decide
/// instead.
pub(super) fn current<'a>(
    file: &Hdf5,
    group: &str,
    entries: &[Entry],
    layers: &'a Layers,
    places: &mut Vec<Place<'a>>,
) -> Result<()> {
    let groups = file.groups(group)?;
    let container = CONTAINERS.iter().find(|c| groups.iter().any(|g| g == *c));
    let container = container.ok_or_else(|| format!("group {group:?} has no group of layers"))?;
    let base = format!("{group}{}{container}", if group.is_empty() { "" } else { "/" });

    let mut named: HashMap<String, String> = HashMap::new();
    for child in file.groups(&base)? {
        let path = format!("{base}/{child}");
        if file.groups(&path)?.iter().any(|g| g == "vars") {
            let attributes = file.attributes(&format!("{path}/vars"))?;
            if let Some(name) = attributes.string("name") {
                named.insert(name.into(), path);
            }
        }
    }
    let wanted = || entries.iter().filter(|e| owns(e, layers));
    let by_name = wanted().all(|e| named.contains_key(&e.name));

    let mut counts: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let class = snake_case(&entry.class);
        let count = counts.entry(class.clone()).or_default();
        let counted =
            if *count == 0 { format!("{base}/{class}") } else { format!("{base}/{class}_{count}") };
        *count += 1;
        if !owns(entry, layers) {
            continue;
        }
        let path = match named.get(&entry.name) {
            Some(path) if by_name => path.clone(),
            _ => counted,
        };
        let inner = if entry.class == "TimeDistributed" { "/layer" } else { "" };
        match &entry.content {
            Content::Model(entries) => {
                current(file, &format!("{path}{inner}"), entries, layers, places)?;
            }
            Content::Layer(layer) => {
                let vars = format!("{path}{inner}/vars");
                let wanted = &layers[layer];
                let found = file.datasets(&vars).map_err(|e| {
                    format!("the variables of layer {layer:?} are missing ({vars}): {e}")
                })?;
                if found.len() != wanted.len() {
                    return Err(count_error(layer, found.len(), wanted));
                }
                places.extend(wanted.iter().zip(0..).map(|(v, i)| (v, format!("{vars}/{i}"))));
            }
        }
    }
    Ok(())
}

fn count_error(layer: &str, found: usize, wanted: &[Variable]) -> String {
    let names: Vec<&str> = wanted.iter().map(|v| v.name).collect();
    let (needed, names) = (wanted.len(), names.join(", "));
    format!("layer {layer:?}: expected {needed} arrays ({names}), got {found}")
}

/// Legacy HDF5: attribute `layer_names` lists groups, whose attribute `weight_names` lists
/// datasets. Layers are matched by order, as in Keras. The arrays of a nested model are matched by
/// name if all names are known (`block1_conv1/kernel`), by order otherwise.
pub(super) fn legacy<'a>(
    file: &Hdf5,
    group: &str,
    entries: &[Entry],
    layers: &'a Layers,
    places: &mut Vec<Place<'a>>,
) -> Result<()> {
    let mut found = legacy_arrays(file, group)?;
    // Some layers that do nothing at inference store the state of their random numbers.
    let is_idle = |name: &str| entries.iter().any(|e| e.name == name && !owns(e, layers));
    found.retain(|(name, _)| !is_idle(name));
    let wanted: Vec<&Entry> = entries.iter().filter(|e| owns(e, layers)).collect();
    if found.len() != wanted.len() {
        return Err(format!("expected {} layers with weights, got {}", wanted.len(), found.len()));
    }
    for (entry, (group_name, names)) in wanted.into_iter().zip(&found) {
        let path = |name: &str| match group {
            "" => format!("{group_name}/{name}"),
            _ => format!("{group}/{group_name}/{name}"),
        };
        match &entry.content {
            Content::Layer(layer) => {
                let variables = &layers[layer];
                if names.len() != variables.len() {
                    return Err(count_error(layer, names.len(), variables));
                }
                places.extend(variables.iter().zip(names).map(|(v, name)| (v, path(name))));
            }
            Content::Model(inner) => {
                let mut variables = Vec::new();
                nested(inner, layers, &mut variables);
                if names.len() != variables.len() {
                    let (model, needed) = (&entry.name, variables.len());
                    return Err(format!(
                        "model {model:?}: expected {needed} arrays, got {}",
                        names.len()
                    ));
                }
                let places_of = by_name(&variables, names).unwrap_or_else(|| {
                    let order = [true, false].map(|trained| {
                        variables.iter().filter(move |v| v.trained == trained).map(|v| v.variable)
                    });
                    order.into_iter().flatten().collect()
                });
                places.extend(places_of.into_iter().zip(names).map(|(v, name)| (v, path(name))));
            }
        }
    }
    Ok(())
}

/// The variable of each array of a list that is in no groups: by name if all names are known, by
/// order otherwise.
pub(super) fn listed<'a>(
    entries: &[Entry],
    layers: &'a Layers,
    names: &[String],
) -> Result<Vec<&'a Variable>> {
    let mut variables = Vec::new();
    nested(entries, layers, &mut variables);
    if names.len() != variables.len() {
        return Err(format!("expected {} arrays of weights, got {}", variables.len(), names.len()));
    }
    let in_order = || variables.iter().map(|v| v.variable).collect();
    Ok(by_name(&variables, names).unwrap_or_else(in_order))
}

/// The groups that have weights, with the names of their arrays, in order.
pub(super) fn legacy_arrays(file: &Hdf5, group: &str) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    for name in file.attributes(group)?.strings("layer_names") {
        let path = if group.is_empty() { name.clone() } else { format!("{group}/{name}") };
        let weights = file.attributes(&path)?.strings("weight_names");
        if !weights.is_empty() {
            found.push((name, weights));
        }
    }
    Ok(found)
}

/// A variable of a nested model.
struct Nested<'a, 'e> {
    /// The Keras name of its layer.
    layer: &'e str,
    variable: &'a Variable,
    /// Whether it is one of the model's trainable weights, which come first.
    trained: bool,
}

/// A nested model's variables, in the order of its layers.
fn nested<'a, 'e>(entries: &'e [Entry], layers: &'a Layers, variables: &mut Vec<Nested<'a, 'e>>) {
    for entry in entries {
        match &entry.content {
            Content::Model(inner) => nested(inner, layers, variables),
            Content::Layer(layer) => {
                let own = layers.get(layer).into_iter().flatten();
                variables.extend(own.map(|variable| Nested {
                    layer: &entry.name,
                    variable,
                    trained: entry.trainable && variable.trainable,
                }));
            }
        }
    }
}

/// The variable of each array name. None if a name matches no variable, or if two match the same
/// one.
fn by_name<'a>(variables: &[Nested<'a, '_>], names: &[String]) -> Option<Vec<&'a Variable>> {
    let mut known: HashMap<(String, &str), &'a Variable> = HashMap::new();
    for Nested { layer, variable, .. } in variables {
        // Keras 3 calls the kernel of a plain depthwise layer `kernel`.
        let alone = variable.name == "depthwise_kernel"
            && !variables.iter().any(|v| {
                v.variable.layer == variable.layer && v.variable.name == "pointwise_kernel"
            });
        let name = if alone { "kernel" } else { variable.name };
        if known.insert((layer.to_string(), name), variable).is_some() {
            return None;
        }
    }
    let mut found = Vec::new();
    for name in names {
        let mut parts = name.rsplit('/');
        let variable = parts.next()?;
        let variable = variable.split_once(':').map_or(variable, |(v, _)| v);
        let layer = parts.next()?.to_owned();
        let kernel = (layer.clone(), "kernel");
        let alone = variable == "depthwise_kernel" && known.contains_key(&kernel);
        found.push(known.remove(&if alone { kernel } else { (layer, variable) })?);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn snake_case_is_keras() {
        for (class, name) in [
            ("Conv2D", "conv2d"),
            ("SeparableConv2D", "separable_conv2d"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("BatchNormalization", "batch_normalization"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("ReLU", "re_lu"),
            ("ELU", "elu"),
            ("Functional", "functional"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}
