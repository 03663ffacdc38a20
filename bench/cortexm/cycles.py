"""An estimate of the cycles of a Cortex-M4 for what QEMU executes, function by function.

    python cycles.py network.elf -- qemu-system-arm ... -kernel network.elf

Static timings of each executed instruction (Arm DDI 0439, table 3-1), for memory without wait states: loads and stores
of n words take 1 + n cycles, one of a word right behind another one 1, taken branches 3, divisions 12, the rest 1.
Loads of unaligned words, which take a cycle more, are not told apart. Counted from pe_run on, but for main.
"""

from __future__ import annotations

import bisect
import re
import subprocess
import sys
from collections import Counter

DIVISION, TAKEN = 12, 3
MOVES_ONE = re.compile(r"(ldr|str)s?[bh]?(\.w|\.n)?$")
MOVES_TWO = re.compile(r"(ldr|str)d")
MOVES_MANY = re.compile(r"v?(ldm|stm|push|pop)")
BRANCH = re.compile(r"(b|bl|bx|blx|cbz|cbnz|tb[bh]|b(eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le))(\.w|\.n)?$")


def registers(operands: str) -> int:
    """How many a list such as {r4-r7, lr} or {s0-s10} names."""
    count = 0
    for part in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count


def cycles(instructions: list[tuple[str, str]], taken: bool) -> int:
    """Of a block of (mnemonic, operands). taken: it does not end with what follows it."""
    total, after_one = 0, False
    for mnemonic, operands in instructions:
        one = bool(MOVES_ONE.match(mnemonic))
        if one:
            total += 1 if after_one else 2
        elif MOVES_TWO.match(mnemonic):
            total += 3
        elif MOVES_MANY.match(mnemonic):
            total += 1 + registers(operands)
        else:
            total += DIVISION if mnemonic.startswith(("sdiv", "udiv")) else 1
        after_one = one
    return total + (TAKEN - 1 if taken else 0)


def symbols(elf: str) -> tuple[list[int], list[str]]:
    """Addresses of functions, ascending, and their names."""
    lines = subprocess.run(["arm-none-eabi-nm", "-n", elf], capture_output=True, text=True, check=True).stdout
    found = [line.split() for line in lines.splitlines() if line.split()[-2] in "tT" and "$" not in line]
    return [int(address, 16) & ~1 for address, *_ in found], [name for *_, name in found]


def main() -> None:
    elf, command = sys.argv[1], sys.argv[sys.argv.index("--") + 1 :]
    starts, names = symbols(elf)
    begin = starts[names.index("pe_run")]
    process = subprocess.Popen(
        [*command, "-d", "in_asm,exec,nochain"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    blocks: dict[int, list[tuple[str, str]]] = {}
    ends: dict[int, int] = {}
    runs: Counter[tuple[int, bool]] = Counter()
    current, last, started = 0, -1, False
    expects_block = False
    for line in process.stderr:
        if line.startswith("Trace"):
            pc = int(line.split("/")[1], 16)
            if last >= 0:
                runs[last, pc != ends[last]] += 1
            started = started or pc == begin
            last = pc if started else -1
        elif line.startswith("IN:"):
            expects_block = True
        elif line.startswith("0x"):
            address, _, rest = line.partition(":")
            if expects_block:
                current, expects_block = int(address, 16), False
                blocks[current] = []
            words = rest.split()
            code = [w for w in words[:2] if re.fullmatch(r"[0-9a-f]{4}", w)]
            mnemonic, operands = words[len(code)], " ".join(words[len(code) + 1 :])
            blocks[current].append((mnemonic, operands))
            ends[current] = int(address, 16) + 2 * len(code)
    by_function: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    for (pc, taken), count in runs.items():
        name = names[bisect.bisect_right(starts, pc) - 1]
        by_function[name] += count * cycles(blocks[pc], taken)
        instructions[name] += count * len(blocks[pc])
    del by_function["main"], instructions["main"]
    for name, total in by_function.most_common(12):
        print(f"{name:32}{instructions[name]:12}{total:12}{total / instructions[name]:8.2f}")
    print(f"{'all':32}{instructions.total():12}{by_function.total():12}")


if __name__ == "__main__":
    main()
