// SPDX-License-Identifier: GPL-2.0-only
//! A PCI device and the bridges above it, as sysfs shows them.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    root::Root,
};

const PIN: usize = 0x3d;
const CARDBUS: u32 = 0x0607;

/// Segment, bus, device and function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sbdf {
    pub(crate) segment: u32,
    pub(crate) bus: u8,
    pub(crate) device: u8,
    pub(crate) function: u8,
}

impl Sbdf {
    /// As privcmd takes it, which has 16 bits for the segment.
    pub(crate) fn packed(self) -> Option<u32> {
        let segment = u16::try_from(self.segment).ok()?;
        let devfn = u32::from(self.device) << 3 | u32::from(self.function);
        Some(u32::from(segment) << 16 | u32::from(self.bus) << 8 | devfn)
    }
}

impl fmt::Display for Sbdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{:x}",
            self.segment, self.bus, self.device, self.function
        )
    }
}

impl FromStr for Sbdf {
    type Err = String;

    /// `0000:00:06.0`, or without the segment as `xl` takes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let hex = |text: &str, most: usize| {
                let right = (1..=most).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                right.then(|| u32::from_str_radix(text, 16).ok()).flatten()
            };
            let (front, function) = text.split_once('.')?;
            let (front, device) = front.rsplit_once(':')?;
            let (segment, bus) = front.rsplit_once(':').unwrap_or(("0", front));
            Some(Self {
                segment: hex(segment, 8)?,
                bus: u8::try_from(hex(bus, 2)?).ok()?,
                device: u8::try_from(hex(device, 2)?).ok().filter(|&at| at < 32)?,
                function: u8::try_from(hex(function, 1)?).ok().filter(|&at| at < 8)?,
            })
        };
        parse().ok_or_else(|| "not a device's address, such as 0000:00:06.0".to_owned())
    }
}

/// INTA to INTD, as config space numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) struct Pin(u8);

impl Pin {
    /// What the pin of a device behind a bridge is at the bridge.
    fn swizzled(self, device: u8) -> Self {
        Self((self.0 - 1 + device % 4) % 4 + 1)
    }

    /// As `_PRT` numbers it.
    pub(crate) fn in_prt(self) -> u64 {
        u64::from(self.0 - 1)
    }
}

impl TryFrom<u8> for Pin {
    type Error = String;

    fn try_from(pin: u8) -> Result<Self, String> {
        match pin {
            1..=4 => Ok(Self(pin)),
            _ => Err(format!("{pin} is no interrupt pin")),
        }
    }
}

impl From<Pin> for u8 {
    fn from(pin: Pin) -> Self {
        pin.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INT{}", char::from(b'A' + self.0 - 1))
    }
}

/// One place where the device's interrupt may be routed: a bus of its way up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The bus's ACPI object, whose `_PRT` it is.
    pub(crate) bus: String,
    pub(crate) device: u8,
    pub(crate) pin: Pin,
}

/// A device that is there.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) sbdf: Sbdf,
    /// From the root bus to the device: folders under `sys/devices`, in the root.
    dirs: Vec<String>,
}

impl Device {
    pub(crate) fn find(root: &Root, sbdf: Sbdf) -> Result<Self> {
        let link = format!("sys/bus/pci/devices/{sbdf}");
        let real = root.real(&link).map_err(|error| {
            if error.kind == Kind::NotFound {
                Error::new(
                    Kind::NotFound,
                    format!("there is no PCI device {sbdf} (see /sys/bus/pci/devices)"),
                )
            } else {
                error
            }
        })?;
        let inside = real.strip_prefix(root.dir()).unwrap_or(&real);
        let mut dirs = Vec::new();
        for dir in inside.ancestors() {
            let Some(name) = dir.file_name().and_then(|name| name.to_str()) else {
                break;
            };
            dirs.push(dir.to_string_lossy().into_owned());
            if name.parse::<Sbdf>().is_err() {
                break;
            }
        }
        dirs.reverse();
        let device = dirs.last().and_then(|dir| at(dir).ok());
        if dirs.len() < 2 || device != Some(sbdf) {
            return Err(Error::new(
                Kind::Malformed,
                format!("{link} is not the folder of a PCI device"),
            ));
        }
        Ok(Self { sbdf, dirs })
    }

    fn dir(&self) -> &str {
        self.dirs.last().map_or("", String::as_str)
    }

    pub(crate) fn pin(&self, root: &Root) -> Result<Pin> {
        pin_of(root, self.dir(), self.sbdf)?.ok_or_else(|| {
            Error::new(
                Kind::NoGsi,
                format!("{} has no INTx pin, so it has no GSI", self.sbdf),
            )
        })
    }

