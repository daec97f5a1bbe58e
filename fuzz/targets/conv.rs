//! Standard and grouped convolutions, pools and element-wise steps against the naive loops.
#![no_main]

use common::{Expected, Mode};
use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv_fuzz::Case;
use sepconv_kernels::naive::{self, Sum};
use sepconv_kernels::*;

fuzz_target!(|case: Case| -> Corpus {
    // The multiplier says which layer it is.
    let kept = match case.multiplier {
        1 | 2 => conv(case),
        3 => pool(&case, PoolKind::Max, case.window) && pool(&case, PoolKind::Average, case.window),
        _ => {
            let [_, h, w, _] = case.input;
            pool(&case, PoolKind::Average, Window::new([h, w]))
                && pool(&case, PoolKind::Max, Window::new([1, 1]))
        }
    };
    if kept { Corpus::Keep } else { Corpus::Reject }
});

fn conv(case: Case) -> bool {
    let (window, groups) = (case.window, case.groups);
    let [n, h, w, c] = case.input;
    let case = Case { input: [n, h, w, c.div_ceil(groups) * groups], ..case };
    let channels_out = case.channels_out.div_ceil(groups) * groups;
    case.check_conv("standard", window, groups, channels_out, &|case, data, level| {
        let (weights, bias) = (data.weights.elements(), data.bias.as_deref());
        let mut params = ConvParams::new(window, channels_out, weights).groups(groups);
        params.bias = bias;
        Box::new(Conv::new(case.input, &params, &case.options(level)).unwrap())
    })
}

fn pool(case: &Case, kind: PoolKind, window: Window) -> bool {
    let taps = window.kernel[0] * window.kernel[1];
    let Some(output) = case.output(&window, case.input[3], taps) else { return false };
    let data = case.data(output, 0);
    let x = data.loaded(case.input, case.input_activation);
    let mut sums = naive::pool(kind, case.input, &x, &window);
    // A maximum is one of its taps; the tap's own error is all it has.
    if kind == PoolKind::Max {
        sums = sums.into_iter().map(|s| Sum { magnitude: s.value.abs(), ..s }).collect();
    }
    // A mean of integers is rounded once by the division.
    let mode = match (kind, case.mode) {
        (PoolKind::Average, Mode::Integers) => Mode::Reals,
        (_, mode) => mode,
    };
    let expected = Expected { mode, ..case.expected(sums, taps + 1) };
    let whole = window == Window::new([case.input[1], case.input[2]]);
    case.run_all("pool", &data, &expected, &|case, _, level| {
        let options = case.options(level);
        match (kind, window.kernel) {
            (PoolKind::Average, _) if whole => {
                Box::new(GlobalAveragePool::new(case.input, &options).unwrap())
            }
            (PoolKind::Max, [1, 1]) if window == Window::new([1, 1]) => {
                Box::new(Elementwise::new(case.input, &options).unwrap())
            }
            _ => Box::new(Pool::new(case.input, kind, window, &options).unwrap()),
        }
    });
    true
}
