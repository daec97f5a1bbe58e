//! Which layers to keep in f32: those that add the most noise to the output for their work.

/// What the output loses if only this layer computes with integers, and the layer's work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// Noise ÷ signal of the output.
    pub(super) noise: f64,
    /// Its share of the network's multiply-adds.
    pub(super) work: f64,
}

/// The layers to keep, by index, until the noise of the others is at most `limit`; they have at
/// most this share of the work. Assumes that the errors of layers are independent: noise adds up.
pub(super) fn worst(losses: &[Loss], limit: f64, share: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..losses.len()).filter(|&i| losses[i].noise > 0.0).collect();
    let gain = |i: usize| losses[i].noise / losses[i].work.max(f64::MIN_POSITIVE);
    order.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
    let mut noise: f64 = losses.iter().map(|loss| loss.noise).sum();
    let (mut left, mut kept) = (share, Vec::new());
    for i in order {
        if noise <= limit {
            break;
        }
        if losses[i].work <= left {
            noise -= losses[i].noise;
            left -= losses[i].work;
            kept.push(i);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noisiest_for_their_work_are_kept() {
        let losses = [(0.5, 0.5), (0.2, 0.1), (0.25, 0.3), (0.0, 0.0), (0.05, 0.1)];
        let losses = losses.map(|(noise, work)| Loss { noise, work });
        assert_eq!(worst(&losses, 1.0, 1.0), [0_usize; 0]);
        assert_eq!(worst(&losses, 0.9, 1.0), [1]);
        assert_eq!(worst(&losses, 0.4, 1.0), [1, 0]);
        // Too much work is passed over.
        assert_eq!(worst(&losses, 0.0, 0.45), [1, 2]);
        assert_eq!(worst(&losses, 0.0, 0.0), [0_usize; 0]);
        assert_eq!(worst(&losses, 0.0, 1.0), [1, 0, 2, 4]);
    }
}
