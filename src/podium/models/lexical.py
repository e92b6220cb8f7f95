"""Lexical similarity: words, their stems, and BM25. Deterministic, linear in the text, without data files.

BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the idf that
stays positive for words found in every document.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")

_STOP = (
    "a about all also am an and any are as at be been but by can could did do does for from had has have he her his "
    "how i if in into is it its just me more most my no not of on only or other our out over own please she should so "
    "some such than that the their them then there these they this those to too up us use very was we were what when "
    "where which while who whose why will with would you your"
)
STOP_WORDS = frozenset(_STOP.split(" "))
_ENDINGS = ("ization", "ations", "ation", "ments", "ment", "ings", "ing", "ies", "ers", "ed", "er", "ly", "s")


def stem(word: str) -> str:
    """A word without its common English ending. Crude on purpose: both sides of a comparison are cut alike."""
    if len(word) <= 3 or word.endswith("ss"):
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiousl":
        word = word[:-1]  # "shipped" and "ship"
    return word.removesuffix("e") if len(word) > 3 else word


def tokens(text: str) -> list[str]:
    """Stems of the words in `text`, in order, without stop words. `checkSecrets` and `check_secrets` are two words."""
    words = [word for word in map(str.lower, _WORD.findall(text)) if word not in STOP_WORDS]
    stems = {word: stem(word) for word in set(words)}
    return [stems[word] for word in words]


class BM25:
    """A small collection of documents (lists of tokens) that queries are scored against."""

    __slots__ = ("_counts", "_idf", "_weights")

    def __init__(self, documents: Sequence[Sequence[str]], *, k1: float = 1.2, b: float = 0.75) -> None:
        self._counts = [Counter(document) for document in documents]
        total = len(documents)
        average = sum(map(len, documents)) / total if total else 0.0
        self._weights = [k1 * (1 - b + b * len(document) / (average or 1.0)) for document in documents]
        found = Counter(word for counts in self._counts for word in counts)
        self._idf = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in found.items()}

    def scores(self, query: Iterable[str], *, k1: float = 1.2) -> list[float]:
        """One score per document; 0 when it holds no word of the query. A word asked for twice counts once."""
        wanted = [(word, self._idf[word]) for word in dict.fromkeys(query) if word in self._idf]
        return [
            sum(idf * counts[word] * (k1 + 1) / (counts[word] + weight) for word, idf in wanted if word in counts)
            for counts, weight in zip(self._counts, self._weights, strict=True)
        ]


def best(scores: Sequence[float]) -> int | None:
    """The position of the highest score, the first of equals; None when nothing scored."""
    if not scores or max(scores) <= 0:
        return None
    return scores.index(max(scores))
