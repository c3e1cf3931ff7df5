#!/usr/bin/env python3
"""Sinter against other libraries on this machine.

    compare.py [WORKLOAD ...]                workloads of `sinter bench`; a beginning of a name will do
    compare.py gemm|conv --calls FILE        products or convolutions of real models, against oneDNN

Each side is a process that stays alive for a workload or a shape and measures on request, round by round and
one side after the other, so that whatever else the machine does meets all of them. All sides compute on the
same numbers, and results that differ are told. Printed are medians over the rounds of the median time of a
call (of gemm and conv the least times), and ratios within a round: above 1 Sinter is faster.

Peers: sinter, sinter-eager (the same without compiling), torch (eager), torch-compile (Inductor, frozen
weights), torch-compile-nhwc (channels last; convolutions only), torch-compile-max (max-autotune, which takes
minutes: only when named), ort (ONNX Runtime), jax, onednn (matmul_1024 only, on numbers of its own).

FILE is JSON lines, xz-compressed or not, an operator call a line: its op as PyTorch names it, its args in
order, of which a tensor is {"T": sizes} with "s", strides, where it is not dense:
{"op": "aten.convolution.default", "args": [{"T": [1,64,56,56]}, ...]}. Of a convolution or product oneDNN
takes whichever of its ways is the fastest, with weights packed beforehand.

The exit status is 1 where a side failed or a result is wrong.
"""
import argparse
import json
import lzma
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PEERS = ["sinter", "sinter-eager", "torch", "torch-compile", "torch-compile-nhwc", "torch-compile-max",
         "ort", "jax", "onednn"]
SLOW_TO_LOAD = ["torch-compile-max"]
# Threads of one library may wait actively for more work after a call; another's turn begins after that.
PAUSE_SECONDS = 0.05
# Largest difference from Sinter's result, over the largest element, that another order of sums explains.
TOLERANCE = 1e-4
# Share of the processors that other programs take from which on figures mean little.
BUSY = 0.05

# ---- a side -----------------------------------------------------------------------------------------


class Refused(Exception):
    """A side has no such workload, or is not installed."""


class Side:
    """A process that measures on request."""

    def __init__(self, command, environment=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=environment)

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why, or has ended
        while True:
            answer = self.process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{self.process.args[0]} ended during '{request}': {self.last_words()}")
            word, _, rest = answer.strip().partition(" ")
            if word == "ok":
                return rest
            if word == "none":
                raise Refused(rest)
            if word == "error":
                raise RuntimeError(f"{request}: {rest}")

    def last_words(self):
        self.log.seek(0)
        return " ".join(self.log.read().decode(errors="replace").split())[-300:]

    def close(self):
        try:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def turn(side, request):
    time.sleep(PAUSE_SECONDS)
    return [float(word) for word in side.ask(request).split()]


class Watch:
    """What other programs take of the processors from its making until it is read."""

    def __init__(self, sides):
        self.pids = {side.process.pid for side in sides}
        self.begin = self.read()

    def read(self):
        """Ticks of all processors, those among them that anything ran in, and those of our sides."""
        with open("/proc/stat", encoding="ascii") as file:
            times = [int(word) for word in file.readline().split()[1:9]]
        ours = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                ours += sum(int(word) for word in file.read().rpartition(")")[2].split()[11:13])
        return sum(times), sum(times) - times[3] - times[4], ours

    def others(self):
        """Their share."""
        total, busy, ours = (now - then for now, then in zip(self.read(), self.begin))
        return round(max(0.0, busy - ours) / max(total, 1), 3)


# ---- workloads --------------------------------------------------------------------------------------


def opened(command, requests):
    """A side, and its answers to the first requests."""
    side = Side(command)
    try:
        return side, [side.ask(request) for request in requests]
    except BaseException:
        side.close()
        raise


def load_sinter(name, path, options):
    command = [options.sinter, "bench", "--serve", "--threads", str(options.threads), "--mode", options.mode]
    side, _ = opened(command, [f"load {name}", f"save {path}"])
    return side


