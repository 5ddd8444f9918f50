"""`trace fit`: the pipeline from audio to a readout. Each command takes options in and calls out."""

from pathlib import Path
from typing import Annotated

import typer

from tracer.commands.fit_training import probes_command, readout_command, sae_command, sweep_command

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
            "the Hub, or [b]rendered[/b].",
            show_default=False,
        ),
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(help="A folder of ready latents (.pt, .npy, .safetensors) instead of audio.", show_default=False),
    ] = None,
    space: Annotated[
        str, typer.Option(help="Latent space: mini, diffrhythm, stable-audio, encodec, wavtokenizer.")
    ] = "mini",
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
        str, typer.Option(help="What is measured on the audio, separated by commas.")
    ] = "pitch,loudness,timbre",
    crepe: Annotated[str, typer.Option(help="CREPE's size, full or tiny.")] = "full",
    hours: Annotated[float, typer.Option(help="Of rendered music.")] = 1.0,
    part: Annotated[str, typer.Option(help="The split of a dataset on the Hub to read.")] = "train",
    config: Annotated[
        str | None, typer.Option(help="The configuration of a dataset on the Hub.", show_default=False)
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Name of a file for the test split; all others then train. Repeatable.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    half: Annotated[bool, typer.Option("--half", help="Keep latents as float16.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for machines.")] = False,
) -> None:
    """Turn audio into a corpus: latents, labels and a split by file, on disk, resumable."""
    from probes.corpus.job import EncodeOptions, encode_corpus
    from probes.corpus.summary import print_summary

    options = EncodeOptions(
        out=out,
        audio=audio,
        latents=latents,
        space=space,
        weights=weights,
        settings=tuple(set_ or ()),
        attributes=tuple(name.strip() for name in attributes.split(",") if name.strip()),
        crepe=crepe,
        hours=hours,
        part=part,
        config=config,
        hold_out=tuple(hold_out or ()),
        workers=workers,
        dtype="float16" if half else "float32",
        device=device,
    )
    print_summary(encode_corpus(options), as_json)


app.command("sae")(sae_command)
app.command("probes")(probes_command)
app.command("readout")(readout_command)
app.command("sweep")(sweep_command)
