/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs at work on the same device and on two devices at the same moment:
 * memory decode, BARs, ROM and PHYSDEVOP_pci_device_reset.
 *
 * Needs `edu` at 00:05.0, `nvme` at 00:06.0 and `e1000e` at 00:08.0.
 */
#include "../xpt/pci.h"
#include "../xpt/smp.h"

const char test_title[] = "Decode of PCI devices on two vCPUs";
const char xpt_test[] = "vpci-smp";

/* Where q35 has neither memory nor, so far, a device. */
#define FREE            0xd0000000u
#define FREE_ROM        0xd0800000u

#define ROM_SIGNATURE   0xaa55

#define NR_ROUNDS       300

/* Of cpu1's turns meanwhile: fewer would not be much of a test. */
#define MIN_TURNS       100

/* A device, where Xen has its configuration space in memory. */
static struct device {
    const char *name;
    uint16_t bdf, offset;       /* Of a register by which it is known. */
    uint32_t id, value;
    unsigned long config;
    uint32_t bar, flags;
} edu = {
    .name   = "edu",
    .bdf    = XPT_DEVFN(5),
    .offset = EDU_IDENT,
    .id     = EDU_ID,
}, nvme = {
    .name   = "nvme",
    .bdf    = XPT_DEVFN(6),
    .offset = NVME_VS,
    .id     = NVME_ID,
}, e1000e = {
    .name   = "e1000e",
    .bdf    = XPT_DEVFN(8),
    .offset = E1000E_STATUS,
    .id     = E1000E_ID,
};

/*
 * What is to be done together: the first device is the one which cpu0 turns
 * on and off, and cpu1 does its half until cpu0 is done.
 */
enum job {
    JOB_TOGGLE,
    JOB_MOVE,
    JOB_ROM,
    JOB_RESET,
    JOB_END,
};

static struct {
    enum job job;
    const struct device *dev[2];
} work;

static volatile bool stop;
static bool lost;

/* Of cpu1's half. */
static volatile unsigned int nr_turns;
static long reset_rc;

/* The ports for configuration space have one address register for both. */
static uint16_t read_command(const struct device *dev)
{
    return *(volatile uint16_t *)(dev->config + PCI_COMMAND);
}

static void write_command(const struct device *dev, uint16_t command)
{
    *(volatile uint16_t *)(dev->config + PCI_COMMAND) = command;
}

static void decode(const struct device *dev, bool on)
{
    uint16_t command = read_command(dev);

    write_command(dev, on ? command | PCI_COMMAND_MEMORY
                          : command & ~PCI_COMMAND_MEMORY);
}

static bool decodes(const struct device *dev)
{
    return read_command(dev) & PCI_COMMAND_MEMORY;
}

static uint32_t read_bar(const struct device *dev)
{
    return xpt_read32(dev->config + PCI_BAR0) & ~0xfu;
}

static bool answers(const struct device *dev, uint32_t addr)
{
    return xpt_read32(addr + dev->offset) == dev->value;
}

static void turn(unsigned int i)
{
    const struct device *dev = work.dev[1];

    switch ( work.job )
    {
    case JOB_TOGGLE:
        decode(dev, i & 1);
        break;

    case JOB_MOVE:
        xpt_write32(dev->config + PCI_BAR0,
                    (i & 1 ? FREE : dev->bar) | dev->flags);
        break;

    case JOB_ROM:
        xpt_write32(dev->config + PCI_ROM,
                    FREE_ROM | (i & 1 ? PCI_ROM_ENABLE : 0));
        break;

    case JOB_RESET:
        reset_rc = xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR) ?: reset_rc;
        break;

    case JOB_END:
        break;
    }
}

static void cpu1(void)
{
    while ( xpt_meet() && work.job != JOB_END )
    {
        while ( !stop )
            turn(nr_turns++);

        if ( !xpt_meet() )
            return;
    }
}

static bool begin(enum job job, const struct device *dev0,
                  const struct device *dev1)
{
    work.job = job;
    work.dev[0] = dev0;
    work.dev[1] = dev1;
    reset_rc = 0;
    stop = false;
    nr_turns = 0;

    lost |= !xpt_meet();

    return !lost;
}

static void end(void)
{
    stop = true;
    lost |= !xpt_meet();
}

/* More rounds where cpu1 has not come to much, but not for ever. */
static bool go_on(unsigned int round)
{
    /* With one thread for both it is cpu1's turn then, for a long time. */
    if ( !(round % 16) )
        xpt_relax();

    return round < NR_ROUNDS ||
           (nr_turns < MIN_TURNS && round < 10 * NR_ROUNDS);
}

/* What does not hold of a device with decode @on, NULL if all does. */
static const char *wrong(const struct device *dev, bool on)
{
    if ( decodes(dev) != on )
        return on ? "off after it was turned on"
                  : "on after it was turned off";
    if ( !on && (answers(dev, dev->bar) || answers(dev, FREE)) )
        return "answers while decode is off";
    if ( on && !answers(dev, read_bar(dev)) )
        return "does not answer while decode is on";

    return NULL;
}

/*
 * cpu0's half, where it alone writes the command register: after each write
 * decode is as it was written, and the device answers at its BAR or not at
 * all.  Answers what did not hold first.
 */
