#!/usr/bin/env python3
"""The decoding step of benchmarks/dynamic.c in PyTorch: tokens a second of eager code with a growing slice
of the cache, and of torch.compile with a position tensor and a mask over the whole cache (its usual form:
a position that is an integer compiles again and again), and with a growing slice and dynamic shapes.

    VENV/bin/python benchmarks/decode_torch.py [--threads 2]
"""
import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F

WIDTH, HEADS, LAYERS, CACHE, TOKENS = 256, 8, 4, 1024, 1000
HEAD = WIDTH // HEADS


def weights():
    def normal(*dims):
        return torch.randn(*dims) * 0.05

    return [
        (torch.ones(WIDTH), normal(WIDTH, 3 * WIDTH), normal(WIDTH, WIDTH), torch.ones(WIDTH),
         normal(WIDTH, 4 * WIDTH), normal(4 * WIDTH, WIDTH)) for _ in range(LAYERS)
    ]


def split(qkv):
    return [part.view(HEADS, 1, HEAD) for part in qkv.split(WIDTH, dim=1)]


def feed_forward(x, w):
    h = F.layer_norm(x, (WIDTH,), w[3]) @ w[4]
    return x + F.gelu(h, approximate="tanh") @ w[5]


def slice_step(layers, caches, x, position):
    for w, (keys, values) in zip(layers, caches):
        q, k, v = split(F.layer_norm(x, (WIDTH,), w[0]) @ w[1])
        keys[:, position:position + 1] = k
        values[:, position:position + 1] = v
        scores = q @ keys[:, :position + 1].transpose(1, 2) / math.sqrt(HEAD)
        a = torch.softmax(scores, 2) @ values[:, :position + 1]
        x = feed_forward(x + a.reshape(1, WIDTH) @ w[2], w)
    return x


def tensor_step(layers, caches, x, position):
    seen = torch.arange(CACHE) <= position
    for w, (keys, values) in zip(layers, caches):
        q, k, v = split(F.layer_norm(x, (WIDTH,), w[0]) @ w[1])
        keys.index_copy_(1, position, k)
        values.index_copy_(1, position, v)
        scores = q @ keys.transpose(1, 2) / math.sqrt(HEAD)
        a = torch.softmax(scores.masked_fill(~seen, -math.inf), 2) @ values
        x = feed_forward(x + a.reshape(1, WIDTH) @ w[2], w)
    return x


def tokens_per_second(step, layers, as_tensor):
    caches = [(torch.zeros(HEADS, CACHE, HEAD), torch.zeros(HEADS, CACHE, HEAD))
              for _ in range(LAYERS)]
    seconds = []
    for token in range(TOKENS):
        x = torch.randn(1, WIDTH)
        position = torch.tensor([token]) if as_tensor else token
        begin = time.perf_counter()
        step(layers, caches, x, position)
        seconds.append(time.perf_counter() - begin)
    return 1 / statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(7)
    layers = weights()
    runs = [("eager_slice", slice_step, False), ("eager_tensor", tensor_step, True),
            ("compiled_tensor", torch.compile(tensor_step), True),
            ("compiled_slice", torch.compile(slice_step, dynamic=True), False)]
    with torch.no_grad():
        for name, step, as_tensor in runs:
            rate = tokens_per_second(step, layers, as_tensor)
            print(json.dumps({"name": name, "tokens_per_s": round(rate)}), flush=True)


if __name__ == "__main__":
    main()
