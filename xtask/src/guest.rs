// SPDX-License-Identifier: GPL-2.0-only
//! What a guest test and Xen print, understood line by line.

/// One `xpt-case` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `test/case`.
    pub(crate) id: String,
    /// Whether it was what the test expects.
    pub(crate) ok: bool,
    /// What the hypervisor answered.
    pub(crate) answer: String,
    /// What the test expects instead, where it was not that.
    pub(crate) want: Option<String>,
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the test's own last word: `SUCCESS`, `FAILURE: …`.
    Result(String),
    /// Xen or dom0 died before it; why.
    Died(String),
    /// Nothing more came within the time limit.
    TimedOut,
}

/// Everything that one boot printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Console {
    lines: Vec<String>,
    /// The answers, in order.
    pub(crate) answers: Vec<Answer>,
    result: Option<String>,
    dying: bool,
    dead: bool,
}

impl Console {
    /// Takes one line.
    pub(crate) fn feed(&mut self, line: &str) {
        let line = line.trim_end();
        if self.result.is_none() {
            self.answers.extend(parse_answer(line));
        }
        if let Some(result) = after(line, "Test result: ") {
            self.result.get_or_insert_with(|| result.to_owned());
        }
        self.dying |= DYING.iter().any(|mark| line.contains(mark));
        self.dead |= DEAD.iter().any(|mark| line.contains(mark));
        self.lines.push(line.to_owned());
    }

    /// Whether nothing of interest can come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.result.is_some() || self.dead
    }

    /// Whether the end has begun, and its reason may still be under way.
    pub(crate) fn is_dying(&self) -> bool {
        self.dying
    }

    /// How it ended; `closed` when the machine is gone.
    pub(crate) fn end(&self, closed: bool) -> End {
        if let Some(result) = &self.result {
            End::Result(result.clone())
        } else if self.dead || self.dying {
            End::Died(self.death())
        } else if closed {
            End::Died(format!("QEMU ended: {}", self.tail(1)))
        } else {
            End::TimedOut
        }
    }

    /// What was printed, less the ends of lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The last `count` lines that are not empty, in one line.
    pub(crate) fn tail(&self, count: usize) -> String {
        let mut lines: Vec<&str> = self
            .lines
            .iter()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .map(|line| bare(line))
            .collect();
        lines.reverse();
        if lines.is_empty() {
            return "nothing was printed".to_owned();
        }
        lines.join(" | ")
    }

    /// Why Xen or dom0 died.
    fn death(&self) -> String {
        let mut lines = self.lines.iter().map(|line| bare(line));
        if lines.by_ref().any(|line| line.contains("Panic on CPU")) {
            return lines
                .find(|line| !line.is_empty() && !line.starts_with('*'))
                .map_or_else(|| "panic".to_owned(), |line| format!("panic: {line}"));
        }
        for marks in [&["domain_crash called from"][..], &DYING, &DEAD] {
            let hit = self
                .lines
                .iter()
                .find(|line| marks.iter().any(|mark| line.contains(mark)));
            if let Some(line) = hit {
                return bare(line).to_owned();
            }
        }
        self.tail(1)
    }
}

/// Signs that Xen or dom0 is about to be gone.
const DYING: [&str; 5] = [
    "Panic on CPU",
    "domain_crash called from",
    "Domain 0 crashed",
    ") crashed on cpu",
    "Xen BUG at",
];

/// Signs that nothing more will run.
const DEAD: [&str; 4] = [
    "Hardware Dom0 ",
    "Reboot in five seconds",
    "Manual reset required",
    "qemu-system-x86_64: ",
];

/// A console line without Xen's prefix and time.
fn bare(line: &str) -> &str {
    let mut rest = line.trim();
    for prefix in ["(XEN)", "(d0)", "(d0v0)"] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest).trim_start();
    }
    match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((stamp, text)) if stamp.trim().starts_with(|c: char| c.is_ascii_digit()) => {
            text.trim_start()
        }
        _ => rest,
    }
}

