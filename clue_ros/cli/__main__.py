"""`python -m clue_ros.cli ground PHOTO.png "the red mug"`: the `clue` command where it is not on the PATH."""

import sys

from clue_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
