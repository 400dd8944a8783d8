# SPDX-License-Identifier: Apache-2.0
"""LeNet5's DeepFool on one H200 by counted instructions: what tools/kernel-budget --model prints.

A sample-iteration is a forward of one row, an input gradient of nine cotangents, and the choice and step between. How often each loop
of a kernel runs follows from LeNet5's sizes and is written down beside the source that it is from. An instruction counts for a warp,
and every path of a loop counts as taken, so that a count is rather too high; what is not counted is waiting: for memory, for a result,
for a bank. The measured share of time stands beside it for that reason.

With several blocks on a multiprocessor others issue while one waits at a barrier: instructions go by four a clock. The backward has
one block there, so that a phase between two barriers lasts as long as the busiest of the four schedulers, or as the loads of shared
memory, one wavefront a clock."""
import collections

from kernel_listing import count

MULTIPROCESSORS, HERTZ, SCHEDULERS, WARP = 132, 1.98e9, 4, 32
COPY = 4.1e12  # bytes a second
CLOCKS = MULTIPROCESSORS * HERTZ  # of all multiprocessors together, a second
GOAL = 6e6

# The folded LeNet5 (docs/PERFORMANCE.md): convolutions of 5x5 without padding, each with a ReLU and a 2x2 pool; products 256 to 84 and
# 84 to 10. channels, height, width of a convolution's input and of what leaves its pool.
CONVS = (((1, 28, 28), (6, 12, 12)), ((6, 12, 12), (16, 4, 4)))
INPUT, FEATURES, HIDDEN, COTANGENTS = 784, 256, 84, 9
# A sample of n iterations has n + 1 forwards; the mean of docs/RESULTS.md, "LeNet5".
ITERATIONS = 3.83
FORWARDS = (ITERATIONS + 1) / ITERATIONS

# docs/RESULTS.md, "LeNet5", eb28450: sample-iterations/s, and shares of the kernels' time. What they leave is `the rest`.
MEASURED = {"commit": "eb28450", "rate": 3286261,
            "shares": {"backward": 0.56, "forward": 0.15, "dense": 0.13, "choosing": 0.07, "the rest": 0.09}}
# The nanoseconds at least that this file counts for that commit's kernels: what a group took beyond them then, it takes in a prediction.
COUNTED = {"backward": 54.03, "forward": 18.19, "dense": 14.36, "choosing": 7.65, "the rest": 5.84}
# A device is idle for some 140 us in an iteration of 32,768 slots: launches, and the host that waits for three numbers. Reckoned, not
# measured.
GAPS = 140e-6 / 32768


class Unknown(Exception):
    """The kernels are not built as this file reckons; what was expected."""


Part = collections.namedtuple("Part", "group what instructions clocks bytes")


def kernel_of(found, name):
    if name not in found:
        raise Unknown(f"there is no kernel {name}, which LeNet5 ran on when the model was written: tools/kernel_model.py has to follow")
    return found[name][1]


