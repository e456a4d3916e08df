"""A maskd of the test's own: started on a free port, watched, and stopped by SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "models", "mobile_sam.safetensors")
HOST = "127.0.0.1"

# How much slower than a release build the daemon may be: sanitizers, a busy machine.
SLOWDOWN = float(os.environ.get("MASKD_TEST_SLOWDOWN", "1"))


def seconds(value):
    """A time limit on what the daemon does."""
    return value * SLOWDOWN


def binary():
    path = os.environ.get("MASKD", os.path.join("build", "maskd"))
    if not os.path.isabs(path) and not os.path.exists(path):
        path = os.path.join(ROOT, path)
    return os.path.abspath(path)


def environment(extra=None):
    """Ours without what maskd would take for its options."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("MASKD_")}
    kept.update(extra or {})
    return kept


def command(*flags, env=None, cwd=None):
    """Runs maskd to its end, away from any configuration file, and returns a CompletedProcess."""
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run([binary(), *flags], env=environment(env), cwd=cwd or empty,
                              capture_output=True, text=True, timeout=seconds(60), check=False)


def wait_until(condition, timeout, what):
    """Polls until the condition is true; returns its value."""
    end = time.monotonic() + seconds(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds(timeout):g} s: {what}")
        time.sleep(0.02)


class Daemon:
    """Started by the constructor. Later flags win over the ones it sets by itself."""

    def __init__(self, *flags, env=None):
        self.events = []
        self.strays = []  # lines of the log that are not JSON
        self.directory = tempfile.TemporaryDirectory()
        # A file: what was logged before an answer is there to be read once the answer is.
        path = os.path.join(self.directory.name, "log")
        arguments = [binary(), "--host", HOST, "--port", "0", "--log-format", "json",
                     "--model", MODEL, *flags]
        with open(path, "ab") as log:
            self.process = subprocess.Popen(arguments, env=environment(env),
                                            cwd=self.directory.name, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log)
        self.log = open(path, "rb")
        self.log_rest = b""  # of a line that is not whole yet
        try:
            self.port = self.wait_event("listening", timeout=30)["port"]
        except AssertionError:
            self.kill()
            raise
        self.url = f"http://{HOST}:{self.port}"

    # ---- the log

    def read_log(self):
        """Takes in what was logged until now. For one thread at a time."""
        if self.log.closed:
            return
        *lines, self.log_rest = (self.log_rest + self.log.read()).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
                assert isinstance(event["event"], str)
                self.events.append(event)
            except (ValueError, TypeError, KeyError, AssertionError):
                self.strays.append(line.decode("latin-1"))

    def find(self, name, **fields):
        """The events of this name that have these fields."""
        self.read_log()
        return [event for event in self.events if event["event"] == name
                and all(event.get(key) == value for key, value in fields.items())]

    def wait_event(self, name, count=1, timeout=10, **fields):
        """Waits for the count-th event of this name and these fields, and returns it."""
        def found():
            alive = self.alive()
            events = self.find(name, **fields)
            assert alive or len(events) >= count, (
                f"exit {self.process.returncode} before \"{name}\"; {self.last_words()}")
            return events[count - 1] if len(events) >= count else None
        return wait_until(found, timeout, f"event \"{name}\"")

    def last_words(self):
        self.read_log()
        reports = [line for line in self.strays if "ERROR:" in line or "SUMMARY:" in line]
        lines = reports + self.strays[:20] + [json.dumps(event) for event in self.events[-2:]]
        return "the log ends: " + " | ".join(lines)

    # ---- the process

    def alive(self):
        return self.process.poll() is None

    def memory(self, line="VmRSS"):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            found = [text.split() for text in status if text.startswith(line + ":")]
        assert found, f"no {line}: {self.last_words()}"
        return int(found[0][1]) * 1024

    def peak(self):
        """The most that memory() was since reset_peak."""
        return self.memory("VmHWM")

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as clear:
            clear.write("5")

    def files(self):
        """How many file descriptors are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        """The exit status."""
        return self.process.wait(seconds(timeout))

    def kill(self):
        """For daemons that failed a test already."""
        if self.alive():
            self.process.kill()
        self.process.wait()
        self.read_log()
        self.log.close()
        if self.log_rest:  # a line without an end
            self.strays.append(self.log_rest.decode("latin-1"))
            self.log_rest = b""
        self.directory.cleanup()

    def stop(self):
        """SIGTERM; the exit status must be 0, and the log whole."""
        if self.alive():
            self.signal()
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            code = "none: it goes on after SIGTERM"
        self.check_end(code)

    def check_end(self, code):
        self.kill()
        assert code == 0, f"exit status {code}; {self.last_words()}"
        assert not self.strays, f"not JSON: {self.last_words()}"

    # ---- the port

    def connect(self, timeout=30):
        return socket.create_connection((HOST, self.port), seconds(timeout))

    def refuses(self):
        """Whether nobody listens any more."""
        try:
            self.connect(5).close()
        except ConnectionRefusedError:
            return True
        return False


def main():
    """daemon.py [flags]: starts one as the tests do, until Enter."""
    daemon = Daemon(*sys.argv[1:])
    input(f"{daemon.url}, pid {daemon.process.pid}; Enter stops it\n")
    daemon.stop()


if __name__ == "__main__":
    main()
