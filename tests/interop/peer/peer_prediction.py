"""Runs inside the peer's process: nnU-Net's predictor on a folder of images.

usage: peer_prediction.py MODEL IN OUT float32|stock
float32: its float16 accumulators and importance map become float32, nothing else changes.
"""
import functools
import os
import sys

import torch
from nnunetv2.inference import predict_from_raw_data as peer


class Float32Torch:
    """Stands for the module torch, with half precision taken away."""
    half = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def use_float32():
    gaussian = peer.compute_gaussian
    wide = functools.partial(gaussian, dtype=torch.float32)
    wide.cache_clear = gaussian.cache_clear
    peer.compute_gaussian = wide
    peer.torch = Float32Torch()


def main():
    model, source, out, accumulators = sys.argv[1:]
    if accumulators == "float32":
        use_float32()
    torch.set_num_threads(1)
    os.makedirs(out, exist_ok=True)
    predictor = peer.nnUNetPredictor(tile_step_size=0.5, use_gaussian=True, use_mirroring=True,
                                     perform_everything_on_device=False,
                                     device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, (0,), "checkpoint_final.pth")
    predictor.predict_from_files_sequential(source, out, save_probabilities=False, overwrite=True)


if __name__ == "__main__":
    main()
