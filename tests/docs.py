#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hold the pages and the comments against the tree.

    tests/docs.py [--root FOLDER]   exit status 1 and one line a finding
    tests/docs.py --self-test       plant findings in a made-up tree and see that each is found

1. A line of a page has at most 110 columns. Tables, code and a single word that cannot be broken may be
   longer. Nor has a line of a comment more, but in the places of UNWRAPPED: that list may only shrink.
2. A file of this tree that a page or a comment of a C source names exists, and a name without a folder means
   one file.
3. An identifier of dfal's (df_..., dfal_..., DF_..., DFAL_...) that a page or a comment names stands in the
   code.
4. What a comment puts in quotes behind the name of a page, (docs/NUMERICS.md, "Precision"), stands on it.
5. Two C sources do not have the same name. Those of TWICE still do: the list may only shrink.
"""
import argparse
import fnmatch
import pathlib
import re
import sys
import tempfile

COLUMNS = 110
PRINTED = {"docs/CLI.md"}  # by the command, from its tables
FOLDERS = ["cmake", "docker", "docs", "examples", "host", "kernels", "models", "tests", "tools"]
SOURCES = {".c", ".h", ".cu", ".cuh", ".def", ".cpp"}
# What a name without a folder has to end with to be taken for a file of this tree.
NAMED = SOURCES | {".cmake", ".md", ".proto", ".py", ".sh"}

# Names that are no files of this tree, and what they are.
OTHERS = {
    "THIRD_PARTY.md": "tools/bundle writes it into a bundle",
    "sysexits.h": "a header of the C library",
    "shape.h": "the height in a struct df_shape",
    "numpy/lib/format.py": "the source of NumPy that host/io/npy.c follows",
    "Lib/pickletools.py": "the source of CPython that host/io/pickle.c follows",
}

# Names of C sources that stand in more than one folder.
TWICE = set()

# Where comments still have longer lines.
UNWRAPPED = set()

FENCE = re.compile(r"^ {0,3}(```|~~~)")
ITEM = re.compile(r"^ *(?:[-*+]|\d+[.)]) ")
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|(/\*.*?\*/|//[^\n]*)', re.DOTALL)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)")
WORD = re.compile(r"(?<![\w./<*~$>-])[\w.*/-]+")
QUOTED = re.compile(r'([A-Z]+\.md),?[\s*]+"([^"]+)"')
IDENTIFIER = re.compile(r"\b(?:df|dfal|DF|DFAL)_\w+")


def kinds(lines):
    """The kind of every line of a page: text, heading, blank, code, table or markup."""
    fence, before, found = False, "blank", []
    for line in lines:
        if FENCE.match(line):
            fence, kind = not fence, "code"
        elif fence:
            kind = "code"
        elif not line.strip():
            kind = "blank"
        elif line.startswith("    ") and before in ("blank", "code") and not ITEM.match(line):
            kind = "code"
        elif line.lstrip().startswith("|") and line.rstrip().endswith("|"):
            kind = "table"
        elif line.startswith("#"):
            kind = "heading"
        elif line.startswith(("<!--", "![")):
            kind = "markup"
        else:
            kind = "text"
        # A blank line inside code leaves it code.
        if kind != "blank" or before != "code":
            before = kind
        found.append(kind)
    return found


def check_columns(path, lines):
    for number, (line, kind) in enumerate(zip(lines, kinds(lines)), 1):
        words = ITEM.sub("", line).split()
        if kind in ("text", "heading") and len(line) > COLUMNS and len(words) > 1:
            yield f"{path}:{number}: {len(line)} columns, expected at most {COLUMNS}"


def texts_of_page(text):
    """(offset, text) of everything on a page that may name a file: code spans, code, links."""
    offset = 0
    lines = text.split("\n")
    for line, kind in zip(lines, kinds(lines)):
        if kind == "code":
            yield offset, line
        offset += len(line) + 1
    for match in SPAN.finditer(text):
        yield match.start(2), match.group(2)
    for match in LINK.finditer(text):
        if "://" not in match.group(1):
            yield match.start(1), match.group(1)


def texts_of_source(text):
    for match in COMMENT.finditer(text):
        if match.group(1):
            yield match.start(1), match.group(1)


def without_comments(text):
    return COMMENT.sub(lambda match: "" if match.group(1) else match.group(0), text)


def place_of(path):
    """A room, a folder or a file: what UNWRAPPED lists."""
    return "/".join(path.split("/")[:2 if path.startswith("host/") else 1])


def long_comments(path, text):
    """The lines of comments of a source that have too many columns."""
    if max(map(len, text.split("\n"))) <= COLUMNS:
        return
    for offset, comment in texts_of_source(text):
        begin = text.rfind("\n", 0, offset) + 1
        for i, line in enumerate(text[begin:offset + len(comment)].split("\n")):
            if len(line) > COLUMNS:
                yield (f"{path}:{line_of(text, begin) + i}: a comment ends in column {len(line)}, "
                       f"expected at most {COLUMNS}")


class Tree:
    """The files and folders below root, by path and by name, and the words of the code."""

    def __init__(self, root):
        self.root = root
        self.paths, self.named, self.words = set(FOLDERS), {}, set()
        for entry in root.iterdir():
            for file in entry.rglob("*") if entry.name in FOLDERS else [entry]:
                path = file.relative_to(root).as_posix()
                if file.is_file() and "__pycache__" not in path:
                    self.named.setdefault(file.name, []).append(path)
                self.paths.add(path)
        self.rooms = {path.split("/")[1] for path in self.paths if re.fullmatch(r"host/[^./]+", path)}
        self.texts = {path: (root / path).read_text(encoding="utf-8") for path in sorted(self.paths)
                      if self.is_read(pathlib.PurePosixPath(path))}
        for path, text in self.texts.items():
            # This file plants names that are none.
            if not path.endswith(".md") and path != "tests/docs.py":
                self.words.update(re.findall(r"\w+", without_comments(text)))

    def is_read(self, path):
        """Pages, sources, scripts and what builds: where identifiers may stand."""
        is_script = path.suffix == "" and path.parts[0] == "tools"
        is_build = path.name == "CMakeLists.txt"
        return (path.suffix in NAMED or is_script or is_build) and (self.root / path).is_file()

    def has(self, path):
        return bool(fnmatch.filter(self.paths, path)) if "*" in path else path in self.paths

    def problem_of_name(self, here, word):
        """A name without a folder that is read in the folder `here`."""
        if "*" in word:
            return None if fnmatch.filter(self.named, word) else f"no file is called {word}"
        places = sorted(self.named.get(word, []))
        if len(places) > 1 and (here / word).as_posix() not in places:
            return f"{word} may be {' or '.join(places)}: name its folder"
        return None if places else f"there is no file {word}"

    def problem(self, page, word):
        """What is wrong with a word of a page or comment, None where it is a file or no file's name."""
        if "." not in word and "/" not in word:
            return None
        here = pathlib.PurePosixPath(page).parent
        is_file = pathlib.PurePosixPath(word).suffix in NAMED
        if "/" not in word:
            return self.problem_of_name(here, word) if is_file else None
        word = word.rstrip("/").removeprefix("dfal/")  # the folder that the tutorial clones into
        first = word.split("/")[0]
        if first in (".", ".."):
            return None if (self.root / here / word).exists() else f"{word} leads nowhere"
        if not is_file and first not in FOLDERS:
            return None
        if any(self.has(folder + word) for folder in ("", "host/", f"{here.as_posix()}/")):
            return None
        return f"there is no {word}"


