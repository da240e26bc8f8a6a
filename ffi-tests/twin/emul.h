/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Xen as a vPCI sees it, in user space.
 *
 * A tree's own vPCI, its rangesets and its vPCI MSI code are compiled against
 * this header: each header of Xen's that they include and that is not used as
 * it stands (list.h, vpci.h, rangeset.h, pci_regs.h, msi.h, io.h are) is one
 * line that includes this one. What is behind it is in emul.c, and is the same
 * for unmodified Xen and for Xen with xen-passthrough, so that whatever differs
 * comes from the code under test.
 *
 * XEN_MINOR is 17 or 20.
 */

#ifndef EMUL_H
#define EMUL_H

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The compiler's and the build's. */
#define __init
#define __initdata
#define __hwdom_init
#define __read_mostly
#define __ro_after_init
#define __iomem
#define noinline __attribute__((__noinline__))
#define cf_check
#define always_inline inline
#define noreturn __attribute__((__noreturn__))
#define __must_check __attribute__((__warn_unused_result__))
#define __maybe_unused __attribute__((__unused__))
#define __packed __attribute__((__packed__))
#define __used_section(s) __attribute__((__used__, __section__(s)))
#define fallthrough __attribute__((__fallthrough__))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile ( "" ::: "memory" )
#define prefetch(x) __builtin_prefetch(x)
#define smp_wmb() barrier()
#define smp_rmb() barrier()
#define smp_mb() barrier()
#define block_speculation() barrier()
#define evaluate_nospec(x) (x)
#define array_index_nospec(i, size) (i)
#define read_atomic(p) (*(p))
#define write_atomic(p, x) ((void)(*(p) = (x)))
#define ACCESS_ONCE(x) (*(volatile typeof(x) *)&(x))

#define __LITTLE_ENDIAN_BITFIELD

#include <xen/kconfig.h>

/* Assertions end the program: its trace is then incomplete, which is seen. */
noreturn void emul_bug(const char *file, unsigned int line, const char *what);
#define ASSERT(p) ((p) ? (void)0 : emul_bug(__FILE__, __LINE__, #p))
#define ASSERT_UNREACHABLE() emul_bug(__FILE__, __LINE__, "unreachable")
#define BUG() emul_bug(__FILE__, __LINE__, "BUG")
#define BUG_ON(p) ((p) ? BUG() : (void)0)
#define BUILD_BUG_ON(p) _Static_assert(!(p), #p)
#define WARN_ON(p) BUG_ON(p)

typedef uint8_t u8, __u8;
typedef uint16_t u16, __u16;
typedef uint32_t u32, __u32;
typedef uint64_t u64, __u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef bool bool_t;
typedef uint64_t paddr_t;
typedef uint16_t domid_t;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) \
    ((type *)((char *)(p) - offsetof(type, member)))
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define ROUNDUP(x, a) (((x) + (a) - 1) & ~((a) - 1))
#define IS_ALIGNED(x, a) (!((x) & ((a) - 1)))
#define MASK_EXTR(v, m) (((v) & (m)) / ((m) & -(m)))
#define MASK_INSR(v, m) (((v) * ((m) & -(m))) & (m))

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_OFFSET(x) ((unsigned long)(x) & ~PAGE_MASK)
#define PFN_DOWN(x) ((x) >> PAGE_SHIFT)
#define PFN_UP(x) (((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define round_pgdown(x) ((x) & PAGE_MASK)

static inline int fls(unsigned int x)
{
    return x ? 32 - __builtin_clz(x) : 0;
}

static inline bool test_bit(unsigned int nr, const volatile void *addr)
{
    return ((const volatile uint32_t *)addr)[nr / 32] >> (nr % 32) & 1;
}

static inline void __set_bit(unsigned int nr, void *addr)
{
    ((uint32_t *)addr)[nr / 32] |= 1U << (nr % 32);
}

static inline void __clear_bit(unsigned int nr, void *addr)
{
    ((uint32_t *)addr)[nr / 32] &= ~(1U << (nr % 32));
}

#define __test_and_set_bit(nr, addr) \
    (test_bit(nr, addr) ? true : (__set_bit(nr, addr), false))

/* What is printed is not compared. */
#define XENLOG_ERR ""
#define XENLOG_WARNING ""
#define XENLOG_INFO ""
#define XENLOG_DEBUG ""
#define XENLOG_G_ERR ""
#define XENLOG_G_WARNING ""
#define XENLOG_G_INFO ""
#define XENLOG_G_DEBUG ""
#define DEV_BUG_PREFIX ""
#define PRI_mfn "05lx"
#define PRI_gfn "05lx"

