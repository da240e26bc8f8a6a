/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's nvme: an admin queue, which raises interrupt 0, and one I/O queue,
 * which raises interrupt 1 where MSI-X tells them apart.
 */
#include "guest.h"

#define NVME_CAP                0x00
#define NVME_INTMS              0x0c
#define NVME_CC                 0x14
#define  NVME_CC_ENABLE         0x00460001u /* Entries of 64 and 16 bytes. */
#define NVME_CSTS               0x1c
#define  NVME_CSTS_READY        0x1
#define NVME_AQA                0x24
#define NVME_ASQ                0x28
#define NVME_ACQ                0x30
#define NVME_DOORBELL           0x1000

#define ADMIN_CREATE_SQ         0x01
#define ADMIN_CREATE_CQ         0x05
#define ADMIN_IDENTIFY          0x06
#define ADMIN_GET_FEATURES      0x0a
#define  FEATURE_QUEUES         0x07
#define IO_FLUSH                0x00
#define IO_WRITE                0x01
#define IO_READ                 0x02

#define NR_ENTRIES              8
#define SQE_WORDS               16
#define CQE_WORDS               4

#define BLOCK                   512

struct queue {
    unsigned int id, tail, head;
    uint32_t phase;
    volatile unsigned int done;
    volatile unsigned int status;       /* Of the last command. */
    uint32_t *sq;
    volatile uint32_t *cq;
};

static uint32_t pages[4][1024] __attribute__((__aligned__(4096)));
static uint8_t buf[4096] __attribute__((__aligned__(4096)));

static struct queue admin = { .id = 0, .sq = pages[0], .cq = pages[1] };
static struct queue io = { .id = 1, .sq = pages[2], .cq = pages[3] };

static uint32_t nvme_read(unsigned int reg)
{
    return xpt_read32(nvme.bar[0] + reg);
}

static void nvme_write(unsigned int reg, uint32_t val)
{
    xpt_write32(nvme.bar[0] + reg, val);
}

static void doorbell(const struct queue *q, bool completion, uint32_t val)
{
    /* The stride is 4 bytes, which start() has checked. */
    nvme_write(NVME_DOORBELL + 4 * (2 * q->id + completion), val);
}

/* Take completions off the queue. */
static bool drain(struct queue *q)
{
    bool any = false;

    for ( ; ; any = true )
    {
        uint32_t last = q->cq[q->head * CQE_WORDS + 3];

        if ( ((last >> 16) & 1) != q->phase )
            break;

        q->status = last >> 17;
        q->done++;
        if ( ++q->head == NR_ENTRIES )
        {
            q->head = 0;
            q->phase ^= 1;
        }
    }

    if ( any )
        doorbell(q, true, q->head);

    return any;
}

static bool nvme_ack(struct device *dev)
{
    bool any = drain(&admin);

    (void)dev;

    return drain(&io) || any;
}

/* The same where the interrupt may come meanwhile. */
static void poll(struct queue *q)
{
    asm volatile ( "cli" ::: "memory" );
    drain(q);
    asm volatile ( "sti" ::: "memory" );
}

static void submit(struct queue *q, uint8_t opcode, uint32_t nsid, void *data,
                   uint32_t dw10, uint32_t dw11, uint32_t dw12)
{
    uint32_t *cmd = q->sq + q->tail * SQE_WORDS;

    memset(cmd, 0, SQE_WORDS * 4);
    cmd[0] = opcode;
    cmd[1] = nsid;
    cmd[6] = _u(data);
    cmd[10] = dw10;
    cmd[11] = dw11;
    cmd[12] = dw12;

    q->tail = (q->tail + 1) % NR_ENTRIES;
    barrier();
    doorbell(q, false, q->tail);
}

/* Submit and wait.  False, said: it does not end, or with an error. */
static bool command(struct queue *q, const char *what, uint8_t opcode,
                    uint32_t nsid, void *data, uint32_t dw10, uint32_t dw11,
                    uint32_t dw12)
{
    unsigned int before = q->done;

    submit(q, opcode, nsid, data, dw10, dw11, dw12);
    if ( !wait_for((poll(q), q->done != before), COMES_MS) )
        say_error(nvme.name, "%s does not end, status 0x%x", what,
                  nvme_read(NVME_CSTS));
    else if ( q->status )
        say_error(nvme.name, "%s ended with 0x%x", what, q->status);
    else
        return true;

    return false;
}

static bool wait_ready(bool ready)
{
    if ( wait_for((nvme_read(NVME_CSTS) & NVME_CSTS_READY) == ready,
                  COMES_MS) )
        return true;

    say_error(nvme.name, "does not %s, status 0x%x", ready ? "start" : "stop",
              nvme_read(NVME_CSTS));

    return false;
}

static void nvme_stop(struct device *dev)
{
    (void)dev;

    nvme_write(NVME_CC, 0);
    wait_ready(false);
}

static void init_queue(struct queue *q)
{
    memset(q->sq, 0, 4096);
    memset((void *)q->cq, 0, 4096);
    q->tail = q->head = q->done = q->status = 0;
    q->phase = 1;
}