static const char *rounds(const struct device *dev)
{
    const char *first = NULL;
    unsigned int i, on;

    for ( i = 0; go_on(i); ++i )
        for ( on = 0; on < 2; ++on )
        {
            const char *now;

            decode(dev, on);
            now = wrong(dev, on);
            first = first ?: now;
        }

    return first ?: "consistent";
}

/* One by one again: as the command register says, and it can be changed. */
static const char *afterwards(const struct device *dev)
{
    uint32_t bar = read_bar(dev);

    if ( bar != dev->bar && bar != FREE )
        return "has a BAR which was never written";
    if ( answers(dev, bar) != decodes(dev) )
        return decodes(dev) ? "does not answer while decode is on"
                            : "answers while decode is off";

    decode(dev, false);
    if ( decodes(dev) || answers(dev, bar) )
        return "cannot be turned off";
    xpt_write32(dev->config + PCI_BAR0, dev->bar | dev->flags);
    decode(dev, true);
    if ( !decodes(dev) || !answers(dev, dev->bar) )
        return "cannot be turned on";
    if ( bar != dev->bar && answers(dev, bar) )
        return "answers where it was";

    return "consistent";
}

static void check_device(const char *name, const struct device *dev)
{
    char buf[40];

    snprintf(buf, sizeof(buf), "%s-%s", name, dev->name);
    xpt_check(buf, "consistent", "%s", afterwards(dev));
}

static void check_turns(const char *name)
{
    char buf[40];

    snprintf(buf, sizeof(buf), "%s-turns", name);
    xpt_check_if(buf, "100 or more", nr_turns >= MIN_TURNS, "%u", nr_turns);
}

/* cpu0 turns decode on and off, cpu1 does something else with the device. */
static void test_against(const char *name, enum job job,
                         const struct device *dev)
{
    const char *answer;
    char buf[40];

    if ( !begin(job, dev, dev) )
        return;
    answer = rounds(dev);
    end();

    snprintf(buf, sizeof(buf), "%s-rounds", name);
    xpt_check(buf, "consistent", "%s", answer);
    if ( job == JOB_RESET )
    {
        snprintf(buf, sizeof(buf), "%s-rc", name);
        xpt_check_rc(buf, 0, reset_rc);
    }
    check_turns(name);
    check_device(name, dev);
}

/* The ROM, too, is where it should be, and can be turned on and off. */
static const char *rom_afterwards(const struct device *dev)
{
    const unsigned long reg = dev->config + PCI_ROM;
    bool on = xpt_read32(reg) & PCI_ROM_ENABLE;
    unsigned int i;

    if ( (xpt_read32(reg) & ~PCI_ROM_ENABLE) != FREE_ROM )
        return "has an address which was never written";

    for ( i = 0; i < 3; ++i )
    {
        if ( ((xpt_read32(FREE_ROM) & 0xffff) == ROM_SIGNATURE) != on )
            return on ? "does not answer while it is on"
                      : "answers while it is off";
        on = !on;
        xpt_write32(reg, FREE_ROM | (on ? PCI_ROM_ENABLE : 0));
    }

    return "consistent";
}

/* Both turn decode on and off: whoever is last decides. */
static void test_same(const char *name, const struct device *dev)
{
    unsigned int i;

    if ( !begin(JOB_TOGGLE, dev, dev) )
        return;
    for ( i = 0; go_on(i); ++i )
    {
        decode(dev, false);
        decode(dev, true);
    }
    end();

    check_turns(name);
    check_device(name, dev);
}

static void test_different(const char *name, const struct device *dev0,
                           const struct device *dev1)
{
    const char *answer;
    char buf[40];

    if ( !begin(JOB_TOGGLE, dev0, dev1) )
        return;
    answer = rounds(dev0);
    end();

    snprintf(buf, sizeof(buf), "%s-rounds", name);
    xpt_check(buf, "consistent", "%s", answer);
    check_turns(name);
    check_device(name, dev0);
    check_device(name, dev1);
}

static bool find(struct device *dev)
{
    if ( xpt_pci_read32(dev->bdf, PCI_ID) != dev->id )
    {
        xtf_error("Error: no %s at 00:%02x.0\n", dev->name, dev->bdf >> 3);
        return false;
    }

    dev->config = xpt_pci_ecam(dev->bdf);
    if ( !dev->config )
    {
        xtf_error("Error: configuration space is not in memory\n");
        return false;
    }

    dev->bar = read_bar(dev);
    dev->flags = xpt_read32(dev->config + PCI_BAR0) & 0xf;
    decode(dev, true);
    dev->value = xpt_read32(dev->bar + dev->offset);

    return true;
}

void test_main(void)
{
    long rc;

    if ( !find(&edu) || !find(&nvme) || !find(&e1000e) )
        return;

    rc = xpt_cpu1_start(cpu1);
    if ( rc )
        return xtf_error("Error: no second vCPU: %ld\n", rc);

    test_different("different", &edu, &e1000e);
    test_same("same", &edu);
    test_same("same-msix", &nvme);
    test_against("move", JOB_MOVE, &edu);
    test_against("move-mem64", JOB_MOVE, &nvme);
    test_against("rom", JOB_ROM, &e1000e);
    xpt_check("rom-itself", "consistent", "%s", rom_afterwards(&e1000e));
    test_against("reset", JOB_RESET, &edu);
    test_against("reset-msix", JOB_RESET, &nvme);

    begin(JOB_END, NULL, NULL);
    if ( lost )
        return xtf_error("Error: the second vCPU does not answer\n");

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
