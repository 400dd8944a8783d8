#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal select: options, exit codes, sources, twins, contact sheets, near-duplicates."""
import html.parser
import json
import os
import re
import zlib

import h5py
import numpy as np

from data import digits, make_pool, write_linear
from support import check, main, rows_of, same_bits, same_file, write_pool

STRATEGIES = ("dfal", "random", "entropy", "least-confidence", "margin", "logit-gap")
ASKING = ("egl", "egl-last", "bald", "coreset", "coreset-greedy", "nearest-other", "badge", "dfal-diverse",
          "typiclust", "cluster-margin", "batchbald", "ceal", "dfal+ceal", "balanced", "qbdc")
KEYS = ["rank", "id", "index", "score", "strategy", "predicted", "confidence", "label", "adversarial_class",
        "predicted_name", "label_name", "adversarial_name"]


def prepare(dfal, count=120, labels=False):
    make_pool(dfal.at("train.h5"), 200, 1)
    samples, truth = digits(count, 2)
    write_pool(dfal.at("pool.h5"), samples, truth if labels else None)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1")


def options(dfal):
    """Every bad value: 64, one sentence, and nothing is written."""
    prepare(dfal, 30)
    good = ("select", "net.h5", "pool.h5", "--strategy", "entropy", "--count", "3", "-o", "q.csv")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--count", "3", "-o", "q.csv", says="--strategy")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "margin", "-o", "q.csv", says="--count")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "margin", "--count", "3", says="-o")
    dfal.refuses(64, "select", "net.h5", "--strategy", "margin", "--count", "3", "-o", "q.csv", says="NET POOL")
    for count in ("0", "-1", "3.5", "all", "", "1e3"):
        dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "margin", "--count=" + count, "-o", "q.csv",
                     says=("--count", f"'{count}'"))
    for subsample in ("0", "-2", "some", "1.5"):
        dfal.refuses(64, *good, "--subsample", subsample, says=("--subsample", f"'{subsample}'"))
    for wrong, near in (("entropie", "entropy"), ("Entropy", "entropy"), ("least_confidence", "least-confidence"),
                        ("logitgap", "logit-gap"), ("marginn", "margin"), ("dfal-divers", "dfal-diverse")):
        dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", wrong, "--count", "3", "-o", "q.csv",
                     says=(wrong, near))
    for sheet in ("sheet", "sheet.pdf", "sheet.html.gz", "png", ".folder/png", "sheet.jpg"):
        dfal.refuses(64, *good, "--sheet", sheet, says=(sheet, ".html", ".png"))
    dfal.refuses(64, *good, "--twins", "q.csv", says="q.csv")
    dfal.refuses(64, *good, "--twins", "./q.csv", "--sheet", "a.html", "--deepfool", "lts5", says="lts4")
    dfal.refuses(64, *good, "--twins", "t.png", "--sheet", "t.png", says="t.png")
    for option in ("--twins", "--sheet", "-o"):
        with open(dfal.at("in.png"), "w", encoding="ascii") as file:
            file.write("id,label\n")
        words = ["--labels", "in.png", option, "in.png"]
        dfal.refuses(64, *(good if option != "-o" else good[:-2]), *words, "--force", says="in.png")
    dfal.refuses(64, *good[:-1], "pool.h5", "--force", says="pool.h5")
    dfal.refuses(64, *good[:-1], "net.h5", "--force", says="net.h5")
    dfal.refuses(66, "select", "none.h5", "pool.h5", *good[3:], says="none.h5")
    dfal.refuses(66, "select", "net.h5", "none.h5", *good[3:], says="none.h5")
    dfal.refuses(66, *good, "--logits", "none.h5", says="none.h5")
    dfal.refuses(66, *good, "--labels", "none.csv", says="none.csv")
    dfal.refuses(73, *good[:-1], "no/such/q.csv", says="no/such")
    dfal.refuses(73, *good, "--sheet", "no/such/s.html", says="no/such")
    check(not any(name.startswith("q.csv") for name in os.listdir(dfal.folder)), "a refused line wrote its output")
    dfal.run("-q", *good)
    dfal.refuses(73, *good, says="q.csv")
    dfal.run("-q", *good, "--force")


