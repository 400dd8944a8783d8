#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The batched PyTorch DeepFool an expert would write: the peer of `dfal bench deepfool`; and other people's beside it.

expert: one forward a step for the whole batch, K backwards (one a class), finished samples dropped, no copies that can be
avoided. --mode graph replays a CUDA graph of a step (its forward and K backwards; batches are padded to a ladder of
sizes), compile runs the network through torch.compile, compile-graph both. lts4: the original loop, sample by sample. foolbox: its
L2DeepFoolAttack. adv-lib: adversarial-library's df. train: Adam steps, --restarts times one after the other, the labels those
of the pool; --mode compile runs the network through torch.compile, --fused takes Adam's fused form.
--cases FILE runs several of them in one process, since importing PyTorch takes longer than most: FILE is a JSON list of lists of
further options, or - for lists a line each from standard input, as they come; each case prints its object, or {"error": ...},
as soon as it ends.
Reads a dfal network and pool file with h5py and prints one JSON object. Parameters as the preset lts4: overshoot 0.02 on
the total, at most 50 steps, floor 1e-4, the ten classes of highest logits. Seconds are those of the fastest run; CPU seconds of
the one that took least of them. mean_iterations are the steps that a loop computes for a sample, for one that has crossed too
where it goes on with those (foolbox).
"""
import argparse
import json
import sys
import time

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def pads(attributes):
    t, l, b, r = attributes.get("pads", [0, 0, 0, 0])
    return (l, r, t, b)


JOINS = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}


class Network(nn.Module):
    """The graph of a dfal network file, node by node."""

    def __init__(self, path):
        super().__init__()
        with h5py.File(path, "r") as file:
            if text(file.attrs["format"]) != "dfal-network":
                raise SystemExit(f"{path}: not a dfal network")
            graph = json.loads(text(file["graph"][()]))
            self.values = {}
            for node in graph["nodes"]:
                group = file.get(f"parameters/{node['name']}")
                if group is not None:
                    self.values[node["name"]] = {k: torch.from_numpy(group[k][()]) for k in group}
        self.output = graph["output"]
        self.nodes = self.order(graph["nodes"])
        self.eval()

    def to(self, device):
        self.values = {node: {k: v.to(device) for k, v in held.items()} for node, held in self.values.items()}
        return super().to(device)

    @staticmethod
    def order(nodes):
        done, ordered, left = {"input"}, [], list(nodes)
        while left:
            ready = [n for n in left if all(i in done for i in n["inputs"])]
            if not ready:
                raise SystemExit("the graph has a cycle")
            for node in ready:
                done.add(node["name"])
                ordered.append(node)
                left.remove(node)
        return ordered

    def step(self, node, x):
        op, a, p = node["op"], node.get("attributes", {}), self.values.get(node["name"], {})
        if op == "Conv":
            x[0] = F.pad(x[0], pads(a)) if any(pads(a)) else x[0]
            return F.conv2d(x[0], p["weight"], p.get("bias"), a.get("strides", 1), 0, a.get("dilations", 1),
                            a.get("group", 1))
        if op == "Gemm":
            return F.linear(x[0].flatten(1), p["weight"], p.get("bias"))
        if op == "Relu":
            return F.relu(x[0])
        if op == "MaxPool":
            if any(pads(a)):
                x[0] = F.pad(x[0], pads(a), value=-torch.inf)
            return F.max_pool2d(x[0], a["kernel_shape"], a.get("strides", 1), ceil_mode=bool(a.get("ceil_mode", 0)))
        if op == "AveragePool" and not any(pads(a)):
            return F.avg_pool2d(x[0], a["kernel_shape"], a.get("strides", 1))
        if op == "GlobalAveragePool":
            return x[0].mean((2, 3), keepdim=True)
        if op == "BatchNormalization":
            return F.batch_norm(x[0], p["mean"], p["variance"], p["weight"], p["bias"], eps=a.get("epsilon", 1e-5))
        if op == "Dropout":
            return F.dropout(x[0], a.get("ratio", 0.5), self.training)
        if op == "Flatten":
            return x[0].flatten(1)
        if op in JOINS:
            return JOINS[op](x[0], x[1])
        if op == "LeakyRelu":
            return F.leaky_relu(x[0], a.get("alpha", 0.01))
        if op == "Clip":
            return F.hardtanh(x[0], a.get("min", -torch.inf), a.get("max", torch.inf))
        if op == "PRelu":
            return F.prelu(x[0], p["weight"])
        if op == "HardTanh":
            return F.hardtanh(x[0], a.get("min", -1.0), a.get("max", 1.0))
        if op == "Elu":
            return F.elu(x[0], a.get("alpha", 1.0))
        if op in ("Gelu", "GeluTanh"):
            return F.gelu(x[0], approximate="tanh" if op == "GeluTanh" else "none")
        if op in ("Tanh", "Softplus", "Erf"):
            return {"Tanh": torch.tanh, "Softplus": F.softplus, "Erf": torch.erf}[op](x[0])
        if op == "Sigmoid":
            return torch.sigmoid(x[0])
        if op == "HardSigmoid":
            return (a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5)).clamp(0, 1)
        if op == "HardSwish":
            return F.hardswish(x[0])
        if op == "Pad":
            return F.pad(x[0], pads(a), value=a.get("value", 0.0))
        if op == "Reshape":
            return x[0].reshape(-1, *a["shape"])
        if op == "Concat":
            return torch.cat(x, 1)
        raise SystemExit(f"the benchmark does not know {op}")

    def forward(self, x):
        held = {"input": x}
        for node in self.nodes:
            held[node["name"]] = self.step(node, [held[i] for i in node["inputs"]])
        return held[self.output].flatten(1)


def read_pool(path, count):
    with h5py.File(path, "r") as file:
        samples = file["samples"][:count].astype(np.float64)
        channels = (1, -1, 1, 1)
        scale = np.asarray(file.attrs["scale"], np.float64).reshape(channels)
        offset = np.asarray(file.attrs["offset"], np.float64).reshape(channels)
        return torch.from_numpy((samples * scale + offset).astype(np.float32))


def read_labels(path, count, classes):
    """The first labels of a pool; where it has none, and for rows without, some class."""
    with h5py.File(path, "r") as file:
        labels = file["labels"][:count].astype(np.int64) if "labels" in file else np.full(count, -1)
    return torch.from_numpy(np.where(labels < 0, np.arange(count) % classes, labels))


def take(network, x, order):
    """Logits and, [n, M, ...], the gradients of the logits in `order`: one forward, M backwards."""
    x = x.detach().requires_grad_()
    logits = network(x)
    picked = logits.gather(1, order)
    gradients = [torch.autograd.grad(picked[:, k].sum(), x, retain_graph=k + 1 < picked.shape[1])[0]
                 for k in range(picked.shape[1])]
    return logits.detach(), torch.stack(gradients, 1)


class Replay:
    """`take` as CUDA graphs, one for each of a ladder of batch sizes; a batch is padded to the next."""

    def __init__(self, network, x, order, smallest=32):
        self.network, self.graphs, size = network, [], len(x)
        while size >= min(smallest, len(x)):
            self.graphs.append(self.record(x[:size].clone(), order[:size].clone()))
            size //= 2

    def record(self, x, order):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                take(self.network, x, order)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = take(self.network, x, order)
        return graph, x, order, results

    def __call__(self, x, order):
        n = len(x)
        graph, held, held_order, (logits, gradients) = next(g for g in reversed(self.graphs) if len(g[1]) >= n)
        held[:n].copy_(x)
        held_order[:n].copy_(order)
        graph.replay()
        return logits[:n], gradients[:n]


def deepfool(network, x0, overshoot=0.02, most=50, floor=1e-4, candidates=10, step_of=None):
    """Margins [n] and steps [n] of a batch; the batch shrinks as samples cross. step_of: replaces `take`."""
    n = len(x0)
    margins, steps = torch.zeros(n, device=x0.device), torch.zeros(n, dtype=torch.int64, device=x0.device)
    alive = torch.arange(n, device=x0.device)
    r = torch.zeros_like(x0)
    order = label = None
    for step in range(most + 1):
        x = (x0 + (1 + overshoot) * r).requires_grad_(step < most)
        gradients = None
        if step_of is not None and order is not None:
            logits, gradients = step_of(x.detach(), order)
        else:
            logits = network(x)
        if order is None:
            order = logits.detach().sort(dim=1, descending=True, stable=True).indices[:, :candidates]
            label = order[:, 0]
        keep = logits.detach().argmax(1) == label
        gone = ~keep
        margins[alive[gone]] = (1 + overshoot) * r[gone].flatten(1).norm(dim=1)
        steps[alive[gone]] = step
        if step == most:
            margins[alive[keep]] = (1 + overshoot) * r[keep].flatten(1).norm(dim=1)
            steps[alive[keep]] = step
            break
        if not keep.any():
            break
        if step_of is not None and gradients is None:
            _, gradients = step_of(x.detach(), order)
        picked = logits.gather(1, order)
        if gradients is None:
            gradients = [torch.autograd.grad(picked[:, k].sum(), x, retain_graph=k + 1 < picked.shape[1])[0][keep]
                         for k in range(picked.shape[1])]
        else:
            gradients = list(gradients[keep].unbind(1))
        alive, x0, r, order, label = alive[keep], x0[keep], r[keep], order[keep], label[keep]
        with torch.no_grad():
            f = picked.detach()[keep]
            w = torch.stack(gradients[1:], 1) - gradients[0][:, None]
            norm = w.flatten(2).norm(dim=2)
            d = torch.where(norm > 0, (f[:, 1:] - f[:, :1]).abs() / norm, torch.inf)
            best = d.argmin(1)
            row = torch.arange(len(best), device=x0.device)
            scale = (d[row, best] + floor) / norm[row, best]
            r = r + scale.view(-1, *[1] * (r.dim() - 1)) * w[row, best]
    return margins, steps


def lts4(network, image, overshoot=0.02, most=50, floor=1e-4, candidates=10):
    """The original loop (LTS4/DeepFool, deepfool.py) for one image [1, ...], its NumPy round trips included."""
    order = network(image).detach().flatten().cpu().numpy().argsort()[::-1][:candidates]
    total, step = np.zeros(image.shape, np.float32), 0
    x = image.clone().requires_grad_()
    fs = network(x)
    now = order[0]
    while now == order[0] and step < most:
        nearest, w = np.inf, None
        fs[0, order[0]].backward(retain_graph=True)
        own = x.grad.cpu().numpy().copy()
        for k in range(1, candidates):
            x.grad.zero_()
            fs[0, order[k]].backward(retain_graph=True)
            w_k = x.grad.cpu().numpy().copy() - own
            f_k = (fs[0, order[k]] - fs[0, order[0]]).detach().cpu().numpy()
            distance = abs(f_k) / np.linalg.norm(w_k.flatten())
            if distance < nearest:
                nearest, w = distance, w_k
        if w is None:
            break
        total = np.float32(total + (nearest + floor) * w / np.linalg.norm(w))
        x = (image + (1 + overshoot) * torch.from_numpy(total).to(image.device)).requires_grad_()
        fs = network(x)
        now = int(fs.detach().flatten().cpu().numpy().argmax())
        step += 1
    return float(np.linalg.norm((1 + overshoot) * total)), step


def wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def best_time(run, repeat, device):
    """The least seconds and the least CPU seconds of `repeat` runs, and what the last one gave."""
    seconds = []
    for _ in range(repeat):
        wait(device)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        result = run()
        wait(device)
        seconds.append((time.perf_counter() - begin, time.process_time() - cpu_begin))
    return tuple(map(min, zip(*seconds))), result


class Counted(nn.Module):
    """A network that counts the rows of its forwards."""

    def __init__(self, network):
        super().__init__()
        self.network, self.rows = network, 0
        self.eval()

    def forward(self, x):
        self.rows += len(x)
        return self.network(x)


def best_batch(arguments, x, prepare):
    """The best of the batch sizes asked for; prepare(size) warms up and returns what runs one batch."""
    best = None
    for batch in (int(b) for b in arguments.batch.split(",")):
        one = prepare(batch)
        seconds, parts = best_time(lambda b=batch, f=one: [f(part) for part in x.split(b)], arguments.repeat, arguments.device)
        if best is None or seconds < best[0]:
            best = seconds, batch, parts
    return best


def run_expert(arguments, network, x):
    if arguments.mode.startswith("compile"):
        from torch._functorch import config
        config.donated_buffer = False  # K backwards go through one forward
        network = torch.compile(network, dynamic=arguments.mode == "compile")

    def prepare(batch):
        step_of, first = None, x[:batch]
        if arguments.mode.endswith("graph"):
            order = network(first).detach().sort(dim=1, descending=True, stable=True).indices[:, :10]
            step_of = Replay(network, first, order)
        deepfool(network, first, step_of=step_of)
        return lambda part: deepfool(network, part, step_of=step_of)

    seconds, batch, parts = best_batch(arguments, x, prepare)
    return seconds, batch, torch.cat([p[0] for p in parts]).cpu(), float(torch.cat([p[1] for p in parts]).float().mean())


def run_lts4(arguments, network, x):
    lts4(network, x[:1])
    seconds, pairs = best_time(lambda: [lts4(network, part) for part in x.split(1)], arguments.repeat, arguments.device)
    return seconds, 1, torch.tensor([p[0] for p in pairs]), float(np.mean([p[1] for p in pairs]))


def attacked(arguments, x, counted, attack):
    """Seconds, batch, margins and mean forwards of an attack that gives the moved inputs of a batch."""
    def margins(part):
        before = counted.rows
        return (attack(part) - part).flatten(1).norm(dim=1).detach(), counted.rows - before

    def prepare(batch):
        margins(x[:batch])
        return margins

    seconds, batch, parts = best_batch(arguments, x, prepare)
    return seconds, batch, torch.cat([p[0] for p in parts]).cpu(), sum(p[1] for p in parts) / len(x)


def run_foolbox(arguments, network, x):
    import foolbox
    counted = Counted(network)
    model = foolbox.PyTorchModel(counted, bounds=(float(x.min()), float(x.max())), device=arguments.device)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02, loss="logits")
    seconds, batch, margins, forwards = attacked(
        arguments, x, counted, lambda part: attack(model, part, network(part).argmax(1), epsilons=None)[0])
    # One for the candidates, nine a step, one to see that the batch has crossed, and one for the attack's result.
    return seconds, batch, margins, (forwards - 3) / 9


def run_adv_lib(arguments, network, x):
    from adv_lib.attacks import df
    low, high = float(x.min()), float(x.max())  # df takes inputs of [0, 1]
    counted = Counted(lambda unit: network(low + (high - low) * unit))
    seconds, batch, margins, forwards = attacked(
        arguments, (x - low) / (high - low), counted,
        lambda part: df(counted, part, counted.network(part).argmax(1), steps=50, overshoot=0.02))
    return seconds, batch, (high - low) * margins, forwards - 1  # one to see that a sample has crossed


def run_train(arguments, network, x):
    """Seconds of --restarts times --steps steps of Adam, one after the other."""
    labels = read_labels(arguments.pool, len(x), int(network(x[:1]).shape[1])).to(x.device)
    network.train()
    parameters = [v for held in network.values.values() for v in held.values()]
    model = torch.compile(network) if arguments.mode == "compile" else network
    taken = []
    for turn in range(arguments.restarts + 1):  # the first warms up
        for parameter in parameters:
            parameter.requires_grad_().grad = None
        optimizer = torch.optim.Adam(parameters, eps=1e-7, fused=arguments.fused or None)

        def steps(count=arguments.steps if turn else 20, optimizer=optimizer):
            for step in range(count):
                rows = torch.arange(step * arguments.step_rows, (step + 1) * arguments.step_rows, device=x.device) % len(x)
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(model(x[rows]), labels[rows]).backward()
                optimizer.step()

        taken.append(best_time(steps, 1, arguments.device)[0])
    seconds, cpu_seconds = map(sum, zip(*taken[1:]))
    return {"case": "train", "seconds": seconds, "cpu_seconds": cpu_seconds, "restarts": arguments.restarts, "steps": arguments.steps,
            "step_rows": arguments.step_rows}


LOOPS = {"expert": run_expert, "lts4": run_lts4, "foolbox": run_foolbox, "adv-lib": run_adv_lib}


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("pool")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--batch", default="256", help="sizes to try, the best counts (default 256)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--margins", help="also write the margins to this .npy file")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--tf32", action="store_true", help="let matrix units round float32 factors to TF32")
    parser.add_argument("--loop", default="expert", choices=(*LOOPS, "train"))
    parser.add_argument("--mode", default="eager", choices=("eager", "graph", "compile", "compile-graph"))
    parser.add_argument("--restarts", type=int, default=5, help="of --loop train")
    parser.add_argument("--steps", type=int, default=1000, help="of --loop train")
    parser.add_argument("--step-rows", type=int, default=32, help="rows of a step of --loop train (default 32)")
    parser.add_argument("--fused", action="store_true", help="of --loop train: Adam as one call a step")
    parser.add_argument("--cases", help="a JSON list of lists of options, one case each; -: lists from standard input, a line each")
    return parser


def run_case(arguments):
    """What one case found, as a dictionary."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    network = Network(arguments.network).to(arguments.device)
    x = read_pool(arguments.pool, arguments.samples).to(arguments.device)
    if arguments.loop == "train":
        found = run_train(arguments, network, x)
    else:
        (seconds, cpu_seconds), batch, margins, mean = LOOPS[arguments.loop](arguments, network, x)
        if arguments.margins:
            np.save(arguments.margins, margins.numpy())
        found = {"case": arguments.loop, "samples": len(x), "seconds": seconds, "cpu_seconds": cpu_seconds,
                 "samples_per_second": len(x) / seconds, "batch": batch, "mean_iterations": mean,
                 "margin_sum": float(margins.double().sum())}
    return {**found, "mode": arguments.mode, "device": arguments.device, "tf32": arguments.tf32,
            "threads": arguments.threads, "torch": torch.__version__}


def case_lists(path):
    """The lists of options of --cases, those of standard input as they come."""
    if path == "-":
        yield from map(json.loads, sys.stdin)
        return
    with open(path, encoding="utf-8") as file:
        yield from json.load(file)


def print_case(arguments):
    if arguments.mode.endswith("graph") and not arguments.device.startswith("cuda"):
        raise SystemExit("a CUDA graph needs --device cuda")
    print(json.dumps(run_case(arguments)), flush=True)


def main():
    parser = options()
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.cases:
        print_case(arguments)
        return
    for words in case_lists(arguments.cases):
        case = parser.parse_args(sys.argv[1:] + [str(word) for word in words])
        try:
            print_case(case)
        except Exception as error:  # the other cases are worth having
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
