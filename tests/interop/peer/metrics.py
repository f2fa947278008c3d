"""peer_check metrics: identical files scored by both programs, every figure compared."""
import math
import pathlib
import shutil

import numpy as np
import SimpleITK as sitk

from environment import call, versions
from projects import read_json, write_json

TOLERANCE = 1e-12
# labels of dataset.json, ignore label, classes that occur in the files
KINDS = {
    "labels": ({"background": 0, "a": 1, "b": 2, "never": 3}, [0, 1, 2]),
    "ignore": ({"background": 0, "a": 1, "b": 2, "ignore": 3}, [0, 1, 2, 3]),
    "regions": ({"background": 0, "all": [1, 2, 3], "core": [2, 3], "tip": 3}, [0, 1, 2, 3]),
}


def write_labels(path, array):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((0.7, 0.8, 2.5))
    sitk.WriteImage(image, str(path))


def make_folders(folder, labels, values, seed):
    """Random references and predictions. The second reference is empty, the third prediction is,
    in the fourth and fifth a class is absent from both: every way to NaN and to zero."""
    rng = np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    for sub in ("ref", "pred"):
        (folder / sub).mkdir(parents=True)
    top = max(v for v in values if v != labels.get("ignore"))
    for i in range(7):
        shape = tuple(rng.integers(5, 23, 3))
        ref = rng.choice(values, shape)
        pred = np.where(rng.random(shape) < 0.7, ref, rng.integers(0, top + 1, shape))
        pred[pred > top] = 0
        if i == 1:
            ref[:] = 0
        if i == 2:
            pred[:] = 0
        for absent in [1] * (i == 3) + [top] * (i == 4):
            ref[ref == absent] = pred[pred == absent] = 0
        write_labels(folder / "ref" / f"case_{i}.nii.gz", ref)
        write_labels(folder / "pred" / f"case_{i}.nii.gz", pred)
    description = {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 7,
                   "file_ending": ".nii.gz"}
    if any(isinstance(v, list) for v in labels.values()):
        description["regions_class_order"] = [1, 2, 3]
    write_json(folder / "dataset.json", description)
    write_json(folder / "plans.json", {"label_manager": "LabelManager"})


def peer_summary(folder):
    """nnU-Net's evaluation, in this process."""
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder2
    out = folder / "peer.json"
    compute_metrics_on_folder2(str(folder / "ref"), str(folder / "pred"),
                               str(folder / "dataset.json"), str(folder / "plans.json"), str(out),
                               num_processes=1)
    return read_json(out)


def own_summary(folder, program):
    out = folder / "ours.json"
    call([program, "evaluate", "--pred", folder / "pred", "--ref", folder / "ref",
          "--dataset-json", folder / "dataset.json", "-o", out], folder / "ours.log")
    return read_json(out)


def figures(value, path=""):
    """All numbers of a summary with their place; file names are left to the last part."""
    if isinstance(value, dict):
        for key, v in value.items():
            yield from figures(v, f"{path}/{key}")
    elif isinstance(value, list):
        order = sorted(value, key=lambda v: pathlib.Path(v["prediction_file"]).name)
        for v in order:
            yield from figures(v, f"{path}/{pathlib.Path(v['prediction_file']).name}")
    elif not isinstance(value, str):
        yield path, math.nan if value is None else float(value)


def largest_difference(ours, peer):
    """Count of figures, NaN among them, largest difference; unequal places or NaN are infinite."""
    a, b = dict(figures(ours)), dict(figures(peer))
    if a.keys() != b.keys():
        print("places differ:", sorted(a.keys() ^ b.keys())[:6])
        return len(b), 0, math.inf
    worst, nans = 0.0, 0
    for place, x in b.items():
        if math.isnan(x) or math.isnan(a[place]):
            nans += 1
            worst = max(worst, 0.0 if math.isnan(x) and math.isnan(a[place]) else math.inf)
        else:
            worst = max(worst, abs(x - a[place]))
    return len(b), nans, worst


def run(args):
    rows, good = [], True
    for seed, (name, (labels, values)) in enumerate(KINDS.items()):
        folder = pathlib.Path(args.work) / "metrics" / name
        make_folders(folder, labels, values, seed)
        count, nans, worst = largest_difference(own_summary(folder, args.program),
                                                peer_summary(folder))
        good &= worst <= TOLERANCE
        rows.append(f"| {name} | {count} | {nans} | {worst:.3g} | "
                    f"{'yes' if worst <= TOLERANCE else 'NO'} |")
    print(f"Peer: {versions()}.\n")
    print("| files | figures | NaN in both | largest difference | met |\n|---|---:|---:|---:|---|")
    print("\n".join(rows))
    return 0 if good else 1
