"""Training of adapters on real checkpoints (PaliGemma 2, bidirectional prefix) through Hugging Face Accelerate.

    clue finetune dialogue --base paligemma2-3b-mix-448 --data /data/invig --output runs/clue
    accelerate launch -m clue_ros.cli finetune detector --base runs/clue --data yesno.csv --output runs/clue  # GPUs

Start reading in `run.py`; docs/training.md says how to use it. The embedded model is trained by `clue_ros.training`.
"""
