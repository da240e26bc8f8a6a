/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the twin test share: the trace, the emulated devices, and
 * what a script may do to the emulated Xen behind emul.h.
 */

#ifndef TWIN_H
#define TWIN_H

#include "emul.h"

/* One line of the trace; compare.c has its form. */
__attribute__((format(printf, 1, 2)))
void trace(const char *fmt, ...);

/* Numbers that depend on nothing but the seed. */
struct rng { uint64_t state; };

uint64_t rng_next(struct rng *rng);
static inline unsigned int rng_below(struct rng *rng, unsigned int limit)
{
    return rng_next(rng) % limit;
}
static inline bool rng_chance(struct rng *rng, unsigned int percent)
{
    return rng_below(rng, 100) < percent;
}

/* What a kind of device has. */
struct model {
    const char *name;
    uint8_t header_type;
    bool ignore_bars;
    struct {
        enum { BAR_EMPTY, BAR_IO, BAR_MEM32, BAR_MEM64 } kind;
        bool prefetch;
        uint32_t size;
    } bars[PCI_HEADER_NORMAL_NR_BARS];
    uint32_t rom;
    /* No vectors: no capability. */
    struct {
        unsigned int vectors;
        bool is64, masking;
    } msi;
    /* Offsets with the number of the BAR, as in the capability. */
    struct {
        unsigned int entries;
        uint32_t table, pba;
    } msix;
};

extern const struct model models[];
extern const unsigned int nr_models;

/* Where the capabilities are. */
#define MSI_POS 0x40
#define MSIX_POS 0x60

#define MAX_DEVICES 8

struct device {
    const struct model *model;
    struct pci_dev pdev;
    struct arch_msix msix;
    /* What is there, what of it can be written, and what is cleared by ones. */
    uint8_t config[PCI_CFG_SPACE_EXP_SIZE];
    uint8_t writable[PCI_CFG_SPACE_EXP_SIZE];
    uint8_t clears[PCI_CFG_SPACE_EXP_SIZE];
    uint8_t *memory[PCI_HEADER_NORMAL_NR_BARS + 1];
};

extern struct device devices[MAX_DEVICES];
extern unsigned int nr_devices;

/* Adds a device at 00:<nr>.0, as after power on; free_devices() drops all. */
struct device *add_device(const struct model *model);
void free_devices(void);
/* Gives a device to the hardware domain, as Xen does: what vPCI says of it. */
int attach_device(struct device *dev, bool hidden);
/* A function level reset: all but the firmware's read-only part is lost. */
void reset_device(struct device *dev);

/* The registers themselves, with no trace. */
uint32_t device_read(const struct device *dev, unsigned int reg,
                     unsigned int size);
void device_write(struct device *dev, unsigned int reg, unsigned int size,
                  uint32_t val);
/* The address in a BAR, or in the ROM BAR as one past the last. */
uint64_t device_bar(const struct device *dev, unsigned int bar);
unsigned int device_rom_reg(const struct device *dev);
/* The memory that answers at an address, or NULL. */
uint8_t *device_memory(uint64_t pa, unsigned int size);

/* A new, empty Xen with two vCPUs of the hardware domain. */
extern struct vcpu vcpus[2];
void emul_start(uint64_t seed);
/* Forgets everything; what was left over gets counted. */
struct leftovers {
    unsigned int allocations, mappings, pirqs, pages, handlers;
};
struct leftovers emul_left(void);
void emul_end(void);

/* A page that cannot be mapped, one that cannot be unmapped; 0 is none. */
extern unsigned long emul_bad_map, emul_bad_unmap;
/* Interrupts that cannot be had, or not be bound. */
extern bool emul_no_pirqs, emul_no_binds;

/* The p2m's MMIO as one line per range. */
void emul_trace_p2m(void);
p2m_type_t emul_p2m_type(unsigned long gfn);
/* The handler that accepts an address, or NULL. */
const struct hvm_mmio_ops *emul_mmio_handler(struct vcpu *v,
                                             unsigned long addr);

#endif /* TWIN_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
