#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""says.py CODE COMMAND... -- PATTERN...: the command ends with this exit code, and of what it says a line matches each pattern.
CTest's PASS_REGULAR_EXPRESSION alone takes no heed of the code."""
import re
import subprocess
import sys

code, *words = sys.argv[1:]
line, patterns = words[:words.index("--")], words[words.index("--") + 1:]
done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
print(done.stdout, end="")
missing = [pattern for pattern in patterns if not re.search(pattern, done.stdout, re.MULTILINE)]
if missing or done.returncode != int(code):
    sys.exit(f"exit code {done.returncode}, expected {code}; no line says {missing}")
