"""The `clue` command line: one thin file a verb over the core. Start reading at `main`."""
