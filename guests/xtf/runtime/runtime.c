/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test needs below it: hypercalls, console, interrupt descriptors, the
 * closing line and the way out.  One vCPU, nothing is re-entrant.
 */
#include <xtf.h>

#define CONSOLEIO_write         0
#define SCHEDOP_shutdown        2
#define SHUTDOWN_poweroff       0

#define NR_EXCEPTIONS           32
#define EXCEPTION_STUB_SIZE     16

/* Ordered by severity. */
enum test_status {
    STATUS_RUNNING,
    STATUS_SUCCESS,
    STATUS_ERROR,
    STATUS_FAILURE,
};

static enum test_status status;

/* Long mode interrupt gate. */
struct idt_gate {
    uint16_t offset0, selector, attr, offset1;
    uint32_t offset2, rsvd;
};

static struct idt_gate idt[256];

extern char hypercall_page[], exception_stubs[];

const void *runtime_start_info;

void runtime_main(const void *start_info);
void runtime_exception(const unsigned long *frame);

/*
 * C library.  The compiler calls memset() and memcpy() by itself.
 */
void *memset(void *s, int c, size_t n)
{
    void *d = s;

    asm volatile ( "rep stosb" : "+D" (d), "+c" (n) : "a" (c) : "memory" );

    return s;
}

void *memcpy(void *dst, const void *src, size_t n)
{
    void *d = dst;

    asm volatile ( "rep movsb" : "+D" (d), "+S" (src), "+c" (n) :: "memory" );

    return dst;
}

int strcmp(const char *s1, const char *s2)
{
    for ( ; *s1 && *s1 == *s2; ++s1, ++s2 )
        ;

    return (unsigned char)*s1 - (unsigned char)*s2;
}

struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, char c)
{
    if ( o->len < o->size )
        o->buf[o->len] = c;
    o->len++;
}

static void put_padded(struct out *o, const char *s, size_t len, size_t width,
                       bool left, char pad)
{
    size_t i;

    for ( i = len; !left && i < width; ++i )
        put(o, pad);
    for ( i = 0; i < len; ++i )
        put(o, s[i]);
    for ( i = len; left && i < width; ++i )
        put(o, ' ');
}

static void put_number(struct out *o, unsigned long val, bool negative,
                       unsigned int base, size_t width, bool left, char pad)
{
    char tmp[24];
    size_t i = sizeof(tmp);

    if ( negative )
        val = -val;

    do {
        tmp[--i] = "0123456789abcdef"[val % base];
        val /= base;
    } while ( val );

    if ( negative && pad == '0' )
    {
        /* The sign goes before the zeroes. */
        put(o, '-');
        width -= !!width;
    }
    else if ( negative )
        tmp[--i] = '-';

    put_padded(o, tmp + i, sizeof(tmp) - i, width, left, pad);
}

/* Of the flags '-' and '0', a width, h/hh/l/ll/z and d i u x c s p %. */
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = { .buf = buf, .size = size };

    for ( ; *fmt; ++fmt )
    {
        bool left = false, is_long = false;
        size_t width = 0, len;
        char pad = ' ', c;
        const char *s;
        long val;

        if ( *fmt != '%' )
        {
            put(&o, *fmt);
            continue;
        }

        for ( ++fmt; *fmt == '-' || *fmt == '0'; ++fmt )
        {
            if ( *fmt == '-' )
                left = true;
            else
                pad = '0';
        }
        for ( ; *fmt >= '0' && *fmt <= '9'; ++fmt )
            width = width * 10 + *fmt - '0';
        for ( ; *fmt == 'h' || *fmt == 'l' || *fmt == 'z'; ++fmt )
            is_long = *fmt != 'h';

        switch ( *fmt )
        {
        case 'd':
        case 'i':
            val = is_long ? va_arg(args, long) : va_arg(args, int);
            put_number(&o, val, val < 0, 10, width, left, pad);
            break;

        case 'u':
        case 'x':
            val = is_long ? va_arg(args, unsigned long)
                          : va_arg(args, unsigned int);
            put_number(&o, val, false, *fmt == 'u' ? 10 : 16, width, left, pad);
            break;

        case 'p':
            put_number(&o, _u(va_arg(args, void *)), false, 16, 16, left, '0');
            break;

        case 'c':
            c = va_arg(args, int);
            put_padded(&o, &c, 1, width, left, ' ');
            break;

        case 's':
            s = va_arg(args, const char *);
            for ( len = 0; s[len]; ++len )
                ;
            put_padded(&o, s, len, width, left, ' ');
            break;

        case '%':
            put(&o, '%');
            break;

        default:
            /* Not supported: show the specifier instead of guessing. */
            put(&o, '%');
            if ( !*fmt )
                --fmt;
            else
                put(&o, *fmt);
            break;
        }
    }

    if ( size )
        buf[o.len < size ? o.len : size - 1] = '\0';

    return o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int ret;

    va_start(args, fmt);
    ret = vsnprintf(buf, size, fmt, args);
    va_end(args);

    return ret;
}

