// SPDX-License-Identifier: GPL-2.0-only
//! The table that `cargo xtask boot` ends with.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use console::Term;
use nix::errno::Errno;

use crate::{
    parts::{judge_row, look},
    paths::Kind,
    qemu::Boot,
    rows::ROWS,
    series::Series,
};

/// The rows for one Xen, and how many are not as they should be.
pub(crate) fn render(boots: &[Boot], series: Series) -> (String, usize) {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width())
        .set_header([
            "problem".to_owned(),
            "what the guest did".to_owned(),
            format!("unmodified Xen {}", series.name()),
            "with xen-passthrough".to_owned(),
        ]);
    let mut bad = 0_usize;
    for row in ROWS {
        let mut cells = vec![row.problem.to_owned(), row.did.to_owned()];
        let mut good = true;
        for kind in [Kind::Vanilla, Kind::Xpt] {
            let seen = look(boots, series, kind, row);
            let wrong = judge_row(row, series, kind, &seen);
            good &= wrong.is_none();
            cells.push(cell(&seen.text(), wrong));
        }
        if !good {
            bad = bad.saturating_add(1);
        }
        table.add_row(cells);
    }
    (format!("\nXen {}\n{table}", series.name()), bad)
}

fn cell(seen: &str, wrong: Option<String>) -> String {
    let seen = with_name(seen);
    match wrong {
        None => seen,
        Some(wrong) => format!("{seen}\n<- {wrong}"),
    }
}

/// `-38` with its name, `-38 (ENOSYS)`; for these numbers Xen's are Linux's.
fn with_name(answer: &str) -> String {
    let number = answer
        .strip_prefix('-')
        .and_then(|number| number.parse().ok());
    match number.map(Errno::from_raw) {
        None | Some(Errno::UnknownErrno) => answer.to_owned(),
        Some(name) => format!("{answer} ({name:?})"),
    }
}

/// As wide as the terminal, within what reads well.
pub(crate) fn width() -> u16 {
    Term::stdout()
        .size_checked()
        .map_or(120, |(_, columns)| columns.clamp(80, 160))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_answers_are_named() {
        assert_eq!(with_name("-38"), "-38 (ENOSYS)");
        assert_eq!(with_name("-95"), "-95 (EOPNOTSUPP)");
        for plain in ["0", "-", "-17 of 30", "-99999", "bar0 4"] {
            assert_eq!(with_name(plain), plain);
        }
    }
}
