"""Sinks for tests."""

from dataclasses import replace

from hooks import Event


class Kept:
    """A sink that keeps copies of the events: `with capture(model, kept := Kept())`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        copies = {
            name: None if value is None else value.clone()
            for name in ("state", "velocity", "endpoint", "difference")
            for value in [getattr(event, name)]
        }
        self.events.append(replace(event, **copies))
