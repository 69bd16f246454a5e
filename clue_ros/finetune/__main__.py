"""`accelerate launch -m clue_ros.finetune TASK ...`: the verb `clue finetune`, started once a process by Accelerate."""

import sys

from clue_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]]))
