/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What accesses to configuration space and a reset cost, in ticks of the time
 * stamp counter, which are instructions on this test's machine: the same in
 * every run, so that two hypervisors can be compared.
 *
 * An access costs the same however many devices there are: it is measured
 * with 74 of them, and again when Xen has been told that those behind the
 * bridges are gone.  Nor does it matter how many registers of a device Xen
 * handles, of which `e1000e` has more than `edu` and `nvme`, or which of them
 * it is.
 *
 * The devices of bus 0 are the last ones on Xen's lists, which are in reverse
 * order.
 *
 * Needs `edu` at 00:05.0, `nvme` at 00:06.0, `e1000e` at 00:08.0, and bridges
 * with `pci-testdev` behind them.
 */
#include "../xpt/msi.h"
#include "../xpt/sysctl.h"

const char test_title[] = "Costs of vPCI";
const char xpt_test[] = "vpci-cost";

#define EDU             XPT_BDF(0, 5)
#define NVME            XPT_BDF(0, 6)
#define E1000E          XPT_BDF(0, 8)

#define NR_BUSES        3
#define NR_SLOTS        32

/* Xen's timer interrupts only ever add: the quickest portion counts. */
#define NR_PORTIONS     20
#define NR_PORTION      50

/* Not an operation, and refused as one. */
#define PHYSDEVOP_none  40

enum access { READ16, READ32, WRITE16, WRITE32 };

static const struct sample {
    const char *name;
    uint16_t bdf;
    uint8_t cap, reg;           /* @reg is relative to a capability. */
    enum access access;
} samples[] = {
    { "id-read",             E1000E, 0, PCI_ID, READ32 },
    { "command-read",        E1000E, 0, PCI_COMMAND, READ16 },
    { "command-write",       E1000E, 0, PCI_COMMAND, WRITE16 },
    { "bar-read",            E1000E, 0, PCI_BAR0, READ32 },
    { "bar-write",           E1000E, 0, PCI_BAR0, WRITE32 },
    { "bar3-read",           E1000E, 0, PCI_BAR(3), READ32 },
    { "msi-control-read",    E1000E, PCI_CAP_ID_MSI, MSI_CTRL, READ16 },
    { "msi-control-write",   E1000E, PCI_CAP_ID_MSI, MSI_CTRL, WRITE16 },
    { "msix-control-read",   E1000E, PCI_CAP_ID_MSIX, MSIX_CTRL, READ16 },
    { "msix-control-write",  E1000E, PCI_CAP_ID_MSIX, MSIX_CTRL, WRITE16 },
    { "edu-command-read",    EDU, 0, PCI_COMMAND, READ16 },
    { "edu-command-write",   EDU, 0, PCI_COMMAND, WRITE16 },
    { "nvme-msix-control-read", NVME, PCI_CAP_ID_MSIX, MSIX_CTRL, READ16 },
};

static unsigned long many[ARRAY_SIZE(samples)], few[ARRAY_SIZE(samples)];

/* Of the sample which is being measured. */
static enum access access;
static uint16_t port;
static uint32_t value;
static unsigned int nr_failed;

/* What is written is what is there. */
static void one_access(void)
{
    switch ( access )
    {
    case READ16:  value = inw(port); break;
    case READ32:  value = inl(port); break;
    case WRITE16: outw(value, port); break;
    case WRITE32: outl(value, port); break;
    }
}

static void reset(void)
{
    nr_failed += xpt_pci_device_reset(E1000E, XPT_RESET_FLR) != 0;
}

/* What of a reset is not Xen's work on the device. */
static void empty(void)
{
    uint64_t arg = 0;

    nr_failed += hypercall_physdev_op(PHYSDEVOP_none, &arg) != -38;
}

static unsigned long ticks(void (*fn)(void))
{
    unsigned long best = -1;
    unsigned int i, j;

    for ( i = 0; i < NR_PORTIONS; ++i )
    {
        uint64_t begun = xpt_rdtsc(), took;

        for ( j = 0; j < NR_PORTION; ++j )
            fn();

        took = xpt_rdtsc() - begun;
        if ( took < best )
            best = took;
    }

    return best / NR_PORTION;
}

