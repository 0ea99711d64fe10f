"""Makes what the project runs in: the runtimes' virtual environments and the native tools.

It is run by the machine's own Python 3.11 before anything is installed, so it imports the standard library alone:
`python3 -m deploy.setup --help`.
"""
