"""One folder per format, each with the same modules: target, convert, inspect, runner, serving."""