def check_words(tree, page, text, unused):
    """Files and identifiers that a page, or the comments of a source, name; words of OTHERS leave `unused`."""
    for offset, part in texts_of_page(text) if page.endswith(".md") else texts_of_source(text):
        for match in WORD.finditer(part):
            word = match.group(0).rstrip(".-")
            problem = None if word in OTHERS else tree.problem(page, word)
            unused.discard(word)
            if problem:
                yield f"{page}:{line_of(text, offset + match.start())}: {problem}"
        for match in IDENTIFIER.finditer(part):
            word = match.group(0)
            begins = word.endswith("_") or part[match.end():match.end() + 1] in ("<", "*")
            known = any(other.startswith(word) for other in tree.words) if begins else word in tree.words
            if not known:
                yield f"{page}:{line_of(text, offset + match.start())}: the code has no {word}"
        for match in QUOTED.finditer(part):
            place, words = "docs/" + match.group(1), re.sub(r"[\s*]+", " ", match.group(2))
            if words not in tree.texts.get(place, words):
                yield f"{page}:{line_of(text, offset + match.start())}: {place} does not say '{words}'"


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_twice(tree, twice):
    for name, places in sorted(tree.named.items()):
        sources = sorted(path for path in places if pathlib.PurePosixPath(path).suffix in SOURCES)
        if len(sources) > 1 and name not in twice:
            yield f"{sources[1]}:1: there is a {sources[0]}, too: give one of them another name"
        if len(sources) == 1 and name in twice:
            yield f"{sources[0]}:1: it is the only {name} now: take the name off TWICE in tests/docs.py"
    for name in sorted(twice - set(tree.named)):
        yield f"tests/docs.py:1: no source is called {name} any more: take it off TWICE"


def check_comments(tree, unwrapped):
    places = set()
    for path, text in tree.texts.items():
        if pathlib.PurePosixPath(path).suffix in SOURCES:
            found = list(long_comments(path, text))
            if place_of(path) in unwrapped:
                places.update([place_of(path)] if found else [])
            else:
                yield from found
    for place in sorted(unwrapped - places):
        yield f"tests/docs.py:1: all comments of {place} are wrapped: take it off UNWRAPPED"


def check(root, twice=frozenset(), unwrapped=frozenset()):
    """All findings below root as "path:line: sentence", how many files were read, words of OTHERS in none."""
    tree = Tree(root)
    found, unused, count = [*check_twice(tree, twice), *check_comments(tree, unwrapped)], set(OTHERS), 0
    for path, text in tree.texts.items():
        suffix = pathlib.PurePosixPath(path).suffix
        if (suffix != ".md" and suffix not in SOURCES) or path in PRINTED:
            continue
        count += 1
        if suffix == ".md":
            found += check_columns(path, text.split("\n"))
        found += check_words(tree, path, text, unused)
    return found, count, unused


