/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the Xen Test Framework's interface which our tests use, for
 * building them without the framework.  Names and signatures are XTF's.
 */
#ifndef XTF_H
#define XTF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __printf(f, v)  __attribute__((__format__(__printf__, f, v)))
#define __noreturn      __attribute__((__noreturn__))
#define __weak          __attribute__((__weak__))
#define barrier()       asm volatile ( "" ::: "memory" )

#define ARRAY_SIZE(a)   (sizeof(a) / sizeof(*(a)))

#define _p(v)           ((void *)(unsigned long)(v))
#define _u(v)           ((unsigned long)(v))

/* To be provided by the test. */
extern const char test_title[];
void test_main(void);

/*
 * Not XTF's: what Xen left in %ebx, and where printk() goes.  A kernel which
 * has another console defines runtime_write() itself.
 */
extern const void *runtime_start_info;
void runtime_write(const char *buf, size_t len);

/* C library. */
void *memset(void *s, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
int strcmp(const char *s1, const char *s2);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
    __printf(3, 0);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/* Reports.  The worst one counts. */
void printk(const char *fmt, ...) __printf(1, 2);
void xtf_success(const char *fmt, ...) __printf(1, 2);
void xtf_error(const char *fmt, ...) __printf(1, 2);
void xtf_failure(const char *fmt, ...) __printf(1, 2);

/* Hypercalls. */
#define DOMID_SELF                      0x7ff0U

#define __HYPERVISOR_console_io         18
#define __HYPERVISOR_sched_op           29
#define __HYPERVISOR_physdev_op         33
#define __HYPERVISOR_domctl             36

long hypercall(unsigned int nr, unsigned long a1, unsigned long a2,
               unsigned long a3);

#define HYPERCALL1(type, nr, a1) \
    ((type)hypercall(nr, _u(a1), 0, 0))
#define HYPERCALL2(type, nr, a1, a2) \
    ((type)hypercall(nr, _u(a1), _u(a2), 0))
#define HYPERCALL3(type, nr, a1, a2, a3) \
    ((type)hypercall(nr, _u(a1), _u(a2), _u(a3)))

static inline long hypercall_sched_op(unsigned int cmd, void *arg)
{
    return HYPERCALL2(long, __HYPERVISOR_sched_op, cmd, arg);
}

static inline long hypercall_physdev_op(unsigned int cmd, void *arg)
{
    return HYPERCALL2(long, __HYPERVISOR_physdev_op, cmd, arg);
}

static inline void hypercall_yield(void)
{
    hypercall_sched_op(0 /* SCHEDOP_yield */, NULL);
}

/* Port I/O. */
static inline uint8_t inb(uint16_t port)
{
    uint8_t val;

    asm volatile ( "inb %w1, %b0" : "=a" (val) : "Nd" (port) );

    return val;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t val;

    asm volatile ( "inw %w1, %w0" : "=a" (val) : "Nd" (port) );

    return val;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t val;

    asm volatile ( "inl %w1, %k0" : "=a" (val) : "Nd" (port) );

    return val;
}

static inline void outb(uint8_t val, uint16_t port)
{
    asm volatile ( "outb %b0, %w1" :: "a" (val), "Nd" (port) );
}

static inline void outw(uint16_t val, uint16_t port)
{
    asm volatile ( "outw %w0, %w1" :: "a" (val), "Nd" (port) );
}

static inline void outl(uint32_t val, uint16_t port)
{
    asm volatile ( "outl %k0, %w1" :: "a" (val), "Nd" (port) );
}

/* Interrupt descriptors. */
#define __KERN_CS       0x08

struct xtf_idte {
    unsigned long addr;
    unsigned int cs, dpl;
};

int xtf_set_idte(unsigned int vector, struct xtf_idte *idte);

#endif /* XTF_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
