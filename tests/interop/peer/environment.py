"""The peer: nnU-Net v2 on PyTorch, in a virtual environment outside the project."""
import os
import pathlib
import resource
import subprocess
import sys
import time
from importlib import metadata

PINNED = ["torch==2.14.1", "torchvision==0.29.1", "nnunetv2==2.8.1",
          "dynamic_network_architectures==0.4.4", "batchgeneratorsv2==0.3.6",
          "batchgenerators==0.25.5", "acvl_utils==0.2.6", "numpy==2.4.6", "scipy==1.17.1"]
SHOWN = ["nnunetv2", "torch", "dynamic_network_architectures", "batchgeneratorsv2"]
ROOT = pathlib.Path(__file__).resolve().parents[3]


def setup(folder):
    """Makes the virtual environment with the pinned versions; returns its interpreter."""
    folder = pathlib.Path(folder).resolve()
    if ROOT in folder.parents:
        sys.exit(f"{folder}: the peer does not belong inside the project, choose another folder")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", *PINNED], check=True)
    return python


def enter(python):
    """Goes on under the interpreter that has the peer: this one, or the given one."""
    try:
        metadata.version("nnunetv2")
    except metadata.PackageNotFoundError:
        if not python or os.environ.get("SEGFLEET_PEER_ENTERED"):
            sys.exit("nnunetv2 is not installed here: run with --setup DIR once, "
                     "then with --python DIR/bin/python")
        os.environ["SEGFLEET_PEER_ENTERED"] = "1"
        os.execv(python, [python, *sys.argv])


def versions():
    return ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)


def quiet_environment(threads, folders=None):
    """Environment of a peer process: one worker, the given threads, nnU-Net's three folders."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
               nnUNet_n_proc_DA="0", nnUNet_def_n_proc="1", nnUNet_compile="f")
    for name in ("raw", "preprocessed", "results"):
        env[f"nnUNet_{name}"] = str(pathlib.Path(folders or "/nonexistent") / name)
    return env


def call(words, log, env=None):
    """Runs a command with its output in the file `log`; returns wall and CPU seconds and the peak
    memory in bytes, children included. A failing command ends the program with the log's tail."""
    log = pathlib.Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with open(log, "w") as out:
        pid = subprocess.Popen([str(w) for w in words], stdout=out, stderr=out, env=env).pid
        _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - begin
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        sys.exit(f"{' '.join(map(str, words))}\nfailed ({status}); {log} ends with:\n{tail}")
    return {"wall": seconds, "cpu": usage.ru_utime + usage.ru_stime,
            "bytes": usage.ru_maxrss * 1024}


def own_peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
