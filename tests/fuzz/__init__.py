"""Fuzzing of everything that is read: random damage must be refused in one line, or change nothing.

    uv run --directory tests python -m fuzz --seed 1 --tries 1000

tries damaged stores, plates, checkpoints, registries and command lines, and prints a table. Each target yields tries;
`attempt` says how one ended. A try that ends well although it should not, an unexpected exception, a warning, a message
of several lines, or more than `SECONDS` is a fault. A seed gives the same tries again.
"""
