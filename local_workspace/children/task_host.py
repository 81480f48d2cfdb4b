"""Runs one task of a job in its own process: ``python task_host.py SPEC.json``.

Stdlib only, and run as a file: it belongs to the job's environment, not to the workspace's.
SPEC: kind (wheel | file), package_name, entry_point, python_file, arguments, wheels (folders),
result (file that gets {"error", "error_trace"} when the task fails), grace_seconds (optional).

Two processes: the one that the workspace started stays behind as a guard and forks the task. It
leads the group, and ends all of it when the workspace dies, also what ignores SIGTERM; when the
guard dies, the kernel ends the task.
"""

import importlib
import importlib.metadata
import json
import os
import resource
import runpy
import signal
import sys
import traceback

import child_guard

_FROZEN_RUNPY = "<frozen runpy>"


def find_entry_point(package_name, entry_point):
    """The callable named by a wheel task: by entry point, by module:function, by attribute."""
    try:
        distribution = importlib.metadata.distribution(package_name)
    except importlib.metadata.PackageNotFoundError:
        distribution = None
    if distribution is not None:
        for declared in distribution.entry_points:
            if declared.name == entry_point:
                return declared.load()
    module, colon, function = entry_point.partition(":")
    if not colon:
        module, function = package_name.replace("-", "_"), entry_point
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise RuntimeError(
            f"The entry point {entry_point!r} of package {package_name!r} was not found: {error}"
        ) from error


def run(spec):
    """Run the task in this process; raises whatever it raises."""
    if spec["kind"] == "file":
        sys.argv = [spec["python_file"], *spec["arguments"]]
        runpy.run_path(spec["python_file"], run_name="__main__")
        return
    function = find_entry_point(spec["package_name"], spec["entry_point"])
    sys.argv = [spec["entry_point"], *spec["arguments"]]
    answer = function()
    # As a console script: a whole number other than 0 is a failure.
    if isinstance(answer, int) and not isinstance(answer, bool) and answer != 0:
        sys.exit(answer)


def report(path, error):
    """Write the failure where the workspace looks for it, and the trace to stderr."""
    place = error.__traceback__
    # The way into the task is of no interest to its author.
    while place and place.tb_frame.f_code.co_filename in (__file__, runpy.__file__, _FROZEN_RUNPY):
        place = place.tb_next
    trace = "".join(traceback.format_exception(type(error), error, place))
    name = type(error).__name__
    text = f"{name}: {error}" if str(error) else name
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"error": text[:10000], "error_trace": trace[-100000:]}, out)
    sys.stderr.write(trace)


def stay_as_guard(parent, grace_seconds):
    """Fork. Returns in the new process, which is the task; the other ends as the task does."""
    guard = os.getpid()
    task = os.fork()
    if task == 0:
        child_guard.die_with_parent(guard, signal.SIGKILL)
        return

    def end_group(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.getppid() != parent:  # a living workspace has told the whole group itself
            os.killpg(0, signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, max(grace_seconds, 0.01))

    signal.signal(signal.SIGTERM, end_group)
    if os.getppid() != parent:  # it died before the handler was there
        end_group(None, None)
    _, status = os.waitpid(task, 0)
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(guard, os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def main():
    parent = int(os.environ.pop("LOCAL_WORKSPACE_PARENT"))
    child_guard.die_with_parent(parent)
    with open(sys.argv[1], encoding="utf-8") as source:
        spec = json.load(source)
    stay_as_guard(parent, spec.get("grace_seconds", 5))
    # This file's folder must not shadow modules of the task.
    sys.path[0:1] = spec["wheels"]
    try:
        run(spec)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            report(spec["result"], stop)
            raise
    except BaseException as error:
        report(spec["result"], error)
        sys.exit(1)


if __name__ == "__main__":
    main()
