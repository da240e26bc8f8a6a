// SPDX-License-Identifier: GPL-2.0-only
//! How much stack each exported function needs at most, with all that it calls.
//!
//! The compiler emits the frame of each function (`.stack_sizes`); the call graph
//! is read from the disassembly of the object that is linked into Xen. The sum
//! along the deepest path is a bound, as long as nothing is called indirectly and
//! nothing calls itself, so either is a failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{parts::Prepared, report::Case, run};

/// What one call into the library may need, of the two pages that Xen's C and the
/// library share.
const LIMIT: u64 = 1024;

/// A call pushes this.
const RETURN_ADDRESS: u64 = 8;

/// Xen's own, which are leaves with at most this frame, and its thunk for `ret`.
const LEAVES: [&str; 4] = ["memcpy", "memset", "memmove", "memcmp"];
const LEAF_FRAME: u64 = 64;
const RETURN_THUNK: &str = "__x86_return_thunk";

/// A function of the object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Function {
    frame: Option<u64>,
    /// What is called or jumped to.
    calls: BTreeSet<String>,
    /// Instructions whose target is not in them.
    indirect: Vec<String>,
}

/// The functions of an object, by name.
type Graph = BTreeMap<String, Function>;

/// Why there is no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NoBound {
    Recursion(String),
    Indirect(String),
    NoFrame(String),
    Unknown(String),
}

/// One case for each exported function.
pub(crate) fn cases(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    prepared.object()?;
    let dir = tempfile::tempdir()?;
    let object = dir.path().join("object.o");
    let member = run::command("ar", ["p"])
        .arg(prepared.paths.archive())
        .output()
        .context("cannot read the archive")?;
    fs::write(&object, member.stdout)?;
    let (graph, exports) = read(&object)?;
    Ok(judge(&graph, &exports, LIMIT))
}

fn judge(graph: &Graph, exports: &[String], limit: u64) -> Vec<Case> {
    let mut cases: Vec<Case> = exports
        .iter()
        .map(|name| match depth(graph, name, &mut Vec::new()) {
            Ok((bytes, path)) => Case::new(
                name.as_str(),
                bytes <= limit,
                format!("{bytes} bytes of {limit}: {}", path.join(" > ")),
            ),
            Err(why) => Case::failed(name.as_str(), format!("no bound: {why:?}")),
        })
        .collect();
    // Code that no export reaches would be linked for nothing, or the graph that
    // was read is not the whole of it.
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = exports.iter().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(graph.get(name).iter().flat_map(|function| &function.calls));
        }
    }
    let left: Vec<_> = graph
        .keys()
        .filter(|name| !reached.contains(name) && !name.ends_with("rust_begin_unwind"))
        .map(|name| short(name))
        .collect();
    cases.push(Case::new(
        "every function is reached",
        left.is_empty(),
        left.join(" "),
    ));
    cases
}

/// The deepest path from `name` down: bytes with its return address, and names.
fn depth(
    graph: &Graph,
    name: &str,
    above: &mut Vec<String>,
) -> std::result::Result<(u64, Vec<String>), NoBound> {
    if name == RETURN_THUNK {
        // Takes the place of a return.
        return Ok((0, Vec::new()));
    }
    if LEAVES.contains(&name) {
        return Ok((
            LEAF_FRAME.saturating_add(RETURN_ADDRESS),
            vec![name.to_owned()],
        ));
    }
    if above.iter().any(|other| other == name) {
        return Err(NoBound::Recursion(short(name)));
    }
    let function = graph
        .get(name)
        .ok_or_else(|| NoBound::Unknown(short(name)))?;
    if let Some(line) = function.indirect.first() {
        return Err(NoBound::Indirect(format!("{}: {line}", short(name))));
    }
    let frame = function
        .frame
        .ok_or_else(|| NoBound::NoFrame(short(name)))?;
    above.push(name.to_owned());
    let mut deepest = (0, Vec::new());
    for callee in &function.calls {
        let below = depth(graph, callee, above)?;
        if below.0 > deepest.0 {
            deepest = below;
        }
    }
    above.pop();
    let (bytes, mut path) = deepest;
    path.insert(0, short(name));
    let own = frame.saturating_add(RETURN_ADDRESS);
    Ok((bytes.saturating_add(own), path))
}