    /// Where to look for the routing of the pin, in the order in which Linux looks.
    pub(crate) fn steps(&self, root: &Root) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut pin = self.pin(root)?;
        for (index, pair) in self.dirs.windows(2).rev().enumerate() {
            let [above, dir] = pair else { continue };
            let sbdf = at(dir)?;
            let class = root.text_if_present(&format!("{dir}/class"))?;
            if index > 0
                && let Some(class) = class
                && hex(&class).map(|class| class >> 8) == Some(CARDBUS)
            {
                // A card has the interrupt of its slot.
                pin = pin_of(root, dir, sbdf)?.ok_or_else(|| {
                    Error::new(
                        Kind::NoGsi,
                        format!("{sbdf}, above {}, has no INTx pin", self.sbdf),
                    )
                })?;
            }
            // On a bus with ARI all functions are of device 0.
            let ari = root.text_if_present(&format!("{dir}/ari_enabled"))?;
            let device = if ari.as_deref() == Some("1") {
                0
            } else {
                sbdf.device
            };
            let acpi = root.text_if_present(&format!("{above}/firmware_node/path"))?;
            if let Some(bus) = acpi {
                steps.push(Step { bus, device, pin });
            }
            pin = pin.swizzled(device);
        }
        if steps.is_empty() {
            return Err(Error::new(
                Kind::NotKnowable,
                format!(
                    "no bus above {} has an ACPI object (is ACPI off?)",
                    self.sbdf
                ),
            ));
        }
        Ok(steps)
    }

    /// The device's irq, if it is one of an interrupt pin: the device must be turned
    /// on, or it is what firmware left in config space, and not be on MSI.
    pub(crate) fn intx_irq(&self, root: &Root) -> Result<Result<u32, String>> {
        let dir = self.dir();
        let number = |name: &str| -> Result<Option<u32>> {
            let text = root.text_if_present(&format!("{dir}/{name}"))?;
            text.map(|text| {
                text.parse().map_err(|_| {
                    Error::new(Kind::Malformed, format!("{dir}/{name} is not a number"))
                })
            })
            .transpose()
        };
        if number("enable")?.is_none_or(|count| count == 0) {
            return Ok(Err(
                "the device is not turned on, so its irq is not set".to_owned()
            ));
        }
        let Some(irq) = number("irq")?.filter(|&irq| irq != 0) else {
            return Ok(Err("the device has no irq".to_owned()));
        };
        if root
            .names(&format!("{dir}/msi_irqs"))?
            .contains(&irq.to_string())
        {
            return Ok(Err(format!("its irq {irq} is an MSI")));
        }
        Ok(Ok(irq))
    }
}

/// The devices of the machine.
pub(crate) fn all(root: &Root) -> Result<Vec<Sbdf>> {
    let names = root.names("sys/bus/pci/devices")?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The config space that the kernel lets this user see.
pub(crate) fn config(root: &Root, sbdf: Sbdf) -> Result<Vec<u8>> {
    root.bytes(&format!("sys/bus/pci/devices/{sbdf}/config"))
}

fn at(dir: &str) -> Result<Sbdf> {
    let name = Path::new(dir).file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
        .parse()
        .map_err(|error| Error::new(Kind::Malformed, format!("{dir}: {error}")))
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn pin_of(root: &Root, dir: &str, sbdf: Sbdf) -> Result<Option<Pin>> {
    let config = root.bytes(&format!("{dir}/config"))?;
    match config.get(PIN) {
        Some(0) => Ok(None),
        Some(&pin) => {
            if config.iter().take(4).all(|&byte| byte == 0xff) {
                return Err(Error::new(
                    Kind::NotKnowable,
                    format!("{sbdf} does not answer: its config space reads as ones"),
                ));
            }
            let pin = Pin::try_from(pin).map_err(|error| {
                Error::new(Kind::Malformed, format!("config space of {sbdf}: {error}"))
            })?;
            Ok(Some(pin))
        }
        None => Err(Error::new(
            Kind::Malformed,
            format!("config space of {sbdf} ends before its interrupt pin"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_strictly() {
        let sbdf: Sbdf = "0001:a2:1f.7".parse().unwrap();
        assert_eq!(sbdf.to_string(), "0001:a2:1f.7");
        assert_eq!(sbdf.packed(), Some(0x0001_a2ff));
        assert_eq!(
            "00:06.0".parse::<Sbdf>().unwrap().to_string(),
            "0000:00:06.0"
        );
        let vmd: Sbdf = "10000:00:01.0".parse().unwrap();
        assert_eq!(
            (vmd.to_string().as_str(), vmd.packed()),
            ("10000:00:01.0", None)
        );
        for text in [
            "",
            "6",
            "00:06",
            "00:20.0",
            "00:06.8",
            "0000:00:06.0 ",
            "+0:06.0",
            "000:06.0",
            "0:0:0:0.0",
            "/:06.0",
        ] {
            assert!(text.parse::<Sbdf>().is_err(), "{text}");
        }
    }

    #[test]
    fn pin_turns_with_the_slot() {
        let pin = |pin| Pin::try_from(pin).unwrap();
        assert_eq!(pin(1).swizzled(0), pin(1));
        assert_eq!(pin(1).swizzled(7), pin(4));
        assert_eq!(pin(4).swizzled(1), pin(1));
        assert_eq!(pin(3).swizzled(31), pin(2));
        assert_eq!((pin(4).to_string().as_str(), pin(4).in_prt()), ("INTD", 3));
        assert!(Pin::try_from(0).is_err() && Pin::try_from(5).is_err());
    }
}
