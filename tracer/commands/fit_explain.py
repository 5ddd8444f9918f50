"""The command that looks into a readout: which features speak for which classes, and where they fire."""

from pathlib import Path
from typing import Annotated

import typer

from probes.errors import InputError
from tracer.commands import fit_options as given
from tracer.commands.viewing import NoOpen, show_page


def explain_command(
    readout: Annotated[str, typer.Argument(help="Folder or hub id of a readout, or mini.")],
    corpus: Annotated[Path, typer.Option(help="Corpus in which the features are looked for.")],
    what: Annotated[
        str | None,
        typer.Option(
            "--of",
            help="A class (pitch=C4) for its strongest features, or a feature (123) for its classes; on test files.",
            show_default=False,
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Write a page of all features with their strongest moments, to be heard.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the page.", show_default="features in the corpus")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="The codec's weights, to decode the moments.", show_default="as the corpus was encoded"),
    ] = None,
    top: Annotated[int, typer.Option(help="Number of rows that --of prints.")] = 10,
    no_open: NoOpen = False,
    device: given.Device = "auto",
    as_json: given.AsJson = False,
) -> None:
    """Look into a readout: which features speak for which classes, when each fires, and how that sounds.

    For example: [b]trace fit explain mini --corpus corpora/songs --of pitch=C4[/b]

    and, for all features with sound: [b]trace fit explain mini --corpus corpora/songs --page[/b]
    """
    from probes.corpus import Corpus
    from probes.fit.explain import explain_text
    from probes.readout import Readout
    from probes.support.devices import pick_device
    from tracer.commands.fit_tables import print_contributions
    from tracer.long_work import reporting

    if page == (what is not None):
        raise InputError("give --of CLASS_OR_FEATURE to print one, or --page for a page of all")
    place = pick_device(device)
    opened, reader = Corpus.open(corpus), Readout.from_pretrained(readout).to(place)
    if what is not None:
        return print_contributions(explain_text(reader, opened, what, top), as_json)
    from tracer.page.features_page import write_features

    space = opened.open_space(place, weights)
    with reporting(not as_json) as report:
        index = write_features(reader, opened, space, out or opened.path / "features", report)
    show_page(index, no_open)
