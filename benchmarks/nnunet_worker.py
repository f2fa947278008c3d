"""Runs inside nnU-Net's process: its preprocessing or its augmentation; JSON on standard output.

usage: nnunet_worker.py preprocess CONFIG           the dataset of nnUNet_raw, all training cases
       nnunet_worker.py augment PLANS DATASET_JSON CONFIG COUNT
"""
import json
import os
import pathlib
import shutil
import sys
import time

import numpy as np
import torch

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def report(begin, count):
    end = time.process_time(), time.perf_counter()
    print(json.dumps({"cpu": end[0] - begin[0], "wall": end[1] - begin[1], "count": count}))


def preprocess(config):
    """Every case in this one process: what the pool of one worker of nnU-Net does, without the
    second process and its imports."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
    raw, = pathlib.Path(os.environ["nnUNet_raw"]).iterdir()
    pre = pathlib.Path(os.environ["nnUNet_preprocessed"]) / raw.name
    dataset = json.loads((pre / "dataset.json").read_text())
    plans = PlansManager(json.loads((pre / "nnUNetPlans.json").read_text()))
    out = pre / config
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    files = get_filenames_of_train_images_and_targets(str(raw), dataset)
    begin = time.process_time(), time.perf_counter()
    for name, case in files.items():
        DefaultPreprocessor(verbose=False).run_case_save(
            str(out / name), case["images"], case["label"], plans, plans.get_configuration(config),
            dataset)
    report(begin, len(files))


def augment(plans_file, dataset_file, config, count):
    """nnU-Net's training transforms on random images of the size that its loader cuts."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Bare(nnUNetTrainer):
        def __init__(self, manager, configuration, dataset):
            self.configuration_manager = manager.get_configuration(configuration)
            self.label_manager = manager.get_label_manager(dataset)
            self.enable_deep_supervision = True

        def print_to_log_file(self, *args, **kwargs):
            pass

    dataset = json.loads(pathlib.Path(dataset_file).read_text())
    trainer = Bare(PlansManager(json.loads(pathlib.Path(plans_file).read_text())), config, dataset)
    rotation, dummy_2d, initial, mirror = \
        trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    c = trainer.configuration_manager
    transforms = trainer.get_training_transforms(
        c.patch_size, rotation, trainer._get_deep_supervision_scales(), mirror, dummy_2d,
        use_mask_for_norm=c.use_mask_for_norm,
        foreground_labels=trainer.label_manager.foreground_labels)
    torch.manual_seed(1)
    np.random.seed(1)
    image = torch.randn(len(dataset["channel_names"]), *initial)
    labels = torch.randint(0, len(dataset["labels"]), (1, *initial), dtype=torch.int16)
    for i in range(-3, int(count)):  # three warm up
        if i == 0:
            begin = time.process_time(), time.perf_counter()
        transforms(image=image.clone(), segmentation=labels.clone())
    report(begin, int(count))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"preprocess": preprocess, "augment": augment}[sys.argv[1]](*sys.argv[2:])
