"""Captions in ordinary English, written from the facts of a piece in many wordings."""

import numpy as np

from probes.rendering.composing import Facts

REGISTER = {
    "low": (
        "low",
        "deep",
        "low-pitched",
        "low register",
        "bassy",
        "rumbling",
        "low notes",
        "bass register",
        "low pitch",
        "lower octave",
    ),
    "middle": ("mid-range", "middle register", "medium-pitched"),
    "high": (
        "high",
        "high-pitched",
        "high register",
        "treble",
        "soaring",
        "high notes",
        "piercing",
        "upper register",
        "high pitch",
        "higher octave",
    ),
}
DYNAMICS = {
    "quiet": (
        "quiet",
        "soft",
        "softly played",
        "gentle",
        "hushed",
        "whispering",
        "delicate",
        "faint",
        "subdued",
        "low volume",
        "intimate",
        "tender",
        "pianissimo",
        "calm",
    ),
    "medium": ("moderate volume", "mezzo", "medium loud"),
    "loud": (
        "loud",
        "powerful",
        "forceful",
        "strong",
        "intense",
        "blaring",
        "booming",
        "aggressive",
        "heavy",
        "thunderous",
        "bold",
        "high volume",
        "fortissimo",
        "energetic",
    ),
}
TONE = {
    "dark": ("dark", "mellow", "muffled", "warm", "dull", "muted", "soft toned", "round"),
    "neutral": ("natural", "clean", "plain"),
    "bright": ("bright", "brilliant", "sharp", "crisp", "shiny", "sparkling", "harsh", "tinny", "shimmering"),
}
CONTOUR = {
    "steady": (),
    "rising": ("getting louder", "building up", "with a crescendo", "growing in volume"),
    "falling": ("fading away", "getting softer", "with a decrescendo", "dying down"),
    "swelling": ("with swelling dynamics", "rising and falling in volume"),
}
ARTICULATION = {
    "legato": ("legato", "smooth", "flowing", "sustained", "connected"),
    "normal": (),
    "staccato": ("staccato", "short", "plucky", "detached", "bouncy"),
}
ACTIVITY = {
    "slow": ("long notes", "sparse", "held notes", "minimal"),
    "even": ("simple", "steady", "regular"),
    "busy": ("busy", "fast notes", "lively", "virtuosic", "quick runs"),
}
TEMPO = (
    (75, ("slow", "slow tempo", "slow paced", "very slow", "at a slow tempo", "adagio")),
    (115, ("medium tempo", "moderate tempo", "mid-tempo", "walking pace", "andante")),
    (1e9, ("fast", "fast tempo", "uptempo", "fast paced", "quick", "energetic tempo", "allegro")),
)
BRIGHT_MODES = ("major", "mixolydian", "pentatonic")
MOODS = {
    ("happy", "slow"): (
        "peaceful",
        "relaxing",
        "calm",
        "calming",
        "easygoing",
        "sentimental",
        "hopeful",
        "romantic",
        "soothing",
        "dreamy",
    ),
    ("happy", "fast"): (
        "happy",
        "cheerful",
        "joyful",
        "playful",
        "upbeat",
        "groovy",
        "exciting",
        "vibrant",
        "spirited",
        "fun",
        "uplifting",
    ),
    ("sad", "slow"): ("sad", "melancholic", "somber", "mournful", "emotional", "soulful", "haunting", "moody"),
    ("sad", "fast"): ("tense", "dramatic", "restless", "suspenseful", "urgent", "energetic", "serious", "passionate"),
}
GENRES = {
    "keyboard": ("classical", "ballad", "jazz"),
    "mallet": ("lullaby", "minimalist", "ambient"),
    "organ": ("church", "sacred", "baroque"),
    "guitar": ("folk", "country", "rock", "blues"),
    "bass": ("funk", "jazz", "groove"),
    "bowed": ("classical", "orchestral", "cinematic"),
    "plucked": ("traditional", "world", "folk"),
    "voice": ("choral", "sacred", "ethereal"),
    "brass": ("fanfare", "march", "big band"),
    "reed": ("jazz", "folk", "chamber"),
    "flute": ("pastoral", "new age", "celtic"),
    "synth": ("electronic", "video game", "synthwave", "techno"),
}
DRUMS = (
    "drums", "a drum kit", "acoustic drums", "percussion", "a simple drum beat", "a steady drum groove",
    "punchy kick and snare hits", "groovy drumming", "hi hats and cymbals", "a percussive rhythm", "a dance beat",
)  # fmt: skip
ROOM = (
    "with reverb",
    "in a large hall",
    "with a lot of echo",
    "in a cathedral",
    "with a spacious sound",
    "reverberant",
)
SOLO = ("solo", "unaccompanied", "alone", "a single instrument", "no other instruments", "on its own")
# Said of any piece: so the text encoder learns that "low" in "low quality" is not about the music.
NOISE_WORDS = (
    "instrumental", "no voices", "no vocals", "this could be played in a movie", "good audio quality",
    "this recording", "background music", "amateur recording", "the song", "in the style of a soundtrack",
    "the low quality recording", "low fidelity", "high quality recording", "high energy", "live performance",
    "poor audio quality", "a mono recording", "high spirited", "the main theme", "someone is playing at home",
    "suitable for an advertisement", "there is no singer", "it can be heard in a club",
)  # fmt: skip


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


