#!/usr/bin/env python3
"""Every global symbol of our archives begins with sf_ (tests: tst_), so that the libraries can be
linked into other programs without clashes; and no two archives define the same one.

usage: check_symbols.py NM BUILD_FOLDER
Exit code 0 = clean, 1 = offenders are listed, 77 = nothing was built yet.
"""
import pathlib
import subprocess
import sys

# ThreadSanitizer, AddressSanitizer and OpenMP add symbols of their own to objects.
FOREIGN = ("__odr_asan", "__asan", "__ubsan", ".omp", ".gomp_critical_user_sf_")


def defined_globals(nm, archive):
    out = subprocess.run([nm, "-g", "--defined-only", "-P", archive], capture_output=True, text=True, check=True)
    for line in out.stdout.splitlines():
        words = line.split()
        if len(words) >= 2 and not words[0].endswith(":"):
            yield words[0]


def main():
    nm, build = sys.argv[1], pathlib.Path(sys.argv[2])
    archives = sorted(build.rglob("libsf_*.a"))
    if not archives:
        print("no archive below", build)
        return 77
    bad = checked = 0
    home = {}
    for archive in archives:
        prefixes = ("sf_", "tst_") if "test" in archive.name else ("sf_",)
        for symbol in defined_globals(nm, archive):
            checked += 1
            if home.setdefault(symbol, archive) != archive and symbol.startswith(prefixes):
                print(f"{symbol} is defined in {home[symbol].name} and in {archive.name}")
                bad += 1
            if not symbol.startswith(prefixes + FOREIGN):
                print(f"{archive.name}: {symbol} does not begin with {' or '.join(prefixes)}")
                bad += 1
    print(f"{checked} symbols in {len(archives)} archives, {bad} offenders")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
