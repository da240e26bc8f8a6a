// SPDX-License-Identifier: GPL-2.0-only
//! The firmware's routing: `_PRT` and the link devices that it names.
//!
//! Tables are run by the `acpi` crate's interpreter in a process of its own, so
//! that one which loops, eats memory or makes the interpreter panic is a line of
//! error. Nothing of the machine is written: what AML writes is kept aside and
//! read back. Registers that cannot be read are unknown; the tables run once with
//! all of them 0 and once with all of them 1, and both must give the same.

use std::{
    collections::HashMap,
    env,
    io::{self, Read, Write},
    process::{Command, Stdio},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use acpi::{
    Handle, Handler, PhysicalMapping,
    address::{AddressSpace, GenericAddress, MappedGas},
    aml::{
        AmlError, Interpreter,
        namespace::AmlName,
        object::{Object, WrappedObject},
    },
    registers::{FixedRegisters, Pm1ControlRegisterBlock, Pm1EventRegisterBlock},
};
use nix::sys::resource::{Resource, setrlimit};
use pci_types::PciAddress;
use serde::{Deserialize, Serialize};

use crate::{
    device::{self, Sbdf, Step},
    error::{Error, Kind, Result},
    root::{Root, TABLES, absent_is_none},
};

/// The option that makes this program the process which runs the tables.
pub(crate) const WORKER: &str = "--run-aml";

const HEADER: usize = 36;
/// A real DSDT takes milliseconds and some megabytes.
const SECONDS: u64 = 5;
const MEMORY: u64 = 1 << 30;
/// A device's interrupt is APIC mode's, as Linux tells firmware where there is an IO-APIC.
const APIC_MODE: u64 = 1;

/// What is asked of the process: for each device the places to look at, in order.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    ways: Vec<Vec<Step>>,
    /// What unknown registers read as.
    fill: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    routes: Vec<Result<Route>>,
    /// How often a register was read that cannot be.
    unknown: u64,
    notes: Vec<String>,
}

/// Where a device's interrupt goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) gsi: u32,
    /// The step that had the entry.
    pub(crate) step: usize,
    /// The link device, where the entry names one.
    pub(crate) link: Option<String>,
}

/// The routes of several devices, and what is to be said of the tables.
pub(crate) fn routes(
    root: &Root,
    ways: Vec<Vec<Step>>,
) -> Result<(Vec<Result<Route>>, Vec<String>)> {
    // A table that this user may not read is better said by this process.
    root.table("DSDT")?;
    let mut request = Request { ways, fill: 0 };
    let zeros = run(root, &request)?;
    let mut notes = zeros.notes;
    if zeros.unknown == 0 {
        return Ok((zeros.routes, notes));
    }
    request.fill = 0xff;
    let ones = run(root, &request)?;
    notes.push(format!(
        "the tables read registers that cannot be read here ({} times): run with all of them 0 and all of them 1",
        zeros.unknown
    ));
    let routes = zeros.routes.into_iter().zip(ones.routes);
    let routes = routes.map(|(zeros, ones)| match (zeros, ones) {
        (Ok(zeros), Ok(ones)) if zeros != ones => Err(Error::new(
            Kind::NotKnowable,
            format!(
                "the routing depends on registers that cannot be read here (GSI {} or {})",
                zeros.gsi, ones.gsi
            ),
        )),
        (Ok(route), Ok(_)) => Ok(route),
        (Err(error), Err(_)) => Err(error),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(Error::new(
            Kind::NotKnowable,
            format!("the routing depends on registers that cannot be read here ({error})"),
        )),
    });
    Ok((routes.collect(), notes))
}

/// Runs the tables in a process of their own.
fn run(root: &Root, request: &Request) -> Result<Reply> {
    // It may be the table or the interpreter that falls short: which, nobody knows.
    let failed = |what: String| {
        Error::new(
            Kind::NotKnowable,
            format!("the ACPI tables could not be run: {what}"),
        )
    };
    let this = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new(this)
        .arg(WORKER)
        .arg("--root")
        .arg(root.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let text = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that died early says so by its status.
        let _ = stdin.write_all(&text);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let line = stderr.lines().rfind(|line| !line.trim().is_empty());
        return Err(failed(match line {
            Some(line) => line.chars().take(300).collect(),
            None => format!("the interpreter ended with {}", output.status),
        }));
    }
    let reply: Result<Reply> =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    reply
}

