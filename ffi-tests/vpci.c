/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that vPCI emulates: a device and a p2m in memory, on which is
 * performed what the library asks for, as Xen's side of the border does it.
 */

#include <inttypes.h>

#include "check.h"

/* What Xen's vmsi.c uses by these names. */
#define IS(s, m, type) \
    _Static_assert(__builtin_types_compatible_p( \
                       __typeof__(((struct s *)NULL)->m), type), #s "." #m)
IS(xpt_msi, address, uint64_t);
IS(xpt_msi, data, uint16_t);
IS(xpt_msi, mask, uint32_t);
IS(xpt_msi, vectors, uint8_t);
IS(xpt_msi, arch.pirq, int);
IS(xpt_msi, arch.bound, uint8_t);
IS(xpt_msix_entry, addr, uint64_t);
IS(xpt_msix_entry, data, uint32_t);
IS(xpt_msix_entry, masked, uint8_t);
IS(xpt_msix_entry, updated, uint8_t);
IS(xpt_msix_entry, arch.pirq, int);
#undef IS
/* What Xen holds of them: one a device, and up to 2048 entries. */
_Static_assert(sizeof(struct xpt_device) <= 256, "struct xpt_device");
_Static_assert(sizeof(struct xpt_msix_entry) <= 24, "struct xpt_msix_entry");
/* No more is needed of alignment than Xen's allocator gives. */
_Static_assert(_Alignof(struct xpt_device) <= 8, "struct xpt_device");
_Static_assert(_Alignof(struct xpt_msix_entry) <= 8, "struct xpt_msix_entry");

#define ID 0x00101b36

#define COMMAND 0x04
#define MEMORY 0x2
#define BAR(nr) (0x10 + (nr) * 4)
#define ROM 0x30
#define BRIDGE_ROM 0x38
#define MSI 0x50
#define MSIX 0x70
/* Of these two: message control, and the rest of a 64-bit MSI. */
#define MSI_CONTROL (MSI + 2)
#define MSI_LOW (MSI + 4)
#define MSI_HIGH (MSI + 8)
#define MSI_DATA (MSI + 12)
#define MSI_MASK (MSI + 16)
#define MSIX_CONTROL (MSIX + 2)

#define MAX_ENTRIES 2048
#define MAX_LOG (MAX_ENTRIES + 32)

/* A step that C was asked for; what ends with _MORE is not the last one. */
struct step
{
    enum xpt_vpci kind;
    uint32_t index;
    uint32_t value;
    uint8_t size;
    uint8_t last;
};

#define MAP(bars) { XPT_VPCI_MAP, 0, bars, 0, 0 }
#define UNMAP(bars) { XPT_VPCI_UNMAP, 0, bars, 0, 0 }
#define DEFER { XPT_VPCI_DEFER, 0, 0, 0, 1 }
#define DEFER_MORE { XPT_VPCI_DEFER, 0, 0, 0, 0 }
#define RETRY { XPT_VPCI_RETRY, 0, 0, 0, 1 }
/* The command register, the header, the capabilities too. */
#define PEEK { XPT_VPCI_PROBE, 0, 0, 0, 0 }
#define PROBE { XPT_VPCI_PROBE, 0, 1, 0, 0 }
#define PROBE_ALL { XPT_VPCI_PROBE, 0, 2, 0, 0 }
#define WORD(reg, val) { XPT_VPCI_CONF_WRITE, reg, val, 2, 1 }
#define WORD_MORE(reg, val) { XPT_VPCI_CONF_WRITE, reg, val, 2, 0 }
#define DWORD(reg, val) { XPT_VPCI_CONF_WRITE, reg, val, 4, 1 }
#define DWORD_MORE(reg, val) { XPT_VPCI_CONF_WRITE, reg, val, 4, 0 }
#define MAPPED(bar) { XPT_VPCI_BAR_MAPPED, bar, 0, 0, 1 }
#define ENABLE(nr) { XPT_VPCI_MSI_ENABLE, 0, nr, 0, 0 }
#define DISABLE { XPT_VPCI_MSI_DISABLE, 0, 0, 0, 0 }
#define UPDATE { XPT_VPCI_MSI_UPDATE, 0, 0, 0, 1 }
#define MASK(changed, mask) { XPT_VPCI_MSI_MASK, changed, mask, 0, 1 }
#define ENTRY_UPDATE(nr) { XPT_VPCI_MSIX_UPDATE, nr, 0, 0, 0 }
#define ENTRY_DISABLE(nr) { XPT_VPCI_MSIX_DISABLE, nr, 0, 0, 0 }
#define ENTRY_MASK(nr, mask) { XPT_VPCI_MSIX_MASK, nr, mask, 0, 1 }
#define CONTROL(val) { XPT_VPCI_MSIX_CONTROL, 0, val, 0, 1 }
#define CLEAR { XPT_VPCI_MSIX_CLEAR, 0, 0, 0, 0 }
#define INTX { XPT_VPCI_INTX_DISABLE, 0, 0, 0, 0 }

struct fake
{
    /* The device: its configuration space, and which bits can be written. */
    uint32_t conf[64], writable[64];
    uint8_t msi_pos, msix_pos, msi_vectors;
    bool silent, ignore_bars;

    /* What Xen has of it. */
    struct xpt_device *dev;
    struct xpt_msix_entry *entries;
    unsigned int nr_entries;
    uint64_t p2m[XPT_NR_BARS];
    unsigned int nr_p2m;
    /* BARs that lie where none may. */
    uint32_t misplaced;
    /* What a vCPU has been told to come back for. */
    bool pending;
    uint32_t epoch;

    /* This step of those that follow will go wrong. */
    unsigned int fault_at;
    int fault_rc;
    /* A reset or removal has been preempted. */
    bool preempted;

    struct step log[MAX_LOG];
    unsigned int nr_log;
    /* The first thing that is wrong. */
    const char *why;
};

/*
 * 64-bit BAR in slots 0 and 1 with the MSI-X table, 32-bit in 2 with the
 * pending bits, I/O ports in 3, a ROM; MSI with 4 vectors, MSI-X with 3.
 */
static const struct fake normal = {
    .conf = {
        [0] = ID, [1] = 0x00100407, [4] = 0xfe00000c, [5] = 0x12,
        [6] = 0xfd000000, [7] = 0xc001, [12] = 0xfc000001,
        [20] = 0x01847005, [28] = 0x00020011, [29] = 0x2000, [30] = 0x0802,
    },
    .writable = {
        [1] = 0x0547, [4] = 0xffffc000, [5] = 0xffffffff, [6] = 0xfffff000,
        [7] = 0xffe0, [12] = 0xffff8001, [20] = 0x00710000, [28] = 0xc0000000,
    },
    .msi_pos = MSI, .msix_pos = MSIX, .msi_vectors = 4,
};

/* Its BARs, and what its registers have. */
#define BARS 0x45
#define ON 0x407
#define OFF 0x405

#define DOM0 XPT_OWNER_HARDWARE
#define DOMU XPT_OWNER_GUEST

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

/* 32-bit BAR in slot 0, which Xen was told to leave alone. */
static const struct fake ignored = {
    .conf = { ID, 0x00100007, [4] = 0xfb000000 },
    .writable = { [4] = 0xfffff000 },
    .ignore_bars = true,
};

static uint32_t conf_read(const struct fake *fake, unsigned int reg,
                          unsigned int size)
{
    uint32_t val = fake->silent ? UINT32_MAX
                                : fake->conf[reg / 4] >> (reg % 4 * 8);

    return val & (UINT32_MAX >> (32 - size * 8));
}

static void conf_write(struct fake *fake, unsigned int reg, unsigned int size,
                       uint32_t val)
{
    uint32_t bits = (UINT32_MAX >> (32 - size * 8)) << (reg % 4 * 8);
    uint32_t writable = fake->writable[reg / 4] & bits;

    if ( !fake->silent )
        fake->conf[reg / 4] = (fake->conf[reg / 4] & ~writable) |
                              ((val << (reg % 4 * 8)) & writable);
}

/* A reset of the device itself, behind Xen's back. */
static void flr(struct fake *fake)
{
    for ( unsigned int i = 0; i < ARRAY_SIZE(fake->conf); i++ )
        fake->conf[i] &= ~fake->writable[i];
}

/* From here on as in Xen's side of the border. */

static void probe(const struct fake *fake, unsigned int depth,
                  struct xpt_snapshot *snapshot)
{
    unsigned int bars = 6, rom = ROM;

    *snapshot = (struct xpt_snapshot){
        .command = conf_read(fake, COMMAND, 2),
        .ignore_bars = fake->ignore_bars,
    };
    if ( !depth )
        return;

    snapshot->id = conf_read(fake, 0, 4);
    snapshot->header_type = conf_read(fake, 0x0e, 1);
    if ( (snapshot->header_type & 0x7f) == 1 )
    {
        bars = 2;
        rom = BRIDGE_ROM;
    }
    for ( unsigned int i = 0; i < bars; i++ )
        snapshot->bars[i] = conf_read(fake, BAR(i), 4);
    snapshot->rom = conf_read(fake, rom, 4);
    if ( depth == 1 )
        return;

    snapshot->msi_pos = fake->msi_pos;
    snapshot->msi_vectors = fake->msi_vectors;
    if ( fake->msi_pos )
        snapshot->msi_control = conf_read(fake, fake->msi_pos + 2, 2);
    snapshot->msix_pos = fake->msix_pos;
    if ( fake->msix_pos )
    {
        snapshot->msix_control = conf_read(fake, fake->msix_pos + 2, 2);
        snapshot->msix_table = conf_read(fake, fake->msix_pos + 4, 4);
        snapshot->msix_pba = conf_read(fake, fake->msix_pos + 8, 4);
    }
}

static void fail(struct fake *fake, const char *why)
{
    fake->why = fake->why ?: why;
}

static unsigned int in_p2m(const struct fake *fake, uint64_t addr)
{
    unsigned int i = 0;

    while ( i < fake->nr_p2m && fake->p2m[i] != addr )
        i++;

    return i;
}

/* Gives the BARs that are in place. */
static int map(struct fake *fake, uint32_t bars, bool add)
{
    const struct xpt_bar *bar = fake->dev->bars;

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++, bar++ )
    {
        unsigned int at = in_p2m(fake, bar->guest_addr);

        if ( !(bars & ~fake->misplaced & 1u << i) )
            continue;
        if ( !bar->order )
            fail(fake, wrong("BAR %u of no size is mapped", i));
        else if ( !add && at < fake->nr_p2m )
            fake->p2m[at] = fake->p2m[--fake->nr_p2m];
        else if ( add && at == fake->nr_p2m && at < XPT_NR_BARS )
            fake->p2m[fake->nr_p2m++] = bar->guest_addr;
    }

    return bars & ~fake->misplaced;
}

static void defer(struct fake *fake)
{
    fake->pending = true;
    fake->epoch = fake->dev->epoch;
}

static int execute(struct fake *fake, const struct xpt_vpci_action *act)
{
    struct xpt_msi *msi = &fake->dev->msi;
    struct xpt_msix_entry *entry = NULL;

    if ( act->kind >= XPT_VPCI_MSIX_UPDATE && act->kind <= XPT_VPCI_MSIX_MASK )
    {
        if ( act->index >= fake->nr_entries )
            return -XEN_EOPNOTSUPP;
        entry = &fake->entries[act->index];
    }

    switch ( act->kind )
    {
    case XPT_VPCI_MAP:
    case XPT_VPCI_UNMAP:
        return map(fake, act->value, act->kind == XPT_VPCI_MAP);

    case XPT_VPCI_DEFER:
    case XPT_VPCI_RETRY:
        defer(fake);
        return 0;

    case XPT_VPCI_CONF_WRITE:
        conf_write(fake, act->index, act->size, act->value);
        return 0;

    case XPT_VPCI_MSI_ENABLE:
        if ( msi->arch.pirq != XPT_INVALID_PIRQ )
            fail(fake, "MSI vectors are allocated twice");
        msi->arch.pirq = 40;
        msi->arch.bound = 1;
        return 0;

    case XPT_VPCI_MSI_DISABLE:
        if ( msi->arch.pirq == XPT_INVALID_PIRQ )
            fail(fake, "MSI vectors are released twice");
        msi->arch.pirq = XPT_INVALID_PIRQ;
        msi->arch.bound = 0;
        return 0;

    case XPT_VPCI_MSIX_UPDATE:
        entry->arch.pirq = 100 + act->index;
        return 0;

    case XPT_VPCI_MSIX_DISABLE:
        entry->arch.pirq = XPT_INVALID_PIRQ;
        return 0;

    case XPT_VPCI_MSIX_CONTROL:
    case XPT_VPCI_MSIX_CLEAR:
        conf_write(fake, fake->dev->msix.pos + 2, 2, act->value);
        return 0;

    case XPT_VPCI_INTX_DISABLE:
        conf_write(fake, COMMAND, 2, conf_read(fake, COMMAND, 2) | 0x400);
        return 0;

    case XPT_VPCI_MSI_UPDATE:
    case XPT_VPCI_MSI_MASK:
    case XPT_VPCI_MSIX_MASK:
    case XPT_VPCI_BAR_MAPPED:
        return 0;

    default:
        fail(fake, wrong("unknown action %d", act->kind));
        return -XEN_EOPNOTSUPP;
    }
}

