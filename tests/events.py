#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every event that the sources name stands in docs/FORMATS.md, and nothing else does: events.py ROOT"""
import pathlib
import re
import sys


def said(root):
    """Names given to df_say, df_progress_begin, df_row_loop_begin_of and struct dfal_event."""
    patterns = (r'df_say\(\s*[^,]+,\s*[A-Z_]+,\s*([^,]*"[^;]*?),\s*DF_', r'(?:df_progress_begin|df_row_loop_begin_of)\([^,]+,[^,]+,\s*("[^"]+")',
                r'\.name = ("[a-z]+\.[a-z_.]+")', r'DFAL_[A-Z]+, ("[a-z]+\.[a-z_]+")', r'"event", ("[a-z]+")',
                r'((?:run_deepfool|compute)\([^;]*"[a-z]+\.[a-z]+"[^;]*)', r'event = ("[a-z]+\.[a-z_]+")')
    names = set()
    for folder in ("host", "tools"):
        for path in sorted((root / folder).rglob("*.c")):
            text = path.read_text(encoding="utf-8")
            for pattern in patterns:
                for match in re.finditer(pattern, text):
                    names.update(re.findall(r'"([a-z]+\.[a-z_.]+)"', match.group(1)))
    return names


def documented(root):
    text = (root / "docs/FORMATS.md").read_text(encoding="utf-8")
    table = text[text.index("## Events"):]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([a-z]+\.[a-z_.]+)`", row.split("|")[1])}


def main():
    root = pathlib.Path(sys.argv[1])
    code, page = said(root), documented(root)
    wrong = [f"{name} is said and not in docs/FORMATS.md" for name in sorted(code - page)]
    wrong += [f"{name} is in docs/FORMATS.md and nowhere said" for name in sorted(page - code)]
    print("\n".join(wrong) or f"{len(code)} events, all of them documented")
    if len(code) < 20:
        sys.exit("fewer than 20 events were found: the patterns no longer fit the sources")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
