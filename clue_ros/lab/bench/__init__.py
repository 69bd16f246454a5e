"""`clue bench`: how fast the model is, beside what a user would write with transformers and beside what the machine
allows.

Start reading at `run.py`. `floor.py` counts, `machine.py` measures the machine, `plain.py` is the other side of the
comparison, `rows.py` lists what is timed (ROW_PROVIDERS takes further rows), `targets.py` holds the bars.
"""
