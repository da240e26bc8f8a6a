/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest which drives the PCI devices that it was given, and says on its
 * console what it saw.
 */
#ifndef GUEST_H
#define GUEST_H

#include <line.h>
#include <msi.h>
#include <pci.h>

/*
 * One line `XPT <who> <fact> <value...>`.  say_error() is the fact `error`.
 */
void say(const char *who, const char *fact, const char *fmt, ...)
    __printf(3, 4);
void say_error(const char *who, const char *fmt, ...) __printf(2, 3);

/* Time, which the emulated PIT tells us the length of. */
void time_init(void);
uint64_t time_ms(void);

/* Halt until something comes, a few milliseconds at most; halt for a time. */
void relax(void);
void sleep_ms(unsigned int ms);

/* Until @cond or for @ms; whether it came true. */
#define wait_for(cond, ms) ({                           \
    uint64_t end_ = time_ms() + (ms);                   \
    bool true_;                                         \
                                                        \
    while ( !(true_ = (cond)) && time_ms() < end_ )     \
        relax();                                        \
                                                        \
    true_; })

/* Long for what has to come, even on a busy host. */
#define COMES_MS        10000
/* And for what must not. */
#define NOTHING_MS      200

uint32_t crc32(const void *data, size_t len);

/* Byte @i of the pattern that is told apart by @seed. */
uint8_t pattern(uint32_t seed, uint32_t i);

/*
 * Orders.
 */
#define STEP_COMPUTE    0x01
#define STEP_INTX       0x02
#define STEP_MSI        0x04
#define STEP_MSIX       0x08
#define STEP_DMA        0x10
#define STEP_PIRQ       0x20
#define STEP_ALL        0x1f            /* PIRQs are not for every guest. */

enum then { THEN_HALT, THEN_OFF, THEN_QUIET, THEN_STORM, THEN_REMAP };

struct orders {
    uint32_t seed, steps, rounds, seconds;
    uint32_t edu_factorial;
    uint32_t nvme_lba, nvme_write;      /* NO_LBA: no write. */
    uint8_t e1000e_arp[4];
    bool hotplug;
    enum then then;
};

#define NO_LBA          0xffffffffu

extern struct orders orders;

/* From the text which the toolstack loaded.  False, said: it is not right. */
bool orders_read(void);

/*
 * Devices.
 */
enum how { HOW_POLL, HOW_INTX, HOW_MSI, HOW_MSIX };

struct device {
    const char *name;
    uint32_t id;                        /* Vendor and device. */
    unsigned int nr_irqs;               /* Of MSI-X, which it can tell apart. */
    uint8_t vector;                     /* The first of its own. */

    /* A register which always answers the same, what it is called. */
    unsigned int reg;
    const char *reg_name;

    /* What has its place in the guest. */
    bool present;
    uint16_t bdf;
    unsigned long bar[6];
    uint64_t size[6];

    /*
     * start() makes it ready to raise interrupts in a way which is on already;
     * stop() ends all that it does.  raise() asks for interrupt @n.  ack()
     * takes away the reason of what it has raised; false: there is none.
     */
    bool (*start)(struct device *dev, enum how how);
    void (*stop)(struct device *dev);
    void (*raise)(struct device *dev, unsigned int n);
    bool (*ack)(struct device *dev);

    /* What it is for, and its DMA. */
    void (*compute)(struct device *dev);
    void (*dma)(struct device *dev);

    /* One turn of as much as it can do, interrupts and DMA, and what came. */
    void (*storm)(struct device *dev);
};

extern struct device edu, nvme, e1000e;
extern struct device *const devices[];
#define NR_DEVICES      3

/* Look for each device on bus 0; how many there are. */
unsigned int devices_find(void);

/* Give it BARs, turn it on and say what was found. */
bool device_place(struct device *dev);

/* Decode, bus mastering and all interrupts off. */
void device_off(struct device *dev);

/* Place BAR @n anew, with decode off. */
void device_move(struct device *dev, unsigned int n, unsigned long addr);

/* An address for a BAR of @size, above the one of the last call. */
unsigned long place(uint64_t size);
void place_again(void);

/*
 * Interrupts: what arrives is counted, and acked at the device, except for
 * the first `irq_hold` ones of INTx.  Where the device has no reason it is
 * spurious; INTx without a reason is counted as nothing else.  Each device has
 * sixteen vectors from dev->vector on.
 */
#define NR_VECTORS      16
#define VECTOR_FIRST    0x50            /* That of devices[0], and so on. */
#define VECTOR_LAST     (VECTOR_FIRST + NR_DEVICES * NR_VECTORS - 1)

#define VECTOR_INTX(dev)        ((dev)->vector)
#define VECTOR_MSI(dev)         ((dev)->vector + 1)
#define VECTOR_MSI_NEW(dev)     ((dev)->vector + 2)
#define VECTOR_MSIX(dev, n)     ((dev)->vector + 4 + (n))
#define VECTOR_MSIX_NEW(dev)    ((dev)->vector + 15)

extern volatile unsigned int irq_hits[256], irq_spurious, irq_hold;

void irq_init(void);
unsigned int irq_total(void);

void irq_intx(struct device *dev);
void irq_pirq(struct device *dev, unsigned int gsi);
unsigned int intx_gsi(const struct device *dev);
void irq_msi(struct device *dev);
void irq_msix(struct device *dev);

/*
 * The best way that the device has and the orders name, left on with the
 * device started.  HOW_POLL: it did not start.
 */
enum how irq_on(struct device *dev);
void irq_off(struct device *dev, enum how how);
const char *how_name(enum how how);

/*
 * What goes on until the domain is destroyed, or for orders.seconds.
 */
void then_quiet(void);
void then_storm(void);
void then_remap(void);

/* Wait until a device is there; until all are to be ejected, and are. */
void hotplug_wait(void);
void hotplug_eject(void);

/* The same of those which are to be at this moment. */
void hotplug_poll(void);

#endif /* GUEST_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