/// The process that runs the tables: request on its input, reply on its output.
pub(crate) fn worker(root: &Root) -> io::Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .map(|what| (*what).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let line = panic.location().map_or(0, |location| location.line());
        let what = what.replace(char::is_control, " ");
        eprintln!("the AML interpreter panicked: {what} (its line {line})");
    }));
    for (limit, value) in [
        (Resource::RLIMIT_CPU, SECONDS),
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(limit, value, value)?;
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let request: Request = serde_json::from_slice(&text)?;
    let reply = interpret(root, &request);
    io::stdout().write_all(&serde_json::to_vec(&reply)?)
}

fn interpret(root: &Root, request: &Request) -> Result<Reply> {
    let registers = Registers::new(root.clone(), request.fill);
    let mut notes = Vec::new();
    let tables = Tables::load(root, &registers, &mut notes)?;
    let routes = request
        .ways
        .iter()
        .map(|steps| tables.route(steps))
        .collect();
    let unknown = registers.state().unknown;
    Ok(Reply {
        routes,
        unknown,
        notes,
    })
}

fn aml_error(what: &str, error: &AmlError) -> Error {
    let kind = match error {
        AmlError::LibUnimplemented | AmlError::NoHandlerForRegionAccess(_) => Kind::NotKnowable,
        _ => Kind::Malformed,
    };
    Error::new(kind, format!("{what}: {error:?}"))
}

struct Tables {
    interpreter: Interpreter<Registers>,
}

