"""The boot ROM of the Bochs machine: from reset to 64-bit mode with AVX-512, then a call loop.

The 64 KiB image takes the place of the BIOS at 0xFFFF0000. It marks every 128 KiB block of memory
with its number, so that the host can find guest memory inside the Bochs process; turns on paging,
SSE, AVX and AVX-512; writes a byte 1 to port 0xE9; then waits for commands in a mailbox and writes
a byte 1 after each. Page tables beyond the ROM's own are the host's to fill in.

Sources: Intel SDM volume 3, chapters 4 (paging), 6 (exceptions), 10.8.5 (entering IA-32e mode) and
13 (XSAVE-enabled features).
"""

from __future__ import annotations

from edgewise.codegen import elf
from edgewise.codegen.jit import compile_ir

from .native import TARGET, asm_parser

MEMORY = 256 << 20
BLOCK = 128 << 10
FIRST_BLOCK = 8
MAGIC = 0x65646765

PAGE_TABLES = FIRST_BLOCK * BLOCK
TABLES_SIZE = MEMORY // 4096 * 8
SYSTEM = PAGE_TABLES + TABLES_SIZE
MAILBOX = SYSTEM + 0x100
PRESENT, WRITABLE, NO_EXECUTE = 1, 2, 1 << 63

COMMAND, FUNCTION, STACK, ARGS, RESULT, STATUS, ADDRESS, ERROR, PC = (
    *(8 * i for i in range(4)),
    *(8 * i for i in range(9, 14)),
)

_ROM = 0xFFFF0000
_PML4, _PDPT, _PD, _PD_ROM, _IDT, _TSS, _GDT, _STACKS = (SYSTEM + 0x1000 * i for i in range(1, 9))
SYSTEM_SIZE = 0xB000
_STACK, _FAULT_STACK = _STACKS + 0x1000, _STACKS + 0x2000
_WITH_ERROR_CODE = (8, 10, 11, 12, 13, 14, 17, 21, 29, 30)


def _rom_address(label: str) -> str:
    return f"({_ROM} + {label} - rom)"


def _fault_entries() -> str:
    lines = [".balign 16", "faults:"]
    for vector in range(32):
        lines += [".balign 16"] + ([] if vector in _WITH_ERROR_CODE else ["pushq $0"])
        lines += [f"pushq ${vector}", "jmp fault"]
    return "\n".join(lines)


