"""The two tokens between which the autoregressive ambiguity detectors choose: yes, it is ambiguous, or no.

An open vocabulary (PaliGemma 2) says the plain words "yes" and "no". The embedded model's closed one uses `<yes>` and
`<no>`: no text can reach them (its pre-tokeniser splits at < and >, and `prompt.clean` removes both), so a person's
"no" stays an ordinary word of a dialogue and "yes" stays one that is skipped.
"""

from __future__ import annotations

from typing import Tuple

from clue_ros.types import ModelLoadError

PRIVATE = ("<yes>", "<no>")
PLAIN = ("yes", "no")


def answer_tokens(tokenizer) -> Tuple[int, int]:
    """(id of yes, id of no). Raises ModelLoadError if the tokenizer has neither pair as single tokens."""
    known = tokenizer.get_vocab()
    for pair in (PRIVATE, PLAIN, tuple(f"\u2581{w}" for w in PLAIN)):
        if all(w in known for w in pair):
            return known[pair[0]], known[pair[1]]
    raise ModelLoadError(
        "the tokenizer has no tokens for the answers of an autoregressive detector: neither '<yes>' "
        "and '<no>' nor the words yes and no; clue train --base DIR gives spare tokens these names"
    )
