#!/usr/bin/env python3
"""Does the fast convolution (Winograd) cost Dice? Trains one fold of a dataset with --conv fast and --conv exact.

usage: conv_curves.py SEGFLEET DATASET OUT [--configs 2d,3d_fullres] [--seeds 1,2,3] [--epochs 5] [--iterations 50]
                      [--batch-size 2] [--no-mirroring]

Same plan, split, seed and budget for both; several seeds tell what the seed alone changes. The verdict of a configuration is
the difference of the mean Dice over the seeds beside two pooled standard deviations. A run that is interrupted continues.
"""
import argparse
import json
import pathlib
import statistics
import subprocess


def train(args, conv, seed):
    work = args.out / f"{conv}_{seed}"
    command = [args.segfleet, "run", args.dataset, "--work", work, "--configs", args.configs, "--folds", "0",
               "--conv", conv, "--seed", seed, "--epochs", args.epochs, "--iterations", args.iterations,
               "--batch-size", args.batch_size, "--threads", "1", "--no-ensembles", "--recipe", args.recipe]
    command += ["--no-mirroring"] if args.no_mirroring else []
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / f"{conv}_{seed}.log", "a") as log:
        subprocess.run([str(word) for word in command], check=True, stdout=log, stderr=log)
    return work


def figures(work, config):
    fold = work / "results" / config / "fold_0"
    dice = json.loads((fold / "validation" / "summary.json").read_text())["foreground_mean"]["Dice"]
    losses = [json.loads(line)["train_loss"] for line in (fold / "history.jsonl").read_text().splitlines()]
    return dice, losses


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("segfleet")
    parser.add_argument("dataset")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--configs", default="2d,3d_fullres")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--epochs", default=5)
    parser.add_argument("--iterations", default=50)
    parser.add_argument("--batch-size", default=2)
    parser.add_argument("--no-mirroring", action="store_true", help="validation takes an eighth of the time in 3D")
    args = parser.parse_args()

    seeds = args.seeds.split(",")
    works = {(conv, seed): train(args, conv, seed) for seed in seeds for conv in ("fast", "exact")}
    print("| configuration | conv | mean Dice by seed | mean | last epoch's loss by seed |")
    print("|---|---|---|---:|---|")
    for config in args.configs.split(","):
        dice = {}
        for conv in ("fast", "exact"):
            runs = [figures(works[conv, seed], config) for seed in seeds]
            dice[conv] = [d for d, _ in runs]
            print(f"| {config} | {conv} | {' '.join(f'{d:.4f}' for d in dice[conv])} | "
                  f"{statistics.mean(dice[conv]):.4f} | {' '.join(f'{loss[-1]:.4f}' for _, loss in runs)} |")
        pooled = ((spread(dice["fast"]) ** 2 + spread(dice["exact"]) ** 2) / 2) ** 0.5
        difference = statistics.mean(dice["fast"]) - statistics.mean(dice["exact"])
        print(f"| {config} | fast - exact | | {difference:+.4f} | two pooled standard deviations: {2 * pooled:.4f} |")


if __name__ == "__main__":
    main()
