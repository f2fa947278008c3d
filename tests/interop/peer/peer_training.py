"""Runs inside the peer's process: nnU-Net's own preprocessing, training and validation.

usage: peer_training.py SETTINGS.json     with nnU-Net's folders in the environment
Writes the file named by the key "result": mean Dice, losses per epoch, seconds.
"""
import json
import pathlib
import sys
import time

import numpy as np
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as stock


def preprocess(s):
    folder = pathlib.Path(s["preprocessed"])
    if any(folder.glob("nnUNetPlans_*/*.pkl")):
        return
    DefaultPreprocessor(verbose=False).run(int(s["dataset"][7:10]), s["config"], "nnUNetPlans", 1)


def make_trainer_class(s):
    """The stock trainer with another budget. It keeps the stock name, so that the stock predictor
    finds the class that its checkpoints ask for."""

    class Trainer(stock.nnUNetTrainer):
        def __init__(self, plans, configuration, fold, dataset_json, device):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = s["epochs"]
            self.num_iterations_per_epoch = s["iterations"]
            self.num_val_iterations_per_epoch = s["val_iterations"]
            self.step_losses = []

        def train_step(self, batch):
            out = super().train_step(batch)
            self.step_losses.append(float(out["loss"]))
            return out

        def save_checkpoint(self, filename):
            if filename.endswith("checkpoint_final.pth"):
                super().save_checkpoint(filename)

        def plot_network_architecture(self):
            pass

    Trainer.__name__ = "nnUNetTrainer"
    return Trainer


def train(s):
    torch.set_num_threads(s["threads"])
    np.random.seed(s["seed"])
    torch.manual_seed(s["seed"])
    pre = pathlib.Path(s["preprocessed"])
    plans = json.loads((pre / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    trainer = make_trainer_class(s)(plans, s["config"], s["fold"],
                                    json.loads((pre / "dataset.json").read_text()),
                                    torch.device("cpu"))
    trainer.logger.plot_progress_png = lambda folder: None
    begin = time.monotonic(), time.process_time()
    trainer.run_training()
    end = time.monotonic(), time.process_time()
    trainer.perform_actual_validation(False)
    summary = pathlib.Path(trainer.output_folder) / "validation" / "summary.json"
    steps = np.array(trainer.step_losses).reshape(s["epochs"], s["iterations"])
    return {"dice": json.loads(summary.read_text())["foreground_mean"]["Dice"],
            "losses": steps.mean(axis=1).tolist(), "wall": end[0] - begin[0],
            "cpu": end[1] - begin[1], "model": str(pathlib.Path(trainer.output_folder).parent)}


def main():
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
    preprocess(settings)
    result = train(settings)
    pathlib.Path(settings["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