/* Performs the action unless it is to go wrong, and says what came of it. */
static int perform(struct fake *fake, const struct xpt_vpci_action *act)
{
    int rc = 0;

    if ( fake->fault_rc && fake->fault_at == fake->nr_log )
    {
        rc = fake->fault_rc;
        fake->fault_rc = 0;
    }
    if ( fake->nr_log < MAX_LOG )
        fake->log[fake->nr_log++] = (struct step){
            act->kind, act->index, act->value, act->size, act->last,
        };
    else
        fail(fake, "does not end");
    if ( act->rc )
        fail(fake, wrong("rc %d of action %d", act->rc, act->kind));

    /* Some of it has been done. */
    if ( rc && act->kind == XPT_VPCI_MAP )
        map(fake, act->value & -act->value, true);

    return rc || act->kind == XPT_VPCI_PROBE ? rc : execute(fake, act);
}

/* Only with @maps there is anybody to perform maps and unmaps. */
static int converse(struct fake *fake, struct xpt_vpci_action *act, bool maps)
{
    while ( !fake->why && act->kind != XPT_VPCI_DONE )
    {
        struct xpt_snapshot snapshot;
        int rc = perform(fake, act);

        if ( !maps && (act->kind == XPT_VPCI_MAP ||
                       act->kind == XPT_VPCI_UNMAP) )
            fail(fake, "a map where nobody performs it");
        if ( rc == -XEN_ERESTART )
        {
            fake->preempted = true;
            return rc;
        }
        if ( act->last )
            return 0;

        if ( act->kind == XPT_VPCI_PROBE && !rc )
        {
            probe(fake, act->value, &snapshot);
            memset(act, 0xa5, sizeof(*act));
            xpt_device_probed(fake->dev, fake->entries, &snapshot, act);
        }
        else
        {
            memset(act, 0xa5, sizeof(*act));
            xpt_device_complete(fake->dev, fake->entries, rc, act);
        }
    }

    if ( act->index || act->value || act->size || act->last != 1 )
        fail(fake, wrong("done is %#x, %#x, %u, last %u", act->index,
                         act->value, act->size, act->last));

    return act->rc;
}

/* A vCPU comes back for an operation. */
static int work(struct fake *fake, uint32_t epoch)
{
    struct xpt_vpci_action act;
    int rc;

    memset(&act, 0xa5, sizeof(act));
    xpt_device_work(fake->dev, epoch, &act);
    if ( act.kind == XPT_VPCI_RETRY )
    {
        /* A reset or a detach comes first. */
        if ( act.last != 1 )
            fail(fake, "a retry is to be completed");
        memset(&act, 0xa5, sizeof(act));
        xpt_device_resume(fake->dev, &act);
        fake->preempted = false;
        rc = converse(fake, &act, true);
        fake->pending = rc == -XEN_ERESTART;
        return rc;
    }
    if ( act.kind != XPT_VPCI_DONE )
    {
        rc = perform(fake, &act);
        if ( rc == -XEN_ERESTART )
            return rc;
        memset(&act, 0xa5, sizeof(act));
        xpt_device_worked(fake->dev, epoch, rc, &act);
    }
    fake->pending &= fake->epoch != epoch;

    return converse(fake, &act, false);
}

/* The record of a device just found, with sizes from the writable bits. */
static int make(struct fake *fake)
{
    uint64_t sizes[XPT_NR_BARS] = {};
    struct xpt_snapshot snapshot;
    unsigned int i, bars;
    int rc;

    probe(fake, 2, &snapshot);
    bars = (snapshot.header_type & 0x7f) == 1 ? 2 : 6;
    for ( i = 0; i < bars; i++ )
        if ( !(snapshot.bars[i] & 1) )
        {
            sizes[i] = -fake->writable[BAR(i) / 4];
            i += (snapshot.bars[i] & 6) == 4;
        }
    sizes[bars] = -(fake->writable[(bars == 2 ? BRIDGE_ROM : ROM) / 4] & ~1u);

    rc = xpt_device_init(fake->dev, &snapshot,
                         (const uint64_t (*)[XPT_NR_BARS])&sizes);
    fake->nr_entries = fake->dev->msix.entries;

    return rc;
}

/* Stories: what happens to a device, and the steps that C has to perform. */

enum event
{
    END,
    WRITE,      /* of register a */
    READ,       /* of register a gives b */
    ENTRY,      /* write of 4 bytes at a of the MSI-X table */
    ENTRY_8,    /* ... of 8, b in the lower 4, 1 in the upper 4 */
    RESET,      /* with flags a */
    DETACH,
    ATTACH,     /* to owner a */
    HIDE,
    PASSES,     /* the command register's new value a, or not: b */
    PLACES,     /* BAR a by a write of b, or not: no step */
    WORK,       /* of the vCPU that was told to come */
    LATE,       /* the same, by an epoch that is a operations old */
    STATE,      /* is a */
    /* Without Xen's knowledge, or to come: */
    FLR,
    SET,        /* configuration space at a to b */
    SILENT,     /* or not: a */
    MISPLACE,   /* BARs a */
    FAULT,
    NEW,        /* the record is that of a new device */
};

struct beat
{
    enum event event;
    uint32_t a, b;
    int rc;
    struct step steps[10];
};

/* Comes to 0; to an error; makes the step numbered @at of the next one fail. */
#define DO(event, a, b, ...) { event, a, b, 0, { __VA_ARGS__ } }
#define FAIL(event, a, b, rc, ...) { event, a, b, rc, { __VA_ARGS__ } }
#define FAULT(at, rc) { FAULT, at, 0, rc, {} }
#define TURN(command) \
    DO(WRITE, COMMAND, command, WORD_MORE(COMMAND, command), DEFER)
#define WORKS(...) DO(WORK, 0, 0, __VA_ARGS__)
#define WORK_FAILS(rc, ...) FAIL(WORK, 0, 0, rc, __VA_ARGS__)
#define IS_NEW DO(NEW, 0, 0)
/* While the device is being reset or taken away. */
#define EVERY_WRITE_WAITS \
    DO(STATE, BUSY, 0), DO(PASSES, ON, 0), DO(WRITE, COMMAND, ON, RETRY), \
    DO(WRITE, BAR(0), 0xaabb4000, RETRY), DO(WRITE, ROM, 0, RETRY), \
    DO(WRITE, MSI_CONTROL, 0, RETRY), DO(WRITE, MSI_LOW, 4, RETRY), \
    DO(WRITE, MSIX_CONTROL, 0, RETRY), DO(ENTRY, 0x0c, 0, RETRY)

static const char *as_new(const struct fake *fake, unsigned int owner);

/* What becomes of accesses to what is not emulated. */
enum state
{
    IN_USE,
    AT_REST,    /* writes are ignored */
    FENCED,     /* ... and reads are all ones */
    BUSY,       /* writes are made again */
};

static enum state state(const struct xpt_device *dev)
{
    switch ( xpt_device_writes(dev) )
    {
    case XPT_WRITES_PASS:
        return IN_USE;

    case XPT_WRITES_WAIT:
        return BUSY;

    default:
        return dev->fenced ? FENCED : AT_REST;
    }
}

static const char *same_steps(const struct fake *fake, const struct step *steps,
                              unsigned int nr)
{
    for ( unsigned int i = 0; i < nr || i < fake->nr_log; i++ )
    {
        struct step none = {}, got = i < fake->nr_log ? fake->log[i] : none;
        struct step want = i < nr ? steps[i] : none;
        bool same = got.kind == want.kind && got.index == want.index &&
                    got.value == want.value && got.size == want.size &&
                    got.last == want.last;

        REQUIRE(same, "step %u is %d, %#x, %#x, size %u, last %u", i, got.kind,
                got.index, got.value, got.size, got.last);
    }

    return NULL;
}

/* What is mapped is what the record says, unless that is under way. */
static const char *same_p2m(const struct fake *fake)
{
    const struct xpt_bar *bar = fake->dev->bars;
    unsigned int nr = 0;

    if ( fake->preempted ||
         (fake->pending && fake->epoch == fake->dev->epoch) )
        return NULL;

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++, bar++ )
        if ( bar->mapped )
        {
            REQUIRE(in_p2m(fake, bar->guest_addr) < fake->nr_p2m,
                    "BAR %u is not at %#lx", i, bar->guest_addr);
            nr++;
        }
    REQUIRE(fake->nr_p2m == nr, "%u instead of %u", fake->nr_p2m, nr);

    return NULL;
}

static const char *play(struct fake *fake, const struct beat *beat)
{
    struct xpt_device *dev = fake->dev;
    struct xpt_vpci_action act;
    uint32_t a = beat->a, b = beat->b, got;
    int64_t placed;
    int rc = 0;
    unsigned int nr = 0;

    memset(&act, 0xa5, sizeof(act));
    fake->nr_log = 0;

    switch ( beat->event )
    {
    case WRITE:
        xpt_device_write(dev, fake->entries, a, b, &act);
        rc = converse(fake, &act, false);
        break;

    case READ:
        got = xpt_device_read(dev, a);
        REQUIRE(got == b, "%#x is read of %#x", got, a);
        break;

    case ENTRY:
    case ENTRY_8:
        xpt_msix_write(dev, fake->entries, a / 16, a % 16,
                       beat->event == ENTRY ? 4 : 8, b | 1ull << 32, &act);
        rc = converse(fake, &act, false);
        break;

    case PASSES:
        got = xpt_device_passes_command(dev, a);
        REQUIRE(got == b, "%u", got);
        if ( got )
            conf_write(fake, COMMAND, 2, a);
        break;

    case PLACES:
        placed = xpt_device_place_bar(dev, a, b);
        if ( placed < 0 )
        {
            REQUIRE(placed == -1, "%"PRId64, placed);
            break;
        }
        REQUIRE(placed <= UINT32_MAX, "%"PRId64, placed);
        fake->log[fake->nr_log++] = (struct step)DWORD(BAR(a), placed);
        conf_write(fake, BAR(a), 4, placed);
        break;

    case RESET:
    case DETACH:
        fake->preempted = false;
        if ( beat->event == RESET )
            xpt_device_reset(dev, fake->entries, a, &act);
        else
            xpt_device_detach(dev, fake->entries, &act);
        rc = converse(fake, &act, true);
        break;

    case ATTACH:
        xpt_device_attach(dev, a, &act);
        rc = converse(fake, &act, false);
        break;

    case HIDE:
        xpt_device_hide(dev);
        break;

    case WORK:
        REQUIRE(fake->pending, "nobody was told to come");
        rc = work(fake, fake->epoch);
        break;

    case LATE:
        rc = work(fake, dev->epoch - a);
        break;

    case STATE:
        REQUIRE(state(dev) == a, "%u", state(dev));
        break;

    case FLR:
        flr(fake);
        return NULL;

    case SET:
        fake->conf[a / 4] = b;
        return NULL;

    case SILENT:
        fake->silent = a;
        return NULL;

    case MISPLACE:
        fake->misplaced = a;
        return NULL;

    case FAULT:
        fake->fault_at = a;
        fake->fault_rc = beat->rc;
        return NULL;

    case NEW:
        TRY(as_new(fake, a ?: DOM0));
        break;

    case END:
        break;
    }

    if ( fake->why )
        return fake->why;
    REQUIRE(rc == beat->rc, "%d", rc);
    while ( nr < ARRAY_SIZE(beat->steps) && beat->steps[nr].kind )
        nr++;
    TRY(same_steps(fake, beat->steps, nr));

    return same_p2m(fake);
}

