"""peer_check predict: the peer's trained weights segment the same images in both programs."""
import argparse
import pathlib
import shutil
import sys

import numpy as np
import SimpleITK as sitk

from environment import ROOT, call, quiet_environment, versions
from projects import read_json, write_json
from training import CASES, Training

MIN_AGREEMENT = 0.9999
REGIONS = "phantom_regions"  # anisotropic voxels, overlapping regions, hardly trained weights


def read_labels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def make_region_dataset(folder, program):
    """An anisotropic phantom whose two classes become the regions 'all' and 'inner'."""
    data = folder / "Dataset999_Phantom"
    if not data.exists():
        call([program, "phantom", folder, "--anisotropic", "--cases", 5, "--extent", 36],
             folder.parent / "phantom.log")
        description = read_json(data / "dataset.json")
        description["labels"] = {"background": 0, "all": [1, 2], "inner": 2}
        description["regions_class_order"] = [1, 2]
        write_json(data / "dataset.json", description)
    return data


def region_training(args):
    """The phantom's model, trained for a few steps by the peer."""
    data = make_region_dataset(pathlib.Path(args.work) / "data", args.program)
    CASES[REGIONS] = (data.name, "3d_fullres", 2, [16, 32, 32], 16, 1, 8)
    few = argparse.Namespace(work=args.work, data=data.parent, program=args.program, epochs=None,
                             iterations=None)
    return Training(REGIONS, few)


def peer_model(name, args):
    """The training and the folder of the weights that the peer trained with seed 1."""
    t = region_training(args) if name == REGIONS else Training(name, args)
    t.prepare()
    t.run_peer(1)
    return t, t.work / "peer_model_seed1"


def compare(folder_a, folder_b, ending):
    """Cases, and the parts of equal voxels: of all, and of the worst case."""
    cases = sorted(p.name for p in folder_b.glob(f"*{ending}"))
    if not cases or cases != sorted(p.name for p in folder_a.glob(f"*{ending}")):
        sys.exit(f"{folder_a} and {folder_b} hold different cases")
    equal, total, worst, labels = 0, 0, 1.0, set()
    for name in cases:
        a, b = read_labels(folder_a / name), read_labels(folder_b / name)
        if a.shape != b.shape:
            sys.exit(f"{name}: {a.shape} against {b.shape} voxels")
        same = int(np.count_nonzero(a == b))
        equal, total = equal + same, total + a.size
        worst = min(worst, same / a.size)
        labels |= set(np.unique(b).tolist())
    return len(cases), equal, total, worst, sorted(labels)


def check(name, args):
    """One row of the table, and whether the demand is met."""
    t, model = peer_model(name, args)
    images = t.project.dataset / "imagesTs"
    ending = read_json(t.project.dataset / "dataset.json")["file_ending"]
    ours, theirs = t.work / "predicted_ours", t.work / f"predicted_peer_{args.accumulators}"
    if not theirs.exists():
        script = ROOT / "tests" / "interop" / "peer" / "peer_prediction.py"
        partial = theirs.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        call([sys.executable, script, model, images, partial, args.accumulators],
             t.work / "predict_peer.log", quiet_environment(1))
        partial.rename(theirs)
    shutil.rmtree(ours, ignore_errors=True)
    call([args.program, "predict", "-m", model, "-i", images, "-o", ours, "--folds", 0,
          "--threads", 1], t.work / "predict_ours.log")
    cases, equal, total, worst, labels = compare(ours, theirs, ending)
    good = equal / total >= MIN_AGREEMENT
    return (f"| {name} | {cases} | {total} | {total - equal} | {100 * equal / total:.4f} % | "
            f"{100 * worst:.4f} % | {' '.join(map(str, labels))} | {'yes' if good else 'NO'} |"), good


def run(args):
    names = args.cases.split(",") if args.cases else [*CASES, REGIONS]
    rows = [check(name, args) for name in names]
    print(f"Peer: {versions()}; {args.accumulators} accumulators, mirroring, tile step 0.5.\n")
    print("| model of the peer | cases | voxels | different | agreement | worst case | labels seen | "
          "met |\n|---|---:|---:|---:|---:|---:|---|---|")
    print("\n".join(row for row, _ in rows))
    return 0 if all(good for _, good in rows) else 1
