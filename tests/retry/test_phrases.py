"""The tables of words: every row of them can be heard."""

import pytest

from app.retry.evidence.name_words import NAMES
from app.retry.evidence.text_words import SETTINGS, TEXTS
from app.retry.phrases import Phrase, Phrasebook, words_of_name, words_of_text

BOOKS = {"settings": SETTINGS, "texts": TEXTS, "names": NAMES}


def phrases_of(book: Phrasebook) -> list[Phrase]:
    """All of them, the most telling first."""
    return sorted(each for starts in book._starts.values() for phrases in starts.values() for each in phrases)


def said(phrase: Phrase) -> list[str]:
    """Its words, with something that stands for any."""
    return [word.replace("*", "zzz") for word in phrase.words]


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_no_row_is_shadowed(book: Phrasebook):
    """A phrase that holds an earlier one never wins: where it means something else, it must come first."""
    shadowed = [
        f"{phrase.text} ({phrase.type}) by {found.text} ({found.type})"
        for phrase in phrases_of(book)
        if (found := book.find(said(phrase))) is not None and (found.type, found.reason) != (phrase.type, phrase.reason)
    ]
    assert shadowed == []


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_no_row_is_there_twice(book: Phrasebook):
    """Each phrase stands in one place."""
    texts = [phrase.text for phrase in phrases_of(book)]
    assert sorted(texts) == sorted(set(texts))


@pytest.mark.parametrize("book", [SETTINGS, TEXTS], ids=["settings", "texts"])
def test_texts_have_these_words(book: Phrasebook):
    """A phrase is written as a message is taken apart."""
    assert [phrase.text for phrase in phrases_of(book) if words_of_text(" ".join(said(phrase))) != said(phrase)] == []


def test_names_have_these_words():
    """A phrase is written as the name of a class is taken apart."""
    names = ["".join(map(str.capitalize, said(phrase))) for phrase in phrases_of(NAMES)]
    assert [words_of_name(name) for name in names] == [said(phrase) for phrase in phrases_of(NAMES)]
