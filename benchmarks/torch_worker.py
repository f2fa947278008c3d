"""Runs inside a PyTorch process: training steps of a plan, or single convolutions; one JSON object
per line on standard output.

usage: torch_worker.py step PLANS DATASET_JSON SETTINGS     SETTINGS: JSON, see Settings
       torch_worker.py layers LAYERS.json THREADS REPEAT    rows with kernel, stride, channels, edges
"""
import dataclasses
import json
import pathlib
import sys
import time
from contextlib import nullcontext

import numpy as np
import torch


@dataclasses.dataclass
class Settings:
    config: str
    batch: int = 0           # 0: the plan's
    threads: int = 1
    steps: int = 2           # timed, after `warmup` others
    warmup: int = 1
    bf16: bool = False       # autocast
    inplace: bool = True     # leaky ReLU as nnU-Net asks for
    channels_last: bool = False
    compiled: bool = False


def build_network(plans, dataset, s):
    """As nnU-Net builds it."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    c = plans["configurations"][s.config]
    arch = c["architecture"]
    arch["arch_kwargs"]["nonlin_kwargs"]["inplace"] = s.inplace
    net = get_network_from_plans(arch["network_class_name"], arch["arch_kwargs"],
                                 arch["_kw_requires_import"], len(dataset["channel_names"]),
                                 len(dataset["labels"]), allow_init=True, deep_supervision=True)
    if s.channels_last:
        net = net.to(memory_format=memory_format(len(c["patch_size"])))
    return net


def memory_format(dimensions):
    return torch.channels_last_3d if dimensions == 3 else torch.channels_last


def build_loss(plans, s):
    """Deep-supervision Dice + cross-entropy, and the scales of its targets."""
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    c = plans["configurations"][s.config]
    strides = np.cumprod(np.vstack(c["architecture"]["arch_kwargs"]["strides"]), axis=0)[:-1]
    weights = np.array([0.5 ** i for i in range(len(strides))])
    weights[-1] = 0
    loss = DC_and_CE_loss({"batch_dice": c["batch_dice"], "smooth": 1e-5, "do_bg": False,
                           "ddp": False}, {}, weight_ce=1, weight_dice=1, ignore_label=None,
                          dice_class=MemoryEfficientSoftDiceLoss)
    return DeepSupervisionWrapper(loss, weights / weights.sum()), strides


def random_batch(plans, dataset, s, strides):
    c = plans["configurations"][s.config]
    patch, batch = c["patch_size"], s.batch or c["batch_size"]
    torch.manual_seed(1)
    data = torch.randn(batch, len(dataset["channel_names"]), *patch)
    if s.channels_last:
        data = data.to(memory_format=memory_format(len(patch)))
    targets = [torch.randint(0, len(dataset["labels"]), (batch, 1, *(patch // stride)))
               for patch, stride in ((np.array(patch), stride) for stride in strides)]
    return data, [t.to(torch.int16) for t in targets]


def report_steps(one_step, s):
    for i in range(s.warmup + s.steps):
        cpu, wall = time.process_time(), time.perf_counter()
        one_step()
        row = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        if i >= s.warmup:
            print(json.dumps(row), flush=True)


def run_steps(plans_file, dataset_file, settings):
    plans = json.loads(pathlib.Path(plans_file).read_text())
    dataset = json.loads(pathlib.Path(dataset_file).read_text())
    s = Settings(**json.loads(settings))
    torch.set_num_threads(s.threads)
    net = build_network(plans, dataset, s)
    loss, strides = build_loss(plans, s)
    data, targets = random_batch(plans, dataset, s, strides)
    sgd = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    forward = torch.compile(net) if s.compiled else net

    def one_step():
        sgd.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16) if s.bf16 else nullcontext():
            value = loss(forward(data), targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
        sgd.step()

    report_steps(one_step, s)


def layer_calls(row, dtype, layout):
    """Forward, gradient of the input, gradient of the weights of one convolution."""
    kernel, stride = row["kernel"], row["stride"]
    dims = len(kernel)
    conv = {2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[dims]
    padding = [(k - 1) // 2 for k in kernel]
    x = torch.randn(row["n"], row["ci"], *row["edges"]).to(dtype)
    w = torch.randn(row["co"], row["ci"], *kernel).to(dtype)
    if layout == "channels_last":
        x, w = (t.to(memory_format=memory_format(dims)) for t in (x, w))
    y = conv(x, w, None, stride, padding)
    g = torch.randn_like(y)

    def backward(which):
        mask = [which == "grad-input", which == "grad-weight", False]
        return torch.ops.aten.convolution_backward(g, x, w, None, stride, padding, [1] * dims,
                                                   False, [0] * dims, 1, mask)

    return {"forward": lambda: conv(x, w, None, stride, padding),
            "grad-input": lambda: backward("grad-input"),
            "grad-weight": lambda: backward("grad-weight")}


def time_call(call, repeat):
    call()
    seconds = []
    for _ in range(repeat):
        cpu = time.process_time()
        call()
        seconds.append(time.process_time() - cpu)
    return sorted(seconds)[len(seconds) // 2]


def run_layers(file, threads, repeat):
    torch.set_num_threads(int(threads))
    for row in json.loads(pathlib.Path(file).read_text()):
        for dtype in (torch.float32, torch.bfloat16):
            for layout in ("plain", "channels_last"):
                call = layer_calls(row, dtype, layout)[row["direction"]]
                print(json.dumps({"id": row["id"], "dtype": str(dtype)[6:], "layout": layout,
                                  "cpu": time_call(call, int(repeat))}), flush=True)


if __name__ == "__main__":
    with torch.no_grad() if sys.argv[1] == "layers" else nullcontext():
        {"step": run_steps, "layers": run_layers}[sys.argv[1]](*sys.argv[2:])