/// The text behind `mark`, up to a message of Xen's own that came between.
fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(mark)?;
    let rest = rest.split("(XEN) ").next().unwrap_or(rest);
    Some(rest.trim())
}

fn parse_answer(line: &str) -> Option<Answer> {
    let rest = after(line, "xpt-case ")?;
    let (id, rest) = rest.split_once(' ')?;
    id.split_once('/')?;
    let (verdict, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (answer, want) = match verdict {
        "ok" => (rest, None),
        "FAIL" => match rest.rsplit_once(" want ") {
            Some((answer, want)) => (answer, Some(want.to_owned())),
            None => (rest, Some(String::new())),
        },
        _ => return None,
    };
    Some(Answer {
        id: id.to_owned(),
        ok: verdict == "ok",
        answer: answer.to_owned(),
        want,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &str) -> Console {
        let mut console = Console::default();
        for line in text.lines() {
            console.feed(line);
        }
        console
    }

    #[test]
    fn answers_are_read_past_prefixes_and_carriage_returns() {
        let text = "(XEN) xpt\r\n(d0) xpt-case vpci-reset/reset ok 0\r\n\
                    [    1.2] xpt-case vpci-reset/bar0 FAIL 0x4 want 0xfebf0004\r\n\
                    xpt-case a/b ok -17 twice(XEN) d0: bind: m_gsi=1\r\n\
                    xpt-case a/b maybe 1\nxpt-case nonsense ok 1\nxpt-case a/c ok\n\
                    --- Xen\nTest result: SUCCESS\r\nxpt-case a/late ok 1\n";
        let console = console(text);
        let short: Vec<_> = console
            .answers
            .iter()
            .map(|a| (a.id.as_str(), a.ok, a.answer.as_str(), a.want.as_deref()))
            .collect();
        assert_eq!(
            short,
            [
                ("vpci-reset/reset", true, "0", None),
                ("vpci-reset/bar0", false, "0x4", Some("0xfebf0004")),
                ("a/b", true, "-17 twice", None),
                ("a/c", true, "", None),
            ]
        );
        assert!(console.is_over());
        assert_eq!(console.end(false), End::Result("SUCCESS".into()));
    }

    #[test]
    fn panic_is_told_with_its_reason() {
        let text = "(XEN) ****************************************\n(XEN) Panic on CPU 0:\n\
                    (XEN) Could not construct domain 0\n(XEN) ****************************************\n";
        let console = console(text);
        assert!(console.is_dying() && !console.is_over());
        assert_eq!(
            console.end(false),
            End::Died("panic: Could not construct domain 0".into())
        );
    }

    #[test]
    fn crash_of_dom0_is_told_with_its_place() {
        let text = "xpt-case a/b ok 0\n(XEN) [    2.1] domain_crash called from arch/x86/hvm/vmsi.c:936\n\
                    (XEN) Domain 0 (vcpu#0) crashed on cpu#0:\n\
                    (XEN) Hardware Dom0 crashed: 'noreboot' set - not rebooting.\n";
        let console = console(text);
        assert!(console.is_over());
        assert_eq!(
            console.end(false),
            End::Died("domain_crash called from arch/x86/hvm/vmsi.c:936".into())
        );
        assert_eq!(console.answers.len(), 1);
    }

    #[test]
    fn halt_without_a_result_is_a_death_and_silence_a_timeout() {
        assert_eq!(
            console("(XEN) Hardware Dom0 halted: halting machine\n").end(false),
            End::Died("Hardware Dom0 halted: halting machine".into())
        );
        let quiet = console("(XEN) one\n\n(XEN) two\n");
        assert_eq!(quiet.end(false), End::TimedOut);
        assert_eq!(quiet.tail(5), "one | two");
        assert_eq!(quiet.end(true), End::Died("QEMU ended: two".into()));
    }
}
