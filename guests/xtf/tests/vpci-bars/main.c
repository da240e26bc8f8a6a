/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BARs and ROM of the hardware domain's devices: sizing, moves, decode, and
 * PHYSDEVOP_pci_device_reset in each of those situations.
 *
 * Needs `edu` at 00:05.0 (MEM32), `nvme` at 00:06.0 (MEM64) and `e1000e` at
 * 00:08.0 (MEM32, I/O, ROM, MSI-X).
 */
#include "../xpt/msi.h"

const char test_title[] = "BARs and ROM in vPCI";
const char xpt_test[] = "vpci-bars";

#define EDU             XPT_DEVFN(5)
#define NVME            XPT_DEVFN(6)
#define E1000E          XPT_DEVFN(8)

#define E1000E_REGS     PCI_BAR(0)
#define E1000E_IO       PCI_BAR(2)
#define E1000E_MSIX     PCI_BAR(3)

/* Address and data of the register which is accessed by I/O ports. */
#define IO_ADDR         0
#define IO_DATA         4

#define ROM_SIGNATURE   0xaa55

/* Where q35 has neither memory nor, so far, a device. */
#define FREE_LOW        0xd0000000ul
#define FREE_LOW2       0xd0800000ul
#define FREE_HIGH       0x800000000ul
#define FREE_IO         0xe000

/* Memory of the domain's own, aligned as the largest of the BARs. */
#define RAM             0x20000000ul

/* A memory BAR, and a register by which its device is known. */
static struct place {
    const char *name;
    uint16_t bdf;
    uint8_t reg;
    uint16_t offset;
    uint64_t addr;
    uint32_t value;
} edu = {
    .name   = "mem32",
    .bdf    = EDU,
    .reg    = PCI_BAR0,
    .offset = EDU_IDENT,
}, nvme = {
    .name   = "mem64",
    .bdf    = NVME,
    .reg    = PCI_BAR0,
    .offset = NVME_VS,
}, e1000e = {
    .name   = "several",
    .bdf    = E1000E,
    .reg    = E1000E_REGS,
    .offset = E1000E_STATUS,
};

static char name[48];

#define CASE(fmt, ...) (snprintf(name, sizeof(name), fmt, ## __VA_ARGS__), name)

static void check_hex(const char *which, uint64_t want_val, uint64_t val)
{
    char want[20];

    snprintf(want, sizeof(want), "%lx", want_val);
    xpt_check(which, want, "%lx", val);
}

static uint32_t read_at(const struct place *p, uint64_t addr)
{
    return xpt_read32(addr + p->offset);
}

static void decode(uint16_t bdf, bool on)
{
    xpt_pci_command(bdf, on ? PCI_COMMAND_MEMORY : 0, PCI_COMMAND_MEMORY);
}

