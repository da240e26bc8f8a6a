// SPDX-License-Identifier: GPL-2.0-only
//! Tables of a document that a test makes, and compares or writes.

use std::path::Path;

/// Compares the table between the marks of `name` in `docs/<document>.md` with
/// what `test` has made; with `XPT_BLESS=1`, writes it, to be read before it is
/// committed.
pub(crate) fn check(document: &str, test: &str, name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{document}.md"));
    let text = std::fs::read_to_string(&path).unwrap();
    let open = format!("<!-- {name}: made by tests/{test}.rs -->\n\n");
    let close = format!("\n<!-- end of {name} -->");
    let (head, rest) = text
        .split_once(&open)
        .expect("the document has the opening mark");
    let (table, tail) = rest
        .split_once(&close)
        .expect("the document has the closing mark");
    if std::env::var_os("XPT_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{open}{made}{close}{tail}")).unwrap();
        return;
    }
    assert_eq!(
        table, made,
        "{name} in docs/{document}.md: XPT_BLESS=1 cargo test --test {test}"
    );
}