/// The last name in a mangled one, which is enough to find it.
fn short(name: &str) -> String {
    let Some(rest) = name.strip_prefix("_R") else {
        return name.to_owned();
    };
    // v0: identifiers are a length and that many bytes.
    let mut last = rest;
    let mut at = 0;
    while let Some(text) = rest.get(at..) {
        let Some(start) = text.find(|c: char| c.is_ascii_digit()) else {
            break;
        };
        let digits = text.get(start..).unwrap_or("");
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let length = digits.get(..end).and_then(|n| n.parse::<usize>().ok());
        let word = length.and_then(|n| digits.get(end..end.checked_add(n)?));
        match word {
            Some(word) if !word.is_empty() => {
                last = word;
                at = at
                    .saturating_add(start)
                    .saturating_add(end)
                    .saturating_add(word.len());
            }
            _ => at = at.saturating_add(start).saturating_add(end.max(1)),
        }
    }
    last.trim_start_matches('_').to_owned()
}

/// Reads an object: its functions, and which of them are exported.
fn read(object: &Path) -> Result<(Graph, Vec<String>)> {
    let text = |program: &str, args: &[&str]| -> Result<String> {
        let (status, text, error) = run::output(run::command(program, args).arg(object))?;
        if !status.success() {
            bail!("{program} failed: {}", error.trim());
        }
        Ok(text)
    };
    let mut graph = functions(&text("objdump", &["-dr", "--no-show-raw-insn"])?);
    let symbols = text("nm", &["--defined-only"])?;
    let mut names = BTreeMap::new();
    let mut exports = Vec::new();
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        if let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
            && matches!(kind, "T" | "t")
        {
            let address = u64::from_str_radix(address, 16)?;
            names.entry(address).or_insert_with(|| name.to_owned());
            if kind == "T" {
                exports.push(name.to_owned());
            }
        }
    }
    // objdump names the one that it likes best where two are at one address.
    let dump = object.with_extension("sizes");
    run::output(
        run::command("objcopy", ["--dump-section"])
            .arg(format!(".stack_sizes={}", dump.display()))
            .arg(object)
            .arg(object.with_extension("copy")),
    )?;
    let bytes = fs::read(&dump).map_err(|_| anyhow!("the object has no .stack_sizes"))?;
    let places = places(&text("readelf", &["-rW"])?);
    for (at, frame) in frames(&bytes)? {
        let address = places
            .get(&at)
            .ok_or_else(|| anyhow!("frame at {at:#x} of .stack_sizes belongs to no function"))?;
        let name = names
            .get(address)
            .ok_or_else(|| anyhow!("no function at {address:#x}"))?;
        graph.entry(name.clone()).or_default().frame = Some(frame);
    }
    if exports.is_empty() {
        bail!("the object exports nothing");
    }
    Ok((graph, exports))
}

