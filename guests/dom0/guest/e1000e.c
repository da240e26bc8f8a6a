/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's e1000e: sends and receives frames, and has a register which raises
 * interrupts by the reason that they are to have.
 */
#include "guest.h"

#define E1000E_CTRL             0x00000
#define E1000E_RFCTL            0x05008
#define  E1000E_CTRL_LINK_UP    (1u << 6)
#define  E1000E_CTRL_RESET      (1u << 26)
#define  E1000E_STATUS_LINK     0x2
#define E1000E_ICR              0x000c0
#define E1000E_ICS              0x000c8
#define E1000E_IMS              0x000d0
#define E1000E_IMC              0x000d8
#define  E1000E_CAUSE_RXDMT0    (1u << 4)
#define  E1000E_CAUSE_RXQ0      (1u << 20)
#define  E1000E_CAUSE_TXQ0      (1u << 22)
#define E1000E_IVAR             0x000e4
#define  E1000E_IVAR_RXQ0(n)    ((8u | (n)) << 0)
#define  E1000E_IVAR_TXQ0(n)    ((8u | (n)) << 8)
#define E1000E_RCTL             0x00100
#define  E1000E_RCTL_ENABLE     (1u << 1)
#define  E1000E_RCTL_BROADCAST  (1u << 15)
#define E1000E_TCTL             0x00400
#define  E1000E_TCTL_ENABLE     (1u << 1)
#define  E1000E_TCTL_PAD        (1u << 3)
#define E1000E_RD(reg)          (0x02800 + (reg))
#define E1000E_TD(reg)          (0x03800 + (reg))
#define  RING_BASE              0x00
#define  RING_LEN               0x08
#define  RING_HEAD              0x10
#define  RING_TAIL              0x18
#define E1000E_RAL              0x05400
#define E1000E_RAH              0x05404

#define NR_DESC                 8
#define DESC_DONE               0x01
#define TX_END                  0x01
#define TX_CRC                  0x02
#define TX_REPORT               0x08

#define FRAME_MAX               2048
#define FRAME_MIN               60

#define ARP_WAIT_MS             3000
#define ARP_TRIES               3

struct desc {
    uint64_t addr;
    uint16_t len;
    union {
        struct { uint8_t cso, cmd, status, css; } tx;
        struct { uint16_t csum; uint8_t status, errors; } rx;
    };
    uint16_t special;
};

struct arp {
    uint8_t dst[6], src[6];
    uint16_t ethertype;
    uint16_t hw, proto;
    uint8_t hw_len, proto_len;
    uint16_t op;
    uint8_t sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
} __attribute__((__packed__));

#define BE16(x)                 ((uint16_t)(((x) << 8) | ((x) >> 8)))
#define ETHERTYPE_ARP           BE16(0x0806)
#define ARP_ETHERNET            BE16(0x0001)
#define ARP_IP                  BE16(0x0800)
#define ARP_REQUEST             BE16(0x0001)
#define ARP_REPLY               BE16(0x0002)

static volatile struct desc rx[NR_DESC] __attribute__((__aligned__(4096)));
static volatile struct desc tx[NR_DESC] __attribute__((__aligned__(4096)));
static uint8_t rx_buf[NR_DESC][FRAME_MAX] __attribute__((__aligned__(4096)));
static uint8_t tx_buf[FRAME_MIN] __attribute__((__aligned__(4096)));

static uint32_t causes;                 /* That it may raise now. */
static unsigned int tx_tail, rx_next;
static uint8_t mac[6];

static const uint8_t own_ip[4] = { 10, 0, 2, 15 };

static uint32_t e1000e_read(unsigned int reg)
{
    return xpt_read32(e1000e.bar[0] + reg);
}

static void e1000e_write(unsigned int reg, uint32_t val)
{
    xpt_write32(e1000e.bar[0] + reg, val);
}

static bool same(const void *a, const void *b, size_t len)
{
    const uint8_t *p = a, *q = b;

    while ( len && *p == *q )
        --len, ++p, ++q;

    return !len;
}

static bool e1000e_ack(struct device *dev)
{
    uint32_t icr = e1000e_read(E1000E_ICR);

    (void)dev;

    /* With MSI-X the read leaves it as it is. */
    e1000e_write(E1000E_ICR, icr);

    return icr & causes;
}

static void e1000e_stop(struct device *dev)
{
    e1000e_write(E1000E_IMC, ~0u);
    e1000e_write(E1000E_RCTL, 0);
    e1000e_write(E1000E_TCTL, 0);
    e1000e_ack(dev);
    causes = 0;
}

static void ring(unsigned int base, volatile struct desc *desc,
                 unsigned int tail)
{
    e1000e_write(base + RING_BASE, _u(desc));
    e1000e_write(base + RING_BASE + 4, 0);
    e1000e_write(base + RING_LEN, NR_DESC * sizeof(*desc));
    e1000e_write(base + RING_HEAD, 0);
    e1000e_write(base + RING_TAIL, tail);
}

/* Frames both ways. */
static void e1000e_frames(void)
{
    unsigned int i;

    memset((void *)rx, 0, sizeof(rx));
    memset((void *)tx, 0, sizeof(tx));
    for ( i = 0; i < NR_DESC; ++i )
        rx[i].addr = _u(rx_buf[i]);
    tx_tail = rx_next = 0;

    ring(E1000E_RD(0), rx, NR_DESC - 1);
    ring(E1000E_TD(0), tx, 0);
    e1000e_write(E1000E_RCTL, E1000E_RCTL_ENABLE | E1000E_RCTL_BROADCAST);
    e1000e_write(E1000E_TCTL, E1000E_TCTL_ENABLE | E1000E_TCTL_PAD);
}

