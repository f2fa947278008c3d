"""Patches per second of nnU-Net v2's training augmentation: the peer of `segfleet bench augment`.

usage: python benchmarks/peer_augment.py plans.json dataset.json [CONFIG] [PATCHES] [THREADS]

Needs nnunetv2 from PyPI. The transforms are those that nnUNetTrainer builds for the plan, without the
deep-supervision targets (segfleet makes these in its loss). Every patch starts from a box of the initial
size that lies in memory, so that the peer's reading and cropping cost nothing here.
"""
import json
import os
import sys
import time
import types

threads = int(sys.argv[5]) if len(sys.argv) > 5 else 1
os.environ["OMP_NUM_THREADS"] = str(threads)
import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def transforms_of(patch, use_mask):
    trainer = nnUNetTrainer.__new__(nnUNetTrainer)
    trainer.configuration_manager = types.SimpleNamespace(patch_size=patch)
    trainer.print_to_log_file = lambda *a, **k: None
    rotation, dummy, initial, mirror = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    made = nnUNetTrainer.get_training_transforms(np.array(patch), rotation, None, mirror, dummy, use_mask)
    return made, [int(x) for x in initial]


def made_up(channels, labels, shape):
    """Noise, and labels that are constant in blocks of 8 voxels per axis: what segfleet's bench uses."""
    rng = np.random.RandomState(1)
    image = rng.standard_normal([channels] + shape).astype(np.float32)
    seg = rng.randint(0, labels, [(n + 7) // 8 for n in shape]).astype(np.int16)
    for axis, n in enumerate(shape):
        seg = np.repeat(seg, 8, axis=axis)
        seg = np.take(seg, range(n), axis=axis)
    return torch.from_numpy(image), torch.from_numpy(seg[None].copy())


def main():
    plans, dataset = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
    name = sys.argv[3] if len(sys.argv) > 3 else list(plans["configurations"])[-1]
    patches = int(sys.argv[4]) if len(sys.argv) > 4 else 100
    config = plans["configurations"][name]
    channels = len(dataset["channel_names"])
    torch.set_num_threads(threads)
    transforms, initial = transforms_of(config["patch_size"], config["use_mask_for_norm"])
    image, seg = made_up(channels, len(dataset["labels"]), initial)
    np.random.seed(1)
    torch.manual_seed(1)
    with torch.no_grad():
        transforms(image=image.clone(), segmentation=seg.clone())
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(patches):
            transforms(image=image.clone(), segmentation=seg.clone())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name} patch={config['patch_size']} channels={channels} threads={threads}: "
          f"{patches / wall:.2f} patches/s, {cpu / patches:.4f} CPU s per patch")


main()