static const char *decode_is(uint16_t bdf)
{
    return xpt_pci_read16(bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY ? "on" : "off";
}

/* Whether the device answers at @addr; by what is not mapped the bus does. */
static const char *seen_at(const struct place *p, uint64_t addr)
{
    static char other[12];
    uint32_t val = read_at(p, addr);

    if ( val == p->value )
        return "device";
    if ( val == ~0u )
        return "nothing";

    snprintf(other, sizeof(other), "%08x", val);

    return other;
}

/* Decode, address, and who answers there. */
static void check_place(const char *which, const struct place *p, bool on,
                        uint64_t addr)
{
    char want[64];

    snprintf(want, sizeof(want), "decode %s at %lx: %s", on ? "on" : "off",
             addr, on ? "device" : "nothing");
    xpt_check(which, want, "decode %s at %lx: %s", decode_is(p->bdf),
              xpt_bar_read(p->bdf, p->reg), seen_at(p, addr));
}

static void check_gone(const char *which, const struct place *p, uint64_t addr)
{
    xpt_check(which, "nothing", "%s", seen_at(p, addr));
}

/* The call alone leaves everything as it is, and the device in use. */
static void check_reset(const char *which, const struct place *p, bool on,
                        uint64_t addr)
{
    char situation[32];

    snprintf(situation, sizeof(situation), "%s-%s", p->name, which);

    xpt_check_rc(CASE("%s-reset", situation), 0,
                 xpt_pci_device_reset(p->bdf, XPT_RESET_FLR));
    check_place(CASE("%s-reset-same", situation), p, on, addr);
    decode(p->bdf, !on);
    check_place(CASE("%s-reset-toggled", situation), p, !on, addr);
    decode(p->bdf, on);
    check_place(CASE("%s-reset-back", situation), p, on, addr);
}

static void test_size(const char *which, uint16_t bdf, uint8_t reg,
                      uint64_t size)
{
    uint64_t addr = xpt_bar_read(bdf, reg);

    check_hex(CASE("size-%s", which), size, xpt_bar_size(bdf, reg));
    check_hex(CASE("size-%s-restored", which), addr, xpt_bar_read(bdf, reg));
}

static void test_sizes(void)
{
    test_size("mem32", EDU, PCI_BAR0, 0x100000);
    test_size("mem64", NVME, PCI_BAR0, 0x4000);
    test_size("io", E1000E, E1000E_IO, 0x20);
    test_size("msix", E1000E, E1000E_MSIX, 0x4000);
    test_size("rom", E1000E, PCI_ROM, 0x40000);
    test_size("none", E1000E, PCI_BAR(4), 0);

    check_place("size-mem32-after", &edu, true, edu.addr);
    check_place("size-mem64-after", &nvme, true, nvme.addr);
    check_place("size-several-after", &e1000e, true, e1000e.addr);
}

/* A write while decode is on is ignored, be it the same value or another. */
static void test_ignored(const struct place *p)
{
    xpt_bar_write(p->bdf, p->reg, p->addr);
    check_place(CASE("%s-same-value", p->name), p, true, p->addr);

    xpt_bar_write(p->bdf, p->reg, FREE_LOW);
    check_place(CASE("%s-other-value", p->name), p, true, p->addr);
    check_gone(CASE("%s-other-value-there", p->name), p, FREE_LOW);

    /* As a sizing which forgets to turn decode off. */
    xpt_pci_write32(p->bdf, p->reg, ~0u);
    check_place(CASE("%s-all-ones", p->name), p, true, p->addr);
}

static void move(const struct place *p, uint64_t to)
{
    decode(p->bdf, false);
    xpt_bar_write(p->bdf, p->reg, to);
    decode(p->bdf, true);
}

static void test_move(const char *which, const struct place *p, uint64_t to)
{
    move(p, to);
    check_place(CASE("%s-%s", p->name, which), p, true, to);
    check_gone(CASE("%s-%s-left", p->name, which), p, p->addr);
    check_reset(which, p, true, to);

    move(p, p->addr);
    check_place(CASE("%s-%s-back", p->name, which), p, true, p->addr);
    check_gone(CASE("%s-%s-gone", p->name, which), p, to);
}

static void test_decode(const struct place *p)
{
    decode(p->bdf, false);
    check_place(CASE("%s-off", p->name), p, false, p->addr);
    check_reset("off", p, false, p->addr);

    /* As sizing leaves it in the middle. */
    xpt_pci_write32(p->bdf, p->reg, ~0u);
    xpt_check_rc(CASE("%s-sizing-reset", p->name), 0,
                 xpt_pci_device_reset(p->bdf, XPT_RESET_FLR));
    xpt_bar_write(p->bdf, p->reg, p->addr);

    decode(p->bdf, true);
    check_place(CASE("%s-on", p->name), p, true, p->addr);
    check_reset("on", p, true, p->addr);
}

/* A BAR over memory is not mapped, and the memory stays. */
static void test_ram(void)
{
    static const uint32_t pattern = 0x5a17c0de;

    xpt_write32(RAM, pattern);
    check_hex("over-memory-before", pattern, xpt_read32(RAM));

    move(&edu, RAM);
    check_hex("over-memory", pattern, xpt_read32(RAM));
    xpt_check_rc("over-memory-reset", 0,
                 xpt_pci_device_reset(EDU, XPT_RESET_FLR));
    check_hex("over-memory-reset-after", pattern, xpt_read32(RAM));

    move(&edu, edu.addr);
    check_hex("over-memory-after", pattern, xpt_read32(RAM));
    check_place("over-memory-back", &edu, true, edu.addr);
}

/* Only one of a device's BARs moves, and it is the one with MSI-X's table. */
static void test_msix_bar(void)
{
    struct place msix = {
        .name   = "msix",
        .bdf    = E1000E,
        .reg    = E1000E_MSIX,
        .offset = MSIX_ENTRY_CTRL,
        .addr   = xpt_bar_read(E1000E, E1000E_MSIX),
        .value  = MSIX_ENTRY_CTRL_MASKED,
    };

    check_place("msix", &msix, true, msix.addr);
    test_move("move", &msix, FREE_LOW);
    check_place("several-msix-moved", &e1000e, true, e1000e.addr);
}

static uint32_t io_read(uint16_t port)
{
    outl(E1000E_STATUS, port + IO_ADDR);

    return inl(port + IO_DATA);
}

/* I/O space is not Xen's to map: a BAR can move while memory decode is on. */
static void test_io(void)
{
    uint16_t port = xpt_bar_read(E1000E, E1000E_IO);

    xpt_pci_command(E1000E, PCI_COMMAND_IO, 0);
    check_hex("io", e1000e.value, io_read(port));

    xpt_pci_command(E1000E, 0, PCI_COMMAND_IO);
    check_hex("io-off", ~0u, io_read(port));

    xpt_bar_write(E1000E, E1000E_IO, FREE_IO);
    xpt_pci_command(E1000E, PCI_COMMAND_IO, 0);
    check_hex("io-moved", FREE_IO, xpt_bar_read(E1000E, E1000E_IO));
    check_hex("io-moved-there", e1000e.value, io_read(FREE_IO));
    check_hex("io-moved-left", ~0u, io_read(port));
    check_place("io-moved-memory", &e1000e, true, e1000e.addr);

    xpt_check_rc("io-moved-reset", 0,
                 xpt_pci_device_reset(E1000E, XPT_RESET_FLR));
    check_hex("io-moved-reset-there", e1000e.value, io_read(FREE_IO));

    xpt_bar_write(E1000E, E1000E_IO, port);
    check_hex("io-back", e1000e.value, io_read(port));
}

static void check_rom(const char *which, uint32_t want_reg, uint32_t addr,
                      bool readable)
{
    char want[40];

    snprintf(want, sizeof(want), "%08x: %04x", want_reg,
             readable ? ROM_SIGNATURE : 0xffff);
    xpt_check(which, want, "%08x: %04x", xpt_pci_read32(E1000E, PCI_ROM),
              xpt_read32(addr) & 0xffff);
}

static void rom_write(uint32_t val)
{
    xpt_pci_write32(E1000E, PCI_ROM, val);
}

static void rom_reset(const char *which, uint32_t want_reg, uint32_t addr,
                      bool readable)
{
    xpt_check_rc(CASE("%s-reset", which), 0,
                 xpt_pci_device_reset(E1000E, XPT_RESET_FLR));
    check_rom(CASE("%s-reset-after", which), want_reg, addr, readable);
}

static void test_rom(void)
{
    const uint32_t a = FREE_LOW, b = FREE_LOW2, on = PCI_ROM_ENABLE;

    decode(E1000E, true);

    rom_write(a);
    check_rom("rom-off", a, a, false);
    rom_reset("rom-off", a, a, false);

    rom_write(a | on);
    check_rom("rom-on", a | on, a, true);
    rom_reset("rom-on", a | on, a, true);

    rom_write(a | on);
    check_rom("rom-on-again", a | on, a, true);

    /* Not while it is mapped. */
    rom_write(b | on);
    check_rom("rom-other-address", a | on, a, true);
    check_rom("rom-other-address-there", a | on, b, false);

    decode(E1000E, false);
    check_rom("rom-on-decode-off", a | on, a, false);
    rom_reset("rom-on-decode-off", a | on, a, false);
    decode(E1000E, true);
    check_rom("rom-on-decode-on", a | on, a, true);
    check_place("rom-on-registers", &e1000e, true, e1000e.addr);

    /* To turn it off and to move it may be one write. */
    rom_write(b);
    check_rom("rom-off-moved", b, a, false);
    rom_write(b | on);
    check_rom("rom-on-moved", b | on, b, true);
    check_rom("rom-on-moved-left", b | on, a, false);

    /* With decode off it is only a register. */
    decode(E1000E, false);
    rom_write(b);
    rom_write(a | on);
    check_rom("rom-decode-off-moved", a | on, a, false);
    decode(E1000E, true);
    check_rom("rom-decode-on-moved", a | on, a, true);
    check_rom("rom-decode-on-moved-left", a | on, b, false);

    decode(E1000E, false);
    rom_write(a);
    decode(E1000E, true);
    check_rom("rom-decode-off-off", a, a, false);
    check_place("rom-off-registers", &e1000e, true, e1000e.addr);
}

/*
 * After a real reset every BAR is 0 and decode is off.  Only what this device
 * had mapped may go: not another one, and not the domain's memory at 0.
 */
static void test_flr(void)
{
    uint32_t saved[XPT_NR_HEADER], low = read_at(&nvme, 0);

    xpt_pci_save(NVME, saved);
    move(&nvme, FREE_LOW);

    xpt_check("flr", "done", "%s", xpt_pci_flr(NVME) ? "done" : "not done");
    xpt_check_rc("flr-reset", 0, xpt_pci_device_reset(NVME, XPT_RESET_FLR));
    check_gone("flr-moved-left", &nvme, FREE_LOW);
    check_hex("flr-bar", 0, xpt_bar_read(NVME, PCI_BAR0));
    check_hex("flr-low-memory", low, read_at(&nvme, 0));
    check_place("flr-another-device", &edu, true, edu.addr);

    xpt_pci_restore(NVME, saved);
    check_place("flr-restored", &nvme, true, nvme.addr);
    check_reset("flr", &nvme, true, nvme.addr);
}

/* Two BARs at one place: what one device gives up, the other keeps. */
static void test_overlap(void)
{
    uint32_t saved[XPT_NR_HEADER];

    xpt_pci_save(NVME, saved);
    move(&edu, FREE_LOW);
    move(&nvme, FREE_LOW);

    decode(NVME, false);
    check_place("overlap-one-off", &edu, true, FREE_LOW);
    decode(NVME, true);
    decode(EDU, false);
    check_place("overlap-other-off", &nvme, true, FREE_LOW);
    decode(EDU, true);

    xpt_pci_flr(NVME);
    xpt_check_rc("overlap-flr-reset", 0,
                 xpt_pci_device_reset(NVME, XPT_RESET_FLR));
    check_place("overlap-flr", &edu, true, FREE_LOW);

    move(&edu, edu.addr);
    check_place("overlap-back", &edu, true, edu.addr);
    check_gone("overlap-left", &edu, FREE_LOW);
    xpt_pci_restore(NVME, saved);
    check_place("overlap-restored", &nvme, true, nvme.addr);
}

static bool find(struct place *p, uint32_t id)
{
    if ( xpt_pci_read32(p->bdf, PCI_ID) != id )
    {
        xtf_error("Error: no device %08x at 00:%02x.0\n", id, p->bdf >> 3);
        return false;
    }

    decode(p->bdf, true);
    p->addr = xpt_bar_read(p->bdf, p->reg);
    p->value = read_at(p, p->addr);
    if ( !p->value || p->value == ~0u )
    {
        xtf_error("Error: 00:%02x.0 does not answer at %lx\n", p->bdf >> 3,
                  p->addr);
        return false;
    }

    return true;
}

void test_main(void)
{
    if ( !find(&edu, EDU_ID) || !find(&nvme, NVME_ID) ||
         !find(&e1000e, E1000E_ID) )
        return;

    xpt_map_high(FREE_HIGH);

    test_sizes();

    test_ignored(&edu);
    test_ignored(&nvme);
    test_ignored(&e1000e);

    test_decode(&edu);
    test_decode(&nvme);
    test_decode(&e1000e);

    test_move("low", &edu, FREE_LOW);
    test_move("low", &nvme, FREE_LOW);
    test_move("high", &nvme, FREE_HIGH);
    test_move("low", &e1000e, FREE_LOW);

    test_ram();
    test_msix_bar();
    test_io();
    test_rom();
    test_flr();
    test_overlap();

    xpt_done();
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