static bool e1000e_start(struct device *dev, enum how how)
{
    uint32_t low, high;

    e1000e_write(E1000E_IMC, ~0u);
    e1000e_write(E1000E_CTRL, E1000E_CTRL_RESET);
    sleep_ms(20);
    e1000e_write(E1000E_IMC, ~0u);
    e1000e_write(E1000E_CTRL, e1000e_read(E1000E_CTRL) | E1000E_CTRL_LINK_UP);
    /* Linux has it write longer descriptors, which QEMU's reset leaves so. */
    e1000e_write(E1000E_RFCTL, 0);
    e1000e_ack(dev);

    low = e1000e_read(E1000E_RAL);
    high = e1000e_read(E1000E_RAH);
    memcpy(mac, &low, 4);
    memcpy(mac + 4, &high, 2);

    e1000e_write(E1000E_IVAR, E1000E_IVAR_TXQ0(0) | E1000E_IVAR_RXQ0(1));
    causes = how == HOW_POLL ? 0 :
             how == HOW_MSIX ? E1000E_CAUSE_TXQ0 | E1000E_CAUSE_RXQ0 :
                               E1000E_CAUSE_RXDMT0;
    e1000e_write(E1000E_IMS, causes);

    return true;
}

static void e1000e_raise(struct device *dev, unsigned int n)
{
    (void)dev;

    e1000e_write(E1000E_ICS, !(causes & E1000E_CAUSE_TXQ0) ?
                             E1000E_CAUSE_RXDMT0 :
                             n ? E1000E_CAUSE_RXQ0 : E1000E_CAUSE_TXQ0);
}

static bool tx_idle(void)
{
    return e1000e_read(E1000E_TD(RING_HEAD)) == tx_tail;
}

/* Ask everybody who has @ip. */
static void send_request(const uint8_t ip[4])
{
    struct arp *arp = (void *)tx_buf;
    volatile struct desc *desc = &tx[tx_tail];

    memset(tx_buf, 0, sizeof(tx_buf));
    memset(arp->dst, 0xff, 6);
    memcpy(arp->src, mac, 6);
    arp->ethertype = ETHERTYPE_ARP;
    arp->hw = ARP_ETHERNET;
    arp->proto = ARP_IP;
    arp->hw_len = 6;
    arp->proto_len = 4;
    arp->op = ARP_REQUEST;
    memcpy(arp->sender_mac, mac, 6);
    memcpy(arp->sender_ip, own_ip, 4);
    memcpy(arp->target_ip, ip, 4);

    desc->addr = _u(tx_buf);
    desc->len = sizeof(tx_buf);
    desc->tx.cmd = TX_END | TX_CRC | TX_REPORT;
    desc->tx.status = 0;

    tx_tail = (tx_tail + 1) % NR_DESC;
    barrier();
    e1000e_write(E1000E_TD(RING_TAIL), tx_tail);
}

/* The frame which came next is the answer of @ip. */
static bool receive_reply(const uint8_t ip[4], uint8_t from[6])
{
    const struct arp *arp;
    bool found;

    if ( !(rx[rx_next].rx.status & DESC_DONE) )
        return false;

    arp = (void *)rx_buf[rx_next];
    found = rx[rx_next].len >= sizeof(*arp) &&
            arp->ethertype == ETHERTYPE_ARP && arp->op == ARP_REPLY &&
            same(arp->sender_ip, ip, 4) && same(arp->target_mac, mac, 6);
    if ( found )
        memcpy(from, arp->sender_mac, 6);

    rx[rx_next].rx.status = 0;
    barrier();
    e1000e_write(E1000E_RD(RING_TAIL), rx_next);
    rx_next = (rx_next + 1) % NR_DESC;

    return found;
}

static const char *mac_text(const uint8_t m[6])
{
    static char text[18];

    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x",
             m[0], m[1], m[2], m[3], m[4], m[5]);

    return text;
}

static void e1000e_compute(struct device *dev)
{
    const uint8_t *ip = orders.e1000e_arp;
    uint8_t from[6];
    unsigned int tries;
    bool found = false;

    if ( !e1000e_start(dev, HOW_POLL) )
        return;

    if ( !wait_for(e1000e_read(E1000E_STATUS) & E1000E_STATUS_LINK, COMES_MS) )
        say_error(dev->name, "no link");
    say(dev->name, "mac", "%s", mac_text(mac));

    e1000e_frames();
    for ( tries = 0; tries < ARP_TRIES && !found; ++tries )
    {
        send_request(ip);
        found = wait_for(receive_reply(ip, from), ARP_WAIT_MS);
    }
    say(dev->name, "sent", "%u", !!(tx[0].tx.status & DESC_DONE));
    say(dev->name, "arp", "%u.%u.%u.%u %s", ip[0], ip[1], ip[2], ip[3],
        found ? mac_text(from) : "none");

    e1000e_stop(dev);
}

static void e1000e_storm(struct device *dev)
{
    uint8_t from[6];

    if ( !(e1000e_read(E1000E_TCTL) & E1000E_TCTL_ENABLE) )
        e1000e_frames();

    e1000e_raise(dev, 0);
    (void)receive_reply(orders.e1000e_arp, from);
    if ( tx_idle() )
        send_request(orders.e1000e_arp);
}

struct device e1000e = {
    .name     = "e1000e",
    .id       = E1000E_ID,
    .nr_irqs  = 2,
    .vector   = 0x70,
    .reg      = E1000E_STATUS,
    .reg_name = "status",
    .start    = e1000e_start,
    .stop     = e1000e_stop,
    .raise    = e1000e_raise,
    .ack      = e1000e_ack,
    .compute  = e1000e_compute,
    .storm    = e1000e_storm,
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
