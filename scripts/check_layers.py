#!/usr/bin/env python3
"""Checks the include order of docs/architecture.md, and what a library file may not do.

usage: check_layers.py ROOT               check the tree, list offenders, exit code 1 if there are any
       check_layers.py --self-test ROOT   check that every rule really catches a planted offender

Rules: a file includes its own folder and the folders that stand above it and in its brackets; the
headers of big libraries stay in one folder each; library code neither prints nor ends the program.
"""
import pathlib
import re
import sys
import tempfile

LAYOUT_LINE = re.compile(r"^    (?:src/)?(\w+)/\s+\[([^\]]*)\]", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

# Header (regular expression) -> path prefixes that may include it.
RESTRICTED = {
    r"mpi\.h": ["mpi/"],
    r"hdf5(_hl)?\.h|H5\w+\.h": ["mpi/h5_open", "src/store/", "tests/support/h5.c", "benchmarks/"],
    r"(imm|x86|avx\w*|[exptns]mm)intrin\.h": ["kernels/x86/"],
    r"cblas\.h|lapacke?\.h": ["kernels/gemm/"],
    r"cuda\w*\.h|cublas\w*\.h|cudnn\w*\.h": ["kernels/cuda/"],
}
# Call (regular expression) -> path prefixes of library code that may use it.
CALLS = {
    r"(?<![\w.>])(?:_exit|exit|quick_exit)\s*\(": ["mpi/comm"],
    r"(?<!\w)(?:printf|puts|putchar|perror|vprintf)\s*\(": [],
    r"fprintf\s*\(\s*(?:stderr|stdout)|fput[sc]\s*\([^;]*\b(?:stderr|stdout)\b": ["src/base/log.c", "mpi/comm"],
}
FOLDERS = ["src", "kernels", "mpi", "tests", "benchmarks"]
SUFFIXES = {".c", ".h", ".cu", ".cuh"}


def read_layout(root):
    """Layer -> set of the layers that it may use."""
    allowed = {}
    for name, brackets in LAYOUT_LINE.findall((root / "docs/architecture.md").read_text()):
        words = {w.strip() for w in brackets.split(",")}
        if words == {"nothing of ours"}:
            words = set()
        if words == {"all above"}:
            words = set(allowed)
        unknown = words - set(allowed)
        if unknown:
            sys.exit(f"docs/architecture.md: {name} names {sorted(unknown)}, which do not stand above it")
        allowed[name] = words | {name}
    if len(allowed) < 2:
        sys.exit("docs/architecture.md: no layout block found")
    return allowed


def layer_of(path, allowed):
    parts = path.parts
    name = parts[1] if parts[0] == "src" else parts[0]
    return name if name in allowed else None


def without_comments(text):
    """Comments and strings blanked, includes kept."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token if "\n" not in token and (token.endswith('.h"') or "_body" in token or token.endswith('.c"')) else '""'
        return "\n" * token.count("\n")
    return TOKENS.sub(blank, text)


def check_include(path, form, header, allowed, root):
    for pattern, places in RESTRICTED.items():
        if re.fullmatch(pattern, header.split("/")[-1]) and form == "<" or re.fullmatch(pattern, header):
            if not str(path).startswith(tuple(places)):
                return f"includes {header}, which belongs to {' '.join(places)}"
    own = layer_of(path, allowed)
    first = header.split("/")[0]
    if form == "<" or own is None:
        return None
    if first in allowed and "/" in header:
        if first not in allowed[own]:
            return f"includes {header}: {own} may not use {first}"
        return None
    near = [root / path.parent / header, root / pathlib.Path(*path.parts[:1]) / header, root / "include" / header]
    if not any(p.exists() for p in near):
        return f"includes {header}, which is in none of our folders"
    return None


def check_file(root, path, allowed):
    text = without_comments((root / path).read_text(errors="replace"))
    for match in INCLUDE.finditer(text):
        problem = check_include(path, match.group(1), match.group(2), allowed, root)
        if problem:
            yield text.count("\n", 0, match.start()) + 1, problem
    layer = layer_of(path, allowed)
    if layer in (None, "cli"):
        return
    for pattern, places in CALLS.items():
        if str(path).startswith(tuple(places)):
            continue
        for match in re.finditer(pattern, text):
            yield text.count("\n", 0, match.start()) + 1, f"library code calls {match.group(0).rstrip('( ')}"


def check_cmake(root, allowed):
    """The build adds the folders in the same order."""
    match = re.search(r"set\(SEGFLEET_LAYERS([^)]*)\)", (root / "CMakeLists.txt").read_text())
    built = [w.split("/")[-1] for w in match.group(1).split()] if match else []
    if built != list(allowed):
        yield f"CMakeLists.txt: SEGFLEET_LAYERS is {built}, docs/architecture.md has {list(allowed)}"


def check_tree(root):
    allowed = read_layout(root)
    problems, count = list(check_cmake(root, allowed)), 0
    for folder in FOLDERS:
        for full in sorted((root / folder).rglob("*")):
            if full.suffix not in SUFFIXES:
                continue
            count += 1
            path = full.relative_to(root)
            problems += [f"{path}:{line}: {what}" for line, what in check_file(root, path, allowed)]
    return count, problems


PLANTED = [
    ("src/image/a.c", '#include "plan/plans.h"\n', "may not use plan"),
    ("src/plan/a.c", '#include "kernels/op.h"\n', "may not use kernels"),
    ("kernels/a.c", '#include "mpi/comm.h"\n', "may not use mpi"),
    ("src/train/a.c", "#include <mpi.h>\n", "mpi.h"),
    ("src/plan/a.c", "# include <hdf5.h>\n", "hdf5.h"),
    ("mpi/comm_mpi.c", "#include <hdf5.h>\n", "hdf5.h"),
    ("tests/plan/a.c", "#include <hdf5.h>\n", "hdf5.h"),
    ("kernels/conv.c", "#include <immintrin.h>\n", "immintrin.h"),
    ("src/network/a.c", "#include <cblas.h>\n", "cblas.h"),
    ("kernels/backend.c", "#include <cuda_runtime.h>\n", "cuda_runtime.h"),
    ("src/image/a.c", '#include "nowhere.h"\n', "none of our folders"),
    ("src/image/a.c", "void f(void) { exit(1); }\n", "calls exit"),
    ("src/image/a.c", 'void f(void) { printf("x"); }\n', "calls printf"),
    ("src/image/a.c", 'void f(void) { fprintf(stderr, "x"); }\n', "calls fprintf"),
]
CLEAN = [
    ("src/cli/main.c", '#include "train/trainer.h"\nint main(void) { printf("x"); exit(0); }\n'),
    ("src/image/b.c", '/* printf(x) exit(1) */\nstatic const char *s = "exit(1)";\nvoid f(FILE *to) { fprintf(to, "x"); }\n'),
    ("mpi/comm_mpi.c", '#include <mpi.h>\n#include "base/error.h"\n'),
    ("mpi/h5_open.c", "#include <hdf5.h>\n"),
    ("kernels/x86/a.c", "#include <immintrin.h>\n"),
    ("src/image/c.c", "void f(void) { snprintf(a, 1, b); on.exit(1); my_exit(2); }\n"),
]


def run_planted(root, name, text):
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        for kept in ("docs/architecture.md", "CMakeLists.txt"):
            (tree / kept).parent.mkdir(parents=True, exist_ok=True)
            (tree / kept).write_text((root / kept).read_text())
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        return check_tree(tree)[1]


def self_test(root):
    bad = 0
    for name, text, want in PLANTED:
        problems = run_planted(root, name, text)
        if len(problems) != 1 or want not in problems[0]:
            print(f"{name} with {text!r}: expected one finding about {want!r}, got {problems}")
            bad += 1
    for name, text in CLEAN:
        problems = run_planted(root, name, text)
        if problems:
            print(f"{name}: nothing is wrong with it, got {problems}")
            bad += 1
    print(f"{len(PLANTED)} planted offenders and {len(CLEAN)} clean files, {bad} judged wrongly")
    return 1 if bad else 0


def main():
    if sys.argv[1] == "--self-test":
        return self_test(pathlib.Path(sys.argv[2]))
    count, problems = check_tree(pathlib.Path(sys.argv[1]))
    print("\n".join(problems + [f"{count} files, {len(problems)} offences"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
