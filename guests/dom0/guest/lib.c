/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Console, time, and other small things.
 */
#include "guest.h"

#define PORT_XEN_CONSOLE        0xe9
#define PORT_COM1               0x3f8

/* Xen's console breaks longer lines. */
#define LINE_MAX                190

#define PORT_PIT_2              0x42
#define PORT_PIT_CTRL           0x43
#define  PIT_CTRL_2_ONCE        0xb0
#define PORT_SPEAKER            0x61
#define  SPEAKER_GATE           0x01
#define  SPEAKER_OUT            0x20
#define PIT_HZ                  1193182u
#define PIT_MS                  40

static uint64_t tsc_start, tsc_per_ms;

/* In one instruction, which is one request to whoever emulates the port. */
static void write_port(uint16_t port, const char *buf, size_t len)
{
    asm volatile ( "rep outsb" : "+S" (buf), "+c" (len) : "d" (port)
                               : "memory" );
}

void runtime_write(const char *buf, size_t len)
{
    write_port(PORT_XEN_CONSOLE, buf, len);
    write_port(PORT_COM1, buf, len);
}

static void vsay(const char *who, const char *fact, const char *fmt,
                 va_list args)
{
    char line[LINE_MAX];

    vsnprintf(line, sizeof(line), fmt, args);
    printk("XPT %s %s %s\n", who, fact, line);
}

void say(const char *who, const char *fact, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsay(who, fact, fmt, args);
    va_end(args);
}

void say_error(const char *who, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsay(who, "error", fmt, args);
    va_end(args);
}

void time_init(void)
{
    uint16_t count = PIT_HZ / 1000 * PIT_MS;

    outb((inb(PORT_SPEAKER) & ~2) | SPEAKER_GATE, PORT_SPEAKER);
    outb(PIT_CTRL_2_ONCE, PORT_PIT_CTRL);
    outb(count, PORT_PIT_2);
    outb(count >> 8, PORT_PIT_2);

    tsc_start = xpt_rdtsc();
    while ( !(inb(PORT_SPEAKER) & SPEAKER_OUT) )
        ;
    tsc_per_ms = (xpt_rdtsc() - tsc_start) / PIT_MS;
}

uint64_t time_ms(void)
{
    return (xpt_rdtsc() - tsc_start) / tsc_per_ms;
}

void relax(void)
{
    asm volatile ( "sti; hlt" ::: "memory" );
}

void sleep_ms(unsigned int ms)
{
    (void)wait_for(false, ms);
}

/* That of zlib, and of Ethernet. */
uint32_t crc32(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = ~0u;
    unsigned int bit;

    while ( len-- )
    {
        crc ^= *p++;
        for ( bit = 0; bit < 8; ++bit )
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    }

    return ~crc;
}

uint8_t pattern(uint32_t seed, uint32_t i)
{
    return ((seed + i) * 2654435761u) >> 24;
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
