#!/usr/bin/env python3
"""Seconds of a training step and of a whole run on 1 to 4096 ranks, by the model of docs/scaling.md.

usage: scaling_model.py [--alpha S] [--beta S/B] [--gamma S/GFLOP] [--overlap X] [--folds K]
                        [--measured FILE] PLAN.json...

PLAN.json   what `segfleet estimate --json` writes: GFLOP, bytes and messages of the busiest rank of
            groups of 1, 2, 4, ... ranks, computed by the program from the plan
--measured  lines of benchmarks/bench_group.c: computing time of single shares and whole steps, printed
            beside the model (whole steps: as if all ranks computed as much as the busiest)
A step takes  gamma * GFLOP + alpha * messages + beta * (halo bytes + (1 - overlap) * gradient bytes),
all of the busiest rank; gamma may be given per plan by the first measured line with one rank.
Ranks beyond the folds form groups, of the size that makes the run shortest; ranks that cannot help wait.
"""
import argparse
import json
import pathlib

RANKS = [2**i for i in range(13)]


def step_seconds(group, m):
    """Model time of one step of a group: (computing, messages, halos, gradients)."""
    return (m.gamma * group["gflop"], m.alpha * group["messages"], m.beta * group["halo_bytes"],
            (1 - m.overlap) * m.beta * (group["sent_bytes"] - group["halo_bytes"]))


def run_steps(ranks, groups, m):
    """The best split of `ranks`: (length of the run in steps-of-one-rank seconds, ranks per training)."""
    best = None
    for group in groups:
        side_by_side = ranks // group["ranks"]
        if side_by_side == 0:
            continue
        rounds = -(-m.folds // side_by_side)
        length = rounds * sum(step_seconds(group, m))
        if best is None or length < best[0]:
            best = (length, group["ranks"], min(side_by_side, m.folds) * group["ranks"])
    return best


def print_groups(name, groups, m):
    """One line per size of a group."""
    print(f"\n{name}: one training on a group of ranks")
    print("| ranks | GFLOP | MB halos | MB gradients | messages | s compute | s messages | s halos | s gradients | s/step | speed-up |")
    print("|" + "---:|" * 11)
    alone = sum(step_seconds(groups[0], m))
    for g in groups:
        parts = step_seconds(g, m)
        print(f"| {g['ranks']} | {g['gflop']:.0f} | {g['halo_bytes'] / 1e6:.1f} | "
              f"{(g['sent_bytes'] - g['halo_bytes']) / 1e6:.1f} | {g['messages']} | "
              + " | ".join(f"{p:.4f}" for p in parts) + f" | {sum(parts):.3f} | {alone / sum(parts):.2f} |")


def print_run(name, groups, m):
    """One line per number of ranks of a run of all folds."""
    print(f"\n{name}: {m.folds} folds on many ranks")
    print("| ranks | ranks per training | ranks at work | s for a step of every fold | speed-up | efficiency % |")
    print("|" + "---:|" * 6)
    alone = run_steps(1, groups, m)[0]
    for ranks in RANKS:
        length, size, used = run_steps(ranks, groups, m)
        print(f"| {ranks} | {size} | {used} | {length:.3f} | {alone / length:.1f} | {100 * alone / length / ranks:.1f} |")


def print_measured(name, rows, groups, m):
    """Model beside measurement; seconds of CPU, summed over the ranks in whole steps."""
    known = {g["ranks"]: g for g in groups}
    print(f"\n{name}: measured")
    print("| ranks | what | CPU s measured | CPU s model | measured / model | bytes sent / foretold |")
    print("|---:|---|---:|---:|---:|---:|")
    for r in rows:
        if r["ranks"] not in known:
            continue
        model = m.gamma * (r["gflop"] if r["alone"] else r["ranks"] * known[r["ranks"]]["gflop"])
        sent = "" if r["alone"] or not r["foretold"] else f"{r['sent'] / r['foretold']:.4f}"
        what = "share of one rank" if r["alone"] else "all ranks, a whole step"
        print(f"| {r['ranks']} | {what} | {r['cpu_sum']:.3f} | {model:.3f} | {r['cpu_sum'] / model:.2f} | {sent} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("plans", nargs="+", metavar="PLAN.json")
    p.add_argument("--alpha", type=float, default=2e-6, help="seconds per message; default 2e-6")
    p.add_argument("--beta", type=float, default=1e-9, help="seconds per byte and rank; default 1e-9")
    p.add_argument("--gamma", type=float, help="seconds per GFLOP of a rank; default: the plan's gflops_per_core")
    p.add_argument("--overlap", type=float, default=0, help="part of the gradients hidden by computing; default 0")
    p.add_argument("--folds", type=int, default=5)
    p.add_argument("--measured", metavar="FILE")
    m = p.parse_args()
    lines = pathlib.Path(m.measured).read_text().splitlines() if m.measured else []
    rows = [r for r in map(json.loads, lines) if "plan" in r]
    given = m.gamma
    for path in m.plans:
        for c in json.loads(pathlib.Path(path).read_text())["configurations"]:
            name = f"{pathlib.Path(path).stem} {c['configuration']}"
            own = [r for r in rows if r["plan"].lower() == pathlib.Path(path).stem.lower()]
            alone = [r for r in own if r["ranks"] == 1 and r["alone"]]
            m.gamma = given or (alone[0]["cpu_sum"] / alone[0]["gflop"] if alone else 1 / c["gflops_per_core"])
            print(f"\n{name}: alpha {m.alpha:g} s, beta {m.beta:g} s/B, gamma {m.gamma:.3g} s/GFLOP, overlap {m.overlap:g}")
            print_groups(name, c["groups"], m)
            print_run(name, c["groups"], m)
            if own:
                print_measured(name, own, c["groups"], m)


if __name__ == "__main__":
    main()
