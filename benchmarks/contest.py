"""What the comparisons with the peer share: contenders that take turns, each in its own process."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PEER = ROOT / "tests" / "interop" / "peer"
sys.path.insert(0, str(PEER))
from environment import quiet_environment  # noqa: E402


class Failed(Exception):
    pass


def run_json_lines(words, env, log):
    """Runs a command; its standard output's JSON lines, and what the whole process cost."""
    with open(log, "w") as err, tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(w) for w in words], stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise Failed(f"{words[0]} {words[1]} failed, see {log}")
        out.seek(0)
        rows = [json.loads(line) for line in out if line.startswith("{")]
    return rows, {"cpu": usage.ru_utime + usage.ru_stime, "bytes": usage.ru_maxrss * 1024}


class Contender:
    """One way to do the work. run() -> a list of {"cpu", ...} and the peak of its memory."""

    def __init__(self, name, run):
        self.name, self.run_once = name, run
        self.rows, self.bytes, self.fault = [], 0, None

    def round(self):
        try:
            rows, peak = self.run_once()
        except Failed as fault:
            self.fault = str(fault)
        else:
            self.rows += rows
            self.bytes = max(self.bytes, peak)
        state = self.fault or f"{self.rows[-1]['cpu']:.3f} CPU s"
        print(f"# {self.name}: {state}", file=sys.stderr, flush=True)

    def median(self, key="cpu"):
        return statistics.median(r[key] for r in self.rows) if self.rows else float("inf")

    def mebibytes(self):
        return f"{self.bytes / 2**20:.0f}"


def options(doc, prefix):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", default=sys.executable, help="interpreter with PyTorch and nnU-Net")
    p.add_argument("--program", default=ROOT / "build" / "release" / "bin" / "segfleet")
    p.add_argument("--shared", default=ROOT.parent / "shared", help="folder with bench/ and data/")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--logs", help=f"folder for logs and scratch; default: a new one ({prefix}...)")
    return p


def begin(args, prefix):
    """Folder for the logs, and a first line that says what the peer is."""
    args.logs = pathlib.Path(args.logs or tempfile.mkdtemp(prefix=prefix)).resolve()
    args.logs.mkdir(parents=True, exist_ok=True)
    probe = "import sys; sys.path.insert(0, sys.argv[1]); import environment as e; print(e.versions())"
    done = subprocess.run([args.python, "-c", probe, PEER], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{args.python} has no nnU-Net: scripts/peer_check --setup DIR makes one\n{done.stderr}")
    print(f"Peer: {done.stdout.strip()}.\n", flush=True)


def peer_environment(threads, extra=None):
    return {**quiet_environment(threads), **(extra or {})}
