#!/usr/bin/env python3
"""Checks docs/features.md: every row names a command that exists and a test that exists.

usage: check_features.py ROOT BUILD SEGFLEET               list the table's faults, exit code 1 if any
       check_features.py --self-test ROOT BUILD SEGFLEET   check that every kind of fault is found

A row has four cells: feature, name in the paper or nnU-Net v2, our command, CTest tests. Commands
are the first words of the texts in backticks, or "-" where no command is needed.
"""
import json
import pathlib
import re
import subprocess
import sys

CODE = re.compile(r"`([^`]+)`")


def tests_of(build):
    """Names of all tests that CTest knows in a build folder."""
    ask = ["ctest", "--show-only=json-v1"]
    shown = subprocess.run(ask, cwd=build, capture_output=True, text=True, check=True)
    return {test["name"] for test in json.loads(shown.stdout)["tests"]}


def commands_of(segfleet):
    """The commands that `segfleet help` lists."""
    shown = subprocess.run([segfleet, "help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z-]+) ", shown.split("commands:")[1].split("exit codes:")[0], re.M))


def rows_of(text):
    """(line number, cells) of every row of every table, without headings and rulers."""
    for number, line in enumerate(text.splitlines(), 1):
        is_row = line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line)
        following = text.splitlines()[number] if number < len(text.splitlines()) else ""
        if is_row and not re.fullmatch(r"\|[|\s:-]+", following):
            yield number, [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def faults(text, tests, commands):
    """Lines that say what is wrong with the table."""
    found, rows, seen = [], 0, set()
    for number, cells in rows_of(text):
        rows += 1
        if len(cells) != 4 or not all(cells):
            found.append(f"line {number}: {len(cells)} cells, or an empty one: {cells[0][:60]}")
            continue
        if cells[0] in seen:
            found.append(f"line {number}: the feature stands twice: {cells[0][:60]}")
        seen.add(cells[0])
        named = [code.split()[0] for code in CODE.findall(cells[2])]
        if not named and cells[2] != "-":
            found.append(f"line {number}: no command in backticks, and no '-'")
        found += [f"line {number}: no command '{name}'" for name in named if name not in commands]
        proofs = CODE.findall(cells[3])
        if not proofs:
            found.append(f"line {number}: no test")
        found += [f"line {number}: no test '{name}'" for name in proofs if name not in tests]
    if rows < 100:
        found.append(f"only {rows} rows")
    return found


def self_test(text, tests, commands):
    """Every kind of fault, planted behind the real table, must be found."""
    planted = {
        "| a | b | `run` | `no.test` |": "no test 'no.test'",
        "| a | b | `norun` | `base.mem` |": "no command 'norun'",
        "| a | b | `run` | base.mem |": "no test",
        "| a | b | run | `base.mem` |": "no command in backticks",
        "| a | b | `run` |": "3 cells",
    }
    for row, word in planted.items():
        table = text + "\n| f | n | c | t |\n|---|---|---|---|\n" + row + "\n"
        if not any(word in fault for fault in faults(table, tests, commands)):
            sys.exit(f"not found: {row}")


def main():
    arguments = sys.argv[1:]
    testing = arguments[0] == "--self-test"
    root, build, segfleet = arguments[testing:]
    text = (pathlib.Path(root) / "docs/features.md").read_text()
    tests, commands = tests_of(build), commands_of(segfleet)
    if testing:
        return self_test(text, tests, commands)
    found = faults(text, tests, commands)
    print("\n".join(found) if found else f"{sum(1 for _ in rows_of(text))} rows, all commands and tests exist")
    sys.exit(1 if found else 0)


main()