/*
 * Console and reports.
 */
__weak void runtime_write(const char *buf, size_t len)
{
    (void)HYPERCALL3(long, __HYPERVISOR_console_io, CONSOLEIO_write, len, buf);
}

static void vprintk(const char *fmt, va_list args)
{
    static char buf[512];
    int len = vsnprintf(buf, sizeof(buf), fmt, args);

    if ( len >= (int)sizeof(buf) )
        len = sizeof(buf) - 1;

    runtime_write(buf, len);
}

void printk(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintk(fmt, args);
    va_end(args);
}

#define DEFINE_REPORT(name, sta)                \
void name(const char *fmt, ...)                 \
{                                               \
    va_list args;                               \
                                                \
    if ( status < (sta) )                       \
        status = (sta);                         \
                                                \
    if ( !fmt )                                 \
        return;                                 \
                                                \
    va_start(args, fmt);                        \
    vprintk(fmt, args);                         \
    va_end(args);                               \
}

DEFINE_REPORT(xtf_success, STATUS_SUCCESS)
DEFINE_REPORT(xtf_error, STATUS_ERROR)
DEFINE_REPORT(xtf_failure, STATUS_FAILURE)

static void __noreturn finish(void)
{
    static const char *const names[] = {
        [STATUS_RUNNING] = "ERROR",
        [STATUS_SUCCESS] = "SUCCESS",
        [STATUS_ERROR]   = "ERROR",
        [STATUS_FAILURE] = "FAILURE",
    };
    unsigned int reason = SHUTDOWN_poweroff;

    if ( status == STATUS_RUNNING )
        printk("Test did not report a status\n");
    printk("Test result: %s\n", names[status]);

    hypercall_sched_op(SCHEDOP_shutdown, &reason);

    for ( ;; )
        asm volatile ( "cli; hlt" );
}

/*
 * Interrupt descriptors.
 */
int xtf_set_idte(unsigned int vector, struct xtf_idte *idte)
{
    idt[vector] = (struct idt_gate){
        .offset0  = idte->addr,
        .offset1  = idte->addr >> 16,
        .offset2  = idte->addr >> 32,
        .selector = idte->cs,
        .attr     = 0x8e00 | (idte->dpl << 13), /* Present, interrupt gate. */
    };

    return 0;
}

/* @frame: vector, error code, rip, cs, rflags, ... */
void runtime_exception(const unsigned long *frame)
{
    unsigned long cr2;

    asm volatile ( "mov %%cr2, %0" : "=r" (cr2) );

    xtf_error("Error: exception %lu, error code %lx, rip %p, cr2 %p\n",
              frame[0], frame[1], _p(frame[2]), _p(cr2));
    finish();
}

static void init_idt(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((__packed__)) ptr = { sizeof(idt) - 1, _u(idt) };
    unsigned int i;

    for ( i = 0; i < NR_EXCEPTIONS; ++i )
    {
        struct xtf_idte idte = {
            .addr = _u(exception_stubs) + i * EXCEPTION_STUB_SIZE,
            .cs   = __KERN_CS,
        };

        xtf_set_idte(i, &idte);
    }

    asm volatile ( "lidt %0" :: "m" (ptr) );
}

/* Xen fills the page with the stubs which suit the processor's vendor. */
static void init_hypercalls(void)
{
    uint32_t leaf, eax, ebx, ecx, edx;

    for ( leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100 )
    {
        asm volatile ( "cpuid" : "=a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx)
                               : "0" (leaf), "2" (0) );
        if ( ebx == 0x566e6558 && ecx == 0x65584d4d && edx == 0x4d4d566e )
            break;
    }

    asm volatile ( "cpuid" : "=a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx)
                           : "0" (leaf + 2), "2" (0) );
    asm volatile ( "wrmsr" :: "c" (ebx), "a" ((uint32_t)_u(hypercall_page)),
                              "d" (0)
                           : "memory" );
}

void runtime_main(const void *start_info)
{
    runtime_start_info = start_info;
    init_idt();
    init_hypercalls();

    printk("--- %s ---\n", test_title);
    test_main();
    finish();
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