_TEXT = f"""
.section .rom, "ax"
rom:
.code16
real:
  cli
  lgdtl %cs:(gdt_pointer - rom)
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $8, ${_rom_address("protected")}

.code32
protected:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  cld
  xorl %eax, %eax
  movl ${PAGE_TABLES}, %edi
  movl ${(TABLES_SIZE + BLOCK) // 4}, %ecx
  rep stosl
  movl ${FIRST_BLOCK}, %ecx
mark:
  movl %ecx, %ebx
  shll $17, %ebx
  movl ${MAGIC << 1}, (%ebx)
  movl %ecx, 4(%ebx)
  incl %ecx
  cmpl ${MEMORY // BLOCK}, %ecx
  jb mark

  movl ${_PDPT | 3}, {_PML4}
  movl ${_PD | 3}, {_PDPT}
  movl ${_PD_ROM | 3}, {_PDPT + 24}
  movl $0xFFE00081, {_PD_ROM + 8 * 511}
  movl ${PAGE_TABLES | 3}, %eax
  movl ${_PD}, %ebx
tables:
  movl %eax, (%ebx)
  addl $8, %ebx
  addl $4096, %eax
  cmpl ${(PAGE_TABLES + TABLES_SIZE) | 3}, %eax
  jb tables
  movl ${SYSTEM | 3}, %eax
  movl ${PAGE_TABLES + 8 * (SYSTEM >> 12)}, %ebx
system:
  movl %eax, (%ebx)
  addl $8, %ebx
  addl $4096, %eax
  cmpl ${(SYSTEM + SYSTEM_SIZE) | 3}, %eax
  jb system

  movl ${_rom_address("faults")}, %eax
  movl ${_IDT}, %ebx
  movl $32, %ecx
gates:
  movw %ax, (%ebx)
  movw $24, 2(%ebx)
  movl %eax, 4(%ebx)
  movw $0x8E01, 4(%ebx)
  addl $16, %ebx
  addl $16, %eax
  loop gates
  movl ${_FAULT_STACK}, {_TSS + 36}
  movl ${_rom_address("gdt")}, %esi
  movl ${_GDT}, %edi
  movl $12, %ecx
  rep movsl
  lgdtl {_rom_address("long_gdt_pointer")}
  lidtl {_rom_address("idt_pointer")}

  movl $0x40620, %eax
  movl %eax, %cr4
  movl ${_PML4}, %eax
  movl %eax, %cr3
  movl $0xC0000080, %ecx
  rdmsr
  orl $0x900, %eax
  wrmsr
  movl $0x80010033, %eax
  movl %eax, %cr0
  ljmpl $24, ${_rom_address("long")}

.code64
long:
  movl ${_STACK}, %esp
  movw $32, %ax
  ltr %ax
  xorl %ecx, %ecx
  xorl %edx, %edx
  movl $0xE7, %eax
  xsetbv
  movb $1, %al
  outb %al, $0xE9
wait:
  pause
  cmpq $0, {MAILBOX + COMMAND}
  je wait
  movq %cr3, %rax
  movq %rax, %cr3
  movl ${MAILBOX}, %ebx
  movq {ARGS}(%rbx), %rdi
  movq {ARGS + 8}(%rbx), %rsi
  movq {ARGS + 16}(%rbx), %rdx
  movq {ARGS + 24}(%rbx), %rcx
  movq {ARGS + 32}(%rbx), %r8
  movq {ARGS + 40}(%rbx), %r9
  movq {STACK}(%rbx), %rsp
  call *{FUNCTION}(%rbx)
  movl ${MAILBOX}, %ebx
  movq %rax, {RESULT}(%rbx)
  movq $0, {STATUS}(%rbx)
done:
  movl ${_STACK}, %esp
  cld
  fninit
  movl $0x1F80, -8(%rsp)
  ldmxcsr -8(%rsp)
  movq $0, {COMMAND}(%rbx)
  movb $1, %al
  outb %al, $0xE9
  jmp wait

fault:
  movl ${MAILBOX}, %ebx
  popq %rax
  incq %rax
  movq %rax, {STATUS}(%rbx)
  popq {ERROR}(%rbx)
  popq {PC}(%rbx)
  movq %cr2, %rax
  movq %rax, {ADDRESS}(%rbx)
  jmp done
{_fault_entries()}

.balign 16
gdt:
  .quad 0
  .quad 0x00CF9B000000FFFF
  .quad 0x00CF93000000FFFF
  .quad 0x00AF9B000000FFFF
  .quad {(_TSS & 0xFFFFFF) << 16 | 0x0000_8900_0000_0067}
  .quad 0
gdt_pointer:
  .short 47
  .long {_rom_address("gdt")}
long_gdt_pointer:
  .short 47
  .quad {_GDT}
idt_pointer:
  .short 511
  .quad {_IDT}

.org 0xFFF0
  .byte 0xE9
  .short real - rom + 0x10000 - 0xFFF3
.org 0x10000
"""


def build() -> bytes:
    """The ROM's 65,536 bytes, assembled by LLVM's own assembler. Needs an x86-64 host's LLVM."""
    asm_parser()
    lines = (line.replace('"', "\\22") for line in _TEXT.splitlines() if line)
    text = "".join(f'module asm "{line}"\n' for line in lines)
    parsed = elf.parse(compile_ir(text, TARGET), "boot ROM")
    assert not parsed.relocations, "the boot ROM is not linked"
    return next(s.data for s in parsed.sections if s.name == ".rom")
