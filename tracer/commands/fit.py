"""`trace fit`: the pipeline from audio to a readout. Each command takes options in and calls out."""

from pathlib import Path
from typing import Annotated

import typer

from probes.attributes import ATTRIBUTES
from tracer.commands.consent import Yes, agree
from tracer.commands.fit_calibrate import calibrate_command
from tracer.commands.fit_exchange import export_command, import_command
from tracer.commands.fit_explain import explain_command
from tracer.commands.fit_training import probes_command, readout_command, sae_command, sweep_command
from tracer.commands.from_options import AsJson, help_of

app = typer.Typer(
    help="Build a readout for a latent space: encode audio, train the autoencoder and the probes.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("encode")
def encode_command(
    out: Annotated[Path, typer.Option(help="Corpus folder; the same command continues it.")],
    audio: Annotated[
        str | None,
        typer.Option(
            help="A folder of audio, a manifest (.csv with the column path, and split if you like), a dataset on "
            "the Hub, [b]rendered[/b], or a data set by name: guitarset, maestro, egmd, cocochorales, damp-vsep, or "
            "paper for all five. Without --root, --hours of guitarset, maestro or egmd come from the Hub.",
            show_default=False,
        ),
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(help="A folder of ready latents (.pt, .npy, .safetensors) instead of audio.", show_default=False),
    ] = None,
    space: Annotated[str, typer.Option(help="Latent space; `trace models` lists them.")] = "mini",
    weights: Annotated[
        str | None,
        typer.Option(help="The codec's weights: a path or a hub id (id@revision to pin it).", show_default="released"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="KEY=VALUE for this space alone, such as bandwidth=12; repeatable.", show_default=False
        ),
    ] = None,
    attributes: Annotated[
        str, typer.Option(help=f"Attributes that the corpus labels, separated by commas: {', '.join(ATTRIBUTES)}.")
    ] = "pitch,loudness,timbre",
    labels: Annotated[
        str,
        typer.Option(
            help="Where labels come from: measured on the audio, or annotation: what comes with guitarset, maestro, "
            "egmd, cocochorales and rendered music says of pitch, onset, chord, key, tempo, beat, family, drums, voice."
        ),
    ] = "measured",
    pitch_tracker: Annotated[
        str,
        typer.Option(
            "--pitch-tracker", "--crepe", help="What measures pitch: full or tiny (sizes of CREPE), or swift-f0."
        ),
    ] = "full",
    onset_detector: Annotated[str, typer.Option(help="What measures onsets: librosa or basic-pitch.")] = "librosa",
    hours: Annotated[float, typer.Option(help="Hours of music to render, or at most to take from the Hub.")] = 1.0,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set that --audio names; without it, the Hub's.", show_default=False),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="The split of a dataset on the Hub, or the version of a data set by name (vocal, mix, ...), to read.",
            show_default="train, or the data set's first",
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="The configuration of a dataset on the Hub.", show_default=False)
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Name of a file for the test split; all others then train. Repeatable.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of processes that encode.")] = 1,
    half: Annotated[bool, typer.Option("--half", help="Keep latents as float16.")] = False,
    device: Annotated[str, typer.Option(help=help_of("device"))] = "auto",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Turn audio into a corpus: latents, labels and a split by file. The same command goes on where it stopped.

    For example: [b]trace fit encode --audio songs/ --out corpora/songs[/b]
    """
    from probes.corpus.job import EncodeOptions, encode_corpus
    from tracer.commands.fit_tables import print_summary, print_taken
    from tracer.fetching import of_collection, of_space
    from tracer.long_work import reporting

    agree([*of_space(space, weights), *of_collection(audio, root, part, hours)] if audio else [], yes)
    options = EncodeOptions(
        out=out,
        audio=audio,
        latents=latents,
        space=space,
        weights=weights,
        options=tuple(set_ or ()),
        attributes=tuple(name.strip() for name in attributes.split(",") if name.strip()),
        pitch_tracker=pitch_tracker,
        onset_detector=onset_detector,
        hours=hours,
        root=root,
        part=part,
        labels=labels,
        config=config,
        hold_out=tuple(hold_out or ()),
        workers=workers,
        dtype="float16" if half else "float32",
        device=device,
    )
    with reporting(not as_json) as report:
        summary = encode_corpus(options, report, (lambda _: None) if as_json else print_taken)
    print_summary(summary, as_json)


app.command("sae")(sae_command)
app.command("probes")(probes_command)
app.command("readout")(readout_command)
app.command("sweep")(sweep_command)
app.command("calibrate")(calibrate_command)
app.command("explain")(explain_command)
app.command("export")(export_command)
app.command("import")(import_command)
