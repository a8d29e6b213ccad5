"""The command line: arguments in, exit code out.

``main(argv)`` returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Every command goes the same way:
its module parses, the options are checked, a plan is made, and the plan is run; results are printed on stdout, logs and
one progress bar on stderr.

Start with `commands`: the table of commands and how they are dispatched. `program` runs any of them: one-line errors,
exit codes, Ctrl-C. `arguments` holds what several commands share. Each other module is the command of its name.
"""

from image_translation.cli.commands import main, run

__all__ = ["main", "run"]
