"""Runs a command that must not outlive the workspace: ``python child_guard.py COMMAND ARG...``.

Linux signals the process when its parent dies, so that even a killed workspace leaves nothing
behind. The setting survives exec, which replaces this process by the command. A command gets
SIGKILL: Sail answers SIGTERM by waiting for its statements, which can take for ever.
Stdlib only, and run as a file: the command may belong to another environment.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent, number=signal.SIGTERM):
    """Ask the kernel for a signal at the parent's death; leave at once if it is dead already."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    die_with_parent(int(os.environ.pop("LOCAL_WORKSPACE_PARENT")), signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])
