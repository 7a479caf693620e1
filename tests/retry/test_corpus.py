"""The classifier against real exceptions: what `make bench` prints is asserted here."""

import gc
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from app.retry.taxonomy import TAXONOMY

from .corpus import clients, held_out, held_out_again, judged, programs, services, standard, surveyed
from .corpus.case import Raised, provoke
from .corpus.world import world

_MODULES = (standard, clients, services, programs, held_out, held_out_again, judged, surveyed)


@pytest.fixture(scope="module")
def raised() -> Iterator[list[Raised]]:
    """Every exception of the corpus, raised once."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), world() as servers:
        warnings.simplefilter("ignore")
        harvest = [provoke(case, servers) for module in _MODULES for case in module.corpus.cases]
        yield harvest
        # Tracebacks hold the sockets of what failed; let go of them while nobody minds.
        harvest.clear()
        gc.collect()
    logging.disable(logging.NOTSET)


# Provoked failures leave sockets and futures behind, as failures do.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def test_corpus_is_large(raised: list[Raised]):
    """At least two hundred real exceptions, and each of the sixteen types among them."""
    assert len(raised) >= 200
    assert {one.case.type for one in raised} == set(TAXONOMY)


def test_types(raised: list[Raised]):
    """Each exception is taken for what it is."""
    wrong = [
        f"{one.case.name}: {one.classified().type} by {one.classified().evidence[0].rule}, not {one.case.type}"
        for one in raised
        if one.classified().type is not one.case.type
    ]
    assert wrong == []


def test_retry_or_not(raised: list[Raised]):
    """Each exception is retried if, and only if, that can help."""
    wrong = [one.case.name for one in raised if one.classified().retryable is not one.case.retryable]
    assert wrong == []


def test_failures_are_complete(raised: list[Raised]):
    """Each failure has evidence, a sentence, a fingerprint, and can be stored as JSON."""
    for one in raised:
        failure = one.classified()
        assert failure.evidence
        assert failure.sentence.endswith(".")
        assert len(failure.fingerprint) == 16
        assert 0 < failure.confidence <= 1
        json.dumps([failure.message, failure.sentence, failure.exception_type]).encode()


def test_codes_beat_words(raised: list[Raised]):
    """Where a code spoke the confidence is higher than where only a message did."""
    confidence = {one.case.name: one.classified() for one in raised}
    codes = [f.confidence for f in confidence.values() if f.evidence[0].rule.startswith(("sqlstate.", "http."))]
    texts = [f.confidence for f in confidence.values() if f.evidence[0].rule.startswith("text.")]
    assert min(codes) > max(texts)