static const char *play_all(struct fake *fake, const struct beat *beats,
                            unsigned int nr)
{
    for ( unsigned int i = 0; i < nr && beats[i].event; i++ )
    {
        const char *why = play(fake, &beats[i]);
        char text[192];

        if ( !why )
            continue;
        snprintf(text, sizeof(text), "%s", why);
        return wrong("beat %u: %s", i, text);
    }

    return NULL;
}

#define PLAY(fake, ...) \
    play_all(fake, (const struct beat[]){ __VA_ARGS__ }, \
             sizeof((const struct beat[]){ __VA_ARGS__ }) / sizeof(struct beat))

/* Whoever has it: at rest, or attached with everything mapped. */
static struct fake *plug(const struct fake *model, unsigned int owner)
{
    struct fake *fake = malloc(sizeof(*fake));
    struct xpt_vpci_action act;
    unsigned int entries;

    *fake = *model;
    fake->dev = guarded(sizeof(*fake->dev));
    if ( make(fake) )
        fail(fake, "no record");
    entries = fake->nr_entries;
    if ( entries )
        fake->entries = guarded(entries * sizeof(*fake->entries));
    xpt_msix_init(fake->entries, entries);
    if ( owner )
    {
        xpt_device_attach(fake->dev, owner, &act);
        if ( converse(fake, &act, false) )
            fail(fake, "not attached");
        while ( fake->pending && !fake->why )
            work(fake, fake->epoch);
    }

    return fake;
}

static void unplug(struct fake *fake)
{
    unguard(fake->dev, sizeof(*fake->dev));
    if ( fake->entries )
        unguard(fake->entries, fake->nr_entries * sizeof(*fake->entries));
    free(fake);
}

/* All of its vectors are in use, but the one of the second MSI-X entry. */
static struct fake *plug_busy(const struct fake *model)
{
    static const struct beat beats[] = {
        DO(WRITE, MSI_LOW, 0xfee01000),
        DO(WRITE, MSI_DATA, 0x4041),
        DO(WRITE, MSI_MASK, 0x8),
        DO(WRITE, MSI_CONTROL, 0x21, ENABLE(4), WORD(MSI_CONTROL, 0x1a5)),
        DO(ENTRY_8, 0x00, 0xfee02000), DO(ENTRY, 0x0c, 0),
        DO(ENTRY_8, 0x10, 0xfee03000),
        DO(ENTRY_8, 0x20, 0xfee04000), DO(ENTRY, 0x2c, 0),
        DO(WRITE, MSIX_CONTROL, 0x8000, ENTRY_UPDATE(0), ENTRY_UPDATE(2),
           CONTROL(0x8002)),
    };
    struct fake *fake = plug(model, DOM0);

    if ( !fake->why )
        fake->why = play_all(fake, beats, ARRAY_SIZE(beats));

    return fake;
}

#define RELEASE DISABLE, ENTRY_DISABLE(0), ENTRY_DISABLE(2), CLEAR

static bool is_fresh(const struct xpt_msix_entry *entry)
{
    return !entry->addr && !entry->data && entry->masked == 1 &&
           !entry->updated && entry->arch.pirq == XPT_INVALID_PIRQ;
}

static const char *as_new(const struct fake *fake, unsigned int owner)
{
    struct fake model = *fake, *fresh;
    const struct xpt_device *is = fake->dev, *want;

    model.entries = NULL;
    model.nr_p2m = 0;
    model.pending = false;
    fresh = plug(&model, owner);
    want = fresh->dev;
    if ( fresh->why )
        return fresh->why;

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
        REQUIRE(!memcmp(&is->bars[i], &want->bars[i],
                        offsetof(struct xpt_bar, mapped) + 1),
                "BAR %u: %#lx, %#lx, %u, %u, %u, mapped %u", i,
                is->bars[i].addr, is->bars[i].guest_addr, is->bars[i].order,
                is->bars[i].kind, is->bars[i].prefetchable, is->bars[i].mapped);
    REQUIRE(!memcmp(&is->msi, &want->msi,
                    offsetof(struct xpt_msi, arch.bound) + 1), "MSI");
    REQUIRE(!memcmp(&is->msix, &want->msix,
                    offsetof(struct xpt_msix, masked) + 1), "MSI-X");
    for ( unsigned int i = 0; fake->entries && i < fake->nr_entries; i++ )
        REQUIRE(is_fresh(&fake->entries[i]), "entry %u", i);
    REQUIRE(xpt_device_read(is, COMMAND) == xpt_device_read(want, COMMAND),
            "%#x", xpt_device_read(is, COMMAND));
    REQUIRE(state(is) == state(want), "%u", state(is));
    REQUIRE(!memcmp(fake->conf, fresh->conf, sizeof(fake->conf)), "the device");
    REQUIRE(fake->nr_p2m == fresh->nr_p2m, "%u", fake->nr_p2m);
    unplug(fresh);

    return NULL;
}

