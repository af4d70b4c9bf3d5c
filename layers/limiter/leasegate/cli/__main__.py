"""``python -m leasegate.cli``."""

from . import main

main()
