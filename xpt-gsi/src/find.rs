// SPDX-License-Identifier: GPL-2.0-only
//! The answer: each source for itself, and then all of them together.

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    aml,
    device::{self, Device, Sbdf},
    error::{Error, Kind, Result},
    interrupts::{self, Chip},
    madt::Madt,
    privcmd,
    root::{Root, absent_is_none},
};

/// What answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// The kernel's privcmd, in a dom0.
    Privcmd,
    /// The firmware's routing tables.
    Acpi,
    /// The Linux irq: its pin, and the IO-APICs of the MADT.
    Irq,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Privcmd => "privcmd",
            Self::Acpi => "acpi",
            Self::Irq => "irq",
        }
    }
}

/// One thing that was learnt, and where.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) source: &'static str,
    pub(crate) says: String,
}

/// What a source answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Gsi(u32),
    /// One of these.
    OneOf(Vec<u32>),
    /// It has no say here.
    Nothing(String),
}

/// Finds a GSI and keeps what it learnt on the way.
#[derive(Debug)]
pub(crate) struct Finder {
    sources: Vec<Source>,
    pub(crate) facts: Vec<Fact>,
}

impl Finder {
    pub(crate) fn new(sources: &[Source]) -> Self {
        let sources = if sources.is_empty() {
            Source::value_variants()
        } else {
            sources
        };
        Self {
            sources: sources.to_vec(),
            facts: Vec::new(),
        }
    }

    fn fact(&mut self, source: &'static str, says: impl Into<String>) {
        let says: String = says.into();
        let says = says.replace(char::is_control, " ");
        self.facts.push(Fact { source, says });
    }

    /// The GSI of a device.
    pub(crate) fn of_device(&mut self, root: &Root, sbdf: Sbdf) -> Result<u32> {
        let device = Device::find(root, sbdf)?;
        let pin = device.pin(root)?;
        self.fact("config", format!("{sbdf} interrupts by {pin}"));
        let mut answers = Vec::new();
        for source in self.sources.clone() {
            let answer = match source {
                Source::Privcmd => ask_privcmd(root, sbdf),
                Source::Acpi => self.ask_acpi(root, &device).map(Answer::Gsi),
                Source::Irq => self.ask_irq(root, &device),
            };
            match &answer {
                Ok(Answer::Gsi(gsi)) => self.fact(source.name(), format!("GSI {gsi}")),
                Ok(Answer::OneOf(gsis)) => self.fact(source.name(), one_of(gsis)),
                Ok(Answer::Nothing(why)) => self.fact(source.name(), format!("no answer: {why}")),
                Err(error) => self.fact(source.name(), format!("no answer: {error}")),
            }
            answers.push((source, answer));
        }
        decide(&sbdf.to_string(), &answers)
    }

    fn ask_acpi(&mut self, root: &Root, device: &Device) -> Result<u32> {
        let steps = device.steps(root)?;
        let (routes, notes) = aml::routes(root, vec![steps.clone()])?;
        for note in notes {
            self.fact("acpi", note);
        }
        let route = routes.into_iter().next().unwrap_or_else(|| {
            Err(Error::new(
                Kind::Malformed,
                "the ACPI tables could not be run: no reply",
            ))
        })?;
        if let Some(step) = steps.get(route.step) {
            let at = format!(
                "{}._PRT routes {} of its device {:#x} to",
                step.bus, step.pin, step.device
            );
            match route.link {
                Some(link) => self.fact("acpi", format!("{at} {link}, which is GSI {}", route.gsi)),
                None => self.fact("acpi", format!("{at} GSI {}", route.gsi)),
            }
        }
        Ok(route.gsi)
    }

    fn ask_irq(&mut self, root: &Root, device: &Device) -> Result<Answer> {
        let irq = match device.intx_irq(root)? {
            Ok(irq) => irq,
            Err(why) => return Ok(Answer::Nothing(why)),
        };
        self.fact("sysfs", format!("{} has irq {irq}", device.sbdf));
        let Some(pin) = self.pin_of_irq(root, irq)? else {
            return Ok(Answer::Nothing(format!(
                "irq {irq} has no number in its chip"
            )));
        };
        let madt = self.madt(root)?;
        gsis_of_pin(&madt, irq, pin).map(|gsis| match gsis.as_slice() {
            [gsi] => Answer::Gsi(*gsi),
            _ => Answer::OneOf(gsis),
        })
    }

