#!/usr/bin/env python3
"""Around the network: prediction, preprocessing and augmentation in segfleet and in nnU-Net v2.

usage: compare_nnunet.py --python VENV/bin/python [predict] [preprocess] [augment]

predict      one test image, whole command, mirroring on, the same untrained weights, one thread
preprocess   all training cases, one process; the peer's seconds also without Python's start
augment      training patches of the plans in shared/bench, one core, recipe nnunetv2
Contenders take turns (--rounds); CPU seconds, medians. `scripts/peer_check --setup VENV` makes the
environment.
"""
import json
import os
import pathlib
import shutil

import contest
from environment import quiet_environment
from projects import Project, write_json

PREDICT = {"hippocampus": ("Dataset004_Hippocampus", "3d_fullres", "imagesTs"),
           "membrane": ("Dataset206_EMMembrane", "2d", "imagesTs"),
           "neuropil": ("Dataset209_NeuropilEM3D", "3d_fullres", "imagesTr")}
PREPROCESS = {"hippocampus": ("Dataset004_Hippocampus", "3d_fullres"),
              "brain": ("Dataset203_BrainTumour2ch", "3d_fullres"),
              "neuropil": ("Dataset209_NeuropilEM3D", "3d_fullres")}
AUGMENT = {"3d": ("c", 40), "anisotropic": ("f", 40), "2d": ("e", 100)}  # plans of shared/bench
TARGETS = {"predict": (4, 0.5), "preprocess": 5, "augment": 4}
WORKER = contest.ROOT / "benchmarks" / "nnunet_worker.py"


def project(name, dataset, config, args):
    """Both programs' folders of one dataset, with the full plans."""
    p = Project(args.logs / name, args.data / dataset, config, args.program)
    p.plan()
    p.preprocess_ours()
    p.prepare_peer()
    return p


def untrained_model(p, args):
    """A model folder as nnU-Net leaves it after no epoch."""
    model = p.peer_model()
    if not (model / "fold_0" / "checkpoint_final.pth").exists():
        settings = p.work / "settings.json"
        write_json(settings, {"dataset": p.dataset.name, "config": p.config, "fold": 0,
                              "preprocessed": str(p.peer / "preprocessed" / p.dataset.name),
                              "epochs": 0, "iterations": 0, "val_iterations": 0, "seed": 1,
                              "threads": 1, "result": str(p.work / "trained.json")})
        contest.run_json_lines([args.python, contest.PEER / "peer_training.py", settings],
                               p.peer_environment(), p.work / "train.log")
    return model


def whole_command(words, env, log, clean):
    """A contender that is one command; `clean` is the folder that it writes."""
    def run():
        shutil.rmtree(clean, ignore_errors=True)
        _, cost = contest.run_json_lines(words, env, log)
        return [cost], cost["bytes"]
    return run


def take_turns(name, contenders, rounds):
    """False, and a row that says why, when one of them failed."""
    for _ in range(rounds):
        for c in contenders:
            c.round()
    faults = [c.fault for c in contenders if c.fault]
    if faults:
        print(f"| {name} | {'; '.join(faults)} |", flush=True)
    return not faults


def compare_predict(args):
    want_time, want_memory = TARGETS["predict"]
    print("| one image | segfleet s | peer s | ratio | segfleet MiB | peer MiB | ratio |\n"
          "|---|---:|---:|---|---:|---:|---|", flush=True)
    for name in args.predict_cases.split(","):
        dataset, config, folder = PREDICT[name]
        p = project(f"predict_{name}", dataset, config, args)
        model = untrained_model(p, args)
        images = p.work / "in"
        images.mkdir(exist_ok=True)
        first = sorted((p.dataset / folder).iterdir())[0]
        shutil.copy(first, images)
        out = p.work / "out_ours", p.work / "out_peer"
        ours = contest.Contender("segfleet predict " + name, whole_command(
            [args.program, "predict", "-m", model, "-i", images, "-o", out[0], "--folds", 0,
             "--threads", 1], None, p.work / "ours.log", out[0]))
        command = pathlib.Path(args.python).parent / "nnUNetv2_predict_from_modelfolder"
        peer = contest.Contender("peer predict " + name, whole_command(
            [command, "-i", images, "-o", out[1], "-m", model, "-f", 0, "-device", "cpu", "-npp", 1,
             "-nps", 1, "--disable_progress_bar"], p.peer_environment(), p.work / "peer.log",
            out[1]))
        if not take_turns(name, [ours, peer], args.rounds):
            continue
        print(f"| {name}, {config} | {ours.median():.2f} | {peer.median():.2f} | "
              f"{peer.median() / ours.median():.2f}x ({want_time}) | {ours.mebibytes()} | "
              f"{peer.mebibytes()} | {ours.bytes / peer.bytes:.2f}x ({want_memory}) |", flush=True)