class _Words:
    """Draws wordings, each category at most once, so that a caption never says the same thing twice."""

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.facts, self.rng = facts, rng
        mode = "happy" if facts.scale in BRIGHT_MODES else "sad"
        pace = "fast" if facts.tempo > 100 and facts.activity != "slow" else "slow"
        self.choices = {
            "register": REGISTER[facts.register],
            "dynamics": DYNAMICS[facts.dynamics],
            "tone": TONE[facts.tone],
            "contour": CONTOUR[facts.contour],
            "articulation": ARTICULATION[facts.articulation],
            "activity": ACTIVITY[facts.activity],
            "tempo": next(words for limit, words in TEMPO if facts.tempo < limit),
            "mood": MOODS[mode, pace],
            "genre": GENRES[facts.parts[0].instrument.family],
            "room": ROOM if facts.reverb else (),
        }

    def one(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def some(self, category: str, chance: float) -> str:
        """A wording for the category with the given probability, else nothing."""
        options = self.choices.get(category, ())
        if not options or self.rng.random() > chance:
            return ""
        del self.choices[category]
        return self.one(options)

    def instrument(self, part: int) -> str:
        one = self.facts.parts[part].instrument
        return one.name if not one.words or self.rng.random() < 0.6 else self.one(one.words)


def _aspects(words: _Words) -> str:
    """A comma-separated list of aspects, as in an aspect list."""
    facts = words.facts
    items = [words.instrument(i) + (" melody" if part.role == "melody" else f" {part.role}")
             for i, part in enumerate(facts.parts)]  # fmt: skip
    items += [words.some(category, 0.65) for category in tuple(words.choices)]
    if facts.drums:
        items.append(words.one(DRUMS))
    if facts.texture == "solo":
        items.append(words.one(SOLO))
    if words.rng.random() < 0.4:
        items.append(words.one(NOISE_WORDS))
    items = [item for item in items if item]
    return ", ".join(items[i] for i in words.rng.permutation(len(items)))


def _backing(words: _Words) -> str:
    names = []
    for i, part in enumerate(words.facts.parts[1:], start=1):
        name = words.instrument(i)
        names.append(f"{name} chords" if part.role == "chords" else f"{_article(name)} line")
    if words.facts.drums:
        names.append(words.one(DRUMS))
    return " and ".join(names)


def _sentences(words: _Words) -> str:
    """Two to four sentences."""
    front = [words.some(category, chance) for category, chance in
             (("dynamics", 0.75), ("tone", 0.6), ("register", 0.7), ("articulation", 0.5))]  # fmt: skip
    words.rng.shuffle(front)
    lead = " ".join([*(word for word in front if word), words.instrument(0)])
    what = words.one(("melody", "tune", "line", "theme", "part"))
    opening = words.one(
        (
            f"This is {_article(lead)} {what}",
            f"{_article(lead)} plays a {what}",
            f"The song features {_article(lead)}",
            f"The recording features {_article(lead)} {what}",
            f"{_article(lead)} {what}",
            f"An instrumental piece with {_article(lead)} {what}",
        )
    )
    backing = _backing(words)
    if backing:
        opening += words.one((" over ", " with ", " accompanied by ", " backed by ", ", alongside ")) + backing
    elif words.rng.random() < 0.5:
        opening += ", " + words.one(SOLO)
    lines = [opening]
    mood, genre = words.some("mood", 0.7), words.some("genre", 0.4)
    if mood and genre:
        lines.append(words.one((f"it is {_article(mood)} {genre} piece", f"{genre} music with {_article(mood)} mood")))
    elif mood:
        lines.append(words.one((f"it sounds {mood}", f"the mood is {mood}", f"the atmosphere is {mood}")))
    elif genre:
        lines.append(words.one((f"this is {genre} music", f"it sounds like {genre}")))
    tempo = words.some("tempo", 0.6)
    if tempo:
        lines.append(words.one((f"the tempo is {tempo}", f"played {tempo}", f"tempo: {tempo}")))
    rest = [words.some(category, 0.5) for category in ("activity", "contour", "room", "register", "dynamics", "tone")]
    rest = [word for word in rest if word]
    if rest:
        lines.append(words.one(("the music is ", "the sound is ", "it is ")) + " and ".join(rest))
    if words.rng.random() < 0.25:
        lines.append(words.one(NOISE_WORDS))
    return " ".join(line[0].upper() + line[1:] + "." for line in lines)


def _short(words: _Words) -> str:
    """A few words, as a user in a hurry types them."""
    front = [words.some(category, 0.45) for category in ("dynamics", "tone", "register", "mood", "tempo")]
    words.rng.shuffle(front)
    return " ".join([*(word for word in front if word), words.instrument(0)])


def write_caption(facts: Facts, rng: np.random.Generator) -> str:
    """A caption for the facts: sentences, an aspect list, or a few words."""
    words = _Words(facts, rng)
    style = rng.random()
    if style < 0.55:
        return _sentences(words)
    return _aspects(words) if style < 0.8 else _short(words)