impl Tables {
    fn load(root: &Root, registers: &Registers, notes: &mut Vec<String>) -> Result<Self> {
        let dsdt = root.table("DSDT")?;
        let revision = dsdt.get(8).copied().unwrap_or_default();
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "the interpreter wants an Arc, and one thread uses it"
        )]
        let fixed = Arc::new(no_fixed_registers(registers)?);
        let interpreter = Interpreter::new(registers.clone(), revision, fixed, None);
        interpreter
            .load_table(aml_of(&dsdt, "DSDT")?)
            .map_err(|error| aml_error("the DSDT could not be run", &error))?;
        for name in ssdts(root)? {
            let bytes = root.table(&name)?;
            if let Err(error) = interpreter.load_table(aml_of(&bytes, &name)?) {
                notes.push(format!("{name} could not be run: {error:?}"));
            }
        }
        let tables = Self { interpreter };
        let mode = WrappedObject::new(Object::Integer(APIC_MODE));
        let pic = name("\\_PIC")?;
        tables
            .interpreter
            .evaluate_if_present(pic, vec![mode])
            .map_err(|error| aml_error("\\_PIC could not be run", &error))?;
        Ok(tables)
    }

    fn route(&self, steps: &[Step]) -> Result<Route> {
        for (index, step) in steps.iter().enumerate() {
            let path = name(&format!("{}._PRT", step.bus))?;
            let prt = match self
                .interpreter
                .evaluate_if_present(path.clone(), Vec::new())
            {
                Ok(Some(prt)) => prt,
                Ok(None) | Err(AmlError::LevelDoesNotExist(_)) => continue,
                Err(error) => return Err(aml_error(&format!("{path} could not be run"), &error)),
            };
            if let Some((gsi, link)) = self.entry(&prt, &path, step)? {
                return Ok(Route {
                    gsi,
                    step: index,
                    link,
                });
            }
        }
        let places: Vec<String> = steps
            .iter()
            .map(|step| format!("device {:#x} {} of {}", step.device, step.pin, step.bus))
            .collect();
        Err(Error::new(
            Kind::NotKnowable,
            format!(
                "no _PRT routes the device's interrupt ({})",
                places.join(", ")
            ),
        ))
    }

    /// The GSI of the step's entry in a `_PRT`, and its link device.
    fn entry(
        &self,
        prt: &WrappedObject,
        path: &AmlName,
        step: &Step,
    ) -> Result<Option<(u32, Option<String>)>> {
        let malformed =
            |what: &str| Error::new(Kind::Malformed, format!("{path} is malformed: {what}"));
        let prt = prt.clone().unwrap_reference();
        let Object::Package(entries) = &*prt else {
            return Err(malformed("it is no package"));
        };
        for entry in entries {
            let entry = entry.clone().unwrap_reference();
            let Object::Package(fields) = &*entry else {
                return Err(malformed("an entry is no package"));
            };
            let [address, pin, source, index] = fields.as_slice() else {
                return Err(malformed("an entry has not four fields"));
            };
            let (Some(address), Some(pin)) = (integer(address), integer(pin)) else {
                return Err(malformed("an entry's address or pin is no number"));
            };
            // Linux leaves the function out too.
            if (address >> 16) & 0xffff != u64::from(step.device) || pin != step.pin.in_prt() {
                continue;
            }
            let index = integer(index).ok_or_else(|| malformed("a source index is no number"))?;
            if integer(source) == Some(0) {
                let gsi = u32::try_from(index).map_err(|_| malformed("a GSI has over 32 bits"))?;
                return Ok(Some((gsi, None)));
            }
            let link = self
                .link(source, path)
                .ok_or_else(|| malformed("a source is no link device"))?;
            let gsi = self.gsi_of_link(&link, index)?;
            return Ok(Some((gsi, Some(link.to_string()))));
        }
        Ok(None)
    }

    /// The link device that a source names, seen from the `_PRT`.
    fn link(&self, source: &WrappedObject, path: &AmlName) -> Option<AmlName> {
        let Object::String(text) = &**source else {
            return None;
        };
        let bus = path.parent().ok()?;
        let namespace = self.interpreter.namespace.lock();
        let link = AmlName::from_str(text).ok()?;
        let (link, _) = namespace.search(&link, &bus).ok()?;
        Some(link)
    }

    fn gsi_of_link(&self, link: &AmlName, index: u64) -> Result<u32> {
        let path = name(&format!("{link}._CRS"))?;
        let crs = self
            .interpreter
            .evaluate(path.clone(), Vec::new())
            .map_err(|error| aml_error(&format!("{path} could not be run"), &error))?;
        let crs = crs.unwrap_reference();
        let Object::Buffer(bytes) = &*crs else {
            return Err(Error::new(
                Kind::Malformed,
                format!("{path} is malformed: it is no buffer"),
            ));
        };
        let gsis = irqs_of_resources(bytes)
            .map_err(|what| Error::new(Kind::Malformed, format!("{path} is malformed: {what}")))?;
        // Linux takes the link's one irq, whatever the index.
        match gsis.as_slice() {
            [gsi] if *gsi != 0 => Ok(*gsi),
            [] | [_] => Err(Error::new(
                Kind::NotKnowable,
                format!("{path} says that the link has no GSI now"),
            )),
            [first, ..] => {
                let gsi = usize::try_from(index).ok().and_then(|at| gsis.get(at));
                if gsi == Some(first) {
                    Ok(*first)
                } else {
                    Err(Error::new(
                        Kind::NotKnowable,
                        format!("{path} names several GSIs ({gsis:?}), and not the first is meant"),
                    ))
                }
            }
        }
    }
}

fn name(text: &str) -> Result<AmlName> {
    let name = AmlName::from_str(text).ok().filter(AmlName::is_absolute);
    name.ok_or_else(|| {
        Error::new(
            Kind::Malformed,
            format!("{text} is no name of an ACPI object"),
        )
    })
}

fn integer(object: &WrappedObject) -> Option<u64> {
    match &*object.clone().unwrap_reference() {
        Object::Integer(value) => Some(*value),
        _ => None,
    }
}

/// The AML of a table, which must be as long as it says.
fn aml_of<'a>(file: &'a [u8], name: &str) -> Result<&'a [u8]> {
    let length = file.get(4..8).and_then(|length| length.first_chunk::<4>());
    let length = length.and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok());
    length
        .filter(|&length| {
            file.starts_with(
                name.trim_end_matches(|c: char| c.is_ascii_digit())
                    .rsplit('/')
                    .next()
                    .unwrap_or(name)
                    .as_bytes(),
            ) && length >= HEADER
        })
        .and_then(|length| file.get(HEADER..length))
        .ok_or_else(|| {
            Error::new(
                Kind::Malformed,
                format!("the {name} is malformed: its header is not that of a table of its length"),
            )
        })
}