static const struct story
{
    const char *name;
    const struct fake *model;
    unsigned int owner;
    bool vectors, no_table;
    struct beat beats[20];
} stories[] = {
#define HARDWARE .model = &normal, .owner = DOM0
#define VECTORS .model = &normal, .vectors = true
#define RESTING .model = &normal
    { "new-device-is-at-rest-until-it-is-attached", RESTING, .beats = {
        DO(STATE, AT_REST, 0), DO(WRITE, COMMAND, OFF), DO(RESET, 0, 0),
        DO(DETACH, 0, 0), DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL, DEFER_MORE),
        DO(STATE, IN_USE, 0), WORKS(MAP(BARS)), IS_NEW } },
    { "device-that-does-not-decode-is-attached-unmapped", RESTING, .beats = {
        DO(FLR, 0, 0), DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL), IS_NEW } },
    { "device-without-capabilities-is-attached", &bridge, .beats = {
        DO(ATTACH, DOM0, 0, PROBE_ALL, DEFER_MORE), WORKS(MAP(0x05)),
        IS_NEW } },
    { "device-whose-map-cannot-be-deferred-decodes-nothing", RESTING,
      .beats = {
        FAULT(2, -XEN_EXDEV),
        DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL, DEFER_MORE, WORD(COMMAND, OFF)),
        DO(LATE, 0, 0), DO(LATE, 1, 0), IS_NEW } },
    { "silent-device-is-attached-behind-the-fence", RESTING, .beats = {
        DO(SILENT, 1, 0), FAIL(ATTACH, DOM0, 0, -XEN_EIO, CLEAR, PROBE_ALL),
        DO(STATE, FENCED, 0), DO(SILENT, 0, 0), FAULT(1, -XEN_EPERM),
        FAIL(ATTACH, DOM0, 0, -XEN_EIO, CLEAR, PROBE_ALL),
        DO(STATE, FENCED, 0),
        DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL, DEFER_MORE), WORKS(MAP(BARS)),
        IS_NEW } },
    { "whether-msix-was-cleared-does-not-matter", RESTING, .beats = {
        FAULT(0, -XEN_ENOMEM),
        DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL, DEFER_MORE), WORKS(MAP(BARS)),
        IS_NEW } },
    { "owner-that-there-is-not-is-EINVAL", RESTING, .beats = {
        FAIL(ATTACH, XPT_OWNER_NOBODY, 0, -XEN_EINVAL),
        FAIL(ATTACH, 4, 0, -XEN_EINVAL),
        FAIL(ATTACH, 0x100 | DOM0, 0, -XEN_EINVAL),
        FAIL(ATTACH, UINT32_MAX, 0, -XEN_EINVAL), DO(STATE, AT_REST, 0) } },
    { "device-with-an-owner-is-not-attached", HARDWARE, .beats = {
        FAIL(ATTACH, DOM0, 0, -XEN_EINVAL), FAIL(ATTACH, DOMU, 0, -XEN_EINVAL),
        IS_NEW } },

    { "decode-off-unmaps-and-on-maps", HARDWARE, .beats = {
        TURN(OFF), DO(READ, COMMAND, OFF), WORKS(UNMAP(BARS)), IS_NEW,
        TURN(ON), WORKS(MAP(BARS)), IS_NEW,
        DO(WRITE, COMMAND, 0x403, WORD(COMMAND, 0x403)), IS_NEW } },
    { "command-passes-that-changes-no-decode", HARDWARE, .beats = {
        DO(PASSES, 0x403, 1), DO(READ, COMMAND, 0x403), DO(PASSES, OFF, 0),
        DO(READ, COMMAND, 0x403), TURN(OFF), DO(PASSES, ON, 0),
        DO(PASSES, 0x401, 1), WORKS(UNMAP(BARS)), DO(PASSES, OFF, 1), IS_NEW,
        DO(DETACH, 0, 0, CLEAR), DO(PASSES, OFF, 0),
        DO(ATTACH, DOMU, 0, CLEAR, PROBE_ALL, WORD(COMMAND, 0x400)),
        DO(PASSES, 0x400, 0), DO(PASSES, UINT16_MAX, 0) } },
    { "bars-move-while-unmapped", HARDWARE, .beats = {
        TURN(OFF), WORKS(UNMAP(BARS)),
        DO(WRITE, BAR(0), 0xaabb4003, DWORD(BAR(0), 0xaabb400c)),
        DO(WRITE, BAR(1), 0x9876543f, DWORD(BAR(1), 0x9876543f)),
        DO(WRITE, BAR(2), 0xaabb100f, DWORD(BAR(2), 0xaabb1000)),
        DO(WRITE, BAR(3), 0xd001), DO(WRITE, BAR(5), UINT32_MAX),
        DO(WRITE, ROM, 0xab000001, DWORD(ROM, 0xab000001)), IS_NEW, TURN(ON),
        WORKS(MAP(BARS)), IS_NEW } },
    { "bars-are-placed-while-unmapped", HARDWARE, .beats = {
        DO(PLACES, 0, 0xfe000000), TURN(OFF), DO(PLACES, 0, 0xaabb4003),
        WORKS(UNMAP(BARS)),
        DO(PLACES, 0, 0xaabb4003, DWORD(BAR(0), 0xaabb400c)),
        DO(PLACES, 1, 0x9876543f, DWORD(BAR(1), 0x9876543f)),
        DO(PLACES, 2, 0xaabb100f, DWORD(BAR(2), 0xaabb1000)), IS_NEW,
        DO(PLACES, 3, 0xd001), DO(PLACES, 5, UINT32_MAX), DO(PLACES, 6, 1),
        DO(PLACES, 7, 0), DO(PLACES, UINT32_MAX, 0), IS_NEW, TURN(ON),
        DO(PLACES, 2, 0xaabb2000), WORKS(MAP(BARS)), IS_NEW,
        DO(DETACH, 0, 0, CLEAR, UNMAP(BARS)), DO(PLACES, 0, 0xaabb4000) } },
    { "mapped-bars-stay-while-the-device-decodes", HARDWARE, .beats = {
        DO(WRITE, BAR(0), 0xaabb4000, PEEK, MAPPED(0)),
        DO(WRITE, BAR(1), 0x13, PEEK, MAPPED(1)),
        DO(WRITE, BAR(2), UINT32_MAX, PEEK, MAPPED(2)),
        DO(WRITE, ROM, 0xab000001, PEEK, MAPPED(6)),
        DO(WRITE, BAR(0), 0xfe00000f, PEEK), DO(WRITE, BAR(1), 0x12, PEEK),
        DO(WRITE, ROM, 0xfc0007ff, PEEK), DO(SILENT, 1, 0),
        FAIL(WRITE, BAR(0), 0xaabb4000, -XEN_EIO, PEEK), DO(SILENT, 0, 0),
        FAULT(0, -XEN_EPERM),
        FAIL(WRITE, BAR(0), 0xaabb4000, -XEN_EPERM, PEEK), IS_NEW } },
    { "bars-wait-for-the-operation-in-flight", HARDWARE, .beats = {
        TURN(OFF), DO(WRITE, BAR(0), 0xaabb4000, RETRY),
        DO(WRITE, ROM, 0xab000000, RETRY), DO(WRITE, COMMAND, ON, RETRY),
        DO(WRITE, COMMAND, 0x401, WORD(COMMAND, 0x401)),
        FAULT(0, -XEN_ERESTART), WORK_FAILS(-XEN_ERESTART, UNMAP(BARS)),
        DO(LATE, 1, 0), DO(LATE, UINT32_MAX, 0), WORKS(UNMAP(BARS)),
        DO(LATE, 0, 0),
        DO(WRITE, BAR(0), 0xaabb4000, DWORD(BAR(0), 0xaabb400c)), IS_NEW } },
    { "failed-map-turns-decode-off-and-unmaps", HARDWARE, .beats = {
        TURN(OFF), WORKS(UNMAP(BARS)), TURN(ON), FAULT(0, -XEN_ENOMEM),
        WORKS(MAP(BARS), WORD_MORE(COMMAND, OFF), DEFER), WORKS(UNMAP(BARS)),
        DO(READ, COMMAND, OFF), IS_NEW } },
    { "failed-unmap-is-made-up-for-first", HARDWARE, .beats = {
        TURN(OFF), FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(BARS)),
        DO(WRITE, COMMAND, ON, DEFER), FAULT(0, -4095),
        WORK_FAILS(-XEN_EIO, UNMAP(BARS)),
        DO(WRITE, BAR(0), 0xaabb4000, DEFER), FAULT(0, INT_MIN),
        WORK_FAILS(-XEN_EIO, UNMAP(BARS)), DO(WRITE, ROM, 0, DEFER),
        WORKS(UNMAP(BARS), PROBE_ALL), IS_NEW } },
    { "device-that-decodes-after-a-failed-unmap-is-mapped", HARDWARE,
      .beats = {
        TURN(OFF), FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(BARS)),
        DO(WRITE, BAR(1), 0x56, DEFER), DO(SET, COMMAND, 0x00100407),
        DO(SET, BAR(1), 0x34), WORKS(UNMAP(BARS), PROBE_ALL, DEFER_MORE),
        WORKS(MAP(BARS)), IS_NEW } },
    { "device-that-is-gone-after-a-failed-unmap-is-fenced", VECTORS,
      .beats = {
        TURN(OFF), FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(BARS)),
        DO(WRITE, BAR(0), 0xaabb4000, DEFER), DO(SILENT, 1, 0),
        WORK_FAILS(-XEN_EIO, UNMAP(BARS), PROBE_ALL, RELEASE),
        DO(STATE, FENCED, 0), DO(SILENT, 0, 0), DO(FLR, 0, 0),
        DO(RESET, 0, 0, CLEAR, PROBE_ALL), IS_NEW } },
    { "misplaced-bar-is-not-mapped-and-moves", HARDWARE, .beats = {
        TURN(OFF), WORKS(UNMAP(BARS)), DO(MISPLACE, 0x04, 0), TURN(ON),
        WORKS(MAP(BARS)), DO(MISPLACE, 0, 0),
        DO(WRITE, BAR(2), 0xaabb1000, DWORD(BAR(2), 0xaabb1000)),
        DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(0x41), PROBE, MAP(BARS)),
        IS_NEW } },

    { "rom-is-mapped-by-its-enable-bit", HARDWARE, .beats = {
        DO(WRITE, ROM, 0xfc000000, DWORD_MORE(ROM, 0xfc000000), DEFER),
        WORKS(UNMAP(0x40)), IS_NEW,
        DO(WRITE, ROM, 0xab000000, DWORD(ROM, 0xab000000)),
        DO(WRITE, ROM, 0xabcd0001, DWORD_MORE(ROM, 0xabcd0001), DEFER),
        WORKS(MAP(0x40)), IS_NEW } },
    { "rom-that-cannot-be-mapped-is-disabled", HARDWARE, .beats = {
        DO(WRITE, ROM, 0xfc000000, DWORD_MORE(ROM, 0xfc000000), DEFER),
        WORKS(UNMAP(0x40)),
        DO(WRITE, ROM, 0xfc000001, DWORD_MORE(ROM, 0xfc000001), DEFER),
        FAULT(0, -XEN_ENOMEM),
        WORKS(MAP(0x40), DWORD_MORE(ROM, 0xfc000000), DEFER),
        WORKS(UNMAP(0x40)), IS_NEW } },
    { "rom-disabled-and-moved-at-once-is-unmapped-where-it-was", HARDWARE,
      .beats = {
        DO(WRITE, ROM, 0xab0007fe, DWORD_MORE(ROM, 0xfc000000), RETRY),
        WORKS(UNMAP(0x40)), IS_NEW,
        DO(WRITE, ROM, 0xab0007fe, DWORD(ROM, 0xab000000)), IS_NEW } },
    { "rom-that-cannot-be-unmapped-is-made-up-for-first", HARDWARE, .beats = {
        DO(WRITE, ROM, 0xfc000000, DWORD_MORE(ROM, 0xfc000000), DEFER),
        FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(0x40)),
        DO(WRITE, ROM, 0xfc000001, DWORD_MORE(ROM, 0xfc000000), DEFER),
        WORKS(UNMAP(0x40)), IS_NEW } },
    { "rom-of-a-bridge-is-mapped-by-its-enable-bit", &bridge, DOM0, .beats = {
        DO(WRITE, BRIDGE_ROM, 0xfa000000, DWORD_MORE(BRIDGE_ROM, 0xfa000000),
           DEFER), WORKS(UNMAP(0x04)), IS_NEW, DO(WRITE, BAR(2), UINT32_MAX),
        DO(WRITE, ROM, UINT32_MAX) } },

    { "bar-write-finds-a-reset-and-is-made-again", VECTORS, .beats = {
        DO(FLR, 0, 0), DO(WRITE, BAR(0), 0xfe000000, PEEK, RELEASE, RETRY),
        DO(WRITE, COMMAND, ON, RETRY), WORKS(UNMAP(BARS), PROBE_ALL), IS_NEW,
        DO(WRITE, BAR(0), 0xfe000000, DWORD(BAR(0), 0xfe00000c)), IS_NEW,
        DO(WRITE, BAR(2), 0xfd000000, DWORD(BAR(2), 0xfd000000)), TURN(ON),
        WORKS(MAP(0x05)), IS_NEW } },
    { "rom-write-finds-a-reset-and-is-made-again", HARDWARE, .beats = {
        DO(FLR, 0, 0), DO(WRITE, ROM, 0xfc000001, PEEK, CLEAR, RETRY),
        WORKS(UNMAP(BARS), PROBE_ALL), IS_NEW,
        DO(WRITE, ROM, 0xfc000001, DWORD(ROM, 0xfc000001)), IS_NEW } },
    { "reset-found-by-a-write-may-fail-to-unmap", HARDWARE, .beats = {
        DO(FLR, 0, 0), DO(WRITE, BAR(0), 0xfe000000, PEEK, CLEAR, RETRY),
        FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(BARS)),
        DO(WRITE, BAR(0), 0xfe000000, DEFER),
        WORKS(UNMAP(BARS), PROBE_ALL), IS_NEW } },
    { "reset-found-by-a-write-fences-another-device", HARDWARE, .beats = {
        DO(FLR, 0, 0), DO(SET, BAR(2), 0x4),
        DO(WRITE, BAR(0), 0xfe000000, PEEK, CLEAR, RETRY),
        WORK_FAILS(-XEN_EOPNOTSUPP, UNMAP(BARS), PROBE_ALL, CLEAR),
        DO(STATE, FENCED, 0), DO(SET, BAR(2), 0),
        DO(RESET, 3, 0, CLEAR, PROBE), IS_NEW } },
    { "reset-found-by-a-write-fences-what-cannot-be-read", HARDWARE,
      .beats = {
        DO(FLR, 0, 0), DO(WRITE, BAR(0), 0xfe000000, PEEK, CLEAR, RETRY),
        FAULT(1, -XEN_EPERM),
        WORK_FAILS(-XEN_EIO, UNMAP(BARS), PROBE_ALL, CLEAR),
        DO(STATE, FENCED, 0), DO(RESET, 3, 0, CLEAR, PROBE), IS_NEW } },

    { "reset-releases-and-unmaps", VECTORS, .beats = {
        DO(FLR, 0, 0),
        DO(RESET, 0, 0, RELEASE, PROBE_ALL, UNMAP(BARS), PROBE_ALL), IS_NEW,
        DO(RESET, 1, 0, CLEAR, PROBE_ALL), DO(RESET, 2, 0, CLEAR, PROBE_ALL),
        DO(RESET, 3, 0, CLEAR, PROBE), IS_NEW,
        DO(WRITE, BAR(1), 0x56, DWORD(BAR(1), 0x56)), IS_NEW } },
    { "reset-leaves-mapped-what-is-where-it-was", VECTORS, .beats = {
        DO(RESET, 0, 0, RELEASE, PROBE_ALL), IS_NEW } },
    { "reset-of-a-device-that-moved-maps-it-there", HARDWARE, .beats = {
        DO(SET, BAR(0), 0xe000000c), DO(SET, BAR(1), 0x34),
        DO(SET, ROM, 0xc0000000), DO(SET, COMMAND, 0x00100006),
        DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(BARS), PROBE, MAP(0x05)),
        IS_NEW } },
    { "reset-of-a-bridge-finds-its-rom", &bridge, DOM0, .beats = {
        DO(SET, BRIDGE_ROM, 0xf9000001),
        DO(RESET, 0, 0, PROBE_ALL, UNMAP(0x05), PROBE_ALL, MAP(0x05)),
        IS_NEW } },
    { "reset-cancels-a-map", HARDWARE, .beats = {
        TURN(OFF), WORKS(UNMAP(BARS)), TURN(ON),
        DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(BARS), PROBE, MAP(BARS)), WORKS(),
        IS_NEW } },
    { "reset-cancels-an-unmap", HARDWARE, .beats = {
        TURN(OFF), DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(BARS), PROBE), WORKS(),
        IS_NEW } },
    { "reset-makes-up-for-a-failed-unmap", HARDWARE, .beats = {
        TURN(OFF), FAULT(0, -XEN_ENOMEM), WORK_FAILS(-XEN_ENOMEM, UNMAP(BARS)),
        DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(BARS), PROBE), IS_NEW } },
    { "reset-that-cannot-map-turns-decode-off", HARDWARE, .beats = {
        DO(SET, BAR(2), 0xe0000000), FAULT(4, -XEN_ECONNREFUSED),
        FAIL(RESET, 3, 0, -XEN_ECONNREFUSED, CLEAR, PROBE, UNMAP(BARS), PROBE,
             MAP(BARS), WORD_MORE(COMMAND, OFF), UNMAP(BARS)),
        DO(READ, COMMAND, OFF), IS_NEW, DO(SET, COMMAND, 0x00100407),
        FAULT(2, -XEN_EPERM),
        FAIL(RESET, 3, 0, -XEN_EPERM, CLEAR, PROBE, MAP(BARS),
             WORD_MORE(COMMAND, OFF), UNMAP(BARS)), IS_NEW } },
    { "reset-with-unknown-flags-is-EINVAL", HARDWARE, .beats = {
        FAIL(RESET, 4, 0, -XEN_EINVAL), FAIL(RESET, 0x100, 0, -XEN_EINVAL),
        FAIL(RESET, UINT32_MAX, 0, -XEN_EINVAL), IS_NEW } },
    { "silent-device-is-fenced-until-it-is-back", VECTORS, .beats = {
        DO(SILENT, 1, 0),
        FAIL(RESET, 0, 0, -XEN_EIO, RELEASE, PROBE_ALL, UNMAP(BARS)),
        DO(STATE, FENCED, 0), DO(WRITE, COMMAND, OFF), DO(ENTRY, 0x0c, 0),
        FAIL(RESET, 3, 0, -XEN_EIO, CLEAR, PROBE), DO(SILENT, 0, 0),
        DO(STATE, FENCED, 0), DO(FLR, 0, 0), DO(RESET, 0, 0, CLEAR, PROBE_ALL),
        DO(STATE, IN_USE, 0), IS_NEW } },
    { "device-that-goes-silent-in-the-reset-is-fenced", HARDWARE, .beats = {
        DO(SILENT, 1, 0), FAULT(2, -XEN_ENOMEM),
        FAIL(RESET, 3, 0, -XEN_ENOMEM, CLEAR, PROBE, UNMAP(BARS)),
        DO(STATE, FENCED, 0),
        FAIL(RESET, 3, 0, -XEN_EIO, CLEAR, PROBE, UNMAP(BARS)),
        DO(SILENT, 0, 0), DO(RESET, 3, 0, CLEAR, PROBE, MAP(BARS)), IS_NEW } },
    { "device-that-answers-its-id-only-is-fenced", HARDWARE, .beats = {
        DO(SET, COMMAND, UINT32_MAX),
        FAIL(RESET, 3, 0, -XEN_EIO, CLEAR, PROBE, UNMAP(BARS)),
        DO(STATE, FENCED, 0) } },
    { "device-without-a-vendor-is-fenced", HARDWARE, .beats = {
        DO(SET, 0, ID | 0xffff),
        FAIL(RESET, 3, 0, -XEN_EIO, CLEAR, PROBE, UNMAP(BARS)),
        DO(STATE, FENCED, 0) } },
    { "device-may-become-multi-function", HARDWARE, .beats = {
        DO(SET, 0x0c, 0x00800000), DO(RESET, 0, 0, CLEAR, PROBE_ALL),
        DO(STATE, IN_USE, 0) } },
    { "reset-does-not-map-bars-that-xen-ignores", &ignored, DOM0, .beats = {
        DO(RESET, 0, 0, PROBE_ALL), IS_NEW,
        DO(WRITE, COMMAND, 5, WORD(COMMAND, 5)), DO(WRITE, BAR(0), 0) } },

    { "detach-gives-all-back-and-asks-nothing-of-the-device", VECTORS,
      .beats = {
        DO(SILENT, 1, 0), DO(DETACH, 0, 0, RELEASE, UNMAP(BARS)),
        DO(STATE, AT_REST, 0), DO(WRITE, COMMAND, OFF), DO(DETACH, 0, 0),
        DO(SILENT, 0, 0),
        DO(ATTACH, DOM0, 0, CLEAR, PROBE_ALL, DEFER_MORE), WORKS(MAP(BARS)),
        IS_NEW } },
    { "detach-cancels-what-is-in-flight", HARDWARE, .beats = {
        TURN(OFF), DO(DETACH, 0, 0, CLEAR, UNMAP(BARS)), WORKS(),
        DO(STATE, AT_REST, 0) } },
    { "detach-that-fails-is-made-again", HARDWARE, .beats = {
        FAULT(1, -XEN_ENOMEM),
        FAIL(DETACH, 0, 0, -XEN_ENOMEM, CLEAR, UNMAP(BARS)),
        DO(STATE, IN_USE, 0), FAIL(ATTACH, DOM0, 0, -XEN_EINVAL),
        DO(DETACH, 0, 0, CLEAR, UNMAP(BARS)) } },
    { "who-waits-for-a-reset-goes-on-with-it", HARDWARE, .beats = {
        DO(SET, BAR(2), 0xd0000000), FAULT(4, -XEN_ERESTART),
        FAIL(RESET, 3, 0, -XEN_ERESTART, CLEAR, PROBE, UNMAP(BARS), PROBE,
             MAP(BARS)), EVERY_WRITE_WAITS, FAULT(0, -XEN_ERESTART),
        WORK_FAILS(-XEN_ERESTART, MAP(BARS)), DO(STATE, BUSY, 0),
        WORKS(MAP(BARS)), DO(LATE, 0, 0), IS_NEW,
        /* Whose reset it was does not know. */
        DO(RESET, 3, 0, CLEAR, PROBE), IS_NEW } },
    { "who-waits-for-a-reset-may-find-the-device-gone", HARDWARE, .beats = {
        DO(SILENT, 1, 0), FAULT(1, -XEN_ERESTART),
        FAIL(RESET, 0, 0, -XEN_ERESTART, CLEAR, PROBE_ALL), EVERY_WRITE_WAITS,
        WORK_FAILS(-XEN_EIO, PROBE_ALL, UNMAP(BARS)), DO(STATE, FENCED, 0),
        DO(LATE, 0, 0), DO(WRITE, BAR(0), 0xaabb4000) } },
    { "who-waits-for-a-detach-goes-on-with-it", VECTORS, .beats = {
        FAULT(1, -XEN_ERESTART),
        FAIL(DETACH, 0, 0, -XEN_ERESTART, DISABLE, ENTRY_DISABLE(0)),
        EVERY_WRITE_WAITS,
        WORKS(ENTRY_DISABLE(0), ENTRY_DISABLE(2), CLEAR, UNMAP(BARS)),
        DO(STATE, AT_REST, 0), DO(LATE, 0, 0), DO(DETACH, 0, 0),
        DO(WRITE, BAR(0), 0xaabb4000) } },
    { "fenced-device-is-detached", HARDWARE, .beats = {
        DO(SILENT, 1, 0),
        FAIL(RESET, 3, 0, -XEN_EIO, CLEAR, PROBE, UNMAP(BARS)),
        DO(DETACH, 0, 0, CLEAR), DO(STATE, AT_REST, 0) } },

    { "msi-message-is-the-records", HARDWARE, .beats = {
        DO(READ, MSI_CONTROL, 0x184), DO(WRITE, MSI_LOW, 0xfee01000),
        DO(WRITE, MSI_HIGH, 5), DO(WRITE, MSI_DATA, 0xffff4041),
        DO(WRITE, MSI_MASK, 0xff), DO(READ, MSI_LOW, 0xfee01000),
        DO(READ, MSI_HIGH, 5), DO(READ, MSI_DATA, 0x4041),
        DO(READ, MSI_MASK, 0xff), DO(WRITE, MSI_CONTROL, 0x10),
        DO(READ, MSI_CONTROL, 0x194) } },
    { "msi-is-enabled-changed-and-disabled", HARDWARE, .beats = {
        /* More than it has. */
        DO(WRITE, MSI_CONTROL, 0x71, ENABLE(4), WORD(MSI_CONTROL, 0x1a5)),
        DO(WRITE, MSI_CONTROL, 0x21), DO(WRITE, MSI_LOW, 4, UPDATE),
        DO(WRITE, MSI_HIGH, 4, UPDATE), DO(WRITE, MSI_DATA, 4, UPDATE),
        DO(WRITE, MSI_MASK, 0xf5, MASK(0x5, 0xf5)), DO(WRITE, MSI_MASK, 0x05),
        DO(WRITE, MSI_CONTROL, 0x11, DISABLE, ENABLE(2),
           WORD(MSI_CONTROL, 0x195)),
        DO(WRITE, MSI_MASK, 0x0e, MASK(0x3, 0x0e)), FAULT(1, -XEN_ENOSPC),
        DO(WRITE, MSI_CONTROL, 0x21, DISABLE, ENABLE(4),
           WORD(MSI_CONTROL, 0x194)),
        DO(WRITE, MSI_CONTROL, 0x01, ENABLE(1), WORD(MSI_CONTROL, 0x185)),
        DO(WRITE, MSI_CONTROL, 0x20, DISABLE, WORD(MSI_CONTROL, 0x1a4)),
        FAULT(0, -XEN_ENOSPC),
        FAIL(WRITE, MSI_CONTROL, 0x01, -XEN_ENOSPC, ENABLE(1)),
        DO(READ, MSI_CONTROL, 0x1a4) } },
    { "msix-is-enabled-masked-and-disabled", HARDWARE, .beats = {
        DO(READ, MSIX_CONTROL, 0x2), DO(ENTRY_8, 0x00, 0xfee02000),
        DO(ENTRY, 0x0c, 0xfe), DO(ENTRY, 0x18, 7),
        DO(WRITE, MSIX_CONTROL, 0xc000, CONTROL(0xc002)), DO(ENTRY, 0x1c, 0),
        DO(WRITE, MSIX_CONTROL, 0x8000, ENTRY_UPDATE(0), ENTRY_UPDATE(1),
           CONTROL(0x8002)), DO(ENTRY, 0x1c, 1, ENTRY_MASK(1, 1)),
        DO(ENTRY, 0x1c, 0, ENTRY_MASK(1, 0)), DO(ENTRY, 0x14, 0),
        DO(ENTRY, 0x1c, 1, ENTRY_MASK(1, 1)),
        DO(ENTRY, 0x1c, 0, ENTRY_UPDATE(1)),
        DO(ENTRY, 0x1c, 1, ENTRY_MASK(1, 1)),
        DO(ENTRY, 0x1c, 0, ENTRY_MASK(1, 0)),
        /* Data and mask bit at once. */
        DO(ENTRY_8, 0x18, 9, ENTRY_MASK(1, 1)),
        DO(WRITE, MSIX_CONTROL, 0, ENTRY_DISABLE(0), ENTRY_DISABLE(1),
           CONTROL(0x0002)),
        DO(WRITE, MSIX_CONTROL, 0x8000, ENTRY_UPDATE(0), CONTROL(0x8002)),
        DO(READ, MSIX_CONTROL, 0x8002) } },
    { "msix-entry-that-fails-is-tried-at-its-next-unmask", HARDWARE, .beats = {
        DO(ENTRY, 0x00, 0), DO(ENTRY, 0x0c, 0), FAULT(0, -XEN_ENOSPC),
        DO(WRITE, MSIX_CONTROL, 0x8000, ENTRY_UPDATE(0), CONTROL(0x8002)),
        DO(ENTRY, 0x0c, 1), FAULT(0, -XEN_ENOSPC),
        FAIL(ENTRY, 0x0c, 0, -XEN_ENOSPC, ENTRY_UPDATE(0)), DO(ENTRY, 0x0c, 1),
        DO(ENTRY, 0x0c, 0, ENTRY_UPDATE(0)), FAULT(0, -XEN_EPERM),
        FAIL(WRITE, MSIX_CONTROL, 0, -XEN_EPERM, ENTRY_DISABLE(0)),
        DO(READ, MSIX_CONTROL, 0x8002) } },
    { "msix-entries-that-there-are-not-are-not-written", HARDWARE, .beats = {
        DO(ENTRY, 0x30, 1), DO(ENTRY, 0xffff0, 1), DO(ENTRY, 0x01, 1),
        DO(ENTRY, 0x0f, 1), IS_NEW } },
    { "msix-table-that-is-not-handed-over-is-left-alone", HARDWARE,
      .no_table = true, .beats = {
        DO(ENTRY, 0x0c, 0),
        DO(WRITE, MSIX_CONTROL, 0x8000, CONTROL(0x8002)),
        DO(RESET, 0, 0, CLEAR, PROBE_ALL),
        DO(WRITE, MSIX_CONTROL, 0x8000, CONTROL(0x8002)),
        DO(WRITE, MSIX_CONTROL, 0, CONTROL(0x0002)), IS_NEW,
        DO(DETACH, 0, 0, CLEAR, UNMAP(BARS)) } },
    { "hidden-device-gets-no-interrupts", HARDWARE, .beats = {
        DO(HIDE, 0, 0), FAIL(WRITE, MSI_CONTROL, 1, -XEN_EOPNOTSUPP),
        FAIL(WRITE, MSIX_CONTROL, 0x8000, -XEN_EOPNOTSUPP), TURN(OFF),
        WORKS(UNMAP(BARS)), DO(RESET, 0, 0, CLEAR, PROBE_ALL),
        DO(DETACH, 0, 0, CLEAR), DO(HIDE, 0, 0), DO(STATE, AT_REST, 0),
        DO(ATTACH, XPT_OWNER_HIDDEN, 0, CLEAR, PROBE_ALL),
        FAIL(WRITE, MSI_CONTROL, 1, -XEN_EOPNOTSUPP) } },
    { "guest-has-addresses-of-its-own", RESTING, .beats = {
        DO(ATTACH, DOMU, 0, CLEAR, PROBE_ALL, WORD(COMMAND, 0x400)),
        DO(READ, COMMAND, 0x400), DO(WRITE, BAR(0), UINT32_MAX),
        DO(WRITE, BAR(1), UINT32_MAX), DO(READ, BAR(0), 0xffffc00c),
        DO(READ, BAR(1), UINT32_MAX), DO(READ, BAR(3), 0), DO(READ, ROM, 0),
        DO(WRITE, BAR(0), 0x40000000), DO(WRITE, BAR(1), 0),
        DO(READ, BAR(0), 0x4000000c),
        DO(WRITE, COMMAND, 0x6, WORD_MORE(COMMAND, 0x6), DEFER),
        WORKS(MAP(0x05)), DO(WRITE, BAR(0), 0x50000000),
        DO(SET, ROM, 0xfc000000),
        DO(RESET, 3, 0, CLEAR, PROBE, UNMAP(0x05), PROBE, WORD(COMMAND, 0)),
        DO(NEW, DOMU, 0) } },
    { "guest-has-no-intx-beside-msi", RESTING, .beats = {
        DO(FLR, 0, 0), DO(ATTACH, DOMU, 0, CLEAR, PROBE_ALL, WORD(COMMAND, 0)),
        DO(WRITE, MSI_CONTROL, 1, ENABLE(1), INTX, WORD(MSI_CONTROL, 0x185)),
        DO(READ, COMMAND, 0x400),
        DO(WRITE, COMMAND, 0x4, WORD(COMMAND, 0x404)),
        DO(WRITE, MSI_CONTROL, 0, DISABLE, WORD(MSI_CONTROL, 0x184)),
        DO(WRITE, COMMAND, 0x4, WORD(COMMAND, 0x4)),
        DO(WRITE, MSIX_CONTROL, 0x8000, INTX, CONTROL(0x8002)),
        DO(READ, COMMAND, 0x404) } },
};

