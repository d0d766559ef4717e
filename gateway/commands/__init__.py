"""The commands of `reasoncd`, one a module; `gateway/cli.py` puts them together.

What a command needs besides typer is imported when it runs, so that --help stays quick.
"""
