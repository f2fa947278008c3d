#!/usr/bin/env python3
"""A plan's training step in segfleet and in PyTorch on the same cores, interleaved in one run.

usage: compare_torch.py --python VENV/bin/python [--cases a,b,..] [--threads 1,2] [--rounds 3]
       compare_torch.py --python VENV/bin/python --layers [--cases ..]

Every round runs every contender once, each in a process of its own. PyTorch as installed: nnU-Net's
network and loss, eager. Its best: the fastest of the settings in CANDIDATES in the first round.
Times are CPU seconds of the process (medians), so that other work on the machine hardly counts.
`scripts/peer_check --setup VENV` makes the environment.
"""
import json
import os
import re
import statistics

import contest

WORKER = contest.ROOT / "benchmarks" / "torch_worker.py"
ALLOCATOR = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}" for name in (
    "hugetlb=1", "mmap_max=0", "trim_threshold=17179869184", "top_pad=268435456"))}
CANDIDATES = {  # all with the allocator tuned and leaky ReLU not in place
    "tuned": {},
    "channels_last": dict(channels_last=True),
    "compiled": dict(compiled=True, warmup=2),
}
# wanted ratios: fp32 as installed, fp32 best, bf16 best; then memory against fp32 and bf16
TARGETS = {**{case: (6, 4.5, 2.5) for case in "abcds"}, "e": (5, 3.5, 2), "f": (5.5, 4, 2.3)}
MEMORY_TARGETS = (0.5, 0.7)
LAYER_TARGETS = {"3x3x3": (5, 2.5), "3x3": (3, "-")}  # against fp32, bf16


class Comparison:
    """One plan on one number of threads."""

    def __init__(self, case, threads, args):
        self.case, self.threads, self.args = case, threads, args
        self.plans = args.bench / f"plans_{case}.json"
        self.dataset = args.bench / f"dataset_{case}.json"
        self.config = list(json.loads(self.plans.read_text())["configurations"])[-1]
        self.gflop = 0.0

    def log(self, name):
        plain = re.sub(r"[^a-z0-9]+", "_", name)
        return self.args.logs / f"{self.case}_{self.threads}_{plain}.log"

    def peer(self, name, bf16, env=None, **settings):
        settings = dict(config=self.config, threads=self.threads, steps=self.args.steps, bf16=bf16,
                        **settings)
        words = [self.args.python, WORKER, "step", self.plans, self.dataset, json.dumps(settings)]

        def run():
            rows, cost = contest.run_json_lines(
                words, contest.peer_environment(self.threads, env), self.log(name))
            return rows, cost["bytes"]
        return contest.Contender(name, run)

    def ours(self, name, env=None, words=()):
        out = self.log(name).with_suffix(".json")
        words = [self.args.program, "bench", "step", "--plans", self.plans, "--dataset-json",
                 self.dataset, "--threads", self.threads, "--repeat", self.args.steps, "--json",
                 out, *words]

        def run():
            _, cost = contest.run_json_lines(words, {**os.environ, **(env or {})}, self.log(name))
            r = json.loads(out.read_text())
            self.gflop = r["gflop"]
            row = {"cpu": r["cpu_seconds_per_step"], "wall": r["seconds_per_step"]}
            return [row], cost["bytes"]
        return contest.Contender(name, run)

    def our_contenders(self):
        ours = [self.ours("fast")]
        if self.args.bf16:
            ours.append(self.ours("fast, bf16", words=["--precision", "bf16"]))
        if self.args.all_isa:
            ours.append(self.ours("fast, AVX2", {"SEGFLEET_ISA": "avx2"}))
        return ours

    def run(self):
        """Ours, [fp32 as installed, bf16 as installed], [best of fp32, best of bf16]."""
        ours = self.our_contenders()
        installed = [self.peer("fp32 installed", False), self.peer("bf16 installed", True)]
        candidates = [[self.peer(f"{kind} {name}", kind == "bf16", ALLOCATOR, inplace=False,
                                 **CANDIDATES[name]) for name in self.args.candidates.split(",")]
                      for kind in ("fp32", "bf16")]
        for c in [*ours, *installed, *candidates[0], *candidates[1]]:
            c.round()
        best = [min([plain, *kind], key=contest.Contender.median)
                for plain, kind in zip(installed, candidates)]
        for _ in range(self.args.rounds - 1):
            for c in dict.fromkeys([*ours, *installed, *best]):
                c.round()
        return ours, installed, best


HEAD = ("| case | threads | segfleet | CPU s | wall s | GFLOP/s | peer fp32 installed | fp32 best "
        "| bf16 installed | bf16 best | peak MiB: ours, fp32, bf16 | best settings |\n"
        "|---|---:|---|---:|---:|---:|---|---|---|---|---|---|")


def rows_of(comparison, result):
    ours, (fp32, bf16), (fp32_best, bf16_best) = result
    installed, best, half_best = TARGETS[comparison.case]
    peers = [(fp32, installed), (fp32_best, best), (bf16, None), (bf16_best, half_best)]
    for own in ours:
        cells = [comparison.case, str(comparison.threads), own.name, f"{own.median():.3f}",
                 f"{own.median('wall'):.3f}", f"{comparison.gflop / own.median():.0f}"]
        for peer, want in peers:
            goal = f" ({want})" if want else ""
            cells.append(f"{peer.median():.2f} s: {peer.median() / own.median():.2f}x{goal}")
        memory = [f"{own.bytes / peer.bytes:.2f}x ({want})" if peer.bytes else "-"
                  for peer, want in zip((fp32, bf16), MEMORY_TARGETS)]
        cells.append(f"{own.mebibytes()}, {fp32.mebibytes()}: {memory[0]}, "
                     f"{bf16.mebibytes()}: {memory[1]}")
        cells.append(f"{fp32_best.name}; {bf16_best.name}")
        yield "| " + " | ".join(cells) + " |"