def compare_preprocess(args):
    print("| dataset | cases | segfleet s | peer s, cases alone | ratio | peer s, whole process | "
          "ratio | segfleet MiB | peer MiB |\n|---|---:|---:|---:|---|---:|---|---:|---:|",
          flush=True)
    for name in args.preprocess_cases.split(","):
        dataset, config = PREPROCESS[name]
        p = project(f"preprocess_{name}", dataset, config, args)
        work = p.work / "ours_again"
        ours = contest.Contender("segfleet preprocess " + name, whole_command(
            [args.program, "preprocess", p.dataset, "--plans", p.plans, "--work", work, "--configs",
             config, "--threads", 1], None, p.work / "ours.log", work))

        def run(p=p, config=config):
            rows, cost = contest.run_json_lines([args.python, WORKER, "preprocess", config],
                                                p.peer_environment(), p.work / "peer.log")
            return [{**rows[0], "process": cost["cpu"]}], cost["bytes"]
        peer = contest.Contender("peer preprocess " + name, run)
        if not take_turns(name, [ours, peer], args.rounds):
            continue
        own, alone, whole = ours.median(), peer.median(), peer.median("process")
        print(f"| {name}, {config} | {peer.rows[0]['count']} | {own:.2f} | {alone:.2f} | "
              f"{alone / own:.2f}x ({TARGETS['preprocess']}) | {whole:.2f} | {whole / own:.2f}x | "
              f"{ours.mebibytes()} | {peer.mebibytes()} |", flush=True)


def compare_augment(args):
    print("| plan | patch | segfleet patches/s | peer patches/s | ratio |\n|---|---|---:|---:|---|",
          flush=True)
    bench = args.shared / "bench"
    for name in args.augment_cases.split(","):
        letter, count = AUGMENT[name]
        plans, dataset = bench / f"plans_{letter}.json", bench / f"dataset_{letter}.json"
        config, c = list(json.loads(plans.read_text())["configurations"].items())[-1]
        out, log = args.logs / f"augment_{letter}.json", args.logs / f"augment_{letter}.log"

        def run_ours(plans=plans, dataset=dataset, out=out, log=log, count=count):
            _, cost = contest.run_json_lines(
                [args.program, "bench", "augment", "--plans", plans, "--dataset-json", dataset,
                 "--recipe", "nnunetv2", "--threads", 1, "--repeat", count, "--json", out],
                os.environ, log)
            return [{"cpu": json.loads(out.read_text())["cpu_seconds_per_patch"]}], cost["bytes"]

        def run_peer(plans=plans, dataset=dataset, config=config, log=log, count=count):
            rows, cost = contest.run_json_lines(
                [args.python, WORKER, "augment", plans, dataset, config, count],
                quiet_environment(1), log)
            return [{"cpu": rows[0]["cpu"] / rows[0]["count"]}], cost["bytes"]
        ours = contest.Contender("segfleet augment " + name, run_ours)
        peer = contest.Contender("peer augment " + name, run_peer)
        if not take_turns(name, [ours, peer], args.rounds):
            continue
        print(f"| {letter}, {name} | {'x'.join(map(str, c['patch_size']))} | "
              f"{1 / ours.median():.2f} | {1 / peer.median():.2f} | "
              f"{peer.median() / ours.median():.2f}x ({TARGETS['augment']}) |", flush=True)


def main():
    parts = {"predict": compare_predict, "preprocess": compare_preprocess,
             "augment": compare_augment}
    p = contest.options(__doc__, "compare_nnunet_")
    p.add_argument("parts", nargs="*", metavar="PART", help="default: all", default=list(parts))
    p.add_argument("--predict-cases", default=",".join(PREDICT))
    p.add_argument("--preprocess-cases", default=",".join(PREPROCESS))
    p.add_argument("--augment-cases", default=",".join(AUGMENT))
    args = p.parse_args()
    args.shared = pathlib.Path(args.shared).resolve()
    args.data = args.shared / "data"
    contest.begin(args, "compare_nnunet_")
    for part in args.parts:
        print(f"## {part}\n")
        parts[part](args)
        print()


if __name__ == "__main__":
    main()
