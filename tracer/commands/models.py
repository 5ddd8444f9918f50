"""Commands about models: list them, make DiffRhythm's style vectors."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tracer.commands.consent import Yes, agree
from tracer.commands.from_options import AsJson, with_flags
from tracer.options import PromptOptions


def models_command(as_json: AsJson = False) -> None:
    """List every generator and latent space: licence, size, extra to install, and whether its weights are here."""
    from tracer.generators.catalogue import ENTRIES, here, lines, missing

    if as_json:
        rows = [
            {key: value for key, value in asdict(entry).items() if key not in ("modules", "file")}
            | {"here": here(entry), "installed": not missing(entry)}
            for entry in ENTRIES
        ]
        print(json.dumps(rows, indent=1))
        return
    for kind, title in (("generator", "Generators (--model)"), ("space", "Latent spaces (--space)")):
        print(f"{title}\n")
        for entry in ENTRIES:
            if entry.kind == kind:
                first, *rest = lines(entry)
                print(f"  {entry.name:<15} {first}")
                print("".join(f"{'':<18}{line}\n" for line in rest))


@with_flags
def styles_command(
    cache: Annotated[Path, typer.Argument(help="Style cache to fill (.safetensors).")],
    given: PromptOptions,
    yes: Yes = False,
) -> None:
    """Turn captions into DiffRhythm style vectors with MuQ-MuLan and keep them in a file.

    Needs the extra [b]diffrhythm[/b] (muq); where it is installed, a run does this by itself. The file can be read
    anywhere: [b]trace --model diffrhythm --set style_cache=FILE[/b].
    """
    from tracer.generators.catalogue import PARTS, here
    from tracer.generators.diffrhythm.style import StyleCache
    from tracer.prompts import choose_prompts

    captions = [prompt.caption for prompt in choose_prompts(given.prompts, given.n, given.seed, given.balanced)]
    styles = StyleCache.open(cache)
    if styles.missing(captions):
        agree([part for part in PARTS["diffrhythm"] if here(part) == "no"], yes)
        styles.fill(captions, device=given.device)
