/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses to configuration space that do not fit a register, cut up and put
 * together as Xen's side of the border does it, and the masks of registers.
 */

#include "check.h"

#define MASKS(ro_, rw1c_, rsvdp_, rsvdz_) \
    { .ro = ro_, .rw1c = rw1c_, .rsvdp = rsvdp_, .rsvdz = rsvdz_ }

static const struct reg
{
    uint32_t offset, size;
    struct xpt_masks masks;
} regs[] = {
    { 1, 1, MASKS(0, 0, 0, 0) },
    { 2, 2, MASKS(XPT_STATUS_RO, XPT_STATUS_RW1C, 0, XPT_STATUS_RSVDZ) },
    { 4, 4, MASKS(0x0000ff00, 0x00ff0000, 0x0000000f, 0xf0000000) },
    /* Nothing at 8 to 11. */
    { 12, 2, MASKS(0, 0xffff, 0, 0) },
    { 15, 1, MASKS(0, 0, 0x81, 0x18) },
};

/* What each byte of the device holds, emulated or not. */
static uint8_t device[16];
static bool written[16];

static uint32_t random32(void)
{
    /* The same ones each time. */
    return (uint32_t)rand() << 16 ^ rand();
}

static uint32_t get(uint32_t offset, uint32_t size)
{
    uint32_t val = 0;

    memcpy(&val, &device[offset], size);

    return val;
}

static void put(uint32_t offset, uint32_t size, uint32_t val)
{
    memcpy(&device[offset], &val, size);
    memset(&written[offset], true, size);
}

static const struct reg *reg_at(uint32_t start, uint32_t end)
{
    for ( size_t i = 0; i < ARRAY_SIZE(regs); i++ )
        if ( regs[i].offset < end && regs[i].offset + regs[i].size > start )
            return &regs[i];

    return NULL;
}

static struct xpt_piece next_piece(uint32_t start, uint32_t size,
                                   const struct reg *reg)
{
    return xpt_access_piece(start, size, reg ? reg->offset : 0,
                            reg ? reg->size : 0);
}

static uint32_t read_space(uint32_t start, uint32_t size)
{
    uint32_t data = 0;

    for ( uint32_t done = 0; done < size; )
    {
        const struct reg *reg = reg_at(start + done, start + size);
        struct xpt_piece piece = next_piece(start + done, size - done, reg);
        uint32_t val = piece.emulated
                       ? xpt_access_read(&reg->masks,
                                         get(reg->offset, reg->size),
                                         piece.offset)
                       : get(start + done, piece.size);

        data = xpt_access_merge(data, val, piece.size, done);
        done += piece.size ?: size;
    }

    return data;
}

static void write_space(uint32_t start, uint32_t size, uint32_t data)
{
    for ( uint32_t done = 0; done < size; )
    {
        const struct reg *reg = reg_at(start + done, start + size);
        struct xpt_piece piece = next_piece(start + done, size - done, reg);
        uint32_t part = data >> (done * 8), held = 0;

        if ( !piece.emulated )
            put(start + done, piece.size, part);
        else
        {
            if ( xpt_access_needs_current(&reg->masks, piece.size, reg->size) )
                held = get(reg->offset, reg->size);
            put(reg->offset, reg->size,
                xpt_access_write(&reg->masks, held, part, piece.size,
                                 piece.offset, reg->size));
        }
        done += piece.size ?: size;
    }
}

/* The byte of a mask that lies at @byte of the device. */
static uint8_t at(uint32_t mask, const struct reg *reg, uint32_t byte)
{
    return reg ? mask >> ((byte - reg->offset) * 8) : 0;
}

static const char *reads(void)
{
    for ( uint32_t start = 0; start < 16; start++ )
        for ( uint32_t size = 1; size <= 4 && start + size <= 16; size++ )
        {
            uint32_t data;

            for ( uint32_t i = 0; i < 16; i++ )
                device[i] = random32();
            data = read_space(start, size);
            for ( uint32_t i = start; i < start + size; i++ )
            {
                const struct reg *reg = reg_at(i, i + 1);
                uint8_t hidden = reg ? at(reg->masks.rsvdp | reg->masks.rsvdz,
                                          reg, i) : 0;
                uint8_t want = device[i] & ~hidden;
                uint8_t got = data >> ((i - start) * 8);

                REQUIRE(got == want, "%#x instead of %#x at %u of %u at %u",
                        got, want, i, size, start);
            }
        }

    return NULL;
}