static unsigned long measure(const struct sample *s)
{
    uint8_t reg = s->reg + (s->cap ? xpt_pci_cap(s->bdf, s->cap) : 0);

    access = s->access;
    port = 0xcfc + (reg & 2);
    value = access == WRITE16 ? xpt_pci_read16(s->bdf, reg)
                              : xpt_pci_read32(s->bdf, reg);

    return ticks(one_access);
}

static unsigned int nr_devices(void)
{
    return xpt_count(xpt_debug_key('Q'), " - node ");
}

/* Xen forgets the device.  Its configuration space stays as it is. */
static void forget_bridged(void)
{
    unsigned int bus, slot;

    for ( bus = 1; bus < NR_BUSES; ++bus )
        for ( slot = 0; slot < NR_SLOTS; ++slot )
            if ( xpt_pci_read32(XPT_BDF(bus, slot), PCI_ID) != ~0u )
                xpt_pci_device_remove(XPT_BDF(bus, slot));
}

/* Net of a call which is refused at once. */
static void test_reset(const char *name)
{
    char buf[40];
    unsigned long cost = ticks(reset) - ticks(empty);

    xpt_check_if(name, "", true, "%ld", cost);
    snprintf(buf, sizeof(buf), "%s-answers", name);
    xpt_check(buf, "0 failed", "%u failed", nr_failed);
    nr_failed = 0;
}

/* @a and @b, which are to be the same to 1 %. */
static void check_same(const char *name, const char *what,
                       unsigned long a, unsigned long b)
{
    unsigned long more = a > b ? a - b : b - a;
    char buf[48];

    snprintf(buf, sizeof(buf), "%s-%s", name, what);
    xpt_check_if(buf, "the same to 1 %", more * 100 <= b, "%lu %lu", a, b);
}

static unsigned int find(const char *name)
{
    unsigned int i;

    for ( i = 0; strcmp(samples[i].name, name); ++i )
        ;

    return i;
}

static unsigned long cost(const char *name)
{
    return few[find(name)];
}

void test_main(void)
{
    unsigned int nr_many, nr_few, i;

    if ( xpt_pci_read32(EDU, PCI_ID) != EDU_ID ||
         xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_pci_read32(E1000E, PCI_ID) != E1000E_ID )
        return xtf_error("Error: no edu, nvme and e1000e in 5, 6 and 8\n");

    xpt_pci_command(E1000E, PCI_COMMAND_MEMORY, 0);
    xpt_pci_command(EDU, PCI_COMMAND_MEMORY, 0);

    nr_many = nr_devices();
    for ( i = 0; i < ARRAY_SIZE(samples); ++i )
        many[i] = measure(&samples[i]);
    test_reset("reset");

    forget_bridged();
    nr_few = nr_devices();
    xpt_check_if("devices", "64 more, then fewer", nr_many >= nr_few + 60,
                 "%u, then %u", nr_many, nr_few);

    for ( i = 0; i < ARRAY_SIZE(samples); ++i )
    {
        few[i] = measure(&samples[i]);
        xpt_check_if(samples[i].name, "", true, "%lu", few[i]);
        check_same(samples[i].name, "devices", many[i], few[i]);
    }

    check_same("bar3-read", "registers", cost("bar3-read"), cost("bar-read"));
    check_same("command-read", "registers",
               cost("command-read"), cost("edu-command-read"));
    check_same("command-write", "registers",
               cost("command-write"), cost("edu-command-write"));
    check_same("msix-control-read", "registers",
               cost("msix-control-read"), cost("nvme-msix-control-read"));

    xpt_pci_command(E1000E, 0, PCI_COMMAND_MEMORY);
    test_reset("reset-decode-off");
    xpt_check_if("bar-write-decode-off", "", true, "%lu",
                 measure(&samples[find("bar-write")]));

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
