#!/usr/bin/env python3
"""Runs the HTTP tests: run.py [-v] [-k PATTERN] [test_file.py ...]

A line for each test that fails (with -v for every test, and tracebacks), and at the end
"http: N passed, M failed, K skipped". MASKD names the daemon (build/maskd);
MASKD_TEST_SLOWDOWN stretches the time limits; MASKD_HTTP_SOAK is the seconds of the soak test.
"""

import argparse
import os
import sys
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)


def where(error):
    """The place in a test file, and what went wrong, in one line."""
    kind, value, trace = error
    frames = [frame for frame in traceback.extract_tb(trace)
              if os.path.basename(frame.filename).startswith("test_")]
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}: " if frames else ""
    text = " ".join(str(value).split())
    return f"{place}{kind.__name__}: {text[:500]}"


class Result(unittest.TestResult):
    def __init__(self, verbose):
        super().__init__()
        self.verbose = verbose
        self.broken = set()  # tests, and classes that could not be set up or taken down
        self.passed = 0
        self.started = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        if self.verbose:
            state = "FAIL" if test.id() in self.broken else "done"
            print(f"{state} {test.id()} {time.monotonic() - self.started:.2f} s", flush=True)

    def _fault(self, test, error, about=""):
        if self.verbose:
            traceback.print_exception(*error)
        if test.id() not in self.broken:  # of several subtests the first stands for all
            self.broken.add(test.id())
            print(f"FAIL {test.id()}{about}: {where(error)}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self._fault(test, err)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fault(test, err, " " + subtest._subDescription())

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if self.verbose:
            print(f"SKIP {test.id()}: {reason}", flush=True)


def load(files, pattern):
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [f"*{pattern}*"]
    if not files:
        files = sorted(name for name in os.listdir(HERE)
                       if name.startswith("test_") and name.endswith(".py"))
    names = [os.path.basename(name).removesuffix(".py") for name in files]
    return unittest.TestSuite(loader.loadTestsFromName(name) for name in names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-k", metavar="PATTERN", help="only tests whose name has it")
    parser.add_argument("files", nargs="*", help="test files; none: all")
    arguments = parser.parse_args()
    result = Result(arguments.verbose)
    load(arguments.files, arguments.k).run(result)
    failed, skipped = len(result.broken), len(result.skipped)
    print(f"http: {result.passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or result.testsRun == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