def divide_up(n, step):
    return -(-n // step)


def loops_with(kernel, fma):
    """The loops whose inner loops have these fused multiply-adds, in this order."""
    return [loop for loop in kernel.loops if loop.inner and [count(kernel, inner.body)["fma"] for inner in loop.inner] == fma]


def only(loops, what):
    if len(loops) != 1:
        raise Unknown(f"{len(loops)} loops look like {what}, expected one: tools/kernel_model.py has to follow the kernel")
    return loops[0]


# ---- kernels/fused_pooled.cu: the backward ------------------------------------------------------------

BELOW, REACH = 3, 3  # blocks of a thread; (kernel + 1) / 2
# bytes_for: 14,716 floats of weights, and for each sample 7,806 floats of gradients and 1,664 codes of two bytes; five fit into 227
# KiB. threads_for: the second convolution has 12 places of 30 lanes, 32 with those that idle.
SAMPLES, THREADS = 5, 384
CODES = 6 * 12 * 16 + 16 * 4 * 8  # pooled_line: 16 and 8 columns


def places(conv):
    """(row of blocks, column of blocks) of every thread that works: walk_of and place_of of the source, without padding."""
    (channels, height, width), _ = conv
    down, across = divide_up((height - 1) // 2 + 1, BELOW), (width - 1) // 2 + 1
    lanes = SAMPLES * channels
    padded = divide_up(lanes, WARP) * WARP
    by_column = 8 * (padded - lanes) <= padded
    for thread in range(THREADS):
        if by_column:
            place, lane = divmod(thread, padded)
            yield (place // across * BELOW, place % across) if lane < lanes and place < down * across else None
        else:
            place, lane = divmod(thread, lanes * across)
            yield (place * BELOW, lane % across) if place < down else None


def gather(kernel, loop, conv):
    """Clocks and instructions of all channels of one convolution: `loop` is over the channels, and inside it there is a loop over the
    windows of a row for each of BELOW + REACH - 1 rows. A warp runs it as often as its lane that reaches most windows."""
    (_, (channels, height, width)), threads = conv, list(places(conv))
    own, inner = count(kernel, loop.own()), [count(kernel, one.body) for one in loop.inner]
    issued, wavefronts = [], 0
    for first in range(0, THREADS, WARP):
        lanes = [place for place in threads[first:first + WARP] if place is not None]
        warp = own["all"] if lanes else 0
        wavefronts += channels * own["wavefronts"] if lanes else 0
        for j, body in enumerate(inner):
            reached = [min(across + 1, width) - max(across - (REACH - 1), 0) for down, across in lanes
                       if 0 <= down + BELOW - 1 - j < height]
            warp += max(reached, default=0) * body["all"]
            wavefronts += channels * max(reached, default=0) * body["wavefronts"]
        issued.append(channels * warp)
    return max(max(sum(issued[scheduler::SCHEDULERS]) for scheduler in range(SCHEDULERS)), wavefronts), sum(issued)


def backward(found):
    kernel = kernel_of(found, "fused_pooled_backward")
    channels = only(loops_with(kernel, [36, 72, 108, 72, 36]), "the channels of a 5x5 convolution in fused_pooled_backward")
    convolutions = channels.outer
    if convolutions is None or convolutions.outer is None or len(convolutions.outer.inner) != 3:
        raise Unknown("fused_pooled_backward reads features, writes codes and walks convolutions: expected three loops in a loop over samples")
    features, samples, _ = convolutions.outer.inner
    warps, codes = THREADS // WARP, samples.inner[0]
    own = count(kernel, features.own())
    # read_features: a warp a cotangent, 32 features at a time. write_codes: for every sample and convolution, 32 codes at a time.
    begin = SAMPLES * (COTANGENTS * FEATURES / WARP * own["all"] / own["sts"] + CODES / WARP * count(kernel, codes.inner[0].body)["all"]
                       + len(CONVS) * warps * count(kernel, codes.own())["all"])
    # Behind the sums: BELOW blocks of four pixels for nine cotangents, one by one to shared memory, by twos to dx.
    own = count(kernel, convolutions.own())
    stores = (1 + 1 / 2) * BELOW * 4 * COTANGENTS * warps * own["all"] / (own["sts"] + own["stg"])
    clocks, issued = (begin + stores) / SCHEDULERS, begin + stores
    for conv in CONVS:
        more = gather(kernel, channels, conv)
        clocks, issued = clocks + more[0], issued + more[1]
    yield Part("backward", "fused_pooled_backward", issued / SAMPLES, clocks / SAMPLES, 4 * COTANGENTS * (INPUT + FEATURES))


# ---- kernels/fused.cu: the forward --------------------------------------------------------------------

ROWS = 4  # of a block: MOST_ROWS, for 13 would fit


def forward(found):
    kernel = kernel_of(found, "fused_forward<true>")
    items = [only(loops_with(kernel, [25 * 4 * group]), f"a 5x5 convolution of {group} channels a thread in fused_forward") for group in (6, 4)]
    convolutions = items[0].outer
    load, zeros, warps = convolutions.outer.inner[0], convolutions.inner[0], 256 // WARP
    loaded, cleared = count(kernel, load.body), count(kernel, zeros.body)
    issued = ROWS * INPUT / WARP * loaded["all"] / loaded["sts"]
    issued += ROWS * 6 * 12 * 12 / WARP * cleared["all"] / cleared["sts"]  # the planes between the convolutions
    issued += warps * (count(kernel, convolutions.outer.own())["all"] + len(CONVS) * count(kernel, convolutions.own())["all"])
    for item, ((channels, _, _), (out, height, width)), group in zip(items, CONVS, (6, 4)):
        # forward_conv: a thread has one pooled pixel of a group of channels, and walks over all channels of the input.
        each = count(kernel, item.own())["all"] + channels * count(kernel, item.inner[0].body)["all"]
        issued += ROWS * out / group * height * width / WARP * each
    issued *= FORWARDS / ROWS
    yield Part("forward", "fused_forward", issued, issued / SCHEDULERS, FORWARDS * (4 * (INPUT + FEATURES) + 1120))


# ---- kernels/product.cu, and the ReLU between ---------------------------------------------------------


def product(found, tile, along_k, rows, depth, cols):
    """Instructions of `rows` rows of a product: tiles of [BM, BN] that take BK terms at a time, TM x TN of them a thread."""
    bm, bn, bk, tm, tn = tile
    name = f"product_tile<df_tile<{', '.join(map(str, tile))}>, false, true, {'true' if along_k else 'false'}>"
    kernel = kernel_of(found, name)
    chunk = only([loop for loop in kernel.loops if count(kernel, loop.body)["fma"] == bk * tm * tn], f"a chunk of {name}")
    body, everything = count(kernel, chunk.body)["all"], count(kernel)["all"]
    warps = bm // tm * (bn // tn) // WARP
    return rows / bm * divide_up(cols, bn) * warps * (everything - body + divide_up(depth, bk) * body)


def relu(found, name, stores):
    """Instructions of 32 values: calls have fewer values than four a thread, so that the loop of one at a time runs."""
    kernel = kernel_of(found, name)
    return count(kernel, only([loop for loop in kernel.loops if count(kernel, loop.body)["stg"] == stores], f"one value of {name}").body)["all"]


def dense(found):
    # run() of product.cu, for passes of 16,384 rows (PASS_ROWS of host/backend/cuda_fused.c): tiles by rows and columns.
    broad, middle, small = (128, 64, 16, 8, 4), (128, 32, 16, 8, 4), (32, 32, 32, 2, 2)
    issued = FORWARDS * (product(found, middle, True, 1, FEATURES, HIDDEN) + product(found, small, True, 1, HIDDEN, 10))
    yield Part("dense", "products, forward", issued, issued / SCHEDULERS, 4 * FORWARDS * (FEATURES + HIDDEN))
    issued = product(found, middle, False, COTANGENTS, 10, HIDDEN) + product(found, broad, False, COTANGENTS, HIDDEN, FEATURES)
    yield Part("dense", "products, backward", issued, issued / SCHEDULERS, 4 * COTANGENTS * (FEATURES + 2 * HIDDEN))
    issued = HIDDEN / WARP * (FORWARDS * relu(found, "fused_relu_forward", 2) + COTANGENTS * relu(found, "fused_relu_backward", 1))
    yield Part("dense", "ReLU between them", issued, issued / SCHEDULERS, 8 * HIDDEN * (FORWARDS + COTANGENTS))


# ---- What memory bounds -------------------------------------------------------------------------------


def elements(found):
    """kernels/deepfool.h: bytes alone. choose reads nine gradients and writes one; iterate reads x0 and r and writes x; step reads
    the gradient and r and writes r; a sample begins with bytes that become x0 and r, and is looked at for values that are not finite."""
    kernel_of(found, "deepfool_choose_kernel")
    yield Part("choosing", "deepfool_choose", None, None, 4 * INPUT * (COTANGENTS + 1))
    yield Part("the rest", "iterate, step, refill, observe", None, None, INPUT * (12 * FORWARDS + 12 + (1 + 8 + 4) / ITERATIONS))


# ---- The report ---------------------------------------------------------------------------------------


def parts(found):
    return [part for of in (backward, forward, dense, elements) for part in of(found)]


def nanoseconds(part):
    """What binds: clocks or bytes."""
    by_bytes = part.bytes / COPY
    return 1e9 * (by_bytes if part.clocks is None else max(part.clocks / CLOCKS, by_bytes))


def report(found):
    """Lines: every part by itself, then its group beside what was measured, then rates."""
    counted, least = parts(found), collections.Counter()
    yield f"{'a sample-iteration':32}  warp instructions  clocks   bytes  ns at least"
    for part in counted:
        issued, clocks = ("" if value is None else f"{value:,.0f}" for value in (part.instructions, part.clocks))
        least[part.group] += nanoseconds(part)
        yield f"{part.what:32}  {issued:>17}  {clocks:>6}  {part.bytes:6,.0f}  {nanoseconds(part):11.1f}"
    now, gaps = sum(least.values()), 1e9 * GAPS
    kernels = 1e9 / MEASURED["rate"] - gaps
    commit, then = MEASURED["commit"], {group: kernels * share for group, share in MEASURED["shares"].items()}
    predicted = gaps + sum(then[group] * least[group] / COUNTED[group] for group in then)
    yield ""
    yield f"{'':8}  ns at least  share  ns at {commit}  share  at least / measured, {commit}"
    for group, share in MEASURED["shares"].items():
        yield f"{group:8}  {least[group]:11.1f}  {least[group] / now:5.0%}  {then[group]:13.1f}  {share:5.0%}  {COUNTED[group] / then[group]:.0%}"
    yield f"{'all':8}  {now:11.1f}  {1:5.0%}  {kernels:13.1f}  {1:5.0%}  {sum(COUNTED.values()) / kernels:.0%}"
    yield ""
    for what, rate in (("nothing waits but at launches", 1e9 / (now + gaps)), (f"predicted: waits as at {commit}", 1e9 / predicted),
                       (f"measured at {commit}", MEASURED["rate"]), ("goal", GOAL)):
        yield f"{what:32}  {rate:10,.0f} sample-iterations/s"
