/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PVH entry: Xen starts us in 32-bit flat mode without paging, %ebx pointing
 * to its start info.  Enter long mode on identity page tables of the first
 * 4 GiB and call the runtime.
 */

#define CR0_PG          (1 << 31)
#define CR0_WP          (1 << 16)
#define CR4_PAE         (1 << 5)
#define MSR_EFER        0xc0000080
#define EFER_LME        8

#define PTE_TABLE       0x03    /* Present, writable. */
#define PTE_2M          0x83    /* Present, writable, superpage. */

#define KERN_CS         0x08

        /* XEN_ELFNOTE_PHYS32_ENTRY */
        .section .note.xen, "a", @note
        .p2align 2
        .long 2f - 1f, 4f - 3f, 18
1:      .asciz "Xen"
2:      .p2align 2
3:      .long pvh_start
4:

        .text
        .code32
        .globl pvh_start
pvh_start:
        mov     $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $l4_identmap, %eax
        mov     %eax, %cr3

        mov     $MSR_EFER, %ecx
        rdmsr
        bts     $EFER_LME, %eax
        wrmsr

        mov     %cr0, %eax
        or      $(CR0_PG | CR0_WP), %eax
        mov     %eax, %cr0

        lgdt    gdt_ptr
        ljmp    $KERN_CS, $1f

        .code64
1:      xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        mov     $stack_top, %rsp
        mov     %ebx, %edi
        push    $2              /* Known flags: interrupts and direction off. */
        popf
        call    runtime_main
1:      hlt
        jmp     1b

/* long hypercall(unsigned int nr, a1, a2, a3) */
        .globl hypercall
hypercall:
        mov     %edi, %eax
        shl     $5, %eax
        add     $hypercall_page, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        jmp     *%rax

/*
 * One stub per exception vector.  Nothing returns from an exception, so no
 * register is saved; only the vector has to be told apart, and whether the
 * processor pushed an error code.
 */
        .set    vec, 0
        .macro  exception_stub
        .p2align 4
        .if     !((1 << vec) & 0x60227d00)
        push    $0
        .endif
        push    $vec
        jmp     exception_common
        .set    vec, vec + 1
        .endm

        .p2align 4
        .globl exception_stubs
exception_stubs:
        .rept   32
        exception_stub
        .endr

exception_common:
        mov     %rsp, %rdi
        and     $~15, %rsp
        call    runtime_exception

        /* Xen writes the hypercall stubs over this page. */
        .p2align 12
        .globl hypercall_page
hypercall_page:
        .fill   4096, 1, 0xc3

        .data
        .p2align 3
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 64-bit code, DPL 0 */
gdt_ptr:
        .word   . - gdt - 1
        .quad   gdt

        .p2align 12
l4_identmap:
        .quad   l3_identmap + PTE_TABLE
        .fill   511, 8, 0
l3_identmap:
        .quad   l2_identmap + 0x0000 + PTE_TABLE
        .quad   l2_identmap + 0x1000 + PTE_TABLE
        .quad   l2_identmap + 0x2000 + PTE_TABLE
        .quad   l2_identmap + 0x3000 + PTE_TABLE
        .fill   508, 8, 0
l2_identmap:
        .set    pfn, 0
        .rept   4 * 512
        .quad   (pfn << 21) + PTE_2M
        .set    pfn, pfn + 1
        .endr

        .bss
        .p2align 4
        .skip   16384
stack_top:

        .section .note.GNU-stack, "", @progbits
