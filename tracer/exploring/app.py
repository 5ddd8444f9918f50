"""The page of `trace explore`: a prompt, sliders, two takes with their sound and curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.exploring.takes import Take, edit_texts, make_take, ordered_attributes, repeating_command
from tracer.figures.palette import Drawing, figure_style, looks

if TYPE_CHECKING:
    from tracer.options import SessionOptions
    from tracer.session import Session

EVERY = 4
"""States between two drawings."""
DOSE = 4.0
"""Largest dose of a slider, in classes."""
FIRST = {"timbre": 2.0}
"""Doses to begin with."""


def build_app(session: Session, options: SessionOptions | None = None) -> Any:
    """The gradio page for a session.

    Args:
        session: Generator and readout.
        options: What it was opened with, for the command that repeats a take; None is the model's own of everything.

    Raises:
        InputError: gradio is not installed.
    """
    gr = import_gradio()
    readout = session.readout
    # The closed form moves and holds what frames have.
    names = [name for name in ordered_attributes(session) if name not in readout.clips]
    with gr.Blocks(title="trace explore", analytics_enabled=False) as app:
        gr.Markdown(
            f"# trace explore\nPlain and steered take of the same prompt and seed, by **{session.generator.name}**."
        )
        with gr.Row():
            caption = gr.Textbox(session.prompts[0].caption, label="Prompt", lines=2, scale=4)
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, scale=1)
        with gr.Row():
            sliders = [
                gr.Slider(-DOSE, DOSE, value=FIRST.get(name, 0.0), step=0.25, label=f"{name}, by up to so many classes")
                for name in names
            ]
        with gr.Row():
            start = gr.Slider(0, 1, value=0.0, step=0.05, label="from flow time")
            stop = gr.Slider(0, 1, value=0.5, step=0.05, label="to flow time")
            hold = gr.Checkbox(True, label="hold all other attributes of frames")
        button = gr.Button("Generate", variant="primary")
        with gr.Row():
            plain = gr.Audio(label="plain", interactive=False)
            steered = gr.Audio(label="steered", interactive=False)
        curves = gr.Image(label="Mean reading of the clean estimate at every state", interactive=False)
        command = gr.Textbox(label="This repeats the steered take", lines=3, interactive=False, buttons=["copy"])

        def generate(
            caption: str, seed: float | None, start: float, stop: float, hold: bool, *doses: float
        ) -> Iterator[tuple[Any, Any, Any, str]]:
            noise = int(seed or 0)  # an emptied field is None
            try:
                unmoved = {name: 0.0 for name in readout.attributes if name not in readout.clips}
                edits = edit_texts(unmoved | dict(zip(names, doses)), (start, stop), hold)
                shown = repeating_command(session, caption, noise, edits, options)
                for takes in both_takes(session, caption, noise, edits):
                    plain_sound, steered_sound = (sound(session, take) for take in takes)
                    yield plain_sound, steered_sound, pixels(draw_takes(session, takes)), shown
            except InputError as error:
                raise gr.Error(str(error)) from error

        inputs = [caption, seed, start, stop, hold, *sliders]
        button.click(generate, inputs, [plain, steered, curves, command])
    return app


def import_gradio() -> Any:
    """gradio, without its telemetry."""
    import os

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise InputError("trace explore needs gradio: pip install 'generation-tracer[explore]'") from error
    return gradio


def both_takes(session: Session, caption: str, seed: int, edits: list[str]) -> Iterator[tuple[Take, Take]]:
    """The plain take and then the steered one, every few states and when each is finished."""
    takes = [Take(), Take()]
    for place, acting in enumerate(([], edits)):
        for takes[place] in make_take(session, caption, seed, acting):
            done = len(next(iter(takes[place].curves.values())))
            if takes[place].audio is not None or done % EVERY == 1:
                yield takes[0], takes[1]


def sound(session: Session, take: Take) -> tuple[int, Any] | None:
    """A take's sound as gradio plays it: rate and 16-bit samples [n, channels]."""
    if take.audio is None:
        return None
    return session.generator.sample_rate, np.int16(np.clip(take.audio.T, -1, 1) * 32767)


def pixels(figure: Drawing) -> np.ndarray:
    """A figure as gradio shows it, [height, width, 3] bytes."""
    canvas: Any = figure.canvas
    with figure_style():
        figure.set_dpi(150)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


@figure_style()
def draw_takes(session: Session, takes: tuple[Take, Take]) -> Drawing:
    """Draw the curves of a plain and a steered take, a panel for each attribute."""
    names = ordered_attributes(session)
    figure = Drawing(3.0 * len(names), 2.4)
    for panel, (name, look) in zip(figure.subplots(1, len(names), squeeze=False)[0], looks(names).items()):
        bins = session.readout.bins[name]
        for take, label, colour, line in (
            (takes[0], "plain", "#777777", "--"),
            (takes[1], "steered", look.colour, "-"),
        ):
            values = take.curves.get(name, [])
            panel.plot(range(len(values)), values, line, color=colour, label=label)
        panel.set_title(name, color=look.colour)
        panel.set_xlim(0, session.steps - 1)
        ticks = [int(tick) for tick in panel.get_yticks() if 0 <= tick < len(bins) and tick == int(tick)]
        panel.set_yticks(ticks, [bins.label(tick) for tick in ticks])
        panel.set_xlabel("state")
    figure.axes[0].legend()
    return figure
