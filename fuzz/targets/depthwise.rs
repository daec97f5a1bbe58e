//! Depthwise convolutions against the naive loops.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv_fuzz::Case;
use sepconv_kernels::{Arithmetic, Depthwise, DepthwiseParams};

fuzz_target!(|case: Case| -> Corpus {
    // Depthwise layers are exact in each arithmetic but unfused.
    let mut case = case;
    let asked = case.arithmetic;
    if asked != Arithmetic::Unfused {
        case.arithmetic = Arithmetic::Exact;
    }
    let channels = case.input[3];
    let (window, multiplier) = (case.window, case.multiplier);
    let kept = case.check_conv(
        "depthwise",
        window,
        channels,
        channels * multiplier,
        &|case, data, level| {
            let (weights, bias) = (data.weights.elements(), data.bias.as_deref());
            let mut params = DepthwiseParams::new(window, weights).multiplier(multiplier);
            params.bias = bias;
            Box::new(
                Depthwise::new(case.input, &params, &case.options(level).arithmetic(asked))
                    .unwrap(),
            )
        },
    );
    if kept { Corpus::Keep } else { Corpus::Reject }
});
