//! The fields of a JSON object. Errors quote the JSON.

use serde_json::{Map, Value as Json, json};

/// Errors are sentences; the caller adds the file's name in front.
pub(super) type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    pub(super) fn of(json: &'a Json, what: &str) -> Result<Self> {
        let object = json.as_object();
        object.map(Self).ok_or_else(|| format!("{what}: expected an object, got {}", brief(json)))
    }

    /// None if it is absent or null.
    pub(super) fn get(self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn wrong<T>(self, key: &str, expected: &str) -> Result<T> {
        let got = self.0.get(key).map_or("nothing".into(), brief);
        Err(format!("{key}: expected {expected}, got {got}"))
    }

    pub(super) fn text(self, key: &str) -> Result<&'a str> {
        self.get(key).and_then(Json::as_str).map_or_else(|| self.wrong(key, "a string"), Ok)
    }

    pub(super) fn flag(self, key: &str) -> Result<bool> {
        self.get(key).and_then(Json::as_bool).map_or_else(|| self.wrong(key, "true or false"), Ok)
    }

    pub(super) fn flag_or(self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |_| self.flag(key))
    }

    pub(super) fn list(self, key: &str) -> Result<&'a [Json]> {
        let list = self.get(key).and_then(Json::as_array);
        list.map_or_else(|| self.wrong(key, "a list"), |list| Ok(&list[..]))
    }

    /// A whole number above 0.
    pub(super) fn count(self, key: &str) -> Result<usize> {
        let n = self.get(key).and_then(size).filter(|&n| n > 0);
        n.map_or_else(|| self.wrong(key, "a whole number above 0"), Ok)
    }

    /// So many whole numbers, `least` or more.
    pub(super) fn sizes<const N: usize>(self, key: &str, least: usize) -> Result<[usize; N]> {
        let list = self.get(key).and_then(Json::as_array).map_or(&[][..], |list| list);
        let sizes: Option<Vec<usize>> =
            list.iter().map(|n| size(n).filter(|&n| n >= least)).collect();
        let sizes = sizes.and_then(|sizes| sizes.try_into().ok());
        sizes.map_or_else(
            || self.wrong(key, &format!("{N} whole numbers, each at least {least}")),
            Ok,
        )
    }

    pub(super) fn number(self, key: &str) -> Result<f64> {
        self.get(key).and_then(number).map_or_else(|| self.wrong(key, "a number"), Ok)
    }

    /// A number that may be infinite.
    pub(super) fn single(self, key: &str) -> Result<f32> {
        match self.get(key).and_then(Json::as_str) {
            Some("inf") => Ok(f32::INFINITY),
            Some("-inf") => Ok(f32::NEG_INFINITY),
            _ => self.number(key).map(|x| x as f32),
        }
    }

    /// Finite numbers, one or more unless `may_be_empty`.
    pub(super) fn numbers(self, key: &str) -> Result<Vec<f64>> {
        let numbers = self.get(key).and_then(Json::as_array);
        let numbers = numbers.and_then(|list| list.iter().map(number).collect::<Option<Vec<_>>>());
        numbers.map_or_else(|| self.wrong(key, "a list of numbers"), Ok)
    }
}

/// A finite number of f32's range.
pub(super) fn number(json: &Json) -> Option<f64> {
    json.as_f64().filter(|x| (*x as f32).is_finite())
}

pub(super) fn size(json: &Json) -> Option<usize> {
    json.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// A number that may be infinite, as [`Fields::single`] reads it.
pub(super) fn single(x: f32) -> Json {
    match x {
        f32::INFINITY => "inf".into(),
        f32::NEG_INFINITY => "-inf".into(),
        _ => json!(x),
    }
}

/// A short quotation of JSON for an error.
pub(super) fn brief(json: &Json) -> String {
    json.to_string().chars().take(80).collect()
}
