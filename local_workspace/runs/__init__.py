"""Jobs and their runs: definitions, states, child processes, logs."""
