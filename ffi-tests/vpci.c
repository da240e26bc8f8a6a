/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that vPCI emulates, performed on one in memory as Xen's side of the
 * border does on a real one, and the arguments that name a device or a GSI.
 */

#include "check.h"

#define ID 0x00101b36

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2
#define PCI_HEADER_TYPE 0x0e
#define PCI_BASE_ADDRESS_0 0x10
#define PCI_ROM_ADDRESS 0x30
#define PCI_ROM_ADDRESS1 0x38

#define ROM_SLOT 6
#define MAX_ENTRIES 2048
#define MAX_LOG (MAX_ENTRIES + 16)

/* One step that C was asked for. */
struct step
{
    enum xpt_vpci kind;
    uint32_t index;
    uint32_t value;
};

struct fake
{
    /* The device: its configuration space, and which bits can be written. */
    uint32_t conf[16];
    uint32_t writable[16];
    bool silent;

    /* What Xen has of it. */
    struct xpt_device *dev;
    bool has_msi, msi_vectors;
    uint16_t nr_entries;
    bool entry_vector[MAX_ENTRIES];
    bool msix_enabled;
    bool ignore_bars;
    bool in_p2m[XPT_NR_BARS], collected[XPT_NR_BARS];

    /* The step that will go wrong, once. */
    struct step fault;
    int fault_rc;

    struct step log[MAX_LOG];
    unsigned int nr_log;
};

static uint32_t conf_read(const struct fake *fake, unsigned int reg)
{
    return fake->silent ? UINT32_MAX : fake->conf[reg / 4];
}

static void conf_write(struct fake *fake, unsigned int reg, uint32_t val)
{
    uint32_t writable = fake->writable[reg / 4];

    if ( !fake->silent )
        fake->conf[reg / 4] = (fake->conf[reg / 4] & ~writable) |
                              (val & writable);
}

/* A reset of the device itself, behind Xen's back. */
static void flr(struct fake *fake)
{
    for ( unsigned int i = 0; i < ARRAY_SIZE(fake->conf); i++ )
        fake->conf[i] &= ~fake->writable[i];
}

static uint64_t bar_addr(const struct fake *fake, unsigned int slot)
{
    uint32_t low = conf_read(fake, PCI_BASE_ADDRESS_0 + slot * 4);
    uint64_t addr = low & ~0xfu;

    if ( (low & 0x7) == 0x4 )
        addr |= (uint64_t)conf_read(fake, PCI_BASE_ADDRESS_0 + slot * 4 + 4)
                << 32;

    return addr;
}

static void map_bars(struct fake *fake)
{
    struct xpt_device *dev = fake->dev;

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
        switch ( dev->bars[i].type )
        {
        case XPT_BAR_KIND_ROM:
            if ( !dev->rom_enabled )
                break;
            /* fall through */
        case XPT_BAR_KIND_MEM32:
        case XPT_BAR_KIND_MEM64_LO:
            fake->in_p2m[i] = true;
            dev->bars[i].enabled = 1;
        }
    dev->bars_mapped = 1;
}

/* The record of a device just found, with sizes from the writable bits. */
static void probe(struct fake *fake)
{
    struct xpt_device *dev = fake->dev;
    bool bridge = conf_read(fake, PCI_HEADER_TYPE & ~3) >> 16 & 1;
    unsigned int i, rom = bridge ? 2 : ROM_SLOT;
    unsigned int rom_reg = bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;

    memset(dev, 0, sizeof(*dev));
    for ( i = 0; i < rom; i++ )
    {
        struct xpt_bar *bar = &dev->bars[i];
        uint32_t low = conf_read(fake, PCI_BASE_ADDRESS_0 + i * 4);
        uint32_t mask = fake->writable[PCI_BASE_ADDRESS_0 / 4 + i];

        if ( low & 1 )
        {
            bar->type = XPT_BAR_KIND_IO;
            continue;
        }
        if ( !mask )
            continue;

        bar->type = (low & 0x6) == 0x4 ? XPT_BAR_KIND_MEM64_LO
                                       : XPT_BAR_KIND_MEM32;
        bar->addr = bar->guest_addr = bar_addr(fake, i);
        bar->size = -mask;
        bar->prefetchable = low & 0x8;
        if ( bar->type == XPT_BAR_KIND_MEM64_LO )
            dev->bars[++i].type = XPT_BAR_KIND_MEM64_HI;
    }

    dev->bars[rom].type = XPT_BAR_KIND_ROM;
    dev->bars[rom].addr = conf_read(fake, rom_reg) & ~0x7ffu;
    dev->bars[rom].guest_addr = dev->bars[rom].addr;
    dev->bars[rom].size = 0x8000;
    dev->rom_enabled = conf_read(fake, rom_reg) & 1;

    dev->guest_cmd = conf_read(fake, PCI_COMMAND);
    if ( (dev->guest_cmd & PCI_COMMAND_MEMORY) && !fake->ignore_bars )
        map_bars(fake);
}

/* 64-bit BAR in slots 0 and 1, 32-bit in 2, I/O ports in 3, a ROM, decoding. */
static const struct fake normal = {
    .conf = {
        [0] = ID, [1] = 0x00100407, [4] = 0xfe00000c, [5] = 0x12,
        [6] = 0xfd000000, [7] = 0xc001, [12] = 0xfc000001,
    },
    .writable = {
        [1] = 0x0547, [4] = 0xffffc000, [5] = 0xffffffff, [6] = 0xfffff000,
        [7] = 0xffe0, [12] = 0xffff8001,
    },
    .has_msi = true,
    .nr_entries = 3,
};

/* 32-bit BAR in slot 0 of two, a ROM. */
static const struct fake bridge = {
    .conf = {
        [0] = ID, [1] = 0x00100007, [3] = 0x00810000, [4] = 0xfb000000,
        [6] = 0x00030201, [14] = 0xfa000001,
    },
    .writable = {
        [1] = 0x0547, [4] = 0xfffff000, [6] = 0x00ffffff, [14] = 0xffff8001,
    },
};

/* Plugs a device in: in use, with all the vectors it can have. */
static struct fake *plug(const struct fake *model)
{
    struct fake *fake = malloc(sizeof(*fake));

    *fake = *model;
    fake->dev = guarded(sizeof(*fake->dev));
    probe(fake);
    fake->msi_vectors = fake->has_msi;
    for ( unsigned int i = 0; i < fake->nr_entries && i < MAX_ENTRIES; i++ )
        fake->entry_vector[i] = true;
    fake->msix_enabled = fake->nr_entries;

    return fake;
}

static void unplug(struct fake *fake)
{
    unguard(fake->dev, sizeof(*fake->dev));
    free(fake);
}

/* From here on as in Xen's side of the border. */

