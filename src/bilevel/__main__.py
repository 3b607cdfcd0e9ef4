"""`python -m bilevel` is the `bilevel` command."""

from bilevel.cli import main

main()
