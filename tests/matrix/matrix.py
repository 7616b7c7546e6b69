#!/usr/bin/env python3
"""matrix.py TOPIC REFERENCE MOUNT - the same calls in two directories that it makes: prints each whose result differs, but for
what deliberate.py lists, and how many there were. Status 1 when anything differs.

A topic is a function of one of the modules here; it yields (what was tried, what came of it)."""
import os
import shutil
import sys

sys.dont_write_bytecode = True  # this directory may be anybody's
import attributes
import basics
import contents
import deliberate
import names
import rights
import seen

MODULES = (basics, names, contents, attributes, rights, seen)


def topics():
    return {name[len("topic_"):]: function for module in MODULES for name, function in vars(module).items()
            if name.startswith("topic_")}


def answers(topic, directory):
    """In a directory that is removed afterwards; the umask is that of most users."""
    os.mkdir(directory)
    os.umask(0o022)
    try:
        return list(topic(directory))
    finally:
        os.chdir("/")
        os.umask(0o022)
        shutil.rmtree(directory)


def differences(topic, expected, found):
    if [what for what, _ in expected] != [what for what, _ in found]:
        yield "not the same calls were made"
    for (what, wanted), (_, got) in zip(expected, found):
        line = f"{what}: {got}, not {wanted}"
        if wanted != got and not deliberate.is_deliberate(topic, line):
            yield line


def main():
    if sys.argv[1:] == ["--list"]:
        print(*topics(), sep="\n")
        return
    name, reference, mount = sys.argv[1:]
    expected, found = answers(topics()[name], reference), answers(topics()[name], mount)
    lines = list(differences(name, expected, found))
    print(*lines, f"{len(expected)} calls", sep="\n")
    sys.exit(1 if lines else 0)


main()
