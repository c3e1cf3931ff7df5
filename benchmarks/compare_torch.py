#!/usr/bin/env python3
"""Sinter against PyTorch on the workloads of `sinter bench`, on this machine.

    compare_torch.py --torch-python VENV/bin/python [--sinter PATH] [--threads N] [WORKLOAD ...]

Both sides are processes that stay alive for a workload and measure on request, turn by turn, so that
whatever else the machine does meets both: eager PyTorch, torch.compile (Inductor), eager Sinter,
compiled Sinter, in an order that reverses from pair to pair. Printed are medians over the pairs of
the median time of a call, the medians of the ratios within a pair, and what the groups of workloads
have to reach. A ratio above 1 means that Sinter is faster.
"""
import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time

# ---- PyTorch's side: the same formulas, measured on request ----------------------------------------


def torch_workloads(torch):
    """Name -> function that makes (callable, arguments, or a function that gives those of the next call)."""
    F, nn, randn = torch.nn.functional, torch.nn, torch.randn

    def pointwise(n):
        def f(a, b, c, d):
            return F.gelu(a * b + c, approximate="tanh") * torch.sigmoid(d) + torch.exp(-a * a)

        return f, [randn(n) for _ in range(4)]

    def softmax(rows, columns):
        def f(x):
            above = torch.exp(x - x.amax(-1, keepdim=True))
            below = torch.exp(x - x.amax(-1, keepdim=True))
            return above / below.sum(-1, keepdim=True)

        return f, [randn(rows, columns)]

    def layernorm(rows, columns):
        def f(x, residual, gain, bias):
            h = x + residual
            mean = h.mean(-1, keepdim=True)
            variance = ((h - mean) ** 2).mean(-1, keepdim=True)
            return (h - mean) * torch.rsqrt(variance + 1e-5) * gain + bias

        return f, [randn(rows, columns), randn(rows, columns), randn(columns), randn(columns)]

    def rmsnorm_silu(rows, columns):
        def f(x, gain, up):
            return F.silu(x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * gain) * up

        return f, [randn(rows, columns), randn(columns), randn(rows, columns)]

    def xent(rows, classes):
        return F.cross_entropy, [randn(rows, classes), torch.randint(0, classes, (rows,))]

    def matmul(m, k, n):
        return lambda a, b: a @ b, [randn(m, k), randn(k, n)]

    def mlp(m, d, h):
        def f(x, w1, b1, w2, b2):
            return F.linear(F.gelu(F.linear(x, w1, b1), approximate="tanh"), w2, b2)

        return f, [randn(m, d), randn(h, d) / d**0.5, randn(h), randn(d, h) / h**0.5, randn(d)]

    def attention(b, h, t, d):
        def f(q, k, v, mask):
            return torch.softmax(q @ k.transpose(-1, -2) * d**-0.5 + mask, -1) @ v

        mask = torch.triu(torch.full((t, t), float("-inf")), 1)
        return f, [randn(b, h, t, d), randn(b, h, t, d), randn(b, h, t, d), mask]

    class Block(nn.Module):
        def __init__(self, d, heads):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            b, t, d = x.shape
            qkv = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Gpt(nn.Module):
        def __init__(self, layers=12, d=768, heads=12, vocabulary=50257, context=1024):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(context, d)
            self.blocks = nn.ModuleList(Block(d, heads) for _ in range(layers))
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)

        def forward(self, tokens):
            x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    def decode(reach, width=512, heads=8, layers=2, cache=4096, window=512, first=1000):
        """One token of a transformer with a cache, at a position that grows from call to call: a number
        that moves a window, the length of a slice, or a tensor beside a mask over the whole cache."""
        head = width // heads

        def linear(rows, columns):
            return randn(rows, columns) / columns**0.5, randn(rows)

        def norm():
            return randn(width), randn(width)

        blocks = [
            (norm(), linear(3 * width, width), linear(width, width), norm(),
             linear(4 * width, width), linear(width, 4 * width)) for _ in range(layers)
        ]
        caches = [(randn(heads, cache, head), randn(heads, cache, head)) for _ in range(layers)]
        table = randn(50000, width)

        def rotate(x, cosine, sine):
            a, b = x[..., : head // 2], x[..., head // 2 :]
            return torch.cat([a * cosine - b * sine, a * sine + b * cosine], 2)

        def attend(q, k, v, keys, values, position):
            if reach == "tensor":
                keys.index_copy_(1, position, k)
                values.index_copy_(1, position, v)
                scores = torch.where(
                    torch.arange(cache) <= position, q @ keys.transpose(1, 2) * 0.125, -math.inf
                )
                return torch.softmax(scores, 2) @ values
            end = position + 1
            keys[:, position:end] = k
            values[:, position:end] = v
            begin = end - window if reach == "number" else 0
            scores = q @ keys[:, begin:end].transpose(1, 2) * 0.125
            return torch.softmax(scores, 2) @ values[:, begin:end]

        def f(token, position):
            x = F.embedding(token, table)
            power = torch.arange(head // 2) * (-2 * math.log(10000) / head)
            cosine, sine = torch.cos(torch.exp(power) * position), torch.sin(torch.exp(power) * position)
            for (norm1, qkv, out, norm2, up, down), (keys, values) in zip(blocks, caches):
                parts = F.linear(F.layer_norm(x, (width,), *norm1), *qkv).split(width, 1)
                q, k, v = (part.view(heads, 1, head) for part in parts)
                q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
                mixed = attend(q, k, v, keys, values, position).reshape(1, width)
                x = x + F.linear(mixed, *out)
                wide = F.linear(F.layer_norm(x, (width,), *norm2), *up)
                x = x + F.linear(F.gelu(wide, approximate="tanh"), *down)
            return x

        def arguments():  # Sinter's samples are some calls from `first` on
            position = first + next(calls) % 16
            return token, torch.tensor([position]) if reach == "tensor" else position

        token, calls = torch.tensor([77]), itertools.count()
        return f, arguments

    def tiny(n):
        def f(*xs):
            y = xs[0]
            for x in xs[1:]:
                y = y * x + 1.0
            return y

        return f, [randn(16) for _ in range(n)]

    return {
        "pointwise_4K": lambda: pointwise(1 << 12),
        "pointwise_1M": lambda: pointwise(1 << 20),
        "pointwise_16M": lambda: pointwise(1 << 24),
        "softmax_4096x1024": lambda: softmax(4096, 1024),
        "layernorm_4096x768": lambda: layernorm(4096, 768),
        "rmsnorm_silu_4096x2048": lambda: rmsnorm_silu(4096, 2048),
        "xent_512x32000": lambda: xent(512, 32000),
        "matmul_1024": lambda: matmul(1024, 1024, 1024),
        "mlp_128x768x3072": lambda: mlp(128, 768, 3072),
        "mlp_1x768x3072": lambda: mlp(1, 768, 3072),
        "attention_4x12x256x64": lambda: attention(4, 12, 256, 64),
        "block_1x256": lambda: (Block(768, 12).eval(), [randn(1, 256, 768)]),
        "gpt2_1x128": lambda: (Gpt().eval(), [torch.randint(0, 50257, (1, 128))]),
        "decode_number": lambda: decode("number"),
        "decode_length": lambda: decode("length"),
        "decode_tensor": lambda: decode("tensor"),
        "tiny_2args": lambda: tiny(2),
        "tiny_8args": lambda: tiny(8),
        "tiny_16args": lambda: tiny(16),
    }


def time_calls(function, arguments, calls):
    begin = time.perf_counter()
    if callable(arguments):
        for _ in range(calls):
            function(*arguments())
    else:
        for _ in range(calls):
            function(*arguments)
    return (time.perf_counter() - begin) / calls


def calls_for(function, arguments, seconds):
    calls = 1
    while True:
        taken = min(time_calls(function, arguments, calls) for _ in range(3)) * calls
        if taken >= seconds:
            return calls
        calls = min(4 * calls, int(calls * seconds / max(taken, 1e-9)) + 1)


def sample(function, arguments, seconds):
    """Median seconds of a call, from samples of at least a millisecond."""
    calls = calls_for(function, arguments, 1e-3)
    samples, begin = [], time.perf_counter()
    while len(samples) < 3 or (time.perf_counter() - begin < seconds and len(samples) < 501):
        samples.append(time_calls(function, arguments, calls))
    return statistics.median(samples), calls * len(samples)


def serve_torch(threads):
    """The protocol of `sinter bench --serve`."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    table, forms, arguments = torch_workloads(torch), {}, []
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            try:
                if words[0] == "load":
                    torch._dynamo.reset()
                    function, arguments = table[words[1]]()
                    forms = {"eager": function, "compiled": torch.compile(function)}
                    for form in forms.values():
                        time_calls(form, arguments, 3)
                    print("ok", torch.__version__, flush=True)
                elif words[0] == "run":
                    seconds, calls = sample(forms[words[1]], arguments, float(words[2]))
                    print("ok", repr(seconds), calls, flush=True)
                else:
                    return
            except Exception as error:  # the other side has to hear of it, whatever it is
                print("error", " ".join(str(error).split())[:300], flush=True)


# ---- the comparison ----------------------------------------------------------------------------------


class Peer:
    """A process that measures on request."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        while True:  # libraries may print lines of their own
            answer = self.process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{self.process.args[0]} ended during '{request}'")
            word, _, rest = answer.strip().partition(" ")
            if word == "ok":
                return rest
            if word == "error":
                raise RuntimeError(f"{request}: {rest}")

    def run(self, form, seconds):
        return float(self.ask(f"run {form} {seconds}").split()[0])

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()


def compare(name, options):
    """Measurements of one workload as a dict."""
    sinter_command = [options.sinter, "bench", "--serve", "--threads", str(options.threads)]
    sinter = Peer(sinter_command + ["--mode", options.mode])
    torch = Peer([options.torch_python, __file__, "--serve-torch", "--threads", str(options.threads)])
    try:
        version = torch.ask(f"load {name}")
        sinter.ask(f"load {name}")
        turns = [
            ("torch_eager", torch, "eager"),
            ("sinter_eager", sinter, "eager"),
            ("torch_compile", torch, "compiled"),
            ("sinter_compiled", sinter, "compiled"),
        ]
        times = {key: [] for key, _, _ in turns}
        for pair in range(options.pairs):
            for key, peer, form in turns if pair % 2 == 0 else reversed(turns):
                times[key].append(peer.run(form, options.seconds))
    finally:
        sinter.close()
        torch.close()
    result = {"workload": name, "torch": version, "mode": options.mode, "threads": options.threads}
    result["pairs"] = options.pairs
    for key, values in times.items():
        result[key + "_s"] = statistics.median(values)
    result["eager_ratio"] = median_ratio(times["torch_eager"], times["sinter_eager"])
    result["compiled_ratio"] = median_ratio(times["torch_compile"], times["sinter_compiled"])
    return result


def median_ratio(numerators, denominators):
    return statistics.median(n / d for n, d in zip(numerators, denominators))


LIGHT = [
    "pointwise_1M",
    "pointwise_16M",
    "softmax_4096x1024",
    "layernorm_4096x768",
    "rmsnorm_silu_4096x2048",
    "xent_512x32000",
]
HEAVY = ["matmul_1024", "mlp_128x768x3072", "mlp_1x768x3072", "block_1x256"]

# (what, workloads or None for all, ratio, how they are joined, least value)
GOALS = [
    ("light kernels", LIGHT, "compiled_ratio", "geometric mean", 1.5),
    ("light kernels", LIGHT, "compiled_ratio", "least", 0.95),
    ("pointwise_4K", ["pointwise_4K"], "compiled_ratio", "least", 3.0),
    ("tiny_8args", ["tiny_8args"], "compiled_ratio", "least", 15.0),
    ("matmul, mlp, block", HEAVY, "compiled_ratio", "least", 0.95),
    ("eager, all", None, "eager_ratio", "geometric mean", 1.0),
]


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def judge(results, known):
    """Goals whose workloads were all measured."""
    by_name = {r["workload"]: r for r in results}
    for what, names, ratio, joined, least in GOALS:
        names = names or known
        if not all(name in by_name for name in names):
            continue
        values = [by_name[name][ratio] for name in names]
        value = geometric_mean(values) if joined == "geometric mean" else min(values)
        yield {
            "goal": what,
            "ratio": ratio,
            "joined": joined,
            "value": value,
            "least": least,
            "met": value >= least,
        }


def readable(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.4g} {unit}"
    return f"{seconds * 1e9:.4g} ns"


COLUMNS = "{:24} {:>11} {:>11} {:>7}   {:>13} {:>15} {:>7}"


def print_header():
    print(
        COLUMNS.format(
            "workload", "torch eager", "sinter", "ratio", "torch.compile", "sinter compiled", "ratio"
        )
    )


def print_row(r):
    print(
        COLUMNS.format(
            r["workload"],
            readable(r["torch_eager_s"]),
            readable(r["sinter_eager_s"]),
            f"{r['eager_ratio']:.2f}x",
            readable(r["torch_compile_s"]),
            readable(r["sinter_compiled_s"]),
            f"{r['compiled_ratio']:.2f}x",
        ),
        flush=True,
    )


def known_workloads(sinter):
    listing = subprocess.run([sinter, "bench", "--list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listing.stdout.splitlines()]


def parse_arguments():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", help="names of `sinter bench --list`; default: all")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python with torch")
    parser.add_argument("--sinter", default=os.path.join(root, "build/release/tools/sinter"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=["exact", "fast"], default="exact")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each side (default 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--serve-torch", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.serve_torch:
        serve_torch(options.threads)
        return 0
    known = known_workloads(options.sinter)
    for name in options.workloads:
        if name not in known:
            sys.exit(f"compare_torch.py: there is no workload {name}; known: {', '.join(known)}")
    results, failed = [], False
    if not options.json:
        print_header()
    for name in options.workloads or known:
        try:
            result = compare(name, options)
        except (RuntimeError, OSError) as error:
            print(f"compare_torch.py: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        results.append(result)
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print_row(result)
    for goal in judge(results, known):
        if options.json:
            print(json.dumps(goal))
        else:
            met = "met" if goal["met"] else "MISSED"
            print(f"{met:7}{goal['goal']}, {goal['ratio']}, {goal['joined']}:"
                  f" {goal['value']:.2f} (at least {goal['least']})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
