"""Installs what Hallmark runs in: the virtual environments of the runtimes, and the native tools.

The machine's own Python 3.11 runs it before anything is installed, so it imports only the standard library:
`python3 -m deploy.setup --help`.
"""
