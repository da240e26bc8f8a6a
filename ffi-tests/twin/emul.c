/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is behind emul.h: memory, the p2m, interrupts, MMIO.
 *
 * Nothing here depends on how often or in which order the code under test
 * calls it: what fails does so because of what is asked for, so that two
 * implementations that ask for the same get the same.
 */

#include <sys/mman.h>

#include "twin.h"

#define RAM_MFN_OFFSET 0x10000000UL

void trace(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

noreturn void emul_bug(const char *file, unsigned int line, const char *what)
{
    const char *name = strrchr(file, '/');

    trace("bug %s:%u %s", name ? name + 1 : file, line, what);
    fflush(stdout);
    exit(1);
}

noreturn void domain_crash(struct domain *d)
{
    emul_bug(__FILE__, __LINE__, "domain crash");
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t x = rng->state += 0x9e3779b97f4a7c15;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}

/* Domains. */
static struct domain hwdom, domxen, domio;
struct domain *hardware_domain = &hwdom, *dom_xen = &domxen, *dom_io = &domio;
struct vcpu vcpus[2];
struct vcpu *current;
enum system_state system_state;

static struct rng preempt_rng;

bool general_preempt_check(void)
{
    return rng_chance(&preempt_rng, 30);
}

/* Memory. */
struct block {
    struct list_head list;
    char data[] __attribute__((__aligned__(16)));
};

static LIST_HEAD(blocks);
bool emul_no_memory;

void *emul_alloc(size_t size)
{
    struct block *block;

    if ( emul_no_memory )
    {
        trace("fails memory");
        return NULL;
    }

    block = calloc(1, sizeof(*block) + size);
    list_add_tail(&block->list, &blocks);

    return block->data;
}

void xfree(void *p)
{
    struct block *block;

    if ( !p )
        return;

    block = container_of(p, struct block, data);
    list_del(&block->list);
    free(block);
}

/* Locks. */
static unsigned int pcidevs_depth;

void pcidevs_lock(void)
{
    pcidevs_depth++;
}

void pcidevs_unlock(void)
{
    ASSERT(pcidevs_depth);
    pcidevs_depth--;
}

bool pcidevs_locked(void)
{
    return pcidevs_depth;
}

/* Where the host has memory, or says that there is something: no BARs. */
static const struct { uint64_t start, end; bool ram; } memory_map[] = {
    { 0, 0x80000000, true },
    { 0xfec00000, 0x100000000, false },
    { 0x300000000, 0x380000000, true },
};

bool is_memory_hole(mfn_t start, mfn_t end)
{
    for ( unsigned int i = 0; i < ARRAY_SIZE(memory_map); i++ )
        if ( mfn_x(start) < PFN_DOWN(memory_map[i].end) &&
             mfn_x(end) >= PFN_DOWN(memory_map[i].start) )
            return false;

    return true;
}

/* As x86's of either version: 4.20 takes the memory out instead. */
bool pci_check_bar(const struct pci_dev *pdev, mfn_t start, mfn_t end)
{
    return XEN_MINOR >= 20 || is_memory_hole(start, end);
}

int pci_sanitize_bar_memory(struct rangeset *r)
{
    for ( unsigned int i = 0; i < ARRAY_SIZE(memory_map); i++ )
    {
        int rc = rangeset_remove_range(r, PFN_DOWN(memory_map[i].start),
                                       PFN_DOWN(memory_map[i].end) - 1);

        if ( rc )
            return rc;
    }

    return 0;
}

/*
 * The p2m: a hash of pages that map MMIO. RAM of the domain is where the host
 * has its own, and is somewhere else there.
 */
#define P2M_SLOTS_SHIFT 15
#define P2M_SLOTS (1U << P2M_SLOTS_SHIFT)

static struct {
    bool used, mapped;
    unsigned long gfn, mfn;
} p2m[P2M_SLOTS];
static unsigned int p2m_pages, p2m_used;

unsigned long emul_bad_map, emul_bad_unmap;

static unsigned int p2m_slot(unsigned long gfn)
{
    unsigned int slot = (gfn * 0x9e3779b97f4a7c15) >> (64 - P2M_SLOTS_SHIFT);

    while ( p2m[slot].used && p2m[slot].gfn != gfn )
        slot = (slot + 1) % P2M_SLOTS;

    return slot;
}

static mfn_t p2m_get(unsigned long gfn, p2m_type_t *t)
{
    unsigned int slot = p2m_slot(gfn);

    if ( p2m[slot].mapped )
    {
        *t = p2m_mmio_direct;
        return _mfn(p2m[slot].mfn);
    }

    for ( unsigned int i = 0; i < ARRAY_SIZE(memory_map); i++ )
        if ( memory_map[i].ram && gfn >= PFN_DOWN(memory_map[i].start) &&
             gfn < PFN_DOWN(memory_map[i].end) )
        {
            *t = p2m_ram_rw;
            return _mfn(gfn + RAM_MFN_OFFSET);
        }

    *t = p2m_mmio_dm;
    return INVALID_MFN;
}

static int p2m_map(unsigned long gfn, unsigned long mfn)
{
    unsigned int slot = p2m_slot(gfn);
    p2m_type_t t;
    mfn_t old = p2m_get(gfn, &t);

    if ( gfn == emul_bad_map )
    {
        trace("fails map %lx", gfn);
        return -ENOMEM;
    }
    if ( t == p2m_mmio_direct )
        return mfn_x(old) == mfn ? 0 : -EPERM;

    /* Slots are not taken back: enough must be left to end every search. */
    if ( !p2m[slot].used && ++p2m_used > P2M_SLOTS / 2 )
        emul_bug(__FILE__, __LINE__, "the emulated p2m is too small");
    p2m[slot].used = p2m[slot].mapped = true;
    p2m[slot].gfn = gfn;
    p2m[slot].mfn = mfn;
    p2m_pages++;

    return 0;
}

static int p2m_unmap(unsigned long gfn)
{
    unsigned int slot = p2m_slot(gfn);

    if ( gfn == emul_bad_unmap )
    {
        trace("fails unmap %lx", gfn);
        return -ENOMEM;
    }
    if ( !p2m[slot].mapped )
    {
        trace("fails unmapped %lx", gfn);
        return -EINVAL;
    }

    p2m[slot].mapped = false;
    p2m_pages--;

    return 0;
}

/* As x86's: as many pages as were done, if not all of them. */
#define MAX_PAGES 64

int map_mmio_regions(struct domain *d, gfn_t gfn, unsigned long nr, mfn_t mfn)
{
    unsigned long i;
    int rc = 0;

    ASSERT(d == hardware_domain);

    for ( i = 0; i < nr && i < MAX_PAGES; i++ )
    {
        rc = p2m_map(gfn_x(gfn) + i, mfn_x(mfn) + i);
        if ( rc )
            break;
    }

    return i == nr ? 0 : i ? (int)i : rc;
}

int unmap_mmio_regions(struct domain *d, gfn_t gfn, unsigned long nr,
                       mfn_t mfn)
{
    unsigned long i;
    int rc = 0;

    ASSERT(d == hardware_domain);

    for ( i = 0; i < nr && i < MAX_PAGES; i++ )
    {
        rc = p2m_unmap(gfn_x(gfn) + i);
        if ( rc )
            break;
    }

    return i == nr ? 0 : i ? (int)i : rc;
}

mfn_t get_gfn_query_unlocked(struct domain *d, unsigned long gfn,
                             p2m_type_t *t)
{
    ASSERT(d == hardware_domain);

    return p2m_get(gfn, t);
}

mfn_t get_gfn_query(struct domain *d, unsigned long gfn, p2m_type_t *t)
{
    mfn_t mfn = get_gfn_query_unlocked(d, gfn, t);

    d->gfn_refs++;
    /* Whoever asks wants to make a hole for MSI-X. */
    if ( *t == p2m_ram_rw )
        trace("fails hole %lx", gfn);

    return mfn;
}

void put_gfn(struct domain *d, unsigned long gfn)
{
    ASSERT(d->gfn_refs);
    d->gfn_refs--;
}

int p2m_remove_identity_entry(struct domain *d, unsigned long gfn)
{
    p2m_type_t t;
    mfn_t mfn = p2m_get(gfn, &t);

    ASSERT(d == hardware_domain);

    return t == p2m_mmio_direct && mfn_x(mfn) == gfn ? p2m_unmap(gfn) : 0;
}

p2m_type_t emul_p2m_type(unsigned long gfn)
{
    p2m_type_t t;

    p2m_get(gfn, &t);

    return t;
}

static int compare_slots(const void *a, const void *b)
{
    unsigned long l = p2m[*(const unsigned int *)a].gfn;
    unsigned long r = p2m[*(const unsigned int *)b].gfn;

    return (l > r) - (l < r);
}

void emul_trace_p2m(void)
{
    static unsigned int slots[P2M_SLOTS];
    unsigned int nr = 0, i, j;

    for ( i = 0; i < P2M_SLOTS; i++ )
        if ( p2m[i].mapped )
            slots[nr++] = i;
    qsort(slots, nr, sizeof(slots[0]), compare_slots);

    for ( i = 0; i < nr; i = j )
    {
        for ( j = i + 1; j < nr; j++ )
            if ( p2m[slots[j]].gfn != p2m[slots[i]].gfn + (j - i) ||
                 p2m[slots[j]].mfn != p2m[slots[i]].mfn + (j - i) )
                break;
        trace("p2m %lx-%lx -> %lx", p2m[slots[i]].gfn, p2m[slots[j - 1]].gfn,
              p2m[slots[i]].mfn);
    }
}

/* Interrupts. The same device and entry gets the same number, if it is free. */
#define PIRQS 512

static struct {
    /* Of the first of a block: how many there are. */
    unsigned int nr;
    bool used, bound;
} pirqs[PIRQS];
static unsigned int nr_pirqs;
static struct irq_desc irq_desc;

bool emul_no_pirqs, emul_no_binds;

struct irq_desc *domain_spin_lock_irq_desc(struct domain *d, int pirq,
                                           unsigned long *flags)
{
    ASSERT(pirq >= 0 && pirq < PIRQS);
    *flags = 0;

    if ( !pirqs[pirq].used )
        return NULL;

    spin_lock(&irq_desc.lock);
    irq_desc.pirq = pirq;

    return &irq_desc;
}

void guest_mask_msi_irq(struct irq_desc *desc, bool mask)
{
    ASSERT(spin_is_locked(&desc->lock));
    trace("pirq %d %s", desc->pirq, mask ? "mask" : "unmask");
}

int allocate_and_map_msi_pirq(struct domain *d, int index, int *pirq, int type,
                              struct msi_info *msi)
{
    unsigned int nr = 1, first, i;

    ASSERT(index == -1 && *pirq == INVALID_PIRQ);
    if ( type == MAP_PIRQ_TYPE_MULTI_MSI )
    {
        if ( msi->entry_nr < 1 || msi->entry_nr > 32 )
            return -EDOM;
        nr = 1U << fls(msi->entry_nr - 1);
    }

    for ( first = 0; !emul_no_pirqs && first + nr <= PIRQS; first += nr )
    {
        for ( i = 0; i < nr && !pirqs[first + i].used; i++ )
            ;
        if ( i < nr )
            continue;

        for ( i = 0; i < nr; i++ )
            pirqs[first + i].used = true;
        pirqs[first].nr = nr;
        nr_pirqs += nr;
        *pirq = first;
        trace("pirq %u map %02x type %d entry %d table %"PRIx64, first,
              msi->sbdf.dev, type, msi->entry_nr, msi->table_base);
        return 0;
    }

    trace("pirq - map %02x type %d entry %d table %"PRIx64, msi->sbdf.dev,
          type, msi->entry_nr, msi->table_base);

    return -ENOSPC;
}

int unmap_domain_pirq(struct domain *d, int pirq)
{
    ASSERT(rw_is_write_locked(&d->event_lock));
    ASSERT(pirq >= 0 && pirq < PIRQS && pirqs[pirq].nr);

    trace("pirq %d unmap", pirq);
    for ( unsigned int i = 0, nr = pirqs[pirq].nr; i < nr; i++ )
    {
        /* Whoever unmaps unbinds first. */
        ASSERT(!pirqs[pirq + i].bound);
        pirqs[pirq + i].used = false;
        nr_pirqs--;
    }
    pirqs[pirq].nr = 0;

    return 0;
}

int pt_irq_create_bind(struct domain *d,
                       const struct xen_domctl_bind_pt_irq *bind)
{
    unsigned int pirq = bind->machine_irq;

    ASSERT(pirq < PIRQS && pirqs[pirq].used && !pirqs[pirq].bound);
    ASSERT(bind->irq_type == PT_IRQ_TYPE_MSI);

    trace("pirq %u bind vector %02x flags %x", pirq, bind->u.msi.gvec,
          bind->u.msi.gflags);
    if ( emul_no_binds )
        return -ENOSPC;
    pirqs[pirq].bound = true;

    return 0;
}

int pt_irq_destroy_bind(struct domain *d,
                        const struct xen_domctl_bind_pt_irq *bind)
{
    unsigned int pirq = bind->machine_irq;

    ASSERT(pirq < PIRQS);
    trace("pirq %u unbind", pirq);
    if ( !pirqs[pirq].used )
        return -EINVAL;
    pirqs[pirq].bound = false;

    return 0;
}

/*
 * MMIO: ioremap() hands out addresses that nothing is mapped at, so that no
 * access goes by emul_mmio_read() and emul_mmio_write().
 */
#define MAX_MAPPINGS 64

static char *mmio_window;
static uint64_t mappings[MAX_MAPPINGS];
static unsigned int nr_mappings;

void __iomem *ioremap(paddr_t pa, size_t size)
{
    /* Never fails: how long a mapping is kept for the next access may differ. */
    ASSERT(IS_ALIGNED(pa, PAGE_SIZE) && size == PAGE_SIZE);

    if ( !mmio_window )
        mmio_window = mmap(NULL, MAX_MAPPINGS * PAGE_SIZE, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for ( unsigned int i = 0; i < MAX_MAPPINGS; i++ )
        if ( !mappings[i] )
        {
            mappings[i] = pa;
            nr_mappings++;
            return mmio_window + i * PAGE_SIZE;
        }

    emul_bug(__FILE__, __LINE__, "too many mappings of ioremap()");
}

static uint64_t *find_mapping(const volatile void *va)
{
    size_t i = ((const volatile char *)va - mmio_window) / PAGE_SIZE;

    ASSERT(i < MAX_MAPPINGS && mappings[i]);

    return &mappings[i];
}

void iounmap(const volatile void __iomem *va)
{
    *find_mapping(va) = 0;
    nr_mappings--;
}

uint64_t emul_mmio_read(const volatile void __iomem *va, unsigned int size)
{
    uint64_t pa = *find_mapping(va) + PAGE_OFFSET(va), val = ~0ULL;
    const uint8_t *mem = device_memory(pa, size);

    ASSERT(IS_ALIGNED(pa, size));
    if ( mem )
        memcpy(&val, mem, size);
    trace("mem r %"PRIx64" %u", pa, size);

    return val;
}

void emul_mmio_write(const volatile void __iomem *va, unsigned int size,
                     uint64_t val)
{
    uint64_t pa = *find_mapping(va) + PAGE_OFFSET(va);
    uint8_t *mem = device_memory(pa, size);

    ASSERT(IS_ALIGNED(pa, size));
    if ( mem )
        memcpy(mem, &val, size);
    trace("mem w %"PRIx64" %u %"PRIx64, pa, size, val);
}

/* As many as Xen has room for. */
static const struct hvm_mmio_ops *handlers[NR_IO_HANDLERS];
static unsigned int nr_handlers;

void register_mmio_handler(struct domain *d, const struct hvm_mmio_ops *ops)
{
    ASSERT(d == hardware_domain && nr_handlers < NR_IO_HANDLERS);
    handlers[nr_handlers++] = ops;
}

const struct hvm_mmio_ops *emul_mmio_handler(struct vcpu *v,
                                             unsigned long addr)
{
    for ( unsigned int i = 0; i < nr_handlers; i++ )
        if ( handlers[i]->check(v, addr) )
            return handlers[i];

    return NULL;
}

static void start_domain(struct domain *d, unsigned int id, bool vpci)
{
    *d = (struct domain){ .domain_id = id, .has_vpci = vpci };
    INIT_LIST_HEAD(&d->rangesets);
    INIT_LIST_HEAD(&d->pdev_list);
    INIT_LIST_HEAD(&d->arch.hvm.msix_tables);
}

void emul_start(uint64_t seed)
{
    preempt_rng.state = ~seed;
    start_domain(&hwdom, 0, true);
    start_domain(&domxen, 0x7ff2, true);
    start_domain(&domio, 0x7ff1, false);

    for ( unsigned int i = 0; i < ARRAY_SIZE(vcpus); i++ )
        vcpus[i] = (struct vcpu){
            .domain = &hwdom,
            .vcpu_id = i,
            .next_in_list = i + 1 < ARRAY_SIZE(vcpus) ? &vcpus[i + 1] : NULL,
        };
    hwdom.first_vcpu = current = &vcpus[0];
    system_state = SYS_STATE_boot;
    emul_no_memory = emul_no_pirqs = emul_no_binds = false;
    emul_bad_map = emul_bad_unmap = 0;
}

struct leftovers emul_left(void)
{
    struct leftovers left = {
        .mappings = nr_mappings,
        .pirqs = nr_pirqs,
        .pages = p2m_pages,
        .handlers = nr_handlers,
    };
    struct block *block;

    list_for_each_entry ( block, &blocks, list )
        left.allocations++;

    return left;
}

void emul_end(void)
{
    ASSERT(!hwdom.gfn_refs && !pcidevs_depth && !irq_desc.lock.held);
    ASSERT(!rw_is_locked(&hwdom.pci_lock) && !rw_is_locked(&hwdom.event_lock));
    ASSERT(!rw_is_locked(&domxen.pci_lock) && !rw_is_locked(&domio.pci_lock));

    while ( !list_empty(&blocks) )
        xfree(list_first_entry(&blocks, struct block, list)->data);
    memset(p2m, 0, sizeof(p2m));
    memset(pirqs, 0, sizeof(pirqs));
    memset(mappings, 0, sizeof(mappings));
    p2m_pages = p2m_used = nr_pirqs = nr_mappings = nr_handlers = 0;
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