static const char *told(const struct story *story)
{
    struct fake *fake = story->vectors ? plug_busy(story->model)
                                    : plug(story->model, story->owner);
    struct xpt_msix_entry *entries = fake->entries;

    TRY(fake->why);
    if ( story->no_table )
        fake->entries = NULL;
    TRY(play_all(fake, story->beats, ARRAY_SIZE(story->beats)));
    fake->entries = entries;
    unplug(fake);

    return NULL;
}

/* Each step of a reset in turn: fails, or is preempted. */

static const struct step whole_reset[] = {
    RELEASE, PROBE_ALL, UNMAP(BARS), PROBE_ALL, MAP(BARS),
};

static struct fake *plug_moved(void)
{
    struct fake *fake = plug_busy(&normal);

    fake->conf[6] = 0xd0000000;

    return fake;
}

static const char *reset_fails(void)
{
    /* What follows when a step fails. */
    static const struct step follows[ARRAY_SIZE(whole_reset)][2] = {
        [4] = { UNMAP(BARS) },
        [7] = { WORD_MORE(COMMAND, OFF), UNMAP(BARS) },
    };
    static const int rcs[] = { -XEN_ENOMEM, -XEN_ECONNREFUSED, -4095, INT_MIN };

    for ( unsigned int at = 0; at < ARRAY_SIZE(whole_reset); at++ )
        for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
        {
            /* A device that cannot be read does not answer. */
            bool lost = whole_reset[at].kind == XPT_VPCI_PROBE;
            int want = lost || rcs[i] < -4000 ? -XEN_EIO : rcs[i];
            struct step steps[ARRAY_SIZE(whole_reset) + 2];
            unsigned int nr = at + 1;
            struct xpt_vpci_action act;
            struct fake *fake;
            int rc;

            /* Whose outcome does not matter. */
            if ( whole_reset[at].kind == XPT_VPCI_MSIX_CLEAR )
                continue;
            fake = plug_moved();

            memcpy(steps, whole_reset, sizeof(whole_reset));
            for ( unsigned int j = 0; j < 2 && follows[at][j].kind; j++ )
                steps[nr++] = follows[at][j];
            fake->nr_log = 0;
            fake->fault_at = at;
            fake->fault_rc = rcs[i];
            xpt_device_reset(fake->dev, fake->entries, 0, &act);
            rc = converse(fake, &act, true);
            TRY(fake->why);
            REQUIRE(rc == want, "%d instead of %d of step %u", rc, want, at);
            TRY(same_steps(fake, steps, nr));
            TRY(same_p2m(fake));
            REQUIRE(state(fake->dev) == (lost ? FENCED : IN_USE), "step %u",
                    at);

            xpt_device_reset(fake->dev, fake->entries, 0, &act);
            rc = converse(fake, &act, true);
            TRY(fake->why);
            REQUIRE(!rc, "%d of the next reset", rc);
            TRY(same_p2m(fake));
            TRY(as_new(fake, DOM0));
            unplug(fake);
        }

    return NULL;
}