static void reprobe(const struct fake *fake, struct xpt_snapshot *snapshot)
{
    unsigned int i, bars = 6, rom = PCI_ROM_ADDRESS;

    *snapshot = (struct xpt_snapshot){
        .id = conf_read(fake, 0),
        .command = conf_read(fake, PCI_COMMAND),
        .header_type = conf_read(fake, PCI_HEADER_TYPE & ~3) >> 16,
        .ignore_bars = fake->ignore_bars,
    };

    if ( (snapshot->header_type & 0x7f) == 1 )
    {
        bars = 2;
        rom = PCI_ROM_ADDRESS1;
    }

    for ( i = 0; i < bars; i++ )
        snapshot->bars[i] = conf_read(fake, PCI_BASE_ADDRESS_0 + i * 4);
    snapshot->rom = conf_read(fake, rom);
}

static void record(struct fake *fake, const struct xpt_vpci_action *act)
{
    if ( fake->nr_log < MAX_LOG )
        fake->log[fake->nr_log++] =
            (struct step){ act->kind, act->index, act->value };
}

static bool goes_wrong(struct fake *fake, const struct xpt_vpci_action *act)
{
    bool wrong = fake->fault_rc && fake->fault.kind == act->kind &&
                 fake->fault.index == act->index;

    if ( wrong )
        fake->fault.kind = XPT_VPCI_DONE;

    return wrong;
}

static int execute(struct fake *fake, const struct xpt_vpci_action *act)
{
    struct xpt_device *dev = fake->dev;

    if ( goes_wrong(fake, act) )
        return fake->fault_rc;

    record(fake, act);
    switch ( act->kind )
    {
    case XPT_VPCI_COLLECT_BARS:
        for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
            fake->collected[i] = dev->bars[i].enabled;
        return 0;

    case XPT_VPCI_UNMAP_BARS:
        for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
            if ( fake->collected[i] )
                fake->in_p2m[i] = fake->collected[i] = false;
        return 0;

    case XPT_VPCI_RESET_MSI:
        fake->msi_vectors = false;
        return 0;

    case XPT_VPCI_RESET_MSIX_ENTRY:
        if ( act->index >= fake->nr_entries || act->index >= MAX_ENTRIES )
            return -XEN_EINVAL;
        fake->entry_vector[act->index] = false;
        return 0;

    case XPT_VPCI_RESET_MSIX:
        fake->msix_enabled = false;
        return 0;

    case XPT_VPCI_MAP_BARS:
        map_bars(fake);
        conf_write(fake, PCI_COMMAND, act->value);
        return 0;

    default:
        return -XEN_EOPNOTSUPP;
    }
}

static int reset_device(struct fake *fake)
{
    struct xpt_device *dev = fake->dev;
    struct xpt_vpci_action act;

    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_reset(dev, fake->has_msi, fake->nr_entries, &act);

    while ( act.kind != XPT_VPCI_DONE )
    {
        if ( fake->nr_log == MAX_LOG )
            return INT_MAX;

        if ( act.kind == XPT_VPCI_REPROBE && !goes_wrong(fake, &act) )
        {
            struct xpt_snapshot snapshot;

            record(fake, &act);
            reprobe(fake, &snapshot);
            memset(&act, 0xa5, sizeof(act));
            xpt_vpci_reprobed(dev, &snapshot, &act);
        }
        else
        {
            int rc = act.kind == XPT_VPCI_REPROBE ? fake->fault_rc
                                                  : execute(fake, &act);

            if ( rc == -XEN_ERESTART )
                return rc;

            memset(&act, 0xa5, sizeof(act));
            xpt_vpci_complete(dev, rc, &act);
        }
    }

    return act.rc;
}

/* What is compared. */

static const char *expect(const struct xpt_vpci_action *act, enum xpt_vpci kind,
                          uint32_t index, uint32_t value, int rc)
{
    REQUIRE(act->kind == kind && act->index == index && act->value == value &&
            act->rc == rc,
            "action %d, %#x, %#x, rc %d instead of %d, %#x, %#x, %d", act->kind,
            act->index, act->value, act->rc, kind, index, value, rc);

    return NULL;
}

#define SAME_STEPS(fake, ...)                                             \
    same_steps(fake, (const struct step[]){ __VA_ARGS__ },                \
               sizeof((const struct step[]){ __VA_ARGS__ }) /             \
               sizeof(struct step))

static const char *same_steps(const struct fake *fake, const struct step *steps,
                              unsigned int nr)
{
    REQUIRE(fake->nr_log == nr, "%u steps instead of %u", fake->nr_log, nr);
    for ( unsigned int i = 0; i < nr; i++ )
        REQUIRE(!memcmp(&fake->log[i], &steps[i], sizeof(*steps)),
                "step %u is %d, %#x, %#x", i, fake->log[i].kind,
                fake->log[i].index, fake->log[i].value);

    return NULL;
}

#define COLLECT_BARS { XPT_VPCI_COLLECT_BARS, 0, 0 }
#define UNMAP_BARS { XPT_VPCI_UNMAP_BARS, 0, 0 }
#define RESET_MSI { XPT_VPCI_RESET_MSI, 0, 0 }
#define RESET_ENTRY(nr) { XPT_VPCI_RESET_MSIX_ENTRY, nr, 0 }
#define RESET_MSIX { XPT_VPCI_RESET_MSIX, 0, 0 }
#define REPROBE { XPT_VPCI_REPROBE, 0, 0 }
#define MAP_BARS(cmd) { XPT_VPCI_MAP_BARS, 0, cmd }

/* Whether the record is what one made now would be, with nothing left over. */
static const char *as_new(const struct fake *fake)
{
    struct xpt_device fresh, *dev = fake->dev;
    struct fake again = *fake;

    again.dev = &fresh;
    memset(again.in_p2m, 0, sizeof(again.in_p2m));
    probe(&again);

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
    {
        const struct xpt_bar *is = &dev->bars[i], *want = &fresh.bars[i];

        REQUIRE(is->addr == want->addr, "%#lx of BAR %u", is->addr, i);
        REQUIRE(is->guest_addr == want->guest_addr, "%#lx of BAR %u",
                is->guest_addr, i);
        REQUIRE(is->size == want->size, "%#lx of BAR %u", is->size, i);
        REQUIRE(is->type == want->type, "%u of BAR %u", is->type, i);
        REQUIRE(is->prefetchable == want->prefetchable, "%u of BAR %u",
                is->prefetchable, i);
        REQUIRE(is->enabled == want->enabled, "%u of BAR %u", is->enabled, i);
        REQUIRE(fake->in_p2m[i] == again.in_p2m[i], "BAR %u", i);
    }
    REQUIRE(dev->guest_cmd == fresh.guest_cmd, "%#x", dev->guest_cmd);
    REQUIRE(dev->rom_enabled == fresh.rom_enabled, "%u", dev->rom_enabled);
    REQUIRE(dev->bars_mapped == fresh.bars_mapped, "%u", dev->bars_mapped);

    REQUIRE(!fake->msi_vectors && !fake->msix_enabled, "vectors");
    for ( unsigned int i = 0; i < MAX_ENTRIES; i++ )
        REQUIRE(!fake->entry_vector[i], "entry %u", i);

    REQUIRE(!xpt_vpci_reads_as_ones(dev), "it is back");
    REQUIRE(!xpt_vpci_ignores_writes(dev), "it is back");

    return NULL;
}

