#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layout of the public structs: tests/abi.py COMPILER ROOT [--write]

Programs that were built with an older dfal.h keep the offsets of its fields. What stands in tests/abi/VERSION.txt, a line
for each field (struct, field, offset, bytes), must hold for ever; new fields are appended, and get their lines by --write.
A struct that begins with its size has no padding behind its last field, where an older program may have anything."""
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = """#include "dfal.h"
#include <stdio.h>
#define FIELD(s, f) printf("%s %s %zu %zu\\n", #s, #f, offsetof(struct s, f), sizeof ((struct s *)0)->f);
#define WHOLE(s) printf("%s = 0 %zu\\n", #s, sizeof(struct s));
int main(void)
{
@
return 0;
}
"""


def structs(header):
    """Name and fields of each struct of the header, in order."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    for name, body in re.findall(r"^struct (dfal_\w+) \{\n(.*?)^\};", text, flags=re.S | re.M):
        fields = []
        for declaration in body.split(";"):
            if declaration.strip():
                fields += [re.search(r"(\w+)\s*(\[[^]]*\])*\s*$", part).group(1) for part in declaration.split(",")]
        yield name, fields


def layout(compiler, root):
    with open(os.path.join(root, "host/dfal.h"), encoding="utf-8") as file:
        header = file.read()
    calls = [f"FIELD({name}, {field})" for name, fields in structs(header) for field in fields]
    calls += [f"WHOLE({name})" for name, _ in structs(header)]
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "abi.c"), os.path.join(folder, "abi")
        with open(source, "w", encoding="ascii") as file:
            file.write(PROGRAM.replace("@", "\n".join(calls)))
        subprocess.run([compiler, "-I", os.path.join(root, "host"), source, "-o", program], check=True)
        lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    return {(name, field): (int(offset), int(size)) for name, field, offset, size in (line.split() for line in lines)}


def kept(path):
    with open(path, encoding="ascii") as file:
        return {tuple(line.split()[:2]): tuple(map(int, line.split()[2:])) for line in file}


def faults(now, before):
    ends = {}
    for (name, field), (offset, size) in now.items():
        if field != "=":
            ends[name] = max(ends.get(name, 0), offset + size)
    for key, place in before.items():
        if now.get(key) != place:
            yield f"{key[0]}.{key[1]} was at {place[0]} with {place[1]} bytes, now {now.get(key, 'it is gone')}"
    for (name, field), (offset, _) in now.items():
        old = [place[0] for key, place in before.items() if key[0] == name]
        if field != "=" and old and (name, field) not in before and offset < max(old):
            yield f"{name}.{field} is new and stands at {offset}, expected behind all that was there"
    for name, end in ends.items():
        if (name, "size") in now and end != now[name, "="][1]:
            yield f"{name} has {now[name, '='][1] - end} bytes of padding behind its last field"
    for name, field in now:
        if field != "=" and (name, field) not in before:
            yield f"{name}.{field} has no line yet: tests/abi.py COMPILER ROOT --write"


def main():
    compiler, root = sys.argv[1:3]
    path = os.path.join(root, "tests/abi/0.2.txt")
    now = layout(compiler, root)
    before = kept(path) if os.path.exists(path) else {}
    found = list(faults(now, before))
    if sys.argv[3:] == ["--write"]:
        if any("has no line" not in fault for fault in found):
            sys.exit("\n".join(fault for fault in found if "has no line" not in fault))
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{name} {field} {place[0]} {place[1]}\n" for (name, field), place in now.items() if field != "=")
        return
    if not now or found:
        sys.exit("\n".join(found) or "no struct was found")
    print(f"{len(now)} fields and structs are where they were")


if __name__ == "__main__":
    main()
