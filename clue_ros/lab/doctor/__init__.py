"""`clue doctor`: what a model needs of a machine, and whether its fast path gives there what the plain one gives.

No GPU was to be had while the fast path was written: the first machine with one is the test, and this is how it is
run. outlook.py says what will happen before anything is loaded; trial.py loads and asks one variant; run.py compares.
"""
