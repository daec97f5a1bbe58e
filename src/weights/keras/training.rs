//! Reads from the loss that a model was compiled with whether its outputs are logits.

use serde_json::Value as Json;

use crate::weights::Link;

/// The function that turns an output into probabilities, if its loss takes logits. The output is
/// called `output`, is number `index` of the model, and has `units` numbers. `training` is
/// `compile_config` or `training_config`.
pub(super) fn logits(training: &Json, output: &str, index: usize, units: usize) -> Option<Link> {
    let loss = training.get("loss")?;
    let loss = match loss {
        Json::Array(losses) => losses.get(index)?,
        // An object with a class is one loss; otherwise it maps outputs to losses.
        Json::Object(losses) if !losses.contains_key("class_name") => losses.get(output)?,
        loss => loss,
    };
    if !loss.get("config")?.get("from_logits")?.as_bool()? {
        return None;
    }
    let class = loss.get("class_name")?.as_str()?;
    Some(match class.contains("Binary") || units == 1 {
        true => Link::Sigmoid,
        false => Link::Softmax,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn losses_of_logits() {
        let of = |loss: Json, index, units| {
            logits(&json!({ "loss": loss }), &format!("out{index}"), index, units)
        };
        let loss = |class: &str, from_logits: bool| json!({ "class_name": class, "config": { "from_logits": from_logits } });
        let sparse = loss("SparseCategoricalCrossentropy", true);
        assert_eq!(of(sparse.clone(), 0, 10), Some(Link::Softmax));
        assert_eq!(of(sparse.clone(), 0, 1), Some(Link::Sigmoid));
        assert_eq!(of(loss("BinaryCrossentropy", true), 0, 3), Some(Link::Sigmoid));
        assert_eq!(of(loss("BinaryCrossentropy", false), 0, 3), None);
        assert_eq!(of(json!("sparse_categorical_crossentropy"), 0, 3), None);
        assert_eq!(of(json!(["mse", sparse]), 1, 3), Some(Link::Softmax));
        assert_eq!(of(json!({ "out1": sparse, "out0": "mse" }), 1, 3), Some(Link::Softmax));
        assert_eq!(of(json!({ "out1": sparse, "out0": "mse" }), 0, 3), None);
        assert_eq!(of(Json::Null, 0, 3), None);
    }
}