    /// The GSI of a Linux irq.
    pub(crate) fn of_irq(&mut self, root: &Root, irq: u32) -> Result<u32> {
        let pin = self.pin_of_irq(root, irq)?;
        let devices = self.devices_of_irq(root, irq)?;
        let mut answers = Vec::new();
        if self.sources.contains(&Source::Irq) {
            let answer = self.madt(root).and_then(|madt| {
                let Some(pin) = pin else {
                    return Ok(Answer::Nothing(format!(
                        "irq {irq} has no number in its chip"
                    )));
                };
                let gsis = gsis_of_pin(&madt, irq, pin)?;
                if let [gsi] = gsis.as_slice() {
                    return Ok(Answer::Gsi(*gsi));
                }
                // With two i8259, Linux gives irqs 0 to 15 to ISA and to nothing else.
                if let Ok(isa @ 0..16) = u8::try_from(irq)
                    && madt.has_8259
                    && gsis.contains(&madt.gsi_of_isa(isa))
                {
                    let gsi = madt.gsi_of_isa(isa);
                    self.fact("madt", format!("ISA irq {irq} is GSI {gsi}"));
                    return Ok(Answer::Gsi(gsi));
                }
                Ok(Answer::OneOf(gsis))
            });
            match &answer {
                Ok(Answer::OneOf(gsis)) => self.fact("irq", one_of(gsis)),
                Ok(Answer::Gsi(gsi)) => self.fact("irq", format!("GSI {gsi}")),
                Ok(Answer::Nothing(why)) => self.fact("irq", format!("no answer: {why}")),
                Err(error) => self.fact("irq", format!("no answer: {error}")),
            }
            answers.push((Source::Irq, answer));
        }
        for device in devices {
            self.fact("sysfs", format!("{} has irq {irq}", device.sbdf));
            for source in self.sources.clone() {
                let answer = match source {
                    Source::Privcmd => ask_privcmd(root, device.sbdf),
                    Source::Acpi => self.ask_acpi(root, &device).map(Answer::Gsi),
                    Source::Irq => continue,
                };
                if let Err(error) = &answer {
                    self.fact(source.name(), format!("no answer: {error}"));
                }
                answers.push((source, answer));
            }
        }
        decide(&format!("irq {irq}"), &answers)
    }

    /// The devices that have this irq for their INTx.
    fn devices_of_irq(&mut self, root: &Root, irq: u32) -> Result<Vec<Device>> {
        let mut devices = Vec::new();
        for sbdf in device::all(root)? {
            let Some(device) = absent_is_none(Device::find(root, sbdf))? else {
                continue;
            };
            if device.intx_irq(root)? == Ok(irq) && device.pin(root).is_ok() {
                devices.push(device);
            }
        }
        Ok(devices)
    }

    /// The irq's pin of its IO-APIC, if the kernel shows it.
    fn pin_of_irq(&mut self, root: &Root, irq: u32) -> Result<Option<u32>> {
        let (found, places) = interrupts::read(root, irq)?;
        let says = format!(
            "irq {irq} is {} of {}",
            interrupts::number(found.hwirq),
            found.chip
        );
        for place in places {
            self.fact(place, says.clone());
        }
        let no_gsi = |what: &str| {
            Err(Error::new(
                Kind::NoGsi,
                format!("irq {irq} is {what}, so it has no GSI"),
            ))
        };
        match found.chip() {
            Chip::IoApic => Ok(found.hwirq),
            // Its number is not shown; a device may know.
            Chip::Pirq => Ok(None),
            Chip::Msi => no_gsi("an MSI"),
            Chip::EventChannel => no_gsi("an event channel of Xen"),
            Chip::Pic => Err(Error::new(
                Kind::NotKnowable,
                format!("irq {irq} is of the i8259: this kernel does not use the IO-APIC"),
            )),
            Chip::Other => no_gsi(&format!("of {}, which is no IO-APIC", found.chip)),
        }
    }