static bool nvme_start(struct device *dev, enum how how)
{
    nvme_write(NVME_CC, 0);
    if ( !wait_ready(false) )
        return false;

    if ( nvme_read(NVME_CAP + 4) & 0xf )
    {
        say_error(dev->name, "doorbells are not 4 bytes apart");
        return false;
    }

    init_queue(&admin);
    init_queue(&io);

    /*
     * Without MSI-X all is vector 0.  QEMU may have another one left pending
     * from before a reset, and would hold INTx up for it.
     */
    if ( how != HOW_MSIX )
        nvme_write(NVME_INTMS, ~1u);

    nvme_write(NVME_AQA, (NR_ENTRIES - 1) << 16 | (NR_ENTRIES - 1));
    nvme_write(NVME_ASQ, _u(admin.sq));
    nvme_write(NVME_ASQ + 4, 0);
    nvme_write(NVME_ACQ, _u(admin.cq));
    nvme_write(NVME_ACQ + 4, 0);
    nvme_write(NVME_CC, NVME_CC_ENABLE);

    return wait_ready(true) &&
           /* Contiguous, with interrupts. */
           command(&admin, "create CQ", ADMIN_CREATE_CQ, 0, (void *)io.cq,
                   (NR_ENTRIES - 1) << 16 | io.id,
                   (how == HOW_MSIX ? 1 << 16 : 0) | 3, 0) &&
           command(&admin, "create SQ", ADMIN_CREATE_SQ, 0, io.sq,
                   (NR_ENTRIES - 1) << 16 | io.id, io.id << 16 | 1, 0);
}

static void nvme_raise(struct device *dev, unsigned int n)
{
    (void)dev;

    if ( n )
        submit(&io, IO_READ, 1, buf, orders.nvme_lba, 0, 0);
    else
        submit(&admin, ADMIN_GET_FEATURES, 0, NULL, FEATURE_QUEUES, 0, 0);
}

/* @len characters, without the blanks at the end. */
static void say_text(const char *fact, const uint8_t *from, size_t len)
{
    char text[48];

    memcpy(text, from, len);
    while ( len && text[len - 1] == ' ' )
        --len;
    text[len] = '\0';
    say(nvme.name, fact, "%s", text);
}

static void say_block(const char *fact, uint32_t lba)
{
    char hex[33];
    unsigned int i;

    for ( i = 0; i < 16; ++i )
        snprintf(hex + 2 * i, 3, "%02x", buf[i]);
    say(nvme.name, fact, "%u crc32 0x%08x first %s", lba, crc32(buf, BLOCK),
        hex);
}

static void nvme_compute(struct device *dev)
{
    unsigned int i;

    if ( !nvme_start(dev, HOW_POLL) )
        goto out;

    say(dev->name, "cap", "0x%08x%08x", nvme_read(NVME_CAP + 4),
        nvme_read(NVME_CAP));

    memset(buf, 0, sizeof(buf));
    if ( !command(&admin, "identify", ADMIN_IDENTIFY, 0, buf, 1, 0, 0) )
        goto out;
    say_text("serial", buf + 4, 20);
    say_text("model", buf + 24, 40);

    memset(buf, 0, sizeof(buf));
    if ( !command(&admin, "identify namespace", ADMIN_IDENTIFY, 1, buf, 0, 0,
                  0) )
        goto out;
    say(dev->name, "blocks", "%lu of %u", *(unsigned long *)buf,
        1u << buf[128 + 4 * (buf[26] & 0xf) + 2]);

    memset(buf, 0x5a, sizeof(buf));
    if ( !command(&io, "read", IO_READ, 1, buf, orders.nvme_lba, 0, 0) )
        goto out;
    say_block("read", orders.nvme_lba);
    for ( i = BLOCK; i < sizeof(buf) && buf[i] == 0x5a; ++i )
        ;
    say(dev->name, "read.guard", "%u of %u", i - BLOCK,
        (unsigned int)sizeof(buf) - BLOCK);

    if ( orders.nvme_write != NO_LBA )
    {
        for ( i = 0; i < BLOCK; ++i )
            buf[i] = pattern(orders.seed, i);
        if ( !command(&io, "write", IO_WRITE, 1, buf, orders.nvme_write, 0,
                      0) ||
             !command(&io, "flush", IO_FLUSH, 1, NULL, 0, 0, 0) )
            goto out;

        memset(buf, 0x5a, sizeof(buf));
        if ( !command(&io, "read back", IO_READ, 1, buf, orders.nvme_write, 0,
                      0) )
            goto out;
        say_block("written", orders.nvme_write);
    }

 out:
    nvme_stop(dev);
}

static void nvme_storm(struct device *dev)
{
    static unsigned int asked_io, asked_admin;

    /* Counted anew when the controller was started anew. */
    if ( io.done == 0 )
        asked_io = 0;
    if ( admin.done < asked_admin )
        asked_admin = admin.done;

    if ( io.done >= asked_io )
    {
        asked_io = io.done + 1;
        nvme_raise(dev, 1);
    }
    if ( admin.done >= asked_admin )
    {
        asked_admin = admin.done + 1;
        nvme_raise(dev, 0);
    }
}

struct device nvme = {
    .name     = "nvme",
    .id       = NVME_ID,
    .nr_irqs  = 2,
    .vector   = 0x60,
    .reg      = NVME_VS,
    .reg_name = "version",
    .start    = nvme_start,
    .stop     = nvme_stop,
    .raise    = nvme_raise,
    .ack      = nvme_ack,
    .compute  = nvme_compute,
    .storm    = nvme_storm,
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