static const char *writes(void)
{
    for ( unsigned int round = 0; round < 50; round++ )
        for ( uint32_t start = 0; start < 16; start++ )
            for ( uint32_t size = 1; size <= 4 && start + size <= 16; size++ )
            {
                uint32_t data = random32();
                uint8_t before[16];

                for ( uint32_t i = 0; i < 16; i++ )
                    before[i] = device[i] = random32();
                memset(written, 0, sizeof(written));
                write_space(start, size, data);
                for ( uint32_t i = 0; i < 16; i++ )
                {
                    const struct reg *reg = reg_at(i, i + 1);
                    bool asked = i >= start && i < start + size;
                    bool touched = asked ||
                                   (reg && reg->offset < start + size &&
                                    reg->offset + reg->size > start);
                    uint8_t val = asked ? data >> ((i - start) * 8) : before[i];
                    uint8_t want = val, keep, clear, zero;

                    REQUIRE(written[i] == touched, "byte %u of %u at %u", i,
                            size, start);
                    if ( reg && touched )
                    {
                        keep = at(reg->masks.ro | reg->masks.rsvdp, reg, i);
                        clear = at(reg->masks.rw1c, reg, i);
                        zero = at(reg->masks.rsvdz, reg, i);
                        want = (val & ~keep & ~zero) | (before[i] & keep);
                        if ( !asked )
                            want &= ~clear;
                    }
                    REQUIRE(device[i] == want,
                            "%#x instead of %#x at %u of %u at %u", device[i],
                            want, i, size, start);
                }
            }

    return NULL;
}

static const char *pieces(void)
{
    static const struct
    {
        uint32_t start, size, offset, length;
        struct xpt_piece want;
    } rows[] = {
        { 4, 4, 4, 4, { 4, 0, 1 } },
        { 4, 4, 5, 1, { 1, 0, 0 } },            /* in front of the register */
        { 5, 3, 4, 2, { 1, 1, 1 } },            /* its second byte */
        { 4, 4, 4, 1, { 1, 0, 1 } },
        { 4, 4, 0, 0, { 4, 0, 0 } },            /* no register */
        { 4, 2, 6, 2, { 2, 0, 0 } },            /* just behind */
        { 4, 2, 2, 2, { 2, 0, 0 } },            /* just before */
        { 4, 0, 4, 4, { 0, 0, 0 } },            /* no bytes */
        { 0, 8, 0, 4, { 4, 0, 1 } },
        { UINT32_MAX - 1, 4, UINT32_MAX - 1, 4, { 1, 0, 1 } },
        { UINT32_MAX, UINT32_MAX, 0, 0, { UINT32_MAX, 0, 0 } },
        { 0, UINT32_MAX, 0, UINT32_MAX, { UINT32_MAX, 0, 1 } },
        { 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, { UINT32_MAX, 0, 0 } },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        struct xpt_piece got = xpt_access_piece(rows[i].start, rows[i].size,
                                                rows[i].offset, rows[i].length);

        REQUIRE(!memcmp(&got, &rows[i].want, sizeof(got)),
                "row %zu is %u, %u, %u", i, got.size, got.offset, got.emulated);
    }

    return NULL;
}

