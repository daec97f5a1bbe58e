//! What the outputs of a classifier mean.

use super::graph::{Network, NodeId, OutputKind};
use crate::Result;
use crate::weights::Link;

/// What the first output of a classifier means.
///
/// ```
/// # use sepconv::network::*;
/// # use sepconv::weights::Link;
/// let mut network = Network::new("small", "input", [Some(1); 2], 3);
/// let logits = network.output();
/// let classes = Classes::new(&mut network, 3, Some(Link::Softmax))?; // as a file says
/// assert_eq!(network.kind(classes.shown), OutputKind::Softmax { logits });
/// assert_eq!(classes.logits, Some(logits));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classes {
    /// The node whose numbers are those of the classes: after a softmax or sigmoid, if there is
    /// one.
    pub shown: NodeId,
    /// The node that the softmax or sigmoid is applied to.
    pub logits: Option<NodeId>,
    /// Whether probabilities are shown.
    pub is_probable: bool,
    /// Whether there is a single number, the probability of class 1, and that of class 0 is the
    /// rest.
    pub is_yes_or_no: bool,
}

impl Classes {
    /// Of a network whose first output has so many numbers. If these aren't probabilities and there
    /// is a `link`, it is appended to the network.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// let mut network = Network::new("small", "input", [Some(1); 2], 3);
    /// let classes = Classes::new(&mut network, 3, None)?;
    /// assert!(!classes.is_probable);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Network::push`].
    pub fn new(network: &mut Network, outputs: usize, link: Option<Link>) -> Result<Self> {
        let mut shown = network.outputs()[0].node;
        if let (OutputKind::Values, Some(link)) = (network.kind(shown), link) {
            let mut name = "probabilities".to_owned();
            while network.find(&name).is_some() {
                name.push('_');
            }
            shown = network.push(&name, link.op(), &[shown])?;
        }
        let kind = network.kind(shown);
        let logits = match kind {
            OutputKind::Softmax { logits } | OutputKind::Sigmoid { logits } => Some(logits),
            _ => None,
        };
        let is_sigmoid = matches!(kind, OutputKind::Sigmoid { .. });
        let is_probable = kind != OutputKind::Values;
        Ok(Self { shown, logits, is_probable, is_yes_or_no: is_sigmoid && outputs == 1 })
    }

    /// The largest of the shown numbers and their classes, largest first: at most `count`, of equal
    /// ones the first class first, NaN last.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// # use sepconv::weights::Link;
    /// let mut network = Network::new("small", "input", [Some(1); 2], 3);
    /// let three = Classes::new(&mut network, 3, None)?;
    /// assert_eq!(three.largest(&[0.5, 2.0, 0.5], 2), [(1, 2.0), (0, 0.5)]);
    /// let mut network = Network::new("smaller", "input", [Some(1); 2], 1);
    /// let yes_or_no = Classes::new(&mut network, 1, Some(Link::Sigmoid))?;
    /// assert_eq!(yes_or_no.largest(&[0.25], 2), [(0, 0.75), (1, 0.25)]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn largest(&self, numbers: &[f32], count: usize) -> Vec<(usize, f32)> {
        let mut order: Vec<(usize, f32)> = match *numbers {
            [yes] if self.is_yes_or_no => vec![(0, 1.0 - yes), (1, yes)],
            _ => numbers.iter().copied().enumerate().collect(),
        };
        // The sort is stable.
        order.sort_by(|(_, a), (_, b)| a.is_nan().cmp(&b.is_nan()).then((-a).total_cmp(&-b)));
        order.truncate(count);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_last_and_equal_numbers_keep_their_order() {
        let mut network = Network::new("small", "input", [Some(1); 2], 5);
        let classes = Classes::new(&mut network, 5, None).unwrap();
        let order = |numbers| {
            let largest = classes.largest(numbers, 4);
            largest.iter().map(|&(class, _)| class).collect::<Vec<_>>()
        };
        assert_eq!(order(&[f32::NAN, 1.0, -f32::NAN, 1.0, f32::INFINITY]), [4, 1, 3, 0]);
        assert_eq!(order(&[0.0, -1.0, f32::NEG_INFINITY, 0.0, 7.0]), [4, 0, 3, 1]);
    }

    #[test]
    fn a_link_follows_values_alone_under_a_name_of_its_own() {
        let mut network = Network::new("small", "input", [Some(1); 2], 3);
        let softmax = network.push("probabilities", Link::Softmax.op(), &[network.output()]);
        let softmax = softmax.unwrap();
        let classes = Classes::new(&mut network, 3, Some(Link::Sigmoid)).unwrap();
        assert_eq!(classes.shown, softmax);
        let values = network.push("values", crate::network::Op::Identity, &[NodeId::FIRST]);
        let classes = Classes::new(&mut network, 3, Some(Link::Sigmoid)).unwrap();
        assert_eq!(classes.logits, Some(values.unwrap()));
        assert_eq!(network.node(classes.shown).name, "probabilities_");
        assert!(!classes.is_yes_or_no);
    }
}