    fn madt(&mut self, root: &Root) -> Result<Madt> {
        let madt = Madt::parse(&root.table("APIC")?)?;
        for io_apic in madt.io_apics() {
            let says = format!("IO-APIC {} has GSIs from {}", io_apic.id, io_apic.base);
            if !self.facts.iter().any(|fact| fact.says == says) {
                self.fact("madt", says);
            }
        }
        if !madt.checksum_is_right {
            self.fact("madt", "its checksum is wrong");
        }
        Ok(madt)
    }
}

fn ask_privcmd(root: &Root, sbdf: Sbdf) -> Result<Answer> {
    if !root.is_live() {
        return Ok(Answer::Nothing(
            "only a running kernel can be asked".to_owned(),
        ));
    }
    Ok(match privcmd::ask(sbdf)? {
        Ok(gsi) => Answer::Gsi(gsi),
        Err(why) => Answer::Nothing(why),
    })
}

fn gsis_of_pin(madt: &Madt, irq: u32, pin: u32) -> Result<Vec<u32>> {
    let gsis = madt.gsis_of_pin(pin);
    if gsis.is_empty() {
        return Err(Error::new(
            Kind::Disagree,
            format!(
                "irq {irq} is pin {pin} of an IO-APIC, and the MADT has no IO-APIC with that pin"
            ),
        ));
    }
    Ok(gsis)
}

fn one_of(gsis: &[u32]) -> String {
    let gsis: Vec<String> = gsis.iter().map(u32::to_string).collect();
    format!("one of GSIs {}", gsis.join(", "))
}

/// What the sources say together.
fn decide(what: &str, answers: &[(Source, Result<Answer>)]) -> Result<u32> {
    let mut found: Option<(Source, u32)> = None;
    for (source, answer) in answers {
        let Ok(Answer::Gsi(gsi)) = answer else {
            continue;
        };
        match found {
            Some((first, other)) if other != *gsi => {
                return Err(Error::new(
                    Kind::Disagree,
                    format!(
                        "sources disagree on {what}: {} says GSI {other}, {} says GSI {gsi}",
                        first.name(),
                        source.name()
                    ),
                ));
            }
            _ => found = Some((*source, *gsi)),
        }
    }
    for (source, answer) in answers {
        if let Ok(Answer::OneOf(gsis)) = answer
            && let Some((first, gsi)) = found
            && !gsis.contains(&gsi)
        {
            return Err(Error::new(
                Kind::Disagree,
                format!(
                    "sources disagree on {what}: {} says GSI {gsi}, {} says {}",
                    first.name(),
                    source.name(),
                    one_of(gsis)
                ),
            ));
        }
    }
    // That the MADT lacks a pin which the kernel uses is no mere lack of an answer.
    let disagree = answers.iter().find_map(|(_, answer)| match answer {
        Err(error) if error.kind == Kind::Disagree => Some(error.clone()),
        _ => None,
    });
    if let Some(error) = disagree {
        return Err(error);
    }
    if let Some((_, gsi)) = found {
        return Ok(gsi);
    }
    let ambiguous = answers.iter().find_map(|(_, answer)| match answer {
        Ok(Answer::OneOf(gsis)) => Some(one_of(gsis)),
        _ => None,
    });
    let error = answers.iter().find_map(|(_, answer)| answer.clone().err());
    let nothing = answers.iter().find_map(|(_, answer)| match answer {
        Ok(Answer::Nothing(why)) => Some(why.clone()),
        _ => None,
    });
    Err(match (ambiguous, error) {
        (Some(gsis), None) => Error::new(
            Kind::NotKnowable,
            format!("{what} is {gsis}: the kernel does not show which IO-APIC it is of"),
        ),
        (Some(gsis), Some(error)) => Error::new(
            error.kind,
            format!("{what} is {gsis}, and what would tell which failed: {error}"),
        ),
        (None, Some(error)) => error,
        (None, None) => Error::new(
            Kind::NotKnowable,
            format!(
                "no source knows the GSI of {what}: {}",
                nothing.unwrap_or_else(|| "none was asked".to_owned())
            ),
        ),
    })
}
