"""`python -m medverdict` is `medverdict`."""

from medverdict.cli import main

main()