/// Functions and their calls from `objdump -dr`.
fn functions(text: &str) -> Graph {
    let mut graph = Graph::new();
    let mut name = String::new();
    let mut call: Option<String> = None;
    // A call without a relocation is known to be one on the next line.
    for line in text.lines().chain([""]) {
        let function = graph.entry(name.clone()).or_default();
        if let Some((_, symbol)) = line.split_once("R_X86_64_PLT32") {
            // What the instruction before it goes to.
            let symbol = symbol.trim();
            let end = symbol.find(['+', '-']).unwrap_or(symbol.len());
            if let Some(target) = symbol.get(..end) {
                function.calls.insert(target.to_owned());
            }
            call = None;
            continue;
        }
        if let Some(target) = call.take() {
            function.calls.insert(target);
        }
        if let Some(head) = line.strip_suffix(">:") {
            if let Some((_, found)) = head.split_once(" <") {
                found.clone_into(&mut name);
                graph.entry(name.clone()).or_default();
            }
            continue;
        }
        let Some((_, instruction)) = line.split_once(":\t") else {
            continue;
        };
        let mut words = instruction.split_whitespace();
        let Some(mnemonic) = words.next() else {
            continue;
        };
        if !(mnemonic.starts_with("call") || mnemonic.starts_with('j')) {
            continue;
        }
        let operand = words.next().unwrap_or("");
        if operand.starts_with('*') {
            function.indirect.push(instruction.trim().to_owned());
            continue;
        }
        let symbol = instruction
            .split_once('<')
            .map_or("", |(_, rest)| rest.trim_end_matches('>'));
        let (base, inside) = symbol
            .split_once('+')
            .map_or((symbol, false), |(base, _)| (base, true));
        if base.starts_with("__x86_indirect_thunk") {
            function.indirect.push(instruction.trim().to_owned());
        } else if base != name || (!inside && mnemonic.starts_with("call")) {
            call = Some(base.to_owned());
        }
    }
    // A thunk that stands in a relocation is as indirect as one by name.
    for function in graph.values_mut() {
        let thunks: Vec<_> = function
            .calls
            .iter()
            .filter(|callee| callee.starts_with("__x86_indirect_thunk"))
            .cloned()
            .collect();
        function.indirect.extend(thunks);
    }
    graph.retain(|name, _| !name.is_empty());
    graph
}

/// From `readelf -rW`: which address of `.text` stands at which offset of
/// `.stack_sizes`.
fn places(text: &str) -> BTreeMap<usize, u64> {
    let mut found = BTreeMap::new();
    let mut ours = false;
    for line in text.lines() {
        if line.starts_with("Relocation section") {
            ours = line.contains("'.rela.stack_sizes'");
        } else if ours {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [offset, _, "R_X86_64_64", value, _, "+", addend] = words[..]
                && let (Ok(offset), Ok(value), Ok(addend)) = (
                    usize::from_str_radix(offset, 16),
                    u64::from_str_radix(value, 16),
                    u64::from_str_radix(addend, 16),
                )
            {
                found.insert(offset, value.saturating_add(addend));
            }
        }
    }
    found
}