def keys(dfal):
    """--json, the table and stdout say the same of every strategy."""
    prepare(dfal, 40)
    for name in STRATEGIES:
        words = ("select", "net.h5", "pool.h5", "--strategy", name, "--count", "5", "--force", "-o", "q.csv")
        document = dfal.json(*words)
        check([list(query) for query in document] == [[*KEYS, "facts"]] * 5, f"{name}: {document}")
        check(all(query["facts"] is None for query in document), f"{name}: facts from nowhere: {document}")
        for query, row in zip(document, rows_of(dfal.at("q.csv"))):
            check(list(row) == KEYS and int(row["index"]) == query["index"] and row["id"] == query["id"], f"{name}: {row}")
            check(row["strategy"] == query["strategy"] == name, f"{name}: {row}")
            check((row["score"] == "") == (query["score"] is None) == (name == "random"), f"{name}: {row}")
            check(row["score"] == "" or abs(float(row["score"]) - query["score"]) <= 1e-8 * abs(query["score"]), f"{row}")
            check((query["adversarial_class"] >= 0) == (name == "dfal"), f"{name}: {query}")
            check(query["label"] == -1, f"{name}: a label from nowhere: {query}")
        out, err = dfal.run("-q", *words)
        check(len(out.splitlines()) == 6 and err == "", f"{name}: {out} {err}")
    _, err = dfal.run("--log-format", "json", *words, "--sheet", "s.html", "--twins", "t.h5")
    events = [json.loads(line)["event"] for line in err.splitlines()]
    check([name for name in events if name.endswith((".begin", ".output", ".end"))] ==
          ["select.begin", "select.output", "select.output", "select.end"], f"{events}")


def table(dfal):
    """The table on stdout ends behind 20 rows and says where the others are; what has no number is a dash."""
    prepare(dfal, 40)
    for name, count in (("random", 20), ("random", 23), ("entropy", 23)):
        out, _ = dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", name, "--count", count, "-o", "q.csv", "--force")
        head, *lines = out.splitlines()
        rows = rows_of(dfal.at("q.csv"))
        check(head.split() == ["rank", "id", *KEYS[2:4], *KEYS[5:9]], f"{name}: {head}")
        check(lines[20:] == ([] if count == 20 else ["3 more in q.csv"]), f"{name}, {count} queries: {lines[20:]}")
        for line, row in zip(lines[:20], rows):
            score = "-" if name == "random" else f"{float(row['score']):.7g}"
            check(line.split()[:4] == [row["rank"], row["id"], row["index"], score], f"{name}: {line} {row}")
        check(len(rows) == count and len(dfal.json("select", "net.h5", "pool.h5", "--strategy", name, "--count", count, "-o", "q.csv",
                                                   "--force")) == count, f"{name}: the table and the JSON are whole")