static const char *reset_preempted(void)
{
    enum { AGAIN, RESUMED, REMOVED, NR_ENDS };

    for ( unsigned int at = 0; at < ARRAY_SIZE(whole_reset); at++ )
        for ( unsigned int end = 0; end < NR_ENDS; end++ )
        {
            struct xpt_vpci_action act;
            struct xpt_device before;
            struct fake *fake = plug_moved();

            TRY(PLAY(fake, DO(WRITE, MSI_MASK, 0, MASK(0x8, 0))));
            for ( unsigned int times = 0; times < 2; times++ )
            {
                fake->fault_at = times ? 0 : at;
                fake->fault_rc = -XEN_ERESTART;
                fake->nr_log = 0;
                fake->preempted = false;
                xpt_device_reset(fake->dev, fake->entries, times, &act);
                REQUIRE(converse(fake, &act, true) == -XEN_ERESTART &&
                        !fake->why, "step %u", at);
                TRY(same_steps(fake, whole_reset + (times ? at : 0),
                               times ? 1 : at + 1));
            }

            /* Meanwhile nothing else goes. */
            before = *fake->dev;
            TRY(PLAY(fake, DO(STATE, BUSY, 0), DO(WRITE, COMMAND, OFF, RETRY),
                     DO(WRITE, MSI_CONTROL, 0, RETRY), DO(PASSES, ON, 0),
                     DO(ENTRY, 0x0c, 1, RETRY), DO(READ, COMMAND, ON)));
            xpt_device_work(fake->dev, fake->epoch, &act);
            REQUIRE(act.kind == XPT_VPCI_RETRY && act.last == 1, "%d, %d",
                    act.kind, act.last);
            xpt_device_reset(fake->dev, fake->entries, 4, &act);
            REQUIRE(act.kind == XPT_VPCI_DONE && act.rc == -XEN_EINVAL &&
                    act.last == 1, "%d, %d", act.kind, act.rc);
            for ( unsigned int times = 0; times < 2; times++ )
            {
                const struct step *step = &whole_reset[at];

                memset(&act, 0xa5, sizeof(act));
                xpt_device_resume(fake->dev, &act);
                REQUIRE(act.kind == step->kind && act.index == step->index &&
                        act.value == step->value && !act.rc && !act.size &&
                        !act.last, "step %u is %d, %#x, %#x", at, act.kind,
                        act.index, act.value);
            }
            REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");

            fake->nr_log = 0;
            fake->pending = fake->preempted = false;
            if ( end == REMOVED )
                xpt_device_detach(fake->dev, fake->entries, &act);
            else if ( end == RESUMED )
                xpt_device_resume(fake->dev, &act);
            else
                xpt_device_reset(fake->dev, fake->entries, 3, &act);
            REQUIRE(!converse(fake, &act, true) && !fake->why, "step %u", at);
            TRY(same_p2m(fake));
            if ( end == REMOVED )
            {
                REQUIRE(!fake->nr_p2m, "%u", fake->nr_p2m);
                xpt_device_attach(fake->dev, DOM0, &act);
                REQUIRE(!converse(fake, &act, false) && !fake->why, "attach");
                TRY(PLAY(fake, WORKS(MAP(BARS))));
            }
            else
                TRY(same_steps(fake, whole_reset + at,
                               ARRAY_SIZE(whole_reset) - at));
            TRY(as_new(fake, DOM0));
            unplug(fake);
        }

    return NULL;
}

