//! What can be asked for, and the answers.

use std::collections::BTreeMap;

use sepconv::image::Picture;
use sepconv::kernels::{Arithmetic, Level, available_threads};
use serde::{Deserialize, Serialize};

use crate::compare::{self, Layer};
use crate::model::{self, Loaded, Source};
use crate::{Result, sentence, timing};

/// A request. The names are those of the methods in `pkg/sepconv.d.ts`, which describes them.
#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "camelCase")]
enum Request {
    About,
    #[cfg(feature = "threads")]
    Threads {
        count: usize,
    },
    Digits {
        arithmetic: Option<String>,
    },
    Sheet,
    Load {
        #[serde(flatten)]
        options: LoadOptions,
    },
    Close {
        model: u32,
    },
    Classify {
        model: u32,
        name: String,
        /// \[Height, width\] of rows of RGB; None for a JPEG or PNG file.
        size: Option<[usize; 2]>,
        top: usize,
    },
    Run {
        model: u32,
    },
    Time {
        model: u32,
        milliseconds: f64,
    },
    Peak {
        arithmetic: Option<String>,
    },
    Compare {
        #[serde(flatten)]
        layer: Layer,
        arithmetic: Option<String>,
        milliseconds: f64,
    },
}

#[derive(Deserialize)]
struct LoadOptions {
    name: String,
    arithmetic: Option<String>,
    /// \[Height, width\] of the input.
    size: Option<[usize; 2]>,
    /// Whether outputs that are neither a softmax nor a sigmoid are logits.
    logits: bool,
}

/// The models that are loaded.
pub(crate) struct Calls {
    models: BTreeMap<u32, Loaded>,
    next: u32,
}

impl Calls {
    pub(crate) const fn new() -> Self {
        Self { models: BTreeMap::new(), next: 0 }
    }

    fn model(&mut self, model: u32) -> Result<&mut Loaded> {
        self.models.get_mut(&model).ok_or_else(|| format!("model {model} is not loaded"))
    }

    fn add(&mut self, loaded: Loaded) -> Result<Answer> {
        let model = self.next;
        self.next += 1;
        let answer = json(&model::Described { model, info: loaded.info() });
        self.models.insert(model, loaded);
        answer
    }
}

/// JSON, and bytes that go with it.
type Answer = (Vec<u8>, Vec<u8>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    version: &'static str,
    level: &'static str,
    /// Whether the level has fused multiply-adds.
    has_fma: bool,
    /// What plans are made in if the caller names nothing.
    arithmetic: &'static str,
    threads: usize,
}

/// Answers a request.
pub(crate) fn answer(calls: &mut Calls, request: &[u8], sent: Vec<u8>) -> Result<Answer> {
    let request: Request = serde_json::from_slice(request).map_err(|e| format!("request: {e}"))?;
    match request {
        Request::About => json(&About {
            version: env!("CARGO_PKG_VERSION"),
            level: Level::best().name(),
            has_fma: Level::best().has_fma(),
            arithmetic: arithmetic(None)?.name(),
            threads: available_threads(),
        }),
        #[cfg(feature = "threads")]
        Request::Threads { count } => {
            crate::threads::start(count)?;
            json(&())
        }
        Request::Digits { arithmetic: name } => {
            calls.add(model::digits(arithmetic(name.as_deref())?)?)
        }
        Request::Sheet => {
            let (sheet, gray) = model::sheet()?;
            Ok((json(&sheet)?.0, gray))
        }
        Request::Load { options: LoadOptions { name, arithmetic: wanted, size, logits } } => {
            let arithmetic = wanted.map(|wanted| arithmetic(Some(&wanted))).transpose()?;
            let source = Source { name: &name, size, logits, arithmetic };
            calls.add(model::load(source, sent)?)
        }
        Request::Close { model } => match calls.models.remove(&model) {
            Some(_) => json(&()),
            None => Err(format!("model {model} is not loaded")),
        },
        Request::Classify { model, name, size, top } => {
            let picture = match size {
                Some(size) => (Picture::new(size, sent).map_err(sentence)?, None),
                None => model::decode(&name, &sent)?,
            };
            let (classified, numbers) = calls.model(model)?.classify(picture, top)?;
            Ok((json(&classified)?.0, numbers))
        }
        Request::Run { model } => {
            let (outputs, values) = calls.model(model)?.run(&sent)?;
            Ok((json(&outputs)?.0, values))
        }
        Request::Time { model, milliseconds } => {
            json(&timing::time(calls.model(model)?, milliseconds)?)
        }
        Request::Peak { arithmetic: name } => json(&timing::peak(arithmetic(name.as_deref())?)?),
        Request::Compare { layer, arithmetic: name, milliseconds } => {
            json(&compare::compare(&layer, arithmetic(name.as_deref())?, milliseconds)?)
        }
    }
}

fn json(value: &impl Serialize) -> Result<Answer> {
    Ok((serde_json::to_vec(value).map_err(sentence)?, Vec::new()))
}

/// The arithmetic of that name; without a name exact if the level multiplies and adds at once, else
/// unfused, which is exact's speed without such instructions.
fn arithmetic(name: Option<&str>) -> Result<Arithmetic> {
    match name {
        None if Level::best().has_fma() => Ok(Arithmetic::Exact),
        None | Some("unfused") => Ok(Arithmetic::Unfused),
        Some("exact") => Ok(Arithmetic::Exact),
        Some(other) => Err(format!("arithmetic: expected exact or unfused, got {other:?}")),
    }
}