def sources(dfal):
    """Scores and logits of this network and this pool, whole, and of the right kind."""
    prepare(dfal)
    make_pool(dfal.at("other.h5"), 120, 5)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net2.h5", "--epochs", "1", "--seed", "2")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "part.h5", "--range", "0:100")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "node.h5", "--node", "fc1")
    sha = {name: dfal.json("info", name)["network_sha256"] for name in ("net.h5", "net2.h5")}
    pools = {name: dfal.json("info", name)["fingerprint"] for name in ("pool.h5", "other.h5")}
    for name in STRATEGIES:
        words = ("select", "net.h5", "pool.h5", "--strategy", name, "--count", "20", "--force")
        dfal.run("-q", *words, "-o", "way.csv")
        for file in ("--scores", "s.h5"), ("--logits", "l.h5"), ("--scores", "s.h5", "--logits", "l.h5"):
            if (name == "dfal" and "s.h5" not in file) or (name in STRATEGIES[2:5] and "l.h5" not in file):
                dfal.refuses(64, *words, "-o", "no.csv", *file, says=(name, file[1], "--logits" if name != "dfal" else "--scores"))
                continue
            dfal.run("-q", *words, "-o", "file.csv", *file)
            same_file(dfal.at("way.csv"), dfal.at("file.csv"))
        source = ("--scores", "s.h5") if name in ("dfal", "random", "logit-gap") else ("--logits", "l.h5")
        dfal.refuses(65, "select", "net2.h5", "pool.h5", *words[3:], "-o", "no.csv", *source, says=(
            f"{source[1]} was made with network_sha256 {sha['net.h5'][:12]}..., expected {sha['net2.h5'][:12]}... for net2.h5 and pool.h5" +
            ("; it was made from net.h5 and pool.h5" if source[1] == "s.h5" else "")))
        dfal.refuses(65, "select", "net.h5", "other.h5", *words[3:], "-o", "no.csv", *source, says=(
            f"{source[1]} was made with pool_fingerprint {pools['pool.h5'][:12]}..., expected {pools['other.h5'][:12]}... for net.h5 and other.h5"))
        if name in ("dfal", "logit-gap"):
            dfal.refuses(65, *words, "-o", "no.csv", "--scores", "part.h5", says=("20 of the 120", "row 100", "part.h5"))
    words = ("select", "net.h5", "pool.h5", "--count", "5", "-o", "no.csv", "--strategy")
    dfal.refuses(65, *words, "margin", "--logits", "node.h5", says=("node.h5", "logits"))
    dfal.refuses(65, *words, "margin", "--logits", "s.h5", says=("s.h5", "scores"))
    dfal.refuses(65, *words, "logit-gap", "--scores", "l.h5", says=("l.h5", "logits"))
    dfal.refuses(65, *words, "margin", "--logits", "pool.h5", says="pool.h5")
    dfal.refuses(78, *words, "dfal", "--scores", "s.h5", "--norm", "linf", says=("s.h5", "linf"))
    with h5py.File(dfal.at("l.h5"), "a") as file:
        logits = file["logits"][()]
        del file["logits"]
        file["logits"] = logits[:, :9]
    dfal.refuses(65, *words, "margin", "--logits", "l.h5", says=("[120, 9]", "[120, 10]"))
    check(not os.path.exists(dfal.at("no.csv")), "a refused line wrote its output")


def probabilities(dfal):
    """A network that ends in probabilities is not ranked as if they were logits."""
    random = np.random.default_rng(3)
    samples = random.dirichlet(np.ones(4), 30).astype(np.float32)
    samples /= samples.sum(1, keepdims=True)
    write_pool(dfal.at("pool.h5"), samples[:, :, None, None], class_count=4)
    write_linear(dfal.at("net.h5"), np.eye(4), np.zeros(4), [4, 1, 1])
    for name in STRATEGIES[2:]:
        dfal.refuses(65, "select", "net.h5", "pool.h5", "--strategy", name, "--count", "3", "-o", "q.csv",
                     says=("probabilities", "softmax"))