/* Devices that come back as another. */
static const char *another(void)
{
    static const struct
    {
        unsigned int reg;
        uint32_t value;
        /* Looked at after a function level reset too. */
        bool flr;
        uint8_t msi_pos, msix_pos;
    } rows[] = {
        { 0x0c, 0x00010000, true, MSI, MSIX },      /* a bridge */
        { 0x0c, 0x00020000, true, MSI, MSIX },      /* a CardBus bridge */
        { 0x0c, 0x007f0000, true, MSI, MSIX },      /* something else */
        { BAR(0), 0xfe000000, true, MSI, MSIX },    /* 32 bits */
        { BAR(0), 0xfe000006, true, MSI, MSIX },    /* a reserved type */
        { BAR(0), 0x0000c001, true, MSI, MSIX },    /* I/O ports */
        { BAR(2), 0xfd000004, true, MSI, MSIX },    /* 64 bits */
        { BAR(2), 0x0000c001, true, MSI, MSIX },    /* I/O ports */
        { MSI, 0x01047005, false, MSI, MSIX },      /* 32-bit MSI */
        { MSI, 0x00847005, false, MSI, MSIX },      /* MSI without mask bits */
        { MSIX, 0x00030011, false, MSI, MSIX },     /* more entries */
        { MSIX + 4, 0x1000, false, MSI, MSIX },     /* the table is elsewhere */
        { MSIX + 8, 0x0800, false, MSI, MSIX },     /* the pending bits are */
        { 0x80, 0x01840005, false, 0x80, MSIX },    /* MSI is elsewhere */
        { 0x84, 0, false, 0, MSIX },                /* there is none */
        { MSIX, 0x00020011, false, MSI, 0 },        /* no MSI-X */
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
        for ( uint32_t flags = 0; flags < 4; flags++ )
        {
            struct fake *fake = plug(&normal, DOM0);
            bool fenced = flags != 3 || rows[i].flr;
            struct beat reset = FAIL(RESET, flags, 0, -XEN_EOPNOTSUPP, CLEAR,
                                     PROBE_ALL, UNMAP(BARS));

            if ( flags == 3 )
                reset.steps[1] = (struct step)PROBE;
            if ( !fenced )
            {
                reset.rc = 0;
                reset.steps[2].kind = 0;
            }
            fake->conf[rows[i].reg / 4] = rows[i].value;
            fake->msi_pos = rows[i].msi_pos;
            fake->msix_pos = rows[i].msix_pos;
            TRY(play_all(fake, &reset, 1));
            REQUIRE(state(fake->dev) == (fenced ? FENCED : IN_USE),
                    "row %zu, flags %u", i, flags);

            memcpy(fake->conf, normal.conf, sizeof(fake->conf));
            fake->msi_pos = MSI;
            fake->msix_pos = MSIX;
            if ( fenced )
                TRY(PLAY(fake, DO(RESET, 3, 0, CLEAR, PROBE, MAP(BARS))));
            TRY(as_new(fake, DOM0));
            unplug(fake);
        }

    return NULL;
}

static const char *largest_table(void)
{
    struct fake model = normal, *fake;
    struct xpt_vpci_action act;

    model.conf[MSIX / 4] = 0x07ff0011;
    model.conf[MSIX / 4 + 1] = 0;
    model.writable[4] = 0xffff8000;
    fake = plug(&model, DOM0);
    REQUIRE(fake->nr_entries == MAX_ENTRIES, "%u", fake->nr_entries);
    for ( unsigned int i = 0; i < MAX_ENTRIES; i++ )
        fake->entries[i].arch.pirq = i;
    fake->nr_log = 0;
    xpt_device_reset(fake->dev, fake->entries, 0, &act);
    REQUIRE(!converse(fake, &act, true) && !fake->why, "%d", act.rc);
    REQUIRE(fake->nr_log == MAX_ENTRIES + 2, "%u", fake->nr_log);
    for ( unsigned int i = 0; i < MAX_ENTRIES; i++ )
        REQUIRE(fake->log[i].kind == XPT_VPCI_MSIX_DISABLE &&
                fake->log[i].index == i, "%u", i);
    TRY(as_new(fake, DOM0));
    unplug(fake);

    return NULL;
}

/* Records as they are made. */

static const char *record(void)
{
    static const struct
    {
        uint8_t kind, order, prefetchable;
    } want[XPT_NR_BARS] = {
        { XPT_BAR_KIND_MEM64_LO, 14, 1 }, { XPT_BAR_KIND_MEM64_HI, 0, 0 },
        { XPT_BAR_KIND_MEM32, 12, 0 }, { XPT_BAR_KIND_IO, 0, 0 },
        { XPT_BAR_KIND_EMPTY, 0, 0 }, { XPT_BAR_KIND_EMPTY, 0, 0 },
        { XPT_BAR_KIND_ROM, 15, 0 },
    };
    struct fake *fake = plug(&normal, 0);
    const struct xpt_device *dev = fake->dev;

    for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
        REQUIRE(dev->bars[i].kind == want[i].kind &&
                dev->bars[i].order == want[i].order &&
                dev->bars[i].prefetchable == want[i].prefetchable &&
                !dev->bars[i].mapped, "BAR %u", i);
    REQUIRE(dev->msi.pos == MSI && dev->msi.max_vectors == 4 &&
            dev->msi.vectors == 1 && dev->msi.masking && dev->msi.address64 &&
            !dev->msi.enabled && dev->msi.arch.pirq == XPT_INVALID_PIRQ &&
            !dev->msi.arch.bound, "MSI");
    REQUIRE(dev->msix.pos == MSIX && dev->msix.entries == 3 &&
            dev->msix.tables[0] == 0x2000 && dev->msix.tables[1] == 0x802 &&
            !dev->msix.enabled && !dev->msix.masked, "MSI-X");
    unplug(fake);

    return NULL;
}

/* What vmsi.c finds in the record and in the table. */
static const char *vmsi_members(void)
{
    struct fake *fake = plug_busy(&normal);
    const struct xpt_msi *msi = &fake->dev->msi;

    TRY(fake->why);
    REQUIRE(msi->address == 0xfee01000 && msi->data == 0x4041 &&
            msi->mask == 0x8 && msi->vectors == 4 && msi->enabled == 1, "MSI");
    REQUIRE(fake->entries[2].addr == 0x1fee04000 && !fake->entries[2].masked &&
            !fake->entries[2].updated && fake->entries[1].masked == 1 &&
            fake->entries[1].updated == 1, "MSI-X");
    TRY(PLAY(fake, DO(ENTRY, 0x18, 0xabcdef01)));
    REQUIRE(fake->entries[1].data == 0xabcdef01, "%#x", fake->entries[1].data);
    unplug(fake);

    return NULL;
}

static const char *hostile_records(void)
{
    static const struct
    {
        unsigned int word;
        uint32_t conf, writable;
        int rc;
        uint8_t kind;       /* of slot 2 */
        uint16_t entries;
    } rows[] = {
        { 3, 0x00020000, 0, -XEN_EOPNOTSUPP, 0, 0 },
        { 3, 0x00ff0000, 0, -XEN_EOPNOTSUPP, 0, 0 },
        { 6, 0xfd000000, 0xfffff001, 0, XPT_BAR_KIND_EMPTY, 0 },
        { 6, 0xfd000000, 0x00fff000, 0, XPT_BAR_KIND_EMPTY, 0 },
        { 6, 0xfd000006, 0xfffff000, 0, XPT_BAR_KIND_MEM32, 3 },
        { 29, 0x3fe0, 0, 0, XPT_BAR_KIND_MEM32, 0 },
        { 29, 0x3fd0, 0, 0, XPT_BAR_KIND_MEM32, 3 },
        { 29, 0xfffffff8, 0, 0, XPT_BAR_KIND_MEM32, 0 },
        { 30, 0x0ff8 | 2, 0, 0, XPT_BAR_KIND_MEM32, 3 },
        { 30, 0x1000 | 2, 0, 0, XPT_BAR_KIND_MEM32, 0 },
        { 30, 1, 0, 0, XPT_BAR_KIND_MEM32, 0 },     /* an upper half */
        { 30, 3, 0, 0, XPT_BAR_KIND_MEM32, 0 },     /* I/O ports */
        { 30, 4, 0, 0, XPT_BAR_KIND_MEM32, 0 },     /* an empty slot */
        { 30, 6, 0, 0, XPT_BAR_KIND_MEM32, 0 },     /* the ROM */
        { 30, 7, 0, 0, XPT_BAR_KIND_MEM32, 0 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct xpt_device dev, before;
        struct fake fake = normal;
        int rc;

        memset(&dev, 0xa5, sizeof(dev));
        before = dev;
        fake.dev = &dev;
        fake.conf[rows[i].word] = rows[i].conf;
        if ( rows[i].writable )
            fake.writable[rows[i].word] = rows[i].writable;
        rc = make(&fake);
        REQUIRE(rc == rows[i].rc, "%d for row %zu", rc, i);
        if ( rc )
            REQUIRE(!memcmp(&dev, &before, sizeof(dev)), "row %zu", i);
        else
            REQUIRE(dev.bars[2].kind == rows[i].kind &&
                    dev.msix.entries == rows[i].entries &&
                    dev.msix.pos == MSIX, "row %zu: %u, %u", i,
                    dev.bars[2].kind, dev.msix.entries);
    }

    return NULL;
}

static const char *msi_vectors(void)
{
    static const uint8_t rows[][2] = {
        { 0, 1 }, { 1, 1 }, { 32, 32 }, { 33, 32 }, { 255, 32 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct xpt_device dev;
        struct fake fake = normal;

        fake.dev = &dev;
        fake.msi_vectors = rows[i][0];
        REQUIRE(!make(&fake) && dev.msi.max_vectors == rows[i][1], "%u",
                dev.msi.max_vectors);
    }

    return NULL;
}

static const char *fresh_entries(void)
{
    struct xpt_msix_entry *entries = guarded(3 * sizeof(*entries));
    struct xpt_msix_entry untouched;

    memset(entries, 0xa5, 3 * sizeof(*entries));
    untouched = *entries;
    xpt_msix_init(entries, 0);
    REQUIRE(!memcmp(entries, &untouched, sizeof(untouched)), "none");
    xpt_msix_init(entries + 1, 2);
    REQUIRE(!memcmp(entries, &untouched, sizeof(untouched)), "two");
    for ( unsigned int i = 1; i < 3; i++ )
        REQUIRE(is_fresh(&entries[i]), "%u", i);
    xpt_msix_init(NULL, UINT16_MAX);
    unguard(entries, 3 * sizeof(*entries));

    return NULL;
}

/* Memory near the MSI-X table and the pending bits. */

#define TABLE 0x12fe002000
#define PENDING 0xfd000800

static const char *places(void)
{
    static const struct
    {
        uint64_t addr;
        uint32_t size;
        int is_at;
        struct xpt_msix_place want;
    } rows[] = {
#define PLACE(kind, entry, offset, slot, addr) \
    { XPT_MSIX_PLACE_KIND_ ## kind, entry, offset, slot, addr }
        { TABLE, 4, 1, PLACE(ENTRY, 0, 0, 0, 0) },
        { TABLE + 0x2c, 4, 1, PLACE(ENTRY, 2, 0xc, 0, 0) },
        { TABLE + 0x18, 8, 1, PLACE(ENTRY, 1, 8, 0, 0) },
        { TABLE + 0x1c, 8, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE + 2, 4, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, 2, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, 1, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, 0, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, 3, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, 16, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE, UINT32_MAX, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE + 0x30, 4, 1, PLACE(DEVICE, 0, 0, 0, TABLE + 0x30) },
        { TABLE + 0xfff, 1, 1, PLACE(DEVICE, 0, 0, 0, TABLE + 0xfff) },
        { TABLE + 0xffe, 4, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { TABLE - 1, 1, 0, PLACE(ELSEWHERE, 0, 0, 0, 0) },
        { TABLE + 0x1000, 4, 0, PLACE(ELSEWHERE, 0, 0, 0, 0) },
        { PENDING, 8, 1, PLACE(PENDING, 0, 0, 2, PENDING) },
        { PENDING + 4, 4, 1, PLACE(PENDING, 0, 0, 2, PENDING + 4) },
        { PENDING, 2, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { PENDING + 4, 8, 1, PLACE(IGNORED, 0, 0, 0, 0) },
        { PENDING + 8, 1, 1, PLACE(DEVICE, 0, 0, 2, PENDING + 8) },
        { PENDING - 1, 1, 1, PLACE(DEVICE, 0, 0, 2, PENDING - 1) },
        { PENDING + 0x800, 1, 0, PLACE(ELSEWHERE, 0, 0, 0, 0) },
        { 0, 4, 0, PLACE(ELSEWHERE, 0, 0, 0, 0) },
        { UINT64_MAX, 8, 0, PLACE(ELSEWHERE, 0, 0, 0, 0) },
#undef PLACE
    };
    struct fake *fake = plug(&normal, DOM0);
    struct xpt_msix_place got;

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        const struct xpt_msix_place *want = &rows[i].want;

        memset(&got, 0xa5, sizeof(got));
        xpt_msix_place(fake->dev, rows[i].addr, rows[i].size, &got);
        REQUIRE(got.kind == want->kind && got.entry == want->entry &&
                got.offset == want->offset && got.slot == want->slot &&
                got.addr == want->addr, "row %zu is %u, %u, %#x, %u, %#lx", i,
                got.kind, got.entry, got.offset, got.slot, got.addr);
        REQUIRE(xpt_msix_is_at(fake->dev, rows[i].addr) == rows[i].is_at,
                "row %zu", i);
    }

    TRY(PLAY(fake,
             TURN(OFF)));
    xpt_msix_place(fake->dev, TABLE, 4, &got);
    REQUIRE(got.kind == XPT_MSIX_PLACE_KIND_ELSEWHERE, "%d", got.kind);
    REQUIRE(!xpt_msix_is_at(fake->dev, TABLE), "not mapped");
    unplug(fake);

    return NULL;
}

static const char *entries_read(void)
{
    static const struct
    {
        uint16_t entry, offset;
        uint32_t size;
        uint64_t want;
    } rows[] = {
        { 0, 0, 8, 0x1fee02000 }, { 0, 4, 4, 1 }, { 1, 8, 4, 0x55 },
        { 1, 8, 8, 0x100000055 }, { 1, 12, 4, 1 }, { 2, 12, 4, 0 },
        { 3, 0, 8, UINT64_MAX }, { UINT16_MAX, 0, 4, UINT64_MAX },
        { 0, 1, 4, UINT64_MAX }, { 0, 16, 4, UINT64_MAX },
        { 0, UINT16_MAX, 8, UINT64_MAX },
    };
    struct fake *fake = plug_busy(&normal);
    uint64_t got;

    TRY(PLAY(fake, DO(ENTRY, 0x18, 0x55)));
    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        got = xpt_msix_read(fake->dev, fake->entries, rows[i].entry,
                            rows[i].offset, rows[i].size);
        REQUIRE(got == rows[i].want, "row %zu is %#lx", i, got);
    }
    got = xpt_msix_read(fake->dev, NULL, 0, 0, 8);
    REQUIRE(got == UINT64_MAX, "%#lx of no table", got);
    got = xpt_msix_read(NULL, fake->entries, 0, 0, 8);
    REQUIRE(got == UINT64_MAX, "%#lx of no device", got);
    unplug(fake);

    return NULL;
}

/* Calls that C should not make. */

static const char *done(const struct xpt_vpci_action *act, int rc)
{
    REQUIRE(act->kind == XPT_VPCI_DONE && !act->index && !act->value &&
            !act->size && act->rc == rc && act->last == 1,
            "action %d, %#x, %#x, rc %d, size %u, last %u", act->kind,
            act->index, act->value, act->rc, act->size, act->last);

    return NULL;
}

static const char *nulls(void)
{
    struct fake *fake = plug_busy(&normal);
    struct xpt_device before = *fake->dev, *dev = fake->dev;
    const uint64_t sizes[XPT_NR_BARS] = {};
    struct xpt_msix_entry *entries = fake->entries;
    struct xpt_msix_place place;
    struct xpt_snapshot snapshot;
    struct xpt_vpci_action act, *none = NULL;

    probe(fake, 2, &snapshot);
#define EINVAL_OF(f, ...) \
    memset(&act, 0xa5, sizeof(act)); \
    f(__VA_ARGS__, &act); \
    TRY(done(&act, -XEN_EINVAL)); \
    f(__VA_ARGS__, none)
    EINVAL_OF(xpt_device_write, NULL, entries, COMMAND, 0);
    EINVAL_OF(xpt_device_reset, NULL, entries, 0);
    EINVAL_OF(xpt_device_detach, NULL, entries);
    EINVAL_OF(xpt_device_attach, NULL, DOM0);
    EINVAL_OF(xpt_device_complete, NULL, entries, 0);
    EINVAL_OF(xpt_device_probed, NULL, entries, &snapshot);
    EINVAL_OF(xpt_device_probed, dev, entries, NULL);
    EINVAL_OF(xpt_device_work, NULL, 0);
    EINVAL_OF(xpt_device_resume, NULL);
    EINVAL_OF(xpt_device_worked, NULL, 0, 0);
    EINVAL_OF(xpt_msix_write, NULL, entries, 0, 0, 4, 0);
#undef EINVAL_OF

    REQUIRE(xpt_device_init(NULL, &snapshot, &sizes) == -XEN_EINVAL, "device");
    REQUIRE(xpt_device_init(dev, NULL, &sizes) == -XEN_EINVAL, "snapshot");
    REQUIRE(xpt_device_init(dev, &snapshot, NULL) == -XEN_EINVAL, "sizes");
    REQUIRE(xpt_device_read(NULL, COMMAND) == UINT32_MAX, "read");
    REQUIRE(xpt_device_writes(NULL) == XPT_WRITES_IGNORED, "writes");
    REQUIRE(!xpt_device_passes_command(NULL, 0), "command");
    REQUIRE(xpt_device_place_bar(NULL, 0, 0) == -1, "BAR");
    xpt_device_hide(NULL);
    REQUIRE(!xpt_msix_is_at(NULL, TABLE), "is at");
    memset(&place, 0xa5, sizeof(place));
    xpt_msix_place(NULL, TABLE, 4, &place);
    REQUIRE(place.kind == XPT_MSIX_PLACE_KIND_ELSEWHERE && !place.addr &&
            !place.entry && !place.offset && !place.slot, "%d", place.kind);
    xpt_msix_place(dev, TABLE, 4, NULL);
    xpt_device_work(dev, dev->epoch, NULL);
    xpt_device_resume(dev, NULL);
    REQUIRE(!memcmp(&before, dev, sizeof(before)), "changed");

    /* These do change it, each as if it had been told what follows. */
    xpt_device_write(dev, entries, MSI_LOW, 0x1000, NULL);
    REQUIRE(dev->msi.address == 0x1000, "%#lx", dev->msi.address);
    xpt_msix_write(dev, entries, 1, 8, 4, 0x55, NULL);
    REQUIRE(entries[1].data == 0x55, "%#x", entries[1].data);
    xpt_device_reset(dev, entries, 0, NULL);
    xpt_device_detach(dev, entries, NULL);
    xpt_device_complete(dev, entries, -XEN_EPERM, NULL);
    REQUIRE(state(dev) == IN_USE, "at it");
    unplug(fake);

    return NULL;
}

static const char *nobody_waits(void)
{
    static const int rcs[] = { 0, 1, INT_MAX, -XEN_EPERM, -4095, INT_MIN };
    struct fake *fake = plug_busy(&normal);
    struct xpt_device before = *fake->dev;
    struct xpt_snapshot snapshot;
    struct xpt_vpci_action act;

    probe(fake, 2, &snapshot);
    for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
    {
        xpt_device_complete(fake->dev, fake->entries, rcs[i], &act);
        TRY(done(&act, -XEN_EIO));
        xpt_device_worked(fake->dev, fake->dev->epoch, rcs[i], &act);
        TRY(done(&act, 0));
        xpt_device_worked(fake->dev, fake->dev->epoch + 1, rcs[i], &act);
        TRY(done(&act, 0));
    }
    xpt_device_probed(fake->dev, fake->entries, &snapshot, &act);
    TRY(done(&act, -XEN_EIO));
    xpt_device_work(fake->dev, fake->dev->epoch, &act);
    TRY(done(&act, 0));
    xpt_device_resume(fake->dev, &act);
    TRY(done(&act, 0));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");

    /* Nor does a snapshot stand for another step, or none for a snapshot. */
    xpt_device_reset(fake->dev, fake->entries, 0, &act);
    before = *fake->dev;
    xpt_device_probed(fake->dev, fake->entries, &snapshot, &act);
    TRY(done(&act, -XEN_EIO));
    xpt_device_probed(fake->dev, fake->entries, NULL, &act);
    TRY(done(&act, -XEN_EINVAL));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
    unplug(fake);

    fake = plug(&bridge, DOM0);
    TRY(PLAY(fake, DO(WRITE, COMMAND, 5, WORD_MORE(COMMAND, 5), DEFER)));
    before = *fake->dev;
    for ( size_t i = 0; i < ARRAY_SIZE(rcs); i++ )
    {
        xpt_device_worked(fake->dev, fake->epoch - 1, rcs[i], &act);
        TRY(done(&act, 0));
    }
    xpt_device_resume(fake->dev, &act);
    TRY(done(&act, 0));
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");

    xpt_device_reset(fake->dev, NULL, 0, &act);
    REQUIRE(act.kind == XPT_VPCI_PROBE, "%d", act.kind);
    /* Read, and yet no snapshot: the device did not answer. */
    xpt_device_complete(fake->dev, NULL, 0, &act);
    REQUIRE(act.kind == XPT_VPCI_UNMAP && act.value == 0x05 && !act.last,
            "%d, %#x", act.kind, act.value);
    xpt_device_complete(fake->dev, NULL, 0, &act);
    TRY(done(&act, -XEN_EIO));
    REQUIRE(state(fake->dev) == FENCED, "%u", state(fake->dev));
    unplug(fake);

    return NULL;
}

/* Of a map C reports bits; positive numbers of other steps are no errors. */
static const char *positive_outcomes(void)
{
    static const struct
    {
        int rc;
        uint8_t mapped;
    } rows[] = {
        { 0, 0 }, { 0x45, 0x45 }, { 0x04, 0x04 }, { 0x3a, 0 }, { 0x80, 0 },
        { 0x7f, 0x45 }, { 0x100, 0 }, { INT_MAX, 0x45 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct fake *fake = plug(&normal, DOM0);
        struct xpt_vpci_action act;
        unsigned int mapped = 0;

        TRY(PLAY(fake, TURN(OFF),
                 WORKS(UNMAP(BARS)),
                 TURN(ON)));
        xpt_device_work(fake->dev, fake->epoch, &act);
        xpt_device_worked(fake->dev, fake->epoch, rows[i].rc, &act);
        TRY(done(&act, 0));
        for ( unsigned int bar = 0; bar < XPT_NR_BARS; bar++ )
            mapped |= (unsigned int)fake->dev->bars[bar].mapped << bar;
        REQUIRE(mapped == rows[i].mapped, "%#x for %#x", mapped, rows[i].rc);

        xpt_device_write(fake->dev, fake->entries, MSI_CONTROL, 1, &act);
        REQUIRE(act.kind == XPT_VPCI_MSI_ENABLE && !act.last, "%d", act.kind);
        xpt_device_complete(fake->dev, fake->entries, rows[i].rc, &act);
        REQUIRE(act.kind == XPT_VPCI_CONF_WRITE && act.value == 0x185, "%d",
                act.kind);
        unplug(fake);
    }

    return NULL;
}

static const char *any_offset(void)
{
    static const uint16_t regs[] = {
        COMMAND, ROM, MSI_CONTROL, MSI_LOW, MSI_HIGH, MSI_DATA, MSI_MASK,
        MSIX_CONTROL,
    };
    struct fake *fake = plug(&normal, DOM0);
    struct xpt_device before = *fake->dev;

    for ( uint32_t offset = 0; offset <= UINT16_MAX; offset++ )
    {
        /* C hands over no other offsets of BARs than the registers'. */
        bool emulated = offset >= BAR(0) && offset < BAR(6);
        struct xpt_vpci_action act;

        for ( size_t i = 0; i < ARRAY_SIZE(regs); i++ )
            emulated |= regs[i] == offset;
        if ( emulated )
            continue;
        xpt_device_write(fake->dev, fake->entries, offset, UINT32_MAX, &act);
        TRY(done(&act, 0));
        REQUIRE(!xpt_device_read(fake->dev, offset), "%#x", offset);
    }
    REQUIRE(!memcmp(&before, fake->dev, sizeof(before)), "changed");
    unplug(fake);

    return NULL;
}

static uint32_t random32(void)
{
    /* The same ones each time. */
    return (uint32_t)rand() << 16 ^ rand();
}

static void random_fill(void *to, size_t size)
{
    uint8_t *byte = to;

    while ( size-- )
        *byte++ = random32();
}

/*
 * Whatever is in the record, and whatever the device and C answer: each
 * conversation ends, and asks for nothing beyond the tables.
 */
static const char *random_records(void)
{
    enum { NR = 5 };
    struct xpt_msix_entry *entries = guarded(NR * sizeof(*entries));
    struct xpt_device *dev = guarded(sizeof(*dev));

    for ( unsigned int round = 0; round < 30000; round++ )
    {
        struct xpt_snapshot snapshot;
        struct xpt_vpci_action act;
        unsigned int steps = 0;
        bool works = false;

        /* At first no step is outstanding, and then any. */
        random_fill(dev, sizeof(*dev));
        if ( round % 2 )
            dev->step = 0;
        dev->msix.entries = NR;
        dev->step_entry %= NR;
        dev->owner %= 4;
        dev->fenced &= random32() & random32();
        for ( unsigned int i = 0; i < XPT_NR_BARS; i++ )
            dev->bars[i].kind %= 8;
        random_fill(entries, NR * sizeof(*entries));
        random_fill(&snapshot, sizeof(snapshot));
        if ( random32() % 4 )
            snapshot.header_type &= 0x81;

        switch ( random32() % 7 )
        {
        case 0:
            xpt_device_write(dev, entries, random32() % 0x100, random32(),
                             &act);
            break;

        case 1:
            xpt_device_reset(dev, entries, random32() % 5, &act);
            break;

        case 2:
            xpt_device_detach(dev, entries, &act);
            break;

        case 3:
            xpt_device_attach(dev, random32() % 5, &act);
            break;

        case 4:
            xpt_device_work(dev, dev->epoch, &act);
            works = act.kind != XPT_VPCI_DONE;
            break;

        case 5:
            xpt_msix_write(dev, entries, random32() % 8, random32() % 20,
                           random32() % 10, random32(), &act);
            break;

        case 6:
            xpt_device_resume(dev, &act);
            break;
        }

        while ( act.kind != XPT_VPCI_DONE && !act.last )
        {
            int rc = random32() % 8 ? (int)(random32() & INT_MAX)
                                    : -(int)(random32() % 200);

            REQUIRE(++steps <= NR + 12u, "does not end");
            REQUIRE(act.kind <= XPT_VPCI_BAR_MAPPED, "%d", act.kind);
            REQUIRE(!act.rc && (act.kind != XPT_VPCI_CONF_WRITE ||
                                act.size == 2 || act.size == 4), "%d", act.rc);
            if ( act.kind >= XPT_VPCI_MSIX_UPDATE &&
                 act.kind <= XPT_VPCI_MSIX_MASK )
                REQUIRE(act.index < NR, "entry %u", act.index);
            if ( act.kind <= XPT_VPCI_UNMAP )
                REQUIRE(act.value < 1u << XPT_NR_BARS, "%#x", act.value);

            if ( works )
                xpt_device_worked(dev, dev->epoch, rc, &act);
            else if ( act.kind == XPT_VPCI_PROBE && rc >= 0 )
                xpt_device_probed(dev, entries, &snapshot, &act);
            else
                xpt_device_complete(dev, entries, rc, &act);
            works = false;
        }
        REQUIRE(act.kind != XPT_VPCI_DONE || act.rc <= 0, "%d", act.rc);

        (void)xpt_device_read(dev, random32());
        (void)xpt_msix_read(dev, entries, random32() % 8, random32() % 20, 8);
        (void)xpt_msix_is_at(dev, random32());
    }
    unguard(dev, sizeof(*dev));
    unguard(entries, NR * sizeof(*entries));

    return NULL;
}

static const struct check checks[] = {
    { "record-says-what-a-device-has", record },
    { "record-has-what-vmsi-needs", vmsi_members },
    { "record-of-a-strange-device-leaves-out-what-cannot-be", hostile_records },
    { "msi-vectors-are-1-to-32", msi_vectors },
    { "msix-entries-begin-masked-and-without-a-vector", fresh_entries },
    { "reset-that-fails-at-any-step-is-made-up-for-by-the-next", reset_fails },
    { "reset-preempted-at-any-step-goes-on-or-gives-way", reset_preempted },
    { "reset-fences-another-device-until-the-first-is-back", another },
    { "reset-of-the-largest-table-releases-2048-entries", largest_table },
    { "memory-near-the-msix-table-is-told-apart", places },
    { "msix-entries-read-as-written-and-others-as-ones", entries_read },
    { "null-pointers-are-EINVAL-and-change-nothing", nulls },
    { "completion-that-nobody-waits-for-changes-nothing", nobody_waits },
    { "positive-outcomes-are-bars-of-a-map-and-no-errors", positive_outcomes },
    { "registers-that-are-not-emulated-are-not-written", any_offset },
    { "conversations-of-random-records-come-to-an-end", random_records },
};

int main(void)
{
    start();

    for ( size_t i = 0; i < ARRAY_SIZE(stories); i++ )
        report(stories[i].name, told(&stories[i]));
    run_checks(checks, ARRAY_SIZE(checks));

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