static inline void printk(const char *fmt, ...)
{
}

#define gprintk(level, ...) printk(level __VA_ARGS__)
#define gdprintk(level, ...) printk(level __VA_ARGS__)
#define dprintk(level, ...) printk(level __VA_ARGS__)

#define safe_strcpy(to, from) \
    ((void)snprintf(to, sizeof(to), "%s", from))

/* Memory: all allocations fail while emul_no_memory is set. */
extern bool emul_no_memory;
void *emul_alloc(size_t size);
void xfree(void *p);
#define xmalloc(type) ((type *)emul_alloc(sizeof(type)))
#define xzalloc(type) ((type *)emul_alloc(sizeof(type)))
#define xmalloc_array(type, nr) ((type *)emul_alloc(sizeof(type) * (nr)))
#define xzalloc_array(type, nr) ((type *)emul_alloc(sizeof(type) * (nr)))
#define xzalloc_flex_struct(type, member, nr) \
    ((type *)emul_alloc(offsetof(type, member) + \
                        sizeof(((type *)0)->member[0]) * (nr)))
#define xmalloc_flex_struct xzalloc_flex_struct
#define xmalloc_bytes(size) emul_alloc(size)
#define xzalloc_bytes(size) emul_alloc(size)
#define XFREE(p) do { xfree(p); (p) = NULL; } while ( 0 )

/* Locks of one CPU: what would wait for ever ends the program. */
typedef struct { bool held; } spinlock_t;
typedef struct { unsigned int readers; bool writer; } rwlock_t;

#define SPIN_LOCK_UNLOCKED { false }
#define DEFINE_SPINLOCK(l) spinlock_t l = SPIN_LOCK_UNLOCKED
#define spin_lock_init(l) ((void)((l)->held = false))
#define spin_is_locked(l) ((l)->held)
#define spin_lock(l) (ASSERT(!(l)->held), (void)((l)->held = true))
#define spin_unlock(l) (ASSERT((l)->held), (void)((l)->held = false))
#define spin_lock_irqsave(l, flags) ((flags) = 0, spin_lock(l))
#define spin_unlock_irqrestore(l, flags) ((void)(flags), spin_unlock(l))
#define spin_trylock(l) ((l)->held ? false : ((l)->held = true))

#define rwlock_init(l) ((void)(*(l) = (rwlock_t){}))
#define rw_is_locked(l) ((l)->readers || (l)->writer)
#define rw_is_write_locked(l) ((l)->writer)
/* As in Xen, who holds it for writing may also take it for reading. */
#define read_lock(l) ((void)(l)->readers++)
#define read_trylock(l) ((l)->readers++, true)
#define read_unlock(l) (ASSERT((l)->readers), (void)(l)->readers--)
#define write_lock(l) (ASSERT(!rw_is_locked(l)), (void)((l)->writer = true))
#define write_trylock(l) (rw_is_locked(l) ? false : ((l)->writer = true))
#define write_unlock(l) (ASSERT((l)->writer && !(l)->readers), \
                         (void)((l)->writer = false))

void pcidevs_lock(void);
void pcidevs_unlock(void);
bool pcidevs_locked(void);

#include <xen/list.h>

#define rcu_dereference(p) (p)

struct rcu_head { void (*func)(struct rcu_head *head); };

/* The callback comes at once: nothing else runs. */
static inline void call_rcu(struct rcu_head *head,
                            void (*func)(struct rcu_head *head))
{
    func(head);
}

/* PCI devices. */
#include <xen/pci_regs.h>

#define PCI_DEVFN(d, f) ((((d) & 0x1f) << 3) | ((f) & 7))
#define PCI_SLOT(devfn) (((devfn) >> 3) & 0x1f)
#define PCI_FUNC(devfn) ((devfn) & 7)
#define PCI_BDF(b, df) ((((b) & 0xff) << 8) | ((df) & 0xff))
#define PCI_CFG_SPACE_EXP_SIZE 4096
#define PCI_HEADER_NORMAL_NR_BARS 6
#define PCI_HEADER_BRIDGE_NR_BARS 2
#define PCI_BAR_VF (1U << 0)
#define PCI_BAR_LAST (1U << 1)
#define PCI_BAR_ROM (1U << 2)

typedef union {
    uint32_t sbdf;
    struct {
        union {
            uint16_t bdf;
            struct {
                union {
                    struct {
                        uint8_t fn : 3, dev : 5;
                    };
                    uint8_t devfn;
                };
                uint8_t bus;
            };
        };
        uint16_t seg;
    };
} pci_sbdf_t;

