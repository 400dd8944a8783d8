# SPDX-License-Identifier: Apache-2.0
"""What the checks of strategies share: running `dfal select`, a small world, comparing queries."""
import numpy as np

from data import write_linear
from support import Command, write_pool

CLASSES, SIZE, ROWS = 4, 12, 200
NAN_ROW, TWIN_ROWS = 17, (30, 31, 90)   # one that is not finite; three that are equal


class Case(Command):
    """dfal on one back end; its folder has the network net.h5 and the pool pool.h5."""

    def __init__(self, path, backend):
        super().__init__(path)
        self.backend = backend

    def write(self, x, weight, bias, labelled=None, dropout=None):
        """A pool of vectors and a network of one Gemm. Of a pool with labels the rows `labelled` have one."""
        labels = None
        if labelled is not None:
            labels = np.full(len(x), -1)
            labels[labelled] = 1
        write_pool(self.at("pool.h5"), x[:, :, None, None], labels, class_count=len(weight))
        write_linear(self.at("net.h5"), weight, bias, [x.shape[1], 1, 1], dropout)

    def line(self, out):
        return ["--backend", self.backend, "select", "net.h5", "pool.h5", "--force", "-o", out]

    def select(self, *words):
        """The queries."""
        return self.json(*self.line("q.csv"), *words)

    def select_whatever_the_work(self, *words):
        """The queries, whose bytes depend on neither threads nor batch."""
        def table():
            with open(self.at("q.csv"), "rb") as file:
                return file.read()

        queries = self.select(*words)
        first = table()
        for threads, batch in ((1, 7), (4, 1)):
            self.select("--threads", str(threads), "--batch", str(batch), *words)
            assert table() == first, f"{words}: {threads} threads and a batch of {batch} give another table"
        return queries

    def refused(self, words, code, says):
        """A selection ends with this code and a sentence that says so much."""
        self.refuses(code, *self.line("no.csv"), *words, says=says)

    def write_logits(self):
        self.run("-q", "--backend", self.backend, "logits", "net.h5", "pool.h5", "--force", "-o", "l.h5")

    def write_scores(self, *words):
        self.run("-q", "--backend", self.backend, "score", "net.h5", "pool.h5", "--force", "-o", "s.h5",
                 "--max-iter", "1", *words)


def world(seed):
    """Samples in 32nds and a Gemm of whole numbers: every product and sum is exact in float32."""
    random = np.random.default_rng(seed)
    x = (random.integers(-96, 97, (ROWS, SIZE)) / 32).astype(np.float32)
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    x[NAN_ROW, 3] = np.nan
    weight = random.integers(-2, 3, (CLASSES, SIZE)).astype(np.float64)
    return x, weight, random.integers(-1, 2, CLASSES).astype(np.float64)


def logits_of(x, weight, bias):
    """In float32, as dfal has them: not finite where a sum is too large for it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (x.astype(np.float64) @ weight.T + bias).astype(np.float32).astype(np.float64)


def indices(queries):
    return [query["index"] for query in queries]


def score_of(query):
    """JSON has no number for one that is infinite."""
    return np.inf if query["score"] is None else query["score"]


def score_by_row(queries):
    return {query["index"]: query["score"] for query in queries}


def is_near(found, wanted, relative=1e-12):
    return found == wanted or (np.isfinite(wanted) and abs(found - wanted) <= relative * wanted)


def in_order(queries, wanted, what):
    """These rows with these scores, one after the other."""
    assert indices(queries) == [row for row, _ in wanted], f"{what}: other rows"
    for query, (_, score) in zip(queries, wanted):
        assert is_near(score_of(query), score), f"{what}: {query}, expected {score}"


def ranked(queries, score, what, relative=0.0):
    """All finite rows, by the largest score."""
    index = np.array(indices(queries))
    found = np.array([query["score"] for query in queries])
    finite = [row for row in range(ROWS) if row != NAN_ROW]
    assert sorted(index) == finite, f"{what}: not all finite rows came back"
    error = np.abs(found - score[index])
    worst = f"row {index[error.argmax()]} is off by {error.max()}"
    assert (error <= 1e-12 + relative * score[index]).all(), f"{what}: {worst}"
    assert (np.diff(found) <= 0).all(), f"{what}: the ranks do not follow the scores"
