"""peer_check train: the same budget in both programs, several seeds each, compared."""
import json
import pathlib
import shutil
import statistics
import sys

from environment import ROOT, call, versions
from projects import Project, read_json, write_json

# name: dataset, configuration, batch, patch, features of the first stage, epochs, steps per epoch
CASES = {
    "hippocampus_2d": ("Dataset004_Hippocampus", "2d", 8, None, 32, 40, 25),
    "hippocampus_3d": ("Dataset004_Hippocampus", "3d_fullres", 2, [32, 48, 32], 16, 60, 20),
    "membrane_2d": ("Dataset206_EMMembrane", "2d", 2, [192, 192], 16, 10, 20),
}
FOLD = 0
MAX_DICE, MAX_LOSS = 0.01, 0.05


class Training:
    """One row of CASES in a folder of its own."""

    def __init__(self, name, args):
        dataset, self.config, self.batch, self.patch, self.features, epochs, iterations = \
            CASES[name]
        self.name = name
        self.epochs = args.epochs or epochs
        self.iterations = args.iterations or iterations
        self.tail = max(1, self.epochs // 5)
        self.work = pathlib.Path(args.work) / name
        self.program = args.program
        self.project = Project(self.work, pathlib.Path(args.data) / dataset, self.config,
                               args.program)

    def prepare(self):
        self.project.plan(self.batch, self.patch, self.features)
        self.project.preprocess_ours()
        self.project.prepare_peer()

    def result_file(self, who, seed):
        return self.work / f"{who}_seed{seed}.json"

    def peer_model(self, seed):
        """nnU-Net's model folder of this seed, with the name that says the configuration."""
        return self.work / f"peer_seed{seed}" / self.project.peer_model().name

    def run_peer(self, seed):
        result = self.result_file("peer", seed)
        if result.exists():
            return
        settings = self.work / f"settings_seed{seed}.json"
        pre = self.project.peer / "preprocessed" / self.project.dataset.name
        write_json(settings, {
            "dataset": self.project.dataset.name, "config": self.config, "fold": FOLD,
            "preprocessed": str(pre), "epochs": self.epochs, "iterations": self.iterations,
            "val_iterations": 1, "seed": seed, "threads": 1, "result": str(result) + ".tmp"})
        script = ROOT / "tests" / "interop" / "peer" / "peer_training.py"
        call([sys.executable, script, settings], self.work / f"peer_seed{seed}.log",
             self.project.peer_environment())
        kept = self.peer_model(seed)
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        shutil.move(self.project.peer_model(), kept)
        pathlib.Path(str(result) + ".tmp").rename(result)

    def run_ours(self, seed):
        result = self.result_file("ours", seed)
        if result.exists():
            return
        ours = self.project.ours
        fold = ours / "results" / self.config / f"fold_{FOLD}"
        shutil.rmtree(fold, ignore_errors=True)
        cost = call([self.program, "train", "--work", ours, "--config", self.config, "--fold", FOLD,
                     "--epochs", self.epochs, "--iterations", self.iterations, "--seed", seed,
                     "--threads", 1], self.work / f"ours_seed{seed}.log")
        lines = (fold / "history.jsonl").read_text().splitlines()
        write_json(result, {
            "dice": read_json(fold / "validation" / "summary.json")["foreground_mean"]["Dice"],
            "losses": [json.loads(line)["train_loss"] for line in lines], **cost})

    def figures(self, who, seeds):
        runs = [read_json(self.result_file(who, s)) for s in seeds]
        dice = [r["dice"] for r in runs]
        loss = [statistics.fmean(r["losses"][-self.tail:]) for r in runs]
        return dice, loss


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def judge(training, seeds):
    """One row of the table, and whether the demands are met."""
    (dice, loss), (peer_dice, peer_loss) = (training.figures(w, seeds) for w in ("ours", "peer"))
    pooled = ((spread(dice) ** 2 + spread(peer_dice) ** 2) / 2) ** 0.5
    limit = max(MAX_DICE, 2 * pooled)
    d_dice = statistics.fmean(dice) - statistics.fmean(peer_dice)
    d_loss = statistics.fmean(loss) - statistics.fmean(peer_loss)
    good = abs(d_dice) <= limit and abs(d_loss) <= MAX_LOSS

    def cell(values):
        return f"{statistics.fmean(values):.4f} ± {spread(values):.4f}"

    plan = "x".join(map(str, read_json(training.project.plans)["configurations"]
                        [training.config]["patch_size"]))
    steps = training.epochs * training.iterations
    return (f"| {training.name} | {plan}, {training.batch} | {steps} | {cell(dice)} | "
            f"{cell(peer_dice)} | {d_dice:+.4f} (limit {limit:.4f}) | {cell(loss)} | "
            f"{cell(peer_loss)} | {d_loss:+.4f} | {'yes' if good else 'NO'} |"), good


def report(trainings, seeds):
    rows = [judge(t, seeds) for t in trainings]
    print(f"Peer: {versions()}. Seeds {' '.join(map(str, seeds))}, fold {FOLD}, one thread.\n")
    print("| training | patch, batch | steps | Dice, segfleet | Dice, peer | difference | "
          "last loss, segfleet | last loss, peer | difference | met |")
    print("|---|---|---:|---|---|---|---|---|---|---|")
    print("\n".join(row for row, _ in rows))
    return 0 if all(good for _, good in rows) else 1


def run(args):
    names = args.cases.split(",") if args.cases else list(CASES)
    seeds = [int(word) for word in args.seeds.split(",")]
    trainings = [Training(name, args) for name in names]
    for t in trainings:
        t.prepare()
    for seed in seeds:
        for t in trainings:
            t.run_peer(seed)
            t.run_ours(seed)
    return report(trainings, seeds)
