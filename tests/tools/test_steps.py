"""A step that fails says which one, why, and where the log is; an interrupt leaves nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tools import paths
from tools.steps import StepFailed, run, step, together


@pytest.fixture(autouse=True)
def own_setup_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SETUP_HOME", str(tmp_path))


def test_failure_names_step_reason_and_log():
    with pytest.raises(StepFailed) as failure, step("make tea"):
        run(["sh", "-c", "echo no water; exit 3"], log="tea")
    assert str(failure.value).startswith("make tea: `sh` ended with exit code 3")
    assert "no water" in str(failure.value)
    assert failure.value.log == paths.logs() / "tea.log"
    assert failure.value.log.read_text() == "no water\n"


def test_a_known_failure_is_explained():
    with pytest.raises(StepFailed, match="the kettle is empty"):
        run(
            ["sh", "-c", "echo E42; exit 1"],
            log="tea",
            explain=lambda text: "the kettle is empty" if "E42" in text else None,
        )


def test_the_first_failure_of_side_by_side_steps_is_raised():
    done = []

    def fails():
        raise StepFailed("broken")

    with pytest.raises(StepFailed, match="broken"):
        together(fails, lambda: done.append(1))
    assert done == [1]


def test_interrupt_ends_the_running_commands_and_starts_no_other(tmp_path):
    note, second, stopped = (tmp_path / name for name in ("child", "second", "stopped"))
    script = (
        "from tools.steps import failures_explained, logged, run, together\n"
        f"command = ['sh', '-c', 'echo $$ > {note}; exec sleep 600']\n"
        "def lane():\n"
        "    logged(command, log='long')\n"
        f"    run(['touch', '{second}'], log='second')\n"
        "with failures_explained():\n"
        "    try:\n"
        "        together(lane, lambda: None)\n"
        "    finally:\n"
        f"        run(['touch', '{stopped}'], log='stop')\n"
    )
    # A run in the background inherits an ignored SIGINT; a person at a terminal has the default.
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=paths.ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
    assert not second.exists()
    assert stopped.exists(), "what was started before is stopped by a command"
