/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices of the hardware domain: configuration space, BARs, resets.
 *
 * Our runtime and XTF map the first 4 GiB, each address to itself.  A BAR
 * above them can be accessed only after xpt_map_high().
 */
#ifndef XPT_PCI_H
#define XPT_PCI_H

#include "xpt.h"

/* A function of segment 0: bus, device and function as PCI writes them. */
#define XPT_DEVFN(slot)         ((slot) << 3)
#define XPT_BDF(bus, slot)      (((bus) << 8) | XPT_DEVFN(slot))

#define PCI_ID                  0x00
#define PCI_COMMAND             0x04
#define  PCI_COMMAND_IO         0x0001
#define  PCI_COMMAND_MEMORY     0x0002
#define  PCI_COMMAND_MASTER     0x0004
#define  PCI_COMMAND_INTX_DISABLE 0x0400
#define PCI_STATUS              0x06
#define PCI_CLASS               0x08
#define PCI_HEADER_TYPE         0x0e
#define PCI_BAR0                0x10
#define PCI_BAR(n)              (PCI_BAR0 + 4 * (n))
#define  PCI_BAR_IO             0x1
#define  PCI_BAR_TYPE           0x6
#define  PCI_BAR_MEM64          0x4
#define PCI_ROM                 0x30
#define  PCI_ROM_ENABLE         0x1
#define PCI_CAPS                0x34

#define PCI_CAP_ID_MSI          0x05
#define PCI_CAP_ID_EXP          0x10
#define PCI_CAP_ID_MSIX         0x11

#define EXP_DEVCAP              4
#define  EXP_DEVCAP_FLR         (1u << 28)
#define EXP_DEVCTL              8
#define  EXP_DEVCTL_FLR         (1u << 15)

/*
 * By ports 0xcf8 and 0xcfc.  The first of them is shared by all vCPUs: only
 * one at a time may use these.
 */
uint32_t xpt_pci_read32(uint16_t bdf, uint8_t reg);
uint16_t xpt_pci_read16(uint16_t bdf, uint8_t reg);
uint8_t xpt_pci_read8(uint16_t bdf, uint8_t reg);
void xpt_pci_write32(uint16_t bdf, uint8_t reg, uint32_t val);
void xpt_pci_write16(uint16_t bdf, uint8_t reg, uint16_t val);
void xpt_pci_write8(uint16_t bdf, uint8_t reg, uint8_t val);

/*
 * Where q35 has the 4 KiB of a function in memory, which Xen traps.  0: it is
 * not turned on.
 */
unsigned long xpt_pci_ecam(uint16_t bdf);

/* Offset of a capability, 0 if the device has none. */
uint8_t xpt_pci_cap(uint16_t bdf, uint8_t id);

/* Turn bits of the command register on or off.  Answers what it was. */
uint16_t xpt_pci_command(uint16_t bdf, uint16_t set, uint16_t clear);

/* Address in a BAR, of both of its registers where it is a 64-bit one. */
uint64_t xpt_bar_read(uint16_t bdf, uint8_t reg);
void xpt_bar_write(uint16_t bdf, uint8_t reg, uint64_t addr);

/*
 * Size of a BAR as firmware finds it, with I/O and memory decode off and
 * everything restored at the end.  0: there is no BAR.
 */
uint64_t xpt_bar_size(uint16_t bdf, uint8_t reg);

/* Make the 2 MiB around @addr, above 4 GiB, accessible. */
void xpt_map_high(uint64_t addr);

#define XPT_NR_HEADER           16

/* The header, and from its end, so that BARs are in place before decode. */
void xpt_pci_save(uint16_t bdf, uint32_t saved[XPT_NR_HEADER]);
void xpt_pci_restore(uint16_t bdf, const uint32_t saved[XPT_NR_HEADER]);

/*
 * A function level reset: nothing tells Xen that the device is a fresh one.
 * False: the device does not have it, or does not come back.
 */
bool xpt_pci_flr(uint16_t bdf);

/* HYPERVISOR_physdev_op(PHYSDEVOP_pci_device_reset) */
#define XPT_RESET_COLD          0
#define XPT_RESET_WARM          1
#define XPT_RESET_HOT           2
#define XPT_RESET_FLR           3

long xpt_pci_device_reset(uint16_t bdf, uint32_t kind);

/*
 * PHYSDEVOP_pci_device_{add,remove}: what Xen is told, of a device which stays
 * where it is.
 */
long xpt_pci_device_add(uint16_t bdf);
long xpt_pci_device_remove(uint16_t bdf);

/* QEMU's devices: vendor and device, and registers of BAR0. */
#define EDU_ID                  0x11e81234u
#define EDU_IDENT               0x00
#define  EDU_IDENT_VALUE        0x010000edu
#define EDU_STATUS              0x24
#define EDU_RAISE               0x60
#define EDU_ACK                 0x64

#define NVME_ID                 0x00101b36u
#define NVME_VS                 0x08

#define E1000E_ID               0x10d38086u
#define E1000E_STATUS           0x08

#define ROOT_PORT_ID            0x000c1b36u
#define IOH3420_ID              0x34208086u
#define XHCI_ID                 0x01941033u     /* nec-usb-xhci */

#define ROCKER_ID               0x00061b36u
#define ROCKER_BOGUS            0x00
#define  ROCKER_BOGUS_VALUE     0xdeadbabeu
#define ROCKER_RAISE            0x20

/* Not QEMU's, but plugged into it by `cargo xtask`: xtask/src/ehci.rs. */
#define EHCI_ID                 0x0eec1234u
#define EHCI_VERSION            0x00
#define  EHCI_VERSION_VALUE     0x01000020u

#endif /* XPT_PCI_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