/// The SSDTs in the order in which the kernel loaded them.
fn ssdts(root: &Root) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for dir in ["", "dynamic/"] {
        let names = absent_is_none(root.names(&format!("{TABLES}/{dir}")))?.unwrap_or_default();
        let mut numbered: Vec<(u32, String)> = names
            .into_iter()
            .filter_map(|name| {
                let number = name.strip_prefix("SSDT")?;
                let number = if number.is_empty() {
                    0
                } else {
                    number.parse().ok()?
                };
                Some((number, format!("{dir}{name}")))
            })
            .collect();
        numbered.sort();
        found.extend(numbered.into_iter().map(|(_, name)| name));
    }
    Ok(found)
}

/// The interrupts of a resource template.
fn irqs_of_resources(mut bytes: &[u8]) -> Result<Vec<u32>, &'static str> {
    let mut irqs = Vec::new();
    while let Some(&tag) = bytes.first() {
        let (head, length) = if tag & 0x80 == 0 {
            (1, usize::from(tag & 7))
        } else {
            let low = bytes.get(1).copied().ok_or("a descriptor is cut off")?;
            let high = bytes.get(2).copied().ok_or("a descriptor is cut off")?;
            (3, usize::from(u16::from_le_bytes([low, high])))
        };
        let body = bytes
            .get(head..head + length)
            .ok_or("a descriptor is cut off")?;
        match (
            tag & 0x80 != 0,
            if tag & 0x80 == 0 {
                tag >> 3
            } else {
                tag & 0x7f
            },
        ) {
            // The end.
            (false, 0x0f) => return Ok(irqs),
            // IRQ: a mask of 16.
            (false, 0x04) => {
                let mask = body.first_chunk::<2>().ok_or("an IRQ has no mask")?;
                let mask = u16::from_le_bytes(*mask);
                irqs.extend((0..16).filter(|irq| mask >> irq & 1 == 1));
            }
            // Extended interrupt: flags, a count, and that many numbers.
            (true, 0x09) => {
                let count = body.get(1).copied().ok_or("an interrupt has no count")?;
                let numbers = body.get(2..).unwrap_or_default();
                let numbers = numbers
                    .get(..usize::from(count) * 4)
                    .ok_or("an interrupt's numbers are cut off")?;
                irqs.extend(numbers.chunks_exact(4).filter_map(|number| {
                    number
                        .first_chunk::<4>()
                        .map(|number| u32::from_le_bytes(*number))
                }));
            }
            _ => {}
        }
        bytes = bytes.get(head + length..).unwrap_or_default();
    }
    Ok(irqs)
}

/// The fixed registers serve power and the global lock, which nothing here uses.
fn no_fixed_registers(registers: &Registers) -> Result<FixedRegisters<Registers>> {
    let gas = || {
        let gas = GenericAddress {
            address_space: AddressSpace::SystemIo,
            bit_width: 16,
            bit_offset: 0,
            access_size: 2,
            address: 0,
        };
        #[expect(unsafe_code, reason = "the interpreter's function is an unsafe one")]
        // SAFETY: a port is not mapped, and reads of it are the handler's, which has no port.
        unsafe { MappedGas::map_gas(gas, registers) }
            .map_err(|error| Error::new(Kind::Malformed, format!("{error:?}")))
    };
    Ok(FixedRegisters {
        pm1_event_registers: Pm1EventRegisterBlock {
            pm1_event_length: 4,
            pm1a: gas()?,
            pm1b: None,
        },
        pm1_control_registers: Pm1ControlRegisterBlock {
            pm1a: gas()?,
            pm1b: None,
        },
    })
}

/// A place that AML reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Memory(u64),
    Port(u64),
    Config(u16, u8, u8, u8, u16),
}

#[derive(Debug)]
struct State {
    written: HashMap<Place, u8>,
    configs: HashMap<(u16, u8, u8, u8), Vec<u8>>,
    unknown: u64,
    slept: u64,
    mutexes: u32,
}

/// What the tables see of the machine.
#[derive(Clone, Debug)]
struct Registers {
    root: Root,
    fill: u8,
    start: Instant,
    state: Arc<Mutex<State>>,
}