def left_out(dfal):
    """Labelled, skipped and non-finite rows, for every strategy and source; a pool with all labels is its own oracle."""
    prepare(dfal, 60, labels=True)
    samples, truth = digits(60, 2)
    x = (samples / 255).astype(np.float32)
    x[5, 0, 3, 3], x[6, 0, 0, 0] = np.nan, np.inf
    labels = np.full(60, -1)
    labels[:10] = truth[:10]
    write_pool(dfal.at("float.h5"), x, labels)
    dfal.run("-q", "score", "net.h5", "float.h5", "-o", "s.h5")
    dfal.run("-q", "logits", "net.h5", "float.h5", "-o", "l.h5")
    ids = [query["id"] for query in dfal.json("select", "net.h5", "float.h5", "--strategy", "random", "--count", "60",
                                              "-o", "ids.csv")]
    prefix = ids[0].split(":")[0]
    with open(dfal.at("labels.csv"), "w", encoding="ascii") as file:
        file.write("id,label,status\n" + "".join(f"{prefix}:{row},{row % 10},label\n" for row in range(20, 25)) +
                   f"{prefix}:30,,skip\n{prefix}:31,1,unsure\n")
    gone = set(range(10)) | set(range(20, 25)) | {30}
    for name in STRATEGIES:
        for source in (), ("--scores", "s.h5"), ("--logits", "l.h5"):
            if (name == "dfal" and "l.h5" in source) or (name in STRATEGIES[2:5] and "s.h5" in source):
                continue
            chosen = dfal.json("select", "net.h5", "float.h5", "--strategy", name, "--count", "60", "--force", "-o", "q.csv",
                               "--labels", "labels.csv", *source)
            rows = {query["index"] for query in chosen}
            check(not rows & gone and len(rows) >= 60 - len(gone) - 1, f"{name} {source}: {sorted(rows)}")
        # rows 5 and 6 are labelled above; without their labels they are passed over because they are not finite
        write_pool(dfal.at("bare.h5"), x)
        _, err = dfal.run("--log-format", "json", "select", "net.h5", "bare.h5", "--strategy", name, "--count", "60",
                          "--force", "-o", "q.csv")
        rows = {int(row["index"]) for row in rows_of(dfal.at("q.csv"))}
        check(rows == set(range(60)) - {5, 6}, f"{name}: {set(range(60)) - rows} were left out")
        check('"select.nonfinite"' in err and '"select.few"' in err, f"{name}: {err}")
        check("2 rows that the selection met are not finite" in err and "were passed over" in err, f"{name}: {err}")
        # a pool that knows every label
        _, err = dfal.run("--log-format", "json", "select", "net.h5", "pool.h5", "--strategy", name, "--count", "5", "--force",
                          "-o", "q.csv")
        check('"select.simulated"' in err, f"{name}: {err}")
        check(all(int(row["label"]) == truth[int(row["index"])] for row in rows_of(dfal.at("q.csv"))), f"{name}: labels")
    write_pool(dfal.at("done.h5"), samples, [-1] + [1] * 59)
    with open(dfal.at("last.csv"), "w", encoding="ascii") as file:
        out = dfal.json("select", "net.h5", "done.h5", "--strategy", "margin", "--count", "1", "-o", "last-q.csv")
        file.write(f"id,label\n{out[0]['id']},2\n")
    dfal.refuses(65, "select", "net.h5", "done.h5", "--strategy", "margin", "--count", "1", "--labels", "last.csv", "-o",
                 "none.csv", says="every one of its 60 rows")


def twins(dfal):
    """TWINS.h5: the rows that DeepFool finished, in network units also when the margin is not; the network agrees."""
    make_pool(dfal.at("train.h5"), 200, 1)
    random = np.random.default_rng(4)
    scale, offset = np.array([1 / 60, 1 / 90, 1 / 40]), np.array([-2.0, -1.0, -3.0])
    samples = random.integers(0, 256, (40, 3, 6, 6)).astype(np.uint8)
    weight = random.normal(size=(5, 108))
    with h5py.File(dfal.at("pool.h5"), "w") as file:
        file.attrs.update(format="dfal-pool", version=1, class_count=5, scale=scale, offset=offset)
        file["samples"] = samples
    write_linear(dfal.at("net.h5"), weight, np.zeros(5), [3, 6, 6])
    x = samples * scale[:, None, None] + offset[:, None, None]
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "raw.h5", "--units", "raw")
    for name in STRATEGIES:
        words = ["select", "net.h5", "pool.h5", "--strategy", name, "--count", "12", "--force", "-o", "q.csv", "--twins", "t.h5"]
        for more in ([], ["--scores", "raw.h5"]):
            if more and name in STRATEGIES[2:5]:
                continue
            dfal.run("-q", *words, *more)
            rows = rows_of(dfal.at("q.csv"))
            with h5py.File(dfal.at("t.h5")) as file:
                check(file.attrs["format"] in ("dfal-twins", b"dfal-twins"), "format")
                about = json.loads(file["configuration"][()])
                check(about["scale"] == scale.tolist() and about["offset"] == offset.tolist(), f"{about}")
                check(about["strategy"] == name and about["queries"] == 12, f"{about}")
                check(about["deepfool"]["units"] == ("raw" if more else "network"), f"{about}")
                twin, index, rank = file["samples"][()], file["index"][()], file["rank"][()]
                check(twin.dtype == np.float32 and twin.shape == (len(index), 3, 6, 6), f"samples {twin.shape}")
                check((file["status"][()] == 0).all() and (file["label"][()] == -1).all(), "status, label")
                for i, row in enumerate(rank):
                    query = rows[row - 1]
                    check(int(query["index"]) == index[i] and query["id"] == file["id"][i].decode(), f"{name}: row {i}")
                    check(int(query["adversarial_class"]) == file["adversarial_class"][i], f"{name}: {query}")
                    logits = weight.astype(np.float32) @ twin[i].ravel()
                    check(logits.argmax() == file["adversarial_class"][i], f"{name}: twin {i} is no {query}")
                    step = (twin[i] - x[index[i]]) / (scale[:, None, None] if more else 1)
                    if name == "dfal":
                        check(abs(np.linalg.norm(step) - float(query["score"])) <= 1e-4 * float(query["score"]) + 1e-5,
                              f"twin {i} lies {np.linalg.norm(step)} away: {query}")
    # One step and no overshoot: hardly any gets there, and those are not in the file.
    _, err = dfal.run("--log-format", "json", *words, "--max-iter", "0")
    check('"select.no_twin"' in err and '"queries": 12' in err.replace('":1', '": 1'), err)
    with h5py.File(dfal.at("t.h5")) as file:
        check(file["samples"].shape == (0, 3, 6, 6) and len(file["index"]) == 0, f"{file['samples'].shape}")


