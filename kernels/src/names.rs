//! What a plan reports of the kernels that it runs.

use alloc::string::String;

/// The names that there are, joined by `+`.
pub(crate) fn joined(names: &[Option<&str>]) -> String {
    let mut all = String::new();
    for name in names.iter().flatten() {
        if !all.is_empty() {
            all.push('+');
        }
        all.push_str(name);
    }
    all
}