/// `.stack_sizes`: 8 bytes of address, then the frame as ULEB128, again and again.
fn frames(bytes: &[u8]) -> Result<Vec<(usize, u64)>> {
    let mut frames = Vec::new();
    let mut at = 0_usize;
    while at < bytes.len() {
        let mut end = at.saturating_add(8);
        let (mut frame, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = *bytes.get(end).context(".stack_sizes is cut short")?;
            end = end.saturating_add(1);
            frame |= u64::from(byte & 0x7f)
                .checked_shl(shift)
                .context(".stack_sizes is not understood")?;
            shift = shift.saturating_add(7);
            if byte & 0x80 == 0 {
                break;
            }
        }
        frames.push((at, frame));
        at = end;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "
0000000000000000 <_RNvMNtCs1_3xpt4vpci6Device6worked>:
       0:\tpush   %rbx
       1:\tcall   30 <leaf>
       6:\tjne    0 <_RNvMNtCs1_3xpt4vpci6Device6worked+0x1>
       8:\tjmp    d <_RNvMNtCs1_3xpt4vpci6Device6worked+0xd>
\t\t\t9: R_X86_64_PLT32\t__x86_return_thunk-0x4

0000000000000030 <leaf>:
      30:\tcall   35 <leaf+0x5>
\t\t\t31: R_X86_64_PLT32\tmemset-0x4
      35:\tjmp    3a <leaf+0xa>
\t\t\t36: R_X86_64_PLT32\t__x86_return_thunk-0x4
";

    fn graph(text: &str, frames: &[(&str, u64)]) -> Graph {
        let mut graph = functions(text);
        for (name, frame) in frames {
            graph.entry((*name).to_owned()).or_default().frame = Some(*frame);
        }
        graph
    }

    const ENTRY: &str = "_RNvMNtCs1_3xpt4vpci6Device6worked";

    fn bound(graph: &Graph) -> std::result::Result<(u64, Vec<String>), NoBound> {
        depth(graph, ENTRY, &mut Vec::new())
    }

    #[test]
    fn deepest_path_is_the_sum_of_its_frames_and_return_addresses() {
        let graph = graph(DUMP, &[(ENTRY, 8), ("leaf", 40)]);
        let names = ["worked", "leaf", "memset"].map(str::to_owned);
        assert_eq!(
            bound(&graph),
            Ok((8 + 8 + 40 + 8 + LEAF_FRAME + 8, names.to_vec()))
        );
    }

    #[test]
    fn recursion_and_indirect_calls_have_no_bound() {
        let back = DUMP.replace(
            "jmp    3a <leaf+0xa>\n\t\t\t36: R_X86_64_PLT32\t__x86_return_thunk-0x4",
            &format!("jmp    0 <{ENTRY}>"),
        );
        let graph_back = graph(&back, &[(ENTRY, 8), ("leaf", 40)]);
        assert_eq!(
            bound(&graph_back),
            Err(NoBound::Recursion("worked".to_owned()))
        );
        for call in ["call   *%rax", "call   3a <__x86_indirect_thunk_rax>"] {
            let text = DUMP.replace("call   30 <leaf>", call);
            let found = bound(&graph(&text, &[(ENTRY, 8)]));
            assert!(matches!(found, Err(NoBound::Indirect(_))), "{found:?}");
        }
        let text = DUMP.replace("memset", "__x86_indirect_thunk_r11");
        let found = bound(&graph(&text, &[(ENTRY, 8), ("leaf", 0)]));
        assert!(matches!(found, Err(NoBound::Indirect(_))), "{found:?}");
    }

    #[test]
    fn what_is_not_known_has_no_bound() {
        let found = bound(&graph(DUMP, &[(ENTRY, 8)]));
        assert_eq!(found, Err(NoBound::NoFrame("leaf".to_owned())));
        let text = DUMP.replace("memset", "elsewhere");
        let found = bound(&graph(&text, &[(ENTRY, 8), ("leaf", 0)]));
        assert_eq!(found, Err(NoBound::Unknown("elsewhere".to_owned())));
    }

    #[test]
    fn too_deep_or_unreached_functions_fail() {
        let graph = graph(DUMP, &[(ENTRY, 8), ("leaf", 40)]);
        let exports = [ENTRY.to_owned()];
        assert!(judge(&graph, &exports, 136).iter().all(|case| case.ok));
        assert!(judge(&graph, &exports, 135).iter().any(|case| !case.ok));
        let exports = ["leaf".to_owned()];
        let failed: Vec<_> = judge(&graph, &exports, 1000)
            .into_iter()
            .filter(|case| !case.ok)
            .collect();
        assert_eq!(
            failed,
            [Case::failed("every function is reached", "worked")]
        );
    }

    #[test]
    fn sizes_and_their_functions_are_read() {
        let mut bytes = vec![0; 8];
        bytes.extend([0x68, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x04]);
        assert_eq!(frames(&bytes).unwrap(), [(0, 0x68), (9, 512)]);
        assert!(frames(&bytes[..10]).is_err());
        let text = "Relocation section '.rela.text' at offset 0x1 contains 1 entry:\n\
            0000000000000000  0000000100000001 R_X86_64_64            0000000000000000 .text + 7\n\
            Relocation section '.rela.stack_sizes' at offset 0x6320 contains 2 entries:\n\
            0000000000000009  0000000100000001 R_X86_64_64            0000000000000000 .text + 1e0\n";
        assert_eq!(places(text), BTreeMap::from([(9, 0x1e0)]));
    }
}