impl Registers {
    fn new(root: Root, fill: u8) -> Self {
        let state = State {
            written: HashMap::new(),
            configs: HashMap::new(),
            unknown: 0,
            slept: 0,
            mutexes: 0,
        };
        Self {
            root,
            fill,
            start: Instant::now(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn byte(&self, place: Place) -> u8 {
        if let Some(byte) = self.state().written.get(&place) {
            return *byte;
        }
        if let Place::Config(segment, bus, device, function, offset) = place {
            let config = self.config((segment, bus, device, function));
            if let Some(byte) = config.get(usize::from(offset)) {
                return *byte;
            }
        }
        self.state().unknown += 1;
        self.fill
    }

    /// Config space as far as this user may see it.
    fn config(&self, key: (u16, u8, u8, u8)) -> Vec<u8> {
        if let Some(config) = self.state().configs.get(&key) {
            return config.clone();
        }
        let sbdf = Sbdf {
            segment: u32::from(key.0),
            bus: key.1,
            device: key.2,
            function: key.3,
        };
        let config = device::config(&self.root, sbdf).unwrap_or_default();
        self.state().configs.insert(key, config.clone());
        config
    }

    fn read<const N: usize>(&self, place: impl Fn(u64) -> Place) -> [u8; N] {
        let mut bytes = [0; N];
        for (offset, byte) in (0u64..).zip(&mut bytes) {
            *byte = self.byte(place(offset));
        }
        bytes
    }

    fn write<const N: usize>(&self, place: impl Fn(u64) -> Place, bytes: [u8; N]) {
        let mut state = self.state();
        for (offset, byte) in (0u64..).zip(bytes) {
            state.written.insert(place(offset), byte);
        }
    }
}

fn memory(address: usize) -> impl Fn(u64) -> Place {
    move |offset| Place::Memory((address as u64).wrapping_add(offset))
}

fn port(port: u16) -> impl Fn(u64) -> Place {
    move |offset| Place::Port(u64::from(port).wrapping_add(offset))
}

fn config(address: PciAddress, offset: u16) -> impl Fn(u64) -> Place {
    move |more| {
        Place::Config(
            address.segment(),
            address.bus(),
            address.device(),
            address.function(),
            offset.wrapping_add(u16::try_from(more).unwrap_or_default()),
        )
    }
}

impl Handler for Registers {
    #[expect(unsafe_code, reason = "the trait's function is an unsafe one")]
    unsafe fn map_physical_region<T>(&self, at: usize, size: usize) -> PhysicalMapping<Self, T> {
        // Only the fixed registers and the FACS would be mapped, and there are none.
        eprintln!("the interpreter wants to map {size} bytes at {at:#x}");
        std::process::exit(1)
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}

    fn read_u8(&self, address: usize) -> u8 {
        u8::from_le_bytes(self.read(memory(address)))
    }

    fn write_u8(&self, address: usize, value: u8) {
        self.write(memory(address), value.to_le_bytes());
    }

    fn read_u16(&self, address: usize) -> u16 {
        u16::from_le_bytes(self.read(memory(address)))
    }

    fn write_u16(&self, address: usize, value: u16) {
        self.write(memory(address), value.to_le_bytes());
    }

    fn read_u32(&self, address: usize) -> u32 {
        u32::from_le_bytes(self.read(memory(address)))
    }

    fn write_u32(&self, address: usize, value: u32) {
        self.write(memory(address), value.to_le_bytes());
    }

    fn read_u64(&self, address: usize) -> u64 {
        u64::from_le_bytes(self.read(memory(address)))
    }

    fn write_u64(&self, address: usize, value: u64) {
        self.write(memory(address), value.to_le_bytes());
    }

    fn read_io_u8(&self, at: u16) -> u8 {
        u8::from_le_bytes(self.read(port(at)))
    }

    fn write_io_u8(&self, at: u16, value: u8) {
        self.write(port(at), value.to_le_bytes());
    }

    fn read_io_u16(&self, at: u16) -> u16 {
        u16::from_le_bytes(self.read(port(at)))
    }

    fn write_io_u16(&self, at: u16, value: u16) {
        self.write(port(at), value.to_le_bytes());
    }

    fn read_io_u32(&self, at: u16) -> u32 {
        u32::from_le_bytes(self.read(port(at)))
    }

    fn write_io_u32(&self, at: u16, value: u32) {
        self.write(port(at), value.to_le_bytes());
    }

    fn read_pci_u8(&self, address: PciAddress, offset: u16) -> u8 {
        u8::from_le_bytes(self.read(config(address, offset)))
    }

    fn write_pci_u8(&self, address: PciAddress, offset: u16, value: u8) {
        self.write(config(address, offset), value.to_le_bytes());
    }

    fn read_pci_u16(&self, address: PciAddress, offset: u16) -> u16 {
        u16::from_le_bytes(self.read(config(address, offset)))
    }

    fn write_pci_u16(&self, address: PciAddress, offset: u16, value: u16) {
        self.write(config(address, offset), value.to_le_bytes());
    }

    fn read_pci_u32(&self, address: PciAddress, offset: u16) -> u32 {
        u32::from_le_bytes(self.read(config(address, offset)))
    }

    fn write_pci_u32(&self, address: PciAddress, offset: u16, value: u32) {
        self.write(config(address, offset), value.to_le_bytes());
    }

    fn nanos_since_boot(&self) -> u64 {
        let ran = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        ran.saturating_add(self.state().slept)
    }

    fn stall(&self, microseconds: u64) {
        let mut state = self.state();
        state.slept = state
            .slept
            .saturating_add(microseconds.saturating_mul(1_000));
    }

    fn sleep(&self, milliseconds: u64) {
        self.stall(milliseconds.saturating_mul(1_000));
    }

    // One thread runs the tables: every mutex is free, or is its own.
    fn create_mutex(&self) -> Handle {
        let mut state = self.state();
        state.mutexes += 1;
        Handle(state.mutexes)
    }

    fn acquire(&self, _mutex: Handle, _timeout: u16) -> Result<(), AmlError> {
        Ok(())
    }

    fn release(&self, _mutex: Handle) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn resources_name_their_interrupts() {
        let of = |bytes: &[u8]| irqs_of_resources(bytes);
        assert_eq!(of(&[0x89, 6, 0, 9, 1, 21, 0, 0, 0, 0x79, 0]), Ok(vec![21]));
        assert_eq!(of(&[0x23, 0x00, 0x0c, 0x18, 0x79, 0]), Ok(vec![10, 11]));
        assert_eq!(of(&[0x22, 0x20, 0x00, 0x79, 0]), Ok(vec![5]));
        // A port's descriptor before it, something after the end.
        let port = [
            0x47, 1, 0, 0, 0, 0, 1, 1, 0x22, 0x20, 0, 0x79, 0, 0x22, 1, 0,
        ];
        assert_eq!(of(&port), Ok(vec![5]));
        assert_eq!(
            of(&[0x89, 10, 0, 9, 2, 1, 0, 0, 0, 0, 1, 0, 0]),
            Ok(vec![1, 256])
        );
        assert_eq!(of(&[]), Ok(vec![]));
        assert_eq!(of(&[0x89, 6]), Err("a descriptor is cut off"));
        assert_eq!(of(&[0x23, 0]), Err("a descriptor is cut off"));
        assert_eq!(of(&[0x21, 0]), Err("an IRQ has no mask"));
        assert_eq!(of(&[0x89, 1, 0, 9]), Err("an interrupt has no count"));
        assert_eq!(
            of(&[0x89, 2, 0, 9, 1]),
            Err("an interrupt's numbers are cut off")
        );
    }

    #[test]
    fn tables_are_as_long_as_they_say() {
        let mut table = b"DSDT".to_vec();
        table.extend(38u32.to_le_bytes());
        table.resize(40, 7);
        assert_eq!(aml_of(&table, "DSDT").unwrap(), [7, 7]);
        assert!(aml_of(&table, "SSDT1").is_err());
        assert!(aml_of(&table[..37], "DSDT").is_err());
        table[4] = 35;
        assert!(aml_of(&table, "DSDT").is_err());
        assert!(aml_of(b"DSDT", "DSDT").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_resources_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = irqs_of_resources(&bytes);
        }
    }
}
