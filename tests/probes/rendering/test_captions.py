"""Captions say what the facts say."""

import re

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from probes.rendering import captions
from probes.rendering.captions import write_caption
from probes.rendering.composing import draw_facts


def says(caption: str, phrases: tuple[str, ...]) -> bool:
    return any(re.search(rf"\b{re.escape(phrase)}\b", caption.lower()) for phrase in phrases)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_caption_names_the_lead_instrument(seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts = draw_facts(rng)
    lead = facts.parts[0].instrument
    assert says(write_caption(facts, rng), (lead.name, *lead.words))


@settings(max_examples=300, deadline=None)
@example(seed=8)
@given(seed=st.integers(0, 10**9))
def test_a_caption_never_names_the_opposite(seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts = draw_facts(rng)
    caption = write_caption(facts, rng)
    for table, own, other in (
        (captions.REGISTER, facts.register, {"low": "high", "high": "low", "middle": None}[facts.register]),
        (captions.TONE, facts.tone, {"dark": "bright", "bright": "dark", "neutral": None}[facts.tone]),
    ):
        if other is None:
            continue
        # words that other categories share, such as "low volume", do not count
        unmistakable = tuple(phrase for phrase in table[other] if " " not in phrase and phrase not in ("low", "high"))
        text = caption.lower()
        for phrase in (*captions.ROOM, *captions.NOISE_WORDS):
            text = text.replace(phrase, "")
        names = [name for part in facts.parts for name in (part.instrument.name, *part.instrument.words)]
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(rf"\b{re.escape(name)}\b", "", text)  # a "warm pad" may be bright
        assert not says(text, unmistakable), (own, caption)


def test_one_piece_has_many_wordings() -> None:
    facts = draw_facts(np.random.default_rng(3))
    assert len({write_caption(facts, np.random.default_rng(i)) for i in range(50)}) > 40