static const char *merges(void)
{
    static const struct
    {
        uint32_t size, offset, want;
    } rows[] = {
        { 1, 0, 0x112233dd }, { 2, 1, 0x11ccdd44 }, { 3, 1, 0xbbccdd44 },
        { 4, 0, 0xaabbccdd }, { 4, 2, 0xccdd3344 }, { 0, 0, 0x11223344 },
        { 8, 0, 0xaabbccdd }, { UINT32_MAX, 3, 0xdd223344 },
        { 1, 4, 0x11223344 }, { 4, UINT32_MAX, 0x11223344 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        uint32_t got = xpt_access_merge(0x11223344, 0xaabbccdd, rows[i].size,
                                        rows[i].offset);

        REQUIRE(got == rows[i].want, "row %zu is %#x", i, got);
    }

    return NULL;
}

static const char *checked(void)
{
    static const struct
    {
        uint32_t offset, size;
        struct xpt_masks masks;
        int rc;
    } rows[] = {
        { 0, 1, MASKS(0, 0, 0, 0), 0 },
        { 0xffe, 2, MASKS(0, 0, 0, 0), 0 },
        { 0xffc, 4, MASKS(0xff, 0xff00, 0xff0000, 0xff000000), 0 },
        { 6, 2, MASKS(XPT_STATUS_RO, XPT_STATUS_RW1C, 0, XPT_STATUS_RSVDZ), 0 },
        { 0x1000, 1, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { UINT32_MAX, 1, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 1, 2, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 2, 4, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 0, 0, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 0, 3, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 0, 8, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 0, UINT32_MAX, MASKS(0, 0, 0, 0), -XEN_EINVAL },
        { 0, 1, MASKS(0x100, 0, 0, 0), -XEN_EINVAL },
        { 0, 1, MASKS(0, 0x100, 0, 0), -XEN_EINVAL },
        { 0, 2, MASKS(0, 0, 0x10000, 0), -XEN_EINVAL },
        { 0, 2, MASKS(0, 0, 0, 0x10000), -XEN_EINVAL },
        { 0, 4, MASKS(1, 1, 0, 0), -XEN_EINVAL },
        { 0, 4, MASKS(1, 0, 1, 0), -XEN_EINVAL },
        { 0, 4, MASKS(1, 0, 0, 1), -XEN_EINVAL },
        { 0, 4, MASKS(0, 1, 1, 0), -XEN_EINVAL },
        { 0, 4, MASKS(0, 1, 0, 1), -XEN_EINVAL },
        { 0, 4, MASKS(0, 0, 1, 1), -XEN_EINVAL },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        int rc = xpt_access_check(&rows[i].masks, rows[i].offset, rows[i].size);

        REQUIRE(rc == rows[i].rc, "%d for row %zu", rc, i);
    }

    return NULL;
}

static const char *current(void)
{
    static const struct
    {
        struct xpt_masks masks;
        uint32_t written, size;
        int want;
    } rows[] = {
        { MASKS(0, 0, 0, 0), 4, 4, 0 }, { MASKS(0, 0, 0, 0), 2, 4, 1 },
        { MASKS(0, 0, 0, 0), 0, 4, 1 }, { MASKS(0, 0xff, 0, 0xff00), 2, 2, 0 },
        { MASKS(1, 0, 0, 0), 4, 4, 1 }, { MASKS(0, 0, 1, 0), 4, 4, 1 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        int got = xpt_access_needs_current(&rows[i].masks, rows[i].written,
                                           rows[i].size);

        REQUIRE(got == rows[i].want, "%d for row %zu", got, i);
    }

    return NULL;
}

static const char *sizes(void)
{
    static const struct
    {
        uint32_t written, offset, size, want;
    } rows[] = {
        { 4, 0, 2, 0xccdd }, { 4, 0, 1, 0xdd }, { 1, 1, 2, 0xdd44 },
        { 3, 0, 4, 0x11bbccdd }, { 8, 0, 8, 0xaabbccdd },
        { 0, 0, 4, 0x11223344 }, { 4, 4, 4, 0x11223344 }, { 4, 0, 0, 0 },
        { UINT32_MAX, UINT32_MAX, UINT32_MAX, 0x11223344 },
    };

    for ( size_t i = 0; i < ARRAY_SIZE(rows); i++ )
    {
        uint32_t got = xpt_access_write(NULL, 0x11223344, 0xaabbccdd,
                                        rows[i].written, rows[i].offset,
                                        rows[i].size);

        REQUIRE(got == rows[i].want, "row %zu is %#x", i, got);
    }

    return NULL;
}

static const char *nulls(void)
{
    uint32_t got;

    REQUIRE(xpt_access_check(NULL, 0, 4) == -XEN_EINVAL, "no masks");
    got = xpt_access_read(NULL, 0x11223344, 0);
    REQUIRE(got == 0x11223344, "%#x", got);
    got = xpt_access_read(NULL, 0x11223344, 3);
    REQUIRE(got == 0x11, "%#x", got);
    got = xpt_access_read(NULL, 0x11223344, 4) |
          xpt_access_read(NULL, 0x11223344, UINT32_MAX);
    REQUIRE(!got, "%#x", got);
    REQUIRE(!xpt_access_needs_current(NULL, 2, 2), "all of it");
    REQUIRE(xpt_access_needs_current(NULL, 1, 2) == 1, "half of it");

    return NULL;
}

static const struct check checks[] = {
    { "reads-give-each-byte-of-whoever-has-it", reads },
    { "writes-change-each-bit-by-its-type-and-no-other-byte", writes },
    { "pieces-end-at-registers-and-at-numbers-that-overflow", pieces },
    { "merge-replaces-the-bytes-named", merges },
    { "masks-fit-the-register-and-do-not-overlap", checked },
    { "register-is-read-first-where-bits-of-it-are-kept", current },
    { "write-stays-within-the-register-for-any-size", sizes },
    { "null-masks-are-none", nulls },
};

int main(void)
{
    start();
    run_checks(checks, ARRAY_SIZE(checks));

    return finish();
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