struct domain;
struct vcpu;
struct vpci;

struct pci_dev {
    struct list_head alldevs_list, domain_list;
    struct domain *domain;
    union {
        struct {
            uint8_t devfn, bus;
            uint16_t seg;
        };
        pci_sbdf_t sbdf;
    };
    struct arch_msix *msix;
    uint8_t msi_maxvec;
    uint8_t msi_pos, msix_pos;
    bool ignore_bars;
    bool broken;
    struct vpci *vpci;
    struct rcu_head rcu;
};

uint8_t pci_conf_read8(pci_sbdf_t sbdf, unsigned int reg);
uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg);
uint32_t pci_conf_read32(pci_sbdf_t sbdf, unsigned int reg);
void pci_conf_write8(pci_sbdf_t sbdf, unsigned int reg, uint8_t val);
void pci_conf_write16(pci_sbdf_t sbdf, unsigned int reg, uint16_t val);
void pci_conf_write32(pci_sbdf_t sbdf, unsigned int reg, uint32_t val);
unsigned int pci_size_mem_bar(pci_sbdf_t sbdf, unsigned int pos,
                              uint64_t *paddr, uint64_t *psize,
                              unsigned int flags);
unsigned int emul_find_cap(pci_sbdf_t sbdf, unsigned int cap);
struct pci_dev *pci_get_pdev(const struct domain *d, pci_sbdf_t sbdf);
int pci_msi_conf_write_intercept(struct pci_dev *pdev, unsigned int reg,
                                 unsigned int size, uint32_t *data);
int pci_conf_write_intercept(unsigned int seg, unsigned int bdf,
                             unsigned int reg, unsigned int size,
                             uint32_t *data);
void pci_intx(const struct pci_dev *pdev, bool enable);

#define PCI_SBDF(s, bdf_) ((pci_sbdf_t){ .seg = (s), .bdf = (bdf_) })
#define pci_get_ro_map(seg) ((const unsigned long *)NULL)
#define pci_find_cap_offset(seg, bus, slot, func, cap) \
    emul_find_cap(PCI_SBDF(seg, PCI_BDF(bus, PCI_DEVFN(slot, func))), cap)
/* For guests' views of a device only, and there are no guests here. */
#define pci_find_next_cap_ttl(...) (BUG(), 0U)

/* Interrupts. */
#define INVALID_PIRQ (-1)

struct irq_desc {
    spinlock_t lock;
    int pirq;
};

struct msi_info;
struct irq_desc *domain_spin_lock_irq_desc(struct domain *d, int pirq,
                                           unsigned long *flags);
void guest_mask_msi_irq(struct irq_desc *desc, bool mask);
int allocate_and_map_msi_pirq(struct domain *d, int index, int *pirq, int type,
                              struct msi_info *msi);
int unmap_domain_pirq(struct domain *d, int pirq);

/* The p2m. */
typedef struct { unsigned long gfn; } gfn_t;
typedef struct { unsigned long mfn; } mfn_t;
#define _gfn(x) ((gfn_t){ x })
#define _mfn(x) ((mfn_t){ x })
#define gfn_x(g) ((g).gfn)
#define mfn_x(m) ((m).mfn)
#define mfn_eq(a, b) (mfn_x(a) == mfn_x(b))
#define INVALID_MFN _mfn(~0UL)
#define paddr_to_pfn(a) PFN_DOWN(a)

typedef enum {
    p2m_ram_rw = 0,
    p2m_invalid = 1,
    p2m_mmio_dm = 4,
    p2m_mmio_direct = 5,
} p2m_type_t;

int map_mmio_regions(struct domain *d, gfn_t gfn, unsigned long nr, mfn_t mfn);
int unmap_mmio_regions(struct domain *d, gfn_t gfn, unsigned long nr,
                       mfn_t mfn);
mfn_t get_gfn_query(struct domain *d, unsigned long gfn, p2m_type_t *t);
mfn_t get_gfn_query_unlocked(struct domain *d, unsigned long gfn,
                             p2m_type_t *t);
void put_gfn(struct domain *d, unsigned long gfn);
int p2m_remove_identity_entry(struct domain *d, unsigned long gfn);
bool is_memory_hole(mfn_t start, mfn_t end);
#define iomem_access_permitted(d, s, e) ((void)(d), true)

/* MMIO of devices, through mappings of ioremap() only. */
void __iomem *ioremap(paddr_t pa, size_t size);
void iounmap(const volatile void __iomem *va);
uint64_t emul_mmio_read(const volatile void __iomem *va, unsigned int size);
void emul_mmio_write(const volatile void __iomem *va, unsigned int size,
                     uint64_t val);
