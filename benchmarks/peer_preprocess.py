"""Preprocessing of a dataset by nnU-Net v2 in one process: the peer of `segfleet bench preprocess`.

usage: python benchmarks/peer_preprocess.py DATASET plans.json CONFIG [CASES]

Needs nnunetv2 from PyPI. Reads, crops, normalises, resamples and writes every training case as
nnUNetv2_preprocess does in one of its workers (DefaultPreprocessor.run_case_save); CASES cuts the list.
"""
import os
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[name] = tempfile.gettempdir()
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets


def main():
    folder, plans_file, name = sys.argv[1:4]
    torch.set_num_threads(1)
    dataset = load_json(os.path.join(folder, "dataset.json"))
    plans = PlansManager(plans_file)
    config = plans.get_configuration(name)
    cases = get_filenames_of_train_images_and_targets(folder, dataset)
    names = sorted(cases)[: int(sys.argv[4]) if len(sys.argv) > 4 else None]
    work = DefaultPreprocessor(verbose=False)
    with tempfile.TemporaryDirectory() as out:
        wall, cpu = time.perf_counter(), time.process_time()
        for case in names:
            work.run_case_save(os.path.join(out, case), cases[case]["images"], cases[case]["label"],
                               plans, config, dataset)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name} cases={len(names)}: {len(names) / wall:.3f} cases/s, {wall:.3f} s, {cpu:.3f} CPU s")


main()
