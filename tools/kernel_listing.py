# SPDX-License-Identifier: Apache-2.0
"""What tools/kernel-budget reads out of compiled kernels: registers, instructions by kind, and loops.

    kernels(text)     of a listing of nvdisasm -c: name -> Kernel
    resources(text)   of cuobjdump -res-usage: name -> registers, stack, static shared bytes

A loop is found in the graph of jumps, not by its place in the listing: ptxas puts rare paths behind the end of a kernel, and a jump
back from there is no loop. A loop has all instructions that it may run, those of paths that are seldom taken, too. What a kernel
calls (a division of 64 bits) counts as the call alone."""
import collections
import re

# Opcode, up to its first dot -> kind. Others count among all instructions only.
KINDS = {"FFMA": "fma", "FADD": "add", "FMUL": "add", "HMMA": "mma", "DFMA": "double", "DADD": "double", "DMUL": "double", "LDS": "lds",
         "STS": "sts", "LDG": "ldg", "STG": "stg", "LDL": "local", "STL": "local", "BRA": "branch", "BRX": "branch", "CALL": "branch",
         "BSYNC": "branch"}
ARITHMETIC = ("fma", "add", "mma", "double")

SECTION = re.compile(r"\s*\.section\s+\.text\.([^,\s]+),")
LABEL = re.compile(r"(\.L_x_\d+):$")
LINE = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(@!?U?PT?\d?\s+)?([A-Z][A-Z0-9_.]*)(.*)$")
TARGET = re.compile(r"`\((\.L_x_\d+)\)")
CONDITION = re.compile(r"\s+!?U?P\d,")
RESOURCE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")

Instruction = collections.namedtuple("Instruction", "opcode may_fall target")
Kernel = collections.namedtuple("Kernel", "instructions loops")


class Loop:
    """Indices of its instructions, those of the loops inside it included."""

    def __init__(self, body):
        self.body = body
        self.inner, self.outer = [], None

    def own(self):
        """Its instructions without those of the loops inside it."""
        return self.body.difference(*(loop.body for loop in self.inner))


def count(kernel, indices=None):
    """Instructions by kind; "all" is every one of them. "wavefronts": what loads and stores of shared memory take where all lanes have
    addresses of their own and no two meet in a bank."""
    found = collections.Counter()
    for index in range(len(kernel.instructions)) if indices is None else indices:
        opcode, *suffixes = kernel.instructions[index].opcode.split(".")
        if opcode == "NOP":
            continue
        kind = KINDS.get(opcode)
        found["all"] += 1
        if kind is not None:
            found[kind] += 1
        if kind in ("lds", "sts"):
            found["wavefronts"] += 4 if "128" in suffixes else 2 if "64" in suffixes else 1
    return found


def instruction_of(match):
    guard, opcode, operands = match.groups()
    target = TARGET.search(operands)
    first = opcode.split(".")[0]
    leaves = first in ("EXIT", "RET", "BRX") or (first == "BRA" and ".DIV" not in opcode)
    return Instruction(opcode, not leaves or guard is not None or CONDITION.match(operands) is not None,
                       target.group(1) if target and first == "BRA" else None)


def depth_first(after):
    """Number of every instruction that is reached from the first: a jump to one with a larger number, or to itself, closes a loop."""
    number, seen, stack = {}, {0}, [(0, iter(after[0]))]
    while stack:
        node, rest = stack[-1]
        for following in rest:
            if following not in seen:
                seen.add(following)
                stack.append((following, iter(after[following])))
                break
        else:
            number[node] = len(number)
            stack.pop()
    return number


def find_loops(instructions, labels):
    """Loops by the place of their heads; jumps back to one head are one loop. Into a loop there is one way, through its head: ptxas
    makes no others."""
    size = len(instructions)
    after = [[to for to in ([index + 1] if one.may_fall else []) + ([labels[one.target]] if one.target in labels else []) if to < size]
             for index, one in enumerate(instructions)]
    number, before, bodies = depth_first(after), collections.defaultdict(list), {}
    for node in number:
        for to in after[node]:
            before[to].append(node)
    for node in number:
        for head in after[node]:
            if number[head] < number[node]:
                continue
            body, waiting = bodies.setdefault(head, {head}), [node]
            while waiting:
                one = waiting.pop()
                if one not in body:
                    body.add(one)
                    waiting.extend(before[one])
    loops = [Loop(frozenset(body)) for _, body in sorted(bodies.items())]
    for loop in loops:
        around = [other for other in loops if loop.body < other.body]
        if around:
            loop.outer = min(around, key=lambda other: len(other.body))
            loop.outer.inner.append(loop)
    return loops


def kernels(text):
    """Of every kernel of a listing its instructions and loops."""
    found, parts = {}, None
    for line in text.splitlines():
        section = SECTION.match(line)
        if section:
            parts = found[section.group(1)] = ([], {})
            continue
        if parts is None:
            continue
        label, match = LABEL.match(line), LINE.match(line)
        if label:
            parts[1][label.group(1)] = len(parts[0])
        elif match:
            parts[0].append(instruction_of(match))
    return {name: Kernel(instructions, find_loops(instructions, labels)) for name, (instructions, labels) in found.items() if instructions}


def computing_loops(kernel, least):
    """Counts of the loops without a loop inside that have `least` instructions of arithmetic, the longest first."""
    counts = [count(kernel, loop.body) for loop in kernel.loops if not loop.inner]
    return sorted((one for one in counts if sum(one[kind] for kind in ARITHMETIC) >= least), key=lambda one: -one["all"])


def resources(text):
    """Registers, bytes of stack (arrays of a thread, spilled registers) and of static shared memory by kernel."""
    found, name = {}, None
    for line in text.splitlines():
        words, match = line.split(), RESOURCE.search(line)
        if len(words) == 2 and words[0] == "Function":
            name = words[1].rstrip(":")
        elif match and name is not None:
            registers, stack, shared, local = (int(number) for number in match.groups())
            found[name] = {"registers": registers, "stack": stack + local, "shared": shared}
            name = None
    return found
