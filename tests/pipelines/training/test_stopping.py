"""What ends a training and what does not; and that messages and the progress bar never share a line."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.command_line import enr
from tests.pipelines.training.fitting import QUICK

from enr.pipelines.training.journal import Console
from enr.pipelines.training.loop import stop_signals
from enr.pipelines.training.runs import latest_run, load_state

MAIN = "from enr.pipelines.cli.main import main; main()"
OPTIONS = [part for value in (*QUICK, "log_every=1") for part in ("--set", value)]


def start(*arguments, **options):
    command = [sys.executable, "-c", MAIN, "train", "--preset", "smoke", *OPTIONS, *arguments]
    # Under `nohup` a child would inherit that a hang-up is ignored.
    return subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **options)


def wait_for_step(process, step):
    """Until the run's metrics tell of `step`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(path.read_text().count("\n") >= step for path in Path("runs").glob("*/metrics.jsonl")):
            return
        time.sleep(0.05)
    raise AssertionError(f"no step {step} in a minute")


def test_a_reader_that_goes_away_does_not_end_a_training(here):
    """As in `enr train … | head -2`, with both streams in the pipe."""
    process = start("--set", "steps=60", "--set", "validations=20", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert load_state(latest_run() / "checkpoints" / "last")["step"] == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_the_run_goes_on(here, number):
    process = start("--set", "steps=5000", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for_step(process, 3)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "Stopped and saved" in output
    run = latest_run()
    step = load_state(run / "checkpoints" / "last")["step"]
    assert (run / "progress.gif").is_file()
    result = enr("train", "--resume", "--set", f"steps={step + 2}")
    assert result.exit_code == 0, result.output
    assert load_state(run / "checkpoints" / "last")["step"] == step + 2


def test_a_hang_up_that_is_ignored_stays_ignored():
    """Under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals(lambda line: None) as is_stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not is_stopped()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_once_and_then_acts_as_ever(number):
    came, said = [], []
    before = signal.signal(number, lambda *_: came.append(number))
    try:
        with stop_signals(said.append) as is_stopped:
            assert not is_stopped()
            os.kill(os.getpid(), number)
            assert is_stopped() and len(said) == 1 and not came
            os.kill(os.getpid(), number)
            assert came == [number]
    finally:
        signal.signal(number, before)


def test_other_errors_of_writing_are_not_hidden():
    def full(words):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Console(full, show_progress=False).say("x")


def screen_of(text):
    """The rows of a terminal after it was sent `text`."""
    rows, column = [[]], 0
    for letter in text:
        if letter == "\r":
            column = 0
        elif letter == "\n":
            rows.append([])
        else:
            rows[-1][column : column + 1] = [letter]
            column += 1
    return ["".join(row).rstrip() for row in rows]


def test_a_progress_bar_never_shares_its_line_with_a_message(here):
    """On a terminal, with validations and a Ctrl-C in between."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = start("--set", "steps=100000", "--set", "validations=5000", stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    output = b""
    stop_at = time.monotonic() + 60
    while True:
        try:
            output += os.read(ours, 65536)
        except OSError:  # the terminal's other side is closed
            break
        if output.count(b"validation") > 20 and time.monotonic() < stop_at:
            process.send_signal(signal.SIGINT)
            stop_at = 0
    os.close(ours)
    assert process.wait(timeout=60) == 0
    rows = screen_of(output.decode().replace("\r\n", "\n\r"))
    messages = [row for row in rows if "dB on validation" in row or "Stopping after" in row or "Stopped and" in row]
    assert any("%|" in row for row in rows), "a bar was drawn"
    assert len(messages) > 10 and any("Stopping after" in row for row in messages)
    assert all("%|" not in row and not row.startswith(" ") for row in messages), messages
