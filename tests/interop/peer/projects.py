"""One dataset in both programs: the same plans (edited by hand to be small), the same splits."""
import json
import os
import pathlib
import shutil

from environment import call, quiet_environment


def read_json(path):
    return json.loads(pathlib.Path(path).read_text())


def write_json(path, value):
    pathlib.Path(path).write_text(json.dumps(value, indent=1))


def shrink(plans, config, batch, patch, features):
    """Keeps one configuration and gives it another batch, patch and width; stages that the smaller
    patch cannot feed (fewer than 4 voxels on some pooled axis) go."""
    c = plans["configurations"][config]
    plans["configurations"] = {config: c}
    c["batch_size"] = batch or c["batch_size"]
    c["patch_size"] = patch or c["patch_size"]
    arch = c["architecture"]["arch_kwargs"]
    wide = arch["features_per_stage"][0]
    arch["features_per_stage"] = [f * (features or wide) // wide
                                  for f in arch["features_per_stage"]]
    while True:
        edge = list(c["patch_size"])
        for stride in arch["strides"]:
            edge = [e // s for e, s in zip(edge, stride)]
        pooled = [a for a, s in enumerate(arch["strides"][-1]) if s > 1]
        if all(edge[a] >= 4 for a in pooled):
            return plans
        arch["n_stages"] -= 1
        for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage",
                    "n_conv_per_stage_decoder"):
            arch[key].pop()


class Project:
    """WORK/ours is a segfleet work folder, WORK/peer has nnU-Net's raw, preprocessed, results."""

    def __init__(self, work, dataset, config, program):
        self.work = pathlib.Path(work)
        self.dataset = pathlib.Path(dataset).resolve()
        self.config = config
        self.program = str(program)
        self.plans = self.work / "plans.json"
        self.ours = self.work / "ours"
        self.peer = self.work / "peer"

    def plan(self, batch=None, patch=None, features=None, val_iterations=1):
        if self.plans.exists():
            return
        self.work.mkdir(parents=True, exist_ok=True)
        full = self.work / "plans_full.json"
        call([self.program, "plan", self.dataset, "-o", full, "--recipe", "nnunetv2"],
             self.work / "plan.log")
        plans = shrink(read_json(full), self.config, batch, patch, features)
        plans["segfleet_recipe"]["train"]["val_iterations"] = val_iterations
        write_json(self.plans, plans)

    def preprocess_ours(self):
        done = self.ours / "preprocessed" / f"{self.config}.h5"
        if not done.exists():
            call([self.program, "preprocess", self.dataset, "--plans", self.plans, "--work",
                  self.ours, "--configs", self.config], self.work / "preprocess_ours.log")

    def prepare_peer(self):
        """nnU-Net's folders, up to its own preprocessing."""
        name = self.dataset.name
        raw, pre = self.peer / "raw" / name, self.peer / "preprocessed" / name
        if pre.exists():
            return
        raw.parent.mkdir(parents=True, exist_ok=True)
        pre.mkdir(parents=True)
        (self.peer / "results").mkdir(exist_ok=True)
        os.symlink(self.dataset, raw)
        shutil.copy(self.plans, pre / "nnUNetPlans.json")
        shutil.copy(self.dataset / "dataset.json", pre / "dataset.json")
        shutil.copy(self.ours / "splits_final.json", pre / "splits_final.json")
        write_json(pre / "dataset_fingerprint.json", {})
        os.symlink(self.dataset / "labelsTr", pre / "gt_segmentations")

    def peer_environment(self, threads=1):
        return quiet_environment(threads, self.peer)

    def peer_model(self):
        name = f"nnUNetTrainer__nnUNetPlans__{self.config}"
        return self.peer / "results" / self.dataset.name / name
