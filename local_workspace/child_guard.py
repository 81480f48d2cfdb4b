"""Runs a command that must not outlive the workspace: ``python child_guard.py COMMAND ARG...``.

Linux sends the process SIGTERM when its parent dies, so that even a killed workspace leaves
nothing behind. The setting survives exec, which replaces this process by the command.
Stdlib only, and run as a file: the command may belong to another environment.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM at the parent's death; leave at once if it is dead already."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    die_with_parent(int(os.environ.pop("LOCAL_WORKSPACE_PARENT")))
    os.execvp(sys.argv[1], sys.argv[1:])
