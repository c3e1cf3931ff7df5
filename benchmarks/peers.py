"""The other libraries' sides of benchmarks/compare.py: the workloads of `sinter bench`, measured on request.

    peers.py PEER THREADS

PEER is a key of PEERS below. Requests and answers are lines on standard
input and output, as those of `sinter bench --serve`:

    version          -> ok VERSION
    load NAME FILE   -> ok DIFFERENCE             (FILE is what `sinter bench --serve` saves)
    run S            -> ok SECONDS_A_CALL CALLS   (median over samples for about S seconds)
    quit

Inputs come from the file, and the result is compared with the file's: DIFFERENCE is the largest of an
element, over the largest element. "none TEXT" says that this library has no such workload. Each library runs
as its users are told to run it for speed: no gradients, weights frozen where it can, all optimisations.
"""
import importlib
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time

HEADS, GPT_LAYERS, RESNET_BLOCKS = 12, 12, (3, 4, 6, 3)
DECODE = {"width": 512, "heads": 8, "layers": 2, "cache": 4096, "window": 512, "first": 1000}
LAYER_WEIGHTS = 12  # of a transformer: norm1 qkv out norm2 up down, of each two tensors

# How many of a workload's inputs change from call to call; the others are weights. Not here: all of them.
DATA = {"mlp": 1, "matmul": 1, "block": 1, "gpt2": 1, "resnet50": 1}


class NoSuchWorkload(Exception):
    """This library has it not."""


def kind_of(name):
    return name.split("_")[0]


def read_tensors(path, numpy):
    """Tensors of a .safetensors file by name, mapped."""
    types = {"F32": "<f4", "I64": "<i8"}
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: numpy.memmap(path, types[row["dtype"]], "c", 8 + length + row["data_offsets"][0],
                           tuple(row["shape"]))
        for name, row in header.items() if name != "__metadata__"
    }


def largest_difference(got, wanted, numpy):
    got, wanted = numpy.asarray(got, numpy.float64), numpy.asarray(wanted, numpy.float64)
    if got.shape != wanted.shape:
        raise ValueError(f"the result is {list(got.shape)}, Sinter's {list(wanted.shape)}")
    with numpy.errstate(invalid="ignore"):
        most = float(numpy.max(numpy.abs(got - wanted), initial=0))
    largest = float(numpy.max(numpy.abs(wanted), initial=0))
    return math.inf if math.isnan(most) else most / (largest or 1)


# ---- PyTorch: all workloads, as functions of the inputs in Sinter's order ---------------------------