/* Resets. */

static const char *reset_order(void)
{
    struct fake *fake = plug(&normal);
    int rc;

    flr(fake);
    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    TRY(SAME_STEPS(fake, COLLECT_BARS, UNMAP_BARS, RESET_MSI, RESET_ENTRY(0),
                   RESET_ENTRY(1), RESET_ENTRY(2), RESET_MSIX, REPROBE));
    TRY(as_new(fake));
    REQUIRE(!fake->dev->bars[0].addr && fake->dev->bars[0].size == 0x4000,
            "the 64-bit BAR");

    /* There is nothing left to unmap. */
    fake->nr_log = 0;
    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    REQUIRE(fake->log[0].kind == XPT_VPCI_RESET_MSI, "%d", fake->log[0].kind);
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

static const char *reset_decoding(void)
{
    struct fake *fake = plug(&normal);
    int rc;

    /* Firmware has been at it and moved all. */
    fake->conf[4] = 0xe000000c;
    fake->conf[5] = 0x34;
    fake->conf[6] = 0xd0000000;
    fake->conf[12] = 0xc0000000;
    fake->conf[1] = 0x00100006;
    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    TRY(SAME_STEPS(fake, COLLECT_BARS, UNMAP_BARS, RESET_MSI, RESET_ENTRY(0),
                   RESET_ENTRY(1), RESET_ENTRY(2), RESET_MSIX, REPROBE,
                   MAP_BARS(0x6)));
    TRY(as_new(fake));
    REQUIRE(fake->dev->bars[0].addr == 0x34e0000000, "%#lx",
            fake->dev->bars[0].addr);
    REQUIRE(fake->in_p2m[0] && fake->in_p2m[2] && !fake->in_p2m[ROM_SLOT],
            "the ROM is disabled");
    unplug(fake);

    return NULL;
}

static const char *reset_ignored_bars(void)
{
    struct fake *fake = plug(&normal);
    int rc;

    fake->ignore_bars = true;
    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    REQUIRE(fake->log[fake->nr_log - 1].kind == XPT_VPCI_REPROBE, "%d",
            fake->log[fake->nr_log - 1].kind);
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

static const char *reset_bridge(void)
{
    struct fake *fake = plug(&bridge);
    int rc = reset_device(fake);

    REQUIRE(!rc, "%d", rc);
    TRY(SAME_STEPS(fake, COLLECT_BARS, UNMAP_BARS, REPROBE, MAP_BARS(0x7)));
    TRY(as_new(fake));
    REQUIRE(fake->dev->bars[2].addr == 0xfa000000, "%#lx",
            fake->dev->bars[2].addr);
    REQUIRE(fake->in_p2m[2], "the ROM");
    unplug(fake);

    return NULL;
}

static const char *reset_without(void)
{
    static const struct
    {
        bool msi;
        uint16_t entries;
        unsigned int nr;
        struct step steps[5];
    } rows[] = {
        { false, 0, 3, { COLLECT_BARS, UNMAP_BARS, REPROBE } },
        { true, 0, 4, { COLLECT_BARS, UNMAP_BARS, RESET_MSI, REPROBE } },
        { false, 1, 5,
          { COLLECT_BARS, UNMAP_BARS, RESET_ENTRY(0), RESET_MSIX, REPROBE } },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct fake model = normal, *fake;
        int rc;

        model.has_msi = rows[i].msi;
        model.nr_entries = rows[i].entries;
        fake = plug(&model);
        flr(fake);
        rc = reset_device(fake);
        REQUIRE(!rc, "%d", rc);
        TRY(same_steps(fake, rows[i].steps, rows[i].nr));
        TRY(as_new(fake));
        unplug(fake);
    }

    return NULL;
}

static const char *reset_largest_table(void)
{
    static const uint16_t sizes[] = {
        MAX_ENTRIES, MAX_ENTRIES + 1, UINT16_MAX,
    };

    for ( size_t i = 0; i < ARRAY_SIZE(sizes); i++ )
    {
        struct fake model = normal, *fake;
        int rc;

        model.nr_entries = sizes[i];
        fake = plug(&model);
        flr(fake);
        rc = reset_device(fake);
        REQUIRE(!rc, "%d for %u entries", rc, sizes[i]);
        REQUIRE(fake->nr_log == MAX_ENTRIES + 5, "%u", fake->nr_log);
        for ( uint32_t nr = 0; nr < MAX_ENTRIES; nr++ )
            REQUIRE(fake->log[nr + 3].index == nr, "%u", nr);
        TRY(as_new(fake));
        unplug(fake);
    }

    return NULL;
}

static const char *two_devices(void)
{
    struct fake *one = plug(&normal), *other = plug(&normal);
    struct xpt_device before = *other->dev;
    int rc;

    flr(one);
    rc = reset_device(one);
    REQUIRE(!rc, "%d", rc);
    REQUIRE(!memcmp(&before, other->dev, sizeof(before)), "the other one");
    unplug(one);
    unplug(other);

    return NULL;
}

/* Each step in turn: fails, or is preempted. */
static const struct fault
{
    const char *name;
    struct step step;
} faults[] = {
    { "collect-bars", COLLECT_BARS },
    { "unmap-bars", UNMAP_BARS },
    { "reset-msi", RESET_MSI },
    { "reset-first-msix-entry", RESET_ENTRY(0) },
    { "reset-last-msix-entry", RESET_ENTRY(2) },
    { "reset-msix", RESET_MSIX },
    { "reprobe", REPROBE },
    { "map-bars", MAP_BARS(0x407) },
};

static const char *fails(const struct fault *fault)
{
    static const int rcs[] = { -XEN_ENOMEM, -XEN_EPERM, -4095, INT_MIN };
    bool unmap = fault->step.kind == XPT_VPCI_UNMAP_BARS;
    /* What is still mapped is unmapped by the next reset. */
    enum xpt_vpci first = fault->step.kind <= XPT_VPCI_UNMAP_BARS ?
                          fault->step.kind : XPT_VPCI_RESET_MSI;

    for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
    {
        int rc, want = rcs[i] < -4000 ? -XEN_EIO : rcs[i];
        struct fake *fake = plug(&normal);

        fake->fault = fault->step;
        fake->fault_rc = rcs[i];
        rc = reset_device(fake);
        REQUIRE(rc == want, "%d instead of %d", rc, want);
        REQUIRE(fake->fault.kind == XPT_VPCI_DONE, "the step did not come");
        REQUIRE(!xpt_vpci_reads_as_ones(fake->dev), "fenced");
        /* What may still be mapped must not be moved. */
        REQUIRE(xpt_vpci_ignores_writes(fake->dev) == unmap, "writes");

        fake->nr_log = 0;
        rc = reset_device(fake);
        REQUIRE(!rc, "%d for the next reset", rc);
        REQUIRE(fake->log[0].kind == first, "%d instead of %d",
                fake->log[0].kind, first);
        TRY(as_new(fake));
        unplug(fake);
    }

    return NULL;
}

static const char *preempted(const struct fault *fault)
{
    struct fake *fake = plug(&normal);
    struct xpt_device before;
    struct xpt_vpci_action act;
    int rc;

    fake->fault = fault->step;
    fake->fault_rc = -XEN_ERESTART;
    rc = reset_device(fake);
    REQUIRE(rc == -XEN_ERESTART, "%d", rc);
    REQUIRE(!xpt_vpci_reads_as_ones(fake->dev), "fenced");
    REQUIRE(xpt_vpci_ignores_writes(fake->dev), "it is in the middle of it");

    /* Whatever the next call says, it is given the step that is outstanding. */
    before = *fake->dev;
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_reset(fake->dev, 0, UINT16_MAX, &act);
    TRY(expect(&act, fault->step.kind, fault->step.index, fault->step.value,
               0));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");

    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    TRY(SAME_STEPS(fake, COLLECT_BARS, UNMAP_BARS, RESET_MSI, RESET_ENTRY(0),
                   RESET_ENTRY(1), RESET_ENTRY(2), RESET_MSIX, REPROBE,
                   MAP_BARS(0x407)));
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

static const char *preempted_often(void)
{
    struct fake *fake = plug(&normal);

    for ( size_t i = 0; i < ARRAY_SIZE(faults); i++ )
        for ( unsigned int times = 0; times < 3; times++ )
        {
            int rc;

            fake->fault = faults[i].step;
            fake->fault_rc = -XEN_ERESTART;
            rc = reset_device(fake);
            REQUIRE(rc == -XEN_ERESTART, "%d at %s", rc, faults[i].name);
        }

    TRY(reset_device(fake) ? "the last time" : NULL);
    REQUIRE(fake->nr_log == 9, "%u", fake->nr_log);
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

/* Devices that do not come back, or not as what they were. */

static const char *fenced(struct fake *fake, int want)
{
    int rc = reset_device(fake);

    REQUIRE(rc == want, "%d instead of %d", rc, want);
    REQUIRE(xpt_vpci_reads_as_ones(fake->dev) == 1, "not fenced");
    REQUIRE(xpt_vpci_ignores_writes(fake->dev) == 1, "not fenced");
    for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
        REQUIRE(!fake->dev->bars[i].enabled && !fake->in_p2m[i], "BAR %u", i);

    return NULL;
}

static const char *silent(void)
{
    struct fake *fake = plug(&normal);
    int rc;

    fake->silent = true;
    TRY(fenced(fake, -XEN_EIO));
    TRY(fenced(fake, -XEN_EIO));

    fake->silent = false;
    rc = reset_device(fake);
    REQUIRE(!rc, "%d", rc);
    TRY(as_new(fake));
    REQUIRE(fake->in_p2m[0], "it decodes again");
    unplug(fake);

    return NULL;
}

static const char *not_ready(void)
{
    struct fake *fake = plug(&normal);

    /* It answers its ID and nothing else. */
    for ( unsigned int i = 1; i < ARRAY_SIZE(fake->conf); i++ )
        fake->conf[i] = UINT32_MAX;
    TRY(fenced(fake, -XEN_EIO));
    memcpy(fake->conf, normal.conf, sizeof(fake->conf));
    TRY(reset_device(fake) ? "the next reset" : NULL);
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

static const char *no_vendor(void)
{
    struct fake *fake = plug(&normal);

    fake->conf[0] |= 0xffff;
    TRY(fenced(fake, -XEN_EIO));
    unplug(fake);

    return NULL;
}

static const char *another_header(void)
{
    static const struct
    {
        unsigned int word;
        uint32_t value;
    } rows[] = {
        { 3, 0x00010000 },  /* a bridge */
        { 3, 0x00020000 },  /* a CardBus bridge */
        { 3, 0x007f0000 },  /* something else */
        { 4, 0xfe000000 },  /* 32 bits */
        { 4, 0xfe000006 },  /* a reserved type */
        { 4, 0x0000c001 },  /* I/O ports */
        { 6, 0xfd000004 },  /* 64 bits */
        { 6, 0x0000c001 },  /* I/O ports */
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct fake *fake = plug(&normal);

        fake->conf[rows[i].word] = rows[i].value;
        TRY(fenced(fake, -XEN_EOPNOTSUPP));
        memcpy(fake->conf, normal.conf, sizeof(fake->conf));
        TRY(reset_device(fake) ? wrong("the reset after row %zu", i) : NULL);
        TRY(as_new(fake));
        unplug(fake);
    }

    return NULL;
}

static const char *multi_function(void)
{
    struct fake *fake = plug(&normal);

    fake->conf[3] = 0x00800000;
    TRY(reset_device(fake) ? "bit 7 of the header type" : NULL);
    unplug(fake);

    return NULL;
}

static const char *fenced_then_fails(void)
{
    struct fake *fake = plug(&normal);
    int rc;

    fake->silent = true;
    TRY(fenced(fake, -XEN_EIO));
    fake->silent = false;
    fake->fault = (struct step)RESET_MSIX;
    fake->fault_rc = -XEN_ENOMEM;
    rc = reset_device(fake);
    REQUIRE(rc == -XEN_ENOMEM, "%d", rc);
    REQUIRE(xpt_vpci_reads_as_ones(fake->dev) == 1, "it was not asked yet");
    TRY(reset_device(fake) ? "the next reset" : NULL);
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

/* Completions that do not fit. */

static const char *idle(void)
{
    struct fake *fake = plug(&normal);
    struct xpt_device before = *fake->dev;
    struct xpt_snapshot snapshot;
    struct xpt_vpci_action act;

    reprobe(fake, &snapshot);
    xpt_vpci_complete(fake->dev, 0, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EIO));
    xpt_vpci_complete(fake->dev, -XEN_EPERM, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EIO));
    xpt_vpci_reprobed(fake->dev, &snapshot, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EIO));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");

    /* Nor does a snapshot stand for another step. */
    xpt_vpci_reset(fake->dev, 1, 0, &act);
    before = *fake->dev;
    xpt_vpci_reprobed(fake->dev, &snapshot, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EIO));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
    unplug(fake);

    return NULL;
}

static const char *no_snapshot(void)
{
    struct xpt_device dev = {};
    struct xpt_vpci_action act;

    xpt_vpci_reset(&dev, 0, 0, &act);
    TRY(expect(&act, XPT_VPCI_REPROBE, 0, 0, 0));
    xpt_vpci_complete(&dev, 0, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EIO));
    REQUIRE(!xpt_vpci_ignores_writes(&dev), "still at it");

    return NULL;
}

static const char *nulls(void)
{
    struct fake *fake = plug(&normal);
    struct xpt_device before = *fake->dev;
    struct xpt_snapshot snapshot;
    struct xpt_vpci_action act;

    reprobe(fake, &snapshot);
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_reset(NULL, 1, 3, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_complete(NULL, 0, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_reprobed(NULL, &snapshot, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_reprobed(fake->dev, NULL, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
    memset(&act, 0xa5, sizeof(act));
    xpt_vpci_write_bar(NULL, 0, 0, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));

    xpt_vpci_reset(NULL, 1, 3, NULL);
    xpt_vpci_complete(NULL, 0, NULL);
    xpt_vpci_reprobed(NULL, NULL, NULL);
    xpt_vpci_write_bar(NULL, 0, 0, NULL);
    xpt_vpci_reprobed(fake->dev, NULL, NULL);
    xpt_vpci_write_bar(fake->dev, 6, 0, NULL);
    xpt_vpci_write_bar(fake->dev, 7, 0, NULL);

    REQUIRE(!xpt_vpci_reads_as_ones(NULL), "reads");
    REQUIRE(!xpt_vpci_ignores_writes(NULL), "writes");
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
    unplug(fake);

    return NULL;
}

static const char *null_snapshot(void)
{
    struct xpt_device dev = {};
    struct xpt_vpci_action act;

    xpt_vpci_reset(&dev, 0, 0, &act);
    xpt_vpci_reprobed(&dev, NULL, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
    xpt_vpci_reset(&dev, 0, 0, &act);
    TRY(expect(&act, XPT_VPCI_REPROBE, 0, 0, 0));

    return NULL;
}

/* Writes to BARs. */

/* The slot after theirs is the ROM's. */
#define NR_BAR_REGISTERS (XPT_NR_BARS - 1)

static void bar_write(struct fake *fake, uint32_t bar, uint32_t value,
                      struct xpt_vpci_action *act)
{
    memset(act, 0xa5, sizeof(*act));
    xpt_vpci_write_bar(fake->dev, bar, value, act);
    if ( act->kind == XPT_VPCI_CONF_WRITE && act->index < sizeof(fake->conf) )
        conf_write(fake, act->index, act->value);
}

static const struct write
{
    const char *name;
    bool mapped;
    uint32_t bar;
    uint32_t value;
    struct xpt_vpci_action want;
    /* Of the BAR that the slot belongs to. */
    uint32_t owner;
    uint64_t addr;
} writes[] = {
    { "low-half-of-a-64-bit-bar-moves-it", false, 0, 0xaabb4000,
      { XPT_VPCI_CONF_WRITE, 0x10, 0xaabb400c, 0 }, 0, 0x12aabb4000 },
    { "low-bits-of-a-64-bit-bar-are-read-only", false, 0, 0xaabb4003,
      { XPT_VPCI_CONF_WRITE, 0x10, 0xaabb400c, 0 }, 0, 0x12aabb4000 },
    { "high-half-of-a-64-bit-bar-moves-it", false, 1, 0x9876543f,
      { XPT_VPCI_CONF_WRITE, 0x14, 0x9876543f, 0 }, 0, 0x9876543ffe000000 },
    { "32-bit-bar-moves", false, 2, 0xaabb1000,
      { XPT_VPCI_CONF_WRITE, 0x18, 0xaabb1000, 0 }, 2, 0xaabb1000 },
    { "low-bits-of-a-32-bit-bar-are-read-only", false, 2, 0xaabb100f,
      { XPT_VPCI_CONF_WRITE, 0x18, 0xaabb1000, 0 }, 2, 0xaabb1000 },
    { "unmapped-bar-is-written-even-where-it-is", false, 2, 0xfd000000,
      { XPT_VPCI_CONF_WRITE, 0x18, 0xfd000000, 0 }, 2, 0xfd000000 },
    { "mapped-64-bit-bar-stays", true, 0, 0xaabb4000,
      { XPT_VPCI_BAR_MAPPED, 0, 0, 0 }, 0, 0x12fe000000 },
    { "mapped-64-bit-bars-high-half-stays", true, 1, 0x13,
      { XPT_VPCI_BAR_MAPPED, 1, 0, 0 }, 0, 0x12fe000000 },
    { "mapped-32-bit-bar-stays", true, 2, UINT32_MAX,
      { XPT_VPCI_BAR_MAPPED, 2, 0, 0 }, 2, 0xfd000000 },
    { "mapped-64-bit-bar-takes-what-it-has", true, 0, 0xfe00000c,
      { XPT_VPCI_DONE, 0, 0, 0 }, 0, 0x12fe000000 },
    { "mapped-64-bit-bars-high-half-takes-what-it-has", true, 1, 0x12,
      { XPT_VPCI_DONE, 0, 0, 0 }, 0, 0x12fe000000 },
    { "mapped-32-bit-bar-takes-what-it-has", true, 2, 0xfd00000f,
      { XPT_VPCI_DONE, 0, 0, 0 }, 2, 0xfd000000 },
    { "io-bar-is-not-ours", false, 3, 0xd001,
      { XPT_VPCI_DONE, 0, 0, 0 }, 3, 0 },
    { "empty-slot-is-not-ours", false, 5, UINT32_MAX,
      { XPT_VPCI_DONE, 0, 0, 0 }, 5, 0 },
    { "rom-slot-is-out-of-range", false, 6, 0xaabb4000,
      { XPT_VPCI_DONE, 0, 0, -XEN_EINVAL }, 0, 0x12fe000000 },
    { "rom-slot-is-out-of-range-when-mapped", true, 6, 0xaabb4000,
      { XPT_VPCI_DONE, 0, 0, -XEN_EINVAL }, 0, 0x12fe000000 },
    { "bar-7-is-out-of-range", false, 7, 0,
      { XPT_VPCI_DONE, 0, 0, -XEN_EINVAL }, 0, 0x12fe000000 },
    { "bar-256-is-out-of-range", false, 256, 0,
      { XPT_VPCI_DONE, 0, 0, -XEN_EINVAL }, 0, 0x12fe000000 },
    { "largest-bar-is-out-of-range", false, UINT32_MAX, 0,
      { XPT_VPCI_DONE, 0, 0, -XEN_EINVAL }, 0, 0x12fe000000 },
};

static const char *written(const struct write *write)
{
    struct fake model = normal, *fake;
    struct xpt_vpci_action act;
    struct xpt_device want;
    uint32_t conf[16];

    if ( !write->mapped )
        model.conf[1] &= ~PCI_COMMAND_MEMORY;
    fake = plug(&model);
    want = *fake->dev;
    want.bars[write->owner].addr = write->addr;
    want.bars[write->owner].guest_addr = write->addr;
    memcpy(conf, fake->conf, sizeof(conf));

    bar_write(fake, write->bar, write->value, &act);
    TRY(expect(&act, write->want.kind, write->want.index, write->want.value,
               write->want.rc));
    REQUIRE(!memcmp(&want, fake->dev, sizeof(want)), "BAR %u is at %#lx",
            write->owner, fake->dev->bars[write->owner].addr);

    if ( act.kind == XPT_VPCI_CONF_WRITE )
        /* The device and the record agree. */
        REQUIRE(bar_addr(fake, write->owner) == write->addr, "the device");
    else
        REQUIRE(!memcmp(conf, fake->conf, sizeof(conf)), "the device");
    unplug(fake);

    return NULL;
}

static const char *sized(void)
{
    struct fake model = normal, *fake;
    struct xpt_vpci_action act;

    /* As every operating system finds out how large a BAR is. */
    model.conf[1] &= ~PCI_COMMAND_MEMORY;
    fake = plug(&model);
    bar_write(fake, 0, UINT32_MAX, &act);
    bar_write(fake, 1, UINT32_MAX, &act);
    REQUIRE(conf_read(fake, 0x10) == 0xffffc00c && conf_read(fake, 0x14) == ~0u,
            "%#x", conf_read(fake, 0x10));
    bar_write(fake, 0, 0xfe00000c, &act);
    bar_write(fake, 1, 0x12, &act);
    REQUIRE(!memcmp(model.conf, fake->conf, sizeof(fake->conf)), "the device");
    REQUIRE(fake->dev->bars[0].addr == 0x12fe000000, "%#lx",
            fake->dev->bars[0].addr);
    unplug(fake);

    return NULL;
}

static const char *written_after_reset(void)
{
    struct fake *fake = plug(&normal);
    struct xpt_vpci_action act;

    flr(fake);
    TRY(reset_device(fake) ? "the reset" : NULL);
    bar_write(fake, 1, 0x56, &act);
    TRY(expect(&act, XPT_VPCI_CONF_WRITE, 0x14, 0x56, 0));
    bar_write(fake, 0, 0x78000000, &act);
    TRY(expect(&act, XPT_VPCI_CONF_WRITE, 0x10, 0x7800000c, 0));
    REQUIRE(bar_addr(fake, 0) == 0x5678000000, "%#lx", bar_addr(fake, 0));
    TRY(as_new(fake));
    unplug(fake);

    return NULL;
}

/* Records that C cannot have meant. */

static const uint32_t bad_types[] = { 6, 7, 0x100, 0x102, 0x10003, INT32_MAX,
                                      (uint32_t)INT32_MIN, UINT32_MAX };

static const char *hostile_type_write(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(bad_types); i++ )
        for ( uint32_t slot = 0; slot < XPT_NR_BARS; slot++ )
        {
            struct fake *fake = plug(&normal);
            struct xpt_vpci_action act;
            struct xpt_device before;

            fake->dev->bars[slot].type = bad_types[i];
            before = *fake->dev;
            bar_write(fake, slot, 0xaabb4000, &act);
            TRY(expect(&act, XPT_VPCI_DONE, 0, 0,
                       slot < NR_BAR_REGISTERS ? 0 : -XEN_EINVAL));
            REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
            unplug(fake);
        }

    return NULL;
}

/* Whatever C says of the last slot, which has no register among the BARs'. */
static const char *last_slot_write(void)
{
    for ( uint32_t type = 0; type <= XPT_BAR_KIND_ROM + 1; type++ )
        for ( unsigned int enabled = 0; enabled < 2; enabled++ )
        {
            struct fake *fake = plug(&normal);
            struct xpt_vpci_action act;
            struct xpt_device before;

            fake->dev->bars[NR_BAR_REGISTERS].type = type;
            fake->dev->bars[NR_BAR_REGISTERS].enabled = enabled;
            before = *fake->dev;
            bar_write(fake, NR_BAR_REGISTERS, 0xaabb4000, &act);
            TRY(expect(&act, XPT_VPCI_DONE, 0, 0, -XEN_EINVAL));
            REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
            unplug(fake);
        }

    return NULL;
}

static const char *hostile_type_reset(void)
{
    for ( size_t i = 0; i < ARRAY_SIZE(bad_types); i++ )
    {
        struct fake *fake = plug(&normal);
        int rc;

        for ( uint32_t slot = 0; slot < XPT_NR_BARS; slot++ )
            fake->dev->bars[slot].type = bad_types[i];
        flr(fake);
        rc = reset_device(fake);
        REQUIRE(!rc, "%d", rc);
        for ( uint32_t slot = 0; slot < XPT_NR_BARS; slot++ )
            REQUIRE(!fake->dev->bars[slot].addr, "BAR %u", slot);
        unplug(fake);
    }

    return NULL;
}

static const char *orphan_high_half(void)
{
    struct fake *fake = plug(&normal);
    struct xpt_vpci_action act;
    struct xpt_device before;

    fake->dev->bars[0].type = XPT_BAR_KIND_MEM64_HI;
    before = *fake->dev;
    bar_write(fake, 0, UINT32_MAX, &act);
    TRY(expect(&act, XPT_VPCI_DONE, 0, 0, 0));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
    unplug(fake);

    return NULL;
}

static uint32_t random32(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return state >> 16;
}

static void random_fill(void *to, size_t size)
{
    uint8_t *byte = to;

    while ( size-- )
        *byte++ = random32();
}

/*
 * Whatever C has in its part of the record, and whatever the device answers:
 * the reset ends, and asks for nothing beyond the table.
 */
static const char *random_records(void)
{
    for ( unsigned int round = 0; round < 20000; round++ )
    {
        struct xpt_device *dev;
        uint16_t entries = random32() % 8;
        struct xpt_snapshot snapshot;
        struct xpt_vpci_action act;
        unsigned int steps = 0;
        bool failed = false;
        static void *mem;

        if ( !mem )
            mem = guarded(sizeof(*dev));
        dev = mem;
        memset(dev, 0, sizeof(*dev));
        random_fill(dev->bars, sizeof(dev->bars));
        for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
        {
            if ( random32() % 8 )
                dev->bars[i].type = random32() % 7;
            dev->bars[i].enabled &= random32();
        }
        random_fill(&dev->guest_cmd, sizeof(dev->guest_cmd));
        random_fill(&dev->rom_enabled, sizeof(dev->rom_enabled));
        random_fill(&dev->bars_mapped, sizeof(dev->bars_mapped));
        random_fill(&snapshot, sizeof(snapshot));
        if ( random32() % 4 )
            snapshot.header_type &= 0x81;

        xpt_vpci_reset(dev, random32(), entries, &act);
        while ( act.kind != XPT_VPCI_DONE )
        {
            int rc = random32() % 16 ? 0 : -(int)(random32() % 200);

            failed |= rc;
            REQUIRE(++steps <= entries + 7u, "does not end");
            REQUIRE(act.kind >= XPT_VPCI_COLLECT_BARS &&
                    act.kind <= XPT_VPCI_MAP_BARS, "%d", act.kind);
            REQUIRE(act.index < entries ||
                    (!act.index && act.kind != XPT_VPCI_RESET_MSIX_ENTRY),
                    "%u of %u", act.index, entries);
            if ( act.kind == XPT_VPCI_REPROBE && !rc )
                xpt_vpci_reprobed(dev, &snapshot, &act);
            else
                xpt_vpci_complete(dev, rc, &act);
        }
        REQUIRE(failed || !act.rc || xpt_vpci_reads_as_ones(dev), "%d", act.rc);

        for ( uint32_t bar = 0; bar < 8; bar++ )
        {
            xpt_vpci_write_bar(dev, bar, random32(), &act);
            REQUIRE(act.rc == (bar < NR_BAR_REGISTERS ? 0 : -XEN_EINVAL),
                    "%d of BAR %u", act.rc, bar);
            REQUIRE(act.kind == XPT_VPCI_DONE ||
                    (act.kind == XPT_VPCI_CONF_WRITE &&
                     act.index == PCI_BASE_ADDRESS_0 + bar * 4) ||
                    (act.kind == XPT_VPCI_BAR_MAPPED && act.index == bar),
                    "action %d of BAR %u", act.kind, bar);
        }
    }

    return NULL;
}

/* The part that is the library's, overwritten: an end, if no sensible one. */
static const char *any_step(void)
{
    for ( unsigned int step = 0; step < 256; step++ )
    {
        struct fake *fake = plug(&normal);
        int rc;

        fake->dev->reset_step = step;
        rc = reset_device(fake);
        REQUIRE(rc <= 0, "step %u does not end", step);
        unplug(fake);
    }

    return NULL;
}

/* Arguments of hypercalls. */

static const struct setup_gsi
{
    const char *name;
    struct xpt_physdev_setup_gsi arg;
    uint32_t nr_gsis;
    int rc;
    uint32_t mode;
} setup_gsis[] = {
    { "edge-high", { 16, 0, 0, 0 }, 24, 0, 0 },
    { "level-high", { 16, 1, 0, 0 }, 24, 0, XPT_GSI_LEVEL },
    { "edge-low", { 16, 0, 1, 0 }, 24, 0, XPT_GSI_ACTIVE_LOW },
    { "level-low", { 16, 1, 1, 0 }, 24, 0, XPT_GSI_LEVEL | XPT_GSI_ACTIVE_LOW },
    { "first-gsi", { 0, 1, 1, 0 }, 24, 0, XPT_GSI_LEVEL | XPT_GSI_ACTIVE_LOW },
    { "last-gsi", { 23, 0, 0, 0 }, 24, 0, 0 },
    { "largest-gsi", { INT_MAX, 0, 0, 0 }, UINT32_MAX, 0, 0 },
    { "padding-is-ignored", { 16, 0, 0, UINT16_MAX }, 24, 0, 0 },
    { "gsi-beyond-the-last", { 24, 0, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "gsi-of-a-host-without", { 0, 0, 0, 0 }, 0, -XEN_EINVAL, 0 },
    { "negative-gsi", { -1, 0, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "negative-gsi-below-any-limit", { -1, 0, 0, 0 }, UINT32_MAX, -XEN_EINVAL,
      0 },
    { "most-negative-gsi", { INT_MIN, 0, 0, 0 }, UINT32_MAX, -XEN_EINVAL, 0 },
    { "unknown-trigger", { 16, 2, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "largest-trigger", { 16, 255, 0, 0 }, 24, -XEN_EINVAL, 0 },
    { "unknown-polarity", { 16, 0, 2, 0 }, 24, -XEN_EINVAL, 0 },
    { "largest-polarity", { 16, 0, 255, 0 }, 24, -XEN_EINVAL, 0 },
};

#define UNTOUCHED 0xa5a5a5a5

/* Returns the argument at the end of accessible memory, not aligned. */
static void *at_odd_end(const void *arg, size_t size)
{
    char *mem = guarded(size + 1);

    memmove(mem + 1, arg, size);

    return mem + 1;
}

static const char *parsed_setup(const struct setup_gsi *row)
{
    size_t size = sizeof(row->arg);
    char *arg = at_odd_end(&row->arg, size);
    struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(arg, row->nr_gsis);

    REQUIRE(call.rc == row->rc, "%d instead of %d", call.rc, row->rc);
    REQUIRE(call.gsi == (call.rc ? 0 : (uint32_t)row->arg.gsi), "%#x",
            call.gsi);
    REQUIRE(call.mode == (call.rc ? 0 : row->mode), "%#x", call.mode);
    REQUIRE(!memcmp(arg, &row->arg, size), "changed");
    unguard(arg - 1, size + 1);

    return NULL;
}

static const char *setup_nulls(void)
{
    struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(NULL, 24);

    REQUIRE(call.rc == -XEN_EINVAL, "%d", call.rc);
    REQUIRE(!call.gsi && !call.mode, "%#x %#x", call.gsi, call.mode);

    return NULL;
}

static const struct gsi_permission
{
    const char *name;
    struct xpt_domctl_gsi_permission arg;
    int rc;
} gsi_permissions[] = {
    { "revoke", { 16, 0 }, 0 },
    { "grant", { 16, 1 }, 0 },
    { "revoke-of-the-first-gsi", { 0, 0 }, 0 },
    { "grant-of-the-first-gsi", { 0, 1 }, 0 },
    { "grant-of-the-largest-gsi", { UINT32_MAX, 1 }, 0 },
    { "revoke-of-the-largest-gsi", { UINT32_MAX, 0 }, 0 },
    { "unknown-flag", { 16, 2 }, -XEN_EINVAL },
    { "grant-with-an-unknown-flag", { 16, 3 }, -XEN_EINVAL },
    { "all-flags", { 16, UINT32_MAX }, -XEN_EINVAL },
};

static const char *parsed_permission(const struct gsi_permission *row)
{
    size_t size = sizeof(row->arg);
    char *arg = at_odd_end(&row->arg, size);
    uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;
    int rc = xpt_gsi_permission_parse(arg, &gsi, &grant);

    REQUIRE(rc == row->rc, "%d instead of %d", rc, row->rc);
    REQUIRE(gsi == (rc ? UNTOUCHED : row->arg.gsi), "%#x", gsi);
    REQUIRE(grant == (rc ? UNTOUCHED : row->arg.flags), "%#x", grant);
    REQUIRE(!memcmp(arg, &row->arg, size), "changed");
    unguard(arg - 1, size + 1);

    return NULL;
}

static const char *permission_flags(void)
{
    for ( unsigned int bit = 1; bit < 32; bit++ )
        for ( uint32_t action = 0; action < 2; action++ )
        {
            const struct xpt_domctl_gsi_permission arg = { 1,
                                                           1u << bit | action };
            uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;
            int rc = xpt_gsi_permission_parse(&arg, &gsi, &grant);

            REQUIRE(rc == -XEN_EINVAL, "%d for %#x", rc, arg.flags);
            REQUIRE(gsi == UNTOUCHED && grant == UNTOUCHED, "%#x, %#x", gsi,
                    grant);
        }

    return NULL;
}

static const char *permission_nulls(void)
{
    const struct xpt_domctl_gsi_permission good = { 1, 1 };
    uint32_t gsi = UNTOUCHED, grant = UNTOUCHED;

    /* Every set of pointers but the whole. */
    for ( unsigned int set = 0; set < 7; set++ )
    {
        int rc = xpt_gsi_permission_parse(set & 1 ? &good : NULL,
                                          set & 2 ? &gsi : NULL,
                                          set & 4 ? &grant : NULL);

        REQUIRE(rc == -XEN_EINVAL, "%d for set %u", rc, set);
        REQUIRE(gsi == UNTOUCHED && grant == UNTOUCHED, "set %u", set);
    }

    return NULL;
}

static const char *parsed_reset(void)
{
    static const struct
    {
        struct xpt_pci_device_reset arg;
        uint32_t sbdf;
    } rows[] = {
        { { 0, 0, 0, 0 }, 0 },
        { { 0x1234, 0x56, 0x78, 1 }, 0x12345678 },
        { { 0xffff, 0xff, 0xff, 2 }, UINT32_MAX },
        { { 0x8000, 0, 0, 3 }, 0x80000000 },
        { { 0, 0x80, 0, 0 }, 0x8000 },
        { { 0, 0, 0x80, 0 }, 0x80 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        char *arg = at_odd_end(&rows[i].arg, sizeof(rows[i].arg));
        uint32_t sbdf = UNTOUCHED;
        int rc = xpt_pci_device_reset_parse(arg, &sbdf);

        REQUIRE(!rc && sbdf == rows[i].sbdf, "%d, %#x", rc, sbdf);
        unguard(arg - 1, sizeof(rows[i].arg) + 1);
    }

    return NULL;
}

static const char *reset_flags(void)
{
    for ( unsigned int bit = 2; bit < 32; bit++ )
        for ( uint32_t kind = 0; kind < 4; kind++ )
        {
            const struct xpt_pci_device_reset arg = { 1, 2, 3,
                                                      1u << bit | kind };
            uint32_t sbdf = UNTOUCHED;
            int rc = xpt_pci_device_reset_parse(&arg, &sbdf);

            REQUIRE(rc == -XEN_EINVAL, "%d for %#x", rc, arg.flags);
            REQUIRE(sbdf == UNTOUCHED, "%#x", sbdf);
        }

    return NULL;
}

static const char *reset_nulls(void)
{
    const struct xpt_pci_device_reset good = {};
    uint32_t sbdf = UNTOUCHED;
    int rc = xpt_pci_device_reset_parse(NULL, &sbdf);

    REQUIRE(rc == -XEN_EINVAL && sbdf == UNTOUCHED, "%d, %#x", rc, sbdf);
    rc = xpt_pci_device_reset_parse(&good, NULL);
    REQUIRE(rc == -XEN_EINVAL, "%d", rc);
    rc = xpt_pci_device_reset_parse(NULL, NULL);
    REQUIRE(rc == -XEN_EINVAL, "%d", rc);

    return NULL;
}

static const struct check checks[] = {
    { "reset-unmaps-releases-vectors-and-probes", reset_order },
    { "reset-of-a-decoding-device-maps-it-where-it-is", reset_decoding },
    { "reset-does-not-map-bars-that-xen-ignores", reset_ignored_bars },
    { "reset-of-a-bridge-finds-its-rom", reset_bridge },
    { "reset-leaves-out-what-there-is-not", reset_without },
    { "reset-of-the-largest-table-ends-at-2048-entries", reset_largest_table },
    { "reset-of-one-device-leaves-another-alone", two_devices },
    { "reset-preempted-at-every-step-does-each-once", preempted_often },
    { "silent-device-is-fenced-until-it-is-back", silent },
    { "device-that-answers-its-id-only-is-fenced", not_ready },
    { "device-without-a-vendor-is-fenced", no_vendor },
    { "device-with-another-header-is-fenced-until-it-is-back", another_header },
    { "device-may-become-multi-function", multi_function },
    { "fence-stays-when-the-next-reset-fails-before-it-asks",
      fenced_then_fails },
    { "completion-that-nothing-waits-for-is-EIO-and-changes-nothing", idle },
    { "probe-that-succeeds-without-a-snapshot-is-EIO", no_snapshot },
    { "null-pointers-are-EINVAL-and-change-nothing", nulls },
    { "null-snapshot-leaves-the-probe-outstanding", null_snapshot },
    { "bar-can-be-sized", sized },
    { "bar-can-be-moved-after-a-reset", written_after_reset },
    { "unknown-bar-type-is-not-written", hostile_type_write },
    { "last-slot-of-any-type-is-not-written", last_slot_write },
    { "unknown-bar-type-is-reset-as-an-empty-slot", hostile_type_reset },
    { "high-half-without-a-low-one-is-not-written", orphan_high_half },
    { "reset-of-random-records-comes-to-an-end", random_records },
    { "reset-from-any-step-comes-to-an-end", any_step },
    { "setup_gsi-without-a-pointer-is-EINVAL-and-writes-nothing", setup_nulls },
    { "gsi_permission-with-unknown-flags-is-EINVAL-and-writes-nothing",
      permission_flags },
    { "gsi_permission-without-a-pointer-is-EINVAL-and-writes-nothing",
      permission_nulls },
    { "pci_device_reset-packs-the-function", parsed_reset },
    { "pci_device_reset-with-unknown-flags-is-EINVAL-and-writes-nothing",
      reset_flags },
    { "pci_device_reset-without-a-pointer-is-EINVAL-and-writes-nothing",
      reset_nulls },
};

int main(void)
{
    char name[96];
    size_t i;

    start();

    run_checks(checks, ARRAY_SIZE(checks));

    for ( i = 0; i < ARRAY_SIZE(faults); i++ )
    {
        snprintf(name, sizeof(name), "failed-%s-ends-the-reset-until-the-next",
                 faults[i].name);
        report(name, fails(&faults[i]));
        snprintf(name, sizeof(name), "preempted-%s-is-given-again",
                 faults[i].name);
        report(name, preempted(&faults[i]));
    }

    for ( i = 0; i < ARRAY_SIZE(writes); i++ )
    {
        snprintf(name, sizeof(name), "write-to-%s", writes[i].name);
        report(name, written(&writes[i]));
    }

    for ( i = 0; i < ARRAY_SIZE(setup_gsis); i++ )
    {
        snprintf(name, sizeof(name), "setup_gsi-%s-is-%s", setup_gsis[i].name,
                 setup_gsis[i].rc ? "EINVAL-and-writes-nothing" : "read");
        report(name, parsed_setup(&setup_gsis[i]));
    }

    for ( i = 0; i < ARRAY_SIZE(gsi_permissions); i++ )
    {
        snprintf(name, sizeof(name), "gsi_permission-%s-is-%s",
                 gsi_permissions[i].name,
                 gsi_permissions[i].rc ? "EINVAL-and-writes-nothing" : "read");
        report(name, parsed_permission(&gsi_permissions[i]));
    }

    return finish();
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
