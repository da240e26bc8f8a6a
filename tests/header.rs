// SPDX-License-Identifier: GPL-2.0-only
//! The committed C header is the one that the sources give.

use std::path::Path;

/// `XPT_BLESS=1` writes the header instead of comparing it.
#[test]
fn header_is_up_to_date() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(top.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::generate_with_config(top, config)
        .unwrap()
        .write(&mut made);
    let made = String::from_utf8(made).unwrap();

    let path = top.join("xen-glue/include/xpt.h");
    if std::env::var_os("XPT_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{} is stale: run XPT_BLESS=1 cargo test --test header",
        path.display()
    );
}
