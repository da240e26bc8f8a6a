/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu: a factorial unit, a register which raises interrupts, and a DMA
 * engine with a buffer of 4 KiB.
 */
#include "guest.h"

#define EDU_INVERSE             0x04
#define EDU_FACTORIAL           0x08
#define EDU_FLAGS               0x20
#define  EDU_FLAGS_COMPUTING    0x01
#define EDU_DMA_SRC             0x80
#define EDU_DMA_DST             0x88
#define EDU_DMA_COUNT           0x90
#define EDU_DMA_CMD             0x98
#define  EDU_DMA_CMD_RUN        0x01
#define  EDU_DMA_CMD_TO_MEMORY  0x02
#define  EDU_DMA_CMD_IRQ        0x04

#define EDU_BUFFER              0x40000u

/* It addresses 28 bits, and our memory is below that. */
#define DMA_LEN                 1024
#define DMA_GUARD               64

static uint8_t out[DMA_LEN] __attribute__((__aligned__(4096)));
static uint8_t in[DMA_GUARD + DMA_LEN + DMA_GUARD]
    __attribute__((__aligned__(4096)));

static uint32_t edu_read(unsigned int reg)
{
    return xpt_read32(edu.bar[0] + reg);
}

static void edu_write(unsigned int reg, uint32_t val)
{
    xpt_write32(edu.bar[0] + reg, val);
}

static bool edu_ack(struct device *dev)
{
    uint32_t status = edu_read(EDU_STATUS);

    (void)dev;

    if ( status )
        edu_write(EDU_ACK, status);

    return status;
}

static bool dma_idle(void)
{
    return !(edu_read(EDU_DMA_CMD) & EDU_DMA_CMD_RUN);
}

static bool edu_start(struct device *dev, enum how how)
{
    (void)how;

    /* Whoever had it before may have left it in the middle of something. */
    if ( !wait_for(dma_idle(), COMES_MS) )
    {
        say_error(dev->name, "DMA does not end");
        return false;
    }
    edu_ack(dev);

    return true;
}

static void edu_stop(struct device *dev)
{
    (void)wait_for(dma_idle(), COMES_MS);
    edu_ack(dev);
}

static void edu_raise(struct device *dev, unsigned int n)
{
    (void)dev;
    (void)n; /* There is one. */

    edu_write(EDU_RAISE, 1);
}

static void edu_compute(struct device *dev)
{
    edu_write(EDU_INVERSE, orders.seed);
    say(dev->name, "inverse", "0x%08x 0x%08x", orders.seed,
        edu_read(EDU_INVERSE));

    edu_write(EDU_FACTORIAL, orders.edu_factorial);
    if ( !wait_for(!(edu_read(EDU_FLAGS) & EDU_FLAGS_COMPUTING), COMES_MS) )
    {
        say_error(dev->name, "factorial does not end");
        return;
    }
    say(dev->name, "factorial", "%u %u", orders.edu_factorial,
        edu_read(EDU_FACTORIAL));
}

static void dma_run(unsigned long src, unsigned long dst, uint32_t cmd)
{
    edu_write(EDU_DMA_SRC, src);
    edu_write(EDU_DMA_DST, dst);
    edu_write(EDU_DMA_COUNT, DMA_LEN);
    edu_write(EDU_DMA_CMD, cmd | EDU_DMA_CMD_RUN);
}

/* Memory to device, and another place in it back to memory. */
static bool dma_both(uint32_t cmd)
{
    dma_run(_u(out), EDU_BUFFER + DMA_GUARD, cmd);
    if ( !wait_for(dma_idle(), COMES_MS) )
        return false;

    dma_run(EDU_BUFFER + DMA_GUARD, _u(in) + DMA_GUARD,
            cmd | EDU_DMA_CMD_TO_MEMORY);

    return wait_for(dma_idle(), COMES_MS);
}

static void edu_dma(struct device *dev)
{
    unsigned int i, same = 0, guard = 0, before;
    enum how how;

    for ( i = 0; i < DMA_LEN; ++i )
        out[i] = pattern(orders.seed, i);
    memset(in, 0x5a, sizeof(in));

    if ( !dma_both(0) )
    {
        say_error(dev->name, "DMA does not end");
        return;
    }

    for ( i = 0; i < DMA_GUARD; ++i )
        guard += (in[i] == 0x5a) + (in[sizeof(in) - 1 - i] == 0x5a);
    for ( i = 0; i < DMA_LEN; ++i )
        same += in[DMA_GUARD + i] == pattern(orders.seed, i);
    say(dev->name, "dma", "%u same %u guard %u of %u crc32 0x%08x", DMA_LEN,
        same, guard, 2 * DMA_GUARD, crc32(in + DMA_GUARD, DMA_LEN));

    how = irq_on(dev);
    before = irq_total();
    if ( !dma_both(EDU_DMA_CMD_IRQ) )
        say_error(dev->name, "DMA with an interrupt does not end");
    (void)wait_for(irq_total() - before >= 2, COMES_MS);
    sleep_ms(NOTHING_MS);
    say(dev->name, "dma.irq", "%s %u", how_name(how), irq_total() - before);
    irq_off(dev, how);
}

static void edu_storm(struct device *dev)
{
    static bool back;

    edu_raise(dev, 0);
    if ( !dma_idle() )
        return;

    if ( back )
        dma_run(EDU_BUFFER + DMA_GUARD, _u(in) + DMA_GUARD,
                EDU_DMA_CMD_IRQ | EDU_DMA_CMD_TO_MEMORY);
    else
        dma_run(_u(out), EDU_BUFFER + DMA_GUARD, EDU_DMA_CMD_IRQ);
    back = !back;
}

struct device edu = {
    .name     = "edu",
    .id       = EDU_ID,
    .nr_irqs  = 1,
    .vector   = 0x50,
    .reg      = EDU_IDENT,
    .reg_name = "ident",
    .start    = edu_start,
    .stop     = edu_stop,
    .raise    = edu_raise,
    .ack      = edu_ack,
    .compute  = edu_compute,
    .dma      = edu_dma,
    .storm    = edu_storm,
};

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
