"""How a model is asked in free words, by what it was trained on: with PaliGemma's task prefixes, or openly.

Google's page marks `describe en` as understood by pt checkpoints alone and `answer en`, `caption en` by all
(ai.google.dev/gemma/docs/paligemma/prompt-system-instructions). The authors of PaliGemma 2 mix say that open prompts
give better answers there than prefixes, but for `detect` and `segment` (huggingface.co/blog/paligemma2mix, from where
the open wording of `describe` is). **Neither was tried on real weights here**: `questions` in clue.json chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

from clue_ros.language.plurals import singular


@dataclass(frozen=True)
class Wording:
    """Prefixes: answer with {question}; caption: a few words on a picture; describe: a sentence or more."""

    answer: str
    caption: str
    describe: str

    def question(self, text: str) -> str:
        """The prefix that asks a question."""
        return self.answer.format(question=text)

    def color_of(self, noun: str) -> str:
        """The prefix that asks for the colour of the thing in a crop."""
        return self.question(f"what color is the {noun}?")

    def is_there(self, phrase: str) -> str:
        """The prefix that asks whether a picture shows a thing: 'red mug', 'scissors'."""
        last = phrase.split()[-1] if phrase.split() else phrase
        if singular(last) != last:
            return self.question(f"are there {phrase}?")
        return self.question(f"is there {'an' if phrase[:1] in tuple('aeio') else 'a'} {phrase}?")


#: By the name that `questions` has in clue.json.
WORDINGS = {
    "prefixed": Wording("answer en {question}", "caption en", "describe en"),
    "open": Wording("{question}", "caption en", "Describe the image in great detail"),
}
