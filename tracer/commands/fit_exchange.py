"""`trace fit export | import`: autoencoders to and from other libraries."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tracer.commands import fit_options as given


def export_command(
    sae: Annotated[str, typer.Argument(metavar="SAE", help="Folder or hub id of an autoencoder trained here.")],
    to: Annotated[str, typer.Option("--to", help="saelens, dictionary_learning or sparsify.")],
    out: given.NewOut,
    as_json: given.AsJson = False,
) -> None:
    """Write an autoencoder for another library: topk, batchtopk and jumprelu (sparsify: topk alone).

    For example: [b]trace fit export saes/songs --to saelens --out exported/songs[/b]
    """
    from probes.sae.exchange import LIBRARIES, export_sae
    from probes.support.paths import result_folder
    from tracer.commands.tables import print_rows

    out = result_folder(out)
    written = export_sae(sae, to, out)
    library, config = LIBRARIES[to], written.config
    load = library.load.replace("FOLDER", str(out))
    if as_json:
        about = {"library": to, "out": str(out), "architecture": config.architecture, "channels": config.channels}
        print(json.dumps(about | {"hidden": config.hidden, "files": [library.config, library.weights], "load": load}))
        return
    rows = [
        ["architecture", config.architecture],
        ["channels to features", f"{config.channels} to {config.hidden}"],
        ["files", f"{out / library.config}, {out / library.weights}"],
        ["load with", load],
    ]
    print_rows("", [f"exported to {library.title}", ""], rows)


def import_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_HUB_ID",
            help="A folder that SAELens, dictionary_learning or sparsify wrote, or a hub id: "
            "owner/name, owner/name/folder, with @revision to pin it.",
        ),
    ],
    space: Annotated[str, typer.Option("--space", help="Latent space that it was trained on.")],
    out: given.NewOut,
    as_json: given.AsJson = False,
) -> None:
    """Make somebody's autoencoder one of ours; what takes a folder of [b]trace fit sae[/b] takes the result.

    For example: [b]trace fit import theirs/layer0 --space stable-audio --out saes/theirs[/b]
    """
    from probes.sae.exchange import import_sae
    from probes.support.paths import result_folder
    from tracer.commands.tables import print_rows

    out = result_folder(out)
    config = import_sae(source, space, out).config
    if as_json:
        print(json.dumps({"out": str(out)} | config.to_dict()))
        return
    rows = [
        ["architecture", config.architecture],
        ["channels to features", f"{config.channels} to {config.hidden}"],
        ["latent space", config.space],
        ["whose", config.owner],
    ]
    print_rows("", [str(out), ""], rows)