def load_peer(peer, name, path, options):
    """A side, its version, and how far its result is from Sinter's."""
    threads = str(options.threads)
    if peer != "onednn":
        command = [options.python, os.path.join(ROOT, "benchmarks/peers.py"), peer, threads]
        side, (version, difference) = opened(command, ["version", f"load {name} {path}"])
        return side, version, float(difference)
    program = beside(options.sinter, "onednn")
    if name != "matmul_1024":
        raise Refused("products only")
    if not os.path.exists(program):
        raise Refused(f"{program} is not built")
    side, (version, _) = opened([program, threads], ["version", "gemm 1024 1024 1024 0 0 0"])
    return side, version, None


def load_peers(name, path, options, result):
    """The sides of a workload: peer -> (side, request of a turn)."""
    sides = {"sinter": (load_sinter(name, path, options), f"run compiled {options.seconds}")}
    for peer in options.peers:
        if peer == "sinter-eager":
            sides[peer] = (sides["sinter"][0], f"run eager {options.seconds}")
        if peer.startswith("sinter"):
            continue
        try:
            side, version, difference = load_peer(peer, name, path, options)
        except Refused as reason:
            result["absent"][peer] = str(reason)
        except RuntimeError as reason:
            result["failed"][peer] = str(reason)
        else:
            sides[peer] = (side, f"run {options.seconds}")
            result["versions"][peer] = version
            if difference is not None:
                result["differences"][peer] = difference
    return sides


def compare(name, options):
    """Measurements of one workload as a dict."""
    result = {"workload": name, "threads": options.threads, "mode": options.mode, "rounds": options.rounds,
              "seconds": options.seconds, "absent": {}, "failed": {}, "versions": {}, "differences": {}}
    sides = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            sides = load_peers(name, os.path.join(folder, "values.safetensors"), options, result)
            times = {peer: [] for peer in sides}
            watch = Watch([side for side, _ in sides.values()])
            for _ in range(options.rounds):
                for peer, (side, request) in sides.items():
                    times[peer].append(turn(side, request)[0])
            result["others_busy"] = watch.others()
            result["roof_share"] = float(sides["sinter"][0].ask("roof"))
        finally:
            for side in {id(side): side for side, _ in sides.values()}.values():
                side.close()
    result["times"] = {peer: statistics.median(values) for peer, values in times.items()}
    add_ratios(result, times)
    return result


def add_ratios(result, times):
    """Of each peer, and of the best, over Sinter; of PyTorch's eager form over Sinter's."""
    def ratios(peer, ours):
        return [theirs / own for theirs, own in zip(times[peer], times[ours])]

    others = [peer for peer in times if not peer.startswith("sinter")]
    result["ratios"] = {peer: statistics.median(ratios(peer, "sinter")) for peer in others}
    if "torch" in times and "sinter-eager" in times:
        result["eager_ratio"] = statistics.median(ratios("torch", "sinter-eager"))
    if others:
        best = min(others, key=lambda peer: result["times"][peer])
        result["best_peer"], result["ratio"] = best, result["ratios"][best]
        result["ratio_range"] = [min(ratios(best, "sinter")), max(ratios(best, "sinter"))]


# ---- the table of workloads ---------------------------------------------------------------------------