LONG = "word " * 30 + "\n"
# path -> (text, words of the expected finding or None)
PLANTED = {
    "docs/LONG.md": ("one line\n" + LONG, "docs/LONG.md:2: 150 columns"),
    "docs/ITEM.md": ("* an item\n* " + LONG, "docs/ITEM.md:2: 152 columns"),
    "docs/BEHIND.md": ("    code\n\n  " + LONG, "docs/BEHIND.md:3: 152 columns"),
    "docs/NORM.md": ("|g| is no table: " + LONG, "docs/NORM.md:1: 167 columns"),
    "docs/HEADING.md": ("# " + LONG, "docs/HEADING.md:1: 152 columns"),
    "docs/EXEMPT.md": ("| " + LONG.strip() + " |\n\n    " + LONG + "\n```\n" + LONG + "```\n* " + "x" * 200 + "\n", None),
    "docs/NAMED.md": ("`base/status.h`, `host/base`, [it](LONG.md), `status.h`, `st*.h`, `user/x.h5`, and/or.\n",
                      None),
    "docs/GONE.md": ("See `run/status.h`.\n", "there is no run/status.h"),
    "docs/FOLDER.md": ("A line\nand `host/attic`.\n", "docs/FOLDER.md:2: there is no host/attic"),
    "docs/NOBODY.md": ("See `nobody.c`.\n", "there is no file nobody.c"),
    "docs/PATTERN.md": ("See `q*.c`.\n", "no file is called q*.c"),
    "docs/TWO.md": ("See `same.h`.\n", "may be host/base/same.h or kernels/same.h"),
    "docs/LINK.md": ("See [this](../host/none.c).\n", "leads nowhere"),
    "docs/CODE.md": ("Run\n\n    tools/none --fast\n", "docs/CODE.md:3: there is no tools/none"),
    "docs/WORD.md": ("Call `df_status_name`, `df_st<kind>`.\n", "the code has no df_status_name"),
    "host/base/status.h": ("int df_status; /* same.h is here */\n", None),
    "host/base/text.c": ('char *a = "none.c"; /* see status.h and df_status */ char b = \'"\'; // run/all of it\n', None),
    "host/base/lost.c": ('char *a = "/*";\n/* one\n * and none.c */\n', "host/base/lost.c:3: there is no file none.c"),
    "host/base/marks.c": ('/* docs/LONG.md, "one\n * line"; ITEM.md, "two" */\n', "docs/ITEM.md does not say 'two'"),
    "host/base/wide.c": ("int a; /* one\n * " + "x" * 110 + " */\n", "wide.c:2: a comment ends in column 116"),
    "host/run/late.c": ("/* " + LONG.strip() + " */\n", None),
    "host/net/code.c": ('char *a = "' + LONG.strip() + '";\n', None),
    "host/base/same.h": ("", "host/base/same.h, too"),
    "kernels/call.h": ("// df_none_at\n", "kernels/call.h:1: the code has no df_none_at"),
    "kernels/same.h": ("", None),  # named in the finding of the other
    "kernels/single.h": ("", "the only single.h now"),
    "tools/said.c": ("", None),
    "tests/said.c": ("", None),
}


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for path, (text, _) in PLANTED.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        found, count, unused = check(root, {"said.c", "single.h", "left.h"}, {"host/run", "host/net"})
    wrong = [] if unused == set(OTHERS) else [f"names of OTHERS that nobody wrote were found: {set(OTHERS) - unused}"]
    expected = dict(PLANTED)
    lists = ["no source is called left.h", "all comments of host/net are wrapped"]
    wrong += [f"expected one finding with '{words}'" for words in lists if sum(words in line for line in found) != 1]
    expected["kernels/same.h"] = ("", expected.pop("host/base/same.h")[1])
    for path, (_, words) in expected.items():
        lines = [line for line in found if line.startswith(path + ":")]
        if words is None and lines:
            wrong.append(f"{path}: clean, but found: {lines}")
        if words is not None and not (len(lines) == 1 and words in lines[0]):
            wrong.append(f"{path}: expected one finding with '{words}', got {lines}")
    planted = sum(words is not None for _, words in expected.values())
    planted += len(lists)
    if len(found) != planted:
        wrong.append(f"{len(found)} findings, expected {planted}")
    print("\n".join(wrong) or f"self-test: {count} files, {planted} planted findings, all found")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    found, count, unused = check(pathlib.Path(options.root).resolve(), TWICE, UNWRAPPED)
    found += [f"tests/docs.py:1: nobody writes {word} any more: take it off OTHERS" for word in sorted(unused)]
    for line in found:
        print(line)
    print(f"docs: {count} files, {len(found)} findings")
    return 1 if found or count == 0 else 0


sys.exit(main())