def compare_steps(args):
    print(HEAD, flush=True)
    for threads in map(int, args.threads.split(",")):
        for case in args.cases.split(","):
            comparison = Comparison(case, threads, args)
            print("\n".join(rows_of(comparison, comparison.run())), flush=True)


SHAPE = re.compile(r"(\d+) -> (\d+), (\d+)x(\d+)x(\d+) s(\d+)x(\d+)x(\d+), "
                   r"(\d+) x (\d+)x(\d+)x(\d+)")


def parse_layer(number, row):
    """A row of `bench layers` as the worker wants it; None: not a 3x3(x3) layer of stride 1."""
    match = SHAPE.fullmatch(row["shape"])
    if not match or row["direction"] not in ("forward", "grad-input", "grad-weight"):
        return None
    ci, co, *rest = map(int, match.groups())
    kernel, stride, n, edges = rest[0:3], rest[3:6], rest[6], rest[7:10]
    if max(stride) > 1 or kernel[1:] != [3, 3]:
        return None
    if edges[0] == 1:
        kernel, stride, edges = kernel[1:], stride[1:], edges[1:]
    return dict(id=number, ci=ci, co=co, kernel=kernel, stride=stride, n=n, edges=edges,
                **{key: row[key] for key in ("name", "shape", "direction", "seconds")})


def time_layers(case, args):
    """Our layers of one plan and, by number, the peer's seconds {(type, layout): seconds}."""
    out = args.logs / f"layers_{case}.json"
    words = [args.program, "bench", "layers", "--plans", args.bench / f"plans_{case}.json",
             "--dataset-json", args.bench / f"dataset_{case}.json", "--threads", 1, "--repeat",
             args.steps, "--json", out]
    contest.run_json_lines(words, None, args.logs / f"layers_{case}.log")
    parsed = (parse_layer(i, r) for i, r in enumerate(json.loads(out.read_text())))
    rows = [r for r in parsed if r]
    wanted = args.logs / f"layers_{case}_wanted.json"
    wanted.write_text(json.dumps(rows))
    peer, _ = contest.run_json_lines([args.python, WORKER, "layers", wanted, 1, args.steps],
                                     contest.peer_environment(1, ALLOCATOR),
                                     args.logs / f"layers_{case}_peer.log")
    found = {}
    for p in peer:
        found.setdefault(p["id"], {})[p["dtype"], p["layout"]] = p["cpu"]
    return rows, found


def layer_ratios(r, found):
    """The peer's seconds over ours in float32 and bfloat16; its faster layout counts."""
    fp32, bf16 = (min(v for (dtype, _), v in found[r["id"]].items() if dtype == kind)
                  for kind in ("float32", "bfloat16"))
    return dict(r, fp32=fp32, bf16=bf16, ratio=fp32 / r["seconds"], half=bf16 / r["seconds"])


def print_summary(rows):
    """Medians over the layers that the targets speak of: >= 32 channels, extent >= 16."""
    print("\n| layers of >= 32 channels, extent >= 16 | direction | count | against fp32 | "
          "against bf16 |\n|---|---|---:|---|---|")
    groups = {}
    for r in rows:
        if min(r["ci"], r["co"]) >= 32 and min(r["edges"]) >= 16:
            groups.setdefault(("x".join(map(str, r["kernel"])), r["direction"]), []).append(r)
    for (kernel, direction), group in sorted(groups.items()):
        goals = LAYER_TARGETS.get(kernel, ("-", "-"))
        cells = (f"{statistics.median(g[key] for g in group):.2f}x ({goal})"
                 for key, goal in zip(("ratio", "half"), goals))
        print(f"| {kernel} | {direction} | {len(group)} | {' | '.join(cells)} |", flush=True)


def compare_layers(args):
    """Single layers. Ours include what is fused into them: normalisation and activation on load,
    statistics on store."""
    print("| case | layer | shape | direction | segfleet ms | oneDNN fp32 ms | ratio | "
          "oneDNN bf16 ms | ratio |\n|---|---|---|---|---:|---:|---:|---:|---:|", flush=True)
    everything = []
    for case in args.cases.split(","):
        rows, found = time_layers(case, args)
        everything += [layer_ratios(r, found) for r in rows]
        for r in everything[-len(rows):]:
            print(f"| {case} | {r['name']} | {r['shape']} | {r['direction']} | "
                  f"{r['seconds'] * 1e3:.2f} | {r['fp32'] * 1e3:.2f} | {r['ratio']:.2f} | "
                  f"{r['bf16'] * 1e3:.2f} | {r['half']:.2f} |", flush=True)
    print_summary(everything)


def main():
    p = contest.options(__doc__, "compare_torch_")
    p.add_argument("--cases", default="a,b,c,d,e,f", help="plans_X.json of shared/bench")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--steps", type=int, default=2, help="timed steps of a process")
    p.add_argument("--candidates", default=",".join(CANDIDATES), help="for the peer's best")
    p.add_argument("--layers", action="store_true", help="single layers instead of whole steps")
    p.add_argument("--bf16", action="store_true", help="also segfleet with --precision bf16")
    p.add_argument("--all-isa", action="store_true", help="also segfleet limited to AVX2")
    args = p.parse_args()
    args.bench = contest.pathlib.Path(args.shared).resolve() / "bench"
    contest.begin(args, "compare_torch_")
    if args.layers:
        compare_layers(args)
    else:
        compare_steps(args)


if __name__ == "__main__":
    main()