#define readb(p) ((uint8_t)emul_mmio_read(p, 1))
#define readw(p) ((uint16_t)emul_mmio_read(p, 2))
#define readl(p) ((uint32_t)emul_mmio_read(p, 4))
#define readq(p) emul_mmio_read(p, 8)
#define writeb(v, p) emul_mmio_write(p, 1, (uint8_t)(v))
#define writew(v, p) emul_mmio_write(p, 2, (uint16_t)(v))
#define writel(v, p) emul_mmio_write(p, 4, (uint32_t)(v))
#define writeq(v, p) emul_mmio_write(p, 8, v)

/* Rangesets are the tree's own. */
#include <xen/rangeset.h>

/* For map operations only, in a tree that takes them from x86's pci.c. */
bool pci_check_bar(const struct pci_dev *pdev, mfn_t start, mfn_t end);
int pci_sanitize_bar_memory(struct rangeset *r);

/* Named in prototypes of the headers below. */
struct npfec { unsigned int kind; };
typedef struct { unsigned long bits; } cpumask_t;
typedef const struct hw_interrupt_type hw_irq_controller;
#define DECLARE_BITMAP(name, bits) \
    unsigned long name[((bits) + 63) / 64]

#define X86EMUL_OKAY 0
#define X86EMUL_UNHANDLEABLE 1
#define X86EMUL_RETRY 3

/* Has the tree's struct vpci_arch_msi, and what register_mmio_handler() takes. */
#include <asm/hvm/io.h>
#include <xen/vpci.h>
#include <public/domctl.h>
#include <public/physdev.h>
#include <asm/msi.h>

int pt_irq_create_bind(struct domain *d,
                       const struct xen_domctl_bind_pt_irq *bind);
int pt_irq_destroy_bind(struct domain *d,
                        const struct xen_domctl_bind_pt_irq *bind);

/* Domains and vCPUs. */
struct vcpu {
    struct domain *domain;
    unsigned int vcpu_id;
    struct vcpu *next_in_list;
    struct vpci_vcpu vpci;
    /* Set by raise_softirq() while this is current. */
    bool softirq;
};

struct domain {
    domid_t domain_id;
    bool has_vpci;
    rwlock_t pci_lock, event_lock;
    spinlock_t rangesets_lock;
    struct list_head rangesets;
    struct list_head pdev_list;
    struct vcpu *first_vcpu;
    unsigned int gfn_refs;
    struct {
        struct {
            struct list_head msix_tables;
        } hvm;
    } arch;
};

extern struct domain *hardware_domain, *dom_xen, *dom_io;
extern struct vcpu *current;

#define DOMID_NONE 0x7fff
#define is_hardware_domain(d) ((d) == hardware_domain)
#define is_hvm_domain(d) true
#define has_vpci(d) ((d)->has_vpci)
#define vcpu_runnable(v) true
#define for_each_vcpu(d, v) \
    for ( (v) = (d)->first_vcpu; (v); (v) = (v)->next_in_list )
#define for_each_pdev(d, pdev) \
    list_for_each_entry ( pdev, &(d)->pdev_list, domain_list )
#define ASSERT_PDEV_LIST_IS_READ_LOCKED(d) \
    ASSERT(pcidevs_locked() || rw_is_locked(&(d)->pci_lock))
noreturn void domain_crash(struct domain *d);

/* vpci_dump_msi() is for a debug key, which nobody presses. */
typedef struct { int unused; } rcu_read_lock_t;
static rcu_read_lock_t domlist_read_lock __maybe_unused;
#define rcu_read_lock(l) ((void)(l))
#define rcu_read_unlock(l) ((void)(l))
#define for_each_domain(d) for ( (d) = hardware_domain; (d); (d) = NULL )

enum system_state { SYS_STATE_boot, SYS_STATE_active };
extern enum system_state system_state;

#define SCHEDULE_SOFTIRQ 0
#define raise_softirq(nr) ((void)(current->softirq = true))
#define process_pending_softirqs() ((void)0)
bool general_preempt_check(void);
#define hypercall_preempt_check() general_preempt_check()

/* Nobody denies anything. */
#define XSM_HOOK 0
#define XSM_PRIV 0
#define xsm_iomem_mapping(...) 0
#define xsm_iomem_mapping_vpci(...) 0
#define xsm_pci_config_permission(...) 0
#define xsm_resource_setup_pci(...) 0
#define xsm_irq_permission(...) 0
#define iocaps_double_lock(d, write) ((void)(d))
#define iocaps_double_unlock(d, write) ((void)(d))

#endif /* EMUL_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
