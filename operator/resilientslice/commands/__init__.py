"""One module a subcommand of `rslice`; cli.py imports only the one that is called."""
