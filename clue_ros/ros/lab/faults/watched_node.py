"""The node, with every prefix that its model reads written down: one JSON line each, ids and tokens.

    CLUE_TOKENS_FILE=/tmp/tokens.jsonl python -m clue_ros.ros.lab.faults.watched_node

For the fault suite: that words inject no tokens is seen in what the model was given, not in what it made of it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from clue_ros.ros.node import main
from clue_ros.ros.running.loading import ModelSettings, load_grounder
from clue_ros.seams import Grounder

TOKENS_FILE = "tokens.jsonl"


def watched(settings: ModelSettings) -> Grounder:
    """The real Grounder; raises as load_grounder."""
    grounder = load_grounder(settings)
    prompts = grounder.backbone.tokens
    read = prompts.prefix

    def prefix(text: str) -> Any:
        result = read(text)
        ids = result.ids[0].tolist()
        with open(os.environ["CLUE_TOKENS_FILE"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"ids": ids, "tokens": prompts.tokenizer.convert_ids_to_tokens(ids)}) + "\n")
        return result

    prompts.prefix = prefix
    return grounder


if __name__ == "__main__":
    sys.exit(main(factory=watched))
