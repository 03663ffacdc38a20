"""`python -m pyedge.cli`."""

from ._app import main

main()