def readable(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


HEADS = {"sinter-eager": "eager", "torch-compile": "compile", "torch-compile-nhwc": "nhwc",
         "torch-compile-max": "max"}


def print_header(options):
    columns = "".join(f"{HEADS.get(peer, peer):>9}" for peer in options.peers)
    print(f"{'workload':23}{columns}  best peer / sinter (rounds){'roof':>17}")


def print_row(result, options):
    cells = ""
    for peer in options.peers:
        value = result["times"].get(peer)
        text = "failed" if peer in result["failed"] else "-" if value is None else readable(value)
        cells += f"{text:>9}"
    ratio = ""
    if "ratio" in result:
        low, high = result["ratio_range"]
        ratio = f"{result['best_peer']} / sinter {result['ratio']:.2f} ({low:.2f}-{high:.2f})"
    print(f"{result['workload']:23}{cells}  {ratio:38}{result['roof_share']:>6.2f}", flush=True)
    for peer, reason in result["failed"].items():
        print(f"  {peer} failed: {reason}")
    for peer, difference in wrong_results(result).items():
        print(f"  {peer} differs from Sinter by {difference:.2g} of the largest element: one is wrong")
    print_busy(result["others_busy"])


def print_busy(share):
    if share > BUSY:
        print(f"  other programs took {100 * share:.0f} % of the processors: measure again")


def wrong_results(result):
    return {peer: value for peer, value in result["differences"].items() if value > TOLERANCE}


def print_absent(results):
    said = {}
    for result in results:
        for peer, reason in result["absent"].items():
            said.setdefault((peer, reason), []).append(result["workload"])
    for (peer, reason), names in said.items():
        count = ", ".join(names) if len(names) < 4 else f"{len(names)} of {len(results)} workloads"
        where = "" if len(names) == len(results) else f" ({count})"
        print(f"absent: {peer}{where}: {reason}")


def print_ratios(what, values):
    if values:
        print(f"{what}: geometric mean {geometric_mean(values):.2f}, least {min(values):.2f},"
              f" of {len(values)}")


def print_summary(results):
    versions = {text for result in results for text in result["versions"].values()}
    print("peers:", ", ".join(sorted(versions)) or "none")
    print_absent(results)
    differences = [value for result in results for value in result["differences"].values()]
    if differences:
        print(f"results differ from Sinter's by {max(differences):.1g} of the largest element at most")
    print_ratios("best peer / sinter", [r["ratio"] for r in results if "ratio" in r])
    for peer in PEERS:
        print_ratios(f"{peer} / sinter", [r["ratios"][peer] for r in results if peer in r["ratios"]])
    print_ratios("torch / sinter-eager", [r["eager_ratio"] for r in results if "eager_ratio" in r])


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def run_workloads(names, options):
    results, failed = [], False
    if not options.json:
        print_header(options)
    for name in names:
        try:
            result = compare(name, options)
        except (RuntimeError, OSError) as error:
            print(f"compare.py: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        results.append(result)
        failed |= bool(result["failed"] or wrong_results(result))
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print_row(result, options)
    if results and not options.json:
        print_summary(results)
    return 1 if failed else 0


# ---- shapes of real models --------------------------------------------------------------------------

# A call that is too large for a short turn has its batch, or its rows, halved until it is not.
MOST_MULTIPLY_ADDS, MOST_ELEMENTS = 1 << 30, 1 << 24
# How many of each kind and trait; a trait counts before those behind it.
CONVOLUTIONS = {
    ("3x3", "strided"): 3, ("3x3", "odd"): 4, ("3x3", ""): 7,
    ("1x1", "strided"): 3, ("1x1", "odd"): 4, ("1x1", ""): 5,
    ("depthwise", "strided"): 2, ("depthwise", "odd"): 2, ("depthwise", ""): 2,
    ("grouped", "strided"): 1, ("grouped", ""): 3,
    ("other", "strided"): 2, ("other", ""): 2,
}
PRODUCTS = {("many rows", "odd"): 6, ("many rows", ""): 26, ("few rows", ""): 8}
FEW_ROWS = 32


def read_calls(path):
    opened = lzma.open(path, "rt") if path.endswith(".xz") else open(path, encoding="utf-8")
    with opened as file:
        for line in file:
            yield json.loads(line)


def halve_until_it_fits(count, fits):
    while count > 1 and not fits(count):
        count //= 2
    return count if fits(count) else 0


def convolution_of(call):
    """(stratum, words of a line but for the relu), or None."""
    x, w, bias, stride, padding, dilation, transposed, _, groups = call["args"]
    if len(x["T"]) != 4 or transposed or set(dilation) != {1}:
        return None
    (batch, channels, *size), (out, inner, *taps) = x["T"], w["T"]
    stride, padding = (v * 2 if len(v) == 1 else v for v in (stride, padding))
    places = math.prod((n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, taps, stride))

    def fits(batch):
        return (batch * places * out * inner * math.prod(taps) <= MOST_MULTIPLY_ADDS
                and batch * max(channels * math.prod(size), out * places) <= MOST_ELEMENTS)

    batch = halve_until_it_fits(batch, fits)
    if not batch:
        return None
    kind = ("depthwise" if 1 < groups == channels else "grouped" if groups > 1
            else {(1, 1): "1x1", (3, 3): "3x3"}.get(tuple(taps), "other"))
    trait = "strided" if max(stride) > 1 else "odd" if channels % 32 or out % 32 else ""
    if kind in ("grouped", "other") and trait == "odd":
        trait = ""
    words = [batch, channels, *size, out, *taps, *stride, *padding, groups, int(bias is not None)]
    return (kind, trait), words


def product_of(call):
    """The same of a product whose first operand is rows."""
    *bias, x, w = (a for a in call["args"] if isinstance(a, dict))
    (rows, inner), columns = x["T"], w["T"][1]
    strides = w.get("s", [columns, 1])
    if "s" in x or strides not in ([columns, 1], [1, inner]):
        return None
    rows = halve_until_it_fits(rows, lambda rows: rows * inner * columns <= MOST_MULTIPLY_ADDS
                               and max(rows * max(inner, columns), inner * columns) <= MOST_ELEMENTS)
    if not rows:
        return None
    kind = "few rows" if rows <= FEW_ROWS else "many rows"
    trait = "odd" if kind == "many rows" and (columns % 32 or inner % 32) else ""
    turned = int(strides == [1, inner] and columns > 1)
    return (kind, trait), [rows, inner, columns, turned, int(bool(bias) and bias[0]["T"] == [columns])]


SWEEPS = {
    "conv": (["aten.convolution.default"], convolution_of, CONVOLUTIONS),
    "gemm": (["aten.mm.default", "aten.addmm.default"], product_of, PRODUCTS),
}


def draw_shapes(sweep, options):
    """Lines of shapes, drawn kind by kind. Every second one has a relu behind it."""
    ops, shape_of, wanted = SWEEPS[sweep]
    found = {stratum: set() for stratum in wanted}
    for call in read_calls(options.calls):
        drawn = shape_of(call) if call["op"] in ops else None
        if drawn and drawn[0] in found:
            found[drawn[0]].add(tuple(drawn[1]))
    rng = random.Random(options.seed)
    shapes = []
    for stratum, count in wanted.items():
        some = sorted(found[stratum])
        shapes += [(stratum, words) for words in rng.sample(some, min(count, len(some)))]
    rng.shuffle(shapes)
    return [(" ".join(filter(None, stratum)), " ".join(map(str, (sweep, *words, i % 2))))
            for i, (stratum, words) in enumerate(shapes[: options.count])]


class Pair:
    """Sinter and oneDNN as processes that compute a shape each."""

    def __init__(self, options):
        environment = dict(os.environ)
        if options.isa:
            onednn = {"avx2": "AVX2", "avx512": "AVX512_CORE"}[options.isa]
            environment |= {"SINTER_ISA": options.isa, "ONEDNN_MAX_CPU_ISA": onednn}
        self.sides, self.versions = {}, []
        for name, program in (("sinter", "shapes"), ("onednn", "onednn")):
            command = [beside(options.sinter, program), str(options.threads)]
            if not os.path.exists(command[0]):
                sys.exit(f"compare.py: {command[0]} is not built")
            self.sides[name] = Side(command, environment)
            self.versions.append(self.sides[name].ask("version"))

    def compare(self, kind, line, options):
        result = {"shape": line, "kind": kind, "threads": options.threads, "rounds": options.rounds}
        result["how"] = {name: side.ask(line) for name, side in self.sides.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result")
            self.sides["onednn"].ask(f"save {path}")
            result["difference"] = float(self.sides["sinter"].ask(f"compare {path}"))
        times = {name: [] for name in self.sides}
        watch = Watch(self.sides.values())
        for _ in range(options.rounds):
            for name, side in self.sides.items():
                times[name].append(turn(side, f"run {options.seconds}")[2])
        result["others_busy"] = watch.others()
        result["times"] = {name: min(values) for name, values in times.items()}
        result["ratio"] = result["times"]["onednn"] / result["times"]["sinter"]
        return result

    def close(self):
        for side in self.sides.values():
            side.close()


def print_shape(r):
    wrong = " WRONG" if r["difference"] > TOLERANCE else ""
    print(f"{r['kind']:18} {r['shape']:50} {readable(r['times']['sinter']):>9}"
          f" {readable(r['times']['onednn']):>9} {r['ratio']:6.2f}  {r['how']['onednn']}{wrong}", flush=True)


def print_sweep_summary(results):
    kinds = {}
    for result in results:
        kinds.setdefault(result["kind"].split()[0], []).append(result["ratio"])
    for kind, ratios in sorted(kinds.items()):
        print(f"{kind:10} {len(ratios):3} shapes: geometric mean {geometric_mean(ratios):.2f},"
              f" worst {min(ratios):.2f}")
    print_busy(max(result["others_busy"] for result in results))
    worst = min(results, key=lambda result: result["ratio"])
    print(f"onednn / sinter, {len(results)} shapes: geometric mean"
          f" {geometric_mean([r['ratio'] for r in results]):.2f}, worst {worst['ratio']:.2f}"
          f" ({worst['shape']})")


def run_sweep(sweep, options):
    shapes, results, failed = draw_shapes(sweep, options), [], False
    if not shapes:
        sys.exit(f"compare.py: {options.calls} has no {sweep}")
    pair = Pair(options)
    if not options.json:
        names = {"conv": "n c h w out kh kw sh sw ph pw groups bias relu", "gemm": "m k n turned bias relu"}
        print(", ".join(pair.versions))
        print(f"{'':18} {sweep + ' ' + names[sweep]:50} {'sinter':>9} {'onednn':>9}  ratio")
    try:
        for kind, line in shapes:
            try:
                result = pair.compare(kind, line, options)
            except RuntimeError as error:
                print(f"compare.py: {error}", file=sys.stderr)
                failed = True
                continue
            results.append(result)
            failed |= result["difference"] > TOLERANCE
            if options.json:
                print(json.dumps(result), flush=True)
            else:
                print_shape(result)
    finally:
        pair.close()
    if results and not options.json:
        print_sweep_summary(results)
    return 1 if failed else 0


# ---- the command line -------------------------------------------------------------------------------


def beside(sinter, program):
    """A program of benchmarks/ in the build folder of that tool."""
    build = os.path.dirname(os.path.dirname(os.path.abspath(sinter)))
    return os.path.join(build, "benchmarks", program)


def choose(words, options):
    """Workloads whose names begin so; all without any word."""
    listing = subprocess.run([options.sinter, "bench", "--list"], capture_output=True, text=True, check=True)
    known = [line.split()[0] for line in listing.stdout.splitlines()]
    for word in words:
        if not any(name.startswith(word) for name in known):
            sys.exit(f"compare.py: there is no workload {word}; known: {', '.join(known)}, gemm, conv")
    return [name for name in known if not words or any(name.startswith(word) for word in words)]


def peer_list(text):
    peers = text.split(",")
    for peer in peers:
        if peer not in PEERS:
            raise argparse.ArgumentTypeError(f"there is no peer {peer}; there are {', '.join(PEERS)}")
    return peers


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="default: all; or gemm, or conv")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: one per processor")
    parser.add_argument("--peers", type=peer_list, help="comma-separated; default: all that load fast",
                        default=[peer for peer in PEERS if peer not in SLOW_TO_LOAD])
    parser.add_argument("--rounds", type=int, help="default 5; of gemm and conv 20")
    parser.add_argument("--seconds", type=float, help="of a turn; default 0.3, of gemm and conv 0.02")
    parser.add_argument("--mode", choices=["exact", "fast"], default="exact", help="of Sinter's numerics")
    parser.add_argument("--sinter", default=os.path.join(ROOT, "build/release/tools/sinter"))
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--calls", help="file of operator calls for gemm and conv")
    parser.add_argument("--seed", type=int, default=1, help="of the shapes drawn from it")
    parser.add_argument("--count", type=int, default=40, help="how many of the shapes")
    parser.add_argument("--isa", choices=["avx2", "avx512"], help="of gemm and conv, for both sides")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    options.sweep = options.workloads[0] if options.workloads and options.workloads[0] in SWEEPS else None
    if options.sweep and (len(options.workloads) > 1 or not options.calls):
        parser.error(f"{options.sweep} stands alone, and needs --calls FILE")
    options.peers = ["sinter", *(peer for peer in options.peers if peer != "sinter")]
    options.rounds = options.rounds or (20 if options.sweep else 5)
    options.seconds = options.seconds or (0.02 if options.sweep else 0.3)
    return options


def machine():
    try:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    options = parse_arguments()
    if not options.json:
        print(f"{machine()}, {os.cpu_count()} processors; {options.threads} threads, {options.rounds} rounds"
              f" of {options.seconds} s a side; load {os.getloadavg()[0]:.1f}"
              + (f"; seed {options.seed}" if options.sweep else ""))
    if options.sweep:
        return run_sweep(options.sweep, options)
    return run_workloads(choose(options.workloads, options), options)


if __name__ == "__main__":
    sys.exit(main())