class Page(html.parser.HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.tags, self.text, self.outside = [], set(), "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for key, value in attrs:
            if key == "src":
                self.pictures.append(value)
            if key in ("href", "srcset") or key.startswith("on"):
                self.outside.append((key, value))

    def handle_data(self, data):
        self.text += data


def read_png(data, rows=None):
    """[H, W, channels] of an 8-bit PNG, or its first rows: no library needed."""
    check(data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG")
    at, packed = 8, b""
    while at < len(data):
        size, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + size]
        check(zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size:at + 12 + size], "big"), "checksum")
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            channels = {0: 1, 2: 3}[body[9]]
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    height = min(height, rows or height)
    out = np.zeros((height, width * channels), np.int64)
    for y in range(height):
        line, kind, above = raw[y, 1:].astype(np.int64), raw[y, 0], out[y - 1] if y else np.zeros(width * channels, np.int64)
        if kind == 0:
            out[y] = line
        elif kind == 2:
            out[y] = (line + above) % 256
        else:
            for i in range(len(line)):
                left = out[y, i - channels] if i >= channels else 0
                corner = above[i - channels] if i >= channels else 0
                guess = left + above[i] - corner
                paeth = min((abs(guess - left), 0, left), (abs(guess - above[i]), 1, above[i]), (abs(guess - corner), 2, corner))[2]
                out[y, i] = (line[i] + {1: left, 3: (left + above[i]) // 2, 4: paeth}[int(kind)]) % 256
    return out.reshape(height, width, channels)


def data_uri(uri):
    import base64
    head, body = uri.split(",")
    check(head == "data:image/png;base64", f"a picture from elsewhere: {uri[:60]}")
    return read_png(base64.b64decode(body))


def sheets(dfal):
    """The pictures are the pool's, the difference is what it says, names are escaped, nothing is loaded."""
    random = np.random.default_rng(4)
    scale, offset = np.array([1 / 60, 1 / 90, 1 / 40]), np.array([-2.0, -1.0, -3.0])
    samples = random.integers(0, 256, (30, 3, 8, 8)).astype(np.uint8)
    names = ["<script>alert(1)</script>", '"quoted" & \'so\'', "=cmd", "\u00e9toile", "plain"]
    ids = [f"<img src=x onerror=\"alert({i})\">/{i}.jpg" for i in range(30)]
    with h5py.File(dfal.at("pool.h5"), "w") as file:
        file.attrs.update(format="dfal-pool", version=1, class_count=5, scale=scale, offset=offset)
        file["samples"] = samples
        file["ids"] = np.array(ids, dtype=h5py.string_dtype())
        file["classes"] = np.array(names, dtype=h5py.string_dtype())
    write_linear(dfal.at("net.h5"), random.normal(size=(5, 192)), np.zeros(5), [3, 8, 8])
    for name in STRATEGIES:
        for more in ([], ["--twins", "t.h5"]):
            words = ["select", "net.h5", "pool.h5", "--strategy", name, "--count", "7", "--force", "-o", "q.csv", *more]
            dfal.run("-q", *words, "--sheet", "s.html")
            with open(dfal.at("s.html"), encoding="utf-8") as file:
                text = file.read()
            page, rows = Page(text), rows_of(dfal.at("q.csv"))
            each = 3 if more or name == "dfal" else 1
            check(not page.outside and not page.tags & {"script", "link", "iframe"}, f"{name}: {page.outside} {page.tags}")
            check(len(page.pictures) == 7 * each, f"{name}: {len(page.pictures)} pictures")
            factors = [float(value) for value in re.findall("difference \u00d7([0-9.e+]+)", page.text)]
            check(len(factors) == (7 if each == 3 else 0), f"{name}: factors {factors}")
            for i, row in enumerate(rows):
                check(ids[int(row["index"])] in page.text and names[int(row["predicted"])] in page.text, f"{name}: {row}")
                raw = samples[int(row["index"])].transpose(1, 2, 0)
                check((data_uri(page.pictures[each * i]) == raw).all(), f"{name}: query {i} is another picture")
                if each == 3 and more:
                    with h5py.File(dfal.at("t.h5")) as file:
                        twin = file["samples"][i]
                    real = ((twin - offset[:, None, None]) / scale[:, None, None]).transpose(1, 2, 0)
                    drawn = data_uri(page.pictures[3 * i + 1])
                    check(np.abs(drawn - np.clip(real, 0, 255)).max() <= 0.51, f"{name}: twin {i} is another picture")
                    grey = 127.5 + factors[i] * (real - raw)
                    drawn = data_uri(page.pictures[3 * i + 2])
                    check(np.abs(drawn - grey).max() <= 0.6 and grey.min() > -1 and grey.max() < 256, f"{name}: difference {i}")
                    check(max(grey.max() - 127.5, 127.5 - grey.min()) > 100, f"{name}: difference {i} is faint")
            dfal.run("-q", *words, "--sheet", "s.png")
            dfal.run("-q", *words, "--sheet", "again.png")
            same_file(dfal.at("s.png"), dfal.at("again.png"))
            if more or name not in ("dfal", "margin"):
                continue
            with open(dfal.at("s.png"), "rb") as file:
                picture = read_png(file.read(), 240)
            # 8 pixels fit 14 times into 112; the first tile stands below the head
            top = next(y for y in range(60, 140) if (picture[y:y + 112, 16:128] == np.kron(
                samples[int(rows[0]["index"])].transpose(1, 2, 0), np.ones((14, 14, 1)))).all())
            check(top < 140 and picture.shape[1] == 3 * 360 + 16, f"{name}: {picture.shape}, the first tile at {top}")
            check((picture[:16] == 255).all() and (picture[16:top] != 255).any(), f"{name}: no head")


def sheet_shapes(dfal):
    """Grey, float, normalised, flat, narrow, large and many pictures."""
    random = np.random.default_rng(5)
    for number, (shape, low, high, word) in enumerate((
            ((1, 5, 5), 0, 1, "0 to 1"), ((1, 5, 5), 0, 200, "0 to 255"), ((3, 6, 4), -2, 2, "lowest to the highest"),
            ((2, 4, 4), 0, 1, "first of 2 channels"), ((1, 1, 300), 0, 1, "0 to 1"), ((1, 150, 2), 0, 1, "0 to 1"),
            ((1, 4, 4), 3, 3, "0 to 255"), ((3, 130, 170), 0, 1, "0 to 1"))):
        samples = random.uniform(low, high, (6, *shape)).astype(np.float32)
        write_pool(dfal.at("pool.h5"), samples, class_count=3)
        write_linear(dfal.at("net.h5"), random.normal(size=(3, int(np.prod(shape)))), np.zeros(3), shape)
        for extension in ("html", "PNG"):
            dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "4", "--force", "-o", "q.csv",
                     "--sheet", f"s{number}.{extension}")
        with open(dfal.at(f"s{number}.html"), encoding="utf-8") as file:
            page = Page(file.read())
        check(word in page.text, f"{shape}: '{word}' is not on the page")
        height, width = data_uri(page.pictures[0]).shape[:2]
        check(max(height, width) <= 112 and (max(shape[1:]) > 112 or (height, width) == shape[1:]), f"{shape}: {height}x{width}")
    # 130x170 shrinks to 86x112 by area: the mean stays
    first = int(rows_of(dfal.at("q.csv"))[0]["index"])
    check((height, width) == (86, 112), f"{height}x{width}")
    check(abs(data_uri(page.pictures[0]).mean() - 255 * samples[first].mean()) < 0.5, "shrinking changed the brightness")
    samples = random.integers(0, 256, (620, 1, 3, 3)).astype(np.uint8)
    write_pool(dfal.at("pool.h5"), samples, class_count=3)
    write_linear(dfal.at("net.h5"), random.normal(size=(3, 9)), np.zeros(3), [1, 3, 3])
    for strategy, each in (("dfal", 3), ("margin", 1)):
        _, err = dfal.run("--log-format", "json", "select", "net.h5", "pool.h5", "--strategy", strategy, "--count", "620",
                          "--force", "-o", "q.csv", "--sheet", "s.html")
        event = [json.loads(line) for line in err.splitlines() if '"select.sheet"' in line]
        check(event and event[0]["shown"] == 500 and event[0]["count"] == 620, err)
        with open(dfal.at("s.html"), encoding="utf-8") as file:
            page = Page(file.read())
        pictures = len(page.pictures)
        check("first 500 are shown" in page.text and 500 * each - 30 <= pictures <= 500 * each, f"{pictures} pictures")


def duplicates(dfal):
    """Copies, and copies through a coarse quantiser of 8x8 blocks as JPEG has; the limit is told."""
    random = np.random.default_rng(6)
    waves = np.stack([np.cos(np.pi * (2 * np.arange(8) + 1) * k / 16) for k in range(8)]) / 2
    waves[0] /= np.sqrt(2)
    y, x = np.mgrid[:32, :32]
    samples = np.stack([127 + 60 * np.sin(0.3 * y * random.uniform(.3, 2) + random.uniform(0, 6)) +
                        60 * np.cos(0.3 * x * random.uniform(.3, 2) + random.uniform(0, 6)) for _ in range(40)])
    samples += random.normal(0, 4, samples.shape)

    def jpeg_like(image, step):
        blocks = image.reshape(4, 8, 4, 8).transpose(0, 2, 1, 3)
        frequency = np.round((waves @ blocks @ waves.T) / step) * step
        return (waves.T @ frequency @ waves).transpose(0, 2, 1, 3).reshape(32, 32)

    samples[20] = samples[3]
    samples[21] = jpeg_like(samples[4], 10)
    samples[22] = jpeg_like(samples[5], 20)
    write_pool(dfal.at("pool.h5"), np.clip(np.round(samples), 0, 255).astype(np.uint8)[:, None], class_count=3)
    write_linear(dfal.at("net.h5"), random.normal(size=(3, 1024)), np.zeros(3), [1, 32, 32])
    _, err = dfal.run("--log-format", "json", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", "40", "-o", "q.csv")
    events = [json.loads(line) for line in err.splitlines()]
    pairs = {frozenset((event["index"], event["of_index"])) for event in events if event["event"] == "select.near_duplicate"}
    check(pairs == {frozenset((3, 20)), frozenset((4, 21)), frozenset((5, 22))}, f"near-duplicates {sorted(map(sorted, pairs))}")
    check(not any(event["event"] == "select.compared" for event in events), "all were compared")
    write_pool(dfal.at("large.h5"), random.integers(0, 256, (2100, 1, 2, 2)).astype(np.uint8), class_count=3)
    write_linear(dfal.at("net2.h5"), random.normal(size=(3, 4)), np.zeros(3), [1, 2, 2])
    _, err = dfal.run("--log-format", "json", "select", "net2.h5", "large.h5", "--strategy", "random", "--count", "2100",
                      "-o", "q2.csv")
    event = [json.loads(line) for line in err.splitlines() if '"select.compared"' in line]
    check(event and event[0]["compared"] == 2000 and event[0]["count"] == 2100 and "2000 of 2100" in event[0]["text"], err[-500:])


def experiments(dfal):
    """run takes every strategy of the list, and its report draws each."""
    make_pool(dfal.at("train.h5"), 120, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    line = ("run", "--preset", "quickstart", "--train", "train.h5", "--test", "test.h5", "-o", "d", "--set",
            "strategies=[" + ",".join(STRATEGIES) + "]", "--set", "trials=1", "--set", "annotations=30", "--set",
            "training.epochs=1", "--set", "training.restarts=1")
    document = dfal.json(*line)
    check([row["strategy"] for row in document] == list(STRATEGIES), f"run: {document}")
    with open(dfal.at("d/report.html"), encoding="utf-8") as file:
        page = file.read()
    for name in STRATEGIES:
        rows = [row for row in rows_of(dfal.at("d/queries.csv")) if row["strategy"] == name]
        check(rows and all((float(row["score"]) >= 0) if row["score"] else name == "random" for row in rows), f"{name}: {rows[:2]}")
        check(f">{name}</th>" in page or f">{name} " in page or name in page, f"the report has no {name}")
    # once for a broad window and once for a narrow one
    check(len(re.findall('class="line c[0-9]"', page)) == 2 * len(STRATEGIES), "the report does not draw every strategy")
    dfal.refuses(64, *line[:-8], "--set", "strategies=[entropie]", "--force", says="entropy")


def own_options(dfal):
    """Strategies with options of their own, in run and in select: what holds is written, what is wrong is refused early."""
    make_pool(dfal.at("train.h5"), 120, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    base = ("run", "--preset", "quickstart", "--train", "train.h5", "--test", "test.h5", "--set", "trials=1", "--set",
            "annotations=30", "--set", "training.epochs=1", "--set", "training.restarts=1", "--set",
            "strategies=[" + ",".join(ASKING) + "]")
    document = dfal.json(*base, "--set", "options.bald.passes=3", "-o", "d")
    check([row["strategy"] for row in document] == list(ASKING), f"run: {document}")
    for name in ASKING:
        rows = [row for row in rows_of(dfal.at("d/queries.csv")) if row["strategy"] == name]
        check(rows and all(np.isfinite(float(row["score"])) and float(row["score"]) >= 0 for row in rows),
              f"{name}: {rows[:2]}")  # inf would be a CORE-SET that knows no labelled row, or a network that knows one class
    with open(dfal.at("d/config.yaml"), encoding="utf-8") as file:
        check("passes: 3}" in file.read(), "config.yaml does not say what holds")
    dfal.refuses(78, *base, "--set", "options.coreset-greedy.node=relu4", "-o", "no",
                 says=("options.coreset-greedy", "unknown node 'relu4'", "relu3"))
    dfal.refuses(64, *base, "--set", "options.bald.passes=0", "-o", "no", says=("options.bald", "from 1 to 10000"))
    dfal.refuses(64, *base, "--set", "options.egl-last.passes=2", "-o", "no", says=("options.egl-last", "'passes'"))
    good = ("select", "d/networks/bald-1.h5", "train.h5", "--strategy", "bald", "--count", "3")
    _, err = dfal.run("--log-format", "json", *good, "--option", "passes=+4", "-o", "q.csv")
    event = [json.loads(line) for line in err.splitlines() if '"select.begin"' in line]
    check(event and event[0]["options"] == "passes=4, power=", err[-500:])
    dfal.refuses(64, *good, "--option", "node=x", "-o", "no", says=("strategy bald", "'node'", "passes"))
    dfal.refuses(64, *good, "--option", "passes", "-o", "no", says="KEY=VALUE")
    help_text = dfal.run("select", "--help")[0]
    document, err = dfal.run("--json", "--log-format", "json", *good[:4], "coreset", "--count", "3", "-o", "facts.csv")
    event = next(json.loads(line) for line in err.splitlines() if '"select.coreset"' in line)
    for query in json.loads(document):
        told = {key: float(f"{value:.9g}") if isinstance(value, float) else value for key, value in query["facts"].items()}
        check(told == {key: event[key] for key in told} and told["labelled"] == 0, f"{query} {event}")
    check("bald: passes" in help_text and "coreset-greedy: node" in help_text, help_text)


main({f.__name__: f for f in (options, keys, table, sources, probabilities, left_out, twins, sheets, sheet_shapes, duplicates,
                              experiments, own_options)})