def torch_functions(torch):
    """Kind of workload -> function."""
    F = torch.nn.functional

    def pointwise(a, b, c, d):
        return F.gelu(a * b + c, approximate="tanh") * torch.sigmoid(d) + torch.exp(-a * a)

    def softmax(x):
        above = torch.exp(x - x.amax(-1, keepdim=True))
        below = torch.exp(x - x.amax(-1, keepdim=True))
        return above / below.sum(-1, keepdim=True)

    def layernorm(x, residual, gain, bias):
        h = x + residual
        mean = h.mean(-1, keepdim=True)
        variance = ((h - mean) ** 2).mean(-1, keepdim=True)
        return (h - mean) * torch.rsqrt(variance + 1e-5) * gain + bias

    def rmsnorm(x, gain, up):
        return F.silu(x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * gain) * up

    def mlp(x, w1, b1, w2, b2):
        return F.linear(F.gelu(F.linear(x, w1, b1), approximate="tanh"), w2, b2)

    def attention(q, k, v, mask):
        return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask, -1) @ v

    def block(x, *w):
        b, t, d = x.shape
        qkv = F.linear(F.layer_norm(x, (d,), w[0], w[1]), w[2], w[3])
        q, k, v = qkv.view(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).reshape(b, t, d), w[4], w[5])
        wide = F.linear(F.layer_norm(x, (d,), w[6], w[7]), w[8], w[9])
        return x + F.linear(F.gelu(wide, approximate="tanh"), w[10], w[11])

    def gpt2(tokens, table, places, *w):
        x = F.embedding(tokens, table) + places[: tokens.shape[1]]
        for i in range(GPT_LAYERS):
            x = block(x, *w[i * LAYER_WEIGHTS : (i + 1) * LAYER_WEIGHTS])
        gain, bias, head = w[GPT_LAYERS * LAYER_WEIGHTS :]
        return F.linear(F.layer_norm(x, x.shape[-1:], gain, bias), head)

    def resnet50(x, *weights):
        rest = iter(weights)

        def conv_norm(x, stride):
            w, gain, bias, mean, variance = itertools.islice(rest, 5)
            x = F.conv2d(x, w, None, stride, w.shape[2] // 2)
            return F.batch_norm(x, mean, variance, gain, bias, eps=1e-5)

        x = F.max_pool2d(F.relu(conv_norm(x, 2)), 3, 2, 1)
        for stage, blocks in enumerate(RESNET_BLOCKS):
            for i in range(blocks):
                stride = 2 if i == 0 and stage > 0 else 1
                y = F.relu(conv_norm(x, 1))
                y = conv_norm(F.relu(conv_norm(y, stride)), 1)
                x = F.relu(y + (conv_norm(x, stride) if i == 0 else x))
        return F.linear(x.mean((2, 3)), next(rest), next(rest))

    def tiny(*xs):
        y = xs[0]
        for x in xs[1:]:
            y = y * x + 1.0
        return y

    return {
        "pointwise": pointwise, "softmax": softmax, "layernorm": layernorm, "rmsnorm": rmsnorm,
        "xent": F.cross_entropy, "matmul": lambda a, b: a @ b, "mlp": mlp, "attention": attention,
        "block": block, "gpt2": gpt2, "resnet50": resnet50, "tiny": tiny,
    }


def torch_decode(torch, reach):
    """One token of a transformer with a cache: function(token, position, caches, *weights). The position is a
    number that moves a window, the length of a slice, or a tensor beside a mask over the whole cache."""
    F = torch.nn.functional
    width, heads, cache = DECODE["width"], DECODE["heads"], DECODE["cache"]
    head = width // heads

    def rotate(x, cosine, sine):
        a, b = x[..., : head // 2], x[..., head // 2 :]
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], 2)

    def attend(q, k, v, keys, values, position):
        if reach == "tensor":
            keys.index_copy_(1, position, k)
            values.index_copy_(1, position, v)
            scores = q @ keys.transpose(1, 2) * 0.125
            scores = torch.where(torch.arange(cache) <= position, scores, -math.inf)
            return torch.softmax(scores, 2) @ values
        end = position + 1
        keys[:, position:end] = k
        values[:, position:end] = v
        begin = end - DECODE["window"] if reach == "number" else 0
        scores = q @ keys[:, begin:end].transpose(1, 2) * 0.125
        return torch.softmax(scores, 2) @ values[:, begin:end]

    def decode(token, position, caches, table, *w):
        x = F.embedding(token, table)
        power = torch.arange(head // 2) * (-2 * math.log(10000) / head)
        angle = torch.exp(power) * position
        cosine, sine = torch.cos(angle), torch.sin(angle)
        for i in range(DECODE["layers"]):
            own = w[i * LAYER_WEIGHTS : (i + 1) * LAYER_WEIGHTS]
            keys, values = caches[i], caches[DECODE["layers"] + i]
            qkv = F.linear(F.layer_norm(x, (width,), own[0], own[1]), own[2], own[3])
            q, k, v = (part.view(heads, 1, head) for part in qkv.split(width, 1))
            q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
            mixed = attend(q, k, v, keys, values, position).reshape(1, width)
            x = x + F.linear(mixed, own[4], own[5])
            wide = F.linear(F.layer_norm(x, (width,), own[6], own[7]), own[8], own[9])
            x = x + F.linear(F.gelu(wide, approximate="tanh"), own[10], own[11])
        return x

    return decode


class Torch:
    """Eager; and what its compiled forms and its export have in common."""

    def __init__(self, threads):
        self.torch = importlib.import_module("torch")
        self.numpy = importlib.import_module("numpy")
        self.torch.set_num_threads(threads)
        self.version = f"torch {self.torch.__version__}"

    def guard(self):
        return self.torch.inference_mode()

    def workload(self, name, inputs):
        """(function, what a call gets, weights behind that); what depends on the call is a function of its
        number."""
        torch = self.torch
        inputs = [torch.from_numpy(self.numpy.array(x)) for x in inputs]
        if kind_of(name) != "decode":
            data = DATA.get(kind_of(name), len(inputs))
            return torch_functions(torch)[kind_of(name)], inputs[:data], inputs[data:]
        reach, caches, first = name.split("_")[1], inputs[-2 * DECODE["layers"] :], DECODE["first"]
        weights = inputs[2 if reach == "tensor" else 1 : -len(caches)]

        def call(i):
            position = first + i % (DECODE["cache"] - first)
            return inputs[0], torch.tensor([position]) if reach == "tensor" else position, caches

        return torch_decode(torch, reach), call, weights

    def load(self, name, inputs):
        function, data, weights = self.workload(name, inputs)
        if callable(data):
            return function, lambda i: (*data(i), *weights)
        return function, [*data, *weights]

    def to_numpy(self, result):
        return result.detach().numpy()

    def module(self, function, weights):
        """The function as a module that holds its weights."""
        torch = self.torch

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                own = (torch.nn.Parameter(w, requires_grad=False) for w in weights)
                self.weights = torch.nn.ParameterList(own)

            def forward(self, *data):
                return function(*data, *self.weights)

        return Model().eval()


class TorchCompile(Torch):
    """torch.compile with Inductor, weights frozen; convolutions with channels last if asked for."""

    def __init__(self, threads, channels_last=False, mode=None):
        super().__init__(threads)
        self.channels_last, self.mode = channels_last, mode
        importlib.import_module("torch._inductor.config").freezing = True

    def guard(self):
        return self.torch.no_grad()

    def load(self, name, inputs):
        function, data, weights = self.workload(name, inputs)
        if self.channels_last and not any(w.dim() == 4 for w in weights):
            raise NoSuchWorkload("no convolution")
        if not weights:
            return self.torch.compile(function, mode=self.mode), data
        model = self.module(function, weights)
        if self.channels_last:
            last = self.torch.channels_last
            model = model.to(memory_format=last)
            data = [x.to(memory_format=last) for x in data]
        return self.torch.compile(model, mode=self.mode), data


class OnnxRuntime(Torch):
    """ONNX Runtime on the model that PyTorch exports, all optimisations, results left where they are."""

    def __init__(self, threads):
        super().__init__(threads)
        self.threads, self.ort = threads, importlib.import_module("onnxruntime")
        importlib.import_module("onnx")  # that the export needs
        self.ort.set_default_logger_severity(4)
        self.version = f"onnxruntime {self.ort.__version__}"

    def guard(self):
        return self.torch.no_grad()

    def load(self, name, inputs):
        function, data, weights = self.workload(name, inputs)
        if callable(data):
            raise NoSuchWorkload("a cache that is written in place")
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            names = [f"x{i}" for i in range(len(data))]
            self.torch.onnx.export(self.module(function, weights), tuple(data), path, dynamo=False,
                                   input_names=names, output_names=["y"])
            session = self.ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for given, x in zip(names, data):
            binding.bind_cpu_input(given, x.numpy())
        binding.bind_output("y")

        def call():
            session.run_with_iobinding(binding)
            return binding

        return call, []

    def to_numpy(self, result):
        return result.copy_outputs_to_cpu()[0]


# ---- JAX ------------------------------------------------------------------------------------------


def jax_functions(jax):
    """Kind of workload -> function of the inputs in Sinter's order."""
    nn, numpy, lax = jax.nn, importlib.import_module("jax.numpy"), jax.lax

    def pointwise(a, b, c, d):
        return nn.gelu(a * b + c, approximate=True) * nn.sigmoid(d) + numpy.exp(-a * a)

    def norm(x, gain, bias):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + 1e-5) * gain + bias

    def layernorm(x, residual, gain, bias):
        return norm(x + residual, gain, bias)

    def rmsnorm(x, gain, up):
        return nn.silu(x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * gain) * up

    def xent(x, target):
        return -numpy.take_along_axis(nn.log_softmax(x, -1), target[:, None], 1).mean()

    def mlp(x, w1, b1, w2, b2):
        return nn.gelu(x @ w1.T + b1, approximate=True) @ w2.T + b2

    def attention(q, k, v, mask):
        return nn.softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5 + mask, -1) @ v

    def block(x, *w):
        b, t, d = x.shape
        qkv = (norm(x, w[0], w[1]) @ w[2].T + w[3]).reshape(b, t, 3, HEADS, d // HEADS)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) * (d // HEADS) ** -0.5
        scores = numpy.where(numpy.tril(numpy.ones((t, t), bool)), scores, -numpy.inf)
        mixed = (nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(b, t, d)
        x = x + mixed @ w[4].T + w[5]
        return x + nn.gelu(norm(x, w[6], w[7]) @ w[8].T + w[9], approximate=True) @ w[10].T + w[11]

    def gpt2(tokens, table, places, *w):
        x = table[tokens] + places[: tokens.shape[1]]
        for i in range(GPT_LAYERS):
            x = block(x, *w[i * LAYER_WEIGHTS : (i + 1) * LAYER_WEIGHTS])
        gain, bias, head = w[GPT_LAYERS * LAYER_WEIGHTS :]
        return norm(x, gain, bias) @ head.T

    def resnet50(x, *weights):
        """x: [n, h, w, c]; weights of convolutions: [taps, taps, in, out]."""
        rest = iter(weights)

        def conv_norm(x, stride):
            w, gain, bias, mean, variance = itertools.islice(rest, 5)
            pad = w.shape[0] // 2
            x = lax.conv_general_dilated(x, w, (stride, stride), ((pad, pad), (pad, pad)),
                                         dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return (x - mean) * (gain * lax.rsqrt(variance + 1e-5)) + bias

        x = nn.relu(conv_norm(x, 2))
        x = lax.reduce_window(x, -numpy.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1),
                              ((0, 0), (1, 1), (1, 1), (0, 0)))
        for stage, blocks in enumerate(RESNET_BLOCKS):
            for i in range(blocks):
                stride = 2 if i == 0 and stage > 0 else 1
                y = nn.relu(conv_norm(x, 1))
                y = conv_norm(nn.relu(conv_norm(y, stride)), 1)
                x = nn.relu(y + (conv_norm(x, stride) if i == 0 else x))
        return x.mean((1, 2)) @ next(rest).T + next(rest)

    def tiny(*xs):
        y = xs[0]
        for x in xs[1:]:
            y = y * x + 1.0
        return y

    return {
        "pointwise": pointwise, "softmax": lambda x: nn.softmax(x, -1), "layernorm": layernorm,
        "rmsnorm": rmsnorm, "xent": xent, "matmul": lambda a, b: a @ b, "mlp": mlp,
        "attention": attention, "block": block, "gpt2": gpt2, "resnet50": resnet50, "tiny": tiny,
    }


class Jax:
    """jit on the CPU. XLA takes as many threads as it may use processors."""

    def __init__(self, threads):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        os.environ["JAX_PLATFORMS"] = "cpu"
        self.jax, self.numpy = importlib.import_module("jax"), importlib.import_module("numpy")
        self.version = f"jax {self.jax.__version__}"

    def guard(self):
        return self.jax.default_matmul_precision("highest")

    def load(self, name, inputs):
        functions = jax_functions(self.jax)
        if kind_of(name) not in functions:
            raise NoSuchWorkload("a cache that is written in place")
        inputs = [self.numpy.array(x) for x in inputs]
        if kind_of(name) == "resnet50":  # channels last, as XLA's CPU likes them
            inputs[0] = inputs[0].transpose(0, 2, 3, 1)
            inputs = [w.transpose(2, 3, 1, 0) if i and w.ndim == 4 else w for i, w in enumerate(inputs)]
        compiled = self.jax.jit(functions[kind_of(name)])
        ready = self.jax.block_until_ready
        return lambda *xs: ready(compiled(*xs)), [self.jax.device_put(x) for x in inputs]

    def to_numpy(self, result):
        return self.numpy.asarray(result)


PEERS = {
    "torch": Torch,
    "torch-compile": TorchCompile,
    "torch-compile-nhwc": lambda threads: TorchCompile(threads, channels_last=True),
    "torch-compile-max": lambda threads: TorchCompile(threads, mode="max-autotune-no-cudagraphs"),
    "ort": OnnxRuntime,
    "jax": Jax,
}

# ---- measuring on request -------------------------------------------------------------------------


def time_calls(function, arguments, calls):
    begin = time.perf_counter()
    if callable(arguments):
        for i in range(calls):
            function(*arguments(i))
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


class Server:
    """One library, one workload at a time."""

    def __init__(self, library):
        self.library, self.function, self.arguments = library, None, []

    def load(self, name, path):
        tensors = read_tensors(path, self.library.numpy)
        inputs = [tensors[f"x{i}"] for i in range(len(tensors) - 1)]
        self.function, self.arguments = self.library.load(name, inputs)
        time_calls(self.function, self.arguments, 4)  # compiles; again where a number has moved
        first = self.arguments(0) if callable(self.arguments) else self.arguments
        result = self.library.to_numpy(self.function(*first))
        return f"{largest_difference(result, tensors['y'], self.library.numpy):.3g}"

    def answer(self, words):
        if words[0] == "version":
            return self.library.version
        if words[0] == "load":
            return self.load(*words[1:])
        seconds, calls = sample(self.function, self.arguments, float(words[1]))
        return f"{seconds!r} {calls}"


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        library = PEERS[name](threads)
    except ImportError as error:
        print("none", error, file=answers, flush=True)
        return
    server = Server(library)
    with library.guard():
        for line in sys.stdin:
            if line == "quit\n":
                break
            try:
                print("ok", server.answer(line.split()), file=answers, flush=True)
            except NoSuchWorkload as error:
                print("none", error, file=answers, flush=True)
            except Exception as error:  # the other side has to hear of it, whatever it is
                text = f"{type(error).__name__}: " + " ".join(str(error).split())[:300]
                print("error", text, file=answers, flush=True)


if __name__ == "__main__":
    main()
